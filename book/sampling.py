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
# # How many sampling steps?
#
# **What you will see.** To measure a run one generates samples at every milestone, which can cost more than the
# training itself. How far may the sampler be shortened before it changes what is measured?
#
# **You need** [the mixture](mixture), and for the last two sections [images](images.ipynb). **Reading time**: four
# minutes.

# %% tags=["remove-input"]
import json

import matplotlib.pyplot as plt
import pandas as pd
from myst_nb import glue

from diffmemlib.companion.estimators import conditional as estimate
from diffmemlib.companion.estimators.scaling import tau_mem
from diffmemlib.companion.figures import conditional as draw
from diffmemlib.companion.figures.record import record, record_stored
from diffmemlib.companion.figures.tables import frame
from diffmemlib.companion.sweeps.tables import sweep_results
from diffmemlib.places import checkout_root

runs = sweep_results("sampling")
gap = next(r for r in runs if r.config["sampler"] == "euler_maruyama" and r.config["sampling_steps"] == 0)
good = int(gap.curve("kl_fisher")["value"].idxmin())
early = int(gap.curve("kl_fisher").index[3])

# %% [markdown]
# We take one network of the mixture ($n = 128$, trained by Adam) at three milestones: early in its training, at its
# best and at the end. From each we generate samples with two samplers. Euler-Maruyama follows the stochastic equation,
# which the paper uses for the mixture. DDIM follows the deterministic equation, which the paper uses for images.

# %% mystnb={"figure": {"caption": "Divergence (nearest neighbours) and memorised fraction of one network against the number of sampling steps, early, at the milestone of its smallest score gap, and at the end. Bars: 95% intervals over 1000 samples.", "name": "fig-sampling"}, "image": {"alt": "Early and at its best the network's divergence is small by Euler-Maruyama and larger by DDIM, whatever the number of steps. At the end the values of Euler-Maruyama change up to the largest number of steps and those of DDIM up to about a hundred, and the two samplers tend to different values."}} tags=["remove-input"]
tables = {
    f"early, step {early:,}": estimate.by_sampler(early),
    f"best, step {good:,}": estimate.by_sampler(good),
    "at the end": estimate.by_sampler(),
}
figure, table = draw.sampling_cost(tables)
plt.show()

# %% tags=["remove-input"]
record(runs, table, "sampling")

# %% tags=["remove-input"]
late = estimate.by_sampler()
for sampler in ("euler_maruyama", "ddim"):
    enough = {metric: estimate.cheapest(late, metric, sampler) for metric in ("f_mem", "kl")}
    glue(f"enough-{sampler}", str(max(enough.values())), display=False)
times = pd.DataFrame(
    {
        "sampler": [{"ddim": "DDIM", "euler_maruyama": "Euler-Maruyama"}[r.config["sampler"]] for r in runs],
        "steps": [r.config["sampling_steps"] or 999 for r in runs],
        "tau_mem/n": [f"{time.tau / r.config['n']:,.0f}" for r, time in zip(runs, tau_mem(runs), strict=True)],
    }
)
by_steps = times.pivot(index="sampler", columns="steps", values="tau_mem/n").rename(columns="{} steps".format)
frame("tau_mem/n by sampler and its steps", by_steps)

# %% [markdown]
# From {glue:text}`enough-ddim` steps on, DDIM gives the same values as with all steps, within overlapping 95%
# intervals. Euler-Maruyama needs {glue:text}`enough-euler_maruyama`. Too few stochastic steps leave noise on the
# samples. Copies are then too far from their originals to count, and **memorisation is underestimated**.
#
# Even with all steps the two samplers do not agree, although they would with the exact score. With a learned score, the
# noise of Euler-Maruyama keeps pulling a sample back to where the score is good, while DDIM carries every early error
# to the end. Early in training, the divergence of DDIM is therefore several times larger. Values of $f_\mathrm{mem}$ or
# of the divergence from different samplers should therefore not be compared. Times such as $\tau_\mathrm{mem}$ can be
# compared, roughly. The runs of the mixture use the paper's sampler, Euler-Maruyama with all its steps, because fewer
# would change what is measured.
#
# ## Images
#
# Here is one U-Net ($n =$ {glue:text}`sampling-n`) at the end of its training by Adam, sampled by DDIM:

