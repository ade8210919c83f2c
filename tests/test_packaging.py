"""The package as users meet it: its version, ``python -m zoo``, completion by the shell, and its declared needs."""

import ast
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import tomllib
import yaml

import zoo
from zoo.cli import main
from zoo.cli.commands import COMMANDS
from zoo.cli.completion import SHELLS

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_version_is_that_of_the_project(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"zoo {PROJECT['version']}\n"


def test_version_of_a_package_that_is_not_installed_is_refused(capsys, monkeypatch):
    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr("zoo.cli.parser.version", absent)
    assert main(["--version"]) == 2
    assert "not installed" in capsys.readouterr().err
    assert main(["list", "mlp.xor"]) == 0  # nothing else needs it


def test_the_module_is_the_command():
    run = subprocess.run([sys.executable, "-m", "zoo", "nonsense"], capture_output=True, text=True)
    assert run.returncode == 2
    assert run.stderr.startswith("zoo: error: unknown command 'nonsense'")
    assert len(run.stderr.splitlines()) == 1


def completed(line, tmp_path):
    """Return what the shell would offer after a line."""
    code = (
        "import sys; from unittest import mock; import argcomplete\n"
        "from zoo.cli.parser import make_parser; from zoo.cli import completion\n"
        "out = open(sys.argv[1], 'w')\n"
        "call = argcomplete.autocomplete\n"
        "argcomplete.autocomplete = lambda parser: call(parser, output_stream=out, exit_method=lambda *_: None)\n"
        "completion.answer_shell(make_parser())\n"
        "out.close()\n"
        "assert 'torch' not in sys.modules"
    )
    asked = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_IFS": "\n"}
    path = tmp_path / "offered"
    subprocess.run([sys.executable, "-c", code, path], check=True, cwd=tmp_path, env={**os.environ, **asked})
    return [word.strip() for word in path.read_text().split("\n") if word.strip()]


def test_shell_completes_commands_recipes_files_and_options(tmp_path):
    (tmp_path / "mine.yaml").touch()
    assert set(COMMANDS) <= set(completed("zoo ", tmp_path))
    assert completed("zoo fit mlp.m", tmp_path) == zoo.list_recipes("mlp.m*")
    assert completed("zoo test min", tmp_path) == ["mine.yaml"]
    assert "--ckpt_path" in completed("zoo fit mlp.mnist --", tmp_path)
    assert completed("zoo info vae", tmp_path) == ["vae", *zoo.list_recipes("vae.*")]
    assert completed("zoo completion z", tmp_path) == ["zsh"]


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_prints_lines_for_each_shell(shell, capsys):
    assert main(["completion", shell]) == 0
    assert "zoo" in capsys.readouterr().out


def test_completion_of_another_shell_is_refused(capsys):
    assert main(["completion", "zhs"]) == 2
    assert "unknown shell 'zhs'" in (line := capsys.readouterr().err)
    assert "zsh" in line


def test_completion_without_argcomplete_names_the_command(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "argcomplete", None)
    assert main(["completion", "bash"]) == 2
    assert "pip install 'lightning-zoo[completion]'" in capsys.readouterr().err


def extras_in_code():
    """Return the extras that error messages of the packages name."""
    found = set()
    for package in ("zoo", "datamodules"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                name = getattr(getattr(node, "func", None), "id", "")
                if isinstance(node, ast.Call) and name == "needs" and len(node.args) > 1:
                    found.add(ast.literal_eval(node.args[1]))
            found |= set(re.findall(r"lightning-zoo\[([a-z]+)\]", path.read_text()))
    return found


def test_extras_that_messages_name_exist():
    extras = PROJECT["optional-dependencies"]
    assert extras_in_code() <= set(extras)
    everything = set(re.findall(r"[a-z]+", extras["all"][0].partition("[")[2]))
    assert everything == set(extras) - {"all", "dev", "docs"}


def test_every_dependency_has_a_lower_bound():
    needed = [*PROJECT["dependencies"], *(n for extra in PROJECT["optional-dependencies"].values() for n in extra)]
    without = [name for name in needed if ">=" not in name and not name.startswith(("lightning-zoo[", "types-"))]
    assert not without


def test_release_workflow_checks_before_it_publishes():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())["jobs"]
    commands = "\n".join(step.get("run", "") for step in jobs["build"]["steps"])
    assert "twine check --strict" in commands
    assert "95000000" in commands
    assert jobs["publish"]["needs"] == "build"
