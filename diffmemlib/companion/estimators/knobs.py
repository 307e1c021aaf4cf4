"""What one changed setting does to the times of a training: its factors on both, on the window, and on quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ...runs.store import Result
from ...timescales.crossings import Timescale, first_crossing
from ...timescales.power_laws import geometric_mean
from ..sweeps.tables import at_tier, sweep_results
from . import Estimate
from .scaling import F_MEM, by_size, exponent_of, in_common, product, ratio, t_interval, tau_mem

SWEEP = "knobs"
KL_GOOD = 1.0  # tau_gen: nats, by nearest neighbours; all runs of the first rows come below it, at both n
KEYS = ("n", "seed", "steps", "milestones", "first")  # what runs of one knob may differ in
Change = tuple[tuple[str, Any], ...]  # settings and their values, in order

# What each change is called; a change that is not here is called by its settings.
NAMES: dict[Change, str] = {
    (): "nothing changed",
    (("lr", 3e-4),): "learning rate × 1/2",
    (("lr", 1.2e-3),): "learning rate × 2",
    (("lr", 2.4e-3),): "learning rate × 4",
    (("batch", 16),): "batch × 1/2",
    (("batch", 64),): "batch × 2",
    (("width", 32),): "width × 1/2",
    (("width", 128),): "width × 2",
    (("blocks", 1),): "one residual block instead of three",
    (("blocks", 5),): "five residual blocks instead of three",
    (("prediction", "x0"),): "predicting the data",
    (("prediction", "v"),): "predicting the velocity",
    (("prediction", "flow"),): "predicting noise − data",
    (("path", "linear"), ("sampler", "ddim"), ("sampling_steps", 0)): "linear path, predicting the noise",
    (("path", "linear"), ("prediction", "flow"), ("sampler", "ddim"), ("sampling_steps", 0)): "flow matching",
    (("sampler", "ddim"), ("sampling_steps", 0)): "sampled by DDIM",
    (("weighting", "low_noise"),): "small times drawn more often",
    (("weighting", "high_noise"),): "large times drawn more often",
    (("weight_decay", 0.3),): "AdamW, weight decay 0.3",
    (("jitter", 0.2),): "noise on the data, 0.2",
    (("ema", 0.999),): "averaged weights, decay 0.999",
    (("ema", 0.9999),): "averaged weights, decay 0.9999",
    (("lr", 6e-3), ("optimizer", "sgd")): "SGD with momentum, rate 0.006",
    (("lr", 0.012), ("momentum", 0.9), ("optimizer", "sgd")): "SGD, momentum 0.9, rate 0.012",
    (("lr", 0.12), ("momentum", 0.0), ("optimizer", "sgd")): "SGD without momentum, rate 0.12",
    (("dropout", 0.1),): "dropout 0.1",
    (("conditional", True),): "labels",
    (("conditional", True), ("guidance", 1.0)): "labels, guidance 1",
    (("conditional", True), ("guidance", 3.0)): "labels, guidance 3",
    (
        ("loss_space", "eps"),
        ("path", "linear"),
        ("prediction", "flow"),
        ("sampler", "ddim"),
        ("sampling_steps", 0),
    ): "flow matching, loss of the noise",
    (("noises", 1),): "one frozen noise a point",
    (("noises", 8),): "8 frozen noises a point",
    (("noises", 64),): "64 frozen noises a point",
}


# What theory says that a change multiplies tau_mem by, and where from. Gradient flow: all times go as one over the
# rate, and the batch changes nothing. The paper: tau_mem ~ n/W.
THEORY: dict[str, tuple[float, str]] = {
    "learning rate × 1/2": (2.0, "gradient flow"),
    "learning rate × 2": (0.5, "gradient flow"),
    "learning rate × 4": (0.25, "gradient flow"),
    "batch × 1/2": (1.0, "gradient flow"),
    "batch × 2": (1.0, "gradient flow"),
    "width × 1/2": (2.0, "n/W"),
    "width × 2": (0.5, "n/W"),
}


def change(config: Mapping[str, Any], base: Mapping[str, Any]) -> Change:
    """The settings of a run that are not those of the first rows, in alphabetical order.

    A batch of 0, the full one, stands for n; sizes, seeds and lengths do not count.
    """

    def value(c: Mapping[str, Any], key: str) -> Any:
        return c["n"] if key == "batch" and c[key] == 0 else c[key]

    return tuple((key, value(config, key)) for key in sorted(config)
                 if key not in KEYS and value(config, key) != value(base, key))  # fmt: skip


def by_change(runs: Sequence[Result]) -> dict[Change, list[Result]]:
    """The runs of each change, in the order of the table; the empty change is the first rows."""
    groups: dict[Change, list[Result]] = {}
    for run in runs:
        groups.setdefault(change(run.config, runs[0].config), []).append(run)
    return groups


def name_of(changed: Change) -> str:
    """What a change is called."""
    return NAMES.get(changed, ", ".join(f"{key} = {value}" for key, value in changed))


def divergence(run: Result) -> pd.Series:
    """The divergence by nearest neighbours against the step, nats.

    With labels that of samples and labels together, the mean over the classes: half of the samples are drawn in each.
    """
    if not run.config["conditional"]:
        return run.curve("kl_nn")["value"]
    return (run.curve("kl_nn_class_0")["value"] + run.curve("kl_nn_class_1")["value"]) / 2


def tau_gen(runs: Sequence[Result], kl: float = KL_GOOD) -> list[Timescale]:
    """First time that the divergence falls below one nat."""
    return [first_crossing(c.index.to_numpy(), c.to_numpy(), kl, rising=False) for c in map(divergence, runs)]


def best_kl(run: Result) -> float:
    """Smallest divergence over a training, nats."""
    return float(divergence(run).min())


def factors(sweep: str = SWEEP, kl: float = KL_GOOD) -> pd.DataFrame:
    """What each change multiplies tau_gen, tau_mem and their ratio by, against runs of the same n and seed; a row each.

    kl: the divergence below which samples are good, nats.

    Columns: name, runs (pairs); gen, mem, window: an `Estimate` each, or None where fewer than two pairs tell it;
    quality: the change of the smallest divergence, nats; exponent: of tau_mem in n; steeper: what the change adds to
    that exponent, from pairs of the same seed, or None; sorted by the factor on tau_mem.
    """
    runs = sweep_results(sweep)
    groups = by_change(runs)
    base, rows = groups.pop(()), []
    for changed, group in groups.items():
        ours, theirs = in_common(group, base)
        gen, gen_base, mem, mem_base = tau_gen(ours, kl), tau_gen(theirs, kl), tau_mem(ours), tau_mem(theirs)
        unchanged = [(gen_base, 1), (mem_base, -1)]
        quality = t_interval([best_kl(a) - best_kl(b) for a, b in zip(ours, theirs, strict=True)])
        rows.append({
            "name": name_of(changed), "runs": len(ours),
            "gen": ratio(gen, gen_base, ours) if _seen(gen, gen_base) else None,
            "mem": ratio(mem, mem_base, ours) if _seen(mem, mem_base) else None,
            "window": (
                product([(mem, 1), (gen, -1), *unchanged], ours) if _seen(mem, gen, mem_base, gen_base) else None
            ),
            "quality": Estimate(*quality, tuple(ours)),
            "exponent": exponent_of(mem, ours) if _sizes_seen(mem, ours) > 1 else None,
            "steeper": steeper(mem, mem_base, ours),
        })  # fmt: skip
    table = pd.DataFrame(rows)
    order = [np.inf if e is None else e.value for e in table["mem"]]
    return table.iloc[np.argsort(order, kind="stable")].reset_index(drop=True)


def steeper(mem: Sequence[Timescale], mem_base: Sequence[Timescale], runs: Sequence[Result]) -> Estimate | None:
    """What a change adds to the exponent of tau_mem in n: by its factor at the larger n over that at the smaller one.

    The mean over seeds whose four trainings all came to tau_mem, with Student's interval; None below three of them.
    """
    small, large = min(r.config["n"] for r in runs), max(r.config["n"] for r in runs)
    factor = {
        (r.config["n"], r.config["seed"]): float(np.log(a.tau / b.tau))
        for r, a, b in zip(runs, mem, mem_base, strict=True)
        if a.status == b.status == "interpolated"
    }
    seeds = [s for n, s in factor if n == small and (large, s) in factor] if small < large else []
    if len(seeds) < 3:
        return None
    slopes = [(factor[large, s] - factor[small, s]) / float(np.log(large / small)) for s in seeds]
    return Estimate(*t_interval(slopes), tuple(r for r in runs if r.config["seed"] in seeds))


def _seen(*times: Sequence[Timescale]) -> bool:
    """Whether all of these times were seen in two pairs or more, as an interval needs."""
    return sum(all(t.status == "interpolated" for t in pair) for pair in zip(*times, strict=True)) > 1


def _sizes_seen(times: Sequence[Timescale], runs: Sequence[Result]) -> int:
    """At how many n a time was seen."""
    return len({r.config["n"] for r, t in zip(runs, times, strict=True) if t.status == "interpolated"})


def clock(table: pd.DataFrame) -> pd.DataFrame:
    """Whether tau_mem goes as 1/(rate * batch): a row for each change of either.

    Columns: change; said, the factor by this rule; seen, an `Estimate`; power, low, high: the exponent of rate or batch
    in tau_mem that the factor seen stands for, -1 by the rule.
    """
    by = {f"{what} × {text}": times for what in ("learning rate", "batch")
          for text, times in (("1/2", 0.5), ("2", 2.0), ("4", 4.0))}  # fmt: skip
    rows = []
    for name, seen in zip(table["name"], table["mem"], strict=True):
        if name in by and seen is not None:
            powers = [float(np.log(value) / np.log(by[name])) for value in (seen.value, seen.low, seen.high)]
            rows.append((name, 1 / by[name], seen, powers[0], min(powers[1:]), max(powers[1:])))
    return pd.DataFrame(rows, columns=["change", "said", "seen", "power", "low", "high"])


def fitted_rule(told: pd.DataFrame) -> tuple[dict[str, float], float]:
    """Return the power of the rate and of the batch in tau_mem that fit all their changes best, and the worst factor.

    told: of `clock`. The worst factor is the largest by which a measured factor differs from its fit, above one.
    """
    powers, worst = {}, 0.0
    for what in ("learning rate", "batch"):
        part = told[told["change"].str.startswith(what)]
        by, seen = np.log(1 / part["said"].to_numpy(float)), np.log([e.value for e in part["seen"]])
        powers[what] = float(by @ seen / (by @ by))
        worst = max(worst, float(np.abs(seen - powers[what] * by).max()))
    return powers, float(np.exp(worst))


def clock_power(change: str) -> Estimate:
    """The exponent of the rate, or of the batch, in tau_mem that one change stands for; see `clock`."""
    row = clock(factors()).set_index("change").loc[change]
    return Estimate(row["power"], row["low"], row["high"], row["seen"].runs)


def flow_exponent(sweep: str = "mixture-flow", f_mem: float = F_MEM) -> Estimate:
    """Slope of log tau_mem against log n in flow matching, by the paper's optimiser in full batches."""
    runs = sweep_results(sweep)
    return exponent_of(tau_mem(runs, f_mem), runs)


