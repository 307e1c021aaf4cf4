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
# **What you will see.** A U-Net learns images. The distance between its samples and real images falls at a time that hardly
# depends on the number $n$ of training images. Copies come at a time that grows with $n$, and before them the training and
# the held-out loss part. The smallest sets have no window between the two, and from then on it widens. A stricter judge,
# who looks at samples one by one, sees them become good later in larger sets. Figures 2 and 6 of
# {cite:t}`bonnaire2025`, with digits in place of faces.
#
# **You need** [the mixture](mixture), where the same is seen on data whose law is known. **Reading time**: ten minutes.

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
from diffmemlib.companion.sweeps.tables import sweep_results
from diffmemlib.metrics.digit_features import DIMENSION

runs = sweep_results(estimate.SWEEP)
c = runs[0].config
n_values = sorted({r.config["n"] for r in runs})
example = next(r for r in runs if r.config["n"] == 128)
for name in ("side", "width", "batch", "samples", "sampling_steps", "dropout", "lr", "scale"):
    glue(f"images-{name}", f"{c[name]:g}", display=False)
ends = sorted(r.config["steps"] / r.config["n"] for r in runs)
glue("images-tau-n", f"{ends[0]:.0f} to {ends[-1]:.0f}", display=False)
glue("images-n-first", n_values[0], display=False)
glue("images-n-last", n_values[-1], display=False)
distance = estimate.quality(runs)
gen, mem = (scaling.by_size(find(runs), runs) for find in (estimate.tau_gen, scaling.tau_mem))
glue("images-window-from", min(n for n in mem if n in gen and 1.5 * gen[n] < mem[n]), display=False)
glue("images-good", f"{estimate.GOOD[distance]:g}", display=False)
glue("images-copies", f"{scaling.F_MEM:g}", display=False)
glue("images-early", f"{estimate.EARLY[distance]:g}", display=False)
glue("images-parted", f"{scaling.LOSS_GAP:.0%}", display=False)
glue("images-hours", f"{fsum(r.provenance['seconds'] for r in runs) / 3600:.1f}", display=False)
glue("images-features", DIMENSION, display=False)
floor = estimate.floor(c["samples"], c["side"])[0] if distance == "fd" else float("nan")
glue("images-floor", f"{floor:.3f}", display=False)
# %% [markdown]
# ## The experiment
#
# The paper trains on greyscale faces of $32 \times 32$ pixels, which nobody may hand on. Here the images are the MNIST
# digits that a package ships, averaged to {glue:text}`images-side` $\times$ {glue:text}`images-side` pixels: a pool to
# take training sets from, held-out digits, and a third part that trains the network behind the quality measure, without a
# digit in common. The network is the paper's U-Net, with $W =$ {glue:text}`images-width` channels at the finest
# resolution and dropout {glue:text}`images-dropout`.
#
# So that a CPU gets there, the optimiser is Adam, at a learning rate of {glue:text}`images-lr` with
# {glue:text}`images-batch` images a step, and pixels are scaled by {glue:text}`images-scale`, to about unit variance. Runs
# with $n$ from {glue:text}`images-n-first` to {glue:text}`images-n-last` have {glue:text}`images-tau-n` steps for each of
# their $n$ images, {glue:text}`images-hours` hours on one core in all; they were budgeted from the speed of a step, to see
# $f_\mathrm{mem}$ rise where that takes less than two hours. At every milestone {glue:text}`images-samples`
# images are sampled by DDIM in {glue:text}`images-sampling_steps` steps.
#
# Quality is the Fréchet distance to the held-out digits, between Gaussians fitted to {glue:text}`images-features` features of a small network.
# Its unit is the total variance of these features over digits: 1 is a large distance, and as many real digits as we
# sample are at {glue:text}`images-floor`. It is no FID, which takes its features from Inception.
#
# ## Both times

# %% mystnb={"figure": {"caption": "A U-Net learns digits: Fr\u00e9chet distance to held-out digits (top) and memorised fraction (bottom), against training time and against training time divided by $n$. Bands: the 95% interval of each measurement.", "name": "fig-images"}, "image": {"alt": "The Frechet distance falls at the same training time for every n; the memorised fraction rises later for larger n, and against tau over n the rises coincide."}} tags=["remove-input"]
figure, table = quality_and_memory(runs, metrics=(distance, "f_mem"))
plt.show()

# %% tags=["remove-input"]
beside(estimate.SWEEP, lambda lower: quality_and_memory(lower, metrics=(estimate.quality(lower), "f_mem")))
record(runs, table, "images")

