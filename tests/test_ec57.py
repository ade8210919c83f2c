"""Beat-by-beat scores: by hand, beside scikit-learn, and with detected beats."""

import numpy as np
import pytest
import torch
from sklearn import metrics as reference
from torchmetrics.utilities import dim_zero_sum

from zoo.metrics import EC57, ec57_scores, ec57_table, match_beats, matched_labels

# True N, S, V, F, Q by row; found N, S, V, F, Q and none by column.
MATRIX = torch.tensor(
    [
        [80, 10, 4, 2, 1, 3],
        [5, 12, 2, 0, 0, 1],
        [2, 1, 26, 1, 0, 0],
        [3, 0, 2, 5, 0, 0],
        [1, 0, 2, 0, 4, 0],
        [2, 1, 0, 0, 0, 0],
    ]
)


def beats_of(matrix):
    """Return found and true classes with this confusion matrix, -1 for no beat."""
    true, found = torch.meshgrid(torch.arange(6), torch.arange(6), indexing="ij")
    labels = [part.flatten().repeat_interleave(matrix.flatten()) for part in (found, true)]
    return [torch.where(label == 5, -1, label) for label in labels]


def test_the_scores_are_those_by_hand():
    scores = {name: value.item() for name, value in ec57_scores(MATRIX).items()}
    # The beats of Q (4th row) are nobody's false positive; 20 beats are S, 24 are found to be.
    assert scores["s_sensitivity"] == pytest.approx(12 / 20)
    assert scores["s_positive_predictivity"] == pytest.approx(12 / 24)
    assert scores["s_f1"] == pytest.approx(24 / 44)
    assert scores["v_positive_predictivity"] == pytest.approx(26 / 34)  # 36 with those of Q
    assert scores["v_f1"] == pytest.approx(52 / 64)
    assert scores["n_sensitivity"] == pytest.approx(80 / 100)
    assert scores["n_f1"] == pytest.approx(160 / 192)
    assert scores["f_f1"] == pytest.approx(10 / 18)
    assert scores["s_false_positive_rate"] == pytest.approx(12 / (100 + 30 + 10 + 3))
    assert scores["q_sensitivity"] == pytest.approx(4 / 7)
    assert scores["q_positive_predictivity"] == pytest.approx(4 / 5)
    assert scores["macro_f1"] == pytest.approx((160 / 192 + 24 / 44 + 52 / 64 + 10 / 18) / 4)
    assert scores["macro_f1_3"] == pytest.approx((160 / 192 + 24 / 44 + 52 / 64) / 3)
    assert scores["accuracy"] == pytest.approx((80 + 12 + 26 + 5) / (100 + 20 + 30 + 10 + 3))
    columns, rows = (92, 24, 34, 8), (100, 20, 30, 10)
    agreed, expected = 123 / 163, (sum(a * b for a, b in zip(columns, rows, strict=True)) + 4 * 3) / 163**2
    assert scores["kappa"] == pytest.approx((agreed - expected) / (1 - expected))
    j = 12 / 20 + 12 / 24 + 26 / 30 + 26 / 34
    assert scores["j_index"] == pytest.approx(j)
    assert scores["jk_index"] == pytest.approx(scores["kappa"] / 2 + j / 8)


def test_the_scores_are_those_of_scikit_learn():
    draw = np.random.default_rng(0)
    true = draw.choice(5, 5000, p=[0.6, 0.15, 0.15, 0.05, 0.05])
    found = np.where(draw.random(5000) < 0.7, true, draw.integers(0, 5, 5000))
    metric = EC57()
    for part in np.array_split(np.arange(5000), 7):
        metric.update(torch.from_numpy(found[part]), torch.from_numpy(true[part]))
    scores = {name: value.item() for name, value in metric.compute().items()}
    kept = true != 4
    a, b = true[kept], found[kept]
    precision, recall, f1, _ = reference.precision_recall_fscore_support(a, b, labels=[0, 1, 2, 3])
    for k, name in enumerate("nsvf"):
        found_scores = [scores[f"{name}_{m}"] for m in ("positive_predictivity", "sensitivity", "f1")]
        assert found_scores == pytest.approx([precision[k], recall[k], f1[k]])
        others = a != k
        assert scores[f"{name}_false_positive_rate"] == pytest.approx((b[others] == k).mean())
    assert scores["macro_f1"] == pytest.approx(f1.mean())
    assert scores["macro_f1_3"] == pytest.approx(f1[:3].mean())
    assert scores["accuracy"] == pytest.approx(reference.accuracy_score(a, b))
    assert scores["kappa"] == pytest.approx(reference.cohen_kappa_score(a, b))
    assert scores["q_f1"] == pytest.approx(reference.f1_score(true == 4, found == 4))


def test_a_class_that_is_not_there_does_not_count():
    matrix = MATRIX.clone()
    matrix[3] = matrix[:, 3] = 0
    scores = ec57_scores(matrix)
    assert scores["f_f1"].isnan()
    assert scores["macro_f1"] == scores["macro_f1_3"]
    everything_normal = torch.zeros(6, 6, dtype=torch.int64)
    everything_normal[:4, 0] = torch.tensor([90, 5, 4, 1])
    scores = ec57_scores(everything_normal)
    assert scores["accuracy"] == 0.9
    assert scores["kappa"] == scores["j_index"] == 0
    assert scores["s_f1"] == 0
    assert scores["s_positive_predictivity"].isnan()
    assert all(value.isnan() for name, value in ec57_scores(torch.zeros(6, 6)).items() if name != "j_index")


