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


def weights_path() -> Path:
    """Return the file that $DIFFMEM_INCEPTION names, else the one that pytorch-fid would download to."""
    named = os.environ.get("DIFFMEM_INCEPTION")
    return Path(named).expanduser() if named else Path(torch.hub.get_dir()) / "checkpoints" / FILE


def inception_features(weights: Path | None = None, device: str = "cpu", sha256: str = SHA256) -> Features:
    """Return a function from images in [0, 1], (m, 1 or 3, height, width), to their 2048 features, on the device.

    Parameters
    ----------
    weights
        The file; see `weights_path` unless given.
    device
        Where the features are computed.
    sha256
        First digits of the file's checksum, verified before it is opened.

    Raises
    ------
    FileNotFoundError
        Where the file is missing, with how to get it.
    ValueError
        Where it is another file.
    """
    path = weights_path() if weights is None else weights
    if not path.exists():
        raise FileNotFoundError(
            f"the Inception weights are not at {path}. Get {FILE} from the release fid_weights of the repository "
            "mseitzer/pytorch-fid, on a machine with a network, and put it there, or let DIFFMEM_INCEPTION name it; or "
            "run without this distance (features = 'none')"
        )
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    if not checksum.startswith(sha256):
        raise ValueError(
            f"{path} is not the file of pytorch-fid: its SHA-256 begins with {checksum[:8]}, not {sha256}; get it again"
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
