"""The exact theory at the ends of its range and outside: an answer that a second way confirms, or one sentence."""

import numpy as np
import pytest

from diffmemlib import GradientFlow, covariance_atoms, learning_curves, spectral_density, spectrum
from diffmemlib.rfnn.coefficients import gauss_hermite

RNG = np.random.default_rng(0)


def test_the_end_of_training_is_the_limit_of_late_times():
    late, end = (learning_curves([0.0, tau], psi_p=8, psi_n=2, t=0.5) for tau in (1e12, np.inf))
    for name in ("train", "test", "score_error"):
        np.testing.assert_allclose(getattr(end, name), getattr(late, name), atol=1e-8)


def test_no_eigenvalues_have_no_density():
    assert spectral_density([], psi_p=8, psi_n=2, t=0.5).shape == (0,)


@pytest.mark.parametrize("covariance", [[(-1.0, 0.5), (3.0, 0.5)], [(0.0, 1.0)], [(np.nan, 1.0)]])
def test_a_covariance_that_cannot_be_is_refused(covariance):
    with pytest.raises(ValueError, match="eigenvalues must be at least 0, and not all 0"):
        spectrum(psi_p=8, psi_n=2, t=0.5, covariance=covariance)


def test_directions_without_data_are_the_limit_of_little_data():
    little, none = (learning_curves([1.0, 100.0, 1e4], psi_p=8, psi_n=2, t=0.5, covariance=[(low, 0.3), (1.0, 0.7)])
                    for low in (1e-10, 0.0))  # fmt: skip
    np.testing.assert_allclose(none.test, little.test, atol=1e-8)


def test_atoms_of_data_keep_their_variance_and_all_eigenvalues_where_there_is_room():
    x = np.random.default_rng(1).standard_normal((500, 6)) * [3.0, 1.0, 0.5, 0.1, 0.1, 0.0] + 7
    exact = np.linalg.eigvalsh(np.cov(x.T))
    for most in (1, 2, 4, 1000):
        eigenvalues, weights = np.transpose(covariance_atoms(x, most))
        assert len(eigenvalues) <= most
        assert weights.sum() == pytest.approx(1)
        assert weights @ eigenvalues == pytest.approx(exact.mean())
    assert eigenvalues[-3:] == pytest.approx(exact[-3:])
    assert covariance_atoms(x.reshape(500, 2, 3), 4) == covariance_atoms(x, 4)


@pytest.mark.parametrize(
    ("data", "most", "sentence"),
    [(np.ones((1, 4)), 3, "at least two points"), (3.0, 3, "at least two points"), (np.eye(4), 0, "most = 0"),
     (np.ones((5, 4)), 3, "all points are the same"), (np.full((5, 4), np.nan), 3, "holds NaN")],
)  # fmt: skip
def test_data_without_a_covariance_are_refused(data, most: int, sentence: str):
    with pytest.raises(ValueError, match=sentence):
        covariance_atoms(data, most)


@pytest.mark.parametrize("covariance", [1.0, [1.0, 2.0], [], [(1.0, 0.5, 0.5)]])
def test_a_covariance_that_is_no_list_of_pairs_is_refused(covariance):
    with pytest.raises(ValueError, match=r"give \(eigenvalue, weight\) pairs"):
        spectrum(psi_p=8, psi_n=2, t=0.5, covariance=covariance)


@pytest.mark.parametrize("activation", [lambda x: x, lambda x: 0 * x, lambda x: -3 * x])
def test_a_linear_activation_is_refused(activation):
    for call in (spectrum, lambda **k: learning_curves([1.0], **k)):
        with pytest.raises(ValueError, match="so that it is linear"):
            call(psi_p=64, psi_n=8, t=0.1, activation=activation)


def test_a_nearly_linear_activation_is_served():
    whole = spectrum(psi_p=64, psi_n=8, t=0.1, activation=lambda x: x + 1e-3 * x**3)
    assert 0 < whole.delta_place < 1e-4


def test_equal_features_leave_every_time_finite():
    W, X = RNG.standard_normal((20, 8)), RNG.standard_normal((15, 8))
    twice = GradientFlow(np.concatenate([W, W]), X, 0.3)  # half of the eigenvalues are rounding, of either sign
    late, end = (twice.losses([tau]) for tau in (1e9, np.inf))
    assert np.isfinite([end.train, end.test, end.score_error]).all()
    np.testing.assert_allclose(end.test, late.test, rtol=1e-3)


@pytest.mark.parametrize(
    ("W", "X", "covariance", "sentence"),
    [
        (np.full((4, 3), np.nan), np.ones((5, 3)), None, "holds NaN"),
        (np.ones((4, 3)), np.full((5, 3), np.inf), None, "holds NaN or infinite"),
        (np.zeros((4, 3)), np.ones((5, 3)), None, "a feature of zeros"),
        (np.ones((4, 3)), np.ones((0, 3)), None, "at least one feature and one point"),
        (np.eye(3), np.ones((5, 3)), [1.0, 1.0, -1.0], "negative eigenvalue"),
    ],
)
def test_what_the_flow_cannot_take_is_told(W, X, covariance, sentence: str):
    with pytest.raises(ValueError, match=sentence):
        GradientFlow(W, X, 0.3, covariance)


def test_features_that_are_nearly_parallel_end_in_a_sentence():
    with pytest.raises(ValueError, match="take a larger d, or smaller data"):
        rows = np.random.default_rng(0)
        GradientFlow(rows.standard_normal((200, 2)), 30 * rows.standard_normal((50, 2)), 0.05).losses([1.0])


def test_kept_nodes_cannot_be_changed_by_who_gets_them():
    for array in gauss_hermite(20):
        with pytest.raises(ValueError, match="read-only"):
            array += 1
    x, w = gauss_hermite(20)
    assert [w @ x**k for k in range(0, 7, 2)] == pytest.approx([1, 1, 3, 15])
