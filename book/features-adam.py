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
# **What you will see.** The theory of the last pages describes gradient flow, but in practice most people train with
# Adam. Do the two times appear with Adam as well, and does the second one grow with $n$? This is Fig. 15 of
# {cite:t}`bonnaire2025`.
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
# We train the same model, with $\psi_p = 64$, $t = 0.1$ and $d = 32$, step by step at a learning rate of 0.01, and draw
# fresh noise for every point at every step. The paper does not state its settings for this figure. The plotted losses
# are exact: at each milestone, the losses of the current weights are averaged over noise and population by
# {eq}`eq-rf-mehler`.

# %% mystnb={"figure": {"caption": "Random features trained by Adam, $\\psi_p = 64$, $d = 32$, $t = 0.1$, three seeds (mean and range). First panel: distance to the exact score. Second panel: test minus train loss. Third panel: the same against steps/$n$.", "name": "fig-rf-adam"}, "image": {"alt": "The score error falls at a number of steps that does not depend on psi_n, and rises later. The gap of the losses grows later for larger psi_n; against steps/n the curves lie close together."}} tags=["remove-input"]
runs = sweep_results("rfnn-adam")
figure, table = draw.adam(runs)
plt.show()

# %% tags=["remove-input"]
record(runs, table, "rf-adam")

# %% tags=["remove-input"]
e = estimate.adam_exponent()
glue("adam", str(e), display=False)
parted = estimate.adam_times()
frame(
    f"The time at which test and train loss differ by {estimate.GAP}",
    pd.DataFrame(
        {
            "psi_n": parted["psi_n"].map("{:,.0f}".format),
            "steps": parted["steps"].map("{:,.0f}".format),
            "steps / n": parted["per_point"].map("{:.1f}".format),
        }
    ),
)

# %% [markdown]
# Adam rescales every weight's step by the size of its own gradients, so slow modes are no longer slow in proportion to
# their eigenvalues. Still, the score is learned in a number of steps that hardly depends on $n$, and the losses
# separate later when there are more data. At the level of the table the exponent in $n$ is {glue:text}`adam`; the claim
# below has it at other levels of the gap.
#
# ## Claims

# %% tags=["remove-input"]
claims.show([c for c in claims.load(chapter="random features") if c.id == "rfnn-adam"])

# %% [markdown]
# **Next.** [Your own data](your-data.ipynb) turns from theory to practice: one command estimates how long you may train
# on a small data set of your own.
