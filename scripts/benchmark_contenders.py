"""Contenders of ``benchmark.py``, each of which runs in a worker process of its own.

A contender is a function that takes a job, a dictionary of settings, and returns its measurements. Heavy packages are
imported inside the functions, because the parent process imports this module too.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmark_common import (
    BATCH,
    CASES,
    EVALUATION_BATCH,
    OPTIMIZER,
    TEXT_RECIPE,
    TRAIN,
    VAL,
    build,
    durations,
    evaluate,
    now,
    peak_mib,
    tensors,
    timed_fit,
    to_unit,
    train,
)

L2, TOLERANCE = 1e-3, 1e-3
"""Penalty of the logistic regression, and the tolerated excess over the validation loss of its converged optimum."""
CONVEX = {"optimizer": "adam", "lr": 3e-3, "schedule": "cosine", "weight_decay": L2}
CONVEX_BATCH, CONVEX_EPOCHS = 256, 4
"""Optimizer, batch size and epochs with which the zoo meets the tolerance, chosen on the validation rows."""


def prepare(job: dict[str, Any]) -> dict[str, Any]:
    """Locate the data and save the networks, so that the hand-written loops do not import Lightning."""
    import torch
    from torchvision.datasets import MNIST

    import zoo
    from datamodules import MNISTDataModule

    data = MNISTDataModule()
    data.prepare_data()
    MNIST(data.root, download=True)  # unpacks the files if necessary
    for name, case in CASES.items():
        torch.manual_seed(0)
        model = zoo.create_model(case.model, **case.args, mean=data.spec["mean"], std=data.spec["std"])
        torch.save(model.net, Path(job["folder"]) / f"{name}.pt")
    versions = {name: __import__(name).__version__ for name in ("torch", "torchvision", "lightning", "sklearn")}
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"root": str(data.root), "versions": versions, "threads": torch.get_num_threads(), "gpu": gpu}


def network(job: dict[str, Any]) -> Any:
    """Load a saved network without importing Lightning.

    Raises:
        ValueError: If the file refers to a class outside ``torch.nn`` and ``zoo.nn``.
    """
    import importlib

    import torch

    path = Path(job["folder"]) / f"{job['case']}.pt"
    layers = []
    for name in torch.serialization.get_unsafe_globals_in_checkpoint(path):
        module, _, attribute = name.rpartition(".")
        if not module.startswith(("torch.nn.", "zoo.nn.")):
            raise ValueError(f"{path} holds {name}, which is no layer")
        layers.append(getattr(importlib.import_module(module), attribute))
    with torch.serialization.safe_globals(layers):
        return torch.load(path, weights_only=True).to(job["device"])


def loop(job: dict[str, Any]) -> dict[str, Any]:
    """Time epochs of a hand-written loop over tensors in memory."""
    import torch
    import torchvision  # noqa: F401  imported before the memory of the imports is measured

    net = network(job)
    imports = peak_mib()
    x, y = tensors(job)
    order = torch.randperm(len(x), device=x.device)
    rows, held_out = order[: job["train"]], order[TRAIN : TRAIN + job["val"]]
    (x, y), (x_val, y_val) = (x[rows], y[rows]), (x[held_out], y[held_out])
    optimizer = torch.optim.Adam(net.parameters(), lr=OPTIMIZER["lr"], fused=True)
    starts = [now(job["device"])]
    for _ in range(job["warm_up"] + job["epochs"]):
        train(net, optimizer, x, y, BATCH, to_unit)
        evaluate(net, x_val, y_val, to_unit)
        starts.append(now(job["device"]))
    return {"seconds": durations(starts, job["warm_up"]), "imports_mib": imports}


def usual(job: dict[str, Any]) -> dict[str, Any]:
    """Time epochs of the usual pipeline, which converts each image to a tensor separately."""
    import torch
    import torch.nn.functional as F
    from torch.utils.data import DataLoader, random_split
    from torchvision import transforms
    from torchvision.datasets import MNIST

    net, device = network(job), job["device"]
    data = MNIST(job["root"], train=True, transform=transforms.ToTensor())
    sizes = [job["train"], job["val"], len(data) - job["train"] - job["val"]]
    settings = {"num_workers": job["workers"], "pin_memory": device == "cuda"}
    parts = random_split(data, sizes)
    loader = DataLoader(parts[0], BATCH, shuffle=True, **settings)
    optimizer = torch.optim.Adam(net.parameters(), lr=OPTIMIZER["lr"], fused=True)

    def update(images: Any, labels: Any) -> float:
        loss = F.cross_entropy(net(images.to(device)), labels.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item() * len(images)

    for batch in itertools.islice(loader, 20):  # a few batches are enough for the warm-up
        update(*batch)
    starts = [now(device)]
    for _ in range(job["epochs"]):
        net.train()
        sum(update(images, labels) for images, labels in loader)
        net.eval()
        with torch.no_grad():
            for images, labels in DataLoader(parts[1], EVALUATION_BATCH, **settings):
                scores, labels = net(images.to(device)), labels.to(device)
                F.cross_entropy(scores, labels).item(), (scores.argmax(1) == labels).sum().item()
        starts.append(now(device))
    return {"seconds": durations(starts, 0)}


def zoo(job: dict[str, Any]) -> dict[str, Any]:
    """Time epochs of a recipe trained by Lightning's Trainer."""
    from torch.utils import tensorboard  # noqa: F401

    import datamodules  # noqa: F401

    imports = peak_mib()
    case = CASES[job["case"]]
    model, data, trainer = build(
        job,
        {
            "name": f"{case.model}.benchmark",
            "model": {"name": case.model, "args": {**case.args, **OPTIMIZER}},
            "data": {"name": "mnist", "args": {"batch_size": BATCH, "batches_per_step": job["chunk"]}},
            "trainer": {"max_epochs": job["warm_up"] + job["epochs"] + 1},
        },
    )
    return {"seconds": timed_fit(job, model, data, trainer), "imports_mib": imports}


