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
# # Random features: exact learning curves
#
# **What you will see.** For a network with one trained layer, the losses at every training time can be computed exactly
# in the limit of high dimension. This answers a question that {cite:t}`bonnaire2025` leave open: how does the best
# reachable score error fall with the amount of data, and is it a power law?
#
# **You need** [the model](features-dynamics) and [its spectrum](features-spectrum). **Reading time**: ten minutes.

# %% tags=["remove-input"]
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from myst_nb import glue

from diffmemlib.companion import claims
from diffmemlib.companion.estimators import rfnn as estimate, rfnn_rates
from diffmemlib.companion.figures import rfnn as draw
from diffmemlib.companion.figures.record import record, record_live
from diffmemlib.companion.figures.tables import frame
from diffmemlib.companion.sweeps.tables import sweep_results

# %% [markdown]
# ## From one resolvent to two
#
# The losses {eq}`eq-rf-losses` are traces of functions of $U$, and therefore contour integrals of traces of its
# resolvent $R(z) = (U - z)^{-1}$, and in high dimension these follow from the two equations {eq}`eq-rf-q` for $q$ and
# $r$. The training loss needs one more trace, $m(z) = \psi_p\sum_k w_k q/(1 + \psi_p q S_k)$, which is the limit of
# $\frac1d\mathrm{Tr}[Y^T R\, Y]$. The test loss needs **two** resolvents at once, since $g$ stands on both sides of
# $\tilde U$: $T(z_1, z_2) = \lim \frac1d\mathrm{Tr}[Y^T R(z_1) Y \Sigma_t Y^T R(z_2) Y]$ with $Y = W/\sqrt d$. The
# paper does not take this step, which is short. Put two copies of the resolvent into a $2\times2$ upper-triangular
# block, with $Z = \mathrm{diag}(z_1, z_2)$ for $z$ and $b^2 I + \delta\,\Sigma_{t}E_{12}$ for $b^2$, where $E_{12}$
# is the $2\times2$ matrix whose only nonzero entry is a one in the upper right corner, and $\delta$ is a small
# parameter. {eq}`eq-rf-q` then holds for $2\times2$ matrices. Their diagonal entries are the solutions at $z_1$ and
# $z_2$, which we know. The upper right entries are linear in $\delta$ and obey two linear equations, which can be
# solved by hand. The trace $m$ becomes a $2\times2$ matrix as well, and its upper right entry gives $T = -\partial
# m_{12}/\partial\delta$. Contour integrals around the spectrum turn traces of $R$ into traces of functions of $U$:
#
# ```{math}
# :label: eq-rf-curves
# \begin{aligned}
# L_\mathrm{test}(\tau) = 1 &- \frac{2b^2}{2\pi i}\oint g\, m\, dz \\
#   &+ \frac{b^2}{(2\pi i)^2}\oint\!\oint g(z_1) g(z_2) K(z_1, z_2)\, dz_1 dz_2,
# \end{aligned}
# ```
#
# with $K = (s^2 + v^2)\frac{m(z_1) - m(z_2)}{z_1 - z_2} + a^2 T(z_1, z_2)$. One $K$ serves all $\tau$. The tests of this
# book compare these curves with exact dynamics at finite $d$: the difference falls as $1/d$.
#
# ## The curves

# %% mystnb={"figure": {"caption": "Exact learning curves in the limit of high dimension, $\\psi_p = 64$, $t = 0.1$. First panel: test loss (solid) and training loss (dashed). Second panel: distance to the exact score; the dot is the best time to stop.", "name": "fig-rf-curves"}, "image": {"alt": "First panel: train and test loss fall together and then part, later for larger psi_n. Second panel: the score error falls, is smallest near tau of order ten, and rises again at a time that grows with psi_n; its minimum is lower for larger psi_n."}} tags=["remove-input"]
tau = np.geomspace(0.5, 1e6, 300)
figure, table = draw.curves(64, (4, 8, 16, 32), 0.1, tau)
plt.show()

# %% tags=["remove-input"]
record_live("diffmemlib.companion.figures.rfnn.curves(64, (4, 8, 16, 32), 0.1, tau)", table, "rf-curves")

