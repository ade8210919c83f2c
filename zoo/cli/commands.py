"""What each command of ``zoo`` does."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from zoo.cli.screen import quiet, say, show_table
from zoo.errors import unknown


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


def _fit(args: argparse.Namespace, overrides: dict[str, dict[str, Any]]) -> int:
    from zoo.recipes import load_recipe
    from zoo.recipes.fit import fit_recipe
    from zoo.verification import evaluate

    recipe = load_recipe(args.recipe)
    resume = recipe.find_checkpoint(args.ckpt_path) if args.ckpt_path else None
    run = recipe.run_of(resume) if resume else None
    quiet()
    options = {"resume": resume, "overrides": overrides, "histograms": args.histograms, "say": say}
    fit = fit_recipe(recipe, seed=args.seed, run=run, start=args.start, **options)
    rows: dict[str, Any] = {
        f"{name.removeprefix('best_')} ({'best' if name.startswith('best_') else 'last'} epoch)": value
        for name, value in fit.metrics.items()
    }
    if fit.checkpoint and not args.no_test:
        rows.update(evaluate(fit.model, fit.data))
    rows |= {"epochs": fit.epochs, "time": f"{fit.seconds:.1f} s"}
    show_table(
        f"\n{recipe.name}", {**rows, **({"checkpoint": fit.checkpoint} if fit.checkpoint else {}), "logs": fit.run}
    )
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
    quiet()
    if args.annotator is not None:
        from zoo.prediction.ecg_scoring import score_settings

        found = score_settings(recipe.name, args.ckpt_path, args.annotator, overrides)
    else:
        model, data = load_trained(recipe, args.ckpt_path, overrides["data"])
        found = evaluate_recipe(recipe, model, data, overrides["trainer"])
    recorded = recipe if args.ckpt_path is None and args.annotator is None else None
    own = "the weights of zoo verify" if recipe.shipped_weights == "none" else "the shipped weights"
    show_table(f"{recipe.name}, {args.ckpt_path or own}", metric_rows(found.metrics, recorded))
    if found.report:
        print(f"\n{found.report}")
    return 0


def _predict(args: argparse.Namespace, _: Any) -> int:
    from rich.console import Console

    from zoo.prediction import OPTIONS, load_model, predict_inputs, refuse_overwriting
    from zoo.prediction.live import answer_lines

    quiet()
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
    quiet()
    result = verify(recipe, args.seeds, args.publish)
    print("\n" + describe_result(result))
    return 0 if all(claim["met"] for claim in result["claim"]) else 1


def _tune(args: argparse.Namespace, overrides: dict[str, dict[str, Any]]) -> int:
    from zoo.tuning.command import run_tune

    quiet()
    return run_tune(args, overrides)


def _export(args: argparse.Namespace, _: Any) -> int:
    from zoo.sharing.exporting import run_export

    quiet()
    return run_export(args)


def _card(args: argparse.Namespace, _: Any) -> int:
    from pathlib import Path

    from zoo.files import check_outputs, write_atomically
    from zoo.sharing.cards import model_card

    quiet()
    if args.output is not None:
        check_outputs(args.output, [("the card", Path(args.output))], [args.source])
    card = model_card(args.source)
    if args.output is None:
        print(card, end="")
    else:
        write_atomically(Path(args.output), card.encode())
    return 0


def _push(args: argparse.Namespace, _: Any) -> int:
    import logging

    from zoo.sharing.hub import push_to_hub

    quiet()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # an error is one line
    options = {"private": args.private or None, "revision": args.revision, "storage": args.storage}
    print(push_to_hub(args.source, args.repository, **options))
    return 0


def _completion(args: argparse.Namespace, _: Any) -> int:
    from zoo.cli.completion import shell_code

    print(shell_code(args.shell))
    return 0


COMMANDS = {
    "list": _list,
    "info": _info,
    "fit": _fit,
    "test": _test,
    "predict": _predict,
    "verify": _verify,
    "tune": _tune,
    "export": _export,
    "card": _card,
    "push": _push,
    "completion": _completion,
}
"""Functions by command; each takes the options and the settings by section, and returns the exit status."""