def shipped(job: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Build a shipped recipe on the first rows of its training split."""
    from zoo.recipes import load_recipe

    recipe = vars(load_recipe(job["recipe"]))
    epochs = job["warm_up"] + job["epochs"] + 1
    return build(job, {**recipe, "trainer": {**recipe["trainer"], "max_epochs": epochs}})


def recipe_zoo(job: dict[str, Any]) -> dict[str, Any]:
    """Time epochs of a shipped recipe, and count the tokens of the pairs if it is the translator."""
    model, data, trainer = shipped(job)
    split = data.splits["train"]
    tokens = int(split.column(1).sum() + split.column(3).sum()) if job["recipe"] == TEXT_RECIPE else 0
    return {"seconds": timed_fit(job, model, data, trainer), "tokens": tokens}


def recipe_loop(job: dict[str, Any]) -> dict[str, Any]:
    """Time a hand-written loop over the batches of a recipe, which are collected beforehand.

    If the job's ``update`` is False, the loop runs the forward and backward passes and does not update the weights.
    """
    from zoo.training.malloc import keep_freed_memory

    keep_freed_memory()
    model, data, trainer = shipped(job)
    batches = [batch for chunk in data.train_dataloader() for batch in chunk]
    return {"seconds": batch_loop(job, model, batches, str(trainer.precision))()}


def batch_loop(
    job: dict[str, Any], model: Any, batches: list[Any], precision: str, rounds: int = 1
) -> Callable[[], list[float]]:
    """Return the function that times a round of epochs of a hand-written loop over batches.

    Args:
        job: Settings of the job; unless ``update`` is True the weights are not updated.
        model: The model, whose ``step`` computes the loss.
        batches: The batches.
        precision: Precision of the recipe's trainer.
        rounds: Number of rounds, over all of which the learning rate is annealed.
    """
    import torch

    device, args = torch.device(job["device"]), model.hparams
    batches = [tuple(part.to(device) for part in batch) for batch in batches]
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args["lr"], weight_decay=args["weight_decay"], fused=True)
    steps = len(batches) * (job["warm_up"] + job["epochs"]) * rounds
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args["lr"], total_steps=steps + 1)

    def epochs() -> list[float]:
        starts = [now(job["device"])]
        for _ in range(job["warm_up"] + job["epochs"]):
            for batch in batches:
                with torch.autocast(device.type, torch.bfloat16, enabled=precision.startswith("bf16")):
                    loss = model.step(batch)["loss"]
                optimizer.zero_grad()
                loss.backward()
                if job["update"]:
                    if args.get("clip_norm"):
                        torch.nn.utils.clip_grad_norm_(model.parameters(), args["clip_norm"])
                    optimizer.step()
                    schedule.step()
            starts.append(now(job["device"]))
        return durations(starts, job["warm_up"])

    return epochs


def example(job: dict[str, Any]) -> dict[str, Any]:
    """Train and test the network of PyTorch's MNIST example with its schedule, in a loop over tensors.

    If the job's ``choose`` is True, the last rows of the training split replace the test split, and the training stops
    at 99 % accuracy.
    """
    import torch
    from torch import nn

    torch.manual_seed(job["seed"])
    (x, y), (x_test, y_test), device = tensors(job), tensors(job, train=False), job["device"]
    x, y = x[: job["train"]], y[: job["train"]]
    if job["choose"]:
        (x, y), (x_test, y_test) = (x[:-VAL], y[:-VAL]), (x[-VAL:], y[-VAL:])
    start, history = now(device), []
    features = [nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25)]
    head = [nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10)]
    net = nn.Sequential(*features, *head).to(device)
    optimizer = torch.optim.Adadelta(net.parameters(), lr=1.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.7)

    def normalise(x: Any) -> Any:
        return x.float().div_(255).sub_(0.1307).div_(0.3081)

    for epoch in range(job["epochs"]):
        train(net, optimizer, x, y, 64, normalise)
        schedule.step()
        if job["choose"] or epoch + 1 == job["epochs"]:
            history.append(evaluate(net, x_test, y_test, normalise)[1])
        if job["choose"] and history[-1] >= 0.99:
            break
    return {"seconds": [now(device) - start], "accuracy": history[-1], "history": history}


def fast(job: dict[str, Any]) -> dict[str, Any]:
    """Train and test a recipe."""
    from zoo.recipes import load_recipe

    recipe = vars(load_recipe(job["recipe"]))
    if job["epochs"]:
        recipe = {**recipe, "trainer": {**recipe["trainer"], "max_epochs": job["epochs"]}}
    model, data, trainer = build(job, recipe)
    start = now(job["device"])
    trainer.fit(model, data)
    accuracy = trainer.test(model, data, verbose=False)[0]["test_accuracy"]
    return {"seconds": [now(job["device"]) - start], "accuracy": accuracy, "recipe": recipe["name"]}


def convex_arrays(job: dict[str, Any]) -> list[Any]:
    """Return the standardized training and validation arrays of the zoo's split, in float32."""
    from datamodules import MNISTDataModule

    data, arrays = MNISTDataModule(), []
    for split in ("train", "val"):
        x, y = data.arrays(split)
        arrays += [(x[: job[split]] - data.spec["mean"]) / data.spec["std"], y[: job[split]]]
    return [array.astype("float32") if array.ndim == 2 else array for array in arrays]


def lbfgs(arrays: list[Any], iterations: int) -> tuple[float, float]:
    """Fit scikit-learn's logistic regression and return the seconds and the validation loss."""
    import warnings

    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    x, y, x_val, y_val = arrays
    model = LogisticRegression(C=1 / (len(x) * L2), max_iter=iterations, tol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a convergence warning is expected: the iterations are limited on purpose
        start = time.perf_counter()
        model.fit(x, y)
        seconds = time.perf_counter() - start
    return seconds, float(log_loss(y_val, model.predict_proba(x_val)))


def convex_plan(job: dict[str, Any]) -> dict[str, Any]:
    """Return the target validation loss and the fewest iterations with which L-BFGS reaches it."""
    arrays = convex_arrays(job)
    target = lbfgs(arrays, job["converged"])[1] + TOLERANCE
    low, high = 0, 16
    while lbfgs(arrays, high)[1] > target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if lbfgs(arrays, middle)[1] <= target else (middle, high)
    return {"target": target, "iterations": high}


def sklearn(job: dict[str, Any]) -> dict[str, Any]:
    """Time scikit-learn's logistic regression to the target loss."""
    seconds, loss = lbfgs(convex_arrays(job), job["iterations"])
    return {"seconds": [seconds], "val_loss": loss}


def convex(job: dict[str, Any]) -> dict[str, Any]:
    """Time the zoo to the target loss, including the Trainer's start, validation, logging and checkpoints."""
    recipe = {
        "name": "logistic_regression.benchmark",
        "model": {"name": "logistic_regression", "args": CONVEX},
        "data": {"name": "mnist", "args": {"batch_size": CONVEX_BATCH, "batches_per_step": 16}},
        "trainer": {"max_epochs": CONVEX_EPOCHS},
    }
    model, data, trainer = build(job, recipe)
    start = now(job["device"])
    trainer.fit(model, data)
    return {"seconds": [now(job["device"]) - start], "val_loss": float(trainer.callback_metrics["val_loss"])}


_JOBS = (prepare, loop, usual, zoo, recipe_zoo, recipe_loop, example, fast, convex_plan, sklearn, convex)
JOBS = {job.__name__: job for job in _JOBS}
