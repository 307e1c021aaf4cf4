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
# # Conditional generation
#
# **What you will see.** A network that is told the class shows both times. Under SGD its copies appear after about the
# same number of steps as those of a network that is not told. Under Adam in full batches the time grows more slowly
# than $n$, with labels and without. The page then tests what {cite:t}`bonnaire2025` only conjecture: within one
# network, different classes are memorised at different times, and guidance towards a class brings copies sooner.
#
# **You need** [the mixture](mixture). **Reading time**: eight minutes.

# %% tags=["remove-input"]
import matplotlib.pyplot as plt
import pandas as pd
from myst_nb import glue

from diffmemlib.companion import claims
from diffmemlib.companion.estimators import baseline, conditional as estimate, scaling
from diffmemlib.companion.figures import conditional as draw
from diffmemlib.companion.figures.curves import compared, quality_and_memory
from diffmemlib.companion.figures.record import record
from diffmemlib.companion.figures.tables import estimates, frame
from diffmemlib.companion.figures.tiers import beside
from diffmemlib.companion.sweeps.tables import sweep_results, tier_of

runs, with_adam = sweep_results("conditional-sgd"), sweep_results("conditional")
c = with_adam[0].config
glue("cond-lr-sgd", f"{runs[0].config['lr']:g}", display=False)
glue("cond-drop", f"{c['label_drop']:g}", display=False)
glue("cond-lr", f"{c['lr']:g}", display=False)
glue("cond-level", f"{estimate.F_MEM:g}", display=False)
glue("cond-first", f"{scaling.F_MEM:g}", display=False)
# %% [markdown]
# ## The experiment
#
# The two Gaussians of the mixture are two classes. The label $y$ enters the network as a learned vector, added to the
# time embedding, and is hidden in training with probability {glue:text}`cond-drop`, so that one network learns to
# predict the noise in $x$ at time step $k$ both with the label, $\epsilon(x, k \mid y)$, and without it, $\epsilon(x,
# k)$ {cite:p}`ho2022cfg`. Half of the samples are generated for each class, with the guided prediction
#
# ```{math}
# :label: eq-guidance
# \hat\epsilon = \epsilon(x, k \mid y) + w\,\big[\epsilon(x, k \mid y) - \epsilon(x, k)\big] ,
# ```
#
# where $w$ is the strength of guidance; we begin with $w = 0$. The paper states neither the batch nor the optimiser of
# this experiment. We train as the paper trains on the same mixture [without labels](mixture.ipynb): in full batches, by
# SGD at a learning rate of {glue:text}`cond-lr-sgd`.
#
# ## Both times, and the collapse
#
# Do both times depend on $n$ as they do without labels? Each class is measured on its own here.

# %% mystnb={"figure": {"caption": "Conditional network: divergence of class 0 from its true distribution (top, from the gap between learned and exact score) and memorised fraction (bottom), against training time and against training time divided by $n$. Dotted: the level that defines $\\tau_\\mathrm{mem}$; dots mark where the curves reach it. Dashed: the share of unseen data that meet the criterion of copies by chance. Mean over seeds; bands as in the mixture chapter.", "name": "fig-conditional"}, "image": {"alt": "The divergence falls early for every n and rises later for larger n; against tau/n the curves of the memorised fraction lie nearly on each other."}} tags=["remove-input"]
by_chance = baseline.by_chance(runs)
figure, table = quality_and_memory(runs, metrics=("kl_fisher_class_0", "f_mem"), fresh=by_chance)
plt.show()

# %% tags=["remove-input"]
beside("conditional-sgd", lambda lower: quality_and_memory(lower, metrics=("kl_fisher_class_0", "f_mem")))
record(runs, table, "conditional")

# %% tags=["remove-input"]
collapse, exponent = scaling.collapse("conditional-sgd"), scaling.tau_mem_exponent("conditional-sgd")
glue("cond-collapse", str(collapse), display=False)
glue("cond-exponent", str(exponent), display=False)
unlabelled = sweep_results("mixture-n", tier_of("conditional-sgd"))  # of the same size of runs
labelled, plain = scaling.in_common(runs, unlabelled)
glue("cond-factor-sgd", str(scaling.ratio(scaling.tau_mem(labelled), scaling.tau_mem(plain), labelled)), display=False)
glue("cond-plain", str(scaling.exponent_of(scaling.tau_mem(plain), plain)), display=False)
glue("cond-sizes", ", ".join(str(n) for n in sorted(set(scaling.sizes(labelled)))), display=False)

