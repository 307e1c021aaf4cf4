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
# # The mixture: width of the network
#
# **What you will see.** Wider networks learn in fewer steps. The paper {cite:p}`bonnaire2025` reports that
# $\tau_\mathrm{gen}$ is inversely proportional to the width $W$ (Figure 9, right). Here this is tested at every level of
# the divergence at which the time can be read, from the first steps of training on.
#
# **You need** [the Gaussian mixture](mixture.ipynb). **Reading time**: four minutes.

# %% tags=["remove-input"]
import matplotlib.pyplot as plt
from myst_nb import glue

from diffmemlib.companion import claims
from diffmemlib.companion.estimators import baseline, gmm as estimate, scaling
from diffmemlib.companion.figures import gmm as draw
from diffmemlib.companion.figures.curves import quality_and_memory
from diffmemlib.companion.figures.record import record
from diffmemlib.companion.figures.tables import estimates
from diffmemlib.companion.figures.tiers import beside
from diffmemlib.companion.sweeps.tables import sweep_results

glue("good-width", f"{estimate.KL_GOOD_WIDTH:g}", display=False)

# %% [markdown]
# ## Both times
#
# At fixed $n$, how do the times depend on $W$? The paper leaves $\tau_\mathrm{mem}$ open. In our runs, wider networks
# reach both times earlier.

# %% mystnb={"figure": {"caption": "Divergence and memorised fraction for four widths $W$ at $n = 64$, against training time and against $W$ times training time. Dotted: the level that defines $\\tau_\\mathrm{mem}$; dots mark where the curves reach it. Dashed: the share of unseen data that meet the criterion of copies by chance.", "name": "fig-mixture-width"}, "image": {"alt": "Four panels: for wider networks the divergence falls earlier and the memorised fraction rises earlier."}} tags=["remove-input"]
wide = estimate.sweep_width(64)
figure, table = quality_and_memory(wide, key="width", scale=-1, fresh=baseline.by_chance(wide))
plt.show()

# %% tags=["remove-input"]
record(wide, table, "mixture-width")

# %% [markdown]
# At $n = 64$ the divergence soon stops falling, because so few points cannot teach more. A larger training set leaves
# more room for the fall:

# %% mystnb={"figure": {"caption": "The fall of the divergence for four widths $W$ at $n = 256$, against training time and against $W$ times training time.", "name": "fig-mixture-width-256"}, "image": {"alt": "Two panels: wider networks fall earlier; multiplying time by W brings the curves closer without making them coincide."}} tags=["remove-input"]
wide_256 = estimate.sweep_width(256)
figure, table = quality_and_memory(wide_256, key="width", metrics=["kl_fisher"], scale=-1)
plt.show()

# %% tags=["remove-input"]
beside("mixture-width-256", lambda lower: quality_and_memory(lower, key="width", metrics=["kl_fisher"], scale=-1))
record(wide_256, table, "mixture-width-256")

# %% tags=["remove-input"]
levels = (estimate.KL_GOOD_WIDTH, 2.0, 3.0, 10.0)
shown = {f"tau_gen at {level:g} nats, n = 256": estimate.tau_gen_width_exponent(256, level) for level in levels}
narrower = estimate.tau_gen_width_exponent(widths=(32, 64, 128))
shown[f"tau_gen at {estimate.KL_GOOD_WIDTH:g} nats, n = 256, W up to 128 only"] = narrower
shown[f"tau_mem at f_mem = {scaling.F_MEM:g}, n = 64"] = estimate.tau_mem_width_exponent()
estimates("Exponents in W", shown)

# %% [markdown]
# An exponent of $-1$ would agree with the paper's $1/W$, and an exponent of 0 would mean that width brings no gain.
# Where "good" is defined strictly, does the last increase of the width still bring a gain? To see this, compare the
# first row with the row that omits the largest width. If there is no gain, the time is no longer limited by the width
# but by $n$, or by the noise of the gradient, since each step draws a single noise for each point. For the right panel
# of its Fig. 9 the paper states neither the threshold nor $n$. The claims table uses {glue:text}`good-width` nats,
# which is our choice, and all four widths. Widths other than 128 were measured with 500 samples.
#
# ## At which level does 1/W hold?
#
# There is a reason to expect $1/W$ at the beginning. A wide network hardly moves its weights at first, so it behaves
# like a model that is linear in them, and its rate of learning grows with the number of weights that act together.
# Later the weights do move. Does $1/W$ then hold only in the first phase of training? To answer this, further runs with
# $W$ from 32 to 512 are measured from the first step on. In one set of runs the network sees the same
# {glue:text}`early-n` points in every step. In the other, each step takes a batch of the same size out of
# {glue:text}`fresh-n` points, so that a point is seen again only every {glue:text}`fresh-every` steps.

