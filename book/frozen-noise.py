# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,mystnb,-all
#     formats: ipynb,py:percent
#     notebook_metadata_filter: -jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Frozen noise and weight decay
#
# **What you will see.** How many different noises does each training point need before more of them make no difference?
# And can weight decay widen the window between the two times, or even replace early stopping? The random-features model
# answers both questions exactly, at every training time.
#
# **You need** [the model](features-dynamics), [its spectrum](features-spectrum), whose symbols are used here, and
# [its score error](score-error). **Reading time**: ten minutes.

# %% tags=["remove-input"]
import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from myst_nb import glue

from diffmemlib.companion.estimators import frozen as estimate
from diffmemlib.companion.figures import frozen as draw
from diffmemlib.companion.figures.record import record, record_live
from diffmemlib.companion.figures.tables import frame
from diffmemlib.companion.sweeps.tables import sweep_results
from diffmemlib.data.digits import digits
from diffmemlib.places import checkout
from diffmemlib.rfnn.coefficients import covariance_atoms
from diffmemlib.rfnn.gradient_flow import GradientFlow

runs = sweep_results("rfnn-noises")
c = runs[0].config
glue("frozen-psi-p", f"{c['psi_p']:g}", display=False)
glue("frozen-psi-n", f"{c['psi_n']:g}", display=False)
glue("frozen-t", f"{c['t']:g}", display=False)
glue("frozen-d", c["d"], display=False)
glue("frozen-draws", len({r.config["seed"] for r in runs}), display=False)
peak = c["psi_p"] / c["psi_n"]
glue("frozen-peak", f"{peak:g}", display=False)

# %% [markdown]
# ## Two ways to draw the noise
#
# A diffusion model is trained on noisy versions of its data. The theory of this book, like the paper, averages over the
# noise. This describes training with fresh noise at every step, as long as the steps are small. But one may also draw
# $m$ noises for each point once and keep them. We call this **frozen noise**. (A training that ends after $m$ epochs
# has also seen each point with only $m$ noises, but each of them once.) The loss is then the mean over the $nm$ noisy
# points,
#
# ```{math}
# :label: eq-frozen-loss
# L_\mathrm{train}(A) = \frac{1}{dnm}\sum_{\nu=1}^{n}\sum_{a=1}^{m}
#   \left\|\sqrt{\Delta_t}\, s_A(x_t^{\nu a}) + \xi^{\nu a}\right\|^2 ,
# ```
#
# and a model with enough features can memorise the noises as well as the points.
#
# Who has solved what? {cite:t}`george2025` solved this model at the end of training, for $m = 1$ and for fresh noise,
# and [arXiv:2609.26392](https://arxiv.org/abs/2609.26392) for any $m$ and with weight decay. With $m = 1$ it is a
# regression on random features, for which [arXiv:2110.11805](https://arxiv.org/abs/2110.11805) has the losses at every
# time of gradient flow. This page has them **for any $m$, with weight decay, at every training time**, together with
# the distance to the exact score. We know of no earlier solution for $m > 1$.
#
# ## The equations
#
# For given features, $U$ is the covariance of $nm$ noisy points, and the $m$ noisy versions of one point share its
# signal. The $m$ noises of a point can be rotated into their mean and $m - 1$ directions that contain no signal. Then
# $U$ is a sum of two independent sample covariances. One more trace, $u = \frac1{pd}\mathrm{Tr}[W W^T R]$ (called
# $m(z)/\psi_p$ in [](score-error.ipynb); here $m$ is the number of noises), and two denominators close the system:
#
# ```{math}
# :label: eq-frozen
# \begin{aligned}
# D_2 &= 1 + \tfrac{\psi_p}{\psi_n m}\,(b^2 u + s^2 q), & D_1 &= D_2 + \tfrac{\psi_p}{\psi_n}(\alpha r + v^2 q), \\
# \kappa &= \tfrac1m D_1^{-1} + \bigl(1 - \tfrac1m\bigr) D_2^{-1}, & S_k &= b^2\kappa + \alpha\lambda_k D_1^{-1}, \\
# \tfrac1q &= s^2\kappa - z + \tfrac{v^2}{D_1} + \sum_k \tfrac{w_k S_k}{1 + \psi_p q S_k}, &
# (r, u) &= \sum_k \tfrac{w_k\, q}{1 + \psi_p q S_k}\,(\lambda_k, 1) .
# \end{aligned}
# ```
#
# As $m \to \infty$, $D_2$ and $\kappa$ become one, and these are the equations of [](features-spectrum.ipynb). The step
# from one resolvent to two, which gives the test loss, is that of [](score-error.ipynb), with three linear equations
# instead of two for the upper right entries. **Weight decay** $\gamma$, measured in units of the eigenvalues of $U$,
# adds $\gamma$ to every eigenvalue: $g(\lambda) = (e^{-2\Delta_t(\lambda + \gamma)\tau/\psi_p} - 1)/(\lambda +
# \gamma)$.
#
# ```python
# from diffmemlib import GradientFlow, learning_curves, spectrum
#
# learning_curves(tau, psi_p=4, psi_n=2, t=0.3, noises=3, ridge=0.01)  # the limit
# GradientFlow(W, X, t=0.3, noises=xi, ridge=0.01).losses(tau)  # one draw, xi of shape (n, m, d)
# ```
#
# Every value in the limit is computed by two contour rules that must agree within $10^{-9}$. At the end of training
# with weight decay no contour is needed. A computation with forty digits confirms the same nine digits there, and a
# test compares both losses with the published formulas of arXiv:2609.26392, which agree to eight digits (its training
# loss includes the ridge term, ours does not). At finite times a second solver, which evaluates every equation with $2
# \times 2$ matrices as it stands in the derivation, gives the same nine digits, also where $nm = p$.
#
# ## How many noises does a point need?

