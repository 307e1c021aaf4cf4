"""Figures and claims are drawn from the highest tier that is stored whole, and say what the others hold."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from diffmemlib.companion import claims
from diffmemlib.companion.estimators import Estimate, knobs, questions
from diffmemlib.companion.figures import tiers
from diffmemlib.companion.sweeps import tables
from diffmemlib.companion.sweeps.tables import (
    at_tier,
    is_stored,
    sweep_configs,
    sweep_results,
    sweeps_read,
    tier_of,
)
from diffmemlib.experiments.registry import run

TINY = 'd = 2, width = 8, steps = 20, first = 10, milestones = 2, samples = 100, kept = 0, sampler = "ddim"'
ROW = f'experiment = "gmm"\nfigures = ["9"]\nruns = [{{ n = 8, {TINY}, sampling_steps = 10, seed = [0, 1] }}]\n'


@pytest.fixture
def store(tmp_path, monkeypatch):
    for variable in ("RESULTS", "CHECKPOINTS", "CONFIG"):
        monkeypatch.setenv(f"DIFFMEM_{variable}", str(tmp_path / variable.lower()))
    monkeypatch.delenv("DIFFMEM_TIER", raising=False)
    (tmp_path / "config").mkdir()
    for tier in ("paper", "gpu", "laptop"):
        (tmp_path / "config" / f"{tier}.toml").write_text(f"[both]\n{ROW}" if tier != "paper" else f"[other]\n{ROW}")
    with (tmp_path / "config" / "laptop.toml").open("a") as table:
        table.write(f"[here]\n{ROW.replace('n = 8', 'n = 16')}")
    for tier in ("laptop", "gpu"):
        for c in sweep_configs("both", tier):
            run(c, show_progress=False)
    for c in sweep_configs("here", "laptop"):
        run(c, show_progress=False)


def test_the_highest_tier_that_is_whole_is_drawn(store):
    assert (tier_of("both"), tier_of("here")) == ("gpu", "laptop")
    assert {r.config["tier"] for r in sweep_results("both")} == {"gpu"}
    with at_tier("laptop"), sweeps_read() as read:
        assert {r.config["tier"] for r in sweep_results("both")} == {"laptop"}
        sweep_results("here")
    assert read == {"both": "laptop", "here": "laptop"}
    last = sweep_configs("both", "gpu")[1]
    (last.result_dir / "curves.parquet").write_bytes(b"damaged")
    assert not is_stored("both", "gpu") and tier_of("both") == "laptop", "a sweep with a damaged run is not whole"


def test_sweeps_that_are_compared_are_drawn_at_one_tier(store, monkeypatch):
    monkeypatch.setattr(tables, "COMPARED", (("both", "here"),))
    assert tier_of("both") == tier_of("here") == "laptop"
    monkeypatch.setattr(tables, "COMPARED", (("both",), ("here",)))
    assert tier_of("both") == "gpu"


@pytest.mark.parametrize("tier", ["laptop", "gpu", "paper"])
def test_compared_sweeps_are_all_in_a_table_or_none_of_them(tier: str):
    """Or what a tier has of them could never be drawn."""
    compared = [name for names in tables.COMPARED for name in names]
    assert len(compared) == len(set(compared))
    assert set(compared) <= set(tables.read_tables(tier))


def test_a_tier_that_is_named_is_the_one(store, monkeypatch):
    monkeypatch.setenv("DIFFMEM_TIER", "laptop")
    assert tier_of("both") == "laptop"
    monkeypatch.setenv("DIFFMEM_TIER", "gpu")
    assert (tier_of("both"), tier_of("here")) == ("gpu", "laptop")


def test_a_figure_has_that_of_the_laptop_tier_folded_beside_it(store, monkeypatch):
    shown, drawn = [], []
    monkeypatch.setattr(tiers, "display", lambda html: shown.append(html.data))

    def draw(runs):
        drawn.append({r.config["tier"] for r in runs})
        return plt.figure(), pd.DataFrame()

    tiers.beside("here", draw)
    assert (shown, drawn) == ([], []), "it is drawn from the laptop tier itself"
    tiers.beside("both", draw)
    assert drawn == [{"laptop"}] and len(shown) == 1
    assert "runs of the laptop tier (W = 8)</summary><svg" in shown[0] and shown[0].endswith("</svg>\n</details>")
    (sweep_configs("both", "laptop")[0].result_dir / "curves.parquet").unlink()
    tiers.beside("both", draw)
    assert len(shown) == 1, "where the laptop's runs are not whole there is nothing to show"


def test_a_claim_has_a_number_for_each_tier(store, monkeypatch):
    def estimator(sweep: str) -> Estimate:
        runs = sweep_results(sweep)
        value = {"gpu": 1.0, "laptop": 3.0}[runs[0].config["tier"]]
        return Estimate(value, value - 0.1, value + 0.1, tuple(runs))

    monkeypatch.setattr("diffmemlib.companion.estimators.gmm.for_this_test", estimator, raising=False)
    row = {"id": "a", "chapter": "mixture", "text": "t", "place": "p", "paper": "1", "estimator": "gmm.for_this_test",
           "value": 1.0, "margin": 0.2}  # fmt: skip
    both, here = (claims._claim(row | {"id": s, "arguments": {"sweep": s}}) for s in ("both", "here"))
    table = claims.table([both, here])
    assert list(table["tier"]) == ["gpu", "laptop"] and list(table["verdict"]) == ["reproduced", "contradicts"]
    assert list(table["laptop [95%]"]) == ["3.00 [2.90, 3.10]", ""]
    assert "tier laptop: 3.00 [2.90, 3.10], contradicts" in claims.show([both]).data
    assert "tier laptop" not in claims.show([here]).data


def test_what_is_compared_with_sweeps_of_the_laptop_alone_keeps_to_it(monkeypatch):
    """Once a lease has brought its first sweeps, which have other sizes."""
    monkeypatch.setattr(tables, "is_stored", lambda name, tier: tier == "gpu" and name in tables.read_tables("gpu"))
    assert tier_of("mixture-n") == tier_of("images-width") == "gpu"
    for read in (knobs.flow_times, knobs.flow_parts, knobs.flow_beside_noise, knobs.on_images, questions.kernel_times):
        with sweeps_read() as seen:
            assert len(read()) > 0
        assert seen and set(seen.values()) == {"laptop"}, read.__name__
