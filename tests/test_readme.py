"""The commands and the Python of README.md, and the tables and links of all pages."""

import argparse
import inspect
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import lightning as L
import pytest

import zoo
from zoo.cli.parser import make_parser

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "scripts" / "docs"
PAGES = (
    "README.md",
    ".github/CONTRIBUTING.md",
    *(path.relative_to(ROOT).as_posix() for path in sorted(DOCS.rglob("*.md"))),
)
README, CONTRIBUTING, *_ = ((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
sys.path.insert(0, str(ROOT / "scripts"))
import update_readme  # noqa: E402

COMMANDS = next(each for each in make_parser()._actions if isinstance(each, argparse._SubParsersAction)).choices


def block(marker: str) -> str:
    found = re.search(rf"<!-- {marker} -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert found, f"no block {marker!r} in the README"
    return found[1].strip()


def environment() -> dict[str, str]:
    # The `zoo` beside this Python is the one under test.
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def run_blocks(code: str, folder: Path) -> None:
    run = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr


@pytest.mark.slow
def test_command_1_trains_tests_and_says_what_to_do_next(tmp_path):
    install, _, command = block("command 1").partition(" && ")
    assert install == "pip install ."
    run = subprocess.run(
        shlex.split(command), cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr
    accuracy = re.search(r"test_accuracy\s+([\d.]+)", run.stdout)
    assert accuracy
    assert float(accuracy[1]) > 0.95
    assert "next: tensorboard" in run.stdout
    assert list(tmp_path.glob("runs/mlp.digits/version_0/checkpoints/best.ckpt"))


@pytest.mark.slow
def test_python_block(tmp_path):
    run_blocks(block("python"), tmp_path)


def test_command_2_is_what_ci_runs():
    assert block("command 2") == 'pip install -e ".[dev]" && pytest'


@pytest.mark.slow
def test_examples_for_contributors_run(tmp_path):
    recipe = re.search(r"```yaml\n# (\S+)\n(.*?)```", CONTRIBUTING, re.DOTALL)
    assert recipe
    (tmp_path / recipe[1]).write_text(recipe[2])
    run_blocks("\n".join(re.findall(r"```python\n(.*?)```", CONTRIBUTING, re.DOTALL)), tmp_path)


@pytest.mark.parametrize("name", update_readme.TABLES)
def test_tables_are_generated(name):
    path, table = update_readme.TABLES[name]
    found = re.search(rf"<!-- {name} -->\n(.*?)\n?<!-- /{name} -->", path.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    assert found[1] == table(), "stale: run python scripts/update_readme.py"


LECTURE = DOCS / "lecture.md"


def check_command(words):
    """Assert that a command names a recipe or a script that there is, with options that it has."""
    program, *words = words
    if program == "zoo":
        assert words[0] in COMMANDS, words
        recipe = words[1]
        if words[0] not in ("list", "info", "completion") and "/" not in recipe and not recipe.endswith(".yaml"):
            assert recipe in zoo.list_recipes(), recipe
        settings = [word for word in words if re.match(r"--(model|data|trainer)\.", word)]
        for option in (word for word in words if word.startswith("--") and word not in settings):
            assert option in COMMANDS[words[0]]._option_string_actions, f"{words[0]} {option}"
        for setting in settings:
            section, _, key = setting.removeprefix("--").partition(".")
            if section == "model":
                assert key in zoo.model_info(zoo.load_recipe(recipe).model["name"])["parameters"], setting
            elif section == "trainer":
                assert key in inspect.signature(L.Trainer).parameters, setting
    elif program == "python":
        text = (ROOT / words[0]).read_text(encoding="utf-8")
        for option in (word for word in words if word.startswith("--")):
            assert f'"{option}"' in text, words


def test_commands_of_the_lecture_exist():
    """Each command names a recipe or a script that there is, with options that it has."""
    commands = re.findall(r"`((?:zoo|python) [^` ]+ [^`]+|python [^`]+)`", LECTURE.read_text(encoding="utf-8"))
    assert len(commands) > 30
    for command in commands:
        check_command(shlex.split(command))


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_and_images_lead_to_files_and_headings_that_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    assert links or page not in ("README.md", "scripts/docs/lecture.md", "scripts/docs/methods/index.md")
    for link in links:
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        file, _, anchor = link.partition("#")
        target = (ROOT / page).parent / file if file else ROOT / page
        assert target.exists(), f"{page}: {link} does not exist"
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{page}: {link} has no such heading"
