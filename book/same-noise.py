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
# # The same noise, two training sets
#
# **What you will see.** Two networks are trained on training sets of different sizes. Early on, both turn the same
# noise into much the same picture. Later their pictures differ more, and the network with fewer training images makes
# copies.
#
# **You need** [the experiment on images](images.ipynb). **Reading time**: two minutes.

# %% tags=["remove-input"]
import matplotlib.pyplot as plt
from myst_nb import glue

from diffmemlib.companion.estimators import images as estimate
from diffmemlib.companion.figures import images as draw
from diffmemlib.companion.figures.record import record
from diffmemlib.companion.sweeps.tables import sweep_results

# %% [markdown]
# The digits, the U-Net and the optimiser, Adam, are those of [the experiment on images](images.ipynb). Two such
# networks are trained on different numbers of images, and the smaller training set is a part of the larger one. Both
# start from the same weights, and at every milestone both sample from the same noise. Do they turn the same noise into
# the same picture?

# %% mystnb={"figure": {"caption": "Eight starting noises, one in each column, and what the networks make of them in the course of training (from top to bottom), for two training-set sizes. Copies are framed.", "name": "fig-images-same-noise"}, "image": {"alt": "Two blocks of pictures, with one row for each training step. In both blocks noise becomes blobs and then strokes in much the same way, column by column. In the last rows the digits differ between the blocks; some on the left are framed as copies."}} tags=["remove-input"]
pair = sweep_results("images-same-noise")
figure, table = draw.same_noise(pair, [95, 190, 378, 754, 1195, 1893, 3000])
plt.show()

# %% tags=["remove-input"]
record(pair, table, "images-same-noise")

# %% tags=["remove-input"]
alike = estimate.likeness(pair[0], pair[-1]).set_index("step")
for when, step in (("early", 754), ("late", 3000)):
    glue(f"images-{when}", f"{step:,}", display=False)
    for which in ("same", "other"):
        glue(f"images-{when}-{which}", f"{alike.loc[step, which]:.2f}", display=False)
excess = alike["same"] - alike["other"]
for when, step in (("early", 754), ("late", 3000)):
    glue(f"images-{when}-excess", f"{excess[step]:.2f}", display=False)

# %% [markdown]
# Compare the two blocks column by column. In the first rows most pictures are still the noise that they started from.
# At step {glue:text}`images-early`, when most pictures have become strokes, two pictures from the same noise have a
# correlation of {glue:text}`images-early-same`, and two pictures from different noises {glue:text}`images-early-other`:
# from the same noise, the two networks make much the same picture. At step {glue:text}`images-late` the correlations
# are {glue:text}`images-late-same` and {glue:text}`images-late-other`. The second number has risen because most samples
# are digits by then, and any two digits have much in common. The excess of the first number over the second therefore
# measures how much of a picture the noise determines. It is {glue:text}`images-early-excess` early and
# {glue:text}`images-late-excess` late, so it falls as the two networks move apart. In this pair, what is learned first
# hardly depends on the number of training images.
#
# **Next.** [Adam and SGD](images-adam.ipynb) asks what the optimiser changes: the times themselves, or also how they
# grow with $n$?