# %% [markdown]
# The curves collapse best in $\tau/n^a$ with $a =$ {glue:text}`cond-collapse`, and the time of the first copies, at
# $f_\mathrm{mem} =$ {glue:text}`cond-first`, has the exponent {glue:text}`cond-exponent`; the paper reports a collapse
# in $\tau/n$. At the same $n$ and seeds ({glue:text}`cond-sizes`) the exponent without labels is
# {glue:text}`cond-plain`, and $\tau_\mathrm{mem}$ with labels is {glue:text}`cond-factor-sgd` times that without them.
# In full batches a network that is told the class does not copy sooner than one that is not. (For Adam in small
# batches, see [](training-time.ipynb).) Both exponents are somewhat above 1, as on the [page of the
# mixture](mixture.ipynb).
#
# ## Adam in full batches
#
# The network above was trained by SGD. Does Adam change how $\tau_\mathrm{mem}$ grows with $n$, and do the labels?

# %% mystnb={"figure": {"caption": "Memorised fraction against $\\tau/n$ of one network on one mixture, in full batches: SGD and Adam, each without labels and with them. Dotted: the level that defines $\\tau_\\mathrm{mem}$; dots mark where the curves reach it.", "name": "fig-conditional-adam"}, "image": {"alt": "Four panels of rising curves. Under SGD they rise together in tau over n, with labels as without; under Adam, with labels or without, those of larger n come earlier."}} tags=["remove-input"]
labelled, adam = scaling.in_common(with_adam, sweep_results("mixture-adam"))
_, sgd = scaling.in_common(adam, unlabelled)
_, labelled_sgd = scaling.in_common(adam, runs)
panels = {"SGD": sgd, "SGD, with labels": labelled_sgd, "Adam": adam, "Adam, with labels": labelled}
figure, table = compared(panels, fresh=by_chance)
plt.show()

# %% tags=["remove-input"]
record([r for group in panels.values() for r in group], table, "conditional-adam")

# %% tags=["remove-input"]
fits = [scaling.exponent_of(scaling.tau_mem(group), group) for group in panels.values()]
factor = scaling.ratio(scaling.tau_mem(labelled), scaling.tau_mem(adam), labelled)
for name, fit in zip(("adam", "labels", "factor"), [*fits[2:], factor], strict=True):
    glue(f"cond-{name}", str(fit), display=False)
of = ", ".join(str(n) for n in sorted(set(scaling.sizes(adam))))
estimates(f"Exponent of tau_mem in n, n = {of}", dict(zip(panels, fits, strict=True)))
by_level = estimate.times_by_level(with_adam).map("{:,.0f}".format).rename(columns="f_mem = {}".format)
frame("Adam with labels: when f_mem reaches a level, in units of n, geometric mean over seeds", by_level)

# %% [markdown]
# Under Adam at a learning rate of {glue:text}`cond-lr` the exponent of $\tau_\mathrm{mem}$ is {glue:text}`cond-adam`
# without labels and {glue:text}`cond-labels` with them; $\tau_\mathrm{mem}$ itself is {glue:text}`cond-factor` times as
# long with labels as without. So it is the optimiser, and not the labels, that lowers the exponent. A single exponent
# does not describe these runs, however. At larger $n$ the first copies come earlier in $\tau/n$, and the fraction then
# rises more slowly, so the curves do not have the same shape. The rest of this page uses the runs under Adam, which
# need far fewer steps.
#
# How can Adam change the exponent? It divides every step by the running size of the gradient. Late in training the mean
# gradient is far smaller than the noise of the drawn times and Gaussians, so this size is mostly noise. If a single
# draw has the noise $\sigma$, a gradient averaged over $m$ draws has the noise $\sigma/\sqrt m$. The steps keep their
# length, but their component along the mean gradient is larger by a factor of $\sqrt m$. With full batches $m = n$, so
# each step on a larger set makes more progress. If equal progress in each step gives $\tau_\mathrm{mem} \propto n$,
# this gives $n/\sqrt n$: an exponent of 1/2 where the gradient is all noise, and of 1 where there is no noise.
#
# ## Classes that differ
#
# The paper expects that $\tau_\mathrm{mem}$ may depend on the class, so that some classes are memorised while others
# are not. We make the classes differ in two ways, at $n = 256$. In one, class 1 has a fifth of the points. In the
# other, it has half of the points and half the standard deviation.

