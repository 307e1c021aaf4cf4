"""The checks of a campaign, on a GPU."""

import pytest
import torch

from diffmemlib.campaign.checks import CHECKS
from diffmemlib.training.determinism import deterministic

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here"),
]


@pytest.mark.parametrize("name", CHECKS)
def test_check(name: str):
    with deterministic("cuda"):
        CHECKS[name]("cuda")
