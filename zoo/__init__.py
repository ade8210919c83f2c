"""Lightning Zoo: textbook models on real data, each tied to a published figure.

The names below are loaded when first used, so ``import zoo`` alone costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOME = {
    "create_model": "zoo.recipes",
    "export_model": "zoo.sharing.exporting",
    "list_models": "zoo.registry",
    "list_recipes": "zoo.recipes",
    "load_recipe": "zoo.recipes",
    "model_card": "zoo.sharing.cards",
    "model_info": "zoo.registry",
    "predict": "zoo.prediction",
    "push_to_hub": "zoo.sharing.hub",
    "register_model": "zoo.registry",
    "save_pretrained": "zoo.sharing.hub",
    "tune": "zoo.tuning",
}
_MODULES = ("callbacks", "metrics", "models", "nn", "recipes", "registry", "tasks")

__all__ = [
    "callbacks",
    "create_model",
    "export_model",
    "list_models",
    "list_recipes",
    "load_recipe",
    "metrics",
    "model_card",
    "model_info",
    "models",
    "nn",
    "predict",
    "push_to_hub",
    "recipes",
    "register_model",
    "registry",
    "save_pretrained",
    "tasks",
    "tune",
]

if TYPE_CHECKING:
    from zoo import callbacks, metrics, models, nn, recipes, registry, tasks
    from zoo.prediction import predict
    from zoo.recipes import create_model, list_recipes, load_recipe
    from zoo.registry import list_models, model_info, register_model
    from zoo.sharing.cards import model_card
    from zoo.sharing.exporting import export_model
    from zoo.sharing.hub import push_to_hub, save_pretrained
    from zoo.tuning import tune


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"zoo.{name}")
    raise AttributeError(f"module 'zoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
