"""Measure what the zoo costs beside a hand-written loop, the usual pipeline and scikit-learn.

    python scripts/benchmark.py                     # everything, about 12 minutes on 2 idle cores
    python scripts/benchmark.py --only epoch        # one quantity again; the others are kept
    python scripts/benchmark.py --device cuda

Each contender runs in a process of its own, the contenders take turns, and medians over the rounds are compared. All
share model, batch size, optimiser and number of rows. The table goes to ``<output>/benchmark.md``, every raw value to
``<output>/benchmark.json``. The MNIST files are looked for in ``$ZOO_DATA`` or the zoo's cache folder.

Contenders: ``loop`` is a hand-written PyTorch loop over bytes in memory with a fused optimiser, which logs and saves
nothing and never imports Lightning; ``zoo`` is the recipe path, Lightning's own Trainer with logging, progress bar
(drawn on a pseudo-terminal) and checkpoints on; ``zoo_1`` is the same at ``batches_per_step`` 1; ``usual`` is
torchvision's data set with PIL, ``ToTensor`` and the faster of a DataLoader with 0 and with 2 workers. A translator and
a classifier of heart beats are timed beside loops over the same batches, the translator beside its layers' forward and
backward alone too.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import itertools
import json
import os
import platform
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

BATCH, WORKERS, TRAIN, VAL = 128, 2, 55_000, 5_000
EVALUATION_BATCH = 1_000  # of the hand-written loops, as in the PyTorch examples; larger ones fall out of a CPU's cache
OPTIMIZER = {"optimizer": "adam", "lr": 1e-3}
EXAMPLE_EPOCHS = 2
"""Epochs of the PyTorch example: the fewest whose accuracy on 5,000 validation rows is 99 % (``--only choose``)."""
FAST_RECIPE = "cnn.mnist_fast"
TEXT_RECIPE, BEATS_RECIPE = "lstm_seq2seq.fra_eng", "ecg_classifier.mitbih"
L2, TOLERANCE = 1e-3, 1e-3
"""Penalty of the logistic regression, and how close to its converged optimum's validation loss both have to come."""
CONVEX = {"optimizer": "adam", "lr": 3e-3, "schedule": "cosine", "weight_decay": L2}
CONVEX_BATCH, CONVEX_EPOCHS = 256, 4
"""Optimiser, batch size and epochs with which the zoo comes that close, chosen on the validation rows."""


class Goal(NamedTuple):
    """What a figure must reach and what it should."""

    must: float
    aim: float
    at_least: bool = False

    def met(self, value: float) -> str:
        """Say whether a figure reaches the goal."""
        reached = [value >= goal if self.at_least else value <= goal for goal in (self.must, self.aim)]
        return "aim" if reached[1] else "yes" if reached[0] else "**no**"


class Case(NamedTuple):
    """A model that is timed.

    Args:
        label: What the table calls it.
        model: Its registered name.
        args: Arguments that differ from its defaults.
        share: It is timed on one ``share``-th of MNIST.
        chunk: ``batches_per_step`` of the recipe path.
    """

    label: str
    model: str
    args: dict[str, Any] = {}
    share: int = 1
    chunk: int = 16


