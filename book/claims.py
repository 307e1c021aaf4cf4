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
# # Claims
#
# Here are the claims of the paper in one table. Each row says what is claimed and where, what we measured with its 95%
# interval, which range of numbers agrees with the claim, and what the verdict is. Estimates and verdicts are computed
# from stored runs when the book is built, and the same table is checked by a test.
#
# Square brackets hold an interval. A number without brackets has no interval, in most rows because it follows exactly
# from the theory. Its claim is *reproduced* if it lies within the range that agrees with the claim, and *contradicted*
# otherwise. The definitions below are for intervals.
#
# - **reproduced**: the whole interval lies within the range that agrees with the claim, at every level that the row
#   names;
# - **consistent**: a part of the interval lies within that range, and it contains no number that would say the
#   opposite;
# - **inconclusive**: a part of the interval lies within that range, but it also contains numbers five times as far from
#   the claim as the range allows. It says neither yes nor no, and more runs are needed;
# - **contradicts**: the whole interval lies outside the range that agrees. In a row that names several levels, this
#   holds at one of them at least, and the number itself lies outside the range at all of them;
# - **differs outside the paper's regime**: the whole interval lies outside the range, but our runs have other data,
#   sizes or rates than the paper's, so they cannot contradict it. The row says what is different. This verdict is
#   possible for every row on images, because none of our image runs has the paper's data, sizes and rates;
# - **depends on the level**: a time is taken where a curve crosses some level, and at one of the levels that the row
#   names the exponent agrees with the claim while at another it contradicts it. An exact exponent of the theory may
#   change with the size instead; it is judged between each size and the next;
# - **not tested**: the claim needs data or a machine that these runs did not have.
#
# [](intervals.ipynb) tests whether the intervals contain the truth as often as they should.
#
# A finite experiment does not determine an exponent exactly, so the range has a width: an exponent within 0.2 of the
# paper's counts as the same. An exponent of a time is judged at several levels, wherever the time depends on one. Open
# "how" under a claim to see the exponent at each.

# %% tags=["remove-input"]
from math import fsum

import matplotlib.pyplot as plt
from myst_nb import glue

from diffmemlib.companion import claims, paper_figures
from diffmemlib.companion.figures import claims as draw
from diffmemlib.companion.figures.record import record
from diffmemlib.companion.figures.tables import frame

rows = claims.load()
glue("claims-counts", claims.tally([claim.verdict for claim in rows]), display=False)
runs = {r.id: r for c in rows if c.estimate for r in c.estimate.runs}.values()
glue("claims-runs", str(len(runs)), display=False)
glue("claims-hours", f"{fsum(r.provenance['seconds'] for r in runs) / 3600:,.0f}", display=False)
glue("claims-devices", " and ".join(sorted({r.provenance["device"] for r in runs})), display=False)

# %% [markdown]
# **The verdicts.** Of the claims, {glue:text}`claims-counts`. They rest on {glue:text}`claims-runs` runs, which took
# {glue:text}`claims-hours` hours in all on {glue:text}`claims-devices`, and on exact computations.

# %% mystnb={"figure": {"caption": "Our value minus the paper's, coloured by the verdict, for every exponent and every other number whose margin is at most 0.5. Dots with a broad line: estimates with 95% intervals. Diamonds: exact numbers. Grey: differences that count as agreement. Arrows: the interval continues beyond the axis.", "name": "fig-claims"}, "image": {"alt": "A column of intervals around a vertical line at zero, one for each claim. Many lie within or near their grey band; some lie beside it, and some are much wider than it."}} tags=["remove-input"]
figure, table = draw.forest(rows)
plt.show()

# %% tags=["remove-input"]
record(list(runs), table, "claims")

# %% tags=["remove-input"]
claims.show(rows, full=True)

# %% [markdown]
# ## What has changed
#
# Before its estimators were tested by simulation, this table judged some claims otherwise. The table lists the rows
# whose verdict has changed since, with the reason. It includes the rows on claims of later and earlier papers.

# %% tags=["remove-input"]
frame("Verdicts that have changed", claims.revised().rename(columns={
    "claim": "Claim", "then": "Earlier verdict", "now": "Now", "because": "What has changed",
}).set_index("Claim"), ("Earlier verdict", "Now", "What has changed"))  # fmt: skip

# %% [markdown]
# (sec-paper-figures)=
# ## From the paper's figures to ours
#
# Where is each figure of the paper redrawn, and what became of its claims?

# %% tags=["remove-input"]
paper_figures.show(rows)

# %% [markdown]
# ## At other levels
#
# Where a time is read off a curve, the level is a choice. The figure shows each such exponent at every level that its
# row names.

# %% mystnb={"figure": {"caption": "Each exponent against the level at which its times are read, with 95% intervals. Grey: what agrees with the claim. Intervals that go on beyond a panel are cut at its edge.", "name": "fig-claims-levels"}, "image": {"alt": "A grid of small panels, one for each claim, each with an interval for every level; in most the intervals stay in or near the grey band, in a few they drift across it."}} tags=["remove-input"]
figure, table = draw.by_level(rows)
plt.show()

# %% tags=["remove-input"]
record(list(runs), table, "claims-levels")

# %% [markdown]
# ## Claims of other papers
#
# These are not the paper's claims and are not counted above. The experiments are on the pages named in [the list of
# papers](sec-since).

# %% tags=["remove-input"]
claims.show(claims.later(), whose="In their paper")

# %% [markdown]
# The estimators are functions of one screen each in `diffmemlib/companion/estimators`, and the choices that define them
# (what counts as good, what as memorised) stand at the top of each file. To add a claim, add a row to
# `book/claims.toml` and, if the claim can be tested, a function in that folder.
#
# **Next.** [Are these intervals right?](intervals.ipynb) puts every estimator behind this table to the test.
