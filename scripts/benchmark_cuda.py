"""The benchmark on a CUDA device: contenders take turns in one process, over data that are loaded once.

The zoo trains with logs, checkpoints and a progress bar, and without TensorBoard's pictures.

Heavy packages are imported inside the functions, because the parent process of ``benchmark.py`` imports this module.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from benchmark_common import (
    BATCH,
    CASES,
    OPTIMIZER,
    TEXT_RECIPE,
    TRAIN,
    build,
    durations,
    evaluate,
    now,
    tensors,
    timed_fit,
    to_unit,
    train,
)
from benchmark_contenders import batch_loop, network, usual

CAPTURED = ("denoising_autoencoder.mnist", "vae.mnist", "ecg_classifier.mitbih")
"""Recipes whose updates are timed with CUDA graphs and without."""
USUAL_SHARE = 16
"""Divisor of the number of rows of the usual pipeline, whose time an image is the same for all images."""
LOADED: dict[str, Any] = {}


def take_turns(job: dict[str, Any], contenders: dict[str, Callable[[], list[float]]]) -> dict[str, Any]:
    """Time contenders in turns, in reverse order in every second round.

    Args:
        job: Settings: ``rounds``, and ``budget``, seconds after the first round after which no third one begins.
        contenders: Functions by name that return the seconds of each epoch.

    Returns:
        The seconds of each round by contender under ``rounds``, and under ``errors`` what stopped a contender.
    """
    found: dict[str, list[list[float]]] = {name: [] for name in contenders}
    errors: dict[str, str] = {}
    end = 0.0
    for number in range(job["rounds"]):
        if number > 1 and time.perf_counter() > end:
            break
        for name in list(contenders)[:: -1 if number % 2 else 1]:
            if name in errors:
                continue
            try:
                found[name].append(contenders[name]())
            except Exception as error:
                errors[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        end = end or time.perf_counter() + job["budget"]  # the first round compiles, and loads what is missing
    return {"rounds": found, "errors": errors}


def loaded(recipe: dict[str, Any]) -> Any:
    """Return a recipe whose data are loaded once in a process."""
    from zoo.recipes import Recipe

    class Loaded(Recipe):
        """A recipe that keeps its data."""

        def datamodule(self, **args: Any) -> Any:
            key = json.dumps([self.data, args], sort_keys=True)
            if key not in LOADED:
                LOADED[key] = super().datamodule(**args)
            return LOADED[key]

    return Loaded(**recipe)


def without_pictures(trainer: Any) -> Any:
    """Return a trainer without the callbacks that draw in TensorBoard; logs, checkpoints and the bar stay."""
    from zoo.callbacks import FIGURES

    trainer.callbacks = [callback for callback in trainer.callbacks if not isinstance(callback, FIGURES)]
    return trainer


def fitted(job: dict[str, Any], recipe: dict[str, Any], **overrides: Any) -> Callable[[], list[float]]:
    """Return the function that trains a recipe anew, on data that are loaded once, and returns the seconds an epoch."""

    def epochs() -> list[float]:
        length = {"max_epochs": job["warm_up"] + job["epochs"] + 1}
        model, data, trainer = build(job, loaded(recipe), trainer=length, **overrides)
        return timed_fit(job, model, data, without_pictures(trainer))

    return epochs


def cuda_epoch(job: dict[str, Any]) -> dict[str, Any]:
    """Time the epochs of all contenders on one case."""
    import torch
    import torch.nn.functional as F

    case, device = CASES[job["case"]], job["device"]
    x, y = tensors(job)
    order = torch.randperm(len(x), device=x.device)
    rows, held_out = order[: job["train"]], order[TRAIN : TRAIN + job["val"]]
    (x, y), (x_val, y_val) = (x[rows], y[rows]), (x[held_out], y[held_out])

    def looped(net: Any, epoch: Callable[[], Any]) -> Callable[[], list[float]]:
        def epochs() -> list[float]:
            starts = [now(device)]
            for _ in range(job["warm_up"] + job["epochs"]):
                epoch()
                evaluate(net, x_val, y_val, to_unit)
                starts.append(now(device))
            return durations(starts, job["warm_up"])

        return epochs

    def hand_written() -> Callable[[], list[float]]:
        net = network(job)
        optimizer = torch.optim.Adam(net.parameters(), lr=OPTIMIZER["lr"], fused=True)
        return looped(net, lambda: train(net, optimizer, x, y, BATCH, to_unit))

    def compiled() -> Callable[[], list[float]]:
        net = network(job)
        optimizer = torch.optim.Adam(net.parameters(), lr=OPTIMIZER["lr"], fused=True)

        @torch.compile(mode="reduce-overhead", dynamic=False)
        def loss_of(images: Any, labels: Any) -> Any:
            return F.cross_entropy(net(to_unit(images)), labels)

        def epoch() -> float:
            net.train()
            total = torch.zeros((), device=x.device)
            for rows in torch.randperm(len(x), device=x.device).split(BATCH):
                torch.compiler.cudagraph_mark_step_begin()
                loss = loss_of(x.index_select(0, rows), y.index_select(0, rows))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.detach() * len(rows)
            return total.item() / len(x)

        return looped(net, epoch)

    def zoo(chunk: int, job: dict[str, Any] = job) -> Callable[[], list[float]]:
        recipe = {
            "name": f"{case.model}.benchmark",
            "model": {"name": case.model, "args": {**case.args, **OPTIMIZER}},
            "data": {"name": "mnist", "args": {"batch_size": BATCH, "batches_per_step": chunk}},
            "trainer": {},
        }
        return fitted(job, recipe)

    def piped() -> list[float]:
        few = {**job, "train": job["train"] // USUAL_SHARE, "val": job["val"] // USUAL_SHARE, "epochs": 1, "workers": 0}
        return [USUAL_SHARE * seconds for seconds in usual(few)["seconds"]]

    one_by_one = {**job, "epochs": min(2, job["epochs"])}
    contenders = {"loop": hand_written(), "zoo": zoo(case.chunk), "zoo_1": zoo(1, one_by_one), "usual": piped}
    if job["compile"]:
        contenders = {"compiled": compiled(), **contenders}
    return take_turns(job, contenders)


def cuda_captured(job: dict[str, Any]) -> dict[str, Any]:
    """Time the epochs of a shipped recipe with CUDA graphs and without, in both cases without pictures."""
    from zoo.recipes import load_recipe

    recipe = vars(load_recipe(job["recipe"]))
    graphs = {"captured": True, "eager": False}
    return take_turns(
        job, {name: fitted(job, recipe, model={"cuda_graphs": captured}) for name, captured in graphs.items()}
    )


def cuda_tokens(job: dict[str, Any]) -> dict[str, Any]:
    """Time the epochs of the translator and of a hand-written loop over the same batches."""
    from zoo.recipes import load_recipe

    recipe = vars(load_recipe(job["recipe"]))
    model, data, _ = build(job, loaded(recipe))
    batches = [batch for chunk in data.train_dataloader() for batch in chunk]
    precision = str(recipe["trainer"].get("precision", ""))
    loop = batch_loop({**job, "update": True}, model, batches, precision, job["rounds"])
    found = take_turns(job, {"zoo": fitted(job, recipe), "loop": loop})
    split = data.splits["train"]
    return {**found, "tokens": int(split.column(1).sum() + split.column(3).sum())}


def cuda_seconds(job: dict[str, Any]) -> dict[str, Any]:
    """Time a recipe from data in memory to its test, for several seeds.

    The first run of the process is apart, and so is a last one with TensorBoard's pictures.
    """
    from zoo.recipes import load_recipe

    recipe, runs = load_recipe(job["recipe"]), []
    for seed in (0, *range(job["seeds"]), 0):
        model, data, trainer = build(job, recipe, trainer=job.get("trainer", {}), seed=seed)
        trainer = without_pictures(trainer) if len(runs) <= job["seeds"] else trainer
        start = now(job["device"])
        trainer.fit(model, data)
        accuracy = trainer.test(model, data, verbose=False)[0]["test_accuracy"]
        runs.append({"seconds": [now(job["device"]) - start], "accuracy": accuracy, "recipe": recipe.name})
    return {"first": runs[0], "runs": runs[1:-1], "with_pictures": runs[-1]}


CUDA_JOBS = {job.__name__: job for job in (cuda_epoch, cuda_captured, cuda_tokens, cuda_seconds)}


class Turns:
    """The quantities that are measured on a CUDA device; each is a process whose contenders take turns.

    Args:
        bench: The runner of processes.
    """

    def __init__(self, bench: Any) -> None:
        self.bench, self.quick, self.rounds = bench, bench.args.quick, bench.args.rounds

    def keep(self, prefix: str, found: dict[str, Any], **more: Any) -> None:
        """Keep and print the results of a process."""
        for name, rounds in found["rounds"].items():
            if rounds:
                self.bench.results[f"{prefix}/{name}"] = [{"seconds": seconds, **more} for seconds in rounds]
                each = ", ".join(f"{sorted(seconds)[len(seconds) // 2]:.3f}" for seconds in rounds)
                print(f"{prefix}/{name:12s} {each} s an epoch", flush=True)
        for name, error in found["errors"].items():
            print(f"{prefix}/{name:12s} {error}", flush=True)
        self.bench.save()

    def call(self, name: str, **job: Any) -> dict[str, Any]:
        """Run a job in a process of its own; one that fails, such as for want of data, ends no other."""
        try:
            return self.bench.call(name, **job)
        except RuntimeError as error:
            return {"rounds": {}, "errors": {name: str(error)}, "runs": [], "tokens": 0}

    def job(self, budget: int, epochs: int) -> dict[str, Any]:
        """Return the settings of a process with a budget of seconds."""
        return {"rounds": self.rounds, "budget": budget, "warm_up": 1, "epochs": 1 if self.quick else epochs}

    def epoch(self) -> None:
        """Time the epochs of four cases."""
        for case in ("logistic_regression", "mlp", "lenet5", "cnn"):
            job = {**self.job(10, 4), **self.bench.rows(), "case": case, "compile": not self.quick}
            self.keep(f"epoch/{case}", self.call(case, job="cuda_epoch", **job))

    def captured(self) -> None:
        """Time recipes with CUDA graphs and without."""
        for recipe in CAPTURED:
            rows = {key: size // 16 for key, size in self.bench.rows().items()} if self.quick else {}
            found = self.call(recipe, job="cuda_captured", recipe=recipe, **self.job(5, 3), **rows)
            self.keep(f"captured/{recipe}", found)

    def tokens(self) -> None:
        """Time the translator on a part of its sentence pairs."""
        rows = {"train": 1_000 if self.quick else 16_384, "val": BATCH}
        found = self.call(TEXT_RECIPE, job="cuda_tokens", recipe=TEXT_RECIPE, **self.job(10, 2), **rows)
        self.keep("tokens", found, tokens=found["tokens"])

    def accuracy(self) -> None:
        """Time the training to 99 % accuracy on MNIST and the test, from data in memory."""
        recipe, seeds = self.bench.args.recipe, 1 if self.quick else 5
        found = self.call(recipe, job="cuda_seconds", recipe=recipe, seeds=seeds)
        if not found["runs"]:
            self.keep("accuracy", found)
            return
        self.bench.results["accuracy/zoo"] = found["runs"]
        self.bench.save()
        for run in found["runs"]:
            print(f"accuracy/zoo {run['seconds'][0]:.3f} s, accuracy {run['accuracy']:.4f}", flush=True)
        for name, key in (("first run of the process", "first"), ("with pictures", "with_pictures")):
            print(f"{name}, not counted: {found[key]['seconds'][0]:.3f} s", flush=True)


CUDA_QUANTITIES = ("accuracy", "epoch", "captured", "tokens")