# %% mystnb={"figure": {"caption": "Distance to the exact score for points seen with $m$ frozen noises, $\\psi_p = 4$, $\\psi_n = 2$, $t = 0.3$; $m = \\infty$ is fresh noise. First panel: against training time; lines are the limit, points exact dynamics at finite $d$, means over draws. Second panel: against $m$, at the best time to stop and at the end of training; dotted, fresh noise; dashed, as many noisy points as features ($nm = p$).", "name": "fig-frozen-noises"}, "image": {"alt": "First panel: curves for m from 1 to infinity fall together, are smallest between tau 3 and 8 and rise to different ends, highest for m = 2. Second panel: at the end of training E_score has a sharp peak at nm = p; at the best time it falls smoothly with m."}} tags=["remove-input"]
many = np.unique(np.concatenate([np.geomspace(1, 100, 13), [1.7, 1.85, 1.95, 2.0, 2.05, 2.15, 2.3]]))
figure, table = draw.noises(runs, many)
plt.show()

# %% tags=["remove-input"]
record(runs, table, "frozen-noises")

# %% tags=["remove-input"]
setting = {"psi_p": c["psi_p"], "psi_n": c["psi_n"], "t": c["t"]}
chosen = estimate.stops([{"noises": float(m)} for m in (1, 2, 3, 5, 10, 20, 50)] + [{}], **setting)
fresh = chosen.iloc[-1]
fine = estimate.stops([{"noises": float(m)} for m in many], **setting)
for within in (1.1, 1.5):
    needed = estimate.noises_needed(fine, fresh["best"], within)
    glue(f"frozen-needed-{within:g}", f"{needed:,.0f}", display=False)
at_peak = table[(table["noises"] == peak) & (table["tau"] >= table["tau"].max() / 11)]
grows = np.polyfit(np.log(at_peak["tau"]), np.log(at_peak["limit"]), 1)[0]
glue("frozen-grows", f"{grows:.2f}", display=False)
glue("frozen-one", f"{chosen['best'].iloc[0] / fresh['best']:.1f}", display=False)
glue("frozen-sooner", f"{fresh['tau'] / chosen['tau'].iloc[0]:.1f}", display=False)
frame(
    "The best time to stop and the end of training, for m noises a point",
    pd.DataFrame(
        {
            "m": ["fresh noise" if m == np.inf else f"{m:,.0f}" for m in chosen["noises"]],
            "best E_score": chosen["best"].map("{:.3f}".format),
            "over that of fresh noise": (chosen["best"] / fresh["best"]).map("{:.2f}".format),
            "stop at tau": chosen["tau"].map("{:.1f}".format),
            "E_score at the end": chosen["late"].map("{:.2f}".format),
        }
    ),
)