# %% mystnb={"figure": {"caption": "The divergence of networks of five widths from the first step on, $n = 256$, full batches, against training time and against $W$ times training time. Lines: mean over seeds.", "name": "fig-mixture-width-early"}, "image": {"alt": "Two panels of five falling curves. Those of the wider networks dip early, rise again and then fall for good; multiplying time by W does not bring the curves together."}} tags=["remove-input"]
early, fresh = (sweep_results(f"mixture-width-{name}") for name in ("early", "fresh"))
figure, table = quality_and_memory(early, key="width", metrics=["kl_fisher"], scale=-1, limits=(1, 1e6))
plt.show()

# %% tags=["remove-input"]
record(early, table, "mixture-width-early")

# %% [markdown]
# The wider networks overshoot: their divergence dips soon after the start, rises again, and then falls for good. A
# level in between is therefore crossed twice by a wide network and once by a narrow one. We take the time at which a
# network falls below a level for the last time before its smallest divergence.

# %% mystnb={"figure": {"caption": "Exponent in $W$ of the time at which the score gap falls below a level, against the level; training goes on to the right. Bars: 95% intervals. Dashed: the paper's $-1$; shaded: within 0.2 of it.", "name": "fig-mixture-width-levels"}, "image": {"alt": "Two sets of intervals, of runs on few points and on many, against the divergence on a log axis that falls to the right."}} tags=["remove-input"]
glue("early-n", early[0].config["n"], display=False)
glue("fresh-n", f"{fresh[0].config['n']:,}", display=False)
glue("fresh-every", fresh[0].config["n"] // fresh[0].config["batch"], display=False)
by_level = {
    f"n = {early[0].config['n']}, full batch": estimate.width_by_level("mixture-width-early"),
    f"batches of {fresh[0].config['batch']} of {fresh[0].config['n']:,}": estimate.width_by_level(
        "mixture-width-fresh"
    ),
}
figure, table = draw.width_levels(by_level)
plt.show()

# %% tags=["remove-input"]
record([*early, *fresh], table, "mixture-width-levels")

# %% tags=["remove-input"]
common = min(set.intersection(*(set(found["level"]) for found in by_level.values())))
for name, found in zip(("early", "fresh"), by_level.values(), strict=True):
    values = found["exponent"]
    steepest = min(values, key=lambda e: e.value)
    at = found["level"][[e is steepest for e in values]].iloc[0]
    glue(f"width-{name}-steepest", str(steepest), display=False)
    glue(f"width-{name}-at", f"{at:,.0f}", display=False)
    glue(f"width-{name}-last", str(values[found["level"] == common].iloc[0]), display=False)
    agreeing = [f"{level:,.0f}" for level, e in zip(found["level"], values, strict=True) if -1.2 <= e.value <= -0.8]
    glue(
        f"width-{name}-agree", f"at {', '.join(agreeing)} nats" if agreeing else "at none of the levels", display=False
    )
    glue(f"width-{name}-first", str(values.iloc[0]), display=False)
dips = estimate.width_by_level("mixture-width-early", lasting=False)
glue("width-dips", f"{min(e.value for e in dips['exponent']):.2f}", display=False)
either = sum(-1.2 <= e.value <= -0.8 for found in by_level.values() for e in found["exponent"])
glue("width-law", "is not" if not either else "may be", display=False)
glue("width-last-level", f"{common:g}", display=False)
glue("width-first-level", f"{by_level[next(iter(by_level))]['level'].iloc[0]:,.0f}", display=False)
few, many = (found.set_index("level")["exponent"] for found in by_level.values())
together = [level for level in few.index if level in many.index]
overlapping = [level for level in together if few[level].low <= many[level].high and many[level].low <= few[level].high]
glue("width-overlap", f"{len(overlapping)} of {len(together)}", display=False)

# %% [markdown]
# Before these runs we wrote down that the exponent should be near $-1$ at large divergences if $1/W$ is the law of the
# first phase. At {glue:text}`width-first-level` nats it is {glue:text}`width-early-first` on few points and
# {glue:text}`width-fresh-first` on many. It lies within 0.2 of $-1$ {glue:text}`width-early-agree` on few points and
# {glue:text}`width-fresh-agree` on many; the steepest exponents are {glue:text}`width-early-steepest`, at
# {glue:text}`width-early-at` nats, and {glue:text}`width-fresh-steepest`, at {glue:text}`width-fresh-at` nats. So $1/W$
# {glue:text}`width-law` the law of the first phase. At {glue:text}`width-last-level` nats the exponents are
# {glue:text}`width-early-last` and {glue:text}`width-fresh-last`.
#
# The rule for the time matters here. If one takes the first crossing instead, the dip counts for some networks and not
# for others, and the exponent of this mixture of two times goes down to {glue:text}`width-dips`.
#
# If few points were what limits the gain from width, the two sets of runs would differ; their intervals overlap at
# {glue:text}`width-overlap` of the levels. All these networks have the same learning rate and the same kind of initial
# weights. With a learning rate that depends on $W$, the exponent would be different.
#
# ## Claims

# %% tags=["remove-input"]
claims.show(claims.load(chapter="mixture-width"))

# %% [markdown]
# **Next.** [Images](images.ipynb) asks whether the same two times are seen on pictures, where the true distribution is
# not known.