CASES = {
    "logistic_regression": Case("logistic regression", "logistic_regression", chunk=64),
    "mlp_small": Case("MLP 784-128-10", "mlp", {"hidden_dims": [128]}, chunk=64),
    "mlp": Case("MLP 784-256-128-10", "mlp"),
    "lenet5": Case("CNN (LeNet-5)", "lenet5"),
    # So much arithmetic that no pipeline matters: a sixteenth of the data keeps it short.
    "cnn": Case("CNN (32-64-128), N/16", "cnn", share=16),
}
EPOCH_GOALS: dict[str, list[Goal | None]] = {  # in the order of the cases
    "zoo/loop": [Goal(1.15, 1.0), Goal(1.1, 1.0), Goal(1.1, 1.0), Goal(1.05, 1.0), Goal(1.05, 1.0)],
    "zoo_1/loop": [Goal(2.0, 1.5), Goal(1.4, 1.2), Goal(1.4, 1.2), Goal(1.1, 1.05), Goal(1.1, 1.05)],
    "usual/zoo": [Goal(15, 20, True), Goal(7, 9, True), Goal(7, 9, True), Goal(2.8, 3.3, True), None],
}
CUDA_GOAL, GROWTH_GOAL, MEMORY_GOAL = Goal(1.1, 0.9), Goal(4.2, 4.0), Goal(1.15, 1.05)
ACCURACY_GOAL, CUDA_SECONDS_GOAL = Goal(5, 10, True), Goal(1.0, 0.76)
TOKENS_GOAL = Goal(0.85, 0.95, True)
SKLEARN_GOAL, START_GOAL = Goal(3, 10, True), Goal(0.25, 0.1)


def peak_mib() -> float:
    """Return the largest resident memory of this process so far, in MiB."""
    import resource

    # The parent imports nothing heavy: on Linux a child's peak starts at its parent's.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def now(device: str) -> float:
    """Return the time, once the device has done what it was told."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()
    return time.perf_counter()


def durations(starts: list[float], warm_up: int) -> list[float]:
    return [end - start for start, end in itertools.pairwise(starts)][warm_up:]


def prepare(job: dict[str, Any]) -> dict[str, Any]:
    """Find the data and save the networks, so that the hand-written loops need not import Lightning."""
    import torch
    from torchvision.datasets import MNIST

    import zoo
    from datamodules import MNISTDataModule

    data = MNISTDataModule()
    data.prepare_data()
    MNIST(data.root, download=True)  # unpacks the files if need be
    for name, case in CASES.items():
        torch.manual_seed(0)
        model = zoo.create_model(case.model, **case.args, mean=data.spec["mean"], std=data.spec["std"])
        torch.save(model.net, Path(job["folder"]) / f"{name}.pt")
    versions = {name: __import__(name).__version__ for name in ("torch", "torchvision", "lightning", "sklearn")}
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"root": str(data.root), "versions": versions, "threads": torch.get_num_threads(), "gpu": gpu}


def tensors(job: dict[str, Any], train: bool = True) -> tuple[Any, Any]:
    """Return all bytes (N, 1, 28, 28) and labels of the training or test files, on the device."""
    from torchvision.datasets import MNIST

    data = MNIST(job["root"], train=train)
    return data.data[:, None].to(job["device"]), data.targets.to(job["device"])


def evaluate(net: Any, x: Any, y: Any, scale: Callable[[Any], Any]) -> tuple[float, float]:
    """Return mean loss and accuracy over all rows."""
    import torch
    import torch.nn.functional as F

    net.eval()
    loss, right = torch.zeros((), device=x.device), torch.zeros((), device=x.device)
    with torch.no_grad():
        for images, labels in zip(x.split(EVALUATION_BATCH), y.split(EVALUATION_BATCH), strict=True):
            scores = net(scale(images))
            loss += F.cross_entropy(scores, labels, reduction="sum")
            right += (scores.argmax(1) == labels).sum()
    return loss.item() / len(x), right.item() / len(x)


def train(net: Any, optimizer: Any, x: Any, y: Any, batch: int, scale: Callable[[Any], Any]) -> float:
    """Train for one epoch and return the mean loss: what a competent person writes by hand."""
    import torch
    import torch.nn.functional as F

    net.train()
    total = torch.zeros((), device=x.device)
    for rows in torch.randperm(len(x), device=x.device).split(batch):
        # index_select gathers bytes many times faster than x[rows] does.
        loss = F.cross_entropy(net(scale(x.index_select(0, rows))), y.index_select(0, rows))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.detach() * len(rows)
    return total.item() / len(x)


def to_unit(x: Any) -> Any:
    return x.float().div_(255)


def network(job: dict[str, Any]) -> Any:
    """Load the zoo's network without importing Lightning: layers of torch and of ``zoo.nn``, and no other code."""
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
    """Time epochs of the hand-written loop."""
    import torch
    import torchvision  # noqa: F401  its import belongs to the memory of the imports

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
    """Time epochs of the usual pipeline: an item is a picture, made a tensor by itself."""
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

    for batch in itertools.islice(loader, 20):  # to warm up, a few batches do
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


