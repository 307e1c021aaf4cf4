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
# # Your own data
#
# ```{index} ! how long to train
# ```
# ```{index} ! how long may I train
# ```
# ```{index} ! small data set
# ```
#
# **What you will see.** You have a small data set of your own. How long may you train on it before the model memorises?
# One command answers this question within the minutes that you give it. The second half of the page tests such advice
# with a table of runs that took hours, on a folder of letters: runs on few images predict when copies appear in a
# training on more images, and then that training is made.
#
# **You need** [](images.ipynb) for what is measured, and at least {glue:text}`own-fewest` images or vectors.
# **Reading time**: twelve minutes.

# %% tags=["parameters", "remove-input"]
sweep = "letters"  # of config/<tier>.toml, or of the tables in $DIFFMEM_CONFIG

# %% tags=["remove-input"]
import json
from math import fsum

import matplotlib.pyplot as plt
import pandas as pd
from myst_nb import glue

from diffmemlib.companion import coverage, predictions
from diffmemlib.companion.estimators import images as estimate, probed, scaling, window
from diffmemlib.companion.figures import images as draw
from diffmemlib.companion.figures.curves import quality_and_memory
from diffmemlib.companion.figures.record import record
from diffmemlib.companion.figures.tables import frame
from diffmemlib.companion.figures.window import prediction
from diffmemlib.companion.sweeps.tables import sweep_results
from diffmemlib.data import letters
from diffmemlib.data.own import FEWEST
from diffmemlib.experiments.unet import STEPS_PER_N
from diffmemlib.places import checkout
from diffmemlib.probe.backtest import good_by_todays_rule
from diffmemlib.probe.diagram import boundary_text
from diffmemlib.timescales.crossings import BOUND, Boundary

PROOFS = {  # what was probed beside the letters, and what it is
    "breast-cancer.csv": "measurements of tumours (scikit-learn's table)",
    "mixture-d16.npy": "the mixture in 16 dimensions",
    "diabetes.csv": "ten measurements of patients (scikit-learn's table)",
    "emoji": "coloured emoji of Google's Noto font",
    "ideographs": "Chinese characters of the font Hanazono",
    "fashion-mnist.npy": "pictures of clothes (Fashion-MNIST)",
    "wine.csv": "measurements of wines (scikit-learn's table)",
    "digits-8x8.npy": "digits of 8 x 8 pixels, as vectors (scikit-learn's)",
    "hiero": "Egyptian hieroglyphs of Google's Noto font",
}
AFTER = (
    "diabetes.csv",
    "wine.csv",
    "digits-8x8.npy",
    "hiero",
)  # probed after the rule was changed for the last time
runs = sweep_results(sweep)
smaller, largest = window.smaller_and_largest(runs)
example = largest[0]
c, facts = example.config, example.provenance
distance = estimate.quality(runs)
n_largest = int(c["n"])
for name in ("side", "width", "batch", "lr", "samples"):
    glue(f"own-{name}", f"{c[name]:g}", display=False)
glue("own-fewest", FEWEST, display=False)
glue("own-letters", letters.COUNT, display=False)
glue("own-fonts", len(letters.FONTS), display=False)
glue("own-runs", len(smaller), display=False)
glue("own-steps-n", STEPS_PER_N["adam"], display=False)
glue("own-n-largest", n_largest, display=False)
glue("own-copies", f"{scaling.F_MEM:g}", display=False)
glue("own-good", f"{estimate.good(example, distance):.2f}", display=False)
glue("own-real", f"{facts.get(f'{estimate.UNTRAINED}_real', float('nan')):.2f}", display=False)
glue("own-hours", f"{fsum(r.provenance['seconds'] for r in runs) / 3600:.1f}", display=False)
glue("own-slowest", f"{max(r.provenance['seconds'] for r in runs) / 60:,.0f}", display=False)

