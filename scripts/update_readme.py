"""Write the generated tables between their markers, into README.md and the pages of the documentation."""

import json
from pathlib import Path

from benchmark_report import report
from result_tables import FAMILIES, claim_table, family_table, recipes_of, results_table

from zoo.pretrained import load_result
from zoo.verification.report import format_mean_std

HERE = Path(__file__).parent
DOCS = HERE / "docs"


ECG_COLUMNS = {
    "macro_f1": "macro-F1 of N, S, V, F",
    "s_f1": "F1 of S",
    "s_f1_without_232": "F1 of S without record 232",
    "v_f1": "F1 of V",
    "f_f1": "F1 of F",
    "accuracy": "accuracy",
    "jk_index": "j-kappa",
}
ECG_PUBLISHED = {
    "de Chazal, O'Dwyer & Reilly 2004": {"s_f1": ".511", "v_f1": ".797"},
    "Shi et al. 2019": {"macro_f1": ".682", "s_f1": ".614", "v_f1": ".915", "f_f1": ".244", "accuracy": ".921 to .942"},
    "Mondéjar-Guerra et al. 2019": {"accuracy": ".945", "jk_index": ".773"},
    "Niu et al. 2020": {"s_f1": ".766", "v_f1": ".897", "accuracy": ".964"},
    "Wang et al. 2021": {"macro_f1": ".688"},
}
"""Published on DS2 after training on DS1; F1 and its mean from the published sensitivity and predictivity."""


def ecg_table() -> str:
    """Return the scores of the heartbeat classifier, of a random forest, and published ones."""
    result = load_result("ecg_classifier.mitbih")
    if result is None:
        return "Not measured yet."
    measured = {f"test_{name}": result["metrics"][f"test_{name}"] for name in ECG_COLUMNS}
    detected = {f"test_{name}": result["metrics"].get(f"test_detected_{name}") for name in ECG_COLUMNS}
    rows = {
        f"`ecg_classifier.mitbih`, {result['seeds']} seeds": measured,
        "the same, with detected R peaks": detected,
        "random forest on the same features": result["baselines"]["random_forest"],
    }
    lines = [f"| | {' | '.join(ECG_COLUMNS.values())} |", "|---" * (len(ECG_COLUMNS) + 1) + "|"]
    for title, values in rows.items():
        known = [values.get(f"test_{name}") for name in ECG_COLUMNS]
        lines.append(f"| {title} | {' | '.join(format_mean_std(value) if value else '' for value in known)} |")
    for title, published in ECG_PUBLISHED.items():
        lines.append(f"| {title} | {' | '.join(published.get(name, '') for name in ECG_COLUMNS)} |")
    return "\n".join(lines)


TRANSLATION_COLUMNS = {
    "bleu": "BLEU",
    "chrf": "chrF2",
    "nats": "nats a sentence",
    "everyday_numbers": "numbers kept",
    "everyday_names": "names kept",
    "everyday_capitals": "capitals right",
    "everyday_words": "words right",
    "everyday_repeats": "phrases in a loop",
}
TRANSLATORS = ("eng_fra", "fra_eng", "fra_eng_plain")


def translation_table() -> str:
    """Return the scores of the translators on the test split and on everyday sentences, and of their baseline."""
    lines = [f"| | {' | '.join(TRANSLATION_COLUMNS.values())} |", "|---" * (len(TRANSLATION_COLUMNS) + 1) + "|"]
    for name in TRANSLATORS:
        result = load_result(f"lstm_seq2seq.{name}")
        if result is None:
            continue
        rows = {
            f"`lstm_seq2seq.{name}`": result["metrics"],
            "its translation memory": result["baselines"]["translation_memory"],
        }
        for title, values in rows.items():
            known = [values.get(f"test_{column}") for column in TRANSLATION_COLUMNS]
            cells = [f"{value['mean']:.{1 if value['mean'] >= 5 else 2}f}" if value else "" for value in known]
            lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


CAPTION_COLUMNS = {
    "bleu_1": "BLEU-1",
    "bleu_2": "BLEU-2",
    "bleu_3": "BLEU-3",
    "bleu_4": "BLEU-4",
    "cider": "CIDEr-D",
    "rouge_l": "ROUGE-L",
    "recall_1": "recall@1, %",
    "recall_10": "recall@10, %",
}


def caption_table() -> str:
    """Return the scores of the captioner and of its baselines on the test photographs."""
    result = load_result("lstm_captioner.flickr8k")
    if result is None:
        return "Not measured yet."
    rows = {"`lstm_captioner.flickr8k`": result["metrics"]} | {f"`{k}`": v for k, v in result["baselines"].items()}
    lines = [f"| | {' | '.join(CAPTION_COLUMNS.values())} |", "|---" * (len(CAPTION_COLUMNS) + 1) + "|"]
    for title, values in rows.items():
        known = {column: values.get(f"test_{column}") for column in CAPTION_COLUMNS}
        digits = {column: 3 if column == "cider" else 1 for column in known}
        cells = [f"{value['mean']:.{digits[column]}f}" if value else "" for column, value in known.items()]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def speed_table() -> str:
    """Return the report of the benchmark from the committed measurements."""
    return report(json.loads((HERE / "figures" / "benchmark.json").read_text(encoding="utf-8"))).strip()


TABLES = {
    "models": (HERE.parent / "README.md", family_table),
    "results": (DOCS / "results.md", results_table),
    "ecg": (DOCS / "methods" / "ecg.md", ecg_table),
    "translation": (DOCS / "methods" / "language.md", translation_table),
    "captions": (DOCS / "methods" / "captions.md", caption_table),
    "speed": (DOCS / "methods" / "speed.md", speed_table),
    **{
        f"family {family.page}": (
            DOCS / "families" / f"{family.page}.md",
            lambda family=family: claim_table(recipes_of(family)),
        )
        for family in FAMILIES
    },
}
"""The file and the function of each table."""


def replace(text: str, name: str, content: str) -> str:
    """Replace what stands between ``<!-- name -->`` and ``<!-- /name -->``."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, rest = text.split(start)
    return f"{before}{start}\n{content}\n{end}{rest.split(end)[1]}"


def main() -> None:
    for name, (path, table) in TABLES.items():
        path.write_text(replace(path.read_text(encoding="utf-8"), name, table()), encoding="utf-8")


if __name__ == "__main__":
    main()