def build(job: dict[str, Any], recipe: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Build a recipe and cut its data to the job's number of rows."""
    from zoo.recipes import Recipe

    accelerator = {"accelerator": "gpu" if job["device"] == "cuda" else "cpu", "devices": 1}
    model, data, trainer = Recipe(**recipe).build(trainer=accelerator, run=Path(job["folder"]) / f"run_{os.getpid()}")
    data.setup()
    for split in ("train", "val"):
        if split in job and job[split] < len(data.splits[split].groups):
            data.splits[split] = data.splits[split].take(range(job[split]))
    return model, data, trainer


def timed_fit(job: dict[str, Any], model: Any, data: Any, trainer: Any) -> list[float]:
    """Fit and return the seconds of each epoch, from its start to the start of the next."""
    import lightning as L

    class Finished(Exception):  # noqa: N818
        """The epochs to be timed are over."""

    class Clock(L.Callback):
        def on_train_epoch_start(self, trainer: Any, model: Any) -> None:
            starts.append(now(job["device"]))
            if len(starts) > job["warm_up"] + job["epochs"]:
                raise Finished

    starts: list[float] = []
    trainer.callbacks.append(Clock())
    with contextlib.suppress(Finished):
        trainer.fit(model, data)
    return durations(starts, job["warm_up"])


def zoo(job: dict[str, Any]) -> dict[str, Any]:
    """Time epochs of the recipe path."""
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
    """Build a shipped recipe on the first of its training rows."""
    from zoo.recipes import load_recipe

    recipe = vars(load_recipe(job["recipe"]))
    epochs = job["warm_up"] + job["epochs"] + 1
    return build(job, {**recipe, "trainer": {**recipe["trainer"], "max_epochs": epochs}})


def recipe_zoo(job: dict[str, Any]) -> dict[str, Any]:
    """Time epochs of a shipped recipe; of pairs of sentences count the tokens."""
    model, data, trainer = shipped(job)
    split = data.splits["train"]
    tokens = int(split.column(1).sum() + split.column(3).sum()) if job["recipe"] == TEXT_RECIPE else 0
    return {"seconds": timed_fit(job, model, data, trainer), "tokens": tokens}


def recipe_loop(job: dict[str, Any]) -> dict[str, Any]:
    """Time a loop over a recipe's batches, made beforehand; without ``update`` forward and backward alone."""
    import torch

    from zoo.training.malloc import keep_freed_memory

    keep_freed_memory()
    model, data, trainer = shipped(job)
    device, args = torch.device(job["device"]), model.hparams
    batches = [tuple(part.to(device) for part in batch) for chunk in data.train_dataloader() for batch in chunk]
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args["lr"], weight_decay=args["weight_decay"], fused=True)
    steps = len(batches) * (job["warm_up"] + job["epochs"])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args["lr"], total_steps=steps + 1)
    starts = [now(job["device"])]
    for _ in range(job["warm_up"] + job["epochs"]):
        for batch in batches:
            with torch.autocast(device.type, torch.bfloat16, enabled=str(trainer.precision).startswith("bf16")):
                loss = model.step(batch)["loss"]
            optimizer.zero_grad()
            loss.backward()
            if job["update"]:
                if args.get("clip_norm"):
                    torch.nn.utils.clip_grad_norm_(model.parameters(), args["clip_norm"])
                optimizer.step()
                schedule.step()
        starts.append(now(job["device"]))
    return {"seconds": durations(starts, job["warm_up"])}


