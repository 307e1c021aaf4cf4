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
# # One mixture run
#
# Trains a residual MLP on n points of the Gaussian mixture, measures it at milestones, and stores the result under
# its identity in `results/`. Papermill executes it; the same command again resumes a run that was interrupted, and
# reads one that is complete:
#
#     papermill book/runs/gmm.ipynb executed/gmm.ipynb -p tier laptop -p n 512 -p optimizer sgd -p seed 0
#
# `None` stands for the tier's default. An unknown name or a wrong type fails before anything runs.

# %%
import matplotlib.pyplot as plt
import pandas as pd

from diffmemlib.experiments import gmm

pd.set_option("display.max_colwidth", None)  # the record is kept in full
before = set(globals())

# %% tags=["parameters"]
tier = "smoke"  # smoke: seconds; laptop: minutes on a CPU core; gpu; paper
seed = 0
n = None  # training points
width = None  # W
optimizer = None  # "sgd" or "adam"
lr = None
momentum = None
batch = None  # points a step; 0: all of them
steps = None
first = None  # step of the first milestone
milestones = None
d = None
mu = None
samples = None
sampler = None  # "euler_maruyama" or "ddim"
kept = None
sampling_steps = None  # 0: all of Euler-Maruyama, 100 of DDIM
conditional = None  # True: the net sees the class label
label_drop = None  # probability with which training hides it
guidance = None  # strength of classifier-free guidance when sampling
share = None  # of class 1 in the data
spread = None  # standard deviation of class 1
balanced = None  # True: exactly the share of class 1 in the training set, as the paper's; False: by chance
prediction = None  # "eps", "x0", "v" or "flow"
path = None  # "ddpm", or "linear" as in flow matching
weighting = None  # of the times of diffusion in training: "uniform", "low_noise" or "high_noise"
weight_decay = None
ema = None  # decay of averaged weights, which are then measured; 0: none
jitter = None  # standard deviation of the noise that augments the data
noises = None  # of a point, drawn before training; 0: fresh ones at every step
blocks = None  # residual blocks of the MLP
dropout = None  # of values inside a residual block
loss_space = None  # the quantity whose error is trained on: "eps", "x0", "v" or "flow"; "": what is predicted
away = None  # strength with which samples are moved away from training points
noise_levels = None  # times of diffusion at which losses and predictions are kept as well; 0: none
device = "cpu"  # or "cuda"
budget = None  # seconds; the run then saves its state and stops

# %%
config, place = gmm.GmmConfig.from_notebook(globals(), before)
print(config)
print(config.command)

# %%
result = gmm.run(config, **place)

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
figure, (top, bottom) = plt.subplots(2, 1, sharex=True, figsize=(7, 6), layout="constrained")
shown = {"kl_fisher": top, "kl_knn": top, "f_mem": bottom, "loss_train": bottom, "loss_test": bottom}
for metric, axis in shown.items():
    if metric in table:
        axis.plot(table.index, table[metric], label=metric)
top.set(ylabel="KL (nats)", xscale="log")
bottom.set(xlabel="training step")
for axis in (top, bottom):
    axis.legend()
plt.show()
