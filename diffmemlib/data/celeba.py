"""CelebA from the file that its authors give out: a folder or zip of JPEGs becomes one array of grey bytes.

Nothing is downloaded, and no face comes with this repository.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..files import NumberedFiles, digest, exclusive, to_json, write_atomic
from ..runs import ROOT

COUNT = 202_599  # images in CelebA
HELD_OUT = 10_000  # the last ones by index: the paper's FID reference, and its first 2048 the held-out loss
CHUNK = 2048  # images between two points that an interrupted preparation goes on from
NAME = re.compile(r"(\d{6})\.(jpg|png)", re.IGNORECASE)
SOURCE = "the folder img_align_celeba, or the file img_align_celeba.zip, as CelebA's authors give it out"


class SourceError(ValueError):
    """The images cannot be taken from where they were said to be."""


@dataclass(frozen=True)
class Source:
    """Where images come from: the names of all, in the order of their index, and how to read one."""

    names: list[str]
    read: Callable[[str], bytes]


def prepare(source: Path, out: Path, size: int = 32, count: int = COUNT, progress: bool = True) -> Path:
    """Write out (.npy, bytes, (count, 1, size, size)) and its manifest out.json; the same call resumes.

    The paper's steps: to [0, 1], shorter side to `size` (bilinear, with antialias, which torchvision's default did not
    do before 0.17), central square, grey. Centring is left to who reads it. SourceError says what is wrong with the
    source; `out` then does not exist.
    """
    if size < 4 or size % 4:
        raise SourceError(f"--size {size}: the U-Net takes sides that are multiples of 4")
    if out.suffix != ".npy":
        raise SourceError(f"--out {out.name}: give a name that ends in .npy")
    found = open_source(source)
    if len(found.names) != count:
        raise SourceError(
            f"{source.name} holds {len(found.names)} images where {count} were expected; if it is a part that you mean "
            f"to use, say --count {len(found.names)}, else get {SOURCE} again"
        )
    identity = {"source": source.name, "names": digest("\n".join(found.names).encode()), "size": size, "count": count}
    parts = NumberedFiles(out.with_name(f".{out.name}.parts") / digest(to_json(identity))[:12], ".bin")
    with exclusive(parts.folder.parent):
        for start in tqdm(
            range(0, count, CHUNK), desc="CelebA", unit_scale=CHUNK, unit=" images", disable=not progress
        ):
            if parts.read(start) is None:
                chunk = [shrink(found.read(name), name, size) for name in found.names[start : start + CHUNK]]
                parts.write(start, np.stack(chunk).tobytes())
        whole = np.frombuffer(b"".join(parts.read(start) or b"" for start in range(0, count, CHUNK)), np.uint8)
        packed = io.BytesIO()
        np.save(packed, whole.reshape(count, 1, size, size), allow_pickle=False)
        manifest = identity | {
            "first": found.names[0], "last": found.names[-1], "sha256": digest(packed.getvalue()),
            "steps": "to [0, 1]; shorter side to size, bilinear, antialias; central square; grey; rounded to bytes",
            "mean": float(whole.mean()) / 255, "versions": {p: version(p) for p in ("torchvision", "pillow", "numpy")},
        }  # fmt: skip
        write_atomic(out.with_suffix(".npy.json"), to_json(manifest))
        write_atomic(out, packed.getvalue())
    shutil.rmtree(parts.folder.parent, ignore_errors=True)
    return out


def open_source(source: Path) -> Source:
    """The images of a folder or zip; SourceError where it is neither, unsafe, or lacks an index."""
    if not source.exists():
        raise SourceError(f"{source} does not exist; give {SOURCE}")
    if source.is_dir():
        files = {p.relative_to(source).as_posix(): p for p in source.rglob("*") if NAME.fullmatch(p.name)}
        return Source(_in_order(list(files), source), lambda name: files[name].read_bytes())
    head = source.open("rb").read(512).lstrip().lower()
    if head.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise SourceError(f"{source.name} is a web page, not an archive: the download was refused; get {SOURCE} again")
    try:
        archive = zipfile.ZipFile(source)
    except zipfile.BadZipFile:
        raise SourceError(
            f"{source.name} is not a whole zip archive (it may have been cut short); get {SOURCE} again"
        ) from None
    for name in archive.namelist():
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
            raise SourceError(
                f"{source.name} holds the entry {name!r}, which leads out of the archive; do not trust it"
            )
    names = [n for n in archive.namelist() if NAME.fullmatch(PurePosixPath(n).name)]

    def read(name: str) -> bytes:
        try:
            return archive.read(name)
        except (zipfile.BadZipFile, OSError, EOFError) as error:  # a wrong checksum, a member that ends too soon
            raise SourceError(f"{name} in {source.name} is damaged ({error}); get {SOURCE} again") from None

    return Source(_in_order(names, source), read)


def _in_order(names: list[str], source: Path) -> list[str]:
    """Sorted by index, which must run from 1 without a gap."""
    if not names:
        raise SourceError(f"{source.name} holds no image named like 000001.jpg; give {SOURCE}")
    index = {int(PurePosixPath(name).stem): name for name in names}
    if len(index) < len(names):
        raise SourceError(f"{source.name} holds an image twice: {len(names)} files for {len(index)} indices")
    if missing := sorted(set(range(1, max(index) + 1)) - set(index)):
        listed = ", ".join(f"{i:06d}" for i in missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise SourceError(f"{source.name} lacks image {listed} ({len(missing)} in all); get {SOURCE} again")
    return [index[i] for i in sorted(index)]


def shrink(data: bytes, name: str, size: int) -> np.ndarray:
    """One JPEG as grey bytes, (1, size, size)."""
    from PIL import Image, UnidentifiedImageError
    from torchvision.transforms import functional as T

    try:
        picture = Image.open(io.BytesIO(data)).convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError) as error:
        raise SourceError(f"{name} cannot be read as an image ({error}); replace it, then run the same again") from None
    x = T.resize(T.to_tensor(picture), [size], interpolation=T.InterpolationMode.BILINEAR, antialias=True)
    grey: Tensor = T.rgb_to_grayscale(T.center_crop(x, [size, size]))
    return (grey * 255).round().clamp(0, 255).to(torch.uint8).numpy()


def load(side: int) -> tuple[Tensor, Tensor]:
    """The prepared images, bytes (m, 1, side, side): all but the last 10 000 by index, and these (a quarter, if few).

    From $DIFFMEM_CELEBA, or data/celeba-<side>.npy beside the library. FileNotFoundError says how to make it;
    SourceError where it is damaged or of another size.
    """
    path = Path(os.environ.get("DIFFMEM_CELEBA", ROOT / "data" / f"celeba-{side}.npy"))
    manifest = path.with_suffix(".npy.json")
    if not (path.exists() and manifest.exists()):
        raise FileNotFoundError(
            f"{path} with its manifest is not there; make it with: python -m diffmemlib data celeba SOURCE "
            f"--out {path} --size {side}, SOURCE being {SOURCE}"
        )
    told, data = json.loads(manifest.read_bytes()), path.read_bytes()
    if digest(data) != told["sha256"]:
        raise SourceError(f"{path.name} is damaged (its checksum does not match its manifest); make it again")
    if told["size"] != side:
        raise SourceError(f"{path.name} holds images of {told['size']} pixels, not {side}")
    everything = torch.from_numpy(np.load(io.BytesIO(data), allow_pickle=False))
    held_out = min(HELD_OUT, len(everything) // 4)
    return everything[:-held_out], everything[-held_out:]
