"""The monitor as a callback of PyTorch Lightning."""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch

from ..diffusion.samplers import eval_mode
from .monitor import MemorizationMonitor

# Lightning comes under two names, whose classes are not each other's: the one that is in use, else one that is there.
NAMES = ("lightning.pytorch", "pytorch_lightning")


def _base() -> type:
    for name in sorted(NAMES, key=lambda name: name not in sys.modules):
        try:
            return import_module(f"{name}.callbacks").Callback
        except ModuleNotFoundError:
            continue
    raise ModuleNotFoundError("PyTorch Lightning is not installed: pip install lightning")


if TYPE_CHECKING:
    Callback = object
else:
    Callback = _base()


class MemorizationCallback(Callback):
    """Updates a monitor at its milestones, and ends the training when it says stop.

    What the monitor has seen is kept in Lightning's checkpoints. Where several processes train, the first one samples.

    Parameters
    ----------
    monitor
        The monitor.
    sample
        Returns samples of a LightningModule, (m, ...); it is called in evaluation mode, without gradients.
    """

    def __init__(self, monitor: MemorizationMonitor, sample: Callable[[Any], Any]) -> None:
        self.monitor, self.sample = monitor, sample
        self._passed = 0  # milestones that were looked at, or passed: the same in all processes

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        """Look, where this step has reached a milestone that was not looked at yet."""
        reached = bisect_right(self.monitor.milestones, trainer.global_step)
        if reached == self._passed:
            return
        self._passed = reached
        if trainer.is_global_zero:
            with eval_mode(module), torch.no_grad():
                self.monitor.update(trainer.global_step, self.sample(module))
        if trainer.strategy.reduce_boolean_decision(self.monitor.stop, all=False):
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """Return that of the monitor, and how many milestones were passed."""
        return {"monitor": self.monitor.state_dict(), "passed": self._passed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore both."""
        self.monitor.load_state_dict(state_dict["monitor"])
        self._passed = int(state_dict["passed"])
