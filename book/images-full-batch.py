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
# # Images: full batch
#
# **What you will see.** Small training sets are copied sooner. Is the reason that, in batches of a fixed size, each of
# their images is seen more often? The left part of Figure 7 of {cite:t}`bonnaire2025` says no. In our runs on small
# sets it is part of the reason. When a step averages over few draws of noise, copies appear once each image has been
# seen with enough different noises. With more draws in a step, copies come sooner, but not as soon as this would
# predict: a delay remains that the noise does not explain. Before making a run with {glue:text}`full-most` draws in a
# step, we wrote down two predictions of when its copies would appear. They appeared at {glue:text}`full-test-off` times
# the later of the two predicted steps.
#
# **You need** [Adam and SGD](images-adam.ipynb), whose runs under SGD have batches of a fixed size. **Reading time**: five minutes.

# %% tags=["remove-input"]
from math import fsum

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from myst_nb import glue

from diffmemlib.companion import claims
from diffmemlib.companion.estimators import baseline, images as estimate, scaling
from diffmemlib.companion.figures.curves import compared, quality_and_memory, visits
from diffmemlib.companion.figures.record import record
from diffmemlib.companion.figures.tables import estimates, frame
from diffmemlib.companion.figures.tiers import beside
from diffmemlib.companion.sweeps.tables import sweep_results

FULL, FIXED, DRAWS = "images-full", "images-sgd", "images-full-draws"
full, fixed, several = sweep_results(FULL), sweep_results(FIXED), sweep_results(DRAWS)
every = list({r.id: r for r in [*fixed, *full, *several]}.values())  # one of them has both kinds of batch
one = max(every, key=scaling.draws_a_step)  # the test of what the others predict
before = [r for r in every if r.id != one.id]
c, batch = full[0].config, scaling.batch_size(fixed)
for name in ("width", "side", "lr", "momentum"):
    glue(f"full-{name}", f"{c[name]:g}", display=False)
glue("full-batch", str(batch), display=False)
glue("full-copies", f"{scaling.F_MEM:g}", display=False)
glue("full-sizes", ", ".join(str(n) for n in sorted(set(scaling.sizes(full)))), display=False)
glue("full-hours", f"{fsum(r.provenance['seconds'] for r in every[len(fixed) :]) / 3600:.1f}", display=False)

# %% [markdown]
# ## The question
#
# In batches of $m$ images, each of $n \ge m$ training images has been seen $\tau m/n$ times on average at step $\tau$.
# Suppose that an image were copied as soon as it has been seen a certain number of times. Then $\tau_\mathrm{mem}$
# would be proportional to $n$ at fixed $m$, which is what is observed. Full batches can tell whether this is the
# reason. With $m = n$ an image has been seen $\tau$ times at every $n$, so if only repetition counted,
# $\tau_\mathrm{mem}$ would not depend on $n$. The paper finds that it is still proportional to $n$.
#
# The runs are those of [SGD](images-adam.ipynb) ($W =$ {glue:text}`full-width`, {glue:text}`full-side` $\times$
# {glue:text}`full-side` pixels, learning rate {glue:text}`full-lr`, momentum {glue:text}`full-momentum`), with full
# batches in place of batches of {glue:text}`full-batch`, at $n =$ {glue:text}`full-sizes`. Together with those
# [below](sec-looks) they took {glue:text}`full-hours` hours on one core.
#
# ## Full batches

# %% mystnb={"figure": {"caption": "Memorised fraction under SGD, in batches of a fixed size and in full batches: against training time divided by $n$ (top), and against how often each image was seen (bottom). For a fixed batch size, these two axes differ only by a constant factor. Dotted: the level that defines $\\tau_\\mathrm{mem}$; dots mark where the curves reach it. Dashed: the share of unseen data that meet the criterion of copies by chance.", "name": "fig-full-seen"}, "image": {"alt": "Four panels of rising curves. With fixed batches they rise nearly together in both rows. With full batches they are apart in both: against tau over n the largest set rises first, against the number of times seen the smallest."}} tags=["remove-input"]
by_chance = baseline.by_chance([*fixed, *full])
figure, table = compared({f"batches of {batch}": fixed, "full batches": full}, ("scaled", "seen"), by_chance)
plt.show()

