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
# # Are these intervals right?
#
# **What you will see.** Nearly every number of this book has a 95% interval. Such an interval is right if it contains
# the truth in 95 of 100 repetitions of the whole experiment. Nobody repeats an experiment so often, but a computer can
# simulate it. This page has simulations in which the truth is known, and shows how often each kind of interval contains
# it.
#
# **You need** no more than the idea of a confidence interval. **Reading time**: six minutes.

# %% tags=["remove-input"]
import json

import matplotlib.pyplot as plt
from myst_nb import glue

from diffmemlib.companion import coverage
from diffmemlib.companion.figures.coverage import coverages
from diffmemlib.companion.figures.record import record_stored
from diffmemlib.companion.figures.tables import frame
from diffmemlib.places import checkout

# Written by: make simulations
found = json.loads((checkout() / "book" / "measured" / "coverage.json").read_text())
table = coverage.table(found)
simulated = table[table["trials"] > 0]
of_laws = table["estimator"] == coverage.OF_LAWS
promised = table[~of_laws]
glue("coverage-cases", len(table), display=False)
glue("coverage-most", f"{simulated['trials'].max():,}", display=False)
glue("coverage-least", f"{simulated['trials'].min():,}", display=False)
glue("coverage-lowest", f"{promised['held'].min():.1%}", display=False)
lowest = promised.loc[promised["held"].idxmin()]
glue("coverage-lowest-what", f"{lowest['estimator']}: {lowest['world']}", display=False)
glue("coverage-scatter", f"{coverage.SCATTER:g}", display=False)
for name, values in (("low", min), ("high", max)):
    glue(
        f"coverage-sweeps-{name}",
        f"{values(table.loc[table['estimator'].str.contains('of a sweep'), 'held']):.1%}",
        display=False,
    )
    glue(f"coverage-laws-{name}", f"{values(table.loc[of_laws, 'held']):.0%}", display=False)

# %% mystnb={"figure": {"caption": "How often each interval contains the truth: one dot for each simulated case, with the 95% interval of that frequency itself. The line marks the promised 95%. A dot to its right belongs to an interval that is wider than necessary, a dot to its left to one that contains the truth less often than promised. Arrows at the left edge: values below 0.8.", "name": "fig-coverage"}, "image": {"alt": "Groups of dots, one group for each kind of interval, nearly all between 0.92 and 1. Only the Fr\u00e9chet distance, when it is taken for the distance between the distributions, lies far to the left, in part beyond the edge of the axis."}} tags=["remove-input"]
figure, shown = coverages(table)
plt.show()

# %% tags=["remove-input"]
record_stored("make simulations", "diffmemlib.companion.coverage.coverage", table, "coverage")

# %% [markdown]
# ## What was simulated
#
# The figure has {glue:text}`coverage-cases` cases. Each simulated case was repeated {glue:text}`coverage-least` to
# {glue:text}`coverage-most` times; the cases of shares of copies are computed exactly. Among the intervals that promise
# 95%, the lowest frequency is {glue:text}`coverage-lowest` ({glue:text}`coverage-lowest-what`).
#
# **Exponents and collapses of a sweep.** These simulations imitate a stored sweep: its sizes, seeds, milestones and
# number of samples, the shape of the rise of $f_\mathrm{mem}$ in its curves, and the scatter of $\tau_\mathrm{mem}$
# from run to run. New curves are drawn, copies are counted among as many samples, and the whole analysis from counts to
# exponent is repeated. The intervals contain the true exponent in {glue:text}`coverage-sweeps-low` to
# {glue:text}`coverage-sweeps-high` of the repetitions. In one of these simulations a good part of the scatter is common
# to all runs of a seed, as it is in the runs of the mixture. The seeds are the same at every $n$ there, so what is
# common to a seed does not tilt the line. The interval leaves out one source of error, the interpolation of a time
# between milestones. It matters where runs scatter little and milestones are far apart, as in the conditional sweep.
#
# **Exponents, means and predictions of times.** Here we simulate experiments of the sizes that people make, from three
# runs at three sizes to fifteen runs, some of them with unequal numbers of runs at each size. The logarithms of the
# times have a standard deviation of {glue:text}`coverage-scatter` between runs. In some simulations, some of the runs
# end before they cross the level, so that only a bound is known. Predictions are tested where the true time is a power
# of $n$ and where it has an offset; `predict` is not told which. The predictions of a [probe](your-data.ipynb) rest on
# few sizes and allow a growth that becomes steeper than $n$, so they are tested with such growth as well.
#
# **Shares of copies** are counts, so the coverage of Wilson's interval can be computed exactly. **Losses** are means
# over a few noises. **KL by nearest neighbours** is tested on samples from known distributions. **The monitor** does
# not promise an interval, but that it stops at most one training in twenty without cause. Its dot is the share of
# trainings without copies that it does not stop.
#
# ## What the intervals do not cover
#
# **The Fréchet distance** between two sets of samples is larger than that between the distributions behind them, most
# of all when the samples are few: even two sets from the same distribution are at a distance from each other. Its
# interval belongs to *the distance between that many samples*, which it contains as often as it should. The distance
# between the distributions lies in it only in {glue:text}`coverage-laws-low` to {glue:text}`coverage-laws-high` of
# these simulations. So compare it with the landmarks of a page, which are computed with as many samples, and never with
# zero.
#
# **An interval holds under its own assumptions only.** It says where the number would lie in other runs of the same
# experiment. It assumes that the rise keeps its shape, that runs differ by their seeds alone, and that one of the forms
# of growth that `predict` allows is the true one. No simulation of ours can remove these assumptions.

# %% tags=["remove-input"]
listed = table.assign(
    held=table["held"].map("{:.1%}".format),
    trials=table["trials"].map(lambda count: f"{count:,}" if count else "exact"),
)[["estimator", "world", "held", "trials"]].rename(
    columns={
        "estimator": "interval of",
        "world": "simulated case",
        "held": "contains the truth",
        "trials": "repetitions",
    }
)
frame("Every case", listed)

# %% [markdown]
# **Next.** [Deviations](deviations.md) lists every choice that the paper leaves open, and ours.
