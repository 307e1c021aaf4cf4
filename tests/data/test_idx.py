"""Images in IDX files, as MNIST and Fashion-MNIST come."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from diffmemlib.data import own
from diffmemlib.data.idx import open_idx
from diffmemlib.data.inventory import SourceError
from diffmemlib.probe.data import read as probe_read

DEBIAN = Path("/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz")
IMAGES = np.random.default_rng(0).integers(0, 256, (150, 8, 8), dtype=np.uint8)


def idx(array: np.ndarray, kind: int = 8) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, kind, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def places(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFMEM_DATA", str(tmp_path / "data"))
    return tmp_path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("colour", [False, True])
def test_images_come_out_as_they_were(places, packed: bool, colour: bool):
    images = np.random.default_rng(1).integers(0, 256, (150, 8, 8, 3), dtype=np.uint8) if colour else IMAGES
    path = places / "images"
    path.write_bytes(gzip.compress(idx(images)) if packed else idx(images))
    array = np.load(own.prepare(path, "mine", 8, progress=False))
    expected = images.transpose(0, 3, 1, 2) if colour else images[:, None]
    np.testing.assert_array_equal(array, expected)
    assert "150 files taken: 150 images of an IDX file" in own.summary("mine", 8)
    data = probe_read(str(path), places / "probe", 8, progress=False)
    assert data.count == 150 and data.shape == ((3, 8, 8) if colour else (1, 8, 8))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (idx(np.zeros(10, np.uint8)), r"IDX file of shape \(10,\), and no images of bytes"),
        (idx(np.zeros((150, 8, 8), np.float32), kind=13), "and no images of bytes"),
        (idx(np.zeros((150, 8, 8, 4), np.uint8)), "and no images of bytes"),
        (idx(IMAGES)[:-5], "holds 9595"),
        (idx(IMAGES) + b"x", "holds more"),
        (gzip.compress(idx(IMAGES))[:-2000], "is damaged"),
        (gzip.compress(idx(IMAGES)[:-5]), "holds 9595"),
        (idx(IMAGES)[:7], "is damaged"),
        (struct.pack(">HBB3I", 0, 8, 3, 2**31, 2**15, 2**15), "GiB: it is damaged, or too large"),
        (idx(IMAGES[:100]), "holds 100 images, and 140 are the fewest"),
    ],
    ids=range(10),
)
def test_what_is_no_images_is_told_and_nothing_written(places, content: bytes, message: str):
    path = places / "images.gz"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=message):
        own.prepare(path, "mine", 8, progress=False)
    assert not list((places / "data").glob("*.npy"))


def test_a_bomb_is_not_unpacked(places):
    """A gzip of a gigabyte behind a header of images: no more is unpacked than the header says, and one byte."""
    path = places / "bomb.gz"
    path.write_bytes(gzip.compress(idx(IMAGES) + bytes(2**28)))
    with pytest.raises(SourceError, match="holds more"):
        own.prepare(path, "mine", 8, progress=False)


@pytest.mark.parametrize("content", [b"", b"\0", b"PK\3\4", b"a gzip", b"\x1f\x8bnothing"])
def test_other_files_are_left_to_others(tmp_path, content: bytes):
    (tmp_path / "x").write_bytes(gzip.compress(b"a tar, say") if content == b"a gzip" else content)
    assert open_idx(tmp_path / "x") is None


def test_folders_are_left_to_others(tmp_path):
    assert open_idx(tmp_path) is None and open_idx(tmp_path / "nothing") is None


@pytest.mark.skipif(not DEBIAN.exists(), reason="Debian's dataset-fashion-mnist is not installed")
def test_the_file_of_a_stranger(places):
    """Fashion-MNIST as Debian packs it, of which the mean of the 10 000 test images is known: 0.2868."""
    array = np.load(own.prepare(DEBIAN, "fashion", 28, progress=False))
    assert array.shape == (10_000, 1, 28, 28)
    assert abs(array.mean() / 255 - 0.2868) < 1e-4
