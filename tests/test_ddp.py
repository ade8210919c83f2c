"""Two processes (gloo, on the CPU) under Lightning's own strategy.

The cases run one after another in a single pair of processes, whose start is most of the cost; each has a test below.
"""

import math
import sys
from itertools import chain
from pathlib import Path

import lightning as L
import pytest
import torch
from adapters import TinyData
from conftest import assert_same, quiet_trainer, run_python, state
from lightning.pytorch.callbacks import Callback

import zoo
from datamodules.loader import Chunk
from datamodules.splits import Split

pytestmark = pytest.mark.slow
SHAPE, CLASSES, BATCH = (6,), 3, 4

CASES = {
    "one_by_one": {"n": 60},
    "chunks": {"n": 60, "batches_per_step": 4},
    "chunks_clipped": {
        "n": 60,
        "batches_per_step": 4,
        "model": {"clip_norm": 0.05, "accumulate": 3, "schedule": "cosine", "max_norm": 1.0},
    },
    "plateau": {"n": 60, "batches_per_step": 4, "model": {"schedule": "plateau", "patience": 1, "lr": 1e-9}},
    "odd": {"n": 61},
    "odd_chunks": {"n": 61, "batches_per_step": 4},
    "augmented": {"n": 60, "batches_per_step": 4, "augment": {"shift": 1.0}},
}


class Numbered(TinyData):
    """TinyData whose batches also say which rows they are made of."""

    def load(self):
        splits = super().load()
        return {name: Split((*s.tensors, torch.arange(len(s.groups))), s.groups) for name, s in splits.items()}


class Record(Callback):
    """The rows that reach each update, by epoch."""

    takes_chunks = True

    def __init__(self):
        self.epochs = []

    def on_train_epoch_start(self, trainer, model):
        self.epochs.append([])

    def on_train_batch_start(self, trainer, model, batch, batch_idx):
        for one in batch if isinstance(batch, Chunk) else [batch]:
            self.epochs[-1].append(one[2].tolist())


def train(case, batch_size, **settings):
    """Train a small network for 3 epochs; what it is, and what it saw."""
    options = dict(CASES[case])
    L.seed_everything(5, verbose=False)
    shape = (1, 8, 8) if "augment" in options else SHAPE
    args = {"in_features": math.prod(shape), "input_shape": list(shape), "hidden_dims": [5], "num_classes": CLASSES}
    model = zoo.create_model("mlp", **{**args, "lr": 1e-2, "activation": "tanh", **options.pop("model", {})})
    step = model.step
    model.step = lambda batch: step(batch[:2])
    data = Numbered(shape, CLASSES, batch_size=batch_size, n_val=21, noise=0.5, **options)
    record = Record()
    trainer = quiet_trainer(max_epochs=3, callbacks=[record], **settings)
    trainer.fit(model, data)
    return {
        "state": state(model),
        "epochs": record.epochs,
        "metrics": {name: float(value) for name, value in trainer.callback_metrics.items()},
        "steps": trainer.global_step,
    }


def main(folder):
    """Run every case in this process, which is one of two."""
    for case in CASES:
        result = train(case, BATCH, devices=2, strategy="ddp")
        rank = torch.distributed.get_rank()
        torch.save(result, folder / f"{case}.{rank}.pt")
        torch.distributed.barrier()


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ddp")
    script = Path(__file__)
    result = run_python(script, folder, cwd=folder, timeout=180, PL_TORCH_DISTRIBUTED_BACKEND="gloo")
    assert result.returncode == 0, result.stderr[-3000:]
    return {case: [torch.load(folder / f"{case}.{rank}.pt", weights_only=True) for rank in (0, 1)] for case in CASES}


@pytest.mark.parametrize("case", CASES)
def test_processes_end_with_the_same_weights_and_metrics(case, two):
    first, second = two[case]
    assert_same(first["state"], second["state"])
    assert first["metrics"] == second["metrics"]
    assert first["steps"] == second["steps"]


@pytest.mark.parametrize("case", [case for case in CASES if "odd" not in case])
def test_an_epoch_visits_every_sample_once(case, two):
    orders = []
    for first, second in zip(two[case][0]["epochs"], two[case][1]["epochs"], strict=True):
        assert [len(batch) for batch in first] == [len(batch) for batch in second] == [4] * 7 + [2]
        assert sorted(chain(*first, *second)) == list(range(60))
        orders.append(first)
    assert orders[0] != orders[1]


@pytest.mark.parametrize("case", ["odd", "odd_chunks"])
def test_of_an_odd_number_one_sample_waits_for_the_next_epoch(case, two):
    absent = []
    for first, second in zip(two[case][0]["epochs"], two[case][1]["epochs"], strict=True):
        assert len(first) == len(second) == 8
        visited = list(chain(*first, *second))
        assert len(visited) == len(set(visited)) == 60
        absent += set(range(61)) - set(visited)
    assert len(set(absent)) > 1  # not the same one each time
    assert two[case][0]["metrics"]["val_loss"] > 0


@pytest.mark.parametrize("case", ["one_by_one", "chunks", "chunks_clipped", "plateau"])
def test_two_processes_are_one_at_twice_the_batch(case, two):
    one, (first, second) = train(case, 2 * BATCH), two[case]
    assert one["steps"] == first["steps"]
    for alone, left, right in zip(one["epochs"], first["epochs"], second["epochs"], strict=True):
        assert [sorted(batch) for batch in alone] == [sorted(a + b) for a, b in zip(left, right, strict=True)]
    for name, value in one["state"].items():
        torch.testing.assert_close(first["state"][name], value, atol=1e-6, rtol=0)
    # 21 validation rows: 11 and 10, and the mean is that of the 21.
    assert first["metrics"] == pytest.approx(one["metrics"], abs=1e-6)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main(Path(sys.argv[1]))
