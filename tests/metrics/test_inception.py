"""The whole path of the FID with random weights in the right format; the true ones come with no package."""

import hashlib
from pathlib import Path
from unittest import mock

import pytest
import torch
from pytorch_fid import inception

from diffmemlib.experiments import unet
from diffmemlib.experiments.unet import UNetConfig
from diffmemlib.metrics.frechet import moments
from diffmemlib.metrics.inception import FILE, inception_features


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A file as pytorch-fid stores it, of its network as it is initialised."""
    torch.manual_seed(0)
    with (
        mock.patch.object(inception, "load_state_dict_from_url", lambda *_, **__: {}),
        mock.patch.object(torch.nn.Module, "load_state_dict"),
    ):
        net = inception.fid_inception_v3()
    path = tmp_path_factory.mktemp("weights") / FILE
    torch.save(net.state_dict(), path)
    return path


def test_features_are_those_of_pytorch_fid(weights: Path):
    prefix = hashlib.sha256(weights.read_bytes()).hexdigest()[:8]
    ours = inception_features(weights, sha256=prefix)
    grey = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    state = torch.load(weights, weights_only=True)
    with mock.patch.object(inception, "load_state_dict_from_url", lambda *_, **__: state), torch.no_grad():
        theirs = inception.InceptionV3([3]).eval()(grey.repeat(1, 3, 1, 1))[0].flatten(1)
    assert torch.equal(ours(grey), theirs)
    assert torch.equal(ours(grey.expand(-1, 3, -1, -1)), theirs)
    seen = moments(grey.split(1), ours)
    assert (seen.count, seen.mean.shape) == (3, (2048,))


def test_the_file_can_be_named_by_the_environment(weights: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DIFFMEM_INCEPTION", str(weights))
    with pytest.raises(ValueError, match=f"{weights} is not the file of pytorch-fid"):  # so it was found there
        inception_features()


def test_another_file_is_refused_before_it_is_opened(weights: Path):
    with pytest.raises(ValueError, match=r"is not the file of pytorch-fid: its SHA-256 begins with"):
        inception_features(weights)


def test_missing_weights_say_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    config = UNetConfig.from_parameters({"tier": "smoke", "features": "inception", "samples": 2049})
    monkeypatch.setattr(unet, "image_counts", lambda dataset, side: (9000, 3000))
    with pytest.raises(FileNotFoundError, match=r"mseitzer/pytorch-fid.*features = 'none'"):
        unet.job(config)


def test_too_few_held_out_images_are_told_before_anything_is_read(monkeypatch: pytest.MonkeyPatch):
    """For the digits, for images of one's own by their manifest, and not for images that are not here."""
    config = UNetConfig.from_parameters({"tier": "smoke", "features": "inception", "samples": 2049})
    monkeypatch.setattr(unet, "images", lambda *a: pytest.fail("data were read"))
    with pytest.raises(ValueError, match=r"features = 'inception': 1024 images are held out.*8196 different images"):
        unet.job(config)


def test_too_few_samples_for_inception_are_refused():
    with pytest.raises(ValueError, match="samples = 2000: must be above 2048"):
        UNetConfig.from_parameters({"tier": "gpu", "features": "inception", "samples": 2000})
