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
# # Which measure sees a copy?
#
# **What you will see.** Several measures in the literature are said to show copying. One call computes them all for
# your samples. This page tests them on data where the truth is known: how small a share of copies does each of them
# detect, and what else does it mistake for copies?
#
# **You need** to know what a copy is in this book: a sample whose nearest training point is less than a third as far away
# as the second nearest ([](mixture.ipynb)). **Reading time**: six minutes.

# %% tags=["remove-input"]
import json

import matplotlib.pyplot as plt
from myst_nb import glue

from diffmemlib.bench import copying as bench
from diffmemlib.companion.estimators import copying
from diffmemlib.companion.figures.copying import detection
from diffmemlib.companion.figures.record import record_stored
from diffmemlib.companion.figures.tables import frame
from diffmemlib.places import checkout

# Written by: make simulations
found = json.loads((checkout() / "book" / "measured" / "copying.json").read_text())
glue("copying-sets", found["repetitions"], display=False)
for name in ("dimension", "train", "samples", "held_out"):
    glue(f"copying-{name.replace('_', '-')}", f"{found[name]:,}", display=False)
for name, kind in (("near", "near copies"), ("rough", "rough copies")):
    glue(f"copying-{name}", f"{found['nearness'][kind]:g}", display=False)
glue("copying-beyond", f"{1 - found['alarm']:.0%}", display=False)
glue("copying-wide", f"{bench.WIDE:g}", display=False)
glue("copying-shift", f"{bench.SHIFT:g}", display=False)
table = copying.table(found)
for name, measure, kind in (
    ("fmem", "f_mem", "copies"), ("ct", "C_T", "copies"), ("auth", "authenticity", "copies"), ("fld", "FLD", "copies"),
    ("rough-fmem", "f_mem", "rough copies"), ("rough-ct", "C_T", "rough copies"),
    ("recall", "recall", "copies"), ("coverage-mode", "coverage", "one mode"), ("fld-mode", "FLD", "one mode"),
):  # fmt: skip
    glue(f"sees-{name}", table.loc[measure, kind], display=False)
glue("copying-detected", f"{copying.DETECTED:.0%}", display=False)

# %% [markdown]
# ## One call
#
# Hand over samples, the training set, and held-out data that the network never saw. Here 500 samples of the mixture of
# [](mixture.ipynb) are mixed with copies: one in ten is a training point with a little noise.

# %%
import torch

from diffmemlib import copying_measures
from diffmemlib.data.gmm import GaussianMixture

mixture = GaussianMixture(8, 1.0)
train, held_out, samples = mixture.sample(512, seed=0), mixture.sample(1000, seed=1), mixture.sample(500, seed=2)
samples[:50] = train[:50] + 0.01 * torch.randn(50, 8, generator=torch.Generator().manual_seed(3))
copying_measures(samples, train, held_out).round(2)

# %% [markdown]
# The first column has the values of the measures for the samples. For most measures one does not know in advance what
# value a perfect model would have. The second column therefore has the values for *fresh* data: one half of the
# held-out points takes the place of samples, and both are compared with the other half. The last column says in which
# direction copies move a measure. Distances are taken between the numbers that you hand over, or between the features
# that `features=` computes from them.
#
# ## What they measure
#
# - **f_mem**, the paper's measure: the share of samples that are much nearer to one training point than to any other.
# - **Authenticity** {cite:p}`alaa2022`: the share of samples that are farther from the nearest training point than this one
#   is from its own nearest neighbour.
# - **C_T** {cite:p}`meehan2020`: are samples nearer to the training set than held-out data are? The measure is the
#   standard score of a rank test in several regions of the data, and a value far below zero indicates copying.
# - **Precision** and **recall** {cite:p}`kynkaanniemi2019`, **density** and **coverage** {cite:p}`naeem2020`: how much of the samples lies
#   among the held-out data, and how much of the held-out data among the samples. They were not made for copies, and are
#   often read as if a model with both near one could not copy.
# - **FLD**, the feature likelihood divergence {cite:p}`jiralerspong2023`: Gaussians are put around the samples, their
#   widths are fitted to the training data, and the likelihood of held-out data is computed. Copies get narrow
#   Gaussians, in which held-out data do not fall.
#
# ## How few copies does each see?
#
# Take {glue:text}`copying-train` training points of the mixture in {glue:text}`copying-dimension` dimensions,
# {glue:text}`copying-held-out` held-out points, and {glue:text}`copying-samples` samples, of which a known share are
# copies. They are exact copies, or near ones (with noise of {glue:text}`copying-near` in every coordinate), or rough
# ones (with {glue:text}`copying-rough`, which takes them about as far as a training point's own neighbours are). We say
# that a measure *sees* copies in a set of samples if its value lies further in the direction of copying than in
# {glue:text}`copying-beyond` of the sets of fresh samples. Each point of the figure is the share of sets in which this
# happens, out of {glue:text}`copying-sets` sets with different training and held-out data.

# %% mystnb={"figure": {"caption": "Share of sets in which a measure sees copies, against the share of copies in the set, for three kinds of copies. Dotted: what chance alone gives.", "name": "fig-copying"}, "image": {"alt": "Three panels of rising curves. The memorised fraction rises first for exact and near copies, and together with authenticity and C_T for rough ones; FLD needs more copies, and recall and coverage stay near chance until nearly every sample is a copy."}} tags=["remove-input"]
figure, rows = detection(found)
plt.show()

# %% tags=["remove-input"]
record_stored("make simulations", "diffmemlib.bench.copying.copying_grid", rows, "copying")

# %% [markdown]
# The table has the smallest share of copies that a measure sees in {glue:text}`copying-detected` of the sets. Its last
# columns say how often a measure reports copies although there are none, because the samples have another fault: they
# are {glue:text}`copying-wide` times as widely spread as the data, or all in one of the two modes, or shifted by
# {glue:text}`copying-shift` in every coordinate.

# %% tags=["remove-input"]
frame("What each measure sees, and what it mistakes for copies", table)

# %% [markdown]
# **Which one to use.** To find copies, count the samples that lie nearer to a training point than chance would bring
# them: $f_\mathrm{mem}$ sees exact copies from a share of {glue:text}`sees-fmem` on, C_T from {glue:text}`sees-ct` on,
# authenticity from {glue:text}`sees-auth` and FLD from {glue:text}`sees-fld`. Rough copies are harder to see for most
# of them: $f_\mathrm{mem}$ sees them from {glue:text}`sees-rough-fmem` on, and C_T from {glue:text}`sees-rough-ct`.
# $f_\mathrm{mem}$, C_T and authenticity seldom mistake another fault for copies.
#
# FLD and coverage often do, and so does recall for samples of one mode. Samples of one mode, without a single copy
# among them, count as copies for FLD in {glue:text}`sees-fld-mode` of the sets, and for coverage in
# {glue:text}`sees-coverage-mode`. These measures answer another question: how well the samples represent the data.
# Recall is often read as proof that nothing is copied, but it sees copies only from {glue:text}`sees-recall` of the
# samples on. So a model may copy most of what it makes and still have good precision and recall.
#
# **Next.** [Reproduce it](reproduce.md) goes from the two commands of the README to a cluster.
