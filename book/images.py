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
# # Images: training-set size
#
# **What you will see.** A U-Net learns images. The distance between its samples and real images falls at the same time
# for all numbers $n$ of training images, although too few runs reach a strict level for us to measure this precisely.
# Copies appear at a time that grows with $n$, and before them the held-out loss separates from the training loss. The
# smallest training sets have no window in which samples are good and new; for larger ones the window opens and widens.
# A stricter judge, which looks at the samples one by one, sees them become good later when the training set is larger.
# The page redraws Figures 2 and 6 of {cite:t}`bonnaire2025`, with digits in place of faces.
#
# **You need** [the mixture](mixture), where the same happens with data whose distribution is known. **Reading time**:
# ten minutes.

# %% tags=["remove-input"]
from math import fsum

import matplotlib.pyplot as plt
from myst_nb import glue

from diffmemlib.companion import claims
from diffmemlib.companion.estimators import baseline, images as estimate, recognised, scaling
from diffmemlib.companion.figures import images as draw
from diffmemlib.companion.figures.curves import quality_and_memory, thresholds, times
from diffmemlib.companion.figures.interactive import show
from diffmemlib.companion.figures.record import record
from diffmemlib.companion.figures.tables import estimates, frame
from diffmemlib.companion.figures.tiers import beside
from diffmemlib.companion.sweeps.tables import is_stored, sweep_results
from diffmemlib.metrics.digit_features import DIMENSION

runs = sweep_results(estimate.SWEEP)
c = runs[0].config
n_values = sorted({r.config["n"] for r in runs})
example = next(r for r in runs if r.config["n"] == 128)
glue("images-batch", scaling.batch_size(runs), display=False)
for name in ("side", "width", "samples", "sampling_steps", "dropout", "lr", "scale"):
    glue(f"images-{name}", f"{c[name]:g}", display=False)
ends = sorted(r.config["steps"] / r.config["n"] for r in runs)
glue("images-tau-n", f"{ends[0]:,.0f} to {ends[-1]:,.0f}", display=False)
glue("images-n-first", n_values[0], display=False)
glue("images-n-last", n_values[-1], display=False)
distance = estimate.quality(runs)
gen, mem = (scaling.by_size(find(runs), runs) for find in (estimate.tau_gen, scaling.tau_mem))
glue("images-window-from", f"{min(n for n in mem if n in gen and 1.5 * gen[n] < mem[n]):g}", display=False)
glue("images-good", f"{estimate.GOOD[distance]:g}", display=False)
glue("images-copies", f"{scaling.F_MEM:g}", display=False)
glue("images-early", f"{estimate.EARLY[distance]:g}", display=False)
glue("images-parted", f"{scaling.LOSS_GAP:.0%}", display=False)
glue("images-hours", f"{fsum(r.provenance['seconds'] for r in runs) / 3600:.1f}", display=False)
glue("images-features", DIMENSION, display=False)
floor = estimate.floor(c["samples"], c["side"])[0] if distance == "fd" else float("nan")
glue("images-floor", f"{floor:.3f}", display=False)
# %% mystnb={"figure": {"caption": "Samples of $n = 128$ when they first count as good, at the end of the window, and at the end of training: each above the training digit nearest to it. Framed: memorised, that is, less than a third as far from the nearest training digit as from the second nearest.", "name": "fig-images-grid"}, "image": {"alt": "Three bands of digits in two rows each. In the first, samples are digits with some scribbles among them; in the second they differ from their nearest training digits. In the third a few are framed as copies, and more can hardly be told apart from their nearest training digits."}} tags=["remove-input"]
steps = example.samples["step"].tolist()
new = max(s for s in steps if s < scaling.tau_mem([example])[0].tau)  # the end of the window
curve, level = example.curve(distance)["value"], estimate.good(example, distance)
first_good = next((s for s in steps if s >= estimate.tau_gen([example])[0].tau and curve.loc[s] <= level), new)
figure, table = draw.grid(example, sorted({first_good, new, steps[-1]}))
plt.show()

# %% tags=["remove-input"]
record([example], table, "images-grid")

