"""A stand-in for CUDA graphs on a CPU: the operations of a function are recorded and replayed one by one.

As in a CUDA graph, what Python computed is not computed again, and what needs a value on the host is refused.
"""

from typing import ClassVar

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

WAITS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}


def tensors(tree):
    return [leaf for leaf in tree_flatten(tree)[0] if isinstance(leaf, torch.Tensor)]


def waits(func, args):
    """Return whether an operation reads a tensor on the host, or brings a constant from there."""
    if func is torch.ops.aten.index.Tensor:
        return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])
    return func is torch.ops.aten.lift_fresh.default or bool(WAITS & set(func.tags))


class Watching(TorchDispatchMode):
    """Remember whether an operation waits."""

    found = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.found |= waits(func, args)
        return func(*args, **(kwargs or {}))


class Recording(TorchDispatchMode):
    """Record the operations."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if waits(func, args):
            raise RuntimeError(f"operation not permitted when stream is capturing: {func}")
        out = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, out, torch.is_grad_enabled()))
        return out

    def replay(self):
        with torch._C._AutoDispatchBelowAutograd():
            for func, args, kwargs, out, grad in self.calls:
                shared = {each.untyped_storage().data_ptr() for each in tensors((args, kwargs))}
                with torch.set_grad_enabled(grad):  # what the layers of oneDNN return depends on it
                    again = func(*args, **kwargs)
                for old, new in zip(tensors(out), tensors(again), strict=True):
                    if old.numel() and old.untyped_storage().data_ptr() not in shared:
                        old.copy_(new)


class RecordedGraphs:
    """See ``zoo.training.captured.Backend``; parameters, statistics and random state are put back after a capture."""

    rate_dtype = torch.float64
    """A CPU's kernels compute with a learning rate of this precision."""
    made: ClassVar[list] = []
    """The stand-ins of a test."""

    def __init__(self, model):
        self.model, self.captures, self.replays, self.runs = model, 0, 0, 0
        self.made.append(self)

    def run(self, function):
        self.runs += 1
        return function()

    def find_waits(self, function):
        self.runs += 1
        with Watching() as mode:
            values = function()
        return values, mode.found

    def capture(self, function):
        optimizer = self.model.trainer.optimizers[0]
        kept = [*self.model.parameters(), *self.model.buffers()]
        kept += [value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value)]
        kept += [p.grad for p in self.model.parameters() if p.grad is not None]
        before, drawn = [each.detach().clone() for each in kept], torch.get_rng_state()
        try:
            with Recording() as mode:
                values = function()
        finally:  # a capture launches nothing
            torch.set_rng_state(drawn)
            with torch.no_grad():
                for each, value in zip(kept, before, strict=True):
                    each.copy_(value)
        self.captures += 1

        def replay():
            self.replays += 1
            mode.replay()

        return replay, values

    def release(self):
        self.released = True
