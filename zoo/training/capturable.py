"""What a CUDA graph of an update keeps from its capture on: settings, hooks, and the state of the optimiser."""

from __future__ import annotations

import random
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.optim import SGD, Optimizer

PLAIN = (bool, int, float, str, type(None))
LIGHTNING = frozenset(vars(L.LightningModule())) - {"training"}
MODULE = frozenset(vars(nn.Module())) - {"training"}
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def frozen_settings(model: L.LightningModule) -> tuple[tuple[Any, ...], bool]:
    """Return what a graph of an update would go on to use after it has changed, and whether it leaves out hooks.

    These settings are the numbers, strings and flags among the hyper-parameters of a model and the attributes of its
    modules, the lengths of their collections, the states of their random number generators, and where each parameter
    and buffer lies and whether it is trained. What a validation chooses is not read in training and left out. Hooks are
    Python that is called within the passes of the model.
    """
    chosen = getattr(model, "chosen_in_validation", ())
    found: list[Any] = [v for name, v in model.hparams.items() if isinstance(v, PLAIN) and name not in chosen]
    hooked = torch_module._has_any_global_hook()
    for module in model.modules():
        attributes = vars(module)
        skipped = LIGHTNING if module is model else MODULE
        for name, value in attributes.items():
            if name in skipped:
                continue
            if isinstance(value, PLAIN):
                found.append(value)
            elif isinstance(value, (list, dict, set)):
                found.append(len(value))
            elif isinstance(value, tuple) and all(isinstance(part, PLAIN) for part in value):
                found.append(value)
            elif isinstance(value, (np.random.Generator, random.Random, torch.Generator)):
                found.append(_generator_state(value))
        hooked = hooked or any(attributes.get(name) for name in HOOKS)
        for parameter in module._parameters.values():
            if parameter is not None:
                found += (parameter.data_ptr(), parameter.requires_grad)
                hooked = hooked or bool(parameter._backward_hooks or parameter._post_accumulate_grad_hooks)
        found += [buffer.data_ptr() for buffer in module._buffers.values() if buffer is not None]
    return tuple(found), bool(hooked)


def _generator_state(generator: Any) -> str | bytes:
    if isinstance(generator, torch.Generator):
        return generator.get_state().numpy().tobytes()
    return str(generator.getstate() if isinstance(generator, random.Random) else generator.bit_generator.state)


class GraphOptimizer:
    """An optimiser whose update can be captured: its learning rates and its counters lie on the device.

    Its ``state_dict``, and the optimiser after ``restore``, have numbers as before.

    Args:
        optimizer: The optimiser.
        device: Device of the parameters.
        dtype: Dtype of the learning rates.
    """

    def __init__(self, optimizer: Optimizer, device: torch.device, dtype: torch.dtype) -> None:
        self.optimizer, self.device, self.dtype = optimizer, device, dtype
        name, groups = type(optimizer).__name__, optimizer.param_groups
        fused_sgd = isinstance(optimizer, SGD) and all(group["fused"] for group in groups)
        known = fused_sgd or all("capturable" in group for group in groups)
        hooked = optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks
        self.obstacle = "" if known else f"the update of {name} reads numbers on the host"
        self.obstacle = f"{name} has hooks" if hooked else self.obstacle
        self.hook = None if self.obstacle else optimizer.register_state_dict_post_hook(self._as_numbers)
        if not self.obstacle:
            optimizer._warned_capturable_if_run_uncaptured = True  # the first updates are
            self.refresh()

    def refresh(self) -> None:
        """Put the learning rates of all groups on the device, also of groups and rates that are new."""
        for group in self.optimizer.param_groups:
            if not isinstance(group["lr"], Tensor) or group["lr"].device.type != self.device.type:
                group["lr"] = torch.tensor(float(group["lr"]), dtype=self.dtype, device=self.device)
            # On a CPU, where tests stand in for graphs, counters lie where an update reads them.
            if "capturable" in group and self.device.type != "cpu" and not group["capturable"]:
                group["capturable"] = True
                for state in (self.optimizer.state.get(parameter, {}) for parameter in group["params"]):
                    if "step" in state:  # a resumed run may have left it on the host
                        state["step"] = torch.as_tensor(state["step"], dtype=torch.float32, device=self.device)

    def settings(self) -> tuple[Any, ...]:
        """Return the settings that a graph keeps, and the identity of the tensors that it reads."""
        groups = self.optimizer.param_groups
        kept = [value for group in groups for value in group.values() if isinstance(value, (*PLAIN, tuple))]
        return (*kept, *[(group["lr"].data_ptr(), len(group["params"])) for group in groups])

    def restore(self) -> None:
        """Make the learning rates numbers again."""
        if self.hook is None:
            return
        self.hook.remove()
        self.hook = None
        for group in self.optimizer.param_groups:
            group.update(_numbers(group))
            if "capturable" in group:
                group["capturable"] = False

    @staticmethod
    def _as_numbers(optimizer: Optimizer, state_dict: dict[str, Any]) -> dict[str, Any]:
        groups = [{**group, **_numbers(group)} for group in state_dict["param_groups"]]
        for group in groups:
            if "capturable" in group:
                group["capturable"] = False
        return {**state_dict, "param_groups": groups}


def _numbers(group: dict[str, Any]) -> dict[str, float]:
    """Return the entries of a group of parameters that are scalar tensors as numbers.

    Of all numbers that a float32 may stand for it is the shortest, such as 0.001.
    """
    found = {name: value for name, value in group.items() if isinstance(value, Tensor)}
    return {
        name: float(str(np.float32(float(value)))) if value.dtype == torch.float32 else float(value)
        for name, value in found.items()
    }