# %% tags=["remove-input"]
told = json.loads((checkout() / "book" / "measured" / "probe-letters.json").read_text())
model, through = told["model"], [r for r in told["runs"] if r["ended"] == "copies"]
glue("probe-minutes", f"{told['seconds'] / 60:,.0f}", display=False)
glue("probe-workers", told["workers"], display=False)
glue("probe-device", told["device"], display=False)
glue("probe-n", f"{told['answer']['n']:,}", display=False)
glue("probe-runs", len(told["runs"]), display=False)
glue("probe-through", len(through), display=False)
glue("probe-sizes", ", ".join(str(n) for n in sorted({r["n"] for r in told["runs"]})), display=False)
glue("probe-batch", model["batch"], display=False)
glue("probe-width", model["width"], display=False)
glue("probe-lr", f"{model['lr']:g}", display=False)
proofs = [report for report in probed.reports(checkout() / "book" / "measured") if report["source"] in PROOFS]
glue("proof-sets", len(proofs), display=False)
glue("proof-names", "; ".join(f"{report['source']}, {PROOFS[report['source']]}" for report in proofs), display=False)

# %% [markdown]
# ## One command
#
# ```bash
# .venv/bin/python -m diffmemlib probe DATA --minutes 20 --out report
# ```
#
# `DATA` can be a folder or zip of pictures, grey or in colour; an IDX file, the format of MNIST and Fashion-MNIST; a
# file with an array of images or vectors (`.npy`, `.npz`, `.safetensors`); or a table of numbers (`.csv`, `.tsv`,
# `.parquet`), of which `--column` chooses columns. Images in an array may have any number of channels and any range of
# values, so you can also use measurements on a grid. The command first reports what it found, what it left out and how
# it changed the rest. Then it trains a small network on parts of the data, several trainings at once, from few points
# to more, until each makes copies or the minutes are over. From these trainings it reads when samples become good, and
# it predicts when copies will appear in a training on *all* the data. You can interrupt it at any time: the same
# command continues, and a call with more minutes adds to what was trained.
#
# You can follow this on {glue:text}`probe-n` letters, which the first of these two commands draws:
#
# ```bash
# .venv/bin/python -m diffmemlib data letters letters
# .venv/bin/python -m diffmemlib probe letters --minutes 20 --out report
# ```
#
# The probe stopped after {glue:text}`probe-minutes` of its 20 minutes on {glue:text}`probe-workers` cores
# ({glue:text}`probe-device`), because no further training would have fitted. Below is what it printed, without the
# lines of progress.
#
# ```{literalinclude} measured/probe-letters.txt
# :language: text
# ```
#
# It made {glue:text}`probe-runs` trainings, at $n =$ {glue:text}`probe-sizes`, of which {glue:text}`probe-through` went
# on until copies were unmistakable. The <a href="../_static/probe-letters.html">report</a> is one HTML file that opens
# without a network. It shows both times with their predictions against $n$; samples above the training images nearest
# to them, with a slider for the training time; the curves; and what the answer rests on. The same content, without the
# pictures, is stored beside it as JSON.
#
# The answer has its limits. Its steps are those of the probe's own network and way of training (here a U-Net with
# {glue:text}`probe-width` channels, and Adam at {glue:text}`probe-lr` in batches of {glue:text}`probe-batch`). With
# another network, learning rate or augmentation, or with weights that were trained on other data before (fine-tuning,
# LoRA), copies come at another step, which no probe can tell. For those, put a [monitor](monitor.ipynb) into your own
# training loop. Where the data do not support a prediction, because nothing was memorised in the time given, or in too
# few trainings, the command says so instead of guessing. The answer is also given in minutes, on the machine that ran
# the probe. To have it in minutes of another machine, give the number of training steps that machine makes per second,
# for example `--model-steps-per-second 120`. If a run made on that machine is stored, you can instead name it with
# `--pilot ID`, where `ID` is the name of its folder. The rate of a stored run is used only if that run was trained as
# the probe trains; otherwise the report says what differs.
#
# ## Is it right?
#
# A probe with more minutes can test itself. Once it has trained on $n$ points, it predicts that training from those
# with at most a quarter of its points, and its report compares the two. The table has every such test on
# {glue:text}`proof-sets` data sets that had not been used for tuning when they were probed: {glue:text}`proof-names`.
# Each interval should contain the measured step with 95% confidence.