# %% [markdown]
# ## The experiment
#
# The paper trains on greyscale faces of $32 \times 32$ pixels, whose licence does not allow us to pass them on. Here
# the images are MNIST digits, averaged down to {glue:text}`images-side` $\times$ {glue:text}`images-side` pixels. They
# are split into three parts that have no image in common: one from which training sets are drawn, one that is held out,
# and one that trains the network behind the quality measure. The model is the paper's U-Net, with $W =$
# {glue:text}`images-width` channels at the finest resolution and dropout {glue:text}`images-dropout`.
#
# To make the experiment fit on a CPU, the optimiser is Adam, with a learning rate of {glue:text}`images-lr` and
# {glue:text}`images-batch` images in each step. The pixels are scaled by {glue:text}`images-scale`, to about unit
# variance. The runs have $n$ from {glue:text}`images-n-first` to {glue:text}`images-n-last` and last
# {glue:text}`images-tau-n` times $n$ steps, which is long enough to see $f_\mathrm{mem}$ rise. Together they took
# {glue:text}`images-hours` hours on one core. At every milestone, {glue:text}`images-samples` images are sampled by
# DDIM in {glue:text}`images-sampling_steps` steps.
#
# Quality is measured by the Fréchet distance to the held-out digits. A small network turns each image into
# {glue:text}`images-features` features; one Gaussian is fitted to the features of the samples and one to those of the
# held-out digits, and the Fréchet distance is the distance between these two Gaussians. Its unit is the total variance
# of the features over digits, so 1 is a large distance. For as many real digits as we have samples, the distance is
# {glue:text}`images-floor`. This is not the FID, which takes its features from the Inception network.
#
# ## Both times

# %% mystnb={"figure": {"caption": "A U-Net learns digits: Fr\u00e9chet distance to held-out digits (top) and memorised fraction (bottom), against training time and against training time divided by $n$. Dotted: the levels that define $\\tau_\\mathrm{gen}$ and $\\tau_\\mathrm{mem}$; dots mark where the curves reach them. Dashed: the share of unseen data that meet the criterion of copies by chance. Bands: the 95% interval of each measurement.", "name": "fig-images"}, "image": {"alt": "The Frechet distance falls at the same training time for every n. The memorised fraction rises later for larger n; against tau over n the rises come closer, and larger n still rises somewhat later."}} tags=["remove-input"]
fresh = baseline.fresh_shares(runs)
figure, table = quality_and_memory(
    runs, metrics=(distance, "f_mem"), good=estimate.GOOD[distance], fresh=fresh["1/3"].max()
)
plt.show()

# %% tags=["remove-input"]
beside(estimate.SWEEP, lambda lower: quality_and_memory(lower, metrics=(estimate.quality(lower), "f_mem")))
record(runs, table, "images")

# %% [markdown]
# Against training time, the distances of all $n$ fall together, while the memorised fraction rises later for each
# larger $n$. From $n =$ {glue:text}`images-window-from` on there is a window between the two, in which the samples are
# good and new. Against $\tau/n$, the rises would coincide if $\tau_\mathrm{mem}$ were exactly proportional to $n$. The
# exponent below shows how nearly they do.

# %% mystnb={"figure": {"caption": "The three times of every run: samples become good ($\\tau_\\mathrm{gen}$), held-out and training loss separate ($\\tau_\\mathrm{overfit}$), and first copies appear ($\\tau_\\mathrm{mem}$). Filled: measured. An open triangle is a bound: it points up where the run ended before that time, and down where the level was already passed at the first milestone. Shaded: what the network makes in each region of $n$ and training time, where both of its limits were measured.", "name": "fig-images-times"}, "image": {"alt": "Times against n: tau_overfit and tau_mem rise with n, and tau_mem is the later of the two. tau_gen is measured for the larger n only, for the smaller ones there are lower bounds."}} tags=["remove-input"]
figure, table = times(scaling.sizes(runs), {name: f(runs) for name, f in estimate.TIMES.items()})
plt.show()

# %% tags=["remove-input"]
record(runs, table, "images-times")

