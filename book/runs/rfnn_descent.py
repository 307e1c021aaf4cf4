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
# # Random features trained step by step
#
# Trains the random-features model by SGD or Adam, with fresh noise at every step, and stores the exact losses of what
# it reached at milestones. Papermill executes it; the same command again resumes a run that was interrupted, and reads
# one that is complete:
#
#     papermill book/runs/rfnn_descent.ipynb executed/rfnn_descent.ipynb -p tier laptop -p psi_n 8 -p optimizer adam
#
# `None` stands for the tier's default. An unknown name or a wrong type fails before anything runs.

# %%
import matplotlib.pyplot as plt
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
optimizer = None  # "sgd" or "adam"
lr = None
draws = None  # noises a point and step
steps = None
first = None  # step of the first milestone
milestones = None
device = "cpu"  # or "cuda"
budget = None  # seconds; the run then saves its state and stops

# %%
config, place = random_features.DescentConfig.from_notebook(globals(), before)
print(config)
print(config.command)

# %%
result = random_features.run_descent(config, **place)

# %% [markdown]
# ## The record

# %%
if not result.provenance["complete"]:
    print("Stopped before its end: run the same command again to go on.")
pd.Series(result.provenance | {"id": result.id}).drop("sha256", errors="ignore").to_frame("provenance")

# %%
table = result.curves.pivot(index="step", columns="metric", values="value")
table.round(4)

# %%
figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
for metric in table:
    axis.plot(table.index, table[metric], label=metric)
axis.set(xlabel="training step", xscale="log", ylim=(0, 2))
axis.legend()
plt.show()
