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
# # Random features trained by Adam
#
# **What you will see.** The theory of the last pages is for gradient flow. Practice uses Adam. Do two times appear all the
# same, and does the second one grow with $n$?
#
# **You need** [the model](features-dynamics). **Reading time**: three minutes.

# %% tags=["remove-input"]
import matplotlib.pyplot as plt
import pandas as pd
from myst_nb import glue

from diffmemlib.companion import claims
from diffmemlib.companion.estimators import rfnn as estimate
from diffmemlib.companion.figures import rfnn as draw
from diffmemlib.companion.figures.record import record
from diffmemlib.companion.figures.tables import frame
from diffmemlib.companion.sweeps.tables import sweep_results

# %% [markdown]
# The same model, $\psi_p = 64$ and $t = 0.1$, in $d = 32$, trained step by step with fresh noise for every point at every
# step; learning rate 0.01. The paper does not state its settings for this figure. What is plotted is exact: at each
# milestone the losses of the weights that were reached are averaged over noise and population by {eq}`eq-rf-mehler`.

# %% mystnb={"figure": {"caption": "Random features trained by Adam, $\\psi_p = 64$, $d = 32$, $t = 0.1$, three seeds (mean and range). Left: distance to the exact score. Middle: test minus train loss. Right: the same against steps/$n$.", "name": "fig-rf-adam"}, "image": {"alt": "The score error falls at a number of steps that does not depend on psi_n, and rises later. The gap of the losses grows later for larger psi_n; against steps/n the curves lie close together."}} tags=["remove-input"]
runs = sweep_results("rfnn-adam")
figure, table = draw.adam(runs)
plt.show()

# %% tags=["remove-input"]
record(runs, table, "random-features-adam")

# %% tags=["remove-input"]
e = estimate.adam_exponent()
glue("adam", str(e), display=False)
parted = estimate.adam_times()
frame(
    f"When the losses have parted by {estimate.GAP}",
    pd.DataFrame(
        {
            "psi_n": parted["psi_n"].map("{:.0f}".format),
            "steps": parted["steps"].map("{:.0f}".format),
            "steps for each point": parted["per_point"].map("{:.1f}".format),
        }
    ),
)

# %% [markdown]
# Adam rescales every weight's step by the size of its own gradients, so that slow modes are slow no longer in the same
# proportion; still the score is learned in a number of steps that hardly depends on $n$, and the losses part later the
# more data there are, with the exponent {glue:text}`adam`.
#
# ## Claims

# %% tags=["remove-input"]
claims.show([c for c in claims.load(chapter="random features") if c.id == "rfnn-adam"])
