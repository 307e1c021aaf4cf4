"""f_mem and neighbours against brute force, on data made to be hard, in bounded memory."""

import numpy as np
import pytest
import torch
from scipy import stats

from diffmemlib.metrics.memorization import (
    NeighbourIndex,
    hide_copies,
    memorized_fraction,
    near_duplicates,
    two_nearest,
    wilson,
    wilson_interval,
)


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
        assert found.memorized(k).mean() == expected


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


def test_a_sample_too_far_away_for_float32_has_all_at_one_distance():
    """Float32 has no number for it; in float64 every training point is as near, and the first two are returned."""
    g = torch.Generator().manual_seed(0)
    train, samples = torch.randn(300, 4, generator=g).double(), 1e39 * torch.ones(3, 4).double()
    found = two_nearest(samples, train)
    np.testing.assert_array_equal(found.index, [[0, 1]] * 3)
    np.testing.assert_array_equal(found.distance, np.full((3, 2), 2e39))


def test_small_memory_gives_the_same():
    samples, train = hard_case(5000, 8, seed=1)
    a, b = two_nearest(samples, train), two_nearest(samples, train, memory=4 * 5000 * 7)
    np.testing.assert_array_equal(a.distance, b.distance)


def test_images_are_flattened():
    train = torch.rand(30, 1, 4, 4)
    found = two_nearest(train[:5] + 1e-6, train)
    np.testing.assert_array_equal(found.index[:, 0], range(5))


def test_the_interval_is_wilsons():
    train = torch.tensor([[0.0], [1.0], [2.0]])
    samples = torch.cat([torch.full((300, 1), 0.01), torch.full((700, 1), 0.5)])
    f = memorized_fraction(samples, train)
    assert f.value == 0.3
    for hits, m in ((300, 1000), (0, 200), (200, 200), (1, 50)):
        ends = stats.binomtest(hits, m).proportion_ci(method="wilson")
        assert wilson(np.arange(m) < hits) == pytest.approx((hits / m, ends.low, ends.high), abs=1e-12)
    assert (f.low, f.high) == pytest.approx(wilson(np.arange(1000) < 300)[1:])


@pytest.mark.parametrize(
    ("probability", "samples"), [(0.002, 200), (0.005, 200), (0.01, 200), (0.02, 200), (0.2, 1000)]
)
def test_the_interval_holds_what_it_says(probability: float, samples: int):
    """Exactly, over all outcomes; near 95% on average over probabilities, more where hits are rare and discrete."""
    hits = np.arange(samples + 1)
    low, high = wilson_interval(hits / samples, samples)
    coverage = stats.binom.pmf(hits, samples, probability)[(low <= probability) & (probability <= high)].sum()
    assert 0.92 < coverage < 0.995


def test_near_duplicates_are_counted():
    g = torch.Generator().manual_seed(0)
    train = torch.randn(200, 8, generator=g)
    assert near_duplicates(train) == 0
    train[10], train[20] = train[11] + 1e-3, train[21]
    assert near_duplicates(train) == 4


@pytest.mark.parametrize("copies", [2, 3, 8])
def test_near_duplicates_are_counted_where_every_point_has_them(copies: int):
    """A threshold relative to the median of the set would find none."""
    g = torch.Generator().manual_seed(copies)
    train = torch.randn(60, 16, generator=g).repeat(copies, 1) + 1e-2 * torch.randn(60 * copies, 16, generator=g)
    assert near_duplicates(train) == 60 * copies
    samples = train[:50] + 2e-2 * torch.randn(50, 16, generator=g)
    with pytest.warns(UserWarning, match="50 of 50 samples lie nearest to a training point that has a near-duplicate"):
        f = memorized_fraction(samples, train)
    assert f.blind == 50
    assert f.value < 0.2  # copies, all of them, that the criterion does not see
    assert memorized_fraction(train[:50] + 1e-3, torch.randn(99, 16, generator=g)).blind == 0


