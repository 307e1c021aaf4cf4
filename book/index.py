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
# # Why Diffusion Models Don't Memorize: a reproducible companion
#
# A diffusion model that copies its training images may leak private pictures and infringe copyright. The risk is
# greatest where images are scarce, because a large network has room to store every one of them. Finding out by trial
# when copies begin takes many long training runs. **How long may you train before copies appear?**
#
# Tony Bonnaire, Raphaël Urfin, Giulio Biroli and Marc Mézard ([paper](https://arxiv.org/abs/2505.17638),
# [code](https://github.com/tbonnair/Why-Diffusion-Models-Don-t-Memorize)) found that training time has two scales. At
# $\tau_\mathrm{gen}$ the samples become good, and this time does not depend on the number $n$ of training images. At
# $\tau_\mathrm{mem}$ copies of training images appear, and this time is proportional to $n$. So the more images you
# have, the wider the window between the two times, in which the model generates new images. This book [tests their
# statements](claims.ipynb) with its own code and runs. The two sliders set $n$ and the training time. Move them to see
# it happen.

# %% tags=["remove-input"]
import matplotlib.pyplot as plt
from myst_nb import glue

from diffmemlib.companion import claims
from diffmemlib.companion.estimators import images as estimate
from diffmemlib.companion.figures import first_page, images as draw
from diffmemlib.companion.figures.record import record
from diffmemlib.companion.sweeps.tables import sweep_results

runs = [r for r in sweep_results(estimate.SWEEP) if r.config["seed"] == 0]
verdicts = [claim.verdict for claim in claims.load()]
glue("first-counts", claims.tally(verdicts), display=False)
glue("first-claims", len(verdicts), display=False)
reached = {run["n"]: run["gen"] for run in first_page.told(runs) if run["gen"]}
for name, values in (("gen-n", map(str, reached)), ("gen", (f"{step:,.0f}" for step in reached.values()))):
    *head, last = values
    glue(f"first-{name}", f"{', '.join(head)} and {last}" if head else last, display=False)
first_page.show(runs)

# %% [markdown]
# *Twelve samples of a U-Net, each above the training image nearest to it; at each milestone of the training they are
# drawn from new noise. The charts show the distance of the samples from real images, the share of copies, and the
# losses, against training time. A sample is called a copy, and framed, if it is less than a third as far from its
# nearest training image as from the second nearest. The green area is the window between $\tau_\mathrm{gen}$ and
# $\tau_\mathrm{mem}$. We say that $\tau_\mathrm{gen}$ is reached when the median distance of three milestones in a row
# falls below the dashed level. For small $n$ there is no window: copies appear before the samples are good. In these
# runs $\tau_\mathrm{gen}$ came at step {glue:text}`first-gen` for $n$ = {glue:text}`first-gen-n`. [](images.ipynb) has
# the experiment.*

# %% tags=["remove-input"]
record(runs, first_page.curves(runs), "first-page")

# %% [markdown]
# ## New or copied?
#
# You cannot see whether a digit is new: a new 3 looks like an old 3. With Chinese characters you can, because each is
# made of parts, and different parts make a different character. Here are samples of two networks that were trained
# equally long, each above the training character nearest to it. Which of the two networks saw few characters?

# %% mystnb={"figure": {"caption": "Samples of two networks after the same training time, each above the training character nearest to it; copies are framed. [](characters.ipynb) has the experiment.", "name": "fig-first-characters"}, "image": {"alt": "Two bands of white Chinese characters on black. Above, for few training characters, most samples are the same character as the one below them. Below, for more training characters, samples are made of similar parts, and differ from the character below them."}} tags=["remove-input"]
pair = sorted(sweep_results("ideographs"), key=lambda r: r.config["n"])
figure, table = draw.by_size(pair, int(pair[0].samples["step"][-1]))
plt.show()

# %% tags=["remove-input"]
record(pair, table, "first-characters")