# %% mystnb={"figure": {"caption": "Memorised fraction of each class, $n = 256$: equal classes, class 1 with a fifth of the points, class 1 half as wide. Dotted: the level that defines $\\tau_\\mathrm{mem}$. Mean over seeds; bands as above.", "name": "fig-conditional-classes"}, "image": {"alt": "Three panels of two curves each against training time: equal classes rise together, and classes that differ rise at different times or to different heights."}} tags=["remove-input"]
equal = [r for r in with_adam if r.config["n"] == 256]
share, spread = sweep_results("conditional-share"), sweep_results("conditional-spread")
figure, table = draw.by_class(
    {"equal": equal, "class 1: a fifth of the points": share, "class 1: half as wide": spread}
)
plt.show()

# %% tags=["remove-input"]
record([*equal, *share, *spread], table, "conditional-classes")

# %% tags=["remove-input"]
share_ratio, spread_ratio = (estimate.class_ratio(f"conditional-{what}") for what in ("share", "spread"))
glue("cond-share", str(share_ratio), display=False)
glue("cond-spread", str(spread_ratio), display=False)
estimates(
    f"The time of class 1 over that of class 0, at f_mem = {estimate.F_MEM:g}",
    {"a fifth of the points": share_ratio, "half as wide": spread_ratio},
)

# %% [markdown]
# Class 1 has a fifth of all points, a quarter as many as class 0. It reaches $f_\mathrm{mem} =$ {glue:text}`cond-level`
# in {glue:text}`cond-share` of the time of class 0. If only its own points counted, and the time were proportional to
# their number, the ratio would be 0.25. But the class shares its network with the other one, and contributes a fifth of
# the gradient. For the narrow class the ratio is {glue:text}`cond-spread`. It is memorised later, probably because its
# points are nearer to each other, so that the same noise makes them harder to tell apart. So the time of memorisation
# is a property of the class as well as of the model, and the memorised fraction of all samples hides the class that is
# copied first.
#
# ## Guidance
#
# Guidance pushes each sample towards what is typical of its class. Does it also make copies come earlier?

# %% mystnb={"figure": {"caption": "The same networks, $n = 128$, sampled with guidance of strength $w$. First panel: divergence of class 0 from its true distribution (nearest neighbours). Second panel: memorised fraction.", "name": "fig-conditional-guidance"}, "image": {"alt": "First panel: with stronger guidance the divergence from the distribution of the class is larger at every training time. Second panel: stronger guidance has more copies at every late time."}} tags=["remove-input"]
strengths = sorted({r.config["guidance"] for r in sweep_results("conditional-guidance")})
groups = {w: estimate.guided_runs(w) for w in strengths}
figure, table = draw.by_guidance(groups)
plt.show()

# %% tags=["remove-input"]
record([r for group in groups.values() for r in group], table, "conditional-guidance")

# %% tags=["remove-input"]
glue("cond-guidance", str(estimate.guidance_ratio(max(strengths))), display=False)
glue("cond-w", f"{max(strengths):g}", display=False)
frame(
    "With guidance of strength w",
    pd.DataFrame(
        {
            "w": [f"{w:g}" for w in strengths],
            "smallest KL from the class, nats": [str(estimate.guidance_kl(w)) for w in strengths],
            "tau_mem over that of w = 0": [str(estimate.guidance_ratio(w)) if w else "1" for w in strengths],
        }
    ),
)

# %% [markdown]
# Guidance does not sample the distribution of the class but a sharper one, so the divergence grows with $w$ even where
# the network is at its best. Guidance also brings copies sooner: for the same network, $\tau_\mathrm{mem}$ at $w =$
# {glue:text}`cond-w` is {glue:text}`cond-guidance` of that without guidance. If you want to avoid copies, choose the
# time to stop with the guidance that you will use.
#
# ## Claims

# %% tags=["remove-input"]
claims.show(claims.load(chapter="conditional"))

# %% [markdown]
# **Next.** [How many sampling steps?](sampling.ipynb) asks whether the share of copies depends on how carefully you
# sample.