# %% tags=["remove-input"]
IMAGES = "sampling-images"
pictures = sweep_results(IMAGES)
metrics = ("f_mem", "fd")
cost = estimate.by_sampler(sweep=IMAGES, metrics=metrics)
taken = next(r.config["sampling_steps"] for r in sweep_results("images-n"))
enough = {metric: estimate.cheapest(cost, metric, "ddim") for metric in metrics}
glue("sampling-n", str(pictures[0].config["n"]), display=False)
glue("sampling-images", str(max(enough.values())), display=False)
glue("sampling-taken", str(taken), display=False)
glue("sampling-count", str(pictures[0].config["samples"]), display=False)
words = {"f_mem": "memorised fraction", "fd": "Fréchet distance"}
shown = {
    words[m]: [f"{row[m]:.2f} [{row[f'{m}_low']:.2f}, {row[f'{m}_high']:.2f}]" for _, row in cost.iterrows()]
    for m in metrics
}
frame("At the end of training", pd.DataFrame({"DDIM steps": cost["steps"], **shown}).set_index("DDIM steps"))

# %% tags=["remove-input"]
record(pictures, cost, "sampling-images")

# %% [markdown]
# From {glue:text}`sampling-images` steps on, both measures agree with their values at the largest number of steps,
# within overlapping 95% intervals over {glue:text}`sampling-count` samples. The stored image runs of this book use
# {glue:text}`sampling-taken` steps.
#
# ## How precise must the computation be?
#
# A GPU is faster at lower precision. In TF32 the numbers that enter a product have ten binary places instead of the 23
# of float32, and in bfloat16 everything has seven. Does a copy remain a copy? A small U-Net, trained on
# {glue:text}`precision-n` images of digits ({glue:text}`precision-side` × {glue:text}`precision-side` pixels), draws
# {glue:text}`precision-samples` samples from the same noise at each precision, at three steps of its training. The
# computation is made on a CPU, where TF32 is simulated by rounding the factors of each product.

# %% tags=["remove-input"]
found = json.loads((checkout_root("This page") / "book" / "measured" / "precision.json").read_text())
rows = pd.DataFrame(found["rows"])
for key in ("n", "side", "samples"):
    glue(f"precision-{key}", found[key], display=False)
last = rows[rows["step"] == rows["step"].max()].set_index("precision")
glue("precision-changed", f"{last.loc['bfloat16', 'changed']:.1%}", display=False)
glue("precision-moved", f"{last.loc['bfloat16', 'moved']:.1%}", display=False)
widest = max(row["f_mem"][2] - row["f_mem"][1] for row in found["rows"])
glue("precision-width", f"{widest:.0%}", display=False)
text = pd.DataFrame({
    "step": rows["step"].where(~rows["step"].duplicated(), "").astype(str), "precision": rows["precision"],
    "f_mem": rows["f_mem"].map("{0[0]:.3f} [{0[1]:.3f}, {0[2]:.3f}]".format),
    "Fréchet distance": rows["fd"].map("{0[0]:.2f} [{0[1]:.2f}, {0[2]:.2f}]".format),
    "held-out loss": rows["loss_test"].map("{:.4f}".format), "moved by": rows["moved"].map("{:.2%}".format),
}).set_index("step")  # fmt: skip
frame("Samples from the same noise at three precisions", text)

# %% tags=["remove-input"]
record_stored("make simulations", "bench.precision.precision_study()", rows.drop(columns=["f_mem", "fd"]), "precision")

# %% [markdown]
# "Moved by" is the root mean square distance to the samples in float32, as a share of their standard deviation. At the
# last step it is {glue:text}`precision-moved` for bfloat16, and {glue:text}`precision-changed` of the samples count as
# copies at one precision and not at the other. With this number of samples, the 95% intervals of $f_\mathrm{mem}$ are
# up to {glue:text}`precision-width` wide, so a smaller effect of lower precision could not be seen. The stored runs of
# this book were nevertheless measured in float32. Runs on a GPU are measured in TF32.
#
# **Next.** [What buys time](training-time.ipynb) has one table for all the settings that people change: which of them
# postpone copies, and which only slow the training?