# %% tags=["remove-input"]
fits = {
    "gen": estimate.tau_gen_exponent(),
    "overfit": scaling.overfit_exponent(estimate.SWEEP),
    "mem": scaling.tau_mem_exponent(estimate.SWEEP),
    "half": scaling.tau_mem_exponent(estimate.SWEEP, "f_mem_1/2"),
    "collapse": scaling.collapse(estimate.SWEEP),
    "lag": scaling.overfitting_lag(estimate.SWEEP),
    "sgd": scaling.tau_mem_exponent("images-sgd"),
    "half-mem": estimate.longer("images-bf16", "tau_mem"),
    "half-gen": estimate.longer("images-bf16", "tau_early"),
    "network-mem": estimate.longer("images-network", "tau_mem"),
    "network-gen": estimate.longer("images-network", "tau_early"),
}
glue("images-network-runs", str(len(fits["network-mem"].runs)), display=False)
glue("images-half-n", " and ".join(str(r.config["n"]) for r in sweep_results("images-bf16")), display=False)
reached = sum(time.status == "interpolated" for time in estimate.tau_gen(runs))
glue("images-reached", f"{reached} of {len(runs)}", display=False)
for name, fit in fits.items():
    glue(f"images-{name}", str(fit), display=False)
shown = {
    "tau_gen": fits["gen"],
    "tau_overfit": fits["overfit"],
    "tau_mem": fits["mem"],
    "collapse of f_mem": fits["collapse"],
}
estimates("Exponents in n, Adam", shown)

# %% [markdown]
# We take $\tau_\mathrm{gen}$ as the first time at which the distance (a running median of three values) is below
# {glue:text}`images-good`. Its exponent in $n$ is {glue:text}`images-gen`. Its interval is wide if few runs come below
# that level before they make copies; here {glue:text}`images-reached` do. We take $\tau_\mathrm{mem}$ as the first time
# at which $f_\mathrm{mem}$ reaches {glue:text}`images-copies`. Its exponent is {glue:text}`images-mem`, and the curves
# collapse best in $\tau/n^a$ with $a =$ {glue:text}`images-collapse`.
#
# The paper's exponent is 1, and its optimiser is SGD. With SGD, our networks on these digits have the exponent
# {glue:text}`images-sgd` ([](images-adam.ipynb)). One reason may be that Adam divides each component of the step by the
# typical size of that component of the gradient. This size includes the gradient's noise, so the length of Adam's steps
# depends on the noise, and that of SGD's does not. The page on the [conditional model](conditional.ipynb) shows how
# this changes the exponent when batches are full.
#
# ## What counts as good
#
# At which distance do samples count as good? The level is a choice, and a level that is too high would call scribbles
# good. So a second judge looks at the samples one by one, and recognises a sample as a digit if two conditions hold.
# First, the sample is at least as near to its nearest real digit as that digit is to its own neighbour number
# {glue:text}`images-ball`. Second, at least {glue:text}`images-agreeing` of the sample's {glue:text}`images-neighbours`
# nearest real digits belong to one class. The real digits are those of the other two parts, so none of them is in a
# training set, and all distances are Euclidean distances between pixels. The judge therefore uses no learned features,
# and a copy has no advantage over any other digit.

# %% mystnb={"figure": {"caption": "Share of the stored samples that the judge recognises as digits, against the Fr\u00e9chet distance of all samples at the same milestone; the distance falls to the right. Means of the milestones of this page's runs and of those of [](images-adam.ipynb), with 95% intervals. Dashed: real digits. Dotted: the level chosen.", "name": "fig-images-judged"}, "image": {"alt": "For every n the share that is recognised rises from zero at a distance of ten to about a half and more at the smallest distances. At one distance it is larger for small n. The level chosen is where the curve of the largest n has begun to rise."}} tags=["remove-input"]
judged = distance == "fd" and is_stored("images-sgd", c["tier"])  # the judge knows digits only
every = runs + sweep_results("images-sgd", c["tier"]) if judged else []
if every:
    figure, table = draw.judged(every)
    plt.show()

# %% tags=["remove-input"]
record(every, table, "images-judged") if every else None