# %% tags=["remove-input"]
record([*fixed, *full], table, "full-seen")

# %% tags=["remove-input"]
found = {
    "mem": scaling.tau_mem_exponent(FULL),
    "fixed-mem": scaling.tau_mem_exponent(FIXED),
    "collapse": scaling.collapse(FULL),
    "mixture": scaling.tau_mem_exponent("mixture-n"),
}
for name, e in found.items():
    glue(f"full-{name}", str(e), display=False)
steps = np.log(list(scaling.by_size(scaling.tau_mem(full), full).items()))
glue(
    "full-local",
    ", ".join(f"{round(slope, 2) + 0:.2f}" for slope in np.diff(steps[:, 1]) / np.diff(steps[:, 0])),
    display=False,
)
shown = {
    "tau_mem, full batches": found["mem"],
    "collapse of f_mem, full batches": found["collapse"],
    f"tau_mem, batches of {batch}": found["fixed-mem"],
}
estimates("Exponents in n, SGD", shown)

# %% [markdown]
# The first copies are those at $f_\mathrm{mem} =$ {glue:text}`full-copies`. With full batches their time has the
# exponent {glue:text}`full-mem` in $n$, and the curves collapse best in $\tau/n^a$ with $a =$
# {glue:text}`full-collapse`. With batches of {glue:text}`full-batch` the exponent is {glue:text}`full-fixed-mem`. With
# full batches, repetition alone would give the exponent 0, and the paper reports 1. Our exponent lies between these two
# values and is not constant: from each size to the next it is {glue:text}`full-local`. The runs of the
# [mixture](mixture.ipynb) have full batches, too, and the exponent {glue:text}`full-mixture`.

# %% mystnb={"figure": {"caption": "Full batches: Fr\u00e9chet distance to held-out images (top) and memorised fraction (bottom), against training time and against training time divided by $n$. Dotted: the level that defines $\\tau_\\mathrm{mem}$; dots mark where the curves reach it. Dashed: the share of unseen data that meet the criterion of copies by chance. Bands: the 95% interval of each measurement.", "name": "fig-full-curves"}, "image": {"alt": "With full batches the Frechet distance falls with large swings, to a lower level for larger n; the memorised fractions rise later for larger n, by less than n."}} tags=["remove-input"]
figure, table = quality_and_memory(full, metrics=(estimate.quality(full), "f_mem"), fresh=by_chance)
plt.show()

# %% tags=["remove-input"]
beside(FULL, lambda lower: quality_and_memory(lower, metrics=(estimate.quality(lower), "f_mem")))
record(full, table, "full-curves")

# %% tags=["remove-input"]
first = min(full, key=lambda r: r.curve(estimate.quality(full))["value"].iloc[0]).curve(estimate.quality(full))["value"]
glue("full-first", f"{first.iloc[0]:.2f}", display=False)
glue("full-first-step", str(first.index[0]), display=False)

# %% [markdown]
# The distances swing, as on the page before, and one of them begins low: {glue:text}`full-first` at step
# {glue:text}`full-first-step`. Those samples are scribbles whose brightness happens to be right. Under SGD a single
# small distance therefore means little, and we do not derive $\tau_\mathrm{gen}$ from these curves.
#
# (sec-looks)=
# ## Averaging out the noise, or taking the steps?
#
# A larger full batch shows each image just as often, but its gradient is more precise. Whenever an image is used, a
# diffusion time and a noise are drawn afresh, and a step averages over $m$ such draws. Two things can then delay
# copies. One is noise: to average it out, each image needs a certain number $A$ of draws, so that $\tau m/n = A$. The
# other is the curvature of the loss: along flat directions gradient descent needs many steps, however precise each step
# is. In random features [this time](features-dynamics.ipynb) is $\tau = B n$. If the two delays add up, then
# $\tau_\mathrm{mem} = A n/m + B n$. With batches of a fixed size $m$, both are proportional to $n$ and cannot be told
# apart. With full batches, $m = n$, the sum is $A + B n$, which is flat for small $n$ and proportional to $n$ for large
# $n$. To change $m$ without changing $n$, further runs use every image two or four times in each step, each time with
# another noise.
#
# Another law, $\tau_\mathrm{mem} = A' n/\sqrt m$, describes our first runs as well or better (see the table below). In
# this law only the noise delays copies, but averaging over more draws helps less. We have no derivation of it. At large
# $m$ the two laws differ, so one more run can test them. Before making it, we wrote down what each law predicts for $n
# =$ {glue:text}`full-test-n` images that are drawn {glue:text}`full-test-draws` times each in a step, which makes $m =$
# {glue:text}`full-most`. (We also planned two runs with as many draws and more images, and three at a tenth of the
# learning rate. Those that have been made are [below](sec-slow).)

