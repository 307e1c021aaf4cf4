"""TF32 is allowed or forbidden within a block, whatever a caller has set before and in whichever of torch's ways."""

import pytest
import torch

from diffmemlib.metrics.memorization import two_nearest
from diffmemlib.precision import tensor_float_32


@pytest.fixture(autouse=True)
def as_before():
    flags = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = flags
    torch.set_float32_matmul_precision("highest")


def allowed() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("name", ["highest", "high", "medium"])
def test_what_was_named_is_put_back(name: str):
    torch.set_float32_matmul_precision(name)
    before = allowed()
    with tensor_float_32():
        assert allowed() == (True, True)
        with tensor_float_32(False):
            assert allowed() == (False, False) and torch.get_float32_matmul_precision() == "highest"
        assert allowed() == (True, True)
    assert torch.get_float32_matmul_precision() == name and allowed() == before


@pytest.mark.parametrize("flag", [True, False])
def test_a_flag_is_put_back_and_does_no_harm(flag: bool):
    """Newer versions of torch then refuse to name the precision."""
    torch.backends.cuda.matmul.allow_tf32 = flag
    before = allowed()
    with tensor_float_32(not flag):
        assert allowed() == (not flag, not flag)
    assert allowed() == before
    two_nearest(torch.rand(3, 2), torch.rand(5, 2))
    assert allowed() == before