def base_exponent(sweep: str = SWEEP) -> Estimate:
    """The same with Adam in batches of one size, nothing changed."""
    runs = by_change(sweep_results(sweep))[()]
    return exponent_of(tau_mem(runs), runs)


def telling(table: pd.DataFrame, key: str, longer: bool) -> list[str]:
    """Names of the changes whose factor on a time has its whole interval above one (longer), or below."""
    return [
        name
        for name, e in zip(table["name"], table[key], strict=True)
        if e is not None and (e.low > 1 if longer else e.high < 1)
    ]


PARTS = (  # of flow matching, each changed alone: what it is called, the sweep, its path, prediction and loss
    ("noise prediction (the paper's)", "mixture-n", "ddpm", "eps", ""),
    ("linear path, predicting the noise", "mixture-flow-parts", "linear", "eps", ""),
    ("the paper's path, predicting noise − data", "mixture-flow-parts", "ddpm", "flow", ""),
    ("flow matching, loss of the noise", "mixture-flow-parts", "linear", "flow", "eps"),
    ("flow matching", "mixture-flow", "linear", "flow", ""),
)


@at_tier("laptop")  # whose table alone has the sweeps that these are compared with; so below
def flow_times() -> dict[str, list[Timescale]]:
    """tau_mem of the runs of each of PARTS, in the order of their seeds, at the n that all have."""
    (n,) = {r.config["n"] for r in sweep_results("mixture-flow-parts")}
    return {name: tau_mem(_part(sweep, kind, n)) for name, sweep, *kind in PARTS}