# %% tags=["remove-input"]
proof = probed.tests(proofs)
said = probed.summary(proof)
glue("proof-told", said["told"], display=False)
glue("proof-inside", said["inside"], display=False)
glue("proof-near", said["near"], display=False)
glue("proof-close", f"{probed.CLOSE:g}", display=False)
sign = proof["status"].map(BOUND)
glue("proof-untold", said["not told"] or "No training", display=False)
shown = proof.assign(
    expected=[f"{e:,.0f} [{low:,.0f}, {high:,.0f}]" for e, low, high in proof[["expected", "low", "high"]].to_numpy()],
    came=sign + proof["came"].map("{:,.0f}".format),
    ratio=[
        f"{mark}{came / expected:.2f} [{came / high:.2f}, {came / low:.2f}]"
        for mark, came, expected, low, high in zip(
            sign, proof["came"], proof["expected"], proof["low"], proof["high"], strict=True
        )
    ],
).drop(columns=["low", "high", "status"])
missed = proof[~proof["verdict"].isin(["inside", "not told"])]
words = [f"{row.data} at n = {row.n}, {row.verdict} than the interval says" for row in missed.itertuples()]
glue("proof-missed", "; ".join(words) or "none", display=False)
again = probed.by_todays_rule(proofs)
held = (again["low"] <= proof["came"]) & (proof["came"] <= again["high"]) & (proof["verdict"] != "not told")
glue("proof-today", int(held.sum()), display=False)
narrow = probed.by_todays_rule(proofs, confidence=0.9)
held = (narrow["low"] <= proof["came"]) & (proof["came"] <= narrow["high"]) & (proof["verdict"] != "not told")
glue("proof-today-90", int(held.sum()), display=False)
late = proof["data"].isin(AFTER)
since = probed.summary(proof[late])
glue("since-sets", proof[late]["data"].nunique(), display=False)
glue("since-told", since["told"], display=False)
glue("since-inside", since["inside"], display=False)
glue("since-inside-90", int(held[late].sum()), display=False)
glue("since-near", since["near"], display=False)
frame(
    "Step at which copies were expected, from trainings on a quarter of the points at most, and at which they came",
    shown,
)

# %% [markdown]
# Of {glue:text}`proof-told` trainings that could be judged, {glue:text}`proof-inside` lay inside the interval, and
# {glue:text}`proof-near` within a factor of {glue:text}`proof-close` of the expected step. {glue:text}`proof-untold`
# ended too early to be judged. The rows of one data set are predicted from the same small trainings, so their errors
# are not independent. The intervals are wide where they rest on few trainings; more minutes narrow them. So take the
# expected step as an order of magnitude, and the low end of the interval as the time to stop.
#
# These lay outside: {glue:text}`proof-missed`. For the emoji, the time of copies grew faster than $n$, which the
# predictions did not allow at that time. A possible reason is that these pictures are richer than the others, so that
# the network comes near to its capacity; we have not tested this. Since then the interval allows growth up to $\tau_0 +
# C n^2$, which changes its upper end only. The table shows the predictions as they were made. With the new rule
# {glue:text}`proof-today` of {glue:text}`proof-told` would lie inside the 95% interval, and {glue:text}`proof-today-90`
# inside one of 90% confidence. But this says little, because the rule was changed after the emoji were seen. A fair
# test has to come from data that were probed after the change. There are {glue:text}`since-sets` such sets, with
# {glue:text}`since-told` trainings: {glue:text}`since-inside` lay inside the interval that was predicted for them,
# {glue:text}`since-inside-90` inside one of 90% confidence, and {glue:text}`since-near` within a factor of
# {glue:text}`proof-close` of the expected step.
#
# And when are the samples good? The probe expects that all the data need the same number of steps as the largest of the
# small trainings did, since $\tau_\mathrm{gen}$ should not depend on $n$. Its interval is wider: if this time grew with
# $n$ in the small trainings, the interval allows it to continue to grow. The table shows how many steps the larger
# trainings needed.

# %% tags=["remove-input"]
good = probed.tests_of_good(proofs)
today_good = good_by_todays_rule(proofs)
reached = good[good["status"] == "interpolated"]
inside_good = (reached["good"] >= today_good.loc[reached.index, "low"]) & (
    reached["good"] <= today_good.loc[reached.index, "high"]
)
closed = today_good.loc[reached.index, "high"] < float("inf")
glue("good-inside", int((inside_good & closed).sum()), display=False)
glue("good-closed", int(closed.sum()), display=False)
glue("good-reached", len(reached), display=False)
glue("good-open", int((today_good.loc[reached.index, "high"] == float("inf")).sum()), display=False)
near_good = (reached["ratio"] > 1) & (reached["ratio"] <= probed.CLOSE)
glue("good-all", len(good), display=False)
glue("good-near", int(near_good.sum()), display=False)
glue("good-later", int((good["ratio"] > 1).sum()), display=False)
glue("good-far", " and ".join(good.loc[good["ratio"] > 10, "data"].unique()), display=False)
shown_good = good.assign(
    expected=[f"{value:,.0f}" for value in good["expected"]],
    good=[f"{BOUND[row.status]}{row.good:,.0f}" for row in good.itertuples()],
    interval=[
        f"{low:,.0f} to {high:,.0f}" if high < float("inf") else f"{low:,.0f} or later"
        for low, high in zip(today_good["low"], today_good["high"], strict=True)
    ],
    ratio=[f"{BOUND[row.status]}{row.ratio:.2f}" for row in good.itertuples()],
)
frame("Step at which samples were expected to be good, and from which on they were", shown_good.drop(columns="status"))