def example(job: dict[str, Any]) -> dict[str, Any]:
    """Train the network of PyTorch's MNIST example by its schedule, in a loop over tensors, and test it."""
    import torch
    from torch import nn

    torch.manual_seed(job["seed"])
    (x, y), (x_test, y_test), device = tensors(job), tensors(job, train=False), job["device"]
    x, y = x[: job["train"]], y[: job["train"]]
    if job["choose"]:  # the test rows choose nothing
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
    """Train a recipe and test it."""
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
    """Return the standardised training and validation rows of the zoo's split, float32."""
    from datamodules import MNISTDataModule

    data, arrays = MNISTDataModule(), []
    for split in ("train", "val"):
        x, y = data.arrays(split)
        arrays += [(x[: job[split]] - data.spec["mean"]) / data.spec["std"], y[: job[split]]]
    return [array.astype("float32") if array.ndim == 2 else array for array in arrays]


def lbfgs(arrays: list[Any], iterations: int) -> tuple[float, float]:
    """Fit scikit-learn's logistic regression; return the seconds and the validation loss."""
    import warnings

    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    x, y, x_val, y_val = arrays
    model = LogisticRegression(C=1 / (len(x) * L2), max_iter=iterations, tol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it stops before it has converged is the point
        start = time.perf_counter()
        model.fit(x, y)
        seconds = time.perf_counter() - start
    return seconds, float(log_loss(y_val, model.predict_proba(x_val)))


def convex_plan(job: dict[str, Any]) -> dict[str, Any]:
    """Find the validation loss to be reached and the fewest iterations with which lbfgs reaches it."""
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
    """Time scikit-learn to the target."""
    seconds, loss = lbfgs(convex_arrays(job), job["iterations"])
    return {"seconds": [seconds], "val_loss": loss}


def convex(job: dict[str, Any]) -> dict[str, Any]:
    """Time the zoo to the target, with the Trainer's start, validation, logging and checkpoints."""
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


def work(text: str) -> None:
    """Do one job, given as JSON, and leave the result where the job says."""
    job = json.loads(text)
    result = JOBS[job["job"]](job)
    Path(job["result"]).write_text(json.dumps({**result, "peak_mib": peak_mib()}), encoding="utf-8")


class Bench:
    """Runs contenders in turns, each in a process of its own.

    Args:
        args: The command line.
        folder: Folder for temporary files.
    """

    def __init__(self, args: argparse.Namespace, folder: str) -> None:
        self.args, self.folder, self.common = args, folder, {"device": args.device, "folder": folder}
        self.environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "PYTHONWARNINGS": "ignore"}
        if args.threads:
            names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
            self.environment |= dict.fromkeys(names, str(args.threads))
        self.results: dict[str, list[dict[str, Any]]] = {}

    def rows(self, share: int = 1) -> dict[str, int]:
        """Return the numbers of rows of a share 1/n of the data."""
        share *= 32 if self.args.quick else 1
        return {"train": max(TRAIN // share, 2 * BATCH), "val": max(VAL // share, BATCH)}

    def process(self, command: list[str], name: str) -> float:
        """Run a command on a pseudo-terminal and return the seconds it took."""
        tail: list[bytes] = []

        def drain(read: Callable[[int], bytes]) -> None:
            try:
                while chunk := read(65536):
                    tail.append(chunk)
                    del tail[:-8]
            except OSError:  # Linux ends a pseudo-terminal so
                pass

        start = time.perf_counter()
        if os.name == "posix":
            import fcntl
            import termios

            ours, theirs = os.openpty()  # without a width no bar is drawn
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
            child = subprocess.Popen(command, env=self.environment, stdin=theirs, stdout=theirs, stderr=theirs)
            os.close(theirs)
            thread = threading.Thread(target=drain, args=(lambda size: os.read(ours, size),))
        else:
            child = subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            thread = threading.Thread(target=drain, args=(child.stdout.read1,))  # type: ignore[union-attr]
        thread.start()
        try:
            status = child.wait()
        finally:
            child.kill()
        seconds = time.perf_counter() - start
        thread.join()
        if os.name == "posix":
            os.close(ours)
        if status:
            lines = b"".join(tail).decode(errors="replace").strip().splitlines() or ["no message"]
            raise RuntimeError(f"{name} ended with status {status}: {lines[-1].strip()}")
        return seconds

    def call(self, name: str, **job: Any) -> dict[str, Any]:
        """Do one job in a process of its own."""
        result = Path(self.folder) / "result.json"
        text = json.dumps({**self.common, **job, "result": str(result)})
        self.process([sys.executable, os.fspath(Path(__file__).resolve()), "--worker", text], name)
        return json.loads(result.read_text(encoding="utf-8"))

    def interleave(self, jobs: dict[str, Callable[[], dict[str, Any]]], rounds: int | None = None) -> None:
        """Let contenders take turns, in reverse order every other round."""
        for name in jobs:
            self.results[name] = []
        for number in range(rounds or self.args.rounds):
            for name in list(jobs)[:: -1 if number % 2 else 1]:
                result = jobs[name]()
                self.results[name].append(result)
                rest = "".join(f", {key} {value}" for key, value in result.items() if key in ("accuracy", "val_loss"))
                print(f"{number + 1}  {name:36s} {median(result['seconds']):9.3f} s{rest}", flush=True)

    def time_epochs(self, prefix: str, case: str, contender: str, share: int) -> dict[str, Callable]:
        """Return the job that times epochs of one contender, by its name."""
        kind = contender.split("_")[0]
        short = self.args.device == "cuda" or CASES[case].chunk > 16  # such epochs are over sooner than noise is
        epochs = 1 if self.args.quick or kind == "usual" else 10 if short else 3
        settings = {
            "chunk": 1 if contender == "zoo_1" else CASES[case].chunk,
            "workers": WORKERS if contender == "usual_2" else 0,
        }
        job = {"job": kind, "case": case, "warm_up": 1, "epochs": epochs, **settings, **self.rows(share)}
        name = f"{prefix}/{case}/{contender}"
        return {name: lambda: self.call(name, **job)}

    def epoch(self) -> None:
        """Time epochs, and measure the memory meanwhile."""
        for case, (*_, share, _) in CASES.items():
            jobs: dict[str, Callable] = {}
            for contender in ("loop", "zoo", "zoo_1", "usual_0", "usual_2")[: 3 if case == "cnn" else 5]:
                jobs |= self.time_epochs("epoch", case, contender, share)
            self.interleave(jobs)

    def growth(self) -> None:
        """Time epochs of the zoo at N and at N/4 rows."""
        for case in ("logistic_regression", "mlp_small"):
            jobs: dict[str, Callable] = {}
            for share in (1, 4):
                jobs |= self.time_epochs(f"growth_{share}", case, "zoo", share)
            self.interleave(jobs)

    def choose(self) -> None:
        """Print the validation accuracy of the PyTorch example, from which EXAMPLE_EPOCHS is read."""
        job = {"job": "example", "choose": True, "epochs": 14, "seed": 1, "train": TRAIN + VAL}
        self.interleave({"choose/example": lambda: self.call("example", **job)}, rounds=1)
        print("validation accuracy by epoch:", self.results["choose/example"][0]["history"])

    def accuracy(self) -> None:
        """Time training to 99 % and the final test."""
        quick = self.args.quick
        rows = {"train": self.rows()["train"] if quick else TRAIN + VAL}
        job = {"job": "example", "choose": False, "epochs": 1 if quick else EXAMPLE_EPOCHS, "seed": 1, **rows}
        cut = {"epochs": 1, **self.rows()} if quick else {"epochs": 0}
        mine = {"job": "fast", "recipe": self.args.recipe, **cut}
        # One run of some minutes is long enough to be steady on a CPU.
        rounds = None if self.args.device == "cuda" else 1
        self.interleave({"accuracy/example": lambda: self.call("example", **job)}, rounds)
        self.interleave({"accuracy/zoo": lambda: self.call(self.args.recipe, **mine)})

    def sklearn(self) -> None:
        """Time the logistic regression to the same validation loss."""
        rows = self.rows()
        plan = self.call("lbfgs", job="convex_plan", converged=50 if self.args.quick else 500, **rows)
        self.results["sklearn/plan"] = [plan]
        sklearn_job = {"job": "sklearn", "iterations": plan["iterations"], **rows}
        jobs = {"sklearn/zoo": {"job": "convex", **rows}, "sklearn/sklearn": sklearn_job}
        self.interleave({name: lambda name=name, job=job: self.call(name, **job) for name, job in jobs.items()})

    def tokens(self) -> None:
        """Time the training of a translator on some of its pairs."""
        self.recipe("tokens", TEXT_RECIPE, {"layers": False, "loop": True}, epochs=2)

    def beats(self) -> None:
        """Time the training of the classifier of heart beats on some of them."""
        self.recipe("beats", BEATS_RECIPE, {"loop": True}, epochs=6)

    def recipe(self, quantity: str, recipe: str, loops: dict[str, bool], epochs: int) -> None:
        """Time the training of a shipped recipe beside loops, which update the weights or do not."""
        rows = {"train": 1_000 if self.args.quick else 16_384, "val": BATCH}
        job = {"recipe": recipe, "warm_up": 1, "epochs": 1 if self.args.quick else epochs, **rows}
        contenders: dict[str, dict[str, Any]] = {
            **{name: {"job": "recipe_loop", "update": update} for name, update in loops.items()},
            "zoo": {"job": "recipe_zoo"},
        }
        self.interleave(
            {f"{quantity}/{name}": lambda own=own: self.call(recipe, **job, **own) for name, own in contenders.items()}
        )

    def startup(self) -> None:
        """Time the start of the command line."""
        script = shutil.which("zoo", path=os.fspath(Path(sys.executable).parent))
        commands = {
            "startup/zoo": [script, "list"] if script else [sys.executable, "-m", "zoo.cli", "list"],
            "startup/lightning": [sys.executable, "-c", "import lightning"],
        }
        jobs = {name: lambda c=command, n=name: {"seconds": [self.process(c, n)]} for name, command in commands.items()}
        self.interleave(jobs, 2 if self.args.quick else max(5, self.args.rounds))


QUANTITIES = ("epoch", "growth", "tokens", "beats", "accuracy", "sklearn", "startup")


def table(entry: dict[str, Any]) -> list[str]:
    """Return the Markdown table of one device from its raw results."""
    results, device = entry["results"], entry["device"]
    lines = [
        "| quantity | figures: median (range over rounds) | ratio | must | aim | met |",
        "|---|---|---|---|---|---|",
    ]

    def values(key: str, what: str = "seconds") -> list[float]:
        return [median(r[what]) if isinstance(r[what], list) else r[what] for r in results[key]]

    def shown(key: str, what: str = "seconds") -> str:
        all_, digits = values(key, what), 0 if what.endswith("mib") else 3
        unit = "MiB" if what.endswith("mib") else "s"
        spread = f" ({min(all_):.{digits}f}-{max(all_):.{digits}f})" if len(all_) > 1 else ""
        return f"{key.split('/')[-1]} {median(all_):.{digits}f}{spread} {unit}"

    def row(
        label: str, top: str, bottom: str, goal: Goal | None, what: str = "seconds", note: str = "", short: str = ""
    ) -> None:
        if top not in results or bottom not in results:
            return
        above, below = values(top, what), values(bottom, what)
        each = [a / b for a, b in zip(above, below, strict=False)]
        spread = f" ({min(each):.2f}-{max(each):.2f})" if len(each) > 1 else ""
        ratio = median(above) / median(below)
        sign = "" if goal is None else "≥ " if goal.at_least else "≤ "
        met = "" if goal is None else "**no**" if short else goal.met(ratio)
        goals = f"{sign}{goal.must:g} | {sign}{goal.aim:g} | {met}" if goal else "| |"
        figures = f"{shown(top, what)}, {shown(bottom, what)}{note}{short}"
        lines.append(f"| {label} | {figures} | {ratio:.2f}{spread} | {goals} |")

    for number, (case, (label, *_)) in enumerate(CASES.items()):
        keys = {name: f"epoch/{case}/{name}" for name in ("loop", "zoo", "zoo_1", "usual_0", "usual_2")}
        for ratio, goals in EPOCH_GOALS.items():
            top, bottom = ratio.split("/")
            if top == "usual":
                top = min(("usual_0", "usual_2"), key=lambda k: median(values(keys[k])) if keys[k] in results else 0)
            goal = goals[number] if device == "cpu" else CUDA_GOAL if ratio == "zoo/loop" else None
            row(f"epoch, {label}: {ratio}", keys[top], keys[bottom], goal)
    for case, (label, *_) in CASES.items():
        loop_key, zoo_key = f"epoch/{case}/loop", f"epoch/{case}/zoo"
        if loop_key in results and zoo_key in results:
            imports = [median(values(key, "imports_mib")) for key in (zoo_key, loop_key)]
            note = " (of which imports {:.0f} and {:.0f})".format(*imports)
            row(f"peak memory, {label}: zoo/loop", zoo_key, loop_key, MEMORY_GOAL, "peak_mib", note)
    for case in ("logistic_regression", "mlp_small"):
        row(f"growth, {CASES[case].label}: N / N/4", f"growth_1/{case}/zoo", f"growth_4/{case}/zoo", GROWTH_GOAL)
    if "tokens/zoo" in results:
        speed = results["tokens/zoo"][0]["tokens"] / median(values("tokens/zoo"))
        note = f"; {speed:,.0f} tokens a second"
        row(
            f"tokens a second, {TEXT_RECIPE}: zoo/its layers alone",
            "tokens/layers",
            "tokens/zoo",
            TOKENS_GOAL,
            note=note,
        )
        row(f"epoch, {TEXT_RECIPE}, 16,384 pairs: zoo/loop", "tokens/zoo", "tokens/loop", Goal(1.05, 1.0))
    # An epoch ends with four figures for TensorBoard, half a second, which the loop does not draw.
    row(f"epoch, {BEATS_RECIPE}, 16,384 beats, zoo with its pictures: zoo/loop", "beats/zoo", "beats/loop", None)
    if "accuracy/example" in results and "accuracy/zoo" in results:
        ours, theirs = results["accuracy/zoo"], results["accuracy/example"]
        accuracies = [100 * median(r["accuracy"] for r in side) for side in (theirs, ours)]
        note = "; accuracy {:.2f} and {:.2f} %".format(*accuracies) + f"; {ours[0]['recipe']}"
        note += "" if accuracies[0] >= 99 else "; the example ends short of 99 %, so the ratio is at least this"
        short = "" if accuracies[1] >= 99 else "; **99 % not reached**"
        label = "99 % on MNIST: PyTorch example/zoo"
        row(
            label,
            "accuracy/example",
            "accuracy/zoo",
            ACCURACY_GOAL if device == "cpu" else None,
            note=note,
            short=short,
        )
        if device == "cuda":
            seconds, goal = median(values("accuracy/zoo")), CUDA_SECONDS_GOAL
            goals = f"≤ {goal.must:g} | ≤ {goal.aim:g} | {goal.met(seconds)}"
            lines.append(f"| 99 % on MNIST, seconds | {seconds:.3f} s | | {goals} |")
    if "sklearn/zoo" in results:
        plan = results["sklearn/plan"][0]
        worst = max(r["val_loss"] for r in results["sklearn/zoo"])
        note = (
            f"; validation loss {plan['target']:.4f}, lbfgs after {plan['iterations']} iterations, zoo at {worst:.4f}"
        )
        short = "" if worst <= plan["target"] else " **not reached**"
        row(
            "logistic regression: scikit-learn/zoo",
            "sklearn/sklearn",
            "sklearn/zoo",
            SKLEARN_GOAL,
            note=note,
            short=short,
        )
    row("start-up: zoo list/import lightning", "startup/zoo", "startup/lightning", START_GOAL)
    return lines


def report(content: dict[str, Any]) -> str:
    """Return the Markdown page of all devices."""
    lines: list[str] = []
    for device, entry in content.items():
        versions = ", ".join(f"{name} {version}" for name, version in entry["versions"].items())
        quick = " **A trial with few rows: the figures mean nothing.**" if entry["quick"] else ""
        about = (
            f"{entry['machine']}, {entry['threads']} threads; Python {entry['python']}, {versions}; {entry['date']}."
        )
        lines += [f"{device.upper()}: {about} Batch size {BATCH}.{quick}", "", *table(entry), ""]
    return "\n".join(lines)


def cpu_name() -> str:
    """Return the processor's name and number of cores."""
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        name = models[0].split(":", 1)[1].strip() if models else name
    return f"{name}, {os.cpu_count()} cores"


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(description="Measure the zoo against hand-written loops and usual pipelines.")
    parser.add_argument("--quick", action="store_true", help="a trial with few rows; its figures mean nothing")
    parser.add_argument("--only", choices=[*QUANTITIES, "choose"], help="one quantity; other results are kept")
    parser.add_argument("--rounds", type=int, help="turns of each contender (default 3)")
    parser.add_argument("--output", type=Path, help="folder of the results (default runs/benchmark)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=0, help="threads of a process (default: torch's own choice)")
    parser.add_argument("--recipe", default=FAST_RECIPE, help=f"recipe for the time to 99 %% (default {FAST_RECIPE})")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.worker:
        work(args.worker)
        return 0
    args.rounds = (1 if args.quick else 3) if args.rounds is None else args.rounds
    if args.rounds < 1 or args.threads < 0:
        parser.error(f"--rounds must be at least 1 and --threads at least 0, not {args.rounds} and {args.threads}")
    output = args.output or Path("runs") / ("benchmark_quick" if args.quick else "benchmark")
    store = output / "benchmark.json"
    try:
        content = json.loads(store.read_text(encoding="utf-8")) if store.exists() else {}
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(args, folder)
            found = bench.call("prepare", job="prepare")
            if args.device == "cuda" and not found["gpu"]:
                raise RuntimeError("--device cuda: torch finds no CUDA device here; use --device cpu")
            bench.common["root"] = found["root"]
            for quantity in [args.only] if args.only else QUANTITIES:
                getattr(bench, quantity)()
                entry = content.setdefault(args.device, {"results": {}})
                entry["results"] |= bench.results
                entry |= {key: found[key] for key in ("versions", "threads")} | {"device": args.device}
                entry |= {"machine": found["gpu"] if args.device == "cuda" else cpu_name(), "quick": args.quick}
                entry |= {"python": platform.python_version(), "date": datetime.date.today().isoformat()}
                output.mkdir(parents=True, exist_ok=True)
                store.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
                (output / "benchmark.md").write_text(report(content), encoding="utf-8")
    except (RuntimeError, ValueError, OSError) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 1
    print(f"\n{report(content)}\n{output / 'benchmark.md'} and {store.name} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
