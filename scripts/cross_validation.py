"""Cross-validate a recipe of beats over the patients of DS1, and count every beat once.

    python scripts/cross_validation.py ecg_classifier.mitbih
    python scripts/cross_validation.py ecg_classifier.mitbih --model.balance 0.3 --trainer.max_epochs 4 --output cv.json
    python scripts/cross_validation.py ecg_classifier.mitbih --smoothing_bandwidth 0 0.04 0.05 0.06

Each fold trains on the records of the others and is validated on its own after every epoch. A fold's few patients are
noise, and some folds have hardly a fusion beat: the folds' confusion matrices are added up, epoch by epoch, and scored
as one; of an autoencoder, the areas under the ROC curve are averaged over folds. ``smoothing_bandwidth`` changes no
weight, so the last epoch is scored with several values of it. DS2 stays closed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

SHOWN = ("macro_f1", "n_f1", "s_f1", "v_f1", "f_f1", "q_f1", "accuracy", "jk_index")
AREAS = ("auc", "abnormal_auc")


def overrides(words: list[str]) -> dict[str, dict[str, Any]]:
    """Read ``--model.x V`` pairs into arguments by section."""
    import yaml

    found: dict[str, dict[str, Any]] = {"model": {}, "data": {}, "trainer": {}}
    for name, value in zip(words[::2], words[1::2], strict=True):
        section, _, key = name.removeprefix("--").partition(".")
        found[section][key] = yaml.safe_load(value)
    return found


def cross_validate(
    name: str, folds: int, seed: int, changed: dict[str, dict[str, Any]], widths: list[float]
) -> tuple[list[dict[str, float]], dict[str, dict[str, float]]]:
    """Return the scores of all folds together after each epoch, and after the last by each of the widths."""
    import lightning as L
    import torch

    from zoo.metrics import ec57_scores
    from zoo.recipes import load_recipe

    class Folds(L.Callback):
        """Gathers what the folds measure after each epoch: confusion matrices, or areas under the curve."""

        def __init__(self) -> None:
            self.by_epoch: dict[int, list[torch.Tensor]] = {}
            self.by_width: dict[str, list[torch.Tensor]] = {}

        def on_validation_end(self, trainer: L.Trainer, model: Any) -> None:
            if "ec57" in model.metrics["val"].metrics:
                found = model.metrics["val"]["ec57"].matrices.sum(0)
            else:
                found = torch.stack([trainer.callback_metrics[f"val_{name}"] for name in AREAS]).cpu()
            if trainer.state.fn == "validate":
                self.by_width.setdefault(str(model.hparams["smoothing_bandwidth"]), []).append(found)
            else:
                self.by_epoch.setdefault(trainer.current_epoch, []).append(found)

    gathered = Folds()
    for fold in range(folds):
        quiet = {"enable_checkpointing": False, "logger": False, "enable_model_summary": False}
        model, data, trainer = load_recipe(name).build(
            seed=seed,
            model=changed["model"],
            data={**changed["data"], "folds": folds, "fold": fold, "train_on_all": False},
            trainer={**changed["trainer"], **quiet, "callbacks": [gathered], "enable_progress_bar": False},
        )
        trainer.fit(model, data)
        print(f"fold {fold}: {model.monitor} {float(trainer.callback_metrics[model.monitor]):.3f}", flush=True)
        for width in widths:
            model.hparams["smoothing_bandwidth"] = width
            trainer.validate(model, data, verbose=False)

    def together(found: list[torch.Tensor]) -> dict[str, float]:
        if "ec57" not in model.metrics["val"].metrics:
            return dict(zip(AREAS, torch.stack(found).mean(0).tolist()))
        scores = ec57_scores(torch.stack(found).sum(0))
        return {name: float(scores[name]) for name in SHOWN}

    by_width = {width: together(found) for width, found in gathered.by_width.items()}
    return [together(found) for found in gathered.by_epoch.values()], by_width


def described(args: argparse.Namespace, changed: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return all that a run depends on, the recipe's own settings among it."""
    from zoo.recipes import load_recipe

    recipe = load_recipe(args.recipe)
    own = {"model": recipe.model.get("args", {}), "data": recipe.data.get("args", {}), "trainer": recipe.trainer}
    settings = {section: {**own[section], **changed[section]} for section in own}
    settings["data"]["train_on_all"] = False
    return {"recipe": args.recipe, "label": args.label, "folds": args.folds, "seed": args.seed, **settings}


def main(argv: list[str] | None = None) -> int:
    """Run the command line."""
    import logging
    import warnings

    parser = argparse.ArgumentParser(description="Cross-validate a recipe of beats over the patients of DS1.")
    parser.add_argument("recipe")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--smoothing_bandwidth", type=float, nargs="*", default=[], help="bandwidths to score the last epoch with too"
    )
    parser.add_argument("--label", default="", help="what this run is called in the file")
    parser.add_argument("--output", type=Path, help="JSON file, to which this run is added")
    args, rest = parser.parse_known_args(argv)
    warnings.simplefilter("ignore")
    import lightning  # noqa: F401  it sets its loggers' levels when it is imported

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    changed = overrides(rest)
    if args.smoothing_bandwidth and "smoothing_bandwidth" not in described(args, changed)["model"]:
        parser.error(f"--smoothing_bandwidth: {args.recipe} has no such setting; leave it out")
    history, by_width = cross_validate(args.recipe, args.folds, args.seed, changed, args.smoothing_bandwidth)
    lines = {str(epoch): scores for epoch, scores in enumerate(history, 1)}
    lines.update({f"bandwidth {width}": scores for width, scores in by_width.items()})
    print(f"{'epoch':12s}" + "  ".join(f"{name:>12s}" for name in history[0]))
    for name, scores in lines.items():
        print(f"{name:12s}" + "  ".join(f"{value:12.4f}" for value in scores.values()))
    if args.output:
        runs = json.loads(args.output.read_text()) if args.output.exists() else []
        runs.append(
            {**described(args, changed), "epochs": history, **({"smoothing_bandwidth": by_width} if by_width else {})}
        )
        args.output.write_text(json.dumps(runs, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