# %% [markdown]
# With $\psi_p =$ {glue:text}`frozen-psi-p`, $\psi_n =$ {glue:text}`frozen-psi-n` and $t =$ {glue:text}`frozen-t` there
# are as many noisy points as features when $m =$ {glue:text}`frozen-peak`. (The points of the figure are means over
# {glue:text}`frozen-draws` draws of features and data at $d =$ {glue:text}`frozen-d`.) At that $m$, the error at the
# **end** of training is by far the worst: the model can just fit all noises, and needs huge weights to do so. Such a
# peak is known from double descent. With exactly as many noisy points as features the error never stops growing; over
# the last decade of training time in the figure it grows as the power {glue:text}`frozen-grows` of time.
#
# At the **best time to stop** there is no such peak. The error falls smoothly with $m$, and the best time to stop moves
# later, by a factor of {glue:text}`frozen-sooner` from one noise to fresh noise. Seeing each point with one noise only
# makes the best error {glue:text}`frozen-one` times as large as with fresh noise. With {glue:text}`frozen-needed-1.5`
# noises it is within one and a half times the error of fresh noise, and with {glue:text}`frozen-needed-1.1` within ten
# per cent.
#
# How many noises are enough depends on the setting. With more features, and above all at smaller diffusion times, far
# more are needed:

# %% tags=["remove-input"]
rows = []
for psi_p, psi_n, t in ((c["psi_p"], c["psi_n"], c["t"]), (64.0, 8.0, 0.1), (64.0, 8.0, 0.01)):
    counts = [{"noises": 2.0**k} for k in range(12)] + [{}]
    tried = estimate.stops(counts, psi_p=psi_p, psi_n=psi_n, t=t)
    need = [estimate.noises_needed(tried.iloc[:-1], tried["best"].iloc[-1], within) for within in (1.5, 1.1)]
    rows.append([f"{psi_p:g}", f"{psi_n:g}", f"{t:g}", *(f"{m:,.0f}" for m in need)])
frame("Noises a point that bring the best E_score within a factor of that of fresh noise", pd.DataFrame(
    rows, columns=["psi_p", "psi_n", "t", "within 1.5 times", "within 1.1 times"]))  # fmt: skip

# %% [markdown]
# So the number of features at which training to the end fails is of no concern to someone who stops in time. This holds
# over the whole plane of $m$ and $\psi_p$:

# %% mystnb={"figure": {"caption": "Distance to the exact score against the number of noises for each point and the number of features, $\\psi_n = 2$, $t = 0.3$. First panel: at the end of training. Second panel: at the best time to stop. Dashed: as many noisy points as features. The colour of a disc is the value of one simulation at $d = 100$.", "name": "fig-frozen-plane"}, "image": {"alt": "First panel: a bright ridge of large errors follows the dashed line nm = p. Second panel: the ridge is gone, and the error falls smoothly towards more noises."}} tags=["remove-input"]
plane = 2 ** np.arange(0, 3.1, 0.5), 2 ** np.arange(0, 4.1, 0.5), c["psi_n"], c["t"]
flows = sweep_results("rfnn-plane")
figure, table = draw.plane(flows, *plane)
figure.set_dpi(60)
plt.show()

# %% tags=["remove-input"]
record(flows, table, "frozen-plane")

# %% [markdown]
# ## Do frozen noise and weight decay change the window?
#
# On this page, the window means the times at which the score error is within 10% of its smallest value. This definition
# applies to any curve and does not need the two times.

