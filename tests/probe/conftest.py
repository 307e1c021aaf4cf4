"""Vectors to probe."""

from pathlib import Path

import numpy as np
import pytest

from diffmemlib.data.gmm import GaussianMixture
from diffmemlib.probe.data import Data, read


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    path = tmp_path / "vectors.npy"
    np.save(path, GaussianMixture(8, 1.0).sample(200, 0).numpy())
    return path


@pytest.fixture
def data(vectors: Path, tmp_path: Path) -> Data:
    return read(str(vectors), tmp_path / "out", progress=False)