def _part(sweep: str, kind: list[str], n: int) -> list[Result]:
    """Runs on n points, of a path, a prediction and a loss."""
    return [r for r in sweep_results(sweep) if r.config["n"] == n
            and [r.config["path"], r.config["prediction"], r.config["loss_space"]] == kind]  # fmt: skip


@at_tier("laptop")
def flow_parts() -> pd.DataFrame:
    """tau_mem under the paper's optimiser with path, prediction and loss changed one by one, at the n that all have.

    Columns: name; tau_mem, the geometric mean over seeds, steps, an `Estimate`.
    """
    (n,) = {r.config["n"] for r in sweep_results("mixture-flow-parts")}
    rows = []
    for (name, times), (_, sweep, *kind) in zip(flow_times().items(), PARTS, strict=True):
        if any(t.status != "interpolated" for t in times):
            raise ValueError(f"{name}: a run has no tau_mem")
        rows.append((name, Estimate(*geometric_mean([t.tau for t in times]), tuple(_part(sweep, kind, n)))))
    return pd.DataFrame(rows, columns=["name", "tau_mem"])


@at_tier("laptop")
def flow_beside_noise() -> pd.DataFrame:
    """tau_mem of flow matching and of noise prediction under the paper's optimiser, a row for each n that both have.

    Columns: n; flow, noise: geometric means of tau_mem; ratio: of the two, an `Estimate`.
    """
    rows = []
    ours, theirs = in_common(sweep_results("mixture-flow"), sweep_results("mixture-n"))
    for n in sorted({r.config["n"] for r in ours}):
        flow, noise = ([r for r in runs if r.config["n"] == n] for runs in (ours, theirs))
        rows.append((n, by_size(tau_mem(flow), flow)[n], by_size(tau_mem(noise), noise)[n],
                     ratio(tau_mem(flow), tau_mem(noise), flow)))  # fmt: skip
    return pd.DataFrame(rows, columns=["n", "flow", "noise", "ratio"])