# %% tags=["remove-input"]
RECORDED = {
    "A n/m + B n": 254,
    "A n/sqrt(m)": 163,
}  # written down in commit 816b2d2, before the run
n_test, m_test = one.config["n"], scaling.draws_a_step(one)
came = scaling.tau_mem([one])[0]
foretold = {}
for law in ("A n/m + B n", "A n/sqrt(m)"):
    found_before, _ = scaling.delays(before, law)
    parts = scaling.LAWS[law](np.array([n_test], float), np.array([m_test], float))
    foretold[law] = float(sum(e.value * part[0] for e, part in zip(found_before, parts, strict=True)))
    assert came.status == "interpolated"
glue("full-test-n", str(n_test), display=False)
glue("full-test-draws", str(one.config["draws"]), display=False)
glue("full-test-came", f"{came.tau:,.0f}", display=False)
glue("full-test-off", f"{came.tau / max(RECORDED.values()):.1f}", display=False)
glue("full-recorded-sum", RECORDED["A n/m + B n"], display=False)
glue("full-recorded-root", RECORDED["A n/sqrt(m)"], display=False)
glue("full-test-sum", f"{foretold['A n/m + B n']:,.0f}", display=False)
glue("full-test-root", f"{foretold['A n/sqrt(m)']:,.0f}", display=False)

# %% [markdown]
# We had recorded step {glue:text}`full-recorded-sum` for the first law and step {glue:text}`full-recorded-root` for the
# second. Fitted to all other runs that we have now, the laws predict {glue:text}`full-test-sum` and
# {glue:text}`full-test-root`. The copies came at step {glue:text}`full-test-came`. Neither law has a delay that remains
# when $n$ is small and $m$ is large. A plausible one is that a network has to learn what digits are before it can copy
# one, which takes a number of steps $T$ whatever $n$ and $m$ are. With this third delay,
#
# ```{math}
# :label: eq-looks
# \tau_\mathrm{mem} = T + \frac{A n}{m} + B n .
# ```

# %% mystnb={"figure": {"caption": "Training time of the first copies divided by $n$, against the number $m$ of draws of time and noise in one step, for runs under SGD with fixed batches, with full batches, and with full batches that draw each image several times. Full lines: the fit of {eq}`eq-looks`, one for each $n$. Dashed: its part $A/m$. Dotted: its part $B$.", "name": "fig-full-looks"}, "image": {"alt": "Points fall with the draws of a step and level off. At few draws the largest n lies highest, at more draws the smallest, whose line stays far above the others."}} tags=["remove-input"]
figure, table = visits(every)
plt.show()

# %% tags=["remove-input"]
record(every, table, "full-looks")

# %% tags=["remove-input"]
largest_n = max(r.config["n"] for r in full)
(begin, a, b), _ = scaling.delays(every)
for name, e in {"begin": begin, "a": a, "b": b}.items():
    glue(f"full-{name}", str(e), display=False)