# %% [markdown]
# The rule for the interval was made after these tests had been seen, so they are no proof of it. By that rule,
# {glue:text}`good-open` of the {glue:text}`good-reached` intervals have no upper end, because the small trainings did
# not show how this time grows; of the {glue:text}`good-closed` others, {glue:text}`good-inside` contain the step. Of
# {glue:text}`good-all` trainings, {glue:text}`good-later` became good later than expected, and {glue:text}`good-near`
# of them within a factor of {glue:text}`proof-close`. A possible reason is that the level depends on $n$. Samples count
# as good when their distance from the held-out data is at most twice that of the training points (or that of a Gaussian
# with the data's mean and covariance, if this is larger). The distance of $n$ training points from the held-out data
# falls as $n$ grows, so the level becomes stricter. For pictures the distance is a rough judge besides: with
# {glue:text}`good-far` the expectation was wrong by a factor of ten or more. Look at the samples in the report before
# you trust the time at which they become good.
#
# ## How sharp can such a prediction be?
#
# How near the expected step comes depends on how the time of copies grows, and on the number of trainings. A simulation
# shows how much. It draws the times of trainings under a known law of growth, predicts from them the time at four times
# the largest $n$, and repeats this {glue:text}`sharp-trials` times. In {glue:text}`sharp-worlds` of the simulated
# worlds the time is a power of $n$, or proportional to $n$ after an offset. In {glue:text}`sharp-steep` others its
# growth steepens, up to $n^2$. The logarithms of the times have a standard deviation of {glue:text}`sharp-scatter`
# between trainings. For each design (the number of sizes and of trainings at each), the table has the lowest and the
# highest share of successful predictions over the simulated worlds.

# %% tags=["remove-input"]
sharp = json.loads((checkout() / "book" / "measured" / "prediction.json").read_text())
glue("sharp-trials", sharp["rows"][0]["trials"], display=False)
glue("sharp-scatter", f"{coverage.SCATTER:g}", display=False)
rows = pd.DataFrame(sharp["rows"])
held, near, steep = (
    rows["held"].str[0] / rows["trials"],
    rows["near"] / rows["trials"],
    rows["growth"].isin(coverage.STEEP),
)
glue("sharp-worlds", len(coverage.LAWS), display=False)
glue("sharp-steep", len(coverage.STEEP), display=False)
glue("sharp-held", f"{held.min():.0%} to {held.max():.0%}", display=False)
glue("sharp-near", f"{near[~steep].min():.0%} to {near[~steep].max():.0%}", display=False)
glue("sharp-near-steep", f"{near[steep].min():.0%} to {near[steep].max():.0%}", display=False)
frame(
    "How often a simulated training lies where it was predicted, and how wide the 95% interval is",
    predictions.by_design(sharp),
)

# %% [markdown]
# The 95% intervals contain the training in {glue:text}`sharp-held` of the cases, over all growths and designs. The
# expected step is a different matter. Where the growth does not steepen, it is near the measured time in
# {glue:text}`sharp-near` of the cases. Where it steepens, it is near in {glue:text}`sharp-near-steep`, and more
# trainings on few points do not help, because they cannot show how the growth continues.
#
# ## How many points does a larger network need?
#
# ```bash
# .venv/bin/python -m diffmemlib phase DATA --widths 8,16,32 --sizes 32,64,128 --out phase
# ```
#
# This trains every width on every number of points, and draws the phase diagram of [](images-capacity.ipynb), in the
# plane of $n$ and $W$, for your data. It shows for each width the smallest $n$ with which no copies appear before the
# samples are good, and before 3 and 8 times that time. Like the probe, the command can be interrupted and resumed. If
# you start the same command several times with one output folder, the processes share the work, so on a Slurm cluster
# it can be an array of jobs. A job that is killed costs at most the steps since its last checkpoint; submit the same
# line again.
#
# ```bash
# sbatch --array=1-8 --wrap ".venv/bin/python -m diffmemlib phase DATA --widths 8,16,32 --sizes 32,64,128 --out phase"
# ```
#
# For example, here is what it says of {glue:text}`phase-count` points of a Gaussian mixture in 16 dimensions, for which
# the network is an MLP. It took {glue:text}`phase-minutes` minutes of one core; the
# <a href="../_static/phase-mixture.html">page that it wrote</a> has the diagram.

