"""What MkDocs does beyond the Markdown of this folder: the API reference, and links to files outside of it.

Pages are read both on GitHub and as a site. Their links are relative paths in the repository; those that leave this
folder lead, on the site, to a copy of the picture or to a page that shows the file.

A line ``<!-- api: PACKAGE -->`` is replaced by the documentation of every public name of a package, and
``<!-- registered models -->``, ``datamodules`` and ``commands`` by tables of all that there are, so that a new one
appears by itself.
"""

import importlib
import inspect
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent.parent
sys.path.insert(0, str(ROOT))
FIGURES = ROOT / "scripts" / "figures"
PAGES = {
    "README.md": "index.md",
    ".github/CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Pages of the repository and their places on the site; the start page has what the README has."""
LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml", ".css": "css"}
FENCED = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")
API = re.compile(r"^<!-- api: ([\w.]+) -->$", re.MULTILINE)

NAME_IN_CELL = re.compile(r"(<td[^>]*><code>)([^<]*)")
REGISTERED = re.compile(r"^<!-- registered (models|datamodules|commands) -->$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the figures, the pages of the repository, and a page for every other file that a page links to."""
    for path in FIGURES.glob("*.png"):
        files.append(File.generated(config, f"figures/{path.name}", abs_src_path=str(path)))
    for source, place in PAGES.items():
        if files.get_file_from_path(place) is None:
            files.append(File.generated(config, place, content=moved(ROOT / source, place)))
    for page in list(files.documentation_pages()):
        own = Path(page.abs_src_path).parent if page.abs_src_path else DOCS
        for target in targets(page.content_string, own):
            place = place_of(target)
            if place and place.startswith("source/") and files.get_file_from_path(place) is None:
                level = InclusionLevel.NOT_IN_NAV
                files.append(File.generated(config, place, content=shown(target), inclusion=level))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite the links that leave the folder, and write the reference."""
    if page.file.abs_src_path:
        markdown = rewritten(markdown, Path(page.file.abs_src_path).parent, page.file.src_uri)
    if "| recipe | metric |" in markdown:
        page.meta["hide"] = ["toc"]  # the table needs the room
    markdown = API.sub(lambda found: "\n\n".join(map(entry, public_objects(found[1]))), markdown)
    return REGISTERED.sub(lambda found: TABLES[found[1]](), markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let names in tables break after dots and underscores, and nowhere else."""
    return NAME_IN_CELL.sub(lambda found: found[1] + re.sub(r"([._/])(?=\w)", r"\1<wbr>", found[2]), html)


# ---- links ----


def targets(text: str, folder: Path) -> Iterable[Path]:
    """Yield what the links of a page lead to, its code blocks left out."""
    for link, _ in LINK.findall(FENCED.sub("", text)):
        yield Path(os.path.normpath(folder / link))


def place_of(target: Path) -> str | None:
    """Return the page or picture of the site for a file outside of this folder; None for one inside."""
    if target.is_relative_to(DOCS) or not target.is_relative_to(ROOT):
        return None
    if not target.is_file():
        raise PluginError(f"{target.relative_to(ROOT)}: a page links to it, and it is not a file")
    if target.parent == FIGURES and target.suffix == ".png":
        return f"figures/{target.name}"
    path = target.relative_to(ROOT).as_posix()
    return PAGES.get(path, f"source/{path}.md")


def rewritten(text: str, folder: Path, place: str) -> str:
    """Return a page of the folder with its links as they are for its place on the site."""

    def link(found: re.Match[str]) -> str:
        target = Path(os.path.normpath(folder / found[1]))
        if target.is_relative_to(DOCS) and folder.is_relative_to(DOCS):
            return found[0]
        other = place_of(target) or target.relative_to(DOCS).as_posix()
        return os.path.relpath(other, Path(place).parent) + (found[2] or "")

    parts = FENCED.split(text)
    return "".join(part if number % 2 else LINK.sub(link, part) for number, part in enumerate(parts))


def moved(path: Path, place: str) -> str:
    """Return a page of the repository for its place on the site."""
    return rewritten(path.read_text(encoding="utf-8"), path.parent, place)


def shown(path: Path) -> str:
    """Return a page that shows a file."""
    text, fence = path.read_text(encoding="utf-8"), "~~~~"
    title = path.relative_to(ROOT).as_posix()
    language = LANGUAGES.get(path.suffix, "text")
    return f"---\nsearch: {{exclude: true}}\n---\n\n# {title}\n\n{fence}{language}\n{text}\n{fence}\n"


# ---- reference ----


def public_objects(package: str) -> list[str]:
    """Return the paths of all public functions, classes and constants of a package where they are defined."""
    module = importlib.import_module(package)
    names = sorted(module.__all__, key=lambda name: (name.isupper(), not name.islower(), name))
    found = [path_of(getattr(module, name), f"{package}.{name}") for name in names]
    return [path for path in found if path]


def path_of(value: Any, path: str) -> str:
    """Return the path under which a value is documented; nothing for a module, which has a page of its own."""
    if inspect.ismodule(value):
        return ""
    if inspect.isfunction(value) or inspect.isclass(value):
        return f"{value.__module__}.{value.__qualname__}"
    return path


def entry(path: str, level: int = 2) -> str:
    """Return the instruction that writes the documentation of an object."""
    return f"::: {path}\n    options:\n      heading_level: {level}\n"


def models() -> str:
    """Return a table of the registered models, and the documentation of their classes."""
    import zoo
    from zoo.registry import find_model

    lines = ["| name | class | source |", "|---|---|---|"]
    classes: dict[type, None] = {}
    for name in zoo.list_models():
        found = find_model(name)
        own = [base for base in found.cls.__mro__ if base.__module__.startswith("zoo.models.")]
        classes |= dict.fromkeys(own if own else [found.cls])
        path = f"{found.cls.__module__}.{found.cls.__qualname__}"
        lines.append(f"| `{name}` | [{found.cls.__name__}][{path}] | {found.source} |")
    return "\n".join([*lines, "", *(entry(path_of(cls, "")) for cls in classes)])


def datamodules() -> str:
    """Return a table of the registered datamodules."""
    from datamodules.registry import find_datamodule, list_datamodules

    lines = ["| name | class | what it is |", "|---|---|---|"]
    for name in list_datamodules():
        cls = find_datamodule(name)
        first = (inspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " ").replace("|", r"\|")
        lines.append(f"| `{name}` | [{cls.__name__}][{path_of(cls, '')}] | {first} |")
    return "\n".join(lines)


def commands() -> str:
    """Return the options of each command."""
    import argparse

    from zoo.cli.parser import make_parser

    parts = []
    for action in make_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                command.formatter_class = lambda prog: argparse.HelpFormatter(prog, width=88)
                parts.append(f"## zoo {name}\n\n```text\n{command.format_help().strip()}\n```")
    return "\n\n".join(parts)


TABLES = {"models": models, "datamodules": datamodules, "commands": commands}
