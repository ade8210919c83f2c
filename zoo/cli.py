"""The ``zoo`` command: list, info, fit, test, predict, verify, tune."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from zoo.errors import printable, unknown
from zoo.outcome import DEBUG, end_well
from zoo.prediction import add_options, parse_words
from zoo.tuning.command import add_arguments

SECTIONS = ("model", "data", "trainer")
SETTABLE = ("fit", "test", "tune")
"""Commands that take settings in place of the recipe's."""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="zoo",
        description="Textbook models on real data: train, test, use and verify them.",
        epilog=f"An error is one line and exit status 2; {DEBUG}=1 shows its traceback.",
    )
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

    add_arguments(add("tune", "search hyper-parameters by the metric on validation", settings))
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The words after ``zoo``; those of the process if None.

    Returns:
        0 on success, 1 for a claim that is not met, 2 for an error, which is one line, 130 and 143 after Ctrl-C and
        SIGTERM, 141 if the reader of the output is gone.
    """
    return end_well(list(sys.argv[1:] if argv is None else argv), _run)


def _run(words: list[str]) -> int:
    _check_command(words)
    parser = _parser()
    args, rest = parse_words(parser, words)
    if args.command is None:
        parser.print_help()
        return 0
    return _COMMANDS[args.command](args, _overrides(rest, args.command))


def _check_command(words: list[str]) -> None:
    if words and not words[0].startswith("-") and words[0] not in _COMMANDS:
        raise unknown("command", words[0], _COMMANDS)


def _overrides(rest: list[str], command: str) -> dict[str, dict[str, Any]]:
    """Read ``--model.x V`` and ``--model.x=V`` into arguments by section."""
    from zoo.recipes.schema import load_yaml

    found: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    words = iter(rest)
    for word in words:
        name, equals, value = word.partition("=")
        section, dot, key = name.removeprefix("--").partition(".")
        if not word.startswith("--") or not dot or section not in SECTIONS or not key:
            raise unknown(f"argument of zoo {command}", word, _options(command))
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


def _options(command: str) -> list[str]:
    parser = _parser()._subparsers._group_actions[0].choices[command]  # type: ignore[union-attr,index]
    options = [option for option in parser._option_string_actions if option.startswith("--")]
    return options + [f"--{section}.X" for section in SECTIONS if command in SETTABLE]


def _list(args: argparse.Namespace, _: Any) -> int:
    from rich.console import Console
    from rich.table import Table

    from zoo.recipes import list_recipes
    from zoo.verification.report import table_rows

    names = list_recipes(args.pattern)
    if not names:
        raise unknown("recipe", args.pattern, list_recipes())
    console = Console(width=None if sys.stdout.isatty() else 160)
    table = Table("recipe", "data", "claim", "measured", "", box=None, header_style="bold", pad_edge=False)
    model = None
    for row in table_rows(names):
        if model not in (None, row.model):
            table.add_section()
            table.add_row()
        model = row.model
        style = {"met": "green", "not met": "red"}.get(row.verdict, "dim")
        table.add_row(row.recipe, row.data, row.claim, row.measured, f"[{style}]{row.verdict}[/]")
    console.print(table)
    return 0


def _info(args: argparse.Namespace, _: Any) -> int:
    import yaml

    from zoo import pretrained
    from zoo.recipes import list_recipes, load_recipe
    from zoo.verification.report import describe_result

    if "." not in args.name:
        _model_info(args.name)
        print("\nrecipes: " + (", ".join(list_recipes(f"{args.name}.*")) or "none"))
        return 0
    recipe = load_recipe(args.name)
    parts = {key: value for key, value in vars(recipe).items() if value and key != "name"}
    if recipe.claim:
        parts["claim"] = [claim.to_dict() for claim in recipe.claim]
    print(f"{recipe.name}\n")
    print(yaml.safe_dump(parts, sort_keys=False, width=110, allow_unicode=True).rstrip())
    result = None if recipe.is_file else pretrained.load_result(recipe.name)
    print("\n" + (describe_result(result) if result else "not verified yet: `zoo verify " + recipe.name + "`"))
    print(f"\nThe model's settings: `zoo info {recipe.model['name']}`. Train it: `zoo fit {recipe.name}`.")
    return 0


def _model_info(name: str) -> None:
    import inspect

    from zoo.registry import model_info

    info = model_info(name)
    print(f"{info['name']}  ({info['class']}, task {info['task']})\n{info['source']}\n")
    print(inspect.cleandoc(info["doc"]) + "\n")
    if info["outside_net"]:
        print(f"Outside the network: {info['outside_net']}\n")
    print("settings, as in --model.X V, and their defaults:")
    for key, default in info["parameters"].items():
        print(f"  {key} = {'required' if default is inspect.Parameter.empty else default}")


def _quiet() -> None:
    """Keep the libraries' hints to their developers off a user's screen."""
    import logging
    import warnings

    import lightning  # noqa: F401  it sets its loggers' levels when it is imported

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    for package in ("zoo", "datamodules"):
        warnings.filterwarnings("default", module=package)
    warnings.showwarning = _warn


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    """Show a warning in one line, without the code that gave it."""
    print(f"zoo: {' '.join(str(message).split())}", file=sys.stderr)


def _say(text: str) -> None:
    print("\n".join(map(printable, text.split("\n"))) + "\n", flush=True)


def _table(title: str, rows: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, show_header=False, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for key, value in rows.items():
        table.add_row(key, f"{value:.4f}" if isinstance(value, float) else str(value))
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(table)


def _fit(args: argparse.Namespace, overrides: dict[str, dict[str, Any]]) -> int:
    from zoo.recipes import load_recipe
    from zoo.recipes.fit import fit_recipe
    from zoo.verification import evaluate

    recipe = load_recipe(args.recipe)
    resume = recipe.find_checkpoint(args.ckpt_path) if args.ckpt_path else None
    run = recipe.run_of(resume) if resume else None
    _quiet()
    options = {"resume": resume, "overrides": overrides, "histograms": args.histograms, "say": _say}
    fit = fit_recipe(recipe, seed=args.seed, run=run, start=args.start, **options)
    rows: dict[str, Any] = {
        f"{name.removeprefix('best_')} ({'best' if name.startswith('best_') else 'last'} epoch)": value
        for name, value in fit.metrics.items()
    }
    if fit.checkpoint and not args.no_test:
        rows.update(evaluate(fit.model, fit.data))
    rows |= {"epochs": fit.epochs, "time": f"{fit.seconds:.1f} s"}
    _table(f"\n{recipe.name}", {**rows, **({"checkpoint": fit.checkpoint} if fit.checkpoint else {}), "logs": fit.run})
    if fit.model.report():
        print(f"\n{fit.model.report()}")
    print(f"\nnext: tensorboard --logdir {recipe.runs.parent}")
    if fit.checkpoint:
        print(f"      zoo test {recipe.name} --ckpt_path {fit.checkpoint.stem}")
    return 0


def _test(args: argparse.Namespace, overrides: dict[str, dict[str, Any]]) -> int:
    from zoo.recipes import load_recipe
    from zoo.recipes.trained import load_trained
    from zoo.verification import evaluate_recipe
    from zoo.verification.report import metric_rows

    recipe = load_recipe(args.recipe)
    if name := next(iter(overrides["model"]), None):
        raise ValueError(f"--model.{name}: the weights fix the model; test another with zoo fit")
    _quiet()
    if args.annotator is not None:
        from zoo.prediction.ecg_scoring import score_settings

        found = score_settings(recipe.name, args.ckpt_path, args.annotator, overrides)
    else:
        model, data = load_trained(recipe, args.ckpt_path, overrides["data"])
        found = evaluate_recipe(recipe, model, data, overrides["trainer"])
    recorded = recipe if args.ckpt_path is None and args.annotator is None else None
    own = "the weights of zoo verify" if recipe.shipped_weights == "none" else "the shipped weights"
    _table(f"{recipe.name}, {args.ckpt_path or own}", metric_rows(found.metrics, recorded))
    if found.report:
        print(f"\n{found.report}")
    return 0


def _predict(args: argparse.Namespace, _: Any) -> int:
    from rich.console import Console

    from zoo.prediction import OPTIONS, load_model, predict_inputs, refuse_overwriting
    from zoo.prediction.live import answer_lines

    _quiet()
    refuse_overwriting(args.output, [args.recipe, args.ckpt_path])
    model, data = load_model(args.recipe, args.ckpt_path)
    options = {name: getattr(args, name) for name in OPTIONS}
    if not args.inputs:
        answer_lines(model, data, {"output": args.output, **options})
        return 0
    if model.input_kind == "images" and not args.output:
        raise ValueError("--output is missing: a file for one picture, a folder for several")
    found = predict_inputs(model, args.inputs, args.output, data=data, **options)
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    for part in found.display:
        print(part) if isinstance(part, str) else console.print(part)
    if error := found.error():
        raise error
    return 0


def _verify(args: argparse.Namespace, _: Any) -> int:
    from zoo.recipes import load_recipe
    from zoo.verification import verify
    from zoo.verification.report import describe_result

    recipe = load_recipe(args.recipe)
    _quiet()
    result = verify(recipe, args.seeds, args.publish)
    print("\n" + describe_result(result))
    return 0 if all(claim["met"] for claim in result["claim"]) else 1


def _tune(args: argparse.Namespace, overrides: dict[str, dict[str, Any]]) -> int:
    from zoo.tuning.command import run_tune

    _quiet()
    return run_tune(args, overrides)


_COMMANDS = {
    "list": _list,
    "info": _info,
    "fit": _fit,
    "test": _test,
    "predict": _predict,
    "verify": _verify,
    "tune": _tune,
}


if __name__ == "__main__":
    sys.exit(main())
