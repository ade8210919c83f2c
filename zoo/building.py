"""Construction of models within a budget: what cannot be built is refused in one line, before memory is taken."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from zoo.arguments import signature

MAX_PARAMETERS = 1_000_000_000
"""Largest number of weights of a model, buffers included: 4 GB in float32."""
MAX_TENSORS = 5_000
"""Largest number of a model's tensors."""
SMALL = 1_000_000
"""Number of elements up to which a tensor other than a weight keeps its values in a model without storage."""


class _BudgetError(ValueError):
    """A model that is too large, or that has a tensor without elements."""


def construct(owner: str, cls: type, args: Mapping[str, Any]) -> Any:
    """Build a model from checked arguments.

    Its tensors are counted; where its numbers multiply to many, first without storage, on torch's ``meta``
    device, and without taking random numbers.

    Args:
        owner: The model's name in messages, such as ``"model mlp"``.
        cls: Its class.
        args: Arguments of its constructor.

    Raises:
        ValueError: If an argument is refused, or the model would have more than ``MAX_PARAMETERS`` weights.
    """
    with refusing(owner, args), _budget():
        if _may_be_large(cls, args):
            _try_without_storage(cls, args)
        return cls(**args)


@contextmanager
def refusing(owner: str, args: Mapping[str, Any]) -> Iterator[None]:
    """Turn whatever a constructor raises inside the block into a ``ValueError`` of one line with its arguments.

    Args:
        owner: What is built, in messages.
        args: The arguments.
    """
    try:
        yield
    except _BudgetError as error:
        raise ValueError(f"{owner} cannot be built with {describe_arguments(args)}: {error}") from None
    except (ValueError, OSError, ImportError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"{owner} cannot be built with {describe_arguments(args)}: {reason}") from error


def describe_arguments(args: Mapping[str, Any], limit: int = 160) -> str:
    """Return arguments in a few words; those with unusual numbers come first, and long values are shortened."""

    def unusual(name: str) -> int:
        parts = args[name] if isinstance(args[name], (list, tuple)) else [args[name]]
        if len(parts) > 100:
            return 3
        numbers = [part for part in parts[:100] if isinstance(part, (int, float)) and not isinstance(part, bool)]
        return 2 * any(not 0 <= part <= 1e5 for part in numbers) + any(part == 0 for part in numbers)

    names = sorted(args, key=unusual, reverse=True)
    words: list[str] = []
    length = 0
    for name in names:
        text = f"{name}={args[name]!r}"
        text = text if len(text) <= 60 else text[:57] + "..."
        if words and length + len(text) > limit:
            words.append("...")
            break
        words.append(text)
        length += len(text)
    return ", ".join(words) or "its defaults"


def _may_be_large(cls: type, args: Mapping[str, Any]) -> bool:
    """Return whether the three largest whole numbers among the arguments multiply to more weights than allowed."""
    defaults = {name: parameter.default for name, parameter in signature(cls).items()}
    numbers = [1, 1, 1]
    for value in {**defaults, **args}.values():
        parts = value if isinstance(value, (list, tuple)) else [value]
        numbers += [abs(part) for part in (len(parts), *parts) if isinstance(part, int)]
    return math.prod(sorted(numbers)[-3:]) > MAX_PARAMETERS


def _try_without_storage(cls: type, args: Mapping[str, Any]) -> None:
    """Build a model whose weights and large tensors are on the ``meta`` device, within the budget.

    A constructor that reads their values is left to the real construction.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    factories = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.arange, torch.eye}

    class WithoutStorage(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if function in factories and kwargs.get("device") is None:
                tensor = function(*args, **{**kwargs, "device": "meta"})
                if function is torch.empty or tensor.numel() > SMALL:
                    return tensor
            return function(*args, **kwargs)

    state = torch.get_rng_state()
    try:
        with WithoutStorage():
            cls(**args)
    except _BudgetError:
        raise
    except Exception:  # what is wrong is said by the real construction
        return
    finally:
        torch.set_rng_state(state)


@contextmanager
def _budget() -> Iterator[None]:
    """Raise ``_BudgetError`` inside the block once the tensors of this thread's modules exceed the budget."""
    import torch
    from torch.nn.modules import module as hooks

    own = threading.get_ident()
    seen: dict[int, list[int]] = {}  # by device: what was built without storage is built again

    def count(module: Any, name: str, tensor: Any) -> None:
        if tensor is None or threading.get_ident() != own:
            return
        total = seen.setdefault(tensor.is_meta, [0, 0])
        total[0] += tensor.numel()
        total[1] += 1
        layer = type(module).__name__
        if isinstance(tensor, torch.nn.Parameter) and tensor.numel() == 0:
            raise _BudgetError(f"{name} of a {layer} would have the shape {tuple(tensor.shape)}, without any elements")
        if total[0] > MAX_PARAMETERS:
            raise _BudgetError(f"more than {MAX_PARAMETERS:,} weights, {tensor.numel():,} of them {name} of a {layer}")
        if total[1] > MAX_TENSORS:
            raise _BudgetError(f"more than {MAX_TENSORS:,} tensors")

    handles = [
        hooks.register_module_parameter_registration_hook(count),
        hooks.register_module_buffer_registration_hook(count),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
