"""Benchmark the zoo against a hand-written loop, the usual torchvision pipeline and scikit-learn.

    python scripts/benchmark.py                     # all quantities, about 12 minutes on 2 idle cores
    python scripts/benchmark.py --only epoch        # one quantity; the results of the others are kept
    python scripts/benchmark.py --device cuda

Each contender runs in a process of its own, the contenders take turns, and the medians over the rounds are compared.
On a CUDA device the contenders of a case take turns in one process, and the whole takes less than 5 minutes. All
contenders share the model, the batch size, the optimizer and the number of rows. The table is written to
``<output>/benchmark.md`` and every raw value to ``<output>/benchmark.json``. The MNIST files are read from
``$ZOO_DATA`` or from the zoo's cache folder.

Contenders:

- ``loop``: a hand-written PyTorch loop over bytes in memory with a fused optimizer. It logs and saves nothing and never
  imports Lightning.
- ``zoo``: a recipe trained by Lightning's Trainer with logging, checkpoints and a progress bar, which is drawn on a
  pseudo-terminal.
- ``zoo_1``: the same recipe with ``batches_per_step=1``.
- ``compiled``: the hand-written loop with ``torch.compile(mode="reduce-overhead")``, on a CUDA device.
- ``usual``: torchvision's data set with PIL and ``ToTensor``, and the faster of a DataLoader with 0 and with 2 workers.

A translator and a classifier of heart beats are compared with loops over the same batches. The translator is also
compared with the forward and backward passes of its layers alone.
"""

from __future__ import annotations

import argparse
import datetime
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
from typing import Any

from benchmark_common import BATCH, BEATS_RECIPE, CASES, FAST_RECIPE, TEXT_RECIPE, TRAIN, VAL, WORKERS, peak_mib
from benchmark_contenders import JOBS
from benchmark_cuda import CUDA_JOBS, CUDA_QUANTITIES, Turns
from benchmark_report import report

EXAMPLE_EPOCHS = 2
"""Epochs of the PyTorch example: the fewest that reach 99 % on 5,000 validation rows, as ``--only choose`` reports."""