# %% [markdown]
# On the left the distances of all $n$ fall together; the memorised fraction rises one $n$ after the other. Between the two,
# from $n =$ {glue:text}`images-window-from` on, lies a window in which the samples are good and new. On the right, against $\tau/n$, the rises would coincide if
# $\tau_\mathrm{mem}$ were exactly proportional to $n$; the exponent below says how nearly they do.

# %% mystnb={"figure": {"caption": "The three times of every run: samples become good ($\\tau_\\mathrm{gen}$), held-out and training loss part ($\\tau_\\mathrm{overfit}$), first copies ($\\tau_\\mathrm{mem}$). Filled: seen. An open triangle is a bound: one that points up, where the run ended before; one that points down, where it was so at the first look.", "name": "fig-images-times"}, "image": {"alt": "Three rising or flat lines of times against n: tau_gen is nearly flat; tau_overfit and tau_mem rise with n, and tau_mem is the later of the two."}} tags=["remove-input"]
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
# $\tau_\mathrm{gen}$ is the first time that the distance (a running median of three) is below {glue:text}`images-good`.
# Its exponent in $n$ is {glue:text}`images-gen`; {glue:text}`images-reached` runs come below that level, and the others copy
# first. $\tau_\mathrm{mem}$, the first time that $f_\mathrm{mem} =$ {glue:text}`images-copies`, has the exponent
# {glue:text}`images-mem`, and the best collapse of the curves is in $\tau/n^a$ with $a =$ {glue:text}`images-collapse`.
#
# The paper has 1, under SGD; under SGD these networks on these digits have {glue:text}`images-sgd` ([](images-adam.ipynb)).
# Adam divides every step by the size of the gradient, noise included; what that does to the law where batches are full is
# on the [conditional](conditional.ipynb) page.
#
# ## What counts as good
#
# The level of the distance at which samples count as good is a choice, and a level that is too high calls scribbles good.
# So a second judge looks at the samples one by one. It takes a sample for a digit if two things hold. The sample is at least
# as near to its nearest real digit as that digit's neighbour number {glue:text}`images-ball` is. And at least
# {glue:text}`images-agreeing` of the sample's {glue:text}`images-neighbours` nearest real digits are of one class. All
# distances are between pixels, and none of these digits is in a training set, so this judge shares nothing with the network
# behind the Fréchet distance, and gains nothing from a copy that it would not gain from any other digit.

# %% mystnb={"figure": {"caption": "Share of the kept samples that the judge takes for a digit, against the Fr\u00e9chet distance of all samples of that milestone, which falls to the right. Means of the milestones of this page's runs and of those of [](images-adam.ipynb), with 95% intervals. Dashed: real digits. Dotted: the level chosen.", "name": "fig-images-judged"}, "image": {"alt": "For every n the share that is recognised rises from zero at a distance of ten to about a half and more at the smallest distances. At one distance it is larger for small n. The level chosen is where the curve of the largest n has begun to rise."}} tags=["remove-input"]
every = runs + sweep_results("images-sgd") if distance == "fd" else []  # the judge knows digits only
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
# The judge is strict: of real digits it recognises {glue:text}`images-real`. At one and the same distance it recognises
# more samples of a small training set than of a large one. The distance compares two clouds of samples, so it also asks for
# variety, and the judge does not. And a copy is a digit, too. So the level is read off the runs with $n \ge$
# {glue:text}`images-large`, at the milestones before $\tau_\mathrm{mem}$. At a distance of {glue:text}`images-early` the
# judge recognises {glue:text}`images-share-half` of their samples. At {glue:text}`images-good`, the level that this book takes, it
# recognises {glue:text}`images-share`, which is {glue:text}`images-share-of-real` of what it recognises of real digits. Lower
# levels would be better still, but fewer runs reach them.
#
# The time at which the distance comes below each level has these exponents in $n$:

# %% tags=["remove-input"]
by_level = estimate.tau_gen_by_level(runs, levels) if distance == "fd" else None
if by_level is not None:
    by_level.insert(1, f"recognised, n ≥ {recognised.LARGE}", [f"{shares[level]:.0%}" for level in levels])
frame("Exponent of tau_gen in n, by level", by_level) if by_level is not None else None

# %% [markdown]
# The stricter the level, the fewer of the small sets pass before they copy, and the wider is the interval.
#
# The judge also gives a time of its own: the first time that it recognises two thirds as many samples as real digits. This
# time grows with $n$, with the exponent {glue:text}`images-strict` under Adam and {glue:text}`images-strict-sgd` under
# SGD. So on these digits "the time at which samples become good does not depend on $n$" holds of the cloud of samples as
# the Fréchet distance sees it, and not of single samples. Two explanations are possible. Larger sets may be learned more
# slowly. Or all sets may follow one path, which reaches good single samples late, and small sets leave it early towards
# their copies, which are digits as well. [](same-noise.ipynb) looks at what two networks make of
# one noise.
#
# ## The losses part first

