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
# # One image run
#
# Trains a U-Net on n images, measures it at milestones, and stores the result under its identity in `results/`.
# Papermill executes it; the same command again resumes a run that was interrupted, and reads one that is complete:
#
#     papermill book/runs/unet.ipynb executed/unet.ipynb -p tier laptop -p n 256 -p width 16 -p optimizer adam -p seed 0
#
# `None` stands for the tier's default. An unknown name or a wrong type fails before anything runs.

# %%
import matplotlib.pyplot as plt
import pandas as pd

from diffmemlib.companion.figures.images import grid
from diffmemlib.experiments import unet

pd.set_option("display.max_colwidth", None)  # the record is kept in full
before = set(globals())

# %% tags=["parameters"]
tier = "smoke"  # smoke: seconds; laptop: minutes to hours on a CPU core; gpu; paper
seed = 0
dataset = None  # "digits", "celeba", or the name of your own
n = None  # training images
side = None  # pixels
scale = None  # of the pixels the network sees
width = None  # W
optimizer = None  # "sgd" or "adam"
lr = None
momentum = None
batch = None  # images a step; "full" or 0: all of them
draws = None  # times and noises for each image and step of a full batch
dropout = None
steps = None
first = None  # step of the first milestone
milestones = None
samples = None
sampling_steps = None  # of DDIM
loss_images = None  # for each of the two losses, at most
kept = None
bf16 = None  # True: the network computes in bfloat16
compiled = None  # True: torch.compile
graphs = None  # True: steps are recorded and replayed, on a GPU as CUDA graphs
network = None  # "paper", or "early", that of this companion's first runs
sampler = None  # "ddim_paper", or "ddim", which ends without noise
same_noise = None  # True: the samples of every milestone start from the same noise
prediction = None  # of the network: "eps", "x0", "v" or "flow"
path = None  # from data to noise: "ddpm", or "linear" with sampler "ddim"
weighting = None  # of the times of diffusion in training: "uniform", "low_noise" or "high_noise"
weight_decay = None
ema = None  # decay of averaged weights, which are then measured; 0: none
jitter = None  # standard deviation of the noise that augments the data
features = None  # "digits", "inception" (with CelebA), "untrained" (with your own) or "none"
device = "cpu"  # or "cuda"
budget = None  # seconds; the run then saves its state and stops

# %%
config, place = unet.UNetConfig.from_notebook(globals(), before)
print(config)
print(config.command)

# %%
result = unet.run(config, **place)

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
figure, axes = plt.subplots(3, 1, sharex=True, figsize=(7, 7), layout="constrained")
shown = {"fd": 0, "fid": 0, "fd_untrained": 0, "f_mem": 1, "loss_train": 2, "loss_test": 2}
for metric, row in shown.items():
    if metric in table:
        axes[row].plot(table.index, table[metric], label=metric)
        axes[row].legend()
axes[0].set(xscale="log", yscale="log")
axes[2].set(xlabel="training step")
plt.show()

# %% [markdown]
# Samples at the last milestone, each above the training image that is nearest to it; copies are framed.

# %%
if len(table):
    grid(result, [table.index[-1]])
    plt.show()