# %% tags=["remove-input"]
diagram = json.loads((checkout() / "book" / "measured" / "phase-mixture.json").read_text())
glue("phase-minutes", f"{diagram['seconds'] / 60:,.0f}", display=False)
glue("phase-count", f"{diagram['count']:,}", display=False)
limits = [{int(c): Boundary(**b) for c, b in row["boundaries"].items()} for row in diagram["rows"]]
frame("The fewest points with which no copies are made", pd.DataFrame({
    "W": [row["width"] for row in diagram["rows"]],
    "samples good from step": [f"{row['tau_gen']['tau']:,.0f}" if row["tau_gen"] else "not reached" for row in diagram["rows"]],
    **{("until then" if c == 1 else f"until {c} times that"): [boundary_text(b[c]) if c in b else "not told" for b in limits]
       for c in (1, 3, 8)},
}).set_index("W"))  # fmt: skip

# %% [markdown]
# Read it from your side: with as many points as you have, which width is still safe, and for how long? Where the table
# says "more than", even the largest number that was tried has copies by then.
#
# ## The long way, in four steps
#
# You can also choose the sizes and settings yourself, in a table of runs. Such a table may take hours, and it can be
# run on a cluster.
#
# **1. Turn the pictures into a data set.** The pictures may be in a folder or a zip, in any usual format. Each is
# shrunk and cut to its central square, of 16 or 32 pixels a side. Colours are kept unless you say `--grey`. Choose any
# name for the data set.
#
# ```bash
# .venv/bin/python -m diffmemlib data images FOLDER --name mine --size 16
# ```
#
# It says which files it took, which it left out and why, and how many images repeat an earlier one (they are left out). It
# says how many have a near-duplicate, and how they are split: three quarters to take training sets from, a quarter held out.
# Near-duplicates matter, since a copy of one of them is as near to the other and cannot be told from something new. To try
# it without pictures of your own, draw the letters of this page first:
# `.venv/bin/python -m diffmemlib data letters letters`.
#
# **2. Choose the runs.** Make a folder with a table in it. This, for example, is `my/laptop.toml`:
#
# ```toml
# [mine]
# experiment = "unet"
# figures = []
# runs = [
#     { dataset = "mine", optimizer = "adam", n = [32, 64], seed = [0, 1] },
#     { dataset = "mine", optimizer = "adam", n = [128, 256] },
# ]
# ```
#
# Runs at several small $n$, with two seeds each, are cheap, and the interval of a prediction is computed from them. One
# run at a larger $n$ tests the prediction. A run must last until copies appear. By default it lasts
# {glue:text}`own-steps-n` steps for every training image with Adam, which is enough for the letters; to change this,
# set `steps` in a row of the table.
#
# **3. Run them.** The command says first what they will cost; interrupt it as you like.
#
# ```bash
# DIFFMEM_CONFIG=my make reproduce TIER=laptop
# ```
#
# On a GPU the table is `my/gpu.toml`, and the options `TIER=gpu DEVICE=cuda` ([](reproduce.md)). The settings of a run
# hold the checksum of the images beside their name. If you change a picture, the runs must be made again.
#
# **4. Draw this page from them.**
#
# ```bash
# DIFFMEM_CONFIG=my .venv/bin/papermill book/your-data.ipynb mine.ipynb -k python3 -p sweep mine
# ```
#
# For the runs of `my/gpu.toml`, put `DIFFMEM_TIER=gpu` in front. `mine.ipynb` opens in any notebook viewer; tables and
# figures are then yours, and the text is still about letters.
#
# ## What the letters say
#
# In place of your data, this page uses {glue:text}`own-letters` pictures of capital letters in {glue:text}`own-fonts`
# fonts, each turned, moved and scaled at random, at {glue:text}`own-side` $\times$ {glue:text}`own-side` pixels. The
# network is the U-Net of [](images.ipynb) with $W =$ {glue:text}`own-width`, trained by Adam at {glue:text}`own-lr` in
# batches of {glue:text}`own-batch`. All runs together took {glue:text}`own-hours` hours of a core, the largest
# {glue:text}`own-slowest` minutes.
#
# **Good** needs a scale. There is no network that was trained to recognise such letters, so the Fréchet distance is
# taken between features of an *untrained* convolutional network {cite:p}`naeem2020`, and compared with two landmarks.
# The first is real letters: a set of them as large as our samples has the distance {glue:text}`own-real` from the
# held-out ones. The second landmark is Gaussian pictures: random ones with the mean and covariance of the letters'
# pixels (before they are cut off at black and white), which share nothing else with letters. They have the distance
# {glue:text}`own-good`. Samples count as good when they have a smaller distance than these.
#
# **Copies** are counted as everywhere in this book: $\tau_\mathrm{mem}$ is the time when the memorised fraction reaches
# {glue:text}`own-copies`.

