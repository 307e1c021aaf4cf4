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
# # The exact dynamics of one random-features model
#
# Draws features and data, diagonalises $U$ and stores the losses at every training time. Papermill executes it; the
# same command again reads a result that is complete:
#
#     papermill book/runs/rfnn_flow.ipynb executed/rfnn_flow.ipynb -p tier laptop -p psi_n 8
#
# `None` stands for the tier's default. An unknown name or a wrong type fails before anything runs.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from diffmemlib.experiments import random_features

pd.set_option("display.max_colwidth", None)  # the record is kept in full
before = set(globals())

# %% tags=["parameters"]
tier = "smoke"  # smoke: a second; laptop: minutes on a CPU core
seed = 0
d = None
psi_p = None  # features, in units of d
psi_n = None  # training points, in units of d
t = None  # Ornstein-Uhlenbeck time
low = None  # variance of the first half of the coordinates
high = None  # and of the second
noises = None  # drawn once for each point; 0: the average over all noise
ridge = None  # weight decay, in units of the eigenvalues of U
device = "cpu"  # or "cuda"
budget = None  # not needed: the computation is one piece

# %%
config, place = random_features.FlowConfig.from_notebook(globals(), before)
print(config)
print(config.command)

# %%
result = random_features.run_flow(config, **place)

# %% [markdown]
# ## The record

# %%
pd.Series(result.provenance | {"id": result.id}).drop("sha256").to_frame("provenance")

# %%
table = result.curves.pivot(index="step", columns="metric", values="value").rename_axis("tau")
table.iloc[::10].round(4)

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for metric in table:
    left.plot(table.index, table[metric], label=metric)
left.set(xlabel="tau", xscale="log", ylim=(0, 2))
left.legend()
right.hist(np.log10(result.samples["eigenvalues"]), 100)
right.set(xlabel="log10 of the eigenvalues of U", yscale="log")
plt.show()
