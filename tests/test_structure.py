"""The structure of the packages: which may import which, how large files are, and names that would hide each other."""

import ast
import graphlib
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import datamodules
import zoo

ROOT = Path(__file__).parent.parent
PACKAGES = (zoo, datamodules)
LAYERS = (
    ("errors", "arguments", "building", "files"),
    ("metrics", "nn"),
    ("training",),
    ("base",),
    ("tasks",),
    ("registry", "figures"),
    ("models", "callbacks"),
    ("pretrained",),
    ("baselines", "recipes"),
    ("prediction", "tuning", "verification"),
    ("sharing",),
    ("outcome",),
    ("cli",),
    ("__main__",),
)
"""Parts of ``zoo`` from the lowest to the highest: an import goes down or stays within a layer's part."""
PLAIN = ("datamodules.ecg", "datamodules.images", "datamodules.text")
"""Helpers of the data that ``zoo`` may import; a DataModule it only builds, where a recipe is built."""


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_of(path): path for package in ("zoo", "datamodules") for path in (ROOT / package).rglob("*.py")}


def imports(module, lazy):
    """Return the modules of our own that a module imports at its top level, or in its functions too."""
    tree = ast.parse(SOURCES[module].read_text())
    nodes = list(ast.walk(tree)) if lazy else [part for node in tree.body for part in (node, *guarded(node))]
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {
                name if (name := f"{node.module}.{alias.name}") in SOURCES else node.module for alias in node.names
            }
    return {name for name in found if name in SOURCES and name != module}


def guarded(node):
    """Return the statements inside a top-level ``try``; what only a type checker reads is not imported."""
    return node.body if isinstance(node, ast.Try) else []


def part_of(module):
    return module.split(".")[1] if "." in module else ""


def test_imports_have_no_circle():
    graph = {module: imports(module, lazy=False) for module in SOURCES}
    # A package's __init__ runs before its modules, but it imports them itself where it does.
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("module", [name for name in SOURCES if name.startswith("zoo.")])
def test_imports_go_downwards(module):
    layer = {part: number for number, parts in enumerate(LAYERS) for part in parts}
    own = part_of(module)
    assert own in layer, f"{own} has no place in LAYERS"
    for other in imports(module, lazy=True):
        if other.startswith("zoo.") and part_of(other) != own:
            allowed = layer[part_of(other)] < layer[own] or layer[part_of(other)] == layer[own] == 0
            assert allowed, f"{module} imports {other}, which is not below it"
    for other in imports(module, lazy=False):
        if other.startswith("datamodules"):
            assert other.startswith(PLAIN), f"{module} imports {other} when it is loaded"
    for other in imports(module, lazy=True):
        if other.startswith("datamodules") and not other.startswith(PLAIN):
            assert own in ("cli", "recipes"), f"{module} imports {other}: only a recipe builds a datamodule"


@pytest.mark.parametrize("module", [name for name in SOURCES if name.startswith("datamodules")])
def test_data_know_nothing_of_models(module):
    assert not [other for other in imports(module, lazy=True) if other.startswith("zoo")]


def test_callbacks_know_tasks_and_not_models():
    for module in SOURCES:
        if module.startswith(("zoo.callbacks", "zoo.tasks", "zoo.prediction", "zoo.training")):
            assert not [other for other in imports(module, lazy=True) if other.startswith("zoo.models")], module


def test_files_are_short_and_the_root_is_tidy():
    files = [*SOURCES.values(), *(ROOT / "scripts").glob("*.py")]
    long = {str(path.relative_to(ROOT)): n for path in files if (n := len(path.read_text().splitlines())) > 350}
    assert not long
    assert len(list((ROOT / "zoo").glob("*.py"))) <= 9
    assert len({path.name for path in (ROOT / "zoo").rglob("beats.py")}) == 0


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_no_function_hides_a_module(package):
    """``zoo.predict`` is a function, so no file or folder of the package may have its name."""
    modules = list(pkgutil.walk_packages(package.__path__, f"{package.__name__}."))
    taken = {module.name.rpartition(".")[2] for module in modules}
    for module in modules:
        for name, value in vars(importlib.import_module(module.name)).items():
            if inspect.isfunction(value) and value.__module__ == module.name and not name.startswith("_"):
                assert name not in taken, f"{module.name}.{name} is also a module"


def test_no_two_functions_share_a_name():
    """Within a package a name means one thing; what several pipelines implement is named in ``SHARED``."""
    homes = {}
    for module in SOURCES:
        for name, value in vars(importlib.import_module(module)).items():
            if inspect.isfunction(value) and value.__module__ == module and not name.startswith("_"):
                homes.setdefault((module.split(".")[0], name), set()).add(module)
    several = {name: where for (_, name), where in homes.items() if len(where) > 1 and name not in SHARED}
    assert not several


SHARED = {"predict", "read_input", "register"}
"""``zoo.predict`` and the pipelines behind it; the inner functions of decorators."""