# %% mystnb={"figure": {"caption": "Distance to held-out images (top) and memorised fraction (bottom), against training time and against training time divided by $n$, a colour for each $n$. Dotted: the level that defines $\\tau_\\mathrm{mem}$; dots mark where the curves reach it. Bands: 95% intervals of the measurements, the widest of all seeds.", "name": "fig-own"}, "image": {"alt": "The distance falls with training time and swings while it does; the memorised fraction rises at the end, later for larger n, and against tau over n its rises lie close together."}} tags=["remove-input"]
figure, table = quality_and_memory(runs, metrics=(distance, "f_mem"))
plt.show()

# %% tags=["remove-input"]
record(runs, table, "own")

# %% [markdown]
# The times of each run, in steps. Here > before a step means that the run ended at that step without reaching it:

# %% tags=["remove-input"]
frame("Times of every run, in steps", window.windows(runs))

# %% [markdown]
# Where the last column says no, copies came before the samples were good: with so few images there is no time to stop at,
# and the remedy is more images, not less training.
#
# ## How long with more images?
#
# Runs on few images are cheap. If we know how $\tau_\mathrm{mem}$ grows with $n$, they predict its value for many
# images. In the paper it is proportional to $n$; in this book it sometimes grows as another power, and sometimes as
# $\tau_0 + C n$, which a few sizes can hardly tell from a power. The prediction therefore allows both forms, $C n^a$
# and $\tau_0 + C n$. Its interval should contain one more run, whichever of the two is true. Here it is made from the
# runs below $n =$ {glue:text}`own-n-largest`; the ringed run was not used.

# %% mystnb={"figure": {"caption": "Both times of every run, and what the runs with smaller $n$ predict for the time of the first copies, with its 95% prediction interval. Ringed: not used for the prediction. Open triangles are bounds. They point up where the run ended before that time, and down where the time lies before the first milestone.", "name": "fig-own-prediction"}, "image": {"alt": "Times against n on logarithmic axes: the time of first copies rises along a line with a band around it that widens to the right, and a ringed point at the largest n, which was not used for it."}} tags=["remove-input"]
more = 4 * n_largest
glue("own-more", more, display=False)
figure, table = prediction(runs, more)
plt.show()

# %% tags=["remove-input"]
record(runs, table, "own-prediction")

# %% tags=["remove-input"]
told = window.predictions(runs, more)
first = told.iloc[0]
measured = scaling.tau_mem([example])[0]
glue("own-predicted", f"{first['steps']:,.0f} [{first['low']:,.0f}, {first['high']:,.0f}]", display=False)
glue("own-measured", window.as_text(measured), display=False)
glue("own-turns", f"{example.curve('loss_test')['value'].idxmin():,.0f}", display=False)
glue("own-good-from", window.as_text(estimate.tau_gen([example])[0]), display=False)
glue("own-exponent", window.exponent_text(runs), display=False)
good_from = estimate.tau_gen([example])[0]
glue("own-lower", f"{first['low']:,.0f}", display=False)
fine = good_from.status == "interpolated" and good_from.tau <= first["low"]
late = "one stops with good samples" if fine else "stopping there would be safe, but too early for good samples"
glue("own-advice", late, display=False)
glue("own-verdict", window.verdict(first["low"], first["high"], measured), display=False)
frame("tau_mem, predicted, in steps", told.map(lambda v: f"{v:,.0f}" if isinstance(v, float) else v))

