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
# **What you will see.** Nearly every number of this book has a 95% interval. An interval keeps its promise if, over many
# repetitions of the whole experiment, it holds the truth in 95 of 100. Nobody repeats an experiment so often, but a
# computer can: here are worlds in which the truth is known, and how often each kind of interval holds it there.
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

# %% mystnb={"figure": {"caption": "How often each interval holds the truth, one dot a world, with the 95% interval of that frequency itself. The line is the promise, 95%. A dot to the right of it is an interval that is wider than it need be, one to the left holds less than it says.", "name": "fig-coverage"}, "image": {"alt": "Groups of dots, one group for each kind of interval, nearly all between 0.92 and 1; one group, the Fr\u00e9chet distance taken for that of the laws, lies far to the left."}} tags=["remove-input"]
figure, shown = coverages(table)
plt.show()

# %% tags=["remove-input"]
record_stored("make simulations", "diffmemlib.companion.coverage.coverage", table, "coverage")

# %% [markdown]
# ## What was simulated
#
# {glue:text}`coverage-cases` cases, each {glue:text}`coverage-least` to {glue:text}`coverage-most` times. The lowest frequency of those
# that promise 95% is {glue:text}`coverage-lowest` ({glue:text}`coverage-lowest-what`).
#
# **Exponents and collapses of a sweep.** The world is made of a stored sweep: its sizes, seeds, milestones and number of
# samples, the shape of the rise of $f_\mathrm{mem}$ in its curves, and the scatter of $\tau_\mathrm{mem}$ from run to run. New curves are
# drawn from it, copies are counted among as many samples, and the whole chain from counts to exponent is gone through
# again. The intervals hold the true exponent in {glue:text}`coverage-sweeps-low` to {glue:text}`coverage-sweeps-high`. In one
# of these worlds a good part of the scatter is common to all runs of a seed, as it is in the mixture's runs: seeds are the same at
# every $n$ there, so that what is common to a seed does not tilt the line. Where runs scatter little and milestones are far
# apart, as in the conditional sweep, what the interpolation between milestones adds to a time is not in the interval.
#
# **Exponents, means and predictions of times.** Designs that people have, from three runs at three sizes to fifteen, and
# unequal ones. The logarithms of the times scatter by {glue:text}`coverage-scatter`, and in some worlds some of the runs ended
# before they crossed and are known by a bound. Predictions are tried where the law is a power of $n$, and where it
# has an offset; `predict` is not told which. The predictions of a [probe](your-data.ipynb) rest on few sizes, and allow a
# growth that becomes steeper than $n$; they are tried in such worlds too.
#
# **Shares of copies** are counts, and what Wilson's interval holds is computed exactly. **Losses** are means over a
# few noises. **KL by nearest neighbours** is tried on samples whose law is known. **The monitor** promises no interval, but
# that it stops at most one training in twenty without cause: the dot is the share of trainings without copies that it
# leaves alone.
#
# ## What holds less than one may think
#
# **The Fréchet distance** of two sets of samples is larger than that of the laws behind them, the more so the fewer the
# samples: two sets from one law are at a distance. Its interval is that of *the distance of so many samples*, and holds
# it. Of the distance of the laws it holds {glue:text}`coverage-laws-low` to {glue:text}`coverage-laws-high` in these worlds. So
# read it beside the landmarks of a page, which are taken with as many samples, and never against zero.
#
# **An interval knows its own world only.** It says where the number would lie in other runs of the same experiment. That
# the rise keeps its shape, that seeds are all that differs, that the laws of `predict` are all there are: these are
# assumptions, and no simulation of ours can lift them.

# %% tags=["remove-input"]
listed = table.assign(
    held=table["held"].map("{:.1%}".format),
    trials=table["trials"].map(lambda count: f"{count:,}" if count else "exact"),
)[["estimator", "world", "held", "trials"]]
frame("Every case", listed)
