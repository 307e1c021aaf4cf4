"""The adapter on a folder and a zip made in CelebA's layout, and on everything that may be wrong with them."""

import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from diffmemlib.__main__ import app
from diffmemlib.data import prepared
from diffmemlib.data.celeba import load, prepare
from diffmemlib.data.images import Images, images
from diffmemlib.data.inventory import SourceError

COUNT = 9


def jpeg(index: int) -> bytes:
    """A smooth picture of CelebA's 178 x 218 pixels, another for each index."""
    y, x = np.mgrid[:218, :178]
    rgb = np.stack([x + 5 * index, y / 2 + 10 * index, (x + y) / 3], -1) % 256
    file = io.BytesIO()
    Image.fromarray(rgb.astype(np.uint8)).save(file, "JPEG", quality=95)
    return file.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "img_align_celeba"
    place.mkdir()
    for i in range(1, COUNT + 1):
        (place / f"{i:06d}.jpg").write_bytes(jpeg(i))
    return place


@pytest.fixture
def archive(folder: Path) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as file:
        for picture in sorted(folder.iterdir(), reverse=True):  # an order that is not that of the index
            file.write(picture, f"img_align_celeba/{picture.name}")
    return path


def left_nothing(out: Path) -> bool:
    return not out.exists() and not out.with_suffix(".npy.json").exists()


def test_folder_and_zip_give_the_same_bytes_and_a_manifest(folder: Path, archive: Path, tmp_path: Path):
    first, second = tmp_path / "a.npy", tmp_path / "b.npy"
    for source, out in ((folder, first), (archive, second)):
        prepare(source, out, size=32, count=COUNT, progress=False)
    assert first.read_bytes() == second.read_bytes()
    assert np.load(first).shape == (COUNT, 1, 32, 32)
    told = json.loads(first.with_suffix(".npy.json").read_bytes())
    assert told["count"] == COUNT
    assert told["size"] == 32
    assert told["first"] == "000001.jpg"
    assert {p.name for p in tmp_path.iterdir()} == {
        "img_align_celeba", "img_align_celeba.zip", "a.npy", "a.npy.json", "b.npy", "b.npy.json",
    }  # fmt: skip


def test_the_picture_is_the_antialiased_grey_central_square(folder: Path, tmp_path: Path):
    """Against Pillow's own bilinear filter, which always averages over what it shrinks."""
    out = prepare(folder, tmp_path / "a.npy", size=32, count=COUNT, progress=False)
    picture = Image.open(folder / "000003.jpg")
    small = np.asarray(picture.resize((32, 39), Image.Resampling.BILINEAR), float)[4:36]  # 39.2 is cut to 39
    grey = small @ [0.2989, 0.587, 0.114]
    assert np.abs(np.load(out)[2, 0] - grey).mean() < 1.5


