"""Work that is the same at every step, recorded once and then replayed: on a GPU as one CUDA graph, one launch a step.

A small network spends most of its step in launching hundreds of kernels; a graph launches them all at once. What is
replayed are the very calls of the step on the very same memory, so numbers that change from step to step (which points,
which seeds) have to be put in place before: a recording knows no Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

T = TypeVar("T")
aten = torch.ops.aten
WAITS = {  # operations that need a number from the device before the next one
    aten._local_scalar_dense.default, aten.nonzero.default, aten.masked_select.default, aten._unique2.default,
    aten.unique_dim.default, aten.is_nonzero.default,
}  # fmt: skip
_forbidden = False
WARM_UP = 3  # calls before the recording: libraries start, optimisers make their state, torch.compile compiles


def forbid() -> None:
    """Record nothing any more in this process: work is then done call by call, as on a device that fails to replay."""
    global _forbidden
    _forbidden = True


class Replay(Generic[T]):
    """Work on one device: done call by call three times, recorded at the fourth, replayed from then on.

    The numbers are the same either way. What the work returns is overwritten by the next call.

    Parameters
    ----------
    work
        Takes nothing, reads and writes tensors that stay where they are, and waits for no number.
    device
        A GPU, where CUDA graphs replay; elsewhere `Tape` does, which is made to try the same without a GPU.
    generators
        Those that the work draws from, beside torch's own of the device; seed them before a call.
    """

    def __init__(
        self, work: Callable[[], T], device: torch.device | str, generators: Iterable[torch.Generator] = ()
    ) -> None:
        self.work, self.device, self.generators = work, torch.device(device), list(generators)
        self.calls = 0
        self.again: Callable[[], object] | None = None
        self.out: T | None = None
        self.stream = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None

    def __call__(self) -> Any:
        """Do the work; return what it returns."""
        if _forbidden:
            self.out = self.work()
        elif self.again is not None:
            self.again()
        elif self.calls < WARM_UP:
            self.out = self._warm_up()
        elif self.stream is None:
            self.again, self.out = Tape.record(self.work)
        else:
            self.again, self.out = self._graph()
        self.calls += 1
        return self.out

    def _warm_up(self) -> T:
        """On the stream of the recording: a gradient knows the stream that it was first made on."""
        if self.stream is None:
            return self.work()
        now = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(now)
        with torch.cuda.stream(self.stream):
            out = self.work()
        now.wait_stream(self.stream)
        return out

    def _graph(self) -> tuple[Callable[[], object], T]:
        with torch.cuda.device(self.device):
            graph = torch.cuda.CUDAGraph()
            for g in self.generators:
                graph.register_generator_state(g)  # a replay draws from the seed that it then has
            with torch.cuda.graph(graph, stream=self.stream):
                out = self.work()  # recorded, not done
        graph.replay()
        return graph.replay, out


class Tape(TorchDispatchMode):
    """The operations of some work and the tensors that they read and wrote, to be done again on the same memory.

    It stands in for a CUDA graph on a CPU: numbers of Python that went into an operation are those of the recording,
    and work that reads a number from a tensor, or sizes a result by one, fails as it does there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, dict[str, Any], Any]] = []

    @classmethod
    def record(cls, work: Callable[[], T]) -> tuple[Callable[[], None], T]:
        """Do the work; return what does it again, and what it returned."""
        with cls() as tape:
            out = work()
        return tape.replay, out

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        if func in WAITS:
            raise RuntimeError("the work reads a number from a tensor, for which a recording cannot wait")
        out = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, out))
        return out

    @torch.no_grad()
    def replay(self) -> None:
        """Do all of it again, each result in the place of the first."""
        for func, args, kwargs, out in self.calls:
            again = func(*args, **kwargs)
            for before, now in zip(tree_leaves(out), tree_leaves(again), strict=True):
                if isinstance(before, torch.Tensor) and before.data_ptr() != now.data_ptr():
                    before.copy_(now)
