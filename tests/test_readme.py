"""The README's commands, its Python and its tables."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(marker: str) -> str:
    found = re.search(rf"<!-- {marker} -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert found, f"no block {marker!r} in the README"
    return found[1].strip()


def environment() -> dict[str, str]:
    # The `zoo` beside this Python is the one under test.
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


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


def test_python_block(tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", block("python")], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr


def test_command_2_is_what_ci_runs():
    assert block("command 2") == 'pip install -e ".[dev]" && pytest'


@pytest.mark.parametrize("name", ["results", "speed"])
def test_tables_are_generated(name, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import update_readme

    found = re.search(rf"<!-- {name} -->\n(.*?)\n?<!-- /{name} -->", README, re.DOTALL)
    assert found
    assert found[1] == update_readme.TABLES[name](), "stale: run python scripts/update_readme.py"
