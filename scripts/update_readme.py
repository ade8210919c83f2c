"""Write the tables that are generated into the README, between their markers."""

import json
from pathlib import Path

from benchmark import report

from zoo.results import markdown_table

HERE = Path(__file__).parent
README = HERE.parent / "README.md"


def speed_table() -> str:
    """Return the benchmark's page from the committed measurements."""
    return report(json.loads((HERE / "figures" / "benchmark.json").read_text(encoding="utf-8"))).strip()


TABLES = {"results": markdown_table, "speed": speed_table}


def replace(text: str, name: str, content: str) -> str:
    """Replace what stands between ``<!-- name -->`` and ``<!-- /name -->``."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, rest = text.split(start)
    return f"{before}{start}\n{content}\n{end}{rest.split(end)[1]}"


def main() -> None:
    text = README.read_text(encoding="utf-8")
    for name, table in TABLES.items():
        text = replace(text, name, table())
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
