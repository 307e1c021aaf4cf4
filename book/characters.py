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
# # Characters: new or copied?
#
# **What you will see.** Is a sample new? With digits the eye cannot tell, because a new 3 looks like an old 3. A
# Chinese character is made of parts, and there are thousands of them. So you can see whether the network has copied
# one, or has put parts together into a character that it was not shown.
#
# **You need** [the experiment on images](images.ipynb). **Reading time**: three minutes.

# %% tags=["remove-input"]
import matplotlib.pyplot as plt
import pandas as pd
from myst_nb import glue

from diffmemlib.companion.estimators import questions, scaling
from diffmemlib.companion.figures import images as draw
from diffmemlib.companion.figures.interactive import show
from diffmemlib.companion.figures.record import record
from diffmemlib.companion.figures.tables import frame
from diffmemlib.companion.sweeps.tables import sweep_results

runs = sorted(sweep_results("ideographs"), key=lambda r: r.config["n"])
few, many = runs[0], runs[-1]
c = few.config
last = int(few.samples["step"][-1])
for name in ("side", "width", "batch", "samples"):
    glue(f"characters-{name}", f"{c[name]:g}", display=False)
glue("characters-lr", f"{c['lr']:g}", display=False)
glue("characters-step", f"{last:,}", display=False)
for name, run in (("few", few), ("many", many)):
    glue(f"characters-{name}", run.config["n"], display=False)
    glue(f"characters-{name}-copies", f"{run.curve('f_mem')['value'].loc[last]:.0%}", display=False)
    glue(f"characters-{name}-seen", f"{last * c['batch'] / run.config['n']:,.0f}", display=False)

# %% mystnb={"figure": {"caption": "Samples of two networks after the same training time, each above the training character nearest to it. Both networks start from the same noise in each column. Framed: copies, less than a third as far from the nearest training character as from the second nearest.", "name": "fig-characters"}, "image": {"alt": "Two bands of white Chinese characters on black, in two rows each. Above, for few training characters, most samples are the same character as the one below them, and several are framed as copies. Below, for more training characters, samples are made of similar strokes and parts, and differ from the character below them."}} tags=["remove-input"]
figure, table = draw.by_size(runs, last)
plt.show()

# %% tags=["remove-input"]
record(runs, table, "characters")

# %% [markdown]
# Look at each sample and the training character under it. Both networks are the same U-Net and were trained for
# {glue:text}`characters-step` steps, the upper one on {glue:text}`characters-few` characters and the lower one on
# {glue:text}`characters-many`. Among all samples of the upper network, {glue:text}`characters-few-copies` are copies;
# of the lower one, {glue:text}`characters-many-copies`. That is the paper's result in one picture: with more training
# images, the network still makes new images after the same training time.
#
# ## The experiment
#
# The pictures are characters of the free font Hanazono, drawn at {glue:text}`characters-side` $\times$
# {glue:text}`characters-side` pixels. Their font may be used and passed on without limit (Hanazono Font License,
# © GlyphWiki Project). The network has the exact form of the paper's code with $W =$ {glue:text}`characters-width`, and
# Adam trains it at {glue:text}`characters-lr` in batches of {glue:text}`characters-batch`. At every milestone,
# {glue:text}`characters-samples` samples are drawn from the same noise as at all others, so that you can follow one of
# them through the training:

# %% tags=["remove-input"]
show(
    draw.time_scrubber(few, last, columns=9),
    "characters-scrubber",
    "Slider over training time: samples above the training characters nearest to them, copies framed, and below them "
    "the Fréchet distance and the memorised fraction with a marker at the chosen time.",
    height=640,
)

# %% tags=["remove-input"]
record([few], few.curves, "characters-scrubber")

# %% [markdown]
# Noise becomes strokes, strokes become parts, and parts become characters. Then, with {glue:text}`characters-few`
# training characters, more and more samples turn into one of them.
#
# ## When does it happen?

# %% tags=["remove-input"]
rows = []
for run in runs:
    copied, turn = scaling.tau_mem([run])[0], questions.lowest(run.curve("loss_test")["value"])[0]
    gap = run.curve("loss_test")["value"].loc[last] / run.curve("loss_train")["value"].loc[last]
    reached = f"{copied.tau:,.0f}" if copied.status == "interpolated" else f"not up to {last:,}"
    rows.append(
        (run.config["n"], f"{turn:,.0f}", reached, f"{gap:.1f}", f"{run.curve('f_mem')['value'].loc[last]:.0%}")
    )
frame("Steps of the two networks", pd.DataFrame(rows, columns=[
    "n", "least held-out loss at", "tau_mem", "held-out / training loss at the end", "copies at the end",
]).set_index("n"))  # fmt: skip
glue(
    "characters-lag",
    f"{scaling.tau_mem([few])[0].tau / questions.lowest(few.curve('loss_test')['value'])[0]:.1f}",
    display=False,
)

# %% mystnb={"figure": {"caption": "Loss at $t = 0.01$ on held-out characters (full lines) and on training characters (dashed), against training time and against training time divided by $n$. Orange dot: $\\tau_\\mathrm{mem}$, where it was reached.", "name": "fig-characters-losses"}, "image": {"alt": "Both losses fall together at first. For the smaller n the held-out loss then rises steeply; for the larger n it has hardly left the training loss at the end."}} tags=["remove-input"]
figure, table = draw.losses(runs)
plt.show()

# %% tags=["remove-input"]
record(runs, table, "characters-losses")

# %% [markdown]
# As with digits, the losses separate long before copies appear: with {glue:text}`characters-few` characters, copies
# come at {glue:text}`characters-lag` times the step of the least held-out loss. For each $n$ there is one run, so these
# times show the order of events and no exponent.
#
# We have no network that recognises these characters, so $\tau_\mathrm{gen}$ is not measured here. You have to judge by
# eye: with {glue:text}`characters-few` characters, is there a moment at which the samples are characters and none is a
# copy?
#
# **Next.** [The same noise, two training sets](same-noise.ipynb) asks how much of a picture the noise determines, and
# how much the training set.
