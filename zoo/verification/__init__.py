"""Verification: train a recipe from scratch over its seeds, evaluate it, and compare it with its claim."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import pretrained
from zoo.errors import unknown
from zoo.files import write_atomically
from zoo.recipes import Recipe
from zoo.recipes.claims import judge, mean_std

if TYPE_CHECKING:
    from zoo.baselines.measurement import Measurement

VERSIONS = ("torch", "lightning", "torchvision", "scikit-learn", "numpy", "lightning-zoo")
OF_EXTRAS = ("nltk", "pycocoevalcap", "sacrebleu", "scikit-image", "tokenizers", "wfdb")
"""Packages of the extras, whose versions are recorded if they are installed."""


def evaluate(model: Any, data: Any, trainer: dict[str, Any] | None = None) -> dict[str, float]:
    """Return the test metrics of a model, in full precision unless ``trainer`` says otherwise.

    Args:
        model: The model.
        data: Its datamodule.
        trainer: Arguments of Lightning's ``Trainer``.

    Raises:
        ValueError: If an argument of the trainer is unknown or of the wrong type.
    """
    import lightning as L

    from zoo.arguments import check_arguments
    from zoo.building import refusing
    from zoo.training.interrupts import lightning_interrupts

    quiet = {"devices": 1, "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    settings = check_arguments("the trainer", L.Trainer, {**quiet, **(trainer or {})})
    with refusing("the trainer", trainer or {}):
        tester = L.Trainer(**settings)
    with lightning_interrupts():
        metrics = tester.test(model, datamodule=data, verbose=False)[0]
    return {name: float(value) for name, value in metrics.items()}


def evaluate_recipe(recipe: Recipe, model: Any, data: Any, trainer: dict[str, Any] | None = None) -> Measurement:
    """Return the test metrics of a model, the further measures of its recipe, and their reports.

    Args:
        recipe: The recipe that names the further measures.
        model: The model.
        data: Its datamodule.
        trainer: Arguments of Lightning's ``Trainer``.
    """
    from zoo.baselines import measure
    from zoo.baselines.measurement import Measurement

    metrics, reports = evaluate(model, data, trainer), [model.report()]
    model.cpu().eval()
    for name in recipe.measures:
        found = measure("measure", name, model, data)
        metrics.update(found.metrics)
        reports.append(found.report)
    return Measurement(metrics, "\n\n\n".join(filter(None, reports)))


def _train(recipe: Recipe, seed: int, folder: Path) -> dict[str, Any]:
    """Train and evaluate one seed, resuming from its last checkpoint if there is one."""
    from zoo.baselines import measure
    from zoo.recipes.fit import fit_recipe

    last = folder / "checkpoints" / "last.ckpt"
    quiet = {"trainer": {"enable_model_summary": False}}
    resume = last if last.exists() else None
    fit = fit_recipe(recipe, seed=seed, run=folder, resume=resume, overrides=quiet, accept_finished=True)
    model, data = fit.model, fit.data
    metrics = evaluate_recipe(recipe, model, data).metrics
    own = [name for name in recipe.baselines if "." not in name]
    baselines = {name: measure("baseline", name, model, data).metrics for name in own}
    done: dict[str, Any] = {"metrics": metrics, "baselines": baselines, "seconds": fit.seconds}
    if seed == 0:
        storage = "float16" if recipe.shipped_weights == "none" else recipe.shipped_weights
        sha256 = pretrained.save_weights(recipe.title, recipe.model["name"], model, folder.parent, storage)
        shipped = evaluate(pretrained.load_weights(recipe.title, folder.parent), data)
        done["weights"] = {"seed": 0, "metrics": shipped, "sha256": sha256}
        done["rows"] = {name: len(split.groups) for name, split in data.splits.items()}
        done["data_sha256"] = data.sha256()
    return done


def verify(recipe: Recipe, seeds: int | None = None, publish: bool = False, say: Any = print) -> dict[str, Any]:
    """Train a recipe over its seeds and evaluate it on the test split.

    Finished seeds are kept under ``runs/verify/<recipe>/<configuration>/``, and an interrupted one resumes from its
    last checkpoint. Each configuration that is evaluated counts as one opening of the test split.

    Args:
        recipe: What to train.
        seeds: Number of seeds, 0 to ``seeds - 1``; the recipe's own if None.
        publish: Whether the result and the weights of seed 0 are written into the package's source tree; the result
            alone, and older weights are removed, where the recipe's ``shipped_weights`` is ``none``.
        say: Function that is called with each line of progress.

    Returns:
        The content of the result file.

    Raises:
        ValueError: If ``seeds`` is not positive, or fewer than the recipe's are to be published.
    """
    seeds = recipe.seeds if seeds is None else seeds
    if seeds < 1:
        raise ValueError(f"seeds must be at least 1, not {seeds}")
    if publish and seeds < recipe.seeds:
        raise ValueError(f"{recipe.name} is published over its {recipe.seeds} seeds, not over {seeds}")
    if publish and recipe.is_file:
        raise ValueError(f"{recipe.name} is a file of your own: only recipes of the package are published")
    for name in recipe.baselines:
        if "." in name and pretrained.load_result(name) is None:
            raise ValueError(f"baseline {name} is not published yet: `zoo verify {name} --publish` first")
    check_rivals(recipe)
    published = pretrained.load_result(recipe.name)
    folder = recipe.verified
    home = folder.parent
    runs = []
    for seed in range(seeds):
        path = folder / f"seed_{seed}.json"
        if not path.exists():
            say(f"{recipe.name}: seed {seed} of {seeds}, about {recipe.minutes:g} min")
            done = _train(recipe, seed, folder / f"seed_{seed}")
            write_atomically(path, json.dumps(done, indent=1).encode())
            shutil.rmtree(folder / f"seed_{seed}" / "checkpoints", ignore_errors=True)
        runs.append(_read_seed(path))
    first = runs[0]
    if published and published["data_sha256"] != first["data_sha256"]:
        say(f"{recipe.name}: these data are not those of the published result (sha256 {first['data_sha256'][:12]}...)")
    opened = sorted({*_openings(home), *(published or {}).get("configurations", [])})
    metrics = {name: mean_std([run["metrics"][name] for run in runs]) for name in first["metrics"]}
    baselines = {
        method: {name: mean_std([run["baselines"][method][name] for run in runs]) for name in values}
        for method, values in first["baselines"].items()
    }
    baselines.update({name: _published(name, first["data_sha256"]) for name in recipe.baselines if "." in name})
    result = {
        "recipe": recipe.name,
        "metrics": metrics,
        "seeds": seeds,
        "weights": first["weights"],
        "baselines": baselines,
        "protocol": _protocol(first["rows"], recipe.data.get("args", {}).get("train_on_all", False)),
        "note": recipe.note,
        "test_opened": len(opened),
        "configurations": opened,
        "claim": [{**claim.to_dict(), **judge(claim, metrics, baselines)} for claim in recipe.claim],
        "seconds": mean_std([run["seconds"] for run in runs])["mean"],
        "device": _device(),
        "versions": _versions(),
        "data_sha256": first["data_sha256"],
        "commit": _commit(),
    }
    pretrained.save_result(recipe.title, result, home)
    if publish:
        pretrained.hparams_path(recipe.name).unlink(missing_ok=True)  # the new weights have all hyper-parameters
        shipped = pretrained.weights_path(recipe.name)
        if recipe.shipped_weights == "none":
            shipped.unlink(missing_ok=True)
        else:
            write_atomically(shipped, pretrained.weights_path(recipe.name, folder).read_bytes())
        pretrained.save_result(recipe.name, result)
    return result


def _read_seed(path: Path) -> dict[str, Any]:
    """Return what was measured with a seed."""
    try:
        done = json.loads(path.read_text())
        wanted = {"metrics", "baselines", "seconds"} | (
            {"weights", "rows", "data_sha256"} if path.stem == "seed_0" else set()
        )
        if not wanted <= set(done):
            raise ValueError(f"it lacks {', '.join(sorted(wanted - set(done)))}")
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}): remove it, and this seed is trained anew") from None
    return done


def check_rivals(recipe: Recipe) -> None:
    """Raise ``ValueError`` for a baseline or a measure of a recipe that there is not."""
    from zoo.baselines import BASELINES, MEASURES

    named = {"baselines": ("baseline", BASELINES), "measures": ("measure", MEASURES)}
    for section, (kind, known) in named.items():
        for name in getattr(recipe, section):
            if name not in known and not (section == "baselines" and "." in name):
                raise ValueError(f"{recipe.name}: section {section!r}: {unknown(kind, name, known)}")


def _protocol(rows: dict[str, int], train_on_all: bool) -> str:
    """Describe the rows of training, validation and test, and which checkpoint was kept."""
    chosen = "none set aside" if train_on_all else f"{rows['val']} to choose on"
    kept = "the last epoch" if train_on_all else "the best checkpoint on validation"
    return (
        f"{rows['train']} rows trained on, {chosen}, {rows['test']} tested once per frozen configuration; "
        f"mean over seeds, {kept} of each"
    )


def _published(recipe: str, data_sha256: str) -> dict[str, Any]:
    """Return the published metrics of another recipe on the same data."""
    result = pretrained.load_result(recipe)
    if result is None or result["data_sha256"] != data_sha256:
        raise ValueError(
            f"baseline {recipe} was measured on other data: `zoo verify {recipe} --publish` on these first"
        )
    return result["metrics"]


def _openings(home: Path) -> list[str]:
    """Return the configurations of a recipe that were evaluated in this folder."""
    return [path.name for path in home.glob("*") if any(path.glob("seed_*.json"))]


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"


def _versions() -> dict[str, str]:
    import importlib.metadata
    import importlib.util

    installed = {name for name in OF_EXTRAS if importlib.util.find_spec(name.replace("scikit-image", "skimage"))}
    found = {name: importlib.metadata.version(name) for name in (*VERSIONS, *sorted(installed))}
    return {"python": platform.python_version(), **found}


def _commit() -> str | None:
    """Return the commit of the source tree, with a + if it has been changed since; None outside one."""
    here = Path(__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + (
            "+" if git("status", "--porcelain", "--", "*.py", "*.yaml") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return None