# %% mystnb={"figure": {"caption": "The time at which the score error is smallest, and the window as defined above, $\\psi_p = 64$, $\\psi_n = 8$, $t = 0.1$. First panel: for $m$ frozen noises. Second panel: for fresh noise and weight decay. Points and ticks: best times and ends of the window in simulations at $d = 50$.", "name": "fig-frozen-windows"}, "image": {"alt": "First panel: the window moves later and becomes shorter as m grows. Second panel: it does not change until gamma is about one, then widens and has no end above some gamma."}} tags=["remove-input"]
wide = {"psi_p": 64.0, "psi_n": 8.0, "t": 0.1}
gammas = np.geomspace(1e-2, 1e2, 25)
with_ridge = sweep_results("rfnn-ridge")
seen = [*sweep_results("rfnn-window"), *with_ridge]
figure, table = draw.windows(seen, np.geomspace(1, 100, 9), gammas, **wide)
plt.show()

# %% tags=["remove-input"]
record(seen, table, "frozen-windows")

# %% tags=["remove-input"]
decayed = table[table["noises"] == np.inf]
opens = estimate.opening(**wide)
glue("frozen-opens", f"{opens:.1f}", display=False)
cost = estimate.stop(**wide, ridge=opens).best / estimate.stop(**wide).best
glue("frozen-opens-cost", f"{cost:.2f}", display=False)
by_noise = table[np.isfinite(table["noises"])].sort_values("noises")
length = by_noise["high"] / by_noise["low"]
glue("frozen-length-one", f"{length.iloc[0]:.1f}", display=False)
glue("frozen-length-many", f"{length.iloc[-1]:.1f}", display=False)
glue("frozen-length-m", f"{by_noise['noises'].iloc[-1]:g}", display=False)

# %% [markdown]
# More noises for each point move the window later and make it shorter: its end is {glue:text}`frozen-length-one` times
# its beginning for $m = 1$, and {glue:text}`frozen-length-many` times for $m =$ {glue:text}`frozen-length-m`. Weight
# decay does not change the window as long as $\gamma$ is small compared with the eigenvalues of the population's bulk.
# From about $\gamma =$ {glue:text}`frozen-opens` on, the window has no end: the error stays within ten per cent of its
# smallest value for ever. But that smallest value is {glue:text}`frozen-opens-cost` times the one that stopping reaches
# without weight decay.
#
# ## Weight decay instead of stopping?
#
# Weight decay has been proposed as a replacement for early stopping: chosen so that it suppresses what lies below the
# population's bulk ([arXiv:2609.35377](https://arxiv.org/abs/2609.35377)), or chosen optimally
# ([arXiv:2609.26392](https://arxiv.org/abs/2609.26392)). Which of the two is better, and by how much?

# %% mystnb={"figure": {"caption": "Weight decay with fresh noise, $\\psi_p = 64$, $t = 0.1$. First panel: score error against training time, $\\psi_n = 8$; lines are the limit, points exact dynamics at $d = 50$. Second panel: score error at the end of training against $\\gamma$; dashed, what stopping in time reaches without it; dots, simulations; rings, $\\gamma$ at the left edge of the population's bulk.", "name": "fig-frozen-ridge"}, "image": {"alt": "First panel: without weight decay the error falls below 0.05 and rises again; larger gamma raises the minimum and lowers the end. Second panel: for each psi_n the error at the end has a minimum in gamma, which lies above the dashed line of stopping; the rings lie to the right of the minima."}} tags=["remove-input"]
figure, table = draw.ridges(with_ridge, (4, 8, 16, 32), gammas)
plt.show()

# %% tags=["remove-input"]
record(with_ridge, table, "frozen-ridge")

# %% tags=["remove-input"]
ratio, edge = table["by_ridge"] / table["stop"], table["by_edge"] / table["stop"]
glue("frozen-ratio", f"{ratio.min():.2f} to {ratio.max():.2f}", display=False)
better = int((table["stop"] < table["by_ridge"]).sum())
verdict = (
    "Here stopping in time is better for every psi_n"
    if better == len(table)
    else (f"Here stopping in time is better for {better} of {len(table)} psi_n")
)
glue("frozen-verdict", verdict, display=False)
glue("frozen-edge", f"{edge.min():.1f} to {edge.max():.1f}", display=False)
frame(
    "The smallest E_score by stopping, by the best weight decay, and by one at the edge of the bulk",
    pd.DataFrame(
        {
            "psi_n": table["psi_n"].map("{:g}".format),
            "stopping in time": table["stop"].map("{:.4f}".format),
            "best gamma": table["ridge"].map("{:.2f}".format),
            "at the best gamma": [f"{v:.4f} ({r:.2f} times)" for v, r in zip(table["by_ridge"], ratio, strict=True)],
            "edge": table["edge"].map("{:.1f}".format),
            "gamma at the edge": [f"{v:.4f} ({r:.1f} times)" for v, r in zip(table["by_edge"], edge, strict=True)],
        }
    ),
)

