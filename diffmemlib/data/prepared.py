"""Images on disk become one array of grey bytes: from a folder or zip, resumable, with a manifest of checksums."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..files import NumberedFiles, digest, run_lock, to_json, write_atomic
from ..places import data_dir

CHUNK = 2048  # images between two points that an interrupted preparation goes on from


class SourceError(ValueError):
    """The images cannot be taken from where they were said to be."""


@dataclass(frozen=True)
class Source:
    """Where images come from.

    Parameters
    ----------
    name
        To call it by.
    names
        Of all images, in order.
    read
        Returns the bytes of an image, by its name.
    stamp
        Returns, by its name, a text that changes when the file does, and costs no reading.
    """

    name: str
    names: list[str]
    read: Callable[[str], bytes]
    stamp: Callable[[str], str]


def prepared_path(dataset: str, side: int) -> Path:
    """Return where the prepared images of a data set lie; see `places.data_dir`."""
    return data_dir() / f"{dataset}-{side}.npy"


def open_source(
    source: Path, wanted: Callable[[str], bool], what: str, order: Callable[[list[str]], list[str]]
) -> Source:
    """Return the images of a folder or zip.

    Parameters
    ----------
    source
        The folder or zip.
    wanted
        Whether a file of this name, without its folders, is one of them.
    what
        The source to ask for in an error.
    order
        Orders the names; it may refuse them.

    Raises
    ------
    SourceError
        Where it is neither, or unsafe.
    """
    if not source.exists():
        raise SourceError(f"{source} does not exist; give {what}")
    if source.is_dir():
        files = {p.relative_to(source).as_posix(): p for p in source.rglob("*") if p.is_file() and wanted(p.name)}

        def written(name: str) -> str:
            status = files[name].stat()
            return f"{status.st_size} {status.st_mtime_ns}"

        return Source(source.name, order(list(files)), lambda name: files[name].read_bytes(), written)
    head = source.open("rb").read(512).lstrip().lower()
    if head.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise SourceError(f"{source.name} is a web page, not an archive: the download was refused; get {what} again")
    try:
        archive = zipfile.ZipFile(source)
    except zipfile.BadZipFile:
        raise SourceError(
            f"{source.name} is not a whole zip archive (it may have been cut short); get {what} again"
        ) from None
    for name in archive.namelist():
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in path.as_posix().split("/")[0]:
            raise SourceError(
                f"{source.name} holds the entry {name!r}, which leads out of the archive; do not trust it"
            )

    def read(name: str) -> bytes:
        try:
            return archive.read(name)
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError) as error:  # a wrong checksum, an end too soon
            raise SourceError(f"{name} in {source.name} is damaged ({error}); get {what} again") from None
        except (RuntimeError, NotImplementedError) as error:  # zipfile's, for a password or a method that it lacks
            raise SourceError(
                f"{name} in {source.name} cannot be unpacked ({error}); give {what}, with no password and packed in a "
                "usual way"
            ) from None

    names = order([n for n in archive.namelist() if wanted(PurePosixPath(n).name)])
    return Source(source.name, names, read, lambda name: f"{archive.getinfo(name).CRC}")


def check_options(out: Path, size: int) -> None:
    """Raise SourceError for a size that the U-Net does not take, or a file that is no .npy."""
    if size < 4 or size % 4:
        raise SourceError(f"--size {size}: the U-Net takes sides that are multiples of 4")
    if out.suffix != ".npy":
        raise SourceError(f"--out {out.name}: give a name that ends in .npy")


def prepare(source: Source, out: Path, size: int, progress: bool = True) -> Path:
    """Write images as one array of grey bytes and its manifest, ``out.json``; the same call resumes.

    The paper's steps: to [0, 1], shorter side to ``size`` (bilinear, with antialias, which torchvision's default did
    not do before 0.17), central square, grey. Centring is left to who reads it.

    Parameters
    ----------
    source
        The images.
    out
        The file, .npy: bytes, (count, 1, size, size).
    size
        Side of an image, in pixels.
    progress
        Whether to show it.

    Returns
    -------
    Path
        out.

    Raises
    ------
    SourceError
        Says what is wrong with an image; out then does not exist.
    """
    count = len(source.names)
    identity = {"source": source.name, "names": digest("\n".join(source.names).encode()), "size": size, "count": count}
    stamps = digest("\n".join(map(source.stamp, source.names)).encode())  # a picture that was replaced is read again
    parts = NumberedFiles(out.with_name(f".{out.name}.parts") / digest(to_json(identity | {"at": stamps}))[:12], ".bin")
    with run_lock(parts.folder.parent / out.name):
        for start in (bar := tqdm(range(0, count, CHUNK), desc=source.name, disable=not progress)):
            bar.set_postfix_str(f"{start} of {count} images")
            if parts.read(start) is None:
                chunk = [shrink(source.read(name), name, size) for name in source.names[start : start + CHUNK]]
                parts.write(start, np.stack(chunk).tobytes())
        whole = np.frombuffer(b"".join(parts.read(start) or b"" for start in range(0, count, CHUNK)), np.uint8)
        packed = io.BytesIO()
        np.save(packed, whole.reshape(count, 1, size, size), allow_pickle=False)
        manifest = identity | {
            "first": source.names[0], "last": source.names[-1], "sha256": digest(packed.getvalue()),
            "steps": "to [0, 1]; shorter side to size, bilinear, antialias; central square; grey; rounded to bytes",
            "mean": float(whole.mean()) / 255, "versions": {p: version(p) for p in ("torchvision", "pillow", "numpy")},
        }  # fmt: skip
        write_atomic(out.with_suffix(".npy.json"), to_json(manifest))
        write_atomic(out, packed.getvalue())
    shutil.rmtree(parts.folder.parent, ignore_errors=True)
    return out


def shrink(data: bytes, name: str, size: int) -> np.ndarray:
    """Return one image file as grey bytes, (1, size, size); what is transparent becomes white."""
    from PIL import Image, ImageOps, UnidentifiedImageError
    from torchvision.transforms import functional as T

    try:
        picture: Image.Image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))  # upright, as it is seen
        if picture.mode[0] in "IF":
            raise ValueError("it has more than 8 bits a channel; which range to keep is for you to say")
        if picture.has_transparency_data:
            rgba = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
        picture = picture.convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError) as error:
        raise SourceError(f"{name} cannot be read as an image ({error}); replace it, then run the same again") from None
    x = T.resize(T.to_tensor(picture), [size], interpolation=T.InterpolationMode.BILINEAR, antialias=True)
    grey: Tensor = T.rgb_to_grayscale(T.center_crop(x, [size, size]))
    return (grey * 255).round().clamp(0, 255).to(torch.uint8).numpy()


def without(images: Tensor, others: Tensor) -> Tensor:
    """Return the images that are not among the others, byte for byte."""
    known = {image.tobytes() for image in others.numpy()}
    return images[[image.tobytes() not in known for image in images.numpy()]]


def manifest_of(path: Path, how: str) -> dict[str, Any]:
    """Return what the manifest says; FileNotFoundError where there is none or no data, with how to make them."""
    manifest = path.with_suffix(".npy.json")
    if not (path.exists() and manifest.exists()):
        raise FileNotFoundError(f"{path} with its manifest is not there; make it with: {how}")
    content: dict[str, Any] = json.loads(manifest.read_bytes())
    return content


def load(path: Path, side: int, how: str) -> Tensor:
    """Return prepared images, bytes (count, 1, side, side); SourceError where they are damaged or of another size."""
    manifest, data = manifest_of(path, how), path.read_bytes()
    if digest(data) != manifest["sha256"]:
        raise SourceError(f"{path.name} is damaged (its checksum does not match its manifest); make it again")
    if manifest["size"] != side:
        raise SourceError(f"{path.name} holds images of {manifest['size']} pixels, not {side}")
    return torch.from_numpy(np.load(io.BytesIO(data), allow_pickle=False))
