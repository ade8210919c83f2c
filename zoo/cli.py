"""The ``zoo`` command: list, info, fit, test, predict, verify."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from zoo.errors import in_one_line, unknown

if TYPE_CHECKING:
    from zoo.recipes import Recipe

SECTIONS = ("model", "data", "trainer")


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="zoo", description="Textbook models on real data: train, test, use and verify them.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    settings = "--model.X V, --data.X V and --trainer.X V replace a setting of the recipe; `zoo info NAME` lists them"

    def add(name: str, text: str, epilog: str | None = None) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text, epilog=epilog, allow_abbrev=False)
        return command

    command = add("list", "recipes by model: data, claim, measured result")
    command.add_argument("pattern", nargs="?", default="*", metavar="PATTERN", help="wildcard, such as '*.mnist'")

    command = add("info", "one model or recipe in full")
    command.add_argument("name", metavar="NAME")

    command = add("fit", "train a recipe, test its best checkpoint", settings)
    command.add_argument("recipe", metavar="RECIPE|FILE.yaml")
    command.add_argument("--ckpt_path", metavar="PATH|last", help="checkpoint to go on from")
    command.add_argument("--seed", type=int, default=0, metavar="N", help="seed of everything random (default 0)")
    command.add_argument("--no_test", action="store_true", help="leave the test split closed while you choose settings")

    command = add("test", "test the shipped weights, or a checkpoint", settings)
    command.add_argument("recipe", metavar="RECIPE|FILE.yaml")
    command.add_argument("--ckpt_path", metavar="PATH|best|last", help="checkpoint to test")

    command = add("predict", "answer files or strings")
    command.add_argument("recipe", metavar="RECIPE|FILE.yaml")
    command.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="files, folders or strings, as the data has them; PICTURE MASK to fill holes",
    )
    command.add_argument(
        "--output",
        metavar="PATH",
        help="write the answers to this file: .csv, .json, and what the model has besides, such as .npy and .png; "
        "restored pictures to this file or folder",
    )
    command.add_argument("--ckpt_path", metavar="PATH|best|last", help="checkpoint instead of the shipped weights")
    command.add_argument("--annotator", metavar="ENDING", help="take a recording's beats from this file, such as atr")
    command.add_argument("--fs", type=float, metavar="HZ", help="samples a second of a recording in a CSV file")

    command = add("verify", "train from scratch, measure, compare with the claim; exit status 1 if it is not met")
    command.add_argument("recipe", metavar="RECIPE|FILE.yaml")
    command.add_argument("--seeds", type=int, metavar="N", help="number of seeds (default: the recipe's)")
    command.add_argument("--publish", action="store_true", help="write result and weights into the source tree")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The words after ``zoo``; those of the process if None.

    Returns:
        0 on success, 1 for a claim that is not met, 2 for bad input, 130 when interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        _check_command(words)
        parser = _parser()
        args, rest = parser.parse_known_args(words)
        if args.command is None:
            parser.print_help()
            return 0
        overrides = _overrides(rest, args.command)
        return _COMMANDS[args.command](args, overrides)
    except (ValueError, OSError, ArithmeticError, ModuleNotFoundError) as error:
        if os.environ.get("ZOO_DEBUG"):
            raise
        print(f"zoo: error: {in_one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("zoo: interrupted; `--ckpt_path last` goes on with a fit, and verify goes on by itself", file=sys.stderr)
        return 130


def _check_command(words: list[str]) -> None:
    if words and not words[0].startswith("-") and words[0] not in _COMMANDS:
        raise unknown("command", words[0], _COMMANDS)


def _overrides(rest: list[str], command: str) -> dict[str, dict[str, Any]]:
    """Read ``--model.x V`` and ``--model.x=V`` into arguments by section."""
    import yaml

    found: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    words = iter(rest)
    for word in words:
        name, equals, value = word.partition("=")
        section, dot, key = name.removeprefix("--").partition(".")
        if not word.startswith("--") or not dot or section not in SECTIONS or not key:
            raise unknown(f"argument of zoo {command}", word, _options(command))
        if command not in ("fit", "test"):
            raise ValueError(f"{name}: zoo {command} takes a recipe as it is; settings are for zoo fit and zoo test")
        if not equals:
            following = next(words, None)
            if following is None or following.startswith("--"):
                raise ValueError(f"{name} needs a value")
            value = following
        try:
            found[section][key] = yaml.safe_load(value)
        except yaml.YAMLError:
            found[section][key] = value
    return found


def _options(command: str) -> list[str]:
    parser = _parser()._subparsers._group_actions[0].choices[command]  # type: ignore[union-attr,index]
    options = [option for option in parser._option_string_actions if option.startswith("--")]
    return options + [f"--{section}.X" for section in SECTIONS if command in ("fit", "test")]


# ---- list and info: no torch ----


def _list(args: argparse.Namespace, _: Any) -> int:
    from rich.console import Console
    from rich.table import Table

    from zoo.recipes import list_recipes
    from zoo.results import table_rows

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
    from zoo.results import describe_result

    if "." not in args.name:
        _model_info(args.name)
        print("\nrecipes: " + (", ".join(list_recipes(f"{args.name}.*")) or "none"))
        return 0
    recipe = load_recipe(args.name)
    parts = {key: value for key, value in vars(recipe).items() if value and key != "name"}
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
    print(inspect.cleandoc(info["doc"]) + "\n\nsettings, as in --model.X V, and their defaults:")
    for key, default in info["parameters"].items():
        print(f"  {key} = {'required' if default is inspect.Parameter.empty else default}")


# ---- fit, test, predict, verify ----


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


def _table(title: str, rows: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, show_header=False, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for key, value in rows.items():
        table.add_row(key, f"{value:.4f}" if isinstance(value, float) else str(value))
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(table)


def _checkpoint(recipe: Recipe, choice: str) -> Path:
    """Return the path of a checkpoint; ``last`` and ``best`` are those of the newest run."""
    if choice not in ("last", "best"):
        path = Path(choice)
        if not path.is_file():
            raise FileNotFoundError(f"{choice}: no such checkpoint; `last` and `best` are those of the newest run")
        return path
    found = sorted(recipe.runs.glob(f"version_*/checkpoints/{choice}.ckpt"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise FileNotFoundError(f"no {choice} checkpoint under {recipe.runs}: `zoo fit {recipe.name}` makes one")
    return found[-1]


def _fit(args: argparse.Namespace, overrides: dict[str, dict[str, Any]]) -> int:
    from zoo.recipes import load_recipe

    recipe = load_recipe(args.recipe)
    resume = _checkpoint(recipe, args.ckpt_path) if args.ckpt_path else None
    own = resume is not None and resume.parent.name == "checkpoints" and recipe.runs in resume.parents
    run = resume.parent.parent if own and resume else recipe.new_run()
    _quiet()
    model, data, trainer = recipe.build(**overrides, seed=args.seed, run=run)
    if resume:
        from zoo.checkpoints import check_checkpoint

        check_checkpoint(resume, model)
    start = time.perf_counter()
    trainer.fit(model, data, ckpt_path=str(resume) if resume else None, weights_only=True)
    if trainer.interrupted:
        raise KeyboardInterrupt
    seconds = time.perf_counter() - start
    metrics = {name: float(value) for name, value in sorted(trainer.callback_metrics.items()) if name != "lr"}
    keeper = trainer.checkpoint_callback
    best = getattr(keeper, "best_model_path", "")
    if best:
        from zoo.checkpoints import load_checkpoint
        from zoo.verify import evaluate

        metrics = {f"{name} (last epoch)": value for name, value in metrics.items()}
        metrics[f"{model.monitor} (best epoch)"] = float(keeper.best_model_score)
        if not args.no_test:
            metrics.update(evaluate(load_checkpoint(type(model), best), data))
    rows: dict[str, Any] = {**metrics, "epochs": trainer.current_epoch, "time": f"{seconds:.1f} s"}
    _table(f"\n{recipe.name}", {**rows, **({"checkpoint": best} if best else {}), "logs": run})
    print(f"\nnext: tensorboard --logdir {recipe.runs.parent}")
    if best:
        print(f"      zoo test {recipe.name} --ckpt_path best")
    return 0


def _model_for(recipe: Recipe, ckpt_path: str | None) -> Any:
    """Return a recipe's model in evaluation mode: from a checkpoint, or with the shipped weights."""
    if ckpt_path:
        from zoo.checkpoints import load_checkpoint
        from zoo.registry import find_model

        return load_checkpoint(find_model(recipe.model["name"]).cls, _checkpoint(recipe, ckpt_path))
    from zoo.pretrained import load_weights

    return load_weights(recipe.name)


