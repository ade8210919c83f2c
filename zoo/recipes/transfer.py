"""Fine-tuning: a model that starts from the weights of a trained one, with a new head where its classes are others."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor

from zoo.arguments import check_arguments, signature
from zoo.building import construct
from zoo.errors import unknown
from zoo.training.contents import as_plain, shorten

NORMALISATION = ("mean", "std")
"""Arguments that are constants of the network, which its weights include."""


def with_arguments(trained: Any, args: Mapping[str, Any], title: str, learned: Collection[str] = ()) -> Any:
    """Return a trained model with other arguments, which leave its features as they are.

    Where they change the number of classes, the layers of the head are new and initialised at random, which a warning
    says, and the model is in training mode; else it has all the weights and is in evaluation mode. What validation
    chose for the old classes is set back to its default.

    Args:
        trained: The model.
        args: The arguments, in place of the trained model's.
        title: Name of the weights in messages.
        learned: Arguments that the model learned from its data, such as its vocabulary, which cannot be replaced.

    Raises:
        ValueError: If an argument would change anything but the head.
    """
    cls, old = type(trained), dict(trained.hparams)
    sizes = head_arguments(trained)
    for name in ("num_classes", "class_names"):
        if name in args and not sizes:
            raise ValueError(f"{title}: {name} is for a model with an output layer for classes, not a {cls.__name__}")
    args = check_arguments(f"model {title}", cls, dict(args))
    for name in args:
        if name in learned and name not in (*sizes, *sizes.values()) and args[name] != old[name]:
            raise ValueError(f"{title}: {name} is what the model learned about its data: leave it out")
    args = _for_new_classes(trained, args)
    model = construct(f"model {title}", cls, {**old, **args})
    clause, new = take_weights(model, trained, _build_alike(trained, {}))
    if clause:
        found = {name: _effect_of(trained, name, args[name]) for name in args}
        wrong = {name: effect for name, effect in found.items() if effect} or dict.fromkeys(args, clause)
        name = next(iter(wrong))
        raise ValueError(
            f"{title}: {name}={shorten(args[name], exact=True)} does not fit its weights, {wrong[name]}: leave it out, "
            f"or give {shorten(old[name], exact=True)}"
        )
    model.rows_seen = getattr(trained, "rows_seen", None)
    if not new:
        return model.eval()
    rank_zero_warn(f"{title}: {_kept(model, trained, new)}")
    return model.train()


def load_start(recipe: Any, choice: str | os.PathLike[str]) -> Any:
    """Return the trained model that a recipe starts from, in evaluation mode.

    Args:
        recipe: The recipe.
        choice: Name of a recipe, whose trained weights are taken, or path of a checkpoint.

    Raises:
        ValueError: If there is no such recipe, or it is a model of another class.
        FileNotFoundError: If there are no such weights.
    """
    from zoo.recipes import create_model, list_recipes
    from zoo.registry import find_model, list_models
    from zoo.training.checkpoints import load_checkpoint, read_checkpoint

    cls, title = find_model(recipe.model["name"]).cls, os.fspath(choice)
    if title.endswith((".yaml", ".yml")):
        raise ValueError(f"{title} is a recipe's file: expected its checkpoint, runs/.../best.ckpt, or a recipe's name")
    elsewhere = re.match(r"[a-z-]{2,}:", title)  # not a path, but a place that create_model knows
    if not elsewhere and (title.endswith(".ckpt") or os.sep in title or Path(title).exists()):
        found = read_checkpoint(title).get("zoo", {}).get("class", "?")
        model = load_checkpoint(cls, title) if found == cls.__name__ else None
    elif not elsewhere and "." not in title and title not in list_models():
        raise unknown("recipe", title, list_recipes())
    else:
        model = create_model(title, pretrained=True)
        found = type(model).__name__
    if model is None or type(model) is not cls:
        names = [name for name in list_models() if find_model(name).cls.__name__ == found]
        advice = f"write name: {names[0]} under model" if names else "start from another checkpoint"
        what = f"{recipe.name} cannot start from {title}, a {found}, since it trains a {cls.__name__}"
        raise ValueError(f"{what}: {advice}")
    return model


def carried_over(trained: Any, data: Any) -> dict[str, Any]:
    """Return the hyper-parameters of a trained model that a datamodule adopts, such as its vocabulary.

    Its classes, and their order, are adopted where the data have the same ones.
    """
    hparams, sizes = dict(trained.hparams), head_arguments(trained)

    def names_of(name: str) -> Any:  # without learning a vocabulary that is then replaced
        return data.source_classes if name == "class_names" else data.spec.get(name)

    names = {size: name for size, name in sizes.items() if _same_names(hparams.get(name), names_of(name))}
    head = {*sizes, *sizes.values(), *NORMALISATION} - {*names, *names.values()}  # start_from sets the constants
    return {name: hparams[name] for name in data.learned if name not in head and hparams.get(name) is not None}


def start_from(model: Any, trained: Any, title: str, recipe: Any, data: Any, written: Mapping[str, Any]) -> None:
    """Load the weights of a trained model into a recipe's new one, but for a head of other classes.

    The constants of the normalisation are the trained model's, unless the recipe sets them. A warning says what is kept
    and what is new.

    Args:
        model: The recipe's model.
        trained: The trained model.
        title: Name of its weights in messages.
        recipe: The recipe.
        data: Its datamodule, which has adopted what ``carried_over`` returns.
        written: Arguments of the model that the recipe or its user sets.

    Raises:
        ValueError: If anything but the head differs; the line names the arguments.
    """
    old, sizes = dict(trained.hparams), head_arguments(trained)
    constants = [name for name in NORMALISATION if name in old and old[name] != model.hparams[name]]
    clause, new = take_weights(model, trained)
    if clause or any(name in written for name in constants):
        own = {*sizes, *sizes.values(), *getattr(model, "chosen_in_validation", ()), *_training_arguments()}
        other = [name for name in model.hparams if name not in own and model.hparams[name] != old.get(name)]
        other = [name for name in other if name in written or name not in NORMALISATION]
        wrong = [name for name in other if _effect_of(trained, name, model.hparams[name])]
        raise ValueError(_refusal(model, title, recipe, data, written, {name: old.get(name) for name in wrong}, clause))
    model.hparams.update({name: old[name] for name in constants})
    model.rows_seen, model.started_from = getattr(trained, "rows_seen", None), title
    kept = [*constants, *(name for name in carried_over(trained, data) if name not in (*sizes, *sizes.values()))]
    said = [_kept(model, trained, new)]
    said += [f"{', '.join(kept)}: those of {title}"] if kept else []
    for names in sizes.values() if not new else ():
        if old.get(names) and model.hparams[names] and old[names] != model.hparams[names]:
            said.append(f"those of the output layer were trained for other {names}, {shorten(old[names], exact=True)}")
    rank_zero_warn(f"{recipe.name} starts from {title}: {'; '.join(said)}")


def head_arguments(model: Any) -> dict[str, str]:
    """Return the arguments of a model that are numbers of classes, each with that of the names; none without a head."""
    return getattr(model, "head_arguments", {})


def take_weights(model: Any, trained: Any, fresh: Any = None) -> tuple[str, list[str]]:
    """Load the weights of a trained model into another one, but for layers of the head of other shapes.

    Args:
        model: The model.
        trained: The trained model.
        fresh: A model with the arguments of the trained one, untrained, with which constants are compared.

    Returns:
        What does not fit, as a clause, or "" where everything does; and the names of the layers that are new.
    """
    own, given = model.net.state_dict(), trained.net.state_dict()
    head = model.output_layers if head_arguments(model) else ()

    def shapes(state: Mapping[str, Tensor], layer: str) -> dict[str, Any]:
        return {name: value.shape for name, value in state.items() if name.startswith(f"{layer}.")}

    new = [layer for layer in head if shapes(own, layer) != shapes(given, layer)]
    inside = tuple(f"{layer}." for layer in new)
    rest = [name for name in {**own, **given} if not (inside and name.startswith(inside))]
    for name in rest:
        if name not in own or name not in given:
            return f"which have {'no' if name in own else 'a'} net.{name}", new
        if own[name].shape != given[name].shape:
            return f"in which net.{name} is {tuple(given[name].shape)} and not {tuple(own[name].shape)}", new
    constants = dict(fresh.net.named_buffers()) if fresh is not None else {}
    for name in set(rest) & constants.keys():
        if not torch.equal(own[name], constants[name]):
            return f"which include net.{name}, {shorten(given[name].flatten().tolist(), exact=True)}", new
    model.net.load_state_dict({**own, **{name: given[name] for name in rest}})
    inputs = _random_inputs(trained)
    if not torch.allclose(_output(model, inputs), _output(trained, inputs), rtol=1e-4, atol=1e-5, equal_nan=True):
        return "with which the network would compute something else", new
    return "", new


def _random_inputs(model: Any) -> list[Tensor]:
    """Return network inputs of a random sample, always the same ones; none for a model without an example of them."""
    example, draw = model.example_input_array, torch.Generator().manual_seed(0)
    parts = example.values() if isinstance(example, dict) else [] if example is None else [example]
    return [torch.rand(part.shape, generator=draw) if part.is_floating_point() else part for part in parts]


@torch.no_grad()
def _output(model: Any, inputs: Sequence[Tensor]) -> Tensor:
    """Return the features of network inputs, or the output of a model without a head, in evaluation mode."""
    if not inputs:
        return torch.zeros(0)
    with model.evaluating():  # the first call alone: a mirror image in evaluation changes no weights
        return model.head_inputs(*inputs)[0] if head_arguments(model) else model(*inputs)


def _build_alike(trained: Any, args: Mapping[str, Any]) -> Any:
    """Return an untrained model with the arguments of a trained one, some of them changed; no random number is used."""
    with torch.random.fork_rng(devices=[]):
        return construct(type(trained).__name__, type(trained), {**trained.hparams, **args})


def _effect_of(trained: Any, name: str, value: Any) -> str:
    """Return why the weights of a trained model do not fit it with another value of one argument, "" if they do."""
    try:
        return take_weights(_build_alike(trained, {name: value}), trained, _build_alike(trained, {}))[0]
    except ValueError as error:
        return str(error)


def _training_arguments() -> Collection[str]:
    from zoo.base import ZooModule

    base: Any = ZooModule
    return signature(base).keys()


def _for_new_classes(trained: Any, args: dict[str, Any]) -> dict[str, Any]:
    """Return arguments with those that depend on the classes: names of other classes do not outlive them.

    Raises:
        ValueError: If there are more or fewer names than classes.
    """
    cls: Any = type(trained)
    old, args = trained.hparams, dict(args)
    other: list[str] = []
    for size, names in head_arguments(trained).items():
        given, count = args.get(names), args.get(size)
        if given is not None and count is not None and len(given) != count:
            raise ValueError(f"{names} has {len(given)} names, but {size} is {count}: give one name a class")
        if given is not None:
            args.setdefault(size, len(given))
        if args.get(size, old.get(size)) != old.get(size):
            args.setdefault(names, None)
            other.append(names)
    if not other:
        return args
    defaults = {name: parameter.default for name, parameter in signature(cls).items()}
    for name in (*getattr(cls, "class_arguments", ()), *getattr(cls, "chosen_in_validation", ())):
        if not (isinstance(old.get(name), str) and old[name] in (args.get(other[0]) or ())):  # a class that there is
            args.setdefault(name, defaults[name])
    return args


def _same_names(one: Any, other: Any) -> bool:
    return bool(one) and bool(other) and sorted(one) == sorted(other)


def _kept(model: Any, trained: Any, new: list[str]) -> str:
    """Return which layers are new, and how many of the weights are kept, in a few words."""
    weights = dict(model.net.named_parameters())
    inside = tuple(f"{layer}." for layer in new)
    count = sum(value.numel() for name, value in weights.items() if not (inside and name.startswith(inside)))
    total = sum(value.numel() for value in weights.values())
    kept = f"{count:,} of {total:,} weights are kept"
    if not new:
        return kept
    sizes = head_arguments(model)
    changed = [
        f"{name} {model.hparams[name]} instead of {trained.hparams[name]}"
        for name in sizes
        if model.hparams[name] != trained.hparams[name]
    ]
    layers = ", ".join(f"net.{layer}" for layer in new)
    what = f"the output layer {layers} is new" if len(new) == 1 else f"the output layers {layers} are new"
    return f"{kept}, {what}, with {' and '.join(changed)}"


def _refusal(
    model: Any, title: str, recipe: Any, data: Any, written: Mapping[str, Any], wrong: dict[str, Any], clause: str
) -> str:
    """Return the line that says why a recipe cannot start from weights, and what to write in it."""
    if not wrong:
        return f"{recipe.name} cannot start from the weights of {title}, {clause}"
    plain = as_plain(wrong)
    differ = ", ".join(
        f"{name} is {shorten(value, exact=True)} there and {shorten(as_plain(model.hparams[name]), exact=True)} here"
        for name, value in plain.items()
    )
    fixed = [name for name in wrong if name in data.spec and name not in written]
    free = [f"{name}: {shorten(value, exact=True)}" for name, value in plain.items() if name not in fixed]
    advice = [f"write {', '.join(free)} under model, args"] if free else []
    if fixed:
        settings = f", see its {', '.join(data.fixed_by_model)}" if data.fixed_by_model else ""
        advice.append(f"{', '.join(fixed)}: set by the data {data.name}{settings}")
    return f"{recipe.name} cannot start from {title}: {differ}: {'; '.join(advice)}"