# %% [markdown]
# At $n =$ {glue:text}`own-n-largest` the runs below it predict {glue:text}`own-predicted` steps; the run itself has
# {glue:text}`own-measured`, {glue:text}`own-verdict`. All runs together have the exponent {glue:text}`own-exponent` in
# $n$. If you assume, with the paper, that the time is proportional to $n$, there is one parameter less to fit and the
# interval is narrower (the second row). The last two rows say the same, from all runs, for $n =$ {glue:text}`own-more`.
# The interval is computed from {glue:text}`own-runs` runs, which is why it is so wide; more seeds at small $n$ cost
# minutes and narrow it.
#
# **So: stop at the lower end of the interval, if the samples are good by then.** Here the lower end is
# {glue:text}`own-lower` steps, and the samples are good from {glue:text}`own-good-from` on: {glue:text}`own-advice`.
# Where the lower end comes too early, more small runs narrow the interval, and more training images move it to later
# times. Copies that are too rare to appear among the samples ({glue:text}`own-samples` at each milestone here) are not
# seen by any of this.
#
# ## Look at them
#
# Numbers can hide what went wrong. Do the samples look right to you, and are those framed as copies really copies?

# %% mystnb={"figure": {"caption": "Samples of the run with the largest $n$: at the last milestone before $\\tau_\\mathrm{mem}$, and at the end. Each above the training image nearest to it; copies are framed.", "name": "fig-own-grid"}, "image": {"alt": "Two bands of small white letters on black, each in two rows: samples above their nearest training images, at an earlier and at a later time; in the later band some are framed as copies."}} tags=["remove-input"]
steps = example.samples["step"].tolist()
before = max((s for s in steps if s < measured.tau), default=steps[0])
figure, table = draw.grid(example, [before, steps[-1]])
plt.show()

# %% tags=["remove-input"]
record([example], table, "own-grid")

# %% [markdown]
# ## The losses, which need no samples

# %% mystnb={"figure": {"caption": "Loss at $t = 0.01$ on held-out images (full lines) and on training images (dashed), five noises each.", "name": "fig-own-losses"}, "image": {"alt": "For each n the held-out loss falls, has a lowest point and rises, while the training loss keeps falling; the lowest point is later for larger n."}} tags=["remove-input"]
figure, table = draw.losses(runs)
plt.show()

# %% tags=["remove-input"]
record(runs, table, "own-losses")

# %% [markdown]
# The held-out loss at a small diffusion time needs no samples. At $n =$ {glue:text}`own-n-largest` it is lowest at step
# {glue:text}`own-turns`. Compare that with the two times that need samples: the samples are good from
# {glue:text}`own-good-from` steps on, and the first copies come at {glue:text}`own-measured`.
#
# ## A model of your own
#
# The measurements do not need our network or our training loop. Save samples of your model at some checkpoints; with its
# training set as a tensor the rest is:
#
# ```python
# from diffmemlib import memorized_fraction, predict, share_crossing
#
# f_mem = [memorized_fraction(samples, train).value for samples in samples_at_checkpoints]  # 1000 samples each
# tau_mem = share_crossing(steps, f_mem, 1000, 0.02)  # .tau, and .status: interpolated, censored, at first point
#
# # the same for models trained on 250, 500 and 1000 points, then
# times = [tau_mem_250, tau_mem_500, tau_mem_1000]  # a run that saw no copies counts as the bound that it is
# expected, low, high = predict([250, 500, 1000], times, at=20000)  # stop at low
# ```
#
# Distances are taken between points as they are given: raw pixels in the paper, features if you prefer.
#
# ## What to watch for
#
# - **Near-duplicates in the data** hide copies; the first command counts them.
# - **Copies come at other times if you train in another way.** Learning rate, batch, width and augmentation all move
#   $\tau_\mathrm{mem}$: [](training-time.ipynb) has the factor of each. Predict with the settings that you will use.
# - **Square.** Pictures are cut to their central square. Colours are kept. The paper turns its faces to grey; `--grey`
#   does the same.
# - **An untrained network sees less than a trained one.** For photographs, `features = "inception"` in the table gives the
#   FID, where the weights are at hand.
#
# **Next.** [The monitor](monitor.ipynb) watches your own training and tells you when to stop it.
