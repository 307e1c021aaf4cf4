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
# # Stop in time: a monitor for your own loop
#
# ```{index} ! early stopping
# ```
# ```{index} ! stop training in time
# ```
#
# **What you will see.** You train a diffusion model with your own network and your own code, and want to stop before it
# copies its training set. Three lines in your loop watch it for you, and say when. (Which settings delay that moment is
# the subject of [another page](training-time.ipynb).)
#
# **You need** to know what a copy is here: a sample whose nearest training point is less than a third as far away as the
# second nearest ([](mixture)). **Reading time**: eight minutes.

# %% tags=["remove-input"]
import matplotlib.pyplot as plt
from myst_nb import glue

from diffmemlib.companion.estimators import monitored
from diffmemlib.companion.figures.monitored import history
from diffmemlib.companion.figures.record import record, record_live
from diffmemlib.companion.figures.tables import frame
from diffmemlib.companion.sweeps.tables import sweep_results

runs = sweep_results("mixture-n", "laptop")  # of which this page tells single steps
example = next(r for r in runs if r.config["n"] == 128 and r.config["seed"] == 0)
watched = monitored.watch(example)
first = next(look for look in watched.looks if look.stop)
before = watched.looks[watched.looks.index(first) - 1]
stops = monitored.stops(runs)
said = stops.dropna(subset=["stopped at step"])
glue("stop-step", f"{first.step:,}", display=False)
glue("stop-copies", first.copies, display=False)
glue("stop-samples", first.samples, display=False)
glue("stop-before", f"{before.step:,}", display=False)
glue("stop-before-copies", before.copies, display=False)
glue("stop-before-evidence", f"{before.evidence:,.0f}", display=False)
glue("stop-chance", f"{monitored.CHANCE:.0%}", display=False)
glue("stop-looks", len(watched.looks), display=False)
glue("stop-held-out", f"{watched.baseline_size:,}", display=False)
glue("stop-held-out-copies", watched.baseline_copies, display=False)
glue("stop-said", len(said), display=False)
glue("stop-runs", len(stops), display=False)
unsaid = stops[stops["stopped at step"].isna()]
late = unsaid["tau_mem"].str.lstrip("<> ").str.replace(",", "").astype(float) >= 0.8 * unsaid["run ends at"]
glue("stop-factor", f"{watched.milestones[-1] / watched.milestones[-2]:.1f}", display=False)
glue("stop-late", int(late.sum()), display=False)
glue("stop-unsaid", len(unsaid), display=False)
glue("stop-share", f"{said['f_mem then'].min():.0%} to {said['f_mem then'].max():.0%}", display=False)

# %% [markdown]
# ## Three lines
#
# The monitor needs the training set and some data that the network never sees. At some steps you hand it new samples. It
# takes tensors or arrays of any shape, as long as training data, held-out data and samples share layout and scale.
#
# ```python
# from diffmemlib import MemorizationMonitor
#
# monitor = MemorizationMonitor(train_data, held_out)
# for step in range(1, steps + 1):
#     train_step()
#     if step in monitor.milestones and monitor.update(step, generate(512)).stop:
#         break
# ```
#
# `monitor.milestones` are steps at which it is worth drawing samples. They begin at step 100 and are evenly spaced in
# the logarithm of time, eight in each decade, because that is the scale on which copies appear. Give `milestones=` for
# others, or call `update` whenever you like.
#
# ## What it does
#
# How many copies are too many? Some samples meet the criterion by chance, and so do some fresh data, more of them where
# the data hold near-duplicates. The monitor therefore counts first how many of the *held-out* data meet it. It says stop
# when the samples meet it more often than that.
#
# A test that is repeated often enough finds something in the end, whether there are copies or not. This test may be
# repeated at every step. We call each call of `update` a *look*. Of all trainings that make no more copies than fresh
# data would, the monitor stops at most one in twenty, however many looks it takes (`alpha=0.05`). It works like a
# gambler who bets that copies are more frequent among the samples than among the held-out data. If they are not, no
# such bet gains on average, so the gambler's capital reaches twenty times its start with a probability of at most one
# in twenty {cite:p}`ramdas2023`. This capital, in units of its start, is what we call the *evidence*, and the monitor
# says stop when it reaches twenty. Where copies are clearly more frequent, the capital grows exponentially, and one or
# two looks decide; the last table below says how many it takes where they are rare.
#
# In the figure it watches a run of [](mixture) with $n = 128$. It is given the {glue:text}`stop-samples` stored samples
# of each of {glue:text}`stop-looks` milestones, and {glue:text}`stop-held-out` held-out points, of which
# {glue:text}`stop-held-out-copies` meet the criterion.