def test_records_have_matrices_of_their_own():
    draw = torch.Generator().manual_seed(0)
    found, true = (torch.randint(-1, 5, (900,), generator=draw) for _ in range(2))
    record = torch.tensor([232, 100, 207])[torch.randint(3, (900,), generator=draw)]
    metric = EC57([232, 100])
    for k in range(0, 900, 100):
        metric.update(found[k : k + 100], true[k : k + 100], record[k : k + 100])
    for place, number in enumerate((100, 232, 207)):  # 207 was not asked for: it is one of the others
        alone = EC57()
        alone.update(found[record == number], true[record == number])
        assert torch.equal(metric.matrices[place], alone.matrix)
    without = EC57()
    without.update(found[record != 232], true[record != 232])
    scores, expected = metric.compute(), without.compute()
    for measure in ("sensitivity", "positive_predictivity", "f1", "false_positive_rate"):
        assert scores[f"s_{measure}_without_232"] == expected[f"s_{measure}"]
    assert "s_f1_without_232" not in without.compute()
    assert int(metric.matrix.sum()) == 900
    metric.reset()
    assert int(metric.matrix.sum()) == 0


def test_matrices_of_processes_add_up():
    found, true = beats_of(MATRIX)
    assert EC57()._reductions["matrices"] is dim_zero_sum
    metric = EC57()
    metric.update(found.int(), true.int())
    assert torch.equal(metric.matrix, MATRIX)
    assert metric.matrix.dtype == torch.int64


def test_tables_give_the_figures():
    matrices = torch.stack([MATRIX, 2 * MATRIX, torch.zeros_like(MATRIX)])
    table = ec57_table(matrices, [100, 232])
    assert "accuracy 75.46" in table
    assert "over N, S, V, F" in table
    lines = {line.split("  ")[0]: line.split() for line in table.splitlines()}
    assert lines["S"][:5] == ["S", "60", "60.00", "50.00", "54.55"]
    assert lines["S without 232"][3:6] == ["20", "60.00", "50.00"]
    assert lines["Q (apart)"][2:4] == ["21", "57.14"]
    assert lines["232"][1] == "334"
    assert "none" in table
    assert "none" not in ec57_table(torch.diag(torch.tensor([5, 4, 3, 2, 1, 0])))
    assert "-" in ec57_table(torch.zeros(6, 6, dtype=torch.int64))


# ---- detected beats ----


def test_beats_are_matched_within_the_tolerance_and_once():
    rows, columns = match_beats([100, 500, 900, 1300], [46, 155, 446, 953, 955, 1400], 360)
    # 46 is 54 away, which is 0.15 s; 155 is 55 away. 953 is nearer to 900 than 955; 1400 is too far from 1300.
    assert rows.tolist() == [0, 1, 2]
    assert columns.tolist() == [0, 2, 3]
    rows, columns = match_beats([100, 130], [120], 360)
    assert (rows.tolist(), columns.tolist()) == ([1], [0])
    for true, found in (([], [5]), ([5], []), ([], [])):
        assert [len(part) for part in match_beats(np.array(true), np.array(found), 360)] == [0, 0]


def test_the_nearest_pairs_are_made_whatever_the_order():
    draw = np.random.default_rng(0)
    true = np.sort(draw.choice(20_000, 300, replace=False))
    found = np.sort(draw.choice(20_000, 320, replace=False))
    rows, columns = match_beats(true, found, 100)
    assert len(set(rows.tolist())) == len(rows) == len(set(columns.tolist()))
    assert (np.diff(rows) > 0).all()
    distance = np.abs(true[rows] - found[columns])
    assert distance.max() <= 15
    # Nothing that is left over could have been paired better than what was.
    of_true, of_found = np.full(300, np.inf), np.full(320, np.inf)
    of_true[rows] = of_found[columns] = distance
    apart = np.abs(true[:, None] - found)
    assert not ((apart <= 15) & (apart < of_true[:, None]) & (apart < of_found)).any()


def test_missed_and_extra_beats_count_against_their_classes():
    found, true = matched_labels([100, 500, 900], [0, 1, 2], [102, 700, 903], [0, 2, 2], 360)
    assert found.tolist() == [0, 2, -1, 2]
    assert true.tolist() == [0, 2, 1, -1]
    metric = EC57()
    metric.update(found, true)
    scores = metric.compute()
    assert scores["s_sensitivity"] == 0
    assert scores["v_positive_predictivity"] == 0.5
    assert scores["accuracy"] == 0.5


def test_perfect_detection_changes_nothing():
    positions, labels = np.arange(0, 72_000, 300), np.arange(240) % 5
    found, true = matched_labels(positions, labels, positions + 20, labels, 360)
    assert torch.equal(found, true)
    assert len(found) == 240
