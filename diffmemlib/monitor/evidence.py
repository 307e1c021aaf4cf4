"""Evidence that samples are copies more often than fresh data are: a test that may be looked at as often as one likes.

The evidence is an e-process: whatever the moment at which one stops looking, its expectation is at most 1 where
samples are copies no more often than held-out data, so it exceeds 1/alpha with probability alpha at most, all looks
together (Ville's inequality).
"""

from __future__ import annotations

from math import log

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

RATES = np.array([0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.9])  # of copies, that are bet on in equal parts
CAP = 40.0  # evidence, in nats, beyond which no more is told apart
LEAST = 1e-9  # rate that is told from 0
POINTS = 2001  # rates of the held-out data that are tried

Floats = NDArray[np.float64]


def log_evidence(
    copies: ArrayLike, samples: ArrayLike, baseline_copies: int, baseline_size: int, tolerance: float = 0.0
) -> float:
    """Return the logarithm of the evidence after the last of several looks, at most 40.

    It is the least, over the rates p that the held-out data may have, of the capital of bets against p + tolerance
    (`log_capital`) times the evidence of the held-out data that their rate is less than p (their p-value, calibrated).

    Parameters
    ----------
    copies, samples
        At each look, (looks,).
    baseline_copies, baseline_size
        Held-out points that the criterion calls copies, and all of them.
    tolerance
        Rate of copies above that of held-out data that is accepted.

    References
    ----------
    Ramdas, Grünwald, Vovk and Shafer, "Game-theoretic statistics and safe anytime-valid inference", Statistical
    Science 38 (2023). Vovk and Wang, "E-values: calibration, combination, and applications", Annals of Statistics 49
    (2021), Eq. 2.

    Examples
    --------
    >>> round(log_evidence([0, 1, 16], [512, 512, 512], baseline_copies=2, baseline_size=1000), 1)
    3.8
    >>> round(log_evidence([0, 1, 16, 20], [512, 512, 512, 512], baseline_copies=2, baseline_size=1000), 1)
    8.1
    """
    if not np.size(copies):
        return 0.0  # nothing was bet
    return float(log_evidences(copies, samples, baseline_copies, baseline_size, tolerance)[-1])


def log_evidences(
    copies: ArrayLike, samples: ArrayLike, baseline_copies: int, baseline_size: int, tolerance: float = 0.0
) -> Floats:
    """Return the logarithm of the evidence after each of several looks, (looks,); see `log_evidence`."""
    p, against = _held_out_rates(baseline_copies, baseline_size)
    capital = log_capital(copies, samples, np.minimum(p + tolerance, 1 - LEAST))
    # Between two of the rates the evidence against is at least the lower one's, and the capital, convex piece by piece
    # in log p, hardly less than the smaller of theirs.
    least = np.min(np.minimum(capital[:, :-1], capital[:, 1:]) + against[:-1], axis=1)
    return np.minimum(least, CAP)


def log_capital(copies: ArrayLike, samples: ArrayLike, q: Floats) -> Floats:
    """Return the logarithm of what a capital of 1 becomes that is bet on more copies than a rate q brings.

    A part is put in at each look, in equal shares, on each rate r of `RATES` above q: from then on a share is
    multiplied by (r/q)^copies ((1 - r)/(1 - q))^others. No bet gains on average while copies come at q or less, whether
    that rate is constant or not. The part put in at look k is 1/(k (k + 1)), so that there is capital for copies that
    come late.

    Parameters
    ----------
    copies, samples
        At each look, (looks,).
    q
        Rates, (rates,).

    Returns
    -------
    ndarray
        After each look, (looks, rates).
    """
    q = np.asarray(q, float)[:, None]
    bets = RATES > q
    of_copy, of_other = np.where(bets, np.log(RATES / q), 0.0), np.where(bets, np.log((1 - RATES) / (1 - q)), 0.0)
    shares = np.full(bets.shape, -np.inf)
    capital = []
    for look, (c, m) in enumerate(zip(np.asarray(copies, float), np.asarray(samples, float), strict=True), 1):
        part = -log(look * (look + 1) * len(RATES))
        shares = np.logaddexp(shares, part) + c * of_copy + (m - c) * of_other
        capital.append(np.logaddexp(special.logsumexp(shares, axis=1), -log(look + 1)))
    return np.array(capital)


def copies_to_stop(
    samples: int, alpha: float, baseline_copies: int, baseline_size: int, tolerance: float = 0.0,
    before: tuple[ArrayLike, ArrayLike] = ((), ()),
) -> int | None:  # fmt: skip
    """Return the fewest copies in one more look that bring the evidence to 1/alpha; None where no number does.

    Parameters
    ----------
    samples
        In that look.
    alpha
        Rate of false alarms, of all looks together.
    baseline_copies, baseline_size, tolerance
        As of `log_evidence`.
    before
        Copies and samples of the looks so far.
    """
    copies, counts = (np.asarray(v, float) for v in before)

    def stops(c: int) -> bool:
        looks = np.append(copies, c), np.append(counts, samples)
        return log_evidence(*looks, baseline_copies, baseline_size, tolerance) >= -log(alpha)

    if not stops(samples):
        return None
    low, high = -1, samples  # evidence rises with copies: halve
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if stops(middle) else (middle, high)
    return high


def _held_out_rates(copies: int, size: int) -> tuple[Floats, Floats]:
    """Rates p that the held-out data may have, and the logarithm of what the data say against each as too large.

    Larger rates than those tried are as good as excluded.
    """
    excluded = 1 - LEAST
    if stats.binom.logcdf(copies, size, excluded) < -2 * CAP:
        excluded = optimize.brentq(lambda p: stats.binom.logcdf(copies, size, p) + 2 * CAP, copies / size, excluded)
    p = np.linspace(LEAST**0.5, excluded**0.5, POINTS) ** 2  # even in the scale on which a rate's error is constant
    return p, log_calibrated(stats.binom.logcdf(copies, size, p))


def log_calibrated(log_p: ArrayLike) -> Floats:
    """Return the logarithm of the evidence (1 - P + P log P)/(P log^2 P) of a p-value: its mean over uniform P is 1."""
    log_p = np.minimum(log_p, -1e-4)  # nearer to P = 1 it is 1/2 in all digits that count
    return np.asarray(np.log(-np.expm1(log_p) + np.exp(log_p) * log_p) - log_p - 2 * np.log(-log_p))
