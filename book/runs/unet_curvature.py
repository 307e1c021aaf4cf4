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
# # The curvature of one U-Net's loss before training
#
# Builds a U-Net with its first weights and stores how curved its training loss is. Papermill executes it; the same
# command again reads a result that is complete:
#
#     papermill book/runs/unet_curvature.ipynb executed/unet_curvature.ipynb -p tier laptop -p width 32
#
# `None` stands for the tier's default. An unknown name or a wrong type fails before anything runs.

# %%
import matplotlib.pyplot as plt
import pandas as pd

from diffmemlib.experiments import unet_curvature
from diffmemlib.metrics.curvature import max_stable_learning_rate

pd.set_option("display.max_colwidth", None)  # the record is kept in full
before = set(globals())

# %% tags=["parameters"]
tier = "smoke"  # smoke: a second; laptop: a minute on a CPU core
seed = 0
dataset = None  # "digits", "celeba", or the name of your own
side = None  # pixels
scale = None  # of the numbers that the network sees
width = None  # W, a multiple of 8
images = None  # each at one time with one noise
probes = None  # random directions for the trace
network = None  # "paper", or "early", that of this companion's first runs
device = "cpu"  # or "cuda"
budget = None  # not needed: the computation is one piece

# %%
config, place = unet_curvature.CurvatureConfig.from_notebook(globals(), before)
print(config)
print(config.command)

# %%
result = unet_curvature.run(config, **place)

# %% [markdown]
# ## The record

# %%
pd.Series(result.provenance | {"id": result.id}).drop("sha256").to_frame("provenance")

# %%
table = result.curves.set_index("metric")["value"]
print(f"SGD of momentum 0.95 diverges above a learning rate of about {max_stable_learning_rate(table['largest']):.2g}")
table.to_frame("curvature").round(4)

# %%
figure, axis = plt.subplots(figsize=(6, 2.4), layout="constrained")
axis.barh(table.index, table)
axis.set(xscale="log", xlabel="curvature")
plt.show()
