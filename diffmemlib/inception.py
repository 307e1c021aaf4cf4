"""Inception features of pytorch-fid, behind the FID, from a weights file that is already on this machine."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor

from .frechet import Features

FILE = "pt_inception-2015-12-05-6726825d.pth"
SHA256 = "6726825d"  # the first digits, as its authors put them into the file's name
DIMENSION = 2048


def usual_place() -> Path:
    """The file that $DIFFMEM_INCEPTION names, or where pytorch-fid would put its download."""
    return Path(os.environ.get("DIFFMEM_INCEPTION", Path(torch.hub.get_dir()) / "checkpoints" / FILE))


def inception_features(weights: Path | None = None, device: str = "cpu", sha256: str = SHA256) -> Features:
    """A function from images (m, 1 or 3, side, side) in [0, 1] to their 2048 features, on the device.

    weights: the file; its usual place unless given. sha256: first digits of the file's checksum, verified before
    it is opened. FileNotFoundError says how to get it; ValueError that it is another file.
    """
    path = usual_place() if weights is None else weights
    if not path.exists():
        raise FileNotFoundError(
            f"the Inception weights are not at {path}. Get {FILE} from the release fid_weights of the repository "
            "mseitzer/pytorch-fid, on a machine with a network, and put it there, or let DIFFMEM_INCEPTION name it; or "
            "run without this distance (features = 'none')"
        )
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if not found.startswith(sha256):
        raise ValueError(
            f"{path} is not the file of pytorch-fid: its SHA-256 begins with {found[:8]}, not {sha256}; get it again"
        )
    from pytorch_fid import inception

    def local(*_: object, **__: object) -> dict[str, Tensor]:
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        return state

    with mock.patch.object(inception, "load_state_dict_from_url", local):  # it knows no other way to its weights
        net = inception.InceptionV3([inception.InceptionV3.BLOCK_INDEX_BY_DIM[DIMENSION]]).to(device).eval()

    def features(images: Tensor) -> Tensor:
        three = images.to(device).expand(-1, 3, -1, -1) if images.shape[1] == 1 else images.to(device)
        with torch.no_grad():
            out: Tensor = net(three)[0]
        return out.flatten(1)

    return features
