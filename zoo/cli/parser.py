"""What the ``zoo`` command takes: its commands, their options and the settings that replace a recipe's."""

from __future__ import annotations

import argparse
import re
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NoReturn

from zoo.errors import unknown
from zoo.outcome import DEBUG
from zoo.prediction import add_options
from zoo.tuning.command import add_arguments

SECTIONS = ("model", "data", "trainer")
SETTABLE = ("fit", "test", "tune")
"""Commands that take settings in place of the recipe's."""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


class _ShowVersion(argparse.Action):
    """Show the version of the installed package, which is looked up only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        try:
            print(f"{parser.prog} {version('lightning-zoo')}")
        except PackageNotFoundError:
            raise ValueError(
                "lightning-zoo is not installed, so it has no version: pip install lightning-zoo"
            ) from None
        parser.exit()


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands and their options."""
    parser = _Parser(
        prog="zoo",
        description="Textbook models on real data: train, test, use and verify them.",
        epilog=f"An error is one line and exit status 2; {DEBUG}=1 shows its traceback.",
    )
    parser.add_argument("--version", action=_ShowVersion, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    settings = "--model.X V, --data.X V and --trainer.X V replace a setting of the recipe; `zoo info NAME` lists them"

    def add(name: str, text: str, epilog: str | None = None) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text, epilog=epilog, allow_abbrev=False)

    command = add("list", "recipes by model: data, claim, measured result")
    command.add_argument("pattern", nargs="?", default="*", metavar="PATTERN", help="wildcard, such as '*.mnist'")

    command = add("info", "one model or recipe in full")
    command.add_argument("name", metavar="NAME")

    command = add("fit", "train a recipe, test its best checkpoint", settings)
    command.add_argument("recipe", metavar="RECIPE|FILE.yaml")
    command.add_argument("--ckpt_path", metavar="PATH|last", help="checkpoint to resume from")
    command.add_argument("--from", dest="start", metavar="RECIPE|PATH", help="trained weights to start a new run from")
    seed = "seed of all random numbers (default 0, or that of --ckpt_path)"
    command.add_argument("--seed", type=int, metavar="N", help=seed)
    command.add_argument("--histograms", action="store_true", help="log weights and gradients to TensorBoard")
    command.add_argument("--no_test", action="store_true", help="do not evaluate on the test split")

    command = add("test", "test the shipped weights, or a checkpoint", settings)
    command.add_argument("recipe", metavar="RECIPE|FILE.yaml")
    command.add_argument("--ckpt_path", metavar="PATH|best|last", help="checkpoint to test")
    own = "score the annotated recordings in the folder --data.root, such as atr"
    command.add_argument("--annotator", metavar="ENDING", help=own)

    command = add("predict", "answer files or strings")
    command._negative_number_matcher = re.compile(r"-[\d.]")  # an input such as -1.5,2 is no option
    command.add_argument("recipe", metavar="RECIPE|FILE.yaml")
    what = "files, folders or strings; IMAGE MASK for inpainting; texts may be entered in a terminal instead"
    command.add_argument("inputs", nargs="+", metavar="INPUT", help=what)
    command.add_argument(
        "--output",
        metavar="PATH",
        help="file of the answers: .csv, .json, and formats of the model such as .npy, .png and .txt; "
        "file or folder of restored images; folder of a recording's annotations and report",
    )
    command.add_argument("--ckpt_path", metavar="PATH|best|last", help="checkpoint instead of the shipped weights")
    add_options(command)

    command = add("verify", "train from scratch, measure, compare with the claim; exit status 1 if it is not met")
    command.add_argument("recipe", metavar="RECIPE|FILE.yaml")
    command.add_argument("--seeds", type=int, metavar="N", help="number of seeds (default: the recipe's)")
    command.add_argument("--publish", action="store_true", help="write result and weights into the source tree")

    command = add("export", "write the network to a file that runs without this package")
    command.add_argument("recipe", metavar="RECIPE|FILE.yaml")
    command.add_argument("--format", metavar="onnx|torch_export", help="format (default: what the ending says)")
    command.add_argument("--output", required=True, metavar="FILE", help="file to write, .onnx or .pt2")
    command.add_argument("--ckpt_path", metavar="PATH|best|last", help="checkpoint instead of the trained weights")

    add_arguments(add("tune", "search hyper-parameters by the metric on validation", settings))

    source = "RECIPE|FILE.yaml|CHECKPOINT|FOLDER"
    command = add("card", "write a model card, as Markdown with the metadata of the Hugging Face Hub")
    command.add_argument("source", metavar=source)
    command.add_argument("--output", metavar="FILE", help="file of the card (default: the screen)")

    command = add("push", "store a model on the Hugging Face Hub")
    command.add_argument("source", metavar=source)
    command.add_argument("repository", metavar="USER/NAME")
    command.add_argument("--private", action="store_true", help="make a new repository private")
    command.add_argument("--revision", metavar="BRANCH", help="branch, which is made if there is none (default: main)")
    stored = "float32, float16 or int8 (default: published weights as they are, others in float32)"
    command.add_argument("--storage", metavar="KIND", help=stored)

    usage = 'eval "$(zoo completion bash)" in the shell\'s start file completes commands, options and recipes'
    command = add("completion", "lines with which a shell completes the words of zoo", usage)
    command.add_argument("shell", metavar="SHELL", help="bash, zsh, fish, tcsh or powershell")
    return parser


def read_settings(rest: list[str], command: str) -> dict[str, dict[str, Any]]:
    """Read ``--model.x V`` and ``--model.x=V`` into arguments by section."""
    from zoo.recipes.schema import load_yaml

    found: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    words = iter(rest)
    for word in words:
        name, equals, value = word.partition("=")
        section, dot, key = name.removeprefix("--").partition(".")
        if not word.startswith("--") or not dot or section not in SECTIONS or not key:
            raise unknown(f"argument of zoo {command}", word, options_of(command))
        if command not in SETTABLE:
            raise ValueError(f"{name}: zoo {command} takes a recipe as it is; settings are for zoo fit, test and tune")
        if not equals:
            following = next(words, None)
            if following is None or following.startswith("--"):
                raise ValueError(f"{name} needs a value")
            value = following
        try:
            found[section][key] = load_yaml(value)
        except ValueError as error:
            if "not a YAML file" not in str(error):
                raise ValueError(f"{name}{error}") from None
            found[section][key] = value
        if isinstance(found[section][key], bool) and value.lower() not in ("true", "false"):
            found[section][key] = value  # YAML reads yes, no, on and off as truth values: here they may be names
    return found


def options_of(command: str) -> list[str]:
    """Return the options of a command, with the forms of its settings."""
    parser = make_parser()._subparsers._group_actions[0].choices[command]  # type: ignore[union-attr,index]
    options = [option for option in parser._option_string_actions if option.startswith("--")]
    return options + [f"--{section}.X" for section in SECTIONS if command in SETTABLE]