def test_an_interrupted_preparation_goes_on(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(prepared, "CHUNK", 2)
    whole = prepare(folder, tmp_path / "whole.npy", count=COUNT, progress=False).read_bytes()
    done: list[str] = []
    real = prepared.shrink

    def stop_at_6(data: bytes, name: str, *options: int) -> np.ndarray:
        if name == "000006.jpg" and len(done) < 6:
            raise KeyboardInterrupt
        done.append(name)
        return real(data, name, *options)

    monkeypatch.setattr(prepared, "shrink", stop_at_6)
    out = tmp_path / "a.npy"
    with pytest.raises(KeyboardInterrupt):
        prepare(folder, out, count=COUNT, progress=False)
    assert left_nothing(out)
    done.extend(["-"])
    prepare(folder, out, count=COUNT, progress=False)
    assert out.read_bytes() == whole
    assert [name for name in done if name in ("000001.jpg", "000004.jpg")] == ["000001.jpg", "000004.jpg"]  # once each


def test_a_picture_that_was_replaced_after_an_interruption_is_read_again(folder: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(prepared, "CHUNK", 2)
    (folder / "000006.jpg").write_bytes(b"no picture")
    with pytest.raises(SourceError, match=r"000006\.jpg"):
        prepare(folder, tmp_path / "a.npy", count=COUNT, progress=False)
    for index in (1, 6):
        (folder / f"{index:06d}.jpg").write_bytes(jpeg(30 + index))
    fresh = prepare(folder, tmp_path / "fresh.npy", count=COUNT, progress=False).read_bytes()
    assert prepare(folder, tmp_path / "a.npy", count=COUNT, progress=False).read_bytes() == fresh


def test_a_held_out_image_is_no_training_image(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The first picture once more as the last, which is held out; and a data set that has it in both parts."""
    monkeypatch.setenv("DIFFMEM_DATA", str(tmp_path))
    (folder / f"{COUNT:06d}.jpg").write_bytes(jpeg(1))
    prepare(folder, tmp_path / "celeba-16.npy", size=16, count=COUNT, progress=False)
    data = images("celeba", 16)
    assert (len(data.pool), len(data.test)) == (6, 2)
    data.training_set(6, seed=0)
    overlapping = Images(torch.cat([data.pool, data.test[:1]]), data.test)
    with pytest.raises(ValueError, match="1 of the 7 training images are among the held-out images too"):
        overlapping.training_set(7, seed=0)


def test_an_entry_for_the_folder_itself_does_no_harm(archive: Path, tmp_path: Path):
    plain = prepare(archive, tmp_path / "a.npy", count=COUNT, progress=False).read_bytes()
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("./", b"")
    assert prepare(archive, tmp_path / "b.npy", count=COUNT, progress=False).read_bytes() == plain


def spoil(kind: str, folder: Path, archive: Path) -> Path:
    """The source with one thing wrong."""
    data = archive.read_bytes()
    if kind == "corrupt image":
        (folder / "000004.jpg").write_bytes(b"no picture")
    elif kind == "image cut short":
        (folder / "000004.jpg").write_bytes(jpeg(4)[:900])
    elif kind == "missing image":
        (folder / "000004.jpg").unlink()
    elif kind == "too few":
        (folder / f"{COUNT:06d}.jpg").unlink()
    elif kind == "empty folder":
        for picture in folder.iterdir():
            picture.unlink()
    elif kind == "short archive":
        archive.write_bytes(data[: len(data) // 2])
    elif kind == "flipped byte":
        at = data.index(jpeg(5)) + 700
        archive.write_bytes(data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :])
    elif kind == "web page":
        archive.write_bytes(b"\n<!DOCTYPE html><html>Quota exceeded</html>")
    elif kind == "packed and damaged":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            for picture in sorted(folder.iterdir()):
                file.writestr(picture.name, picture.read_bytes())
        data = archive.read_bytes()
        at = data.index(b"000005.jpg") + 20
        archive.write_bytes(data[:at] + b"\xff" * 200 + data[at + 200 :])
    elif kind == "encrypted":
        flags = bytearray(data)
        for header, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # of each entry, and in the list at the end
            for found in re.finditer(re.escape(header), data):
                flags[found.start() + place] |= 1
        data = bytes(flags)
        archive.write_bytes(data)
    elif kind.endswith("entry"):
        name = {"escaping": "../000010.jpg", "absolute": "/000010.jpg", "drive": "C:/000010.jpg"}
        with zipfile.ZipFile(archive, "a") as file:
            file.writestr(name[kind.split()[0]], jpeg(10))
    elif kind == "twice":
        with zipfile.ZipFile(archive, "a") as file:
            file.writestr("other/000001.jpg", jpeg(1))
    elif kind == "nothing":
        return folder / "nowhere"
    return folder if kind in FOLDERS else archive


FOLDERS = ("corrupt image", "image cut short", "missing image", "too few", "empty folder")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("corrupt image", "000004.jpg cannot be read as an image"),
        ("image cut short", "000004.jpg cannot be read as an image"),
        ("missing image", "lacks image 000004 (1 in all)"),
        ("too few", "holds 8 images where 9 were expected"),
        ("empty folder", "holds no image named like 000001.jpg"),
        ("short archive", "is not a whole zip archive"),
        ("flipped byte", "000005.jpg in img_align_celeba.zip is damaged"),
        ("web page", "is a web page, not an archive"),
        ("packed and damaged", "000005.jpg in img_align_celeba.zip is damaged"),
        ("encrypted", "000001.jpg in img_align_celeba.zip cannot be unpacked"),
        ("escaping entry", "'../000010.jpg', which leads out of the archive"),
        ("absolute entry", "'/000010.jpg', which leads out of the archive"),
        ("drive entry", "'C:/000010.jpg', which leads out of the archive"),
        ("twice", "holds an image twice"),
        ("nothing", "does not exist"),
    ],
)
def test_a_bad_source_gives_one_sentence_and_no_output(kind: str, message: str, folder, archive, tmp_path):
    source, out = spoil(kind, folder, archive), tmp_path / "a.npy"
    run = CliRunner().invoke(app, ["data", "celeba", str(source), "--out", str(out), "--count", str(COUNT)])
    assert run.exit_code == 1
    assert message in run.output
    assert run.output.count("Error: ") == 1
    assert left_nothing(out)


@pytest.mark.parametrize(("options", "message"), [({"size": 30}, "--size 30"), ({"out": "a.pt"}, "ends in .npy")])
def test_bad_options_are_refused(options: dict, message: str, folder: Path, tmp_path: Path):
    out = tmp_path / options.pop("out", "a.npy")
    with pytest.raises(SourceError, match=message):
        prepare(folder, out, count=COUNT, progress=False, **options)


def test_runs_read_what_was_prepared(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DIFFMEM_DATA", str(tmp_path))
    out = prepare(folder, tmp_path / "celeba-16.npy", size=16, count=COUNT, progress=False)
    data = images("celeba", 16)
    assert (len(data.pool), len(data.test)) == (7, 2)
    prepare(folder, tmp_path / "celeba-32.npy", size=16, count=COUNT, progress=False)
    with pytest.raises(SourceError, match="holds images of 16 pixels, not 32"):
        load(32)
    out.write_bytes(out.read_bytes()[:-1] + b"?")
    with pytest.raises(SourceError, match="is damaged"):
        load(16)
    out.unlink()
    with pytest.raises(FileNotFoundError, match="python -m diffmemlib data celeba SOURCE --out"):
        load(16)


def test_indices_run_from_one(folder: Path, tmp_path: Path):
    (folder / "000000.jpg").write_bytes((folder / "000001.jpg").read_bytes())
    with pytest.raises(SourceError, match="holds an image 000000, and CelebA's indices run from 000001"):
        prepare(folder, tmp_path / "out.npy", count=COUNT + 1, progress=False)


def test_a_name_with_escape_codes_is_shown_safely(tmp_path: Path):
    source = tmp_path / "red\x1b[31m"
    source.mkdir()
    with pytest.raises(SourceError) as told:
        prepare(source, tmp_path / "out.npy", progress=False)
    assert "\x1b" not in str(told.value) and "red" in str(told.value)
