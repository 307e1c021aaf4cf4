"""Whether a GPU may round the factors of float32 products to TF32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def tensor_float_32(allowed: bool = True) -> Iterator[None]:
    """Let products of float32 matrices and convolutions use the TF32 of a GPU within the block, or forbid it.

    What a caller has set, "medium" too, is put back. Without TF32 a CPU computes in float32 as well.
    """
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    convolutions = cudnn.allow_tf32
    try:
        named = torch.get_float32_matmul_precision()
    except RuntimeError:  # where a caller has set it by the flag alone, newer versions of torch know no name for it
        named = ""
    flag = matmul.allow_tf32
    cudnn.allow_tf32 = allowed
    if named:
        torch.set_float32_matmul_precision("high" if allowed else "highest")
    else:
        matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        cudnn.allow_tf32 = convolutions
        if named:
            torch.set_float32_matmul_precision(named)
        else:
            matmul.allow_tf32 = flag