glue("full-even", f"{a.value / b.value:,.0f}", display=False)
glue("full-large", f"{begin.value / b.value:,.0f}", display=False)
judged = {law: [scaling.delays(some, law)[1] for some in (every, before)] for law in scaling.LAWS}
best = np.min(list(judged.values()), axis=0)
glue("full-largest-share", f"{b.value * largest_n / (begin.value + a.value + b.value * largest_n):.0%}", display=False)
largest = max(full, key=lambda r: r.config["n"])
of_rest = [e.value for e in scaling.delays([r for r in every if r.id != largest.id])[0]]
glue("full-largest", str(largest.config["n"]), display=False)
glue("full-foretold", f"{of_rest[0] + of_rest[1] + of_rest[2] * largest.config['n']:,.0f}", display=False)
glue("full-came", f"{scaling.tau_mem([largest])[0].tau:,.0f}", display=False)
m = max(table.groupby("draws")["n"].nunique().loc[lambda count: count > 2].index)  # the most, with three n or more
same_m = [r for r in every if scaling.draws_a_step(r) == m]
steps_each = (table["tau"] / table["n"]).groupby(table["draws"])
glue("full-apart", f"{(steps_each.max() / steps_each.min()).max():.1f}", display=False)
glue("full-m", str(m), display=False)
glue("full-most", str(int(table["draws"].max())), display=False)
at_m = scaling.exponent_of(scaling.tau_mem(same_m), same_m)
glue("full-at-m", str(at_m), display=False)
slow = sweep_results("images-full-slow")
fast = [r for r in sweep_results(FULL, "laptop") if r.config["n"] in {one.config["n"] for one in slow}]
came_slow, at_full_rate = scaling.tau_mem(slow), scaling.by_size(scaling.tau_mem(fast), fast)
tenth = fast[0].config["lr"] / slow[0].config["lr"]
SLOW_RECORDED = {16: ("3,200", "11,000"), 32: ("5,400", "12,600")}  # written down in commit 816b2d2, before the runs
times_slow = pd.DataFrame(
    {
        "n": [one.config["n"] for one in slow],
        "at the full rate": [at_full_rate[one.config["n"]] for one in slow],
        "came": [time.tau for time in came_slow],
    }
).assign(ratio=lambda rows: rows["came"] / rows["at the full rate"])
glue("full-slow-times", " and ".join(f"{ratio:.1f}" for ratio in times_slow["ratio"]), display=False)
glue("full-slow-tenth", f"{tenth:g}", display=False)
for name, key in (("slow", "came"), ("fast", "at the full rate")):
    growth = np.diff(np.log(times_slow[key])) / np.diff(np.log(times_slow["n"]))
    glue(f"full-{name}-growth", " and ".join(f"{value:.2f}" for value in growth), display=False)
faster = np.log(times_slow["came"]).diff().sum() > np.log(times_slow["at the full rate"]).diff().sum()
glue("full-slow-grows", "larger" if faster else "not larger", display=False)
ordered = table.sort_values(["draws", "n"])
shown = pd.DataFrame(
    {
        "draws a step": ordered["draws"],
        "n": ordered["n"],
        "tau_mem": ordered["tau"].map("{:,.0f}".format),
        "tau_mem/n": (ordered["tau"] / ordered["n"]).map("{:.1f}".format),
    }
)
frame("First copies of every run", shown.set_index(["draws a step", "n"]))

# %% tags=["remove-input"]
shown = {
    "T, steps in any case": begin,
    "A, draws of each image": a,
    "B, steps for each image": b,
    f"exponent of tau_mem in n at {m} draws a step": at_m,
}
estimates("The fit", shown)

# %% [markdown]
# The fit gives $T =$ {glue:text}`full-begin` steps, $A =$ {glue:text}`full-a` draws of each image and $B =$
# {glue:text}`full-b` steps per training image. The last two delays are equally long at $m = A/B =$
# {glue:text}`full-even` draws in a step. Well below that, the time of the first copies is decided by the number of
# noises with which each image was seen. Well above it, and for $n$ well above $T/B =$ {glue:text}`full-large`, the law
# is the paper's: $\tau_\mathrm{mem} \propto n$, with full batches as well. Our largest full batch, $n =$
# {glue:text}`full-largest`, is the only run that comes near this: by the fit, $B n$ is {glue:text}`full-largest-share`
# of its time. The paper averages over 512 draws or more in a step, at a tenth of our learning rate, and we have not
# measured how $T$, $A$ and $B$ depend on that rate.
#
# How certain is this law? The table compares four laws by Akaike's criterion; a lower value means a better fit for the
# number of constants, and differences below 2 or 3 mean nothing. The evidence for a delay $T$ is a single run, the one
# with {glue:text}`full-most` draws: without that run, $A' n/\sqrt m$ alone describes the others best. The runs also do
# not decide what has to be added to $T$: the term $A' n/\sqrt m$ describes them as well as $A n/m + B n$. These two
# terms differ for large sets in large batches. Only runs of that kind can show whether, in full batches of thousands of
# images, $\tau_\mathrm{mem}$ is proportional to $n$, as in the paper, or to $\sqrt n$. All four laws miss one more
# observation: in batches of a fixed size, copies come a little later than in proportion to $n$, with the exponent
# {glue:text}`full-fixed-mem`.

