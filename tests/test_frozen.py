"""What may not change unnoticed: the configuration of every recipe, and every file of shipped weights.

A configuration's checksum decides whether the weights of a recipe are still its own. A new recipe adds its line to
``checksums.json``; a line that is there changes only together with a new verification.
"""

import hashlib
import json
from pathlib import Path

import pytest

import zoo
from zoo import pretrained

FROZEN = json.loads((Path(__file__).parent / "checksums.json").read_text())


def test_every_recipe_is_frozen():
    assert sorted(FROZEN) == zoo.list_recipes()


@pytest.mark.parametrize("name", FROZEN)
def test_configuration_is_unchanged(name):
    assert zoo.load_recipe(name).configuration == FROZEN[name]["configuration"]


@pytest.mark.parametrize("name", FROZEN)
def test_weights_are_there_unless_they_are_not_shipped(name):
    shipped = zoo.load_recipe(name).shipped_weights != "none" and pretrained.load_result(name) is not None
    assert (FROZEN[name]["weights"] is not None) == shipped
    assert pretrained.weights_path(name).exists() == shipped


@pytest.mark.parametrize("name", [name for name, known in FROZEN.items() if known["weights"]])
def test_weights_are_unchanged(name):
    content = pretrained.weights_path(name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == FROZEN[name]["weights"]
