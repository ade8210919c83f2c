"""Mutation testing: change one expression at a time and see whether the tests that reach it notice.

    python tests/mutate.py --count 60 --seed 0 --jobs 2

First the suite runs once under coverage, which tells which tests reach which line (``--coverage FILE`` keeps that for
another run) and that they pass without a mutant. Then expressions are drawn at random, spread over the files of both
packages, and each mutant runs against the tests that reach its line, in a copy of the tree. The mutants that no test
notices are listed, with their change.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PACKAGES = ("zoo", "datamodules")
COMPARISONS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
OPERATORS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}


class Mutant(NamedTuple):
    """A change of one expression."""

    file: str
    line: int
    before: str
    after: str
    source: str


def mutations(node: ast.expr) -> Iterator[ast.expr]:
    """Yield changed copies of an expression."""
    other = copy.deepcopy(node)
    if isinstance(other, ast.Compare) and type(other.ops[0]) in COMPARISONS:
        other.ops[0] = COMPARISONS[type(other.ops[0])]()
        yield other
    elif (
        isinstance(other, ast.BinOp)
        and type(other.op) in OPERATORS
        and not isinstance(other.left, ast.Constant | ast.JoinedStr)
    ):
        other.op = OPERATORS[type(other.op)]()
        yield other
    elif isinstance(other, ast.BoolOp):
        other.op = ast.Or() if isinstance(other.op, ast.And) else ast.And()
        yield other
    elif isinstance(other, ast.UnaryOp) and isinstance(other.op, ast.Not | ast.USub):
        yield other.operand
    elif isinstance(other, ast.IfExp):
        other.body, other.orelse = other.orelse, other.body
        yield other
    elif isinstance(other, ast.Constant) and type(other.value) in (int, float, bool):
        other.value = not other.value if isinstance(other.value, bool) else other.value + 1
        yield other


def mutants_of(path: Path, lines: set[int]) -> list[Mutant]:
    """Return all mutants of a file whose lines some test reaches."""
    text = path.read_text(encoding="utf-8")
    rows = text.splitlines(keepends=True)
    tree = ast.parse(text)
    annotations = {
        id(part)
        for node in ast.walk(tree)
        for hint in (getattr(node, "annotation", None), getattr(node, "returns", None))
        if hint is not None
        for part in ast.walk(hint)
    }
    messages = {id(part) for node in ast.walk(tree) if isinstance(node, ast.Raise) for part in ast.walk(node)}
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.expr) or id(node) in annotations | messages or node.lineno not in lines:
            continue
        for changed in mutations(node):
            first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
            head = "".join(rows[:first]) + rows[first].encode()[: node.col_offset].decode()
            tail = rows[last].encode()[node.end_col_offset :].decode() + "".join(rows[last + 1 :])
            source = f"{head}({ast.unparse(changed)}){tail}"
            try:
                ast.parse(source)
            except SyntaxError:
                continue
            before = ast.get_source_segment(text, node) or ""
            found.append(Mutant(str(path.relative_to(ROOT)), node.lineno, before, ast.unparse(changed), source))
    return found


@contextmanager
def copy_of_tree() -> Iterator[Path]:
    """Give a copy of the tree inside the block."""
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / "tree"
        shutil.copytree(ROOT, copied, ignore=shutil.ignore_patterns(".git", ".venv", "runs", "__pycache__"))
        yield copied


def environment(tree: Path) -> dict[str, str]:
    """Return the variables of a process in which the packages of a copy are imported."""
    return {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def measure_coverage(path: Path) -> None:
    """Run the suite once, on a copy as the mutants' are, and write which tests reach which lines.

    Raises:
        SystemExit: If a test fails without a mutant.
    """
    with copy_of_tree() as tree:
        sources = [f"--cov={package}" for package in PACKAGES]
        command = [sys.executable, "-m", "pytest", "-q", *sources, "--cov-context=test", "--cov-report="]
        variables = {**environment(tree), "COVERAGE_FILE": str(path), "COVERAGE_CORE": "ctrace"}
        if subprocess.run(command, cwd=tree, env=variables, check=False).returncode:
            path.unlink(missing_ok=True)
            sys.exit("tests fail without a mutant")


def reached(path: Path) -> dict[str, dict[int, list[str]]]:
    """Return the tests by line and by file."""
    from coverage import CoverageData

    data = CoverageData(basename=str(path))
    data.read()
    found: dict[str, dict[int, list[str]]] = {}
    for file in data.measured_files():
        contexts = data.contexts_by_lineno(file)
        by_line = {line: [c.split("|")[0] for c in tests if c.endswith("|run")] for line, tests in contexts.items()}
        parts = Path(file).parts
        start = max(parts.index(package) for package in PACKAGES if package in parts)
        found["/".join(parts[start:])] = {line: tests for line, tests in by_line.items() if tests}
    return found


def draw(tests: dict[str, dict[int, list[str]]], count: int, seed: int) -> list[Mutant]:
    """Draw mutants, as evenly over the files as their sizes allow."""
    rng = random.Random(seed)
    pools = {file: mutants_of(ROOT / file, set(lines)) for file, lines in sorted(tests.items())}
    pools = {file: rng.sample(pool, len(pool)) for file, pool in pools.items() if pool}
    chosen: list[Mutant] = []
    while len(chosen) < count and pools:
        for file in rng.sample(sorted(pools), len(pools)):
            if len(chosen) < count:
                chosen.append(pools[file].pop())
            if not pools[file]:
                del pools[file]
    return chosen


def is_noticed(mutant: Mutant, tests: list[str], limit: float) -> bool:
    """Run the tests on a copy of the tree with the mutant; a test that hangs notices it too."""
    with copy_of_tree() as tree:
        (tree / mutant.file).write_text(mutant.source, encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider", *tests]
        try:
            run = subprocess.run(command, cwd=tree, env=environment(tree), capture_output=True, timeout=limit)
        except subprocess.TimeoutExpired:
            return True
        return run.returncode != 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=60, help="number of mutants")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time")
    parser.add_argument("--tests", type=int, default=40, help="tests a mutant meets first; survivors meet all")
    parser.add_argument("--limit", type=float, default=900, help="seconds a mutant may take")
    parser.add_argument("--coverage", type=Path, help="file of the coverage; measured first if it is not there")
    args = parser.parse_args()
    path = args.coverage or Path(tempfile.mkdtemp()) / "coverage"
    if not path.exists():
        measure_coverage(path)
    tests = reached(path)
    mutants = draw(tests, args.count, args.seed)

    def judge(numbered: tuple[int, Mutant]) -> bool:
        number, mutant = numbered
        able = sorted(set(tests[mutant.file][mutant.line]))
        few = random.Random(args.seed).sample(able, min(args.tests, len(able)))
        noticed = is_noticed(mutant, few, args.limit) or (len(few) < len(able) and is_noticed(mutant, able, args.limit))
        word = "noticed " if noticed else "UNNOTICED"
        print(f"{number:3} {word} {mutant.file}:{mutant.line}  {mutant.before}  ->  {mutant.after}", flush=True)
        return noticed

    with ThreadPoolExecutor(args.jobs) as threads:
        results = list(threads.map(judge, enumerate(mutants, 1)))
    print(f"{sum(results)} of {len(results)} mutants noticed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
