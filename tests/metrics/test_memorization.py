"""f_mem and neighbours against brute force, on data made to be hard, in bounded memory."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from diffmemlib.metrics.memorization import NeighbourIndex, memorized_fraction, near_duplicates, two_nearest


def brute_force(samples: torch.Tensor, train: torch.Tensor):
    d = (samples.double().flatten(1)[:, None] - train.double().flatten(1)[None]).square().sum(-1).sqrt()
    order = d.sort(dim=1, stable=True)
    return order.indices[:, :2].numpy(), order.values[:, :2].numpy()


def hard_case(n: int, d: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Far from the origin, with exact and near duplicates in the training set, and samples that almost copy."""
    g = torch.Generator().manual_seed(seed)
    train = 100 + torch.randn(n, d, generator=g)
    train[1 : n // 8] = train[0]  # more twins than there are candidates
    train[n // 2 : n // 2 + 20] = train[-20:] + 1e-4 * torch.randn(20, d, generator=g)
    samples = 100 + torch.randn(60, d, generator=g)
    samples[:40] = train[torch.arange(40) * (n // 40)] + 1e-3 * torch.randn(40, d, generator=g)
    return samples, train


@pytest.mark.parametrize(("n", "d"), [(40, 2), (512, 8), (5000, 8), (5000, 64)])
def test_neighbours_equal_brute_force(n: int, d: int):
    samples, train = hard_case(n, d, seed=n)
    index, distance = brute_force(samples, train)
    found = two_nearest(samples, train)
    np.testing.assert_allclose(found.distance, distance, rtol=1e-12)
    apart = distance[:, 0] < distance[:, 1] * (1 - 1e-9)  # twins are at equal distance, either may come first
    np.testing.assert_array_equal(found.index[apart, 0], index[apart, 0])
    for k in (1 / 4, 1 / 3, 1 / 2):
        expected = (distance[:, 0] < k * distance[:, 1]).mean()
        assert memorized_fraction(samples, train, k).value == expected


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16, torch.float64])
def test_every_number_type_is_exact(dtype: torch.dtype):
    g = torch.Generator().manual_seed(0)
    train, samples = (200 + 20 * torch.randn(m, 16, generator=g).to(torch.float64) for m in (600, 200))
    train, samples = train.clamp(0, 255).to(dtype), samples.clamp(0, 255).to(dtype)
    np.testing.assert_allclose(two_nearest(samples, train).distance, brute_force(samples, train)[1], rtol=1e-12)


def test_the_callers_matrix_precision_is_kept():
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        two_nearest(torch.rand(5, 3), torch.rand(9, 3))
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)


def test_small_memory_gives_the_same():
    samples, train = hard_case(5000, 8, seed=1)
    a, b = two_nearest(samples, train), two_nearest(samples, train, memory=4 * 5000 * 7)
    np.testing.assert_array_equal(a.distance, b.distance)


def test_images_are_flattened():
    train = torch.rand(30, 1, 4, 4)
    found = two_nearest(train[:5] + 1e-6, train)
    np.testing.assert_array_equal(found.index[:, 0], range(5))


def test_interval_is_the_binomials():
    train = torch.tensor([[0.0], [1.0], [2.0]])
    samples = torch.cat([torch.full((300, 1), 0.01), torch.full((700, 1), 0.5)])
    f = memorized_fraction(samples, train, resamples=100_000)
    half = 1.96 * (0.3 * 0.7 / 1000) ** 0.5
    assert f.value == 0.3
    assert f.low == pytest.approx(0.3 - half, abs=0.002)
    assert f.high == pytest.approx(0.3 + half, abs=0.002)


def test_near_duplicates_are_counted():
    g = torch.Generator().manual_seed(0)
    train = torch.randn(200, 8, generator=g)
    assert near_duplicates(train) == 0
    train[10], train[20] = train[11] + 1e-3, train[21]
    assert near_duplicates(train) == 4


@pytest.mark.parametrize(
    ("samples", "train", "k", "message"),
    [
        (torch.zeros(3, 2), torch.zeros(1, 2), 1 / 3, "fewer than 2"),
        (torch.zeros(3, 2), torch.zeros(5, 3), 1 / 3, "2 numbers each, train has 3"),
        (torch.full((3, 2), torch.nan), torch.zeros(5, 2), 1 / 3, "NaN"),
        (torch.zeros(3, 2), torch.zeros(5, 2), 1.5, "k = 1.5"),
        (torch.zeros(0, 2), torch.zeros(5, 2), 1 / 3, "samples has shape"),
    ],
)
def test_bad_input_is_refused(samples, train, k, message):
    with pytest.raises(ValueError, match=message):
        memorized_fraction(samples, train, k)


@pytest.mark.slow
def test_celeba_sized_search_stays_under_two_gib():
    """32768 training images of 1024 pixels against 10 000 samples, in a process of its own."""
    script = (
        "import resource, torch; from diffmemlib.metrics.memorization import two_nearest;"
        "g = torch.Generator().manual_seed(0);"
        "train, samples = torch.rand(32768, 1024, generator=g), torch.rand(10_000, 1024, generator=g);"
        "two_nearest(samples, train);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=300)
    assert int(run.stdout) * 1024 < 2 * 2**30


def test_an_index_keeps_what_samples_share_and_changes_nothing():
    g = torch.Generator().manual_seed(5)
    train, samples = torch.randn(300, 6, generator=g), torch.randn(50, 6, generator=g)
    index = NeighbourIndex(train)
    for part in samples.split(20):
        one, other = index.two_nearest(part), two_nearest(part, train)
        np.testing.assert_array_equal(one.index, other.index)
        np.testing.assert_array_equal(one.distance, other.distance)
    assert memorized_fraction(samples, index).value == memorized_fraction(samples, train).value
    with pytest.raises(ValueError, match="samples have 5 numbers each, train has 6"):
        index.two_nearest(torch.zeros(1, 5))


@pytest.mark.parametrize("copied", [False, True])
def test_neighbours_that_float32_cannot_order_are_found_all_the_same(copied: bool):
    """Points on a shell around a sample, far from the centre of the data, at distances closer than float32 can tell.

    Whether the nearest are among the first candidates is then a matter of rounding, and only a bound that leaves room
    for it sends the search on to the others. copied: the nearest is plain, and the second is such a matter.
    """
    g = torch.Generator().manual_seed(6)
    for _ in range(60):
        centres = torch.tensor([-1e3, 1e3], dtype=torch.float64)[:, None, None].expand(2, 12, 4)
        direction = torch.nn.functional.normalize(torch.randn(2, 12, 4, generator=g, dtype=torch.float64), dim=2)
        radius = (100 + 0.2 * torch.rand(2, 12, 1, generator=g, dtype=torch.float64)).sqrt()
        train, samples = (centres + radius * direction).flatten(0, 1), centres[:, 0]
        if copied:
            train = torch.cat([train, samples + 1e-3])
        exact = (samples[:, None] - train).norm(dim=2).sort(1)
        nearest = two_nearest(samples, train)
        np.testing.assert_array_equal(nearest.index, exact.indices[:, :2].numpy())
        np.testing.assert_allclose(nearest.distance, exact.values[:, :2].numpy(), rtol=1e-12)
