"""Other measures of copying beside f_mem, as the literature has them: authenticity, C_T, precision and recall, FLD."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.cluster import vq
from torch import Tensor

from .inputs import Kind, as_points, check_alike
from .memorization import NeighbourIndex

MOST = 10_000  # points of a set that are compared with all of another
COMPONENTS = 64  # principal ones that C_T is computed in, where there are more
FEWEST_IN_CELL = 20  # samples in a cell of C_T, for it to count
ROUNDS, RATE, STILL = 50, 0.5, 5e-4  # of the fit behind FLD
BROAD = 0.9  # of the distances from the mean, of the broad Gaussian in that fit
FEWEST = 20  # held-out points


def copying_measures(
    samples: Any, train: Any, held_out: Any, features: Callable[[Any], Any] | None = None, neighbours: int = 5,
    seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """Return what the usual measures of copying say of samples, and what they would say of fresh data.

    Half of the held-out data stand in for samples of a perfect model, and the other half is what both are compared
    with. f_mem and authenticity take all samples; the other measures depend on how many there are, and take as many
    as there are stand-ins.

    Parameters
    ----------
    samples, train, held_out
        (m, ...), (n, ...), (h, ...), with h >= 20; tensors, arrays or lists.
    features
        Of points, such as those of an Inception network; the points themselves, flattened, unless given.
    neighbours
        Of precision, recall, density and coverage.
    seed
        Of the choice of points, and of the cells of C_T.

    Returns
    -------
    DataFrame
        A row for each measure: ``samples``, ``fresh`` (the same of held-out data), and ``copies`` ("raise" or "lower",
        what copies do to it).

        f_mem
            Share whose nearest training point is less than a third as far away as the second nearest
            (`memorized_fraction`).
        authenticity
            Share farther from its nearest training point than that is from its own (Alaa et al. 2022).
        C_T
            Standard score of the distances to the training data against those of held-out data: below -3, copies
            (Meehan et al. 2020).
        precision, recall
            Share of samples within the held-out data's neighbourhoods, and the reverse (Kynkäänniemi et al. 2019).
        density, coverage
            How many of these neighbourhoods hold a sample, and the share that hold one (Naeem et al. 2020).
        FLD
            Feature likelihood divergence: nats a dimension, times 100, by which held-out data are less likely under
            Gaussians around the samples, of widths fitted to the training data, than under Gaussians around half of the
            training data, of widths fitted to the other half (Jiralerspong et al. 2023).

    Raises
    ------
    ValueError
        For points that cannot be compared, and fewer than 20 held-out ones or 10 samples.

    Examples
    --------
    >>> import torch
    >>> g = torch.Generator().manual_seed(0)
    >>> train, held_out = torch.randn(200, 8, generator=g), torch.randn(200, 8, generator=g)
    >>> table = copying_measures(train[:50] + 1e-3, train, held_out)
    >>> table.loc["authenticity", ["samples", "fresh"]].tolist()
    [0.0, 0.52]
    """
    x, t, h = (
        as_points(points, name) for points, name in ((samples, "samples"), (train, "train"), (held_out, "held_out"))
    )
    check_alike(Kind.of(x), Kind.of(t))
    check_alike(Kind.of(h), Kind.of(t), "held_out")
    if len(h) < FEWEST or len(x) < FEWEST // 2 or len(t) < FEWEST // 2:
        raise ValueError(
            f"{len(x)} samples, {len(t)} training and {len(h)} held-out points: {FEWEST // 2}, {FEWEST // 2} and "
            f"{FEWEST} are the fewest"
        )
    x, t, h = (flat(features(points) if features else points) for points in (x, t, h))
    rng = np.random.default_rng(seed)
    h, x = h[rng.permutation(len(h))[: 2 * MOST]], x[rng.permutation(len(x))]
    count = min(len(h) // 2, len(x))
    stand_in, reference, few = h[:count], h[count : count + MOST], t[rng.permutation(len(t))[:MOST]]
    base = _likelihood(few[: len(few) // 2][:count], few[len(few) // 2 :], reference)
    columns = {}
    for name, points, every in (("samples", x[:count], x), ("fresh", stand_in, stand_in)):
        columns[name] = {
            "f_mem": float(NeighbourIndex(t).two_nearest(every).memorized().mean()),
            "authenticity": authenticity(every, t),
            "C_T": c_t(points, t, reference, seed=seed),
            **precision_recall(points, reference, neighbours),
            "FLD": 100 * (base - _likelihood(points, few, reference)),
        }
    table = pd.DataFrame(columns)
    lower = {"authenticity", "C_T", "recall", "coverage"}
    table["copies"] = ["lower" if name in lower else "raise" for name in table.index]
    return table


def authenticity(samples: Any, train: Any) -> float:
    """Return the share of samples that are farther from their nearest training point than that is from its own.

    Parameters
    ----------
    samples, train
        (m, ...), (n, ...).

    References
    ----------
    Alaa et al., "How Faithful is your Synthetic Data?", ICML 2022.
    """
    index = NeighbourIndex(train)
    near = index.two_nearest(samples)
    own = index.two_nearest(as_points(train, "train")).distance[:, 1]  # the first is the point itself, or its double
    return float((own[near.index[:, 0]] < near.distance[:, 0]).mean())


def c_t(samples: Any, train: Any, held_out: Any, cells: int = 3, seed: int = 0) -> float:
    """Return C_T: whether samples are nearer to the training data than held-out data are, as a standard score.

    The score of Mann and Whitney's U in each of several cells (by k-means of the training data), averaged with the
    shares of the held-out data; cells with up to 20 samples are left out. Where a cell would hold no held-out data or a
    single training point, or none more than 20 samples, there are fewer cells.

    Parameters
    ----------
    samples, train, held_out
        (m, ...), (n, ...), (h, ...).
    cells
        How many, at most.
    seed
        Of k-means.

    Returns
    -------
    float
        Around 0 for fresh samples, far below for copies, far above for samples that are far from all data.

    References
    ----------
    Meehan, Chaudhuri and Dasgupta, "A Non-Parametric Test to Detect Data-Copying in Generative Models", AISTATS 2020.
    """
    x, t, h = (
        flat(as_points(p, name)).numpy() for p, name in ((samples, "samples"), (train, "train"), (held_out, "held_out"))
    )
    if t.shape[1] > COMPONENTS:
        centre = t.mean(axis=0)
        directions = np.linalg.svd(t - centre, full_matrices=False)[2][:COMPONENTS]
        x, t, h = ((points - centre) @ directions.T for points in (x, t, h))
    for count in range(cells, 0, -1):
        middles = _middles(t, count, seed)
        of_x, of_t, of_h = (vq.vq(points, middles)[0] for points in (x, t, h))
        told = [cell for cell in range(count) if (of_x == cell).sum() > FEWEST_IN_CELL or count == 1]
        if told and all((of_t == cell).sum() > 1 and (of_h == cell).any() for cell in range(count)):
            break
    scores = [_nearer(x[of_x == cell], t[of_t == cell], h[of_h == cell]) for cell in told]
    return float(np.average(scores, weights=[(of_h == cell).mean() for cell in told]))


def precision_recall(samples: Any, reference: Any, neighbours: int = 5) -> dict[str, float]:
    """Return precision, recall, density and coverage of samples.

    The neighbourhood of a point is the ball that reaches to its k-th nearest neighbour of its own kind.

    Parameters
    ----------
    samples, reference
        (m, ...), (h, ...).
    neighbours
        k.

    References
    ----------
    Kynkäänniemi et al., "Improved Precision and Recall Metric", NeurIPS 2019; Naeem et al., "Reliable Fidelity and
    Diversity Metrics", ICML 2020.
    """
    x, h = flat(as_points(samples, "samples")), flat(as_points(reference, "reference"))
    if not 1 <= neighbours < min(len(x), len(h)):
        raise ValueError(f"neighbours = {neighbours}: there are {len(x)} samples and {len(h)} reference points")
    own_x, own_h = (distances(p, p).kthvalue(neighbours + 1, dim=1).values for p in (x, h))
    apart = distances(h, x)
    within = apart < own_h[:, None]
    return {
        "precision": float(within.any(0).double().mean()),
        "recall": float((apart < own_x).any(1).double().mean()),
        "density": float(within.sum(0).double().mean() / neighbours),
        "coverage": float((apart.amin(1) < own_h).double().mean()),
    }


def _nearer(x: NDArray[np.float64], train: NDArray[np.float64], held_out: NDArray[np.float64]) -> float:
    """Standard score of Mann and Whitney's U, of distances to the nearest training point; corrected for continuity."""
    from scipy.stats import mannwhitneyu

    index = NeighbourIndex(train)
    near = [index.two_nearest(points).distance[:, 0] for points in (x, held_out)]
    m, n = len(x), len(held_out)
    u = mannwhitneyu(*near).statistic
    return float((u - (m * n / 2 - 0.5)) / (m * n * (m + n + 1) / 12) ** 0.5)