# %% [markdown]
# Train and test loss fall together and then separate. Up to a constant, the score error is the test loss divided by
# $\Delta_t$ ([](features-dynamics.ipynb)), so both are smallest at the same time. This is the best time to stop. It is
# marked in the panel of the score error; on the linear axis of the losses the minimum cannot be seen. It comes well
# before the losses have visibly separated: within the window between $\tau_\mathrm{gen}$ and $\tau_\mathrm{mem}$, the
# score is best at the beginning. [](live-theory.md) draws these curves for any $\psi_p$, $\psi_n$ and $t$ that you
# choose.
#
# ## Is it a power law?
#
# The paper finds, in simulations, that the smallest score error falls as $\psi_n^{-\eta}$ with $\eta = 0.59$, and
# leaves the theory open. The figure shows the exact minimum, and the slope of its logarithm between neighbouring
# $\psi_n$:

# %% mystnb={"figure": {"caption": "The best that training can reach, $t = 0.1$. First panel: smallest score error against $\\psi_n$. Second panel: its local exponent, with the paper's 0.59 (dashed). Third panel: the time at which to stop. Shaded: $\\psi_n$ from 4 to 32, the range of Fig. 5 of the paper.", "name": "fig-rf-exponent"}, "image": {"alt": "Three panels against psi_n for psi_p = 64, 512 and 4096. The local exponent crosses 0.59 inside the shaded range, goes on growing, nears one for large psi_p and falls again for psi_p = 64."}} tags=["remove-input"]
psi_n = np.geomspace(1, 1024, 16)
figure, table = draw.exponents((64, 512, 4096), psi_n, 0.1, 0.59, (4, 32))
plt.show()

# %% tags=["remove-input"]
record_live(
    "diffmemlib.companion.figures.rfnn.exponents((64, 512, 4096), psi_n, 0.1, 0.59, (4, 32))",
    table,
    "rf-exponent",
)

# %% tags=["remove-input"]
local = estimate.best_stops((64.0,), (2, 4, 8, 16, 32, 64, 128), 0.1)
eta = estimate.eta()
glue("eta", f"{eta.value:.2f}", display=False)
between = [estimate.eta(from_psi_n=psi_n).value for psi_n in (4, 8, 16)]
glue("eta-low", f"{min(between):.2f}", display=False)
glue("eta-high", f"{max(between):.2f}", display=False)
frame(
    "The best that training can reach, psi_p = 64, t = 0.1",
    pd.DataFrame(
        {
            "psi_n": local["psi_n"].map("{:,.0f}".format),
            "smallest E_score": local["score_error"].map("{:.4f}".format),
            "exponent up to the next psi_n": local["exponent"].map("{:.2f}".format).replace("nan", ""),
            "stop at tau": local["tau"].map("{:.1f}".format),
        }
    ),
)

# %% [markdown]
# It is not a power law. Over $\psi_n = 4 \ldots 32$ a straight line fitted in logarithmic axes gives $\eta =$
# {glue:text}`eta`, but the local exponent goes from {glue:text}`eta-low` to {glue:text}`eta-high` on the way. The
# paper's 0.59 describes a range of $\psi_n$ and is not a constant of the model. With many more features than data the
# exponent grows further, towards one. At fixed $\psi_p$ it falls again once $\psi_n$ exceeds $\psi_p$, where the number
# of features limits the model.
#
# The best time to stop grows slowly with $\psi_n$: far more slowly than the time of memorisation, which grows at least in
# proportion to it ([](features-dynamics.ipynb)). More data widen the window mostly at its far end.
#
# ## Where does 0.59 come from?
#
# Gradient flow is training with steps that are infinitely small. The paper's public script has the learning rate
# $10^{-2} d/\Delta_t$ and no factor $1/\sqrt p$ in the network, so that at $\psi_p = 64$ and $t = 0.1$ one of its steps
# is $\psi_p/(100\,\Delta_t) = 3.5$ in units of $\tau$. The best time to stop is near {glue:text}`eta-tau`, so the
# script reaches it after a handful of steps, each of which draws fresh noise. Do such large, noisy steps change the
# exponent? The same model is trained here by full-batch SGD with steps of that size, of half of it, and so on, at
# $\psi_p = 64$, $t = 0.1$ and $d =$ {glue:text}`eta-d`, with {glue:text}`eta-seeds` draws of features and data for each
# $\psi_n$.

