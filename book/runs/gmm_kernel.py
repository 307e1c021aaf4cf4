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
# # The tangent kernel of one mixture network
#
# Takes the network of a mixture run, trains it for some steps or none, and stores the eigenvalues of its tangent kernel
# at the training points. Papermill executes it; the same command again reads a result that is complete:
#
#     papermill book/runs/gmm_kernel.ipynb executed/gmm_kernel.ipynb -p tier laptop -p n 64 -p steps 4000
#
# `None` stands for the tier's default. An unknown name or a wrong type fails before anything runs.

# %%
import matplotlib.pyplot as plt
import pandas as pd

from diffmemlib.experiments import gmm_kernel

pd.set_option("display.max_colwidth", None)  # the record is kept in full
before = set(globals())

# %% tags=["parameters"]
tier = "smoke"  # smoke: a second; laptop: a minute on a CPU core
seed = 0
n = None  # training points
width = None  # W
optimizer = None  # "sgd" or "adam"
lr = None
momentum = None  # of SGD
batch = None  # 0 for the full batch
balanced = None  # as many points of one class as of the other, or by chance
steps = None  # of training before the kernel is computed; 0 for the first weights
draws = None  # noises of a point
noise_levels = None  # times of diffusion
device = "cpu"  # or "cuda"
budget = None  # not needed: the computation is one piece

# %%
config, place = gmm_kernel.KernelConfig.from_notebook(globals(), before)
print(config)
print(config.command)

# %%
result = gmm_kernel.run(config, **place)

# %% [markdown]
# ## The record

# %%
pd.Series(result.provenance | {"id": result.id}).drop("sha256").to_frame("provenance")

# %%
result.curves.set_index("metric")["value"].to_frame("eigenvalue of rank n").round(4)

# %%
figure, axis = plt.subplots(figsize=(6, 3), layout="constrained")
for values in result.samples["eigenvalues"][0]:
    axis.plot(range(1, len(values) + 1), values)
axis.axvline(config.n, color="0.5")
axis.set(xscale="log", yscale="log", xlabel="rank", ylabel="eigenvalue")
plt.show()