def _test(args: argparse.Namespace, overrides: dict[str, dict[str, Any]]) -> int:
    from zoo import pretrained
    from zoo.recipes import load_recipe
    from zoo.verify import measured

    recipe = load_recipe(args.recipe)
    if overrides["model"]:
        raise ValueError(
            f"--model.{next(iter(overrides['model']))}: the weights fix the model; test another with zoo fit"
        )
    _quiet()
    model = _model_for(recipe, args.ckpt_path)
    metrics = measured(recipe, model, recipe.datamodule(**overrides["data"]), **overrides["trainer"])
    of = args.ckpt_path or "the shipped weights"
    result = None if args.ckpt_path or recipe.is_file else pretrained.load_result(recipe.name)
    recorded = result["weights"]["metrics"] if result else {}
    rows = {
        name: f"{value:.4f}" + (f"   recorded {recorded[name]:.4f}" if name in recorded else "")
        for name, value in metrics.items()
    }
    _table(f"{recipe.name}, {of}", rows)
    if hasattr(model, "table"):
        print(f"\n{model.table()}")
    return 0


def _predict(args: argparse.Namespace, _: Any) -> int:
    from zoo.answers import answer, check_output, expand, in_words, plain, write_answers
    from zoo.recipes import load_recipe

    recipe = load_recipe(args.recipe)
    _quiet()
    model = _model_for(recipe, args.ckpt_path)
    if hasattr(model, "annotate"):
        return _annotate(model, args)
    if args.annotator or args.fs:
        raise ValueError(f"--annotator and --fs are for recordings, which {args.recipe} does not take")
    if getattr(model, "any_size", False):
        return _restore(model, args.inputs, args.output)
    data = recipe.datamodule()
    inputs = expand(args.inputs, data.endings)
    if args.output:
        check_output(args.output, model.output_formats, inputs)
    answers, failures = answer(model, data, inputs)
    if args.output:
        write_answers(args.output, answers, model.output_formats)
        print(f"{len(answers)} answers in {args.output}")
    else:
        width = max(len(row["input"]) for row in answers)
        for row in plain(answers):
            print(f"{row['input']:{width}}  {in_words(row)}")
    if failures:
        raise ValueError(f"{len(failures)} of {len(inputs)} inputs have no answer: {'; '.join(failures)}")
    return 0