# %% mystnb={"figure": {"caption": "SGD with steps of several sizes. First panel: the smallest score error against $\\psi_n$, mean over draws; dashed: gradient flow in high dimension. Second panel: the exponent $\\eta$ over $\\psi_n = 4$ to $32$ with its 95% interval; diamonds: gradient flow at finite dimension $d$.", "name": "fig-rf-rates"}, "image": {"alt": "First panel: the larger the step, the larger is the smallest score error, at every psi_n; it falls with psi_n. Second panel: the exponent for each size of a step with an interval, beside dashed lines for gradient flow in the limit and for the paper, and diamonds for gradient flow at finite dimension, which lie at the paper's value."}} tags=["remove-input"]
descents = sweep_results("rfnn-rates")
flows = rfnn_rates.eta_by_dimension()
figure, table = draw.rates(descents, 0.59, estimate.best_stops((64.0,), (4, 8, 16, 32), 0.1), flows)
plt.show()

# %% tags=["remove-input"]
record([*descents, *sweep_results(rfnn_rates.FLOW)], table, "rf-rates")

# %% tags=["remove-input"]
by_step = rfnn_rates.eta_by_step(descents)
holds = [f"{step:g}" for step, e in by_step.items() if e.low <= 0.59 <= e.high]
at_8 = table[table["psi_n"] == 8].groupby("step")["score_error"].mean()
flow = estimate.best_stop(64.0, 8, 0.1)
glue("eta-tau", f"{flow[1]:,.0f}", display=False)
glue("eta-d", str(descents[0].config["d"]), display=False)
glue("eta-seeds", str(len({r.config["seed"] for r in descents})), display=False)
glue("eta-first", str(by_step[max(by_step)]), display=False)
glue("eta-last", str(by_step[min(by_step)]), display=False)
glue("eta-first-step", f"{max(by_step):.2g}", display=False)
glue("eta-last-step", f"{min(by_step):.2g}", display=False)
glue("eta-holds", "at steps of " + " and ".join(holds) if holds else "at no size of a step", display=False)
for d, e in flows.items():
    glue(f"eta-flow-{d}", str(e), display=False)
    holds_it = " and ".join(
        f"{'contains' if e.low <= value <= e.high else 'does not contain'} {what}"
        for value, what in ((0.59, "0.59"), (eta.value, "the value of the limit"))
    )
    glue(f"eta-flow-{d}-holds", holds_it, display=False)
    glue(f"eta-flow-{d}-draws", len({r.config["seed"] for r in e.runs}), display=False)
glue("eta-worse", f"{at_8[max(by_step)] / flow[0]:.1f}", display=False)
glue("eta-finest", f"{at_8[min(by_step)] / flow[0]:.1f}", display=False)
frame(
    "Exponent eta by the size of a step",
    pd.DataFrame({"a step in tau": [f"{s:.3g}" for s in by_step], "eta [95%]": [str(e) for e in by_step.values()]}),
)

# %% [markdown]
# With steps of {glue:text}`eta-first-step` the exponent is {glue:text}`eta-first`, and the smallest error at $\psi_n =
# 8$ is {glue:text}`eta-worse` times that of gradient flow. With steps of {glue:text}`eta-last-step` the exponent is
# {glue:text}`eta-last`, and the error is {glue:text}`eta-finest` times that of gradient flow. The interval contains the
# paper's 0.59 {glue:text}`eta-holds`. The coarser the steps, the larger is the exponent, so coarse steps are not where
# 0.59 comes from.
#
# What else differs between the paper's simulations and the limit? The dimension is finite. Gradient flow, without any
# noise of its own, has the exponent {glue:text}`eta-flow-50` at $d = 50$ ({glue:text}`eta-flow-50-draws` draws), whose
# interval {glue:text}`eta-flow-50-holds`. At the paper's $d = 100$ ({glue:text}`eta-flow-100-draws` draw) it is
# {glue:text}`eta-flow-100`, whose interval {glue:text}`eta-flow-100-holds`; the limit's value is {glue:text}`eta`. A
# finite dimension by itself can therefore bring the exponent to where the paper finds it.
#
# ## Claims

# %% tags=["remove-input"]
claims.show([c for c in claims.load(chapter="random features") if c.id == "rfnn-score-error"])

# %% [markdown]
# **Next.** [Frozen noise and weight decay](frozen-noise.ipynb) asks how many noises each point needs, and whether
# weight decay can replace stopping in time.