# %% mystnb={"figure": {"caption": "A run of the mixture as the monitor sees it. Top: share of copies among the samples with 95% intervals, and of held-out data (grey). Second panel: the evidence that samples are copies more often, and the level at which the monitor says stop. Bottom: losses at $t = 0.01$. Dotted: the step at which it says stop.", "name": "fig-monitor"}, "image": {"alt": "Three panels over training steps. The share of copies is zero until late and then rises steeply. The evidence sinks slowly below one, then leaps over the level of twenty at the second look with copies. The held-out loss has turned upwards before, while the training loss keeps falling."}} tags=["remove-input"]
figure, table = history(watched)
plt.show()

# %% tags=["remove-input"]
record([example], table, "monitor")

# %% [markdown]
# At step {glue:text}`stop-before` the samples hold {glue:text}`stop-before-copies` copies, which raise the evidence to
# {glue:text}`stop-before-evidence`. At step {glue:text}`stop-step` there are {glue:text}`stop-copies`, and it says
# stop. The loss on held-out data turned upwards before that. Losses need no samples, so you can give them to `update`,
# as `loss_train` and `loss_test`, more often than you can afford to draw samples. Draw samples sooner when the two
# losses separate; `monitor.losses_apart_since()` says since which step they have been apart. [](questions.ipynb)
# measures at which noise level the two losses separate first, and at which level their separation best predicts when
# copies will appear.
#
# Does it stop in time? The next table lists every run behind the first figure of [](mixture). The monitor said stop in
# {glue:text}`stop-said` of {glue:text}`stop-runs` runs. At that step, {glue:text}`stop-share` of all its samples were
# copies. The number of runs without a stop is {glue:text}`stop-unsaid`, and in {glue:text}`stop-late` of them copies
# appeared only in the last fifth of the steps. The milestones of these runs are a factor of {glue:text}`stop-factor`
# apart. More frequent looks, and more samples at each, stop sooner.

# %% tags=["remove-input"]
shown = stops.assign(
    **{
        "stopped at step": stops["stopped at step"].map(
            lambda step: "did not stop" if step != step else f"{step:,.0f}"
        ),
        "f_mem then": stops["f_mem then"].map(lambda f: "" if f != f else f"{f:.3f}"),
    }
)
frame("The monitor on the stored runs, 200 samples a look; tau_mem is where f_mem reaches 0.02", shown)

# %% [markdown]
# ## How few copies can it tell?
#
# That depends on how many samples you draw at each look, and on the number of held-out data. With few held-out data one
# cannot know how often fresh data meet the criterion, and then no number of looks helps. The table has the share of
# copies that one look detects with a probability of {glue:text}`stop-chance`. It assumes that ten looks without copies
# went before, and that none of the held-out data meets the criterion.

# %% tags=["remove-input"]
told = monitored.detectable([200, 1000, 5000, 20_000], [128, 512, 2048])
shown = told.rename(columns="{} samples".format).map(lambda f: f"{f:.1%}")
frame("The share of copies that one look detects", shown)

# %% tags=["remove-input"]
record_live("companion.estimators.monitored.detectable", told.reset_index(), "monitor-power")

# %% [markdown]
# Where some held-out data meet the criterion by chance, the monitor needs more held-out data and more looks. The next
# table says how often the monitor stops within one, two, three and four looks of {glue:text}`power-samples` samples if
# {glue:text}`power-share` of the samples are copies and no looks went before. It was computed from
# {glue:text}`power-trainings` simulated trainings. With 1,000 held-out points of which five meet the criterion, their
# true rate is known poorly, and four looks stop in {glue:text}`power-few` of the trainings. With fifty times as many
# held-out points and the same rate they stop in {glue:text}`power-many`.