def _middles(points: NDArray[np.float64], count: int, seed: int) -> NDArray[np.float64]:
    """Middles of the best of ten divisions into cells."""
    rng = np.random.default_rng(seed)
    tries = [vq.kmeans2(points, count, minit="++", rng=rng, missing="warn")[0] for _ in range(10 if count > 1 else 1)]
    return min(tries, key=lambda middles: float((vq.vq(points, middles)[1] ** 2).sum()))


def _likelihood(centres: Tensor, fit_to: Tensor, at: Tensor) -> float:
    """Mean log likelihood a dimension, at points, of Gaussians around centres, in units of the points' spread.

    Their widths are fitted to other points, by Adam, beside a broad one around the mean of these that catches what is
    far from all centres; it is left out at the end.
    """
    mean, spread = at.mean(0), at.std(0).clamp_min(1e-12)
    centres, fit_to, at = ((p - mean) / spread for p in (centres, fit_to, at))
    dimension = at.shape[1]
    apart = distances(fit_to, centres).square()
    broad = BROAD**2 * (fit_to - fit_to.mean(0)).square().sum(1, keepdim=True)
    width = ((apart.amin(0) + 1e-3) / dimension).log().requires_grad_()
    broad_width = torch.zeros(1, dtype=width.dtype, requires_grad=True)

    def each(squares: Tensor, log_width: Tensor) -> Tensor:
        return -0.5 * squares / log_width.exp() - dimension / 2 * (log_width + np.log(2 * np.pi))

    optimizer, losses = torch.optim.Adam([width, broad_width], lr=RATE), []
    for _ in range(ROUNDS):
        optimizer.zero_grad()
        parts = torch.cat([each(apart, width) - np.log(len(centres)), each(broad, broad_width)], dim=1)
        loss = -parts.logsumexp(1).mean() / dimension
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            width.clamp_(-40, 40)
        losses.append(float(loss.detach()))
        if len(losses) > 6 and max(abs(losses[-1] - earlier) for earlier in losses[-5:-1]) < STILL:
            break
    likelihood = each(distances(at, centres).square(), width.detach()) - np.log(len(centres))
    return float(likelihood.logsumexp(1).mean() / dimension)


def flat(points: Any) -> Tensor:
    """Points as rows, in float64, on the CPU."""
    return torch.as_tensor(points).flatten(1).double().cpu()


def distances(x: Tensor, y: Tensor) -> Tensor:
    """All distances, exact for near points too."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
