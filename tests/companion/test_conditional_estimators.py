"""Numbers of the conditional chapter: on made-up curves, and the sampling cost that evaluation relies on."""

import numpy as np
import pandas as pd
import pytest

from diffmemlib.companion.estimators import conditional as estimate
from diffmemlib.companion.figures import conditional as draw
from diffmemlib.runs.store import Result


def made(seed: int, delays: tuple[float, float], guidance: float = 0.0) -> Result:
    """f_mem of class c is 0.05 at delays[c]; KL is smallest, 1 + guidance + seed/10, at step 100."""
    steps = np.geomspace(10, 1e5, 81)
    rows = []
    for label, delay in enumerate(delays):
        f = steps / (steps + 19 * delay)
        kl = 1 + guidance + seed / 10 + np.log10(steps / 100) ** 2
        rows += [(s, f"f_mem_class_{label}", v, v, v) for s, v in zip(steps, f, strict=True)]
        rows += [(s, f"kl_knn_class_{label}", v, v, v) for s, v in zip(steps, kl, strict=True)]
        rows += [(s, "f_mem", v, v, v) for s, v in zip(steps, f, strict=True)] if label == 0 else []
    curves = pd.DataFrame(rows, columns=["step", "metric", "value", "low", "high"])
    return Result(None, {"n": 8, "seed": seed, "tier": "smoke", "guidance": guidance, "samples": 10**9}, curves, {})


def test_the_ratio_of_two_classes_is_that_of_their_times(monkeypatch):
    monkeypatch.setattr(estimate, "sweep_results", lambda name: [made(s, (1000.0, 100.0)) for s in range(3)])
    e = estimate.class_ratio("x")
    assert e.value == pytest.approx(0.1, rel=0.02)
    assert e.low <= e.value <= e.high


def test_guidance_is_compared_on_the_same_seeds(monkeypatch):
    runs = [made(s, (t, t), w) for s in range(3) for w, t in ((0.0, 3000.0), (3.0, 1000.0))]
    monkeypatch.setattr(estimate, "sweep_results", lambda name: runs)
    assert [r.config["seed"] for r in estimate.guided_runs(3.0)] == [0, 1, 2]
    assert estimate.guidance_ratio(3.0).value == pytest.approx(1 / 3, rel=0.02)
    assert estimate.guidance_kl(3.0).value == pytest.approx(4.1)


def test_the_cheapest_setting_is_the_last_that_agrees_with_all_steps():
    table = pd.DataFrame(
        {"sampler": "ddim", "steps": [10, 30, 100, 300, 999], "f_mem": [0.5, 0.2, 0.48, 0.5, 0.5],
         "f_mem_low": [0.45, 0.15, 0.43, 0.45, 0.45], "f_mem_high": [0.55, 0.25, 0.53, 0.55, 0.55]}
    )  # fmt: skip
    assert estimate.cheapest(table, "f_mem", "ddim") == 100, "10 agrees by chance: 30, which costs more, does not"


def test_the_settings_that_evaluation_uses_change_nothing():
    """Stored networks, late in training: DDIM at its default of 100 steps, and at the 50 of image runs, gives what many
    more give; Euler-Maruyama, which the mixture's runs take with all steps, may not be shortened to thirty.
    """
    late = estimate.by_sampler()
    assert set(late["steps"]) >= {10, 30, 100, 300, 999}
    for metric in ("f_mem", "kl"):
        assert estimate.cheapest(late, metric, "ddim") <= 100
        assert estimate.cheapest(late, metric, "euler_maruyama") > 30, "too few stochastic steps do change it"
    images = estimate.by_sampler(sweep="sampling-images", metrics=("f_mem", "fd"))
    assert set(images["steps"]) == {10, 25, 50, 100, 200}
    for metric in ("f_mem", "fd"):
        assert estimate.cheapest(images, metric, "ddim") <= 50


def test_figures_hold_what_they_draw():
    _, table = draw.by_class({"a": [made(0, (1000.0, 100.0))], "b": [made(1, (1000.0, 1000.0))]})
    assert set(zip(table["data"], table["label"], strict=True)) == {("a", 0), ("a", 1), ("b", 0), ("b", 1)}
    _, table = draw.by_guidance({w: [made(0, (1000.0, 1000.0), w)] for w in (0.0, 3.0)})
    assert set(table["metric"]) == {"f_mem", "kl_knn_class_0"}
