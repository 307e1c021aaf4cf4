"""The monitor as a callback of PyTorch Lightning."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch

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
        self._milestones = frozenset(monitor.milestones)

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        """Look, where this step is a milestone that was not looked at yet."""
        looks, step = self.monitor.looks, trainer.global_step
        if step not in self._milestones or (looks and step <= looks[-1].step):
            return
        if trainer.is_global_zero:
            training = module.training
            module.eval()
            with torch.no_grad():
                self.monitor.update(step, self.sample(module))
            module.train(training)
        if trainer.strategy.reduce_boolean_decision(self.monitor.stop, all=False):
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """Return that of the monitor."""
        return self.monitor.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the monitor."""
        self.monitor.load_state_dict(state_dict)