# %% tags=["remove-input"]
levels = (1.0, 0.5, 0.3, 0.2, 0.15, 0.1)
shares = dict.fromkeys((*levels, estimate.GOOD[distance], estimate.EARLY[distance]), float("nan"))
if every:
    known = recognised.milestones(every)
    shares = {level: recognised.share_at(level, known) for level in shares}
    strict = {sweep: recognised.exponent_in_n(sweep) for sweep in (estimate.SWEEP, "images-sgd")}
    glue("images-strict", str(strict[estimate.SWEEP]), display=False)
    glue("images-strict-sgd", str(strict["images-sgd"]), display=False)
glue("images-real", f"{recognised.share_of_real(c['side']) if every else float('nan'):.0%}", display=False)
glue("images-share", f"{shares[estimate.GOOD[distance]]:.0%}", display=False)
glue("images-share-half", f"{shares[estimate.EARLY[distance]]:.0%}", display=False)
relative = shares[estimate.GOOD[distance]] / recognised.share_of_real(c["side"]) if every else float("nan")
glue("images-share-of-real", f"{relative:.0%}", display=False)
glue("images-ball", recognised.BALL, display=False)
glue("images-agreeing", recognised.AGREEING, display=False)
glue("images-neighbours", recognised.NEIGHBOURS, display=False)
glue("images-large", recognised.LARGE, display=False)

# %% [markdown]
# The judge is strict: even of real digits it recognises only {glue:text}`images-real`. At the same distance, it
# recognises more samples when the training set is small. There are two reasons. The Fréchet distance compares whole
# sets of samples, so it also rewards variety, while the judge does not; and a copy is a recognisable digit, too. We
# therefore choose the level from the runs with $n \ge$ {glue:text}`images-large`, at the milestones before
# $\tau_\mathrm{mem}$. At a distance of {glue:text}`images-early` the judge recognises {glue:text}`images-share-half` of
# their samples. At {glue:text}`images-good`, the level that this book uses, it recognises {glue:text}`images-share`,
# which is {glue:text}`images-share-of-real` of its share for real digits. A lower level would be stricter still, but
# fewer runs reach it.
#
# The time at which the distance comes below each level has these exponents in $n$:

# %% tags=["remove-input"]
by_level = estimate.tau_gen_by_level(runs, levels) if distance == "fd" else None
if by_level is not None:
    by_level.insert(1, f"recognised, n ≥ {recognised.LARGE}", [f"{shares[level]:.0%}" for level in levels])
frame("Exponent of tau_gen in n, by level", by_level) if by_level is not None else None

# %% [markdown]
# The stricter the level, the fewer of the runs with small $n$ reach it before they make copies, and the wider the
# interval becomes.
#
# The judge also defines a time of its own: the first time at which the share of samples that it recognises is two
# thirds of its share for real digits. This time has the exponent {glue:text}`images-strict` in $n$ under Adam and
# {glue:text}`images-strict-sgd` under SGD, so it grows with $n$. Compare these two with the exponents of the table,
# which belong to the set of samples as a whole. Part of the difference may be that the judge's threshold is stricter:
# at the distance {glue:text}`images-good` it recognises only {glue:text}`images-share-of-real` of its share for real
# digits. Two other explanations are possible. Larger training sets may be learned more slowly. Or training may follow
# the same path for every $n$, and single samples may become good only late on this path. With a small set the network
# then leaves the path early and makes copies, which are recognised as digits as well. [](same-noise.ipynb) compares
# what two networks make of the same noise.
#
# ## The losses separate first
#
# Is there a sign of copies before they appear? The figure has the losses of the same runs.

# %% mystnb={"figure": {"caption": "Loss at $t = 0.01$ on held-out digits (full lines) and on training digits (dashed), against training time and against training time divided by $n$. Dots on the held-out loss: $\\tau_\\mathrm{gen}$ (blue) and $\\tau_\\mathrm{mem}$ (orange); means over five noises for each digit.", "name": "fig-images-losses"}, "image": {"alt": "First panel: for each n the held-out loss follows the training loss down, then leaves it and rises, later for larger n. Second panel: against tau over n, the places where it leaves lie near each other."}} tags=["remove-input"]
figure, table = draw.losses(runs)
plt.show()