# The same on images, from stored sweeps: what is changed, where and with which settings; the runs it is compared with;
# and the row of the mixture that changes the same, if there is one.
ON_IMAGES: tuple[tuple[str, str, dict[str, Any], str, dict[str, Any], str], ...] = (
    ("SGD, rate 0.1, instead of Adam", "images-sgd", {}, "images-adam", {}, "SGD with momentum, rate 0.006"),
    ("width × 2", "images-width", {"width": 32}, "images-width", {"width": 16}, "width × 2"),
    ("width × 1/2", "images-width", {"width": 8}, "images-width", {"width": 16}, "width × 1/2"),
    ("SGD: full batches instead of 32", "images-full", {}, "images-sgd", {}, ""),
    ("SGD: two noises of each image in a step", "images-full-draws", {"draws": 2}, "images-full", {}, ""),
    ("SGD: four noises of each image in a step", "images-full-draws", {"draws": 4}, "images-full", {}, ""),
    ("the paper's network and sampler, two seeds", "images-network", {}, "images-n", {}, ""),
)


@at_tier("laptop")
def on_images() -> pd.DataFrame:
    """The factor on tau_mem of what stored image runs change, pair by pair of the same n and seed; a row each.

    Columns: name; sizes, the n of the pairs; pairs; mem, an `Estimate` whose pairs may differ in n, so that a factor
    that depends on n widens it; mixture, the name of the mixture's row for the same change, or empty.
    """
    rows = []
    for name, sweep, settings, other, base, mixture in ON_IMAGES:
        changed, unchanged = (
            [r for r in sweep_results(of) if all(r.config.get(k) == v for k, v in chosen.items())]
            for of, chosen in ((sweep, settings), (other, base))
        )
        ours, theirs = in_common(changed, unchanged)
        pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if a.id != b.id]
        ours, theirs = [a for a, _ in pairs], [b for _, b in pairs]
        rows.append((name, sorted({r.config["n"] for r in ours}), len(ours),
                     ratio(tau_mem(ours), tau_mem(theirs), ours), mixture))  # fmt: skip
    return pd.DataFrame(rows, columns=["name", "sizes", "pairs", "mem", "mixture"])