def _restore(model: Any, inputs: list[str], output: str | None) -> int:
    """Restore pictures of any size into files."""
    from datamodules.photographs import WRITTEN, read_photograph
    from datamodules.pictures import PICTURE_ENDINGS
    from zoo.restoring import plan, restore_files

    start = time.perf_counter()
    jobs = plan(inputs, output, model.takes_mask, WRITTEN, PICTURE_ENDINGS)
    failures = restore_files(model, jobs, read_photograph)
    done = len(jobs) - len(failures)
    what = jobs[0].target if len(jobs) == 1 else f"{done} picture{'s' * (done != 1)} in {output}"
    print(f"{what}, {time.perf_counter() - start:.1f} s")
    if failures:
        raise ValueError(f"{len(failures)} of {len(jobs)} pictures are not restored: {'; '.join(failures)}")
    return 0


def _annotate(model: Any, args: argparse.Namespace) -> int:
    """Annotate the beats of recordings, into a folder if one is given."""
    from rich.console import Console

    from datamodules.beats import beats_of
    from datamodules.wfdb_records import order_leads, read_record
    from zoo.annotating import CAUTION, check_folder, summary, summary_table, write_annotation

    if args.output:
        check_folder(args.output)
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    for source in args.inputs:
        record = order_leads(read_record(source, args.annotator, args.fs))
        peaks = beats_of(record)[0] if args.annotator else None
        found = model.annotate(record.signal, record.fs, peaks, record.leads)
        console.print(summary_table(str(record.name), summary(found, record.fs, len(record.signal))))
        if args.output:
            print(", ".join(map(str, write_annotation(Path(args.output), str(record.name), record, found))))
    print(CAUTION)
    return 0


def _verify(args: argparse.Namespace, _: Any) -> int:
    from zoo.recipes import load_recipe
    from zoo.results import describe_result
    from zoo.verify import verify

    recipe = load_recipe(args.recipe)
    _quiet()
    result = verify(recipe, args.seeds, args.publish)
    print("\n" + describe_result(result))
    return 0 if all(claim["met"] for claim in result["claim"]) else 1


_COMMANDS = {"list": _list, "info": _info, "fit": _fit, "test": _test, "predict": _predict, "verify": _verify}
