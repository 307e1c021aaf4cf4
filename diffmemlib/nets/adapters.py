"""Networks of other packages in the form net(x, timestep, label)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class DiffusersUNet(nn.Module):
    """A UNet2DModel of diffusers (or another model whose output has ``.sample``) as net(x, timestep, label).

    Parameters
    ----------
    model
        The model; its weights are trained and loaded as its own. Whether it predicts the noise, x0 or v is said to the
        sampler or the loss, as ``prediction``.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, timestep: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the model's prediction, as x."""
        options: dict[str, Any] = {} if label is None else {"class_labels": label}
        output: Tensor = self.model(x, timestep, **options).sample
        return output
