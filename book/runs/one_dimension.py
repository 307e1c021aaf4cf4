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
# # One run in one dimension
#
# Trains a small network on a handful of points of a one-dimensional mixture and stores its score at milestones.
# Papermill executes it; the same command again resumes a run that was interrupted, and reads one that is complete:
#
#     papermill book/runs/one_dimension.ipynb executed/one_dimension.ipynb -p tier laptop -p seed 0
#
# `None` stands for the tier's default. An unknown name or a wrong type fails before anything runs.

# %%
import matplotlib.pyplot as plt
import pandas as pd

from diffmemlib.experiments import one_dimension

pd.set_option("display.max_colwidth", None)  # the record is kept in full
before = set(globals())

# %% tags=["parameters"]
tier = "smoke"  # smoke: seconds; laptop: a minute on a CPU core
seed = 0
n = None  # training points
width = None  # W
optimizer = None  # "sgd" or "adam"
lr = None
momentum = None
steps = None
first = None  # step of the first milestone
milestones = None
mu = None
t = None  # Ornstein-Uhlenbeck time at which scores are compared
draws = None  # noises a point and step
samples = None  # generated at a milestone
device = "cpu"  # or "cuda"
budget = None  # seconds; the run then saves its state and stops

# %%
config, place = one_dimension.OneDimensionConfig.from_notebook(globals(), before)
print(config)
print(config.command)

# %%
result = one_dimension.run(config, **place)

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
axis.set(xlabel="training step", ylabel="squared error of the score, in units of the noise", xscale="log")
axis.legend()
plt.show()