# %% tags=["remove-input"]
frame(
    "Laws for tau_mem, with the number of their constants, and Akaike's criterion above that of the best",
    pd.DataFrame(
        {
            "law": list(judged),
            "constants": [len(scaling.delays(every, law)[0]) for law in judged],
            "all runs": [f"{value - best[0]:.1f}" for value, _ in judged.values()],
            f"without that of {m_test} draws": [f"{value - best[1]:.1f}" for _, value in judged.values()],
        }
    ).set_index("law"),
)

# %% [markdown]
# (sec-slow)=
# ## A tenth of the learning rate
#
# Is it really noise that delays copies in small full batches? Suppose first that the progress of a step is proportional
# to the rate. Then at a tenth of the rate the first copies would take ten times as many steps. Suppose next that copies
# appear only when the noise that the steps leave in the weights is small enough. That noise is proportional to the rate
# divided by $m$, so at a tenth of the rate there is much less of it to average out. (If only the number of draws
# counted, the rate would make no difference.) Before these runs we wrote down the step that each case predicts:

# %% tags=["remove-input"]
sign = {"interpolated": "", "censored": "> "}
frame(
    "First copies in full batches at a tenth of the rate, in steps",
    pd.DataFrame(
        {
            "n": times_slow["n"],
            "if noise delays them": [SLOW_RECORDED[n][0] for n in times_slow["n"]],
            "if the rate is the clock": [SLOW_RECORDED[n][1] for n in times_slow["n"]],
            "they came at": [sign[time.status] + f"{time.tau:,.0f}" for time in came_slow],
            "at the full rate": times_slow["at the full rate"].map("{:,.0f}".format),
        }
    ).set_index("n"),
)

# %% [markdown]
# At a tenth of the rate the first copies took {glue:text}`full-slow-times` times as many steps as at the full rate, for
# the two sizes. If the learning rate were simply a clock, it would be {glue:text}`full-slow-tenth` times as many. $A$,
# $B$ and $T$ were fitted at the full rate, and another rate will have others unless steps and rates can be exchanged.
# Between the two sizes the exponent of $\tau_\mathrm{mem}$ in $n$ is {glue:text}`full-slow-growth` at a tenth of the
# rate and {glue:text}`full-fast-growth` at the full one. If noise is what keeps the exponent of full batches below 1,
# it should be larger at the lower rate; it is {glue:text}`full-slow-grows`. Each of the slow runs has one seed only.
#
# ## How exact is the equation?
#
# The equation is a summary and not exact. At {glue:text}`full-m` draws in a step the measured exponent in $n$ is
# {glue:text}`full-at-m`, and in {numref}`fig-full-looks` points with equal draws differ by a factor of up to
# {glue:text}`full-apart`. Fitted without the largest full batch, $n =$ {glue:text}`full-largest`, it predicts the first
# copies there at step {glue:text}`full-foretold`; they came at {glue:text}`full-came`.
#
# ## Claims

# %% tags=["remove-input"]
claims.show(claims.load(chapter="images-full-batch"))

# %% [markdown]
# ## What differs from the paper
#
# The data are digits instead of faces, and the training sets are far smaller. The network is smaller, the learning rate
# is ten times the paper's, the pixels are scaled, and there are one or two seeds for each $n$. At $n =$
# {glue:text}`full-batch` the run with fixed batches and the one with full batches are the same run. [](deviations) has
# the full list. The page on the [conditional model](conditional.ipynb) shows what full batches do under Adam.
#
# **Next.** [Capacity](images-capacity.ipynb) asks how the size of the network moves the two times, and with how many
# images a network cannot memorise at all.