# %% [markdown]
# {glue:text}`frozen-verdict`. The best weight decay, which one would have to find first, gives
# {glue:text}`frozen-ratio` times the error of the best stopping time. Weight decay at the edge of the bulk gives
# {glue:text}`frozen-edge` times that error.
#
# These settings have many features, little diffusion noise and fresh noise at every step. Does the answer hold
# elsewhere? The next figure compares the two over many ratios, for three diffusion times, with one frozen noise a point
# and with fresh noise:

# %% mystnb={"figure": {"caption": "The smallest score error that the best weight decay reaches at the end of training, divided by the smallest that stopping reaches without weight decay. Blue: weight decay is better. Red: stopping is better. Black line: both are as good.", "name": "fig-frozen-which"}, "image": {"alt": "Six maps over psi_n and psi_p. With one frozen noise a point weight decay is better by little, except at large psi_n. With fresh noise stopping is better where there are more than about five features for each dimension, by up to a half, and weight decay by little where there are fewer."}} tags=["remove-input"]
grid = json.loads((checkout() / "book" / "measured" / "ridge.json").read_text())["rows"]
figure, compared = draw.ridge_over_stopping(pd.DataFrame(grid).fillna({"noises": np.inf}))
figure.set_dpi(60)  # the notebook has room for no more
plt.show()

# %% tags=["remove-input"]
record_live("diffmemlib.companion.ridge.ridge_grid()", compared, "frozen-which")

# %% tags=["remove-input"]
for name, m in (("one", 1.0), ("fresh", np.inf)):
    part = compared[compared["noises"] == m]
    glue(f"frozen-{name}-wins", f"{(part['ratio'] < 1).mean():.0%}", display=False)
    glue(f"frozen-{name}-best", f"{part['ratio'].min():.2f}", display=False)
    glue(f"frozen-{name}-worst", f"{part['ratio'].max():.2f}", display=False)
many_features = compared[(compared["noises"] == np.inf) & (compared["psi_p"] >= 8 * compared["psi_n"])]
glue("frozen-many-wins", f"{(many_features['ratio'] < 1).mean():.0%}", display=False)

# %% [markdown]
# So neither is better everywhere. With fresh noise, weight decay has the smaller error in
# {glue:text}`frozen-fresh-wins` of these settings, mostly those with few features, and in {glue:text}`frozen-many-wins`
# of those with at least eight times as many features as data. The ratio of the two errors lies between
# {glue:text}`frozen-fresh-best` and {glue:text}`frozen-fresh-worst`. With one frozen noise a point weight decay is
# better in {glue:text}`frozen-one-wins` of the settings, and the ratio lies between {glue:text}`frozen-one-best` and
# {glue:text}`frozen-one-worst`.
#
# The two differ in their filter. A training that is stopped has learned the share
# $1 - e^{-2\Delta_t\lambda\tau/\psi_p}$ of a mode with eigenvalue $\lambda$, while a training with weight decay learns
# the share $\lambda/(\lambda + \gamma)$ of it. The first changes more sharply with $\lambda$, which helps where the
# modes of the population, which should be learned, lie far above those of the training set, which should not. Where the
# two overlap, a sharp filter has no advantage. Weight decay has one advantage in practice: there is no time to stop that
# has to be chosen, only its strength.
#
# ## The covariance of real data
#
# All of this holds for Gaussian data of any covariance. The covariance is given by atoms: eigenvalues, each with a
# weight. The curves of the other pages have one or two atoms. Are a few atoms enough for a real data set? The figure
# shows the digits of [](images.ipynb), at $16 \times 16$ pixels, with more and more atoms for their covariance:

# %% mystnb={"figure": {"caption": "Gaussian data with the covariance of the digits, $\\psi_p = \\psi_n = 4$, $t = 0.1$, scaled to unit mean variance, by the number of atoms that stand for 256 eigenvalues. First panel: score error relative to its start. Second panel: test minus train loss. Points: exact dynamics of one draw, $d = 256$.", "name": "fig-frozen-atoms"}, "image": {"alt": "The curve of one atom falls first, and rises highest afterwards; with more atoms the curves fall later and more gradually, and end lower. Those of sixteen atoms and of all eigenvalues lie on one another, and the points close to them."}} tags=["remove-input"]
images = digits("train", 16)[0].double().flatten(1).numpy()
images /= np.sqrt(images.var(0, ddof=1).mean())
spread = np.linalg.eigvalsh(np.cov(images.T))
glue("frozen-directions", f"{spread.sum() ** 2 / (spread**2).sum():,.0f}", display=False)
named = {f"{k} atom{'s' if k > 1 else ''}": covariance_atoms(images, k) for k in (1, 2, 4, 16)}
named["all eigenvalues"] = every = covariance_atoms(images, 10**6)
tau, shape = np.geomspace(0.3, 1e6, 100), {"psi_p": 4.0, "psi_n": 4.0, "t": 0.1}
rng, d = np.random.default_rng(0), images.shape[1]
variances = np.repeat([value for value, _ in every], [round(weight * d) for _, weight in every])
W, X = rng.standard_normal((4 * d, d)), np.sqrt(variances) * rng.standard_normal((4 * d, d))
flow = GradientFlow(W, X, shape["t"], variances).losses(tau[::5])
figure, table = draw.by_atoms(named, np.array([flow.tau, flow.score_error, flow.test - flow.train]), tau, **shape)
plt.show()

# %% tags=["remove-input"]
record_live("diffmemlib.companion.figures.frozen.by_atoms(atoms, points, tau, 4, 4, 0.1)", table, "frozen-atoms")

# %% tags=["remove-input"]
table = table.reset_index(drop=True)
groups = table.groupby("covariance", sort=False)
best = table.loc[groups["score_error"].idxmin()].set_index("covariance")
start = groups["score_error"].first()
parted = table[table["gap"] > 0.1].groupby("covariance", sort=False)["tau"].first()
glue("frozen-one-atom", f"{best['tau'].iloc[0]:,.0f}", display=False)
glue("frozen-every", f"{best['tau'].iloc[-1]:,.0f}", display=False)
frame(
    "What the atoms change",
    pd.DataFrame(
        {
            "covariance": best.index,
            "numbers": [len(v) for v in named.values()],
            "best E_score, of its start": (best["score_error"] / start).map("{:.3f}".format),
            "stop at tau": best["tau"].map("{:,.0f}".format),
            "L_gen = 0.1 at tau": parted.map("{:,.0f}".format),
        }
    ).reset_index(drop=True),
)

# %% [markdown]
# One atom is misleading. It makes the data a ball in all 256 dimensions, while the digits have a few directions of
# large variance and many of almost none. It puts the best time to stop at {glue:text}`frozen-one-atom`, while all
# eigenvalues put it at {glue:text}`frozen-every`. Sixteen atoms, placed more densely where the eigenvalues are large,
# come close to that.
#
# At late times the points lie below the line of all eigenvalues. This is an effect of the finite dimension: the
# variance of the digits is spread over only about {glue:text}`frozen-directions` directions (the participation ratio of
# the eigenvalues). The effect is proportional to $1/d$: a test of this book takes every eigenvalue twice, in twice the
# dimension, and finds half of the difference.
#
# `covariance_atoms(data)` makes atoms from your own data set, for use with `learning_curves` and `spectrum`. Take
# enough points: with fewer than a few times the dimension, the small eigenvalues come out too small.
#
# **Next.** [Live theory](live-theory.md) lets you move all these parameters yourself.
