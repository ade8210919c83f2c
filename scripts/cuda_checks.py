"""Check the packages on a CUDA device, in two parts of at most 5 minutes each.

    python scripts/cuda_checks.py tests --output checks       # pytest -m gpu: captured updates beside eager ones, ...
    python scripts/cuda_checks.py benchmark --output checks   # scripts/benchmark.py --device cuda

Each part writes its results to the folder as it goes, so that what ran before the end of the time is kept.
"""

import argparse
import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROCESSES = 6
"""Test processes that share the device."""


def run(command: list[str], log: Path, seconds: int) -> str:
    """Run a command, whose output is written to a log, and return how it ended.

    Args:
        command: The words of the command.
        log: File that its output is written to.
        seconds: Time after which it is interrupted, so that it can write what it has.
    """
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
    with log.open("w", encoding="utf-8") as file:
        pipes = {"stdout": file, "stderr": subprocess.STDOUT, "start_new_session": True}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, **pipes)
        try:
            return f"exit status {process.wait(seconds)}"
        except subprocess.TimeoutExpired:
            for number in (signal.SIGINT, signal.SIGKILL):
                os.killpg(process.pid, number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(15)
                    break
            return f"stopped after {seconds} s"


def run_tests(output: Path, seconds: int) -> str:
    """Run the tests that need a CUDA device and return their summary."""
    options = ["-o", "addopts=", "-m", "gpu", "-v", "--tb=short", "-p", "no:cacheprovider"]
    if importlib.util.find_spec("xdist"):
        options += ["-n", str(PROCESSES), "--dist", "worksteal"]
    report = output / "tests.xml"
    words = [sys.executable, "-m", "pytest", "tests/test_gpu.py", *options, f"--junitxml={report}"]
    ended = run(words, output / "tests.log", seconds)
    lines = (output / "tests.log").read_text(encoding="utf-8", errors="replace").splitlines()
    counts = {word: sum(f" {word} " in f"{line} " for line in lines) for word in ("PASSED", "FAILED", "SKIPPED")}
    found = [f"pytest -m gpu: {ended}; " + ", ".join(f"{count} {word.lower()}" for word, count in counts.items())]
    if report.exists():
        for case in ET.parse(report).iter("testcase"):
            for failure in (*case.iter("failure"), *case.iter("error")):
                found.append(f"- {case.get('name')}: {' '.join((failure.get('message') or '').split())[:300]}")
    return "\n".join(found)


def run_benchmark(output: Path, seconds: int) -> str:
    """Run the benchmark and return its report."""
    words = [sys.executable, "scripts/benchmark.py", "--device", "cuda", "--output", str(output)]
    ended = run(words, output / "benchmark.log", seconds)
    report = output / "benchmark.md"
    table = report.read_text(encoding="utf-8") if report.exists() else ""
    log = (output / "benchmark.log").read_text(encoding="utf-8", errors="replace").splitlines()
    return f"benchmark: {ended}\n\n" + (table or "\n".join(log[-20:]))


def main() -> int:
    """Run one part and print its summary, which is also written to the folder."""
    import torch

    parser = argparse.ArgumentParser(description="Check the packages on a CUDA device.")
    parser.add_argument("part", choices=("tests", "benchmark"))
    parser.add_argument("--output", type=Path, default=Path("runs") / "cuda_checks", help="folder of the results")
    parser.add_argument("--seconds", type=int, default=285, help="time after which the part is stopped")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        print("cuda_checks: torch finds no CUDA device here", file=sys.stderr)
        return 2
    output = args.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    part = {"tests": run_tests, "benchmark": run_benchmark}[args.part]
    summary = f"{torch.cuda.get_device_name()}, torch {torch.__version__}\n\n{part(output, args.seconds)}\n"
    (output / f"{args.part}_summary.md").write_text(summary, encoding="utf-8")
    print(summary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