@pytest.mark.parametrize(
    ("count", "copies"),
    [(600, 2), (1500, 3), (600, 6), (1500, 12), (140, 10), (256, 16), (512, 32), (64, 4), (1500, 32)],
)
def test_versions_of_the_same_points_are_more_than_chance(count: int, copies: int):
    g = torch.Generator().manual_seed(copies)
    train = torch.randn(count // copies, 16, generator=g).repeat(copies, 1)
    train += 1e-2 * torch.randn(len(train), 16, generator=g)
    assert hide_copies(train) == (len(train), True)


@pytest.mark.parametrize("d", [1, 2, 3, 8, 64])
def test_points_that_are_near_by_chance_are_no_versions(d: int):
    """In one dimension most points of any data have a neighbour much nearer than the next."""
    for seed in range(5):
        train = torch.randn(400, d, generator=torch.Generator().manual_seed(seed))
        found, hidden = hide_copies(train, least=0.01)
        assert not hidden and found == near_duplicates(train)
    curve = torch.linspace(0, 1, 5)[None] * torch.rand(400, 1, generator=torch.Generator().manual_seed(9)).sin()
    assert not hide_copies(curve)[1], "a line in more dimensions"


@pytest.mark.parametrize("scale", [1e-25, 1e-12, 1.0, 1e12, 1e25, 1e140])
def test_copies_are_found_at_any_scale(scale: float):
    g = torch.Generator().manual_seed(0)
    train = torch.randn(100, 8, generator=g, dtype=torch.float64)
    samples = torch.cat([train[:20] + 1e-3, 3 + torch.randn(20, 8, generator=g, dtype=torch.float64)])
    expected = two_nearest(samples, train)
    found = two_nearest(scale * samples, scale * train)
    np.testing.assert_array_equal(found.index, expected.index)
    np.testing.assert_allclose(found.distance, scale * expected.distance, rtol=1e-9)


def test_a_sample_far_away_has_its_neighbours_too():
    train = torch.eye(6)
    far = two_nearest(torch.tensor([[1e20, 0, 0, 0, 0, 0], [-1e30, 0, 0, 0, 0, 0.0]]), train)
    assert np.isfinite(far.distance).all()
    np.testing.assert_allclose(far.distance[:, 0], [1e20, 1e30], rtol=1e-6)


def test_tensors_arrays_and_lists_are_taken_alike():
    g = torch.Generator().manual_seed(0)
    train, samples = torch.randn(30, 4, generator=g), torch.randn(9, 4, generator=g)
    expected = two_nearest(samples, train).distance
    for form in (lambda x: x.clone().requires_grad_(), lambda x: x.numpy(), lambda x: x.numpy().tolist(), list):
        np.testing.assert_allclose(two_nearest(form(samples), form(train)).distance, expected, rtol=1e-6)
    np.testing.assert_array_equal(two_nearest(samples.numpy()[::-1], train).distance, expected[::-1])


@pytest.mark.parametrize(
    ("samples", "train", "k", "message"),
    [
        (torch.zeros(3, 2), torch.zeros(1, 2), 1 / 3, "fewer than 2"),
        (torch.zeros(3, 2), torch.zeros(5, 3), 1 / 3, r"samples have shape \(2,\) each and train \(3,\)"),
        (torch.zeros(3, 3, 8, 8), torch.zeros(5, 8, 8, 3), 1 / 3, "bring them to one layout"),
        (torch.rand(3, 2), torch.zeros(5, 2, dtype=torch.uint8), 1 / 3, "whole numbers beside fractions"),
        (torch.rand(3, 2), torch.tensor([[0.0, 250.0], [4.0, 9.0]]), 1 / 3, "train run from 0 to 250, as bytes do"),
        (torch.full((3, 2), 1e200, dtype=torch.float64), torch.zeros(5, 2), 1 / 3, "squares are infinite"),
        ([["a", "b"]], torch.zeros(5, 2), 1 / 3, "no numbers"),
        (torch.zeros(3, 2, dtype=torch.complex64), torch.zeros(5, 2), 1 / 3, "complex"),
        (torch.full((3, 2), torch.nan), torch.zeros(5, 2), 1 / 3, "NaN"),
        (torch.zeros(3, 2), torch.zeros(5, 2), 1.5, "k = 1.5"),
        (torch.zeros(0, 2), torch.zeros(5, 2), 1 / 3, "samples has shape"),
    ],
)
def test_bad_input_is_refused(samples, train, k, message):
    with pytest.raises(ValueError, match=message):
        memorized_fraction(samples, train, k)


@pytest.mark.slow
def test_celeba_sized_search_stays_under_two_gib(peak_memory):
    """32768 training images of 1024 pixels against 10 000 samples."""
    before, after = peak_memory(
        "import torch; from diffmemlib.metrics.memorization import two_nearest;"
        "g = torch.Generator().manual_seed(0);"
        "train, samples = torch.rand(32768, 1024, generator=g), torch.rand(10_000, 1024, generator=g)",
        "two_nearest(samples, train)",
    )
    assert before + 128 * 2**20 < after < 2 * 2**30  # with its centred copy, which the peak cannot lack


def test_an_index_keeps_what_samples_share_and_changes_nothing():
    g = torch.Generator().manual_seed(5)
    train, samples = torch.randn(300, 6, generator=g), torch.randn(50, 6, generator=g)
    index = NeighbourIndex(train)
    for part in samples.split(20):
        one, other = index.two_nearest(part), two_nearest(part, train)
        np.testing.assert_array_equal(one.index, other.index)
        np.testing.assert_array_equal(one.distance, other.distance)
    assert memorized_fraction(samples, index).value == memorized_fraction(samples, train).value
    with pytest.raises(ValueError, match=r"samples have shape \(5,\) each and train \(6,\)"):
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