# %% tags=["remove-input"]
sure = monitored.power([(1000, 0), (1000, 5), (10_000, 0), (10_000, 50), (50_000, 250)])
known = sure.set_index(["held-out points", "that meet the criterion"])
glue("power-share", f"{monitored.COPIED:.0%}", display=False)
glue("power-samples", monitored.LOOK, display=False)
glue("power-trainings", monitored.TRAININGS, display=False)
glue("power-few", f"{known.loc[(1000, 5), 4]:.0%}", display=False)
glue("power-many", f"{known.loc[(50_000, 250), 4]:.0%}", display=False)
shown = known.rename(columns=lambda k: f"{k} look{'s' if k > 1 else ''}").map(lambda share: f"{share:.0%}")
frame("How often the monitor stops", shown)

# %% tags=["remove-input"]
record_live("companion.estimators.monitored.power", sure, "monitor-stops")

# %% [markdown]
# For your own numbers ask the monitor. `monitor.copies_to_stop(512)` is the number of copies among the next 512 samples
# that would make it say stop. `monitor.power(0.02, 512, looks=2)` is the probability that it says stop within two looks
# if 2% of the samples are copies.
#
# ## In the trainers that you may use
#
# **Hugging Face diffusers**, in the example loop for unconditional generation. A pipeline gives pictures as (count, height,
# width, channels) in [0, 1], so hand over the data in the same way.
#
# ```python
# monitor = MemorizationMonitor(images, held_out)
# for step in range(1, steps + 1):
#     train_step()
#     if step in monitor.milestones:
#         made = pipeline(64, num_inference_steps=50, output_type="np").images
#         if monitor.update(step, made).stop:
#             break
# ```
#
# **denoising-diffusion-pytorch** has a `Trainer` with its own loop, which runs until step `train_num_steps`. The code
# below therefore sets this number to each milestone in turn and trains up to it. The `Trainer` mirrors pictures at
# random. Either switch this off with `augment_horizontal_flip=False`, or give the monitor both the pictures and their
# mirror images.
#
# ```python
# monitor = MemorizationMonitor(torch.stack(list(trainer.ds)), held_out)
# last = trainer.train_num_steps
# for trainer.train_num_steps in [*(step for step in monitor.milestones if step < last), last]:
#     trainer.train()
#     made = trainer.ema.ema_model.sample(batch_size=64)
#     if monitor.update(trainer.step, made).stop:
#         break
# ```
#
# **PyTorch Lightning**, as a callback. What the monitor has seen is kept in Lightning's checkpoints.
#
# ```python
# from diffmemlib.monitor.lightning import MemorizationCallback
#
# callback = MemorizationCallback(monitor, lambda module: module.generate(512))
# trainer = lightning.Trainer(max_steps=steps, callbacks=[callback])
# ```
#
# Any other framework will do if it can hand over samples as arrays. `monitor.state_dict()` goes into your checkpoints
# and `load_state_dict` takes it back; `monitor.table()` is a data frame of all looks, and `monitor.figure()` the figure
# above.
#
# ## What it cannot see
#
# - **Copies in another sense.** Distances are taken between the numbers that you hand over, so a picture that is
#   shifted by one pixel is far from its original. To see such copies, give `features=`, a function that maps pictures
#   to features in which small shifts do not matter.
# - **Copies of near-duplicates.** Where a training point has a near-duplicate, a copy of it is just as near to the
#   other one and does not count. The monitor warns of such data, and reports at every look how many samples this
#   concerns.
# - **Copies rarer than it can detect.** A model that copies one picture in ten thousand is not stopped by 512 samples.
# - **Held-out data of another kind.** They stand for fresh data: draw them from the same source, at random.
# - **Samples that are not independent.** Draw new noise for every sample and every look.
#
# **Next.** [Measures of copying](copying.ipynb) compares the share of copies with other measures that people use, where
# the truth is known.