# %% [markdown]
# ## Where to go next
#
# **I am in a hurry.** Read [](one-dimension), where both times are seen in a single picture. It takes five minutes.
# Then look at the table of [claims](claims.ipynb), which sets each of {glue:text}`first-claims` statements of the paper
# beside what these runs measured. Of these, {glue:text}`first-counts`. Another table lists, for [each figure of the
# paper](sec-paper-figures), the figure of ours that redraws it.
#
# **I know the theory.** [](live-theory.md) computes the exact learning curves of the random-features model in your
# browser while you move its sliders. [](score-error.ipynb) and [](frozen-noise.ipynb) treat questions that the paper
# leaves open.
#
# **I have a small data set.** [One command](your-data.ipynb) trains small models on parts of your data and predicts how
# long you may train on all of it. [A monitor](monitor.ipynb) in your own training loop tells when copies begin, and
# [](training-time.ipynb) measures which settings buy time. [](questions.ipynb) asks whether other cures do as well as
# stopping in time.
#
# ## The argument in one page
#
# **What training could learn.** A diffusion model learns the score $\nabla \log P_t$ of noised data and follows it backwards
# from noise to samples {cite:p}`ho2020,song2021sde`. Two distributions compete: the population $P_0$ that the data came
# from, and the $n$ training points themselves. The training loss prefers the second, whose score is known in closed form
# and leads back to the training points. [](one-dimension) draws both.
#
# **What training learns first.** The score of the population is smooth. The score of the training set has the same
# coarse shape, but it also swings from one training point to the next, and these swings become finer as $n$ grows.
# Gradient descent learns smooth functions first. The coarse part is in place at $\tau_\mathrm{gen}$, and the fine part
# takes a time proportional to $n$. Training itself then acts as a regulariser: where such a window exists, stopping in
# it gives a good model, even if the network is large enough to memorise the training set.
#
# **What the experiments show.** On a [Gaussian mixture](mixture), where the distribution is known exactly, the
# divergence falls at a time that does not depend on $n$, and the memorised fractions of all $n$ fall nearly on one
# curve when time is divided by $n$. These are full batches: every point is seen equally often whatever $n$, so
# repetition is not the cause there. [](conditional.ipynb) asks which class of a conditional network is memorised first.
# [](sampling) asks how far the sampler may be shortened before it changes what is measured. A U-Net on
# [images](images.ipynb) of digits again makes copies later for larger $n$, and the held-out loss separates from the
# training loss before anything is copied. Whether $\tau_\mathrm{gen}$ is independent of $n$ depends there on how
# quality is judged. On [characters](characters.ipynb) you see at a glance which samples are copies.
# [](images-adam.ipynb) trains the network with both optimisers. [](images-full-batch.ipynb) shows every image in every
# step, and finds that on these images repetition explains a good part of the delay after all. [](images-capacity.ipynb)
# widens the network, as [](mixture-width.ipynb) does for the mixture.
#
# **What theory adds.** For random features in high dimension the whole history of training can be computed exactly. The
# eigenvalues of one matrix form two groups, one for the population and one for the training set, and each of the two
# times is inversely proportional to the smallest eigenvalue of its group. [](features-dynamics) compares simulations
# with the exact curves, [](features-spectrum) derives the spectrum, and [](score-error) has the losses at every
# training time. [](frozen-noise.ipynb) asks how many different noises each training point needs before more of them
# make no difference, and whether weight decay can replace early stopping. [](features-adam.ipynb) trains the same model
# with Adam.
#
# ## What this book is
#
# This is a companion to a paper {cite:p}`bonnaire2025` that was presented at NeurIPS 2025. It was written independently
# of its authors.
#
# Figures are drawn when the book is built, most of them from stored training runs, the others from stored simulations
# or from the theory. A folded block under each figure names the runs behind it, the device, the time that they took,
# and the command that makes them again. The numbers of each figure can be downloaded. Where the paper's text and its
# code differ, or both leave a choice open, the page of [deviations](deviations) says what we chose.
#
# The runs come in **tiers**: `smoke` takes seconds and serves the tests, `laptop` takes minutes to hours on a CPU core and
# is what the stored results hold, and `gpu` and `paper` are for larger machines. The code is the same, the numbers differ,
# and every figure says its tier. `README.md` in the repository has two commands that build the book and test it;
# [](reproduce.md) goes from a laptop to a cluster.
