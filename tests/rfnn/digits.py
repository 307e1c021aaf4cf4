"""Coefficients of the activation by another way than the library's, for the tests."""

from functools import cache

from mpmath import mp


@cache
def coefficients_in_thirty_digits(t: float):
    """a, b, v^2, s^2 of tanh by the trapezoidal rule: an error of exp(-2 pi 1.5/h), tanh being analytic to Im = 1.5."""
    t, h, reach = mp.mpf(t), mp.mpf("0.1"), 140
    nodes = [h * k for k in range(-reach, reach + 1)]
    weight = [h * mp.exp(-(u**2) / 2) / mp.sqrt(2 * mp.pi) for u in nodes]
    signal, noise = mp.exp(-t), mp.sqrt(1 - mp.exp(-2 * t))
    along = [mp.tanh(u) for u in nodes]  # Gamma = 1 for data of unit variance
    a = mp.fsum(w * u * s for w, u, s in zip(weight, nodes, along, strict=True))
    given_u = [mp.fsum(w * mp.tanh(signal * u + noise * v) for w, v in zip(weight, nodes, strict=True)) for u in nodes]
    v2 = mp.fsum(w * g**2 for w, g in zip(weight, given_u, strict=True)) - (a * signal) ** 2
    b = noise * a
    return a, b, v2, mp.fsum(w * s**2 for w, s in zip(weight, along, strict=True)) - (a * signal) ** 2 - v2 - b**2