# %% mystnb={"figure": {"caption": "Loss at $t = 0.01$ on held-out digits (full lines) and on training digits (dashed), five noises each.", "name": "fig-images-losses"}, "image": {"alt": "For each n the held-out loss follows the training loss down, then leaves it and rises, later for larger n."}} tags=["remove-input"]
figure, table = draw.losses(runs)
plt.show()

# %% tags=["remove-input"]
record(runs, table, "images-losses")

# %% [markdown]
# The losses part, by {glue:text}`images-parted` of the held-out loss, well before anything is copied:
# $\tau_\mathrm{mem}/\tau_\mathrm{overfit} =$ {glue:text}`images-lag`, at a time with the exponent
# {glue:text}`images-overfit` in $n$. The loss gap is an early warning that needs no samples. For small $n$ it is too early to
# stop at: there the losses part before the samples are good.
#
# ## Look at them

# %% tags=["remove-input"]
steps = example.samples["step"].tolist()
new = max(s for s in steps if s < scaling.tau_mem([example])[0].tau)  # the end of the window
show(
    draw.time_scrubber(example, new, columns=9),
    "images-scrubber",
    "Slider over training time: samples above the training digits nearest to them, copies framed, and below them the "
    "Frechet distance and the memorised fraction with a marker at the chosen time.",
    height=640,
)

# %% tags=["remove-input"]
record([example], example.curves, "images-scrubber")

# %% mystnb={"figure": {"caption": "Samples of $n = 128$ at the end of the window, and at the end of training: each above the training digit nearest to it. Framed: memorised, with $d_1 < d_2/3$.", "name": "fig-images-grid"}, "image": {"alt": "Two bands of digits in two rows each. In the first, samples differ from their nearest training digits; in the second several are framed and equal to them."}} tags=["remove-input"]
figure, table = draw.grid(example, [new, steps[-1]])
plt.show()

# %% tags=["remove-input"]
record([example], table, "images-grid")

# %% [markdown]
# ## The threshold k

# %% mystnb={"figure": {"caption": "Memorised fraction against $\\tau/n$ for three thresholds of $d_1/d_2$. Dotted: the largest share of held-out digits that meet the criterion by chance.", "name": "fig-images-k"}, "image": {"alt": "Three panels, k = 1/4, 1/3, 1/2: curves of all n rise together in tau over n, higher for larger k."}} tags=["remove-input"]
fresh = baseline.fresh_shares(runs)
figure, table = thresholds(runs, fresh)
plt.show()

# %% tags=["remove-input"]
record(runs, table, "images-k")

# %% tags=["remove-input"]
glue("fresh-most", f"{fresh['1/3'].max():.2%}", display=False)
glue("fresh-half", f"{fresh['1/2'].max():.1%}", display=False)

# %% [markdown]
# A sample counts as a copy when its nearest training image is nearer than $k$ times the second. A larger $k$ counts more,
# and earlier. So do some held-out digits, by chance: at most {glue:text}`fresh-most` at $k = 1/3$ and {glue:text}`fresh-half` at
# $k = 1/2$, for any of these training sets. The exponent of $\tau_\mathrm{mem}$ is {glue:text}`images-half` at $k = 1/2$, beside
# {glue:text}`images-mem` at $k = 1/3$.
#
# ## Claims

# %% tags=["remove-input"]
claims.show(claims.load(chapter="images"))

# %% [markdown]
# ## What differs from the paper
#
# Digits, not faces; Adam, not SGD; a smaller network and smaller batches; scaled pixels; one or two seeds for each $n$
# ([](deviations)).
#
# Runs on a GPU train in bfloat16. At $n =$ {glue:text}`images-half-n` that multiplies $\tau_\mathrm{mem}$ by
# {glue:text}`images-half-mem`, and the time at which the distance falls below {glue:text}`images-early` by
# {glue:text}`images-half-gen`. These are geometric means. Rounding makes the paths part, so they hold what another seed
# would change, too.
#
# The runs of this page have an earlier form of the network and of the sampler. {glue:text}`images-network-runs` of them,
# at $n = 32$, were made with those of the paper's code as well, which multiplies $\tau_\mathrm{mem}$ by
# {glue:text}`images-network-mem`, and the time at which the distance falls below {glue:text}`images-early` by
# {glue:text}`images-network-gen`. So few runs cannot tell this from what another seed changes.
#
# The runs of the paper's tier, on CelebA, can be made. Figures and times are then those of the FID, and the sentences still
# those of digits.
