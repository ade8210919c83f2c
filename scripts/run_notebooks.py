"""Run the notebooks of the documentation and write them with what they print and draw as pages beside them.

    python scripts/run_notebooks.py [NAME ...]

A notebook is ``scripts/docs/notebooks/NAME.py`` in the percent format, which Jupyter opens with jupytext
(``jupytext --to ipynb NAME.py``); its page is ``NAME.md``, its pictures are in ``NAME/``.
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path

import jupytext
from nbclient import NotebookClient
from nbconvert import MarkdownExporter
from nbformat import NotebookNode

from zoo.files import write_files

NOTEBOOKS = Path(__file__).parent / "docs" / "notebooks"
CODE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
ENDING = """

Run it yourself: `jupytext --to ipynb scripts/docs/notebooks/{name}.py` makes a notebook for Jupyter, and
`python scripts/run_notebooks.py {name}` writes this page.
"""


def names() -> list[str]:
    """Return the names of all notebooks."""
    return sorted(path.stem for path in NOTEBOOKS.glob("*.py"))


def run(notebook: NotebookNode, folder: Path) -> NotebookNode:
    """Run the cells of a notebook in a folder and keep what they print and draw, warnings left out."""
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return notebook


def page(notebook: NotebookNode, name: str) -> tuple[str, dict[str, bytes]]:
    """Return a notebook that has been run as Markdown, and its pictures by file name."""
    settings = {"output_files_dir": name, "unique_key": name, "metadata": {"name": name}}
    text, resources = MarkdownExporter().from_notebook_node(notebook, settings)
    text = text.replace("![png](", "![Output of the cell above](")
    parts = CODE.split(text)
    parts[::2] = [re.sub(r"\n([ \t]*\n){2,}", "\n\n", part) for part in parts[::2]]
    drawn = {Path(path).name: content for path, content in resources["outputs"].items()}
    return "".join(parts).strip() + ENDING.format(name=name), drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"notebooks out of {', '.join(names())}; all if none")
    args = parser.parse_args()
    for name in args.names:
        if name not in names():
            parser.error(f"unknown notebook {name!r}: choose from {', '.join(names())}")
    for name in args.names or names():
        with tempfile.TemporaryDirectory() as folder:
            text, drawn = page(run(jupytext.read(NOTEBOOKS / f"{name}.py"), Path(folder)), name)
        place = NOTEBOOKS / name
        place.mkdir(exist_ok=True)
        for old in place.glob("*.png"):
            old.unlink()
        write_files({NOTEBOOKS / f"{name}.md": text.encode(), **{place / file: each for file, each in drawn.items()}})
        print(NOTEBOOKS / f"{name}.md", *(place / file for file in drawn), sep="\n")


if __name__ == "__main__":
    sys.exit(main())