# %% tags=["remove-input"]
record(runs, table, "images-losses")

# %% [markdown]
# Let $\tau_\mathrm{overfit}$ be the time at which the held-out loss exceeds the training loss by
# {glue:text}`images-parted` of the held-out loss. It comes well before anything is copied:
# $\tau_\mathrm{mem}/\tau_\mathrm{overfit} =$ {glue:text}`images-lag`. Its exponent in $n$ is
# {glue:text}`images-overfit`. The gap between the losses is an early warning that needs no samples. For small $n$ it is
# not a good rule for stopping, because there the losses separate before the samples are good.
#
# ## Look at the samples
#
# {numref}`fig-images-grid` shows the samples at three moments. The slider has the whole training: compare each sample
# with the training digit below it.

# %% tags=["remove-input"]
show(
    draw.time_scrubber(example, new, columns=9),
    "images-scrubber",
    "Slider over training time: samples above the training digits nearest to them, copies framed, and below them the "
    "Fréchet distance and the memorised fraction with a marker at the chosen time.",
    height=640,
)

# %% tags=["remove-input"]
record([example], example.curves, "images-scrubber")

# %% [markdown]
# ## The threshold k
#
# A sample counts as a copy when its nearest training image is less than $k$ times as far away as the second nearest.
# Does the choice of $k$ change the result?

# %% mystnb={"figure": {"caption": "Memorised fraction against $\\tau/n$ for three thresholds of $d_1/d_2$. Dashed: the largest share of unseen digits that meet the criterion by chance.", "name": "fig-images-k"}, "image": {"alt": "Three panels, k = 1/4, 1/3, 1/2: curves of all n rise together in tau over n, higher for larger k."}} tags=["remove-input"]
figure, table = thresholds(runs, fresh)
plt.show()

# %% tags=["remove-input"]
record(runs, table, "images-k")

# %% tags=["remove-input"]
glue("fresh-most", f"{fresh['1/3'].max():.2%}", display=False)
glue("fresh-half", f"{fresh['1/2'].max():.1%}", display=False)

# %% [markdown]
# With a larger $k$ more samples count as copies, and earlier. Some held-out digits meet the criterion by chance: at
# most {glue:text}`fresh-most` of them at $k = 1/3$ and {glue:text}`fresh-half` at $k = 1/2$, for any of these training
# sets. The exponent of $\tau_\mathrm{mem}$ is {glue:text}`images-half` at $k = 1/2$ and {glue:text}`images-mem` at $k =
# 1/3$.
#
# ## Claims

# %% tags=["remove-input"]
claims.show(claims.load(chapter="images"))

# %% [markdown]
# ## What differs from the paper
#
# The data are digits instead of faces. The optimiser is Adam instead of SGD. The network and the batches are smaller,
# the pixels are scaled, and there are one or two seeds for each $n$. [](deviations) has the full list.
#
# Runs on a GPU train in bfloat16. At $n =$ {glue:text}`images-half-n` that multiplies $\tau_\mathrm{mem}$ by
# {glue:text}`images-half-mem`, and the time at which the distance falls below {glue:text}`images-early` by
# {glue:text}`images-half-gen`. These factors are geometric means. Rounding also sends each run on another path, as
# another seed would, so the factors include that change as well.
#
# The runs of this page use an earlier form of the network and of the sampler. {glue:text}`images-network-runs` of them,
# at $n = 32$, were repeated with the exact form of the paper's code. This multiplies $\tau_\mathrm{mem}$ by
# {glue:text}`images-network-mem`, and the time at which the distance falls below {glue:text}`images-early` by
# {glue:text}`images-network-gen`. So few runs cannot distinguish this from the effect of another seed.
#
# If you have CelebA, you can make the runs of the paper's tier. The figures and times then use the FID, but the
# sentences of this page still speak of digits.
#
# **Next.** [Characters](characters.ipynb) repeats the experiment with pictures of which the eye can tell whether they
# are new.
