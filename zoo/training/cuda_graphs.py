"""CUDA graphs of one device, and what stands in for them."""

from __future__ import annotations

import contextlib
import gc
import warnings
from collections.abc import Callable
from typing import Any, Protocol

import torch

Values = dict[str, Any]


class Backend(Protocol):
    """What captures and replays the work of a device."""

    rate_dtype: torch.dtype
    """Dtype of a learning rate that the optimisers' kernels read from the device."""

    def run(self, function: Callable[[], Values]) -> Values:
        """Call a function as a capture of it would."""

    def find_waits(self, function: Callable[[], Values]) -> tuple[Values, bool]:
        """Call a function and return whether it waits for the device, which a graph cannot do."""

    def capture(self, function: Callable[[], Values]) -> tuple[Callable[[], None], Values]:
        """Capture the work of a function without doing it; return what does it and the tensors it will write."""

    def release(self) -> None:
        """Free the memory of all graphs."""


class CudaGraphs:
    """CUDA graphs of one device, which share their memory.

    Args:
        device: The CUDA device.
    """

    rate_dtype = torch.float32

    def __init__(self, device: torch.device) -> None:
        self.device, self.stream, self.pool = device, torch.cuda.Stream(device), torch.cuda.graph_pool_handle()
        self.anchor: Any = None

    def run(self, function: Callable[[], Values]) -> Values:
        """Call a function on the stream of the captures.

        Autograd keeps the stream on which it first met a parameter: one of another stream could not be captured.
        """
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            found = function()
        current.wait_stream(self.stream)
        return found

    def find_waits(self, function: Callable[[], Values]) -> tuple[Values, bool]:
        """Call a function and return whether it waits for the device."""
        before = torch.cuda.get_sync_debug_mode()
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                values = self.run(function)
            finally:
                torch.cuda.set_sync_debug_mode(before)
        waits = False
        for each in found:
            if "called a synchronizing" in str(each.message):
                waits = True
            elif "Synchronization debug mode" not in str(each.message):
                warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
        return values, waits

    def capture(self, function: Callable[[], Values]) -> tuple[Callable[[], None], Values]:
        """Capture the kernels that a function launches.

        Raises:
            RuntimeError: If it does what cannot be captured; the random number generator is as before.
        """
        graph, current = torch.cuda.CUDAGraph(), torch.cuda.current_stream(self.device)
        index = current.device_index
        generator = torch.cuda.default_generators[index]
        before, collects = generator.clone_state(), gc.isenabled()
        self.stream.wait_stream(current)
        torch.cuda.synchronize(self.device)
        gc.disable()  # what it frees might wait for the device
        try:
            with torch.cuda.stream(self.stream):
                if self.anchor is None:
                    self.anchor = self._capture_nothing()
                torch._C._cuda_clearCublasWorkspaces()  # the graph's own lies in its pool
                # Another thread, such as one that pins the next rows, may do what a capture may not.
                graph.capture_begin(pool=self.pool, capture_error_mode="thread_local")
                try:
                    values = function()
                finally:
                    graph.capture_end()
                    torch._C._cuda_clearCublasWorkspaces()
        except BaseException:
            generator.graphsafe_set_state(before)
            # torch before 2.12 would go on allocating for this capture.
            with contextlib.suppress(RuntimeError, AttributeError):
                torch._C._cuda_endAllocateToPool(index, self.pool)
            raise
        finally:
            if collects:
                gc.enable()
        current.wait_stream(self.stream)
        return graph.replay, values

    def _capture_nothing(self) -> torch.cuda.CUDAGraph:
        """Return an empty graph; the pool of memory cannot be used again once no graph is left in it."""
        graph = torch.cuda.CUDAGraph()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of an empty graph
            graph.capture_begin(pool=self.pool, capture_error_mode="thread_local")
            graph.capture_end()
        return graph

    def release(self) -> None:
        """Free the memory of all graphs."""
        self.anchor = None