class Bench:
    """Runner of the contenders, each in a process of its own.

    Args:
        args: Parsed command line.
        folder: Folder for temporary files.
        output: Folder of the results, of which those of other quantities are kept.
    """

    def __init__(self, args: argparse.Namespace, folder: str, output: Path) -> None:
        self.args, self.folder, self.common = args, folder, {"device": args.device, "folder": folder}
        self.environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "PYTHONWARNINGS": "ignore"}
        if args.threads:
            names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
            self.environment |= dict.fromkeys(names, str(args.threads))
        self.results: dict[str, list[dict[str, Any]]] = {}
        self.output = output
        self.about: dict[str, Any] = {}
        store = output / "benchmark.json"
        self.content = json.loads(store.read_text(encoding="utf-8")) if store.exists() else {}

    def prepare(self) -> None:
        """Locate the data and save the networks, in a process of its own."""
        found = self.call("prepare", job="prepare")
        cuda = self.args.device == "cuda"
        if cuda and not found["gpu"]:
            raise RuntimeError("--device cuda: torch finds no CUDA device here; use --device cpu")
        self.common["root"] = found["root"]
        self.about = {
            **{key: found[key] for key in ("versions", "threads")},
            "device": self.args.device,
            "machine": found["gpu"] if cuda else cpu_name(),
            "quick": self.args.quick,
            "python": platform.python_version(),
        }

    def save(self) -> None:
        """Write the results so far and their report."""
        entry = self.content.setdefault(self.args.device, {"results": {}})
        entry["results"] |= self.results
        entry |= {**self.about, "date": datetime.date.today().isoformat()}
        self.output.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.content, indent=1) + "\n"
        (self.output / "benchmark.json").write_text(text, encoding="utf-8")
        (self.output / "benchmark.md").write_text(report(self.content), encoding="utf-8")

    def rows(self, share: int = 1) -> dict[str, int]:
        """Return the numbers of training and validation rows of ``1 / share`` of the data."""
        share *= 32 if self.args.quick else 1
        return {"train": max(TRAIN // share, 2 * BATCH), "val": max(VAL // share, BATCH)}

    def process(self, command: list[str], name: str) -> float:
        """Run a command on a pseudo-terminal and return its duration in seconds.

        Raises:
            RuntimeError: If the exit status is not 0.
        """
        tail: list[bytes] = []

        def drain(read: Callable[[int], bytes]) -> None:
            try:
                while chunk := read(65536):
                    tail.append(chunk)
                    del tail[:-8]
            except OSError:  # raised on Linux at the end of a pseudo-terminal
                pass

        start = time.perf_counter()
        if os.name == "posix":
            import fcntl
            import termios

            ours, theirs = os.openpty()  # the progress bar is drawn only on a terminal of known width
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
        """Run a job in a process of its own and return its measurements."""
        result = Path(self.folder) / "result.json"
        text = json.dumps({**self.common, **job, "result": str(result)})
        self.process([sys.executable, os.fspath(Path(__file__).resolve()), "--worker", text], name)
        return json.loads(result.read_text(encoding="utf-8"))

    def interleave(self, jobs: dict[str, Callable[[], dict[str, Any]]], rounds: int | None = None) -> None:
        """Run the contenders in turns, in reverse order in every second round."""
        for name in jobs:
            self.results[name] = []
        for number in range(rounds or self.args.rounds):
            for name in list(jobs)[:: -1 if number % 2 else 1]:
                result = jobs[name]()
                self.results[name].append(result)
                rest = "".join(f", {key} {value}" for key, value in result.items() if key in ("accuracy", "val_loss"))
                print(f"{number + 1}  {name:36s} {median(result['seconds']):9.3f} s{rest}", flush=True)

    def time_epochs(self, prefix: str, case: str, contender: str, share: int) -> dict[str, Callable]:
        """Return a dictionary from the name of the job that times one contender to its function."""
        kind = contender.split("_")[0]
        short = CASES[case].chunk > 16  # short epochs need more repetitions
        epochs = 1 if self.args.quick or kind == "usual" else 10 if short else 3
        settings = {
            "chunk": 1 if contender == "zoo_1" else CASES[case].chunk,
            "workers": WORKERS if contender == "usual_2" else 0,
        }
        job = {"job": kind, "case": case, "warm_up": 1, "epochs": epochs, **settings, **self.rows(share)}
        name = f"{prefix}/{case}/{contender}"
        return {name: lambda: self.call(name, **job)}

    def epoch(self) -> None:
        """Time the epochs of all cases and contenders, and measure their peak memory."""
        for case, (*_, share, _) in CASES.items():
            jobs: dict[str, Callable] = {}
            for contender in ("loop", "zoo", "zoo_1", "usual_0", "usual_2")[: 3 if case == "cnn" else 5]:
                jobs |= self.time_epochs("epoch", case, contender, share)
            self.interleave(jobs)

    def growth(self) -> None:
        """Time epochs of the zoo on N and on N/4 rows."""
        for case in ("logistic_regression", "mlp_small"):
            jobs: dict[str, Callable] = {}
            for share in (1, 4):
                jobs |= self.time_epochs(f"growth_{share}", case, "zoo", share)
            self.interleave(jobs)

    def choose(self) -> None:
        """Print the validation accuracy of the PyTorch example by epoch, which determines ``EXAMPLE_EPOCHS``."""
        job = {"job": "example", "choose": True, "epochs": 14, "seed": 1, "train": TRAIN + VAL}
        self.interleave({"choose/example": lambda: self.call("example", **job)}, rounds=1)
        print("validation accuracy by epoch:", self.results["choose/example"][0]["history"])

    def accuracy(self) -> None:
        """Time the training to 99 % accuracy on MNIST and the final test."""
        quick = self.args.quick
        rows = {"train": self.rows()["train"] if quick else TRAIN + VAL}
        job = {"job": "example", "choose": False, "epochs": 1 if quick else EXAMPLE_EPOCHS, "seed": 1, **rows}
        cut = {"epochs": 1, **self.rows()} if quick else {"epochs": 0}
        mine = {"job": "fast", "recipe": self.args.recipe, **cut}
        # The example runs for minutes, so that one round is precise enough.
        self.interleave({"accuracy/example": lambda: self.call("example", **job)}, 1)
        self.interleave({"accuracy/zoo": lambda: self.call(self.args.recipe, **mine)})

    def sklearn(self) -> None:
        """Time the zoo's and scikit-learn's logistic regression to the same validation loss."""
        rows = self.rows()
        plan = self.call("lbfgs", job="convex_plan", converged=50 if self.args.quick else 500, **rows)
        self.results["sklearn/plan"] = [plan]
        sklearn_job = {"job": "sklearn", "iterations": plan["iterations"], **rows}
        jobs = {"sklearn/zoo": {"job": "convex", **rows}, "sklearn/sklearn": sklearn_job}
        self.interleave({name: lambda name=name, job=job: self.call(name, **job) for name, job in jobs.items()})

    def tokens(self) -> None:
        """Time the training of the translator on a part of its sentence pairs."""
        self.recipe("tokens", TEXT_RECIPE, {"layers": False, "loop": True}, epochs=2)

    def beats(self) -> None:
        """Time the training of the heart beat classifier on a part of its beats."""
        self.recipe("beats", BEATS_RECIPE, {"loop": True}, epochs=6)

    def recipe(self, quantity: str, recipe: str, loops: dict[str, bool], epochs: int) -> None:
        """Time the training of a shipped recipe and of hand-written loops.

        Args:
            quantity: Prefix of the names of the results.
            recipe: Name of the recipe.
            loops: For each loop, by name, whether it updates the weights.
            epochs: Number of epochs to be timed.
        """
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
        """Time the start of the command-line interface and the import of Lightning."""
        script = shutil.which("zoo", path=os.fspath(Path(sys.executable).parent))
        commands = {
            "startup/zoo": [script, "list"] if script else [sys.executable, "-m", "zoo", "list"],
            "startup/lightning": [sys.executable, "-c", "import lightning"],
        }
        jobs = {name: lambda c=command, n=name: {"seconds": [self.process(c, n)]} for name, command in commands.items()}
        self.interleave(jobs, 2 if self.args.quick else max(5, self.args.rounds))


def work(text: str) -> None:
    """Run a job, given as JSON, and write its measurements to the file that it names under ``result``."""
    job = json.loads(text)
    result = {**JOBS, **CUDA_JOBS}[job["job"]](job)
    Path(job["result"]).write_text(json.dumps({**result, "peak_mib": peak_mib()}), encoding="utf-8")


QUANTITIES = ("epoch", "growth", "tokens", "beats", "accuracy", "sklearn", "startup")


def cpu_name() -> str:
    """Return the name of the processor and its number of cores."""
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        name = models[0].split(":", 1)[1].strip() if models else name
    return f"{name}, {os.cpu_count()} cores"


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark with command-line arguments and return the exit status."""
    parser = argparse.ArgumentParser(description="Measure the zoo against hand-written loops and usual pipelines.")
    parser.add_argument("--quick", action="store_true", help="a trial with few rows; its figures mean nothing")
    parser.add_argument("--only", choices=[*QUANTITIES, "captured", "choose"], help="one quantity; others are kept")
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
    if args.only and args.only not in (CUDA_QUANTITIES if args.device == "cuda" else (*QUANTITIES, "choose")):
        parser.error(f"--only {args.only} is not measured with --device {args.device}")
    args.rounds = (1 if args.quick else 3) if args.rounds is None else args.rounds
    if args.rounds < 1 or args.threads < 0:
        parser.error(f"--rounds must be at least 1 and --threads at least 0, not {args.rounds} and {args.threads}")
    output = args.output or Path("runs") / ("benchmark_quick" if args.quick else "benchmark")
    try:
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(args, folder, output)
            bench.prepare()
            on_cuda = args.device == "cuda"
            for quantity in [args.only] if args.only else CUDA_QUANTITIES if on_cuda else QUANTITIES:
                getattr(Turns(bench) if on_cuda else bench, quantity)()
                bench.save()
    except (RuntimeError, ValueError, OSError) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"benchmark: interrupted; what was measured is in {output}", file=sys.stderr)
        return 130
    print(f"\n{report(bench.content)}\n{output / 'benchmark.md'} and benchmark.json written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
