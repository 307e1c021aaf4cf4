"""Images on disk become one array of bytes: from a folder or zip, resumable, with a manifest of checksums."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..files import NumberedFiles, digest, run_lock, to_json, write_atomic
from ..places import data_dir
from ..training.memory import free_memory
from .inventory import LISTED, Source, SourceError, name_digest, quoted
from .picture import MOST_PIXELS, Lost, coloured, loses, shrink

FIRST = 3  # files of one reason that are named in a message
CHUNK = 2048  # images between two points that an interrupted preparation goes on from
Rows = dict[str, tuple[np.ndarray, list[int]]]  # of each picture that was read: its bytes, and what of it was lost


def prepared_path(dataset: str, side: int) -> Path:
    """Return where the prepared images of a data set lie; see `places.data_dir`."""
    return data_dir() / f"{dataset}-{side}.npy"


def check_options(out: Path, size: int) -> None:
    """Raise SourceError for a size that the U-Net does not take, or a file that is no .npy."""
    if size < 4 or size % 4:
        raise SourceError(f"--size {size}: the U-Net takes sides that are multiples of 4")
    if out.suffix != ".npy":
        raise SourceError(f"--out {quoted(out.name)}: give a name that ends in .npy")


def prepare(
    source: Source, out: Path, size: int, progress: bool = True, *, fewest: int = 1, skip_bad: bool = False,
    most_pixels: int = MOST_PIXELS, colour: bool | None = False,
) -> Path:  # fmt: skip
    """Write images as one array of bytes and its manifest, ``out.json``; the same call resumes.

    The paper's steps (`picture.shrink`); torchvision's default had no antialias before 0.17. Centring is left to who
    reads it. What was read is kept until all is well, so that no picture is read twice.

    Parameters
    ----------
    source
        The images.
    out
        The file, .npy: bytes, (count, channels, size, size).
    size
        Side of an image, in pixels.
    progress
        Whether to show it.
    fewest
        Different images that are needed.
    skip_bad
        Whether to leave out the files that cannot be taken, and to list them in the manifest.
    most_pixels
        That a picture may have.
    colour
        Whether to keep the colours, three channels, or to make the pictures grey, one; None: three where any picture
        has colours.

    Returns
    -------
    Path
        out.

    Raises
    ------
    SourceError
        Names all images that cannot be taken, and says why; out then does not exist.
    """
    _check_memory(len(source.names), size)
    identity = {"source": quoted(source.name), "size": size}
    of_this_form = digest(to_json(identity | {"planes": 4, "lost": len(Lost._fields)}))[:12]
    parts = NumberedFiles(out.with_name(f".{out.name}.parts") / of_this_form, ".npz")
    with run_lock(parts.folder.parent / out.name), _or_no_parts(parts):
        rows, bad = _read_all(source, size, parts, progress, most_pixels)
        if bad and not skip_bad:
            raise SourceError(_complaint(source, bad))
        taken = [name for name in source.names if name not in bad]
        if not taken:
            raise SourceError(f"{quoted(source.name)} holds no picture that can be taken")
        whole = np.stack([rows[_key(source, name)][0] for name in taken])
        lost = [_lost(rows[_key(source, name)][1]) for name in taken]
        in_colour = coloured(whole)
        keep_colour = in_colour > 0 if colour is None else colour
        whole = whole[:, 1:] if keep_colour else whole[:, :1]
        if (different := len(np.unique(whole.reshape(len(whole), -1), axis=0))) < fewest:
            shutil.rmtree(parts.folder.parent, ignore_errors=True)
            clear = ", transparent parts made white," if any(one.clear for one in lost) else ""
            how = f"when the central square is cut out{clear} and brought to {size} pixels"
            alike = f"of which only {different} are different {how}" if different > 1 else f"all equal {how}"
            raise SourceError(
                f"{quoted(source.name)} holds {len(taken)} pictures, {alike}, and {fewest} different ones are the "
                "fewest"
            )
        packed = io.BytesIO()
        np.save(packed, whole, allow_pickle=False)
        manifest = identity | {
            "names": name_digest(taken), "count": len(taken), "different": different,
            "first": quoted(taken[0]), "last": quoted(taken[-1]), "sha256": digest(packed.getvalue()),
            "inventory": source.inventory.as_dict(),
            "channels": whole.shape[1], "coloured": in_colour,
            "with_frames": sum(one.frames for one in lost), "transparent": sum(one.clear for one in lost),
            "enlarged": sum(one.small for one in lost),
            "widths": [f(one.width for one in lost) for f in (min, max)],
            "heights": [f(one.height for one in lost) for f in (min, max)],
            "skipped": [{"name": quoted(name), "reason": reason} for name, reason in bad.items()],
            "steps": "to [0, 1]; shorter side to size, bilinear, antialias; central square; "
            f"{'' if keep_colour else 'grey; '}rounded to bytes",
            "mean": float(whole.mean()) / 255, "versions": {p: version(p) for p in ("torchvision", "pillow", "numpy")},
        }  # fmt: skip
        write_atomic(out.with_suffix(".npy.json"), to_json(manifest))
        write_atomic(out, packed.getvalue())
    shutil.rmtree(parts.folder.parent, ignore_errors=True)
    return out


@contextmanager
def _or_no_parts(parts: NumberedFiles) -> Iterator[None]:
    """Where nothing could be taken within the block, leave no folder for it, beside those of other sources."""
    try:
        yield
    except SourceError:
        if not parts.paths():
            shutil.rmtree(parts.folder, ignore_errors=True)
            if all(file.suffix == ".lock" for file in parts.folder.parent.glob("*")):
                shutil.rmtree(parts.folder.parent, ignore_errors=True)
        raise


def _read_all(
    source: Source, size: int, parts: NumberedFiles, progress: bool, most_pixels: int
) -> tuple[Rows, dict[str, str]]:
    """Every picture, from an earlier call or read now and kept; and why some could not be taken, by their names."""
    rows: Rows = {}
    for number in parts.paths():
        if (data := parts.read(number)) is not None:
            with np.load(io.BytesIO(data), allow_pickle=False) as part:
                rows |= zip(part["keys"].tolist(), zip(part["pixels"], part["lost"].tolist(), strict=True), strict=True)
    missing = [name for name in source.names if _key(source, name) not in rows]
    bad: dict[str, str] = {}
    bar = tqdm(total=len(source.names), initial=len(source.names) - len(missing), desc=quoted(source.name),
               unit=" images", disable=not progress)  # fmt: skip
    with bar:
        for start in range(0, len(missing), CHUNK):
            fresh: Rows = {}
            try:
                for name in missing[start : start + CHUNK]:
                    try:
                        data = source.read(name)
                        pixels = shrink(data, name, size, most_pixels, True)
                        fresh[_key(source, name)] = pixels, list(map(int, loses(data, size, most_pixels)))
                    except SourceError as error:
                        bad[name] = str(error)
                    bar.update()
            finally:  # an interruption loses none of them
                if fresh:
                    _keep(fresh, parts)
            rows |= fresh
    return rows, bad


def _lost(numbers: list[int]) -> Lost:
    frames, clear, small, width, height = map(int, numbers)
    return Lost(bool(frames), bool(clear), bool(small), width, height)


def _keep(rows: Rows, parts: NumberedFiles) -> None:
    packed = io.BytesIO()
    pixels, lost = zip(*rows.values(), strict=True)
    np.savez(packed, allow_pickle=False, keys=list(rows), pixels=np.stack(pixels), lost=lost)
    parts.write(max(parts.paths(), default=-1) + 1, packed.getvalue())


def _key(source: Source, name: str) -> str:
    """Of a picture as it is now: one that was replaced is read again."""
    return name_digest([name, source.stamp(name)])[:32]


def _complaint(source: Source, bad: dict[str, str]) -> str:
    if len(bad) == 1:
        return (
            f"{next(iter(bad.values()))}; replace or remove it and run the same again, or leave it out with --skip-bad"
        )
    if len(bad) == len(source.names):
        return f"none of the {len(bad)} files in {quoted(source.name)} can be taken:\n  " + "\n  ".join(reasons(bad))
    return (
        f"{len(bad)} of the {len(source.names)} files in {quoted(source.name)} cannot be taken; replace or remove them "
        "and run the same again, or leave them out with --skip-bad:\n  " + "\n  ".join(reasons(bad))
    )


def reasons(bad: dict[str, str]) -> list[str]:
    """Return why files cannot be taken, those of one reason in one line, from their names and what was said of each."""
    alike: dict[str, list[str]] = {}
    for name, sentence in bad.items():
        alike.setdefault(sentence.removeprefix(quoted(name)).strip(), []).append(quoted(name))
    lines = []
    for reason, names in sorted(alike.items(), key=lambda item: -len(item[1])):
        more = f" and {len(names) - FIRST} more" if len(names) > FIRST else ""
        lines.append(f"{', '.join(names[:FIRST])}{more} {reason}")
    return lines[:LISTED] + ([f"and {len(lines) - LISTED} reasons more"] if len(lines) > LISTED else [])


def _check_memory(count: int, size: int) -> None:
    """Raise SourceError where all pictures at this size need more memory than is free.

    They are held with four planes twice at the end (rows, whole), with three sorted and packed, and one picture in
    colour and float32.
    """
    needed, free = size**2 * (14 * count + 40), free_memory(torch.device("cpu"))
    if needed > free:
        raise SourceError(
            f"--size {size}: {count} pictures of it need about {needed / 2**30:.1f} GiB of memory, and "
            f"{free / 2**30:.1f} GiB are free; take a smaller size"
        )


def without(images: Tensor, others: Tensor) -> Tensor:
    """Return the images that are not among the others, byte for byte."""
    known = {image.tobytes() for image in others.numpy()}
    return images[[image.tobytes() not in known for image in images.numpy()]]


def manifest_of(path: Path, how: str) -> dict[str, Any]:
    """Return what the manifest says; FileNotFoundError where there is none or no data, with how to make them."""
    manifest = path.with_suffix(".npy.json")
    if not (path.exists() and manifest.exists()):
        raise FileNotFoundError(f"{path} with its manifest is not there; make it with: {how}")
    try:
        content = dict(json.loads(manifest.read_bytes()))
        kinds = {"sha256": str, "size": int, "count": int, "different": int, "channels": int, "coloured": int}
        for key in ("sha256", "size", "count"):
            content[key]
        for key, kind in kinds.items():
            if not isinstance(content.get(key, kind()), kind):
                raise ValueError(f"{key} is {content[key]!r}")
    except Exception as error:  # whatever is in it, it is no manifest
        reason = f"it has no {error}" if isinstance(error, KeyError) else error
        raise SourceError(f"{manifest.name} is damaged ({reason}); make it again with: {how}") from None
    return content


def load(path: Path, side: int, how: str) -> Tensor:
    """Return prepared images, bytes (count, 1 or 3, side, side); SourceError if damaged or of another size."""
    manifest, data = manifest_of(path, how), path.read_bytes()
    if digest(data) != manifest["sha256"]:
        raise SourceError(f"{path.name} is damaged (its checksum does not match its manifest); make it again")
    if manifest["size"] != side:
        raise SourceError(f"{path.name} holds images of {manifest['size']} pixels, not {side}")
    try:
        whole = np.load(io.BytesIO(data), allow_pickle=False)
        if whole.dtype != np.uint8 or whole.shape[1:] not in ((1, side, side), (3, side, side)):
            raise ValueError(f"{whole.dtype} of shape {whole.shape}")
    except Exception as error:
        raise SourceError(f"{path.name} holds no images of bytes ({error}); make it again with: {how}") from None
    return torch.from_numpy(whole)
