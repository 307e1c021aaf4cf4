"""The claims table as a test: sound rows, verdicts that follow from the numbers, numbers from stored runs."""

import math
import re

import pytest

from diffmemlib.companion import claims
from diffmemlib.companion.estimators import Estimate
from diffmemlib.companion.figures import claims as draw
from diffmemlib.places import checkout

ROOT = checkout()

ROWS = claims.load()
TESTED = [c for c in ROWS if c.estimator]

GOOD = """
[[claim]]
id = "a"
chapter = "mixture"
text = "t"
place = "p"
paper = "x"
"""


@pytest.mark.parametrize(
    ("low", "value", "high", "verdict"),
    [
        (0.9, 1.0, 1.1, "reproduced"),
        (0.8, 1.0, 1.2, "reproduced"),
        (0.7, 1.0, 1.1, "consistent"),
        (1.19, 1.3, 1.4, "consistent"),
        (1.21, 1.3, 1.4, "contradicts"),
        (0.1, 0.2, 0.79, "contradicts"),
        (0.01, 1.0, 1.99, "consistent"),
        (0.0, 1.0, 1.2, "inconclusive"),
        (0.9, 1.5, 2.0, "inconclusive"),
        (-9, -8, 0.79, "contradicts"),
    ],
)
def test_the_verdict_follows_from_interval_and_range(low, value, high, verdict):
    assert claims.judge(Estimate(value, low, high, ()), 0.8, 1.2) == verdict


@pytest.mark.parametrize(
    ("value", "verdict"), [(1.0, "reproduced"), (1.2, "reproduced"), (1.3, "contradicts"), (0.7, "contradicts")]
)
def test_an_exact_number_is_right_or_wrong(value, verdict):
    assert claims.judge(Estimate(value, value, value, (), "number"), 0.8, 1.2) == verdict


def test_what_is_known_of_the_error_is_seen_in_the_text():
    assert str(Estimate(1.0, 0.9, 1.1, ())) == "1.00 [0.90, 1.10]"
    assert str(Estimate(45.0, 45.0, 45.0, (), "number")) == "45"


@pytest.mark.parametrize(
    ("estimate", "others", "verdict"),
    [
        ((1.0, 0.9, 1.1), [(1.1, 1.0, 1.2)], "reproduced"),
        ((1.0, 0.9, 1.1), [(1.1, 1.0, 1.3)], "consistent"),
        ((1.0, 0.9, 1.1), [(1.4, 1.3, 1.5)], "depends on the level"),
        ((0.7, 0.68, 0.72), [(0.7, 0.6, 0.75), (0.9, 0.7, 1.1)], "depends on the level"),
        ((0.4, 0.3, 0.5), [(0.4, 0.1, 0.9), (0.45, -0.5, 2.5)], "contradicts"),  # wide intervals say nothing else
        ((1.25, 1.1, 1.4), [(1.3, 1.22, 1.4)], "contradicts"),  # no value lies within
        ((1.25, 1.1, 1.4), [(1.3, 1.22, 1.4), (1.0, 0.0, 2.5)], "inconclusive"),
        ((1.15, 1.1, 1.4), [(1.3, 1.22, 1.4)], "depends on the level"),
        ((1.0, 0.0, 2.5), [(1.3, 1.22, 1.4)], "inconclusive"),
        ((1.3, 1.22, 1.4), [], "contradicts"),
    ],
)
def test_no_verdict_rests_on_one_level(estimate, others, verdict):
    made = [Estimate(*numbers, ()) for numbers in (estimate, *others)]
    assert claims.together(made[0], made[1:], 0.8, 1.2) == verdict


def test_the_reason_stands_beside_what_does_not_agree_and_the_first_verdict_beside_todays(monkeypatch, tmp_path):
    found = {"e": Estimate(0.4, 0.3, 0.5, ())}
    monkeypatch.setattr("diffmemlib.companion.estimators.scaling.tau_mem_exponent", lambda sweep: found["e"])
    path = tmp_path / "claims.toml"
    path.write_text(
        '[[claim]]\nid = "a"\nchapter = "mixture"\ntext = "t"\nplace = "p"\npaper = "x"\nvalue = 1.0\nmargin = 0.2\n'
        'estimator = "scaling.tau_mem_exponent"\narguments = { sweep = "s" }\nwhy = "The reason"\n'
        'earlier = { verdict = "reproduced", because = "Another estimator" }\n'
        '[[withdrawn]]\ntext = "gone"\nverdict = "consistent"\nbecause = "No number of the paper"\n'
    )
    assert "The reason." in claims.show(claims.load(path)).data
    assert claims.revised(path).to_numpy().tolist() == [
        ["t", "reproduced", "contradicts", "Another estimator"],
        ["gone", "consistent", "withdrawn", "No number of the paper"],
    ]
    found["e"] = Estimate(1.0, 0.9, 1.1, ())
    assert "The reason" not in claims.show(claims.load(path)).data
    assert claims.revised(path)["claim"].tolist() == ["gone"], "a verdict that came back is no change"
    path.write_text(path.read_text().replace('"reproduced"', '"true"'))
    with pytest.raises(ValueError, match="a: earlier is"):
        claims.load(path)


def test_every_claim_that_does_not_agree_says_why():
    assert [c.id for c in (*ROWS, *claims.later()) if c.verdict not in claims.AGREE and not c.why] == []


def test_runs_outside_the_papers_regime_do_not_contradict_it(monkeypatch):
    found = {"e": Estimate(0.4, 0.3, 0.5, ())}
    monkeypatch.setattr("diffmemlib.companion.estimators.scaling.tau_mem_exponent", lambda sweep: found["e"])
    row = {"id": "a", "chapter": "mixture", "text": "t", "place": "p", "paper": "x", "value": 1.0, "margin": 0.2}
    row |= {"estimator": "scaling.tau_mem_exponent", "arguments": {"sweep": "s"}}
    assert claims._claim(row).verdict == "contradicts"
    outside = claims._claim(row | {"outside": "n is small"})
    assert outside.verdict == claims.OUTSIDE
    html = claims.show([outside]).data
    assert "n is small" in html and "verdict-differs-outside-the-paper-s-regime" in html
    found["e"] = Estimate(1.0, 0.9, 1.1, ())
    assert claims._claim(row | {"outside": "n is small"}).verdict == "reproduced"


def test_every_row_on_images_names_its_regime_whatever_comes_out():
    """Named only where a row contradicts, it would be an excuse."""
    on_images = [c for c in ROWS if c.estimator and {r.config.get("dataset") for r in c.estimate.runs} == {"digits"}]
    assert len(on_images) > 10
    assert all(c.outside for c in on_images)
    sizes = {c.id: sorted({r.config["n"] for r in c.estimate.runs}) for c in on_images}
    for c in on_images:
        named = [int(n) for n in re.search(r"n = (\d+)(?: to (\d+))?", c.outside).groups() if n]
        assert named == [sizes[c.id][0], sizes[c.id][-1]][: len(named)], c.id


def test_levels_are_asked_of_the_estimator_and_shown(monkeypatch):
    def estimator(sweep: str, f_mem: float = 0.02) -> Estimate:
        if f_mem > 0.5:
            raise ValueError("too few runs")
        return Estimate(f_mem * 50, f_mem * 45, f_mem * 55, ())

    monkeypatch.setattr("diffmemlib.companion.estimators.scaling.tau_mem_exponent", estimator)
    row = {"id": "a", "chapter": "mixture", "text": "t", "place": "p", "paper": "x", "value": 1.0, "margin": 0.2}
    row |= {"estimator": "scaling.tau_mem_exponent", "arguments": {"sweep": "s"}, "levels": {"f_mem": [0.1, 0.9]}}
    claim = claims._claim(row)
    assert claim.by_level == {0.1: Estimate(5.0, 4.5, 5.5, ()), 0.9: None}
    assert claim.verdict == "depends on the level"
    html = claims.show([claim], full=True).data
    assert "<li>f_mem = 0.1: 5.00 [4.50, 5.50], contradicts</li>" in html
    assert "<li>f_mem = 0.9: too few runs reach it</li>" in html
    assert 'class="verdict verdict-depends-on-the-level"' in html


def test_a_claim_of_at_least_has_no_upper_end():
    assert claims.judge(Estimate(50, 40, 60, ()), 2, math.inf) == "reproduced"
    assert claims.judge(Estimate(1, 0.5, 2.5, ()), 2, math.inf) == "consistent"
    assert claims.judge(Estimate(1, 0.5, 1.5, ()), 2, math.inf) == "contradicts"


def test_no_estimate_is_no_verdict_and_a_wrong_interval_is_an_error():
    assert claims.judge(None, 0, 1) == "not tested"
    with pytest.raises(ValueError, match="outside its own interval"):
        claims.judge(Estimate(3, 0, 1, ()), 0, 1)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ('estimater = "gmm.window"\n', "a: unknown estimater"),
        ('estimator = "gmm.window"\n', "an estimator goes with"),
        ('arguments = { sweep = "mixture-n" }\n', "arguments go with an estimator"),
        ("value = 1.0\nmargin = 0.2\n", "an estimator goes with"),
        ("levels = { f_mem = [0.1] }\n", "levels go with an estimator"),
        ('estimator = "gmm.window"\nat_least = 1\nlevels = [0.1]\n', "levels go with an estimator, as"),
        ('estimator = "gmm.window"\nat_least = 1\nat_most = 2\n', "an estimator goes with"),
        (GOOD, "stands twice"),
        (GOOD.replace("mixture", "alchemy"), "unknown chapter alchemy; known: mixture, mixture-width, images"),
    ],
)
def test_a_bad_row_is_named(tmp_path, extra, message):
    path = tmp_path / "claims.toml"
    path.write_text(GOOD + extra)
    with pytest.raises(ValueError, match=message):
        claims.load(path)


@pytest.mark.parametrize("claim", TESTED, ids=lambda c: c.id)
def test_every_estimator_gives_an_interval_from_complete_runs_of_one_tier(claim):
    e = claim.estimate
    assert math.isfinite(e.low)
    assert math.isfinite(e.high)
    assert e.low <= e.value <= e.high
    assert e.runs or claim.tier == "exact"
    assert len({r.config["tier"] for r in e.runs}) <= 1
    assert all(r.provenance["complete"] for r in e.runs)
    agrees, apart = claim.lowest <= e.low and e.high <= claim.highest, claim.highest < e.low or e.high < claim.lowest
    verdict = claims.judge(e, claim.lowest, claim.highest)
    told = {"reproduced": agrees, "contradicts": apart}
    assert told.get(verdict, not agrees and not apart), f"{verdict}: {claim.ours}"
    if not claim.outside and all(at is None for at in claim.by_level.values()):
        assert claim.verdict == verdict
    assert claim.levels is None or sum(at is not None for at in claim.by_level.values()) >= 2


def test_the_table_shows_every_claim_with_its_verdict():
    html = claims.show(ROWS, full=True).data
    for claim in ROWS:
        assert f'id="claim-{claim.id}"' in html
    assert html.count('class="verdict') == len(ROWS)
    chapters = re.findall(r'<tr class="chapter">.*?href="([a-z-]+)\.html"', html)
    named = {claim.chapter for claim in claims.load()}
    assert chapters == [page for name, (page, _) in claims.CHAPTERS.items() if name in named], "each once, in order"
    assert all((ROOT / "book" / f"{page}.py").exists() for page in chapters)
    assert len(claims.table(ROWS)) == len(ROWS)


def test_the_papers_claims_are_all_listed():
    """A row that cannot be tested here stays in sight."""
    assert {c.id for c in ROWS} >= {
        "gmm-tau-gen-n", "gmm-tau-mem-n", "gmm-kl-rises-with-n", "unet-tau-gen", "unet-tau-mem", "unet-width-gen",
        "unet-width-mem", "unet-overfitting", "unet-threshold", "unet-full-batch", "unet-adam", "unet-fid",
        "conditional-collapse", "rfnn-tau-gen-delta", "rfnn-collapse", "rfnn-rho2-low", "rfnn-rho1-sigma",
        "rfnn-score-error", "rfnn-adam",
    }  # fmt: skip
    assert all(c.verdict == "not tested" for c in ROWS if not c.estimator)


def test_figures_show_every_exponent_and_its_levels():
    shown = draw.exponents(ROWS)
    assert len(shown) > 20 and all(c.highest - c.lowest <= 1 for c in shown)
    figure, table = draw.forest(ROWS)
    assert all(c.short != c.id for c in draw.exponents(ROWS)), "figures name claims in words"
    assert table["claim"].tolist() == [c.id for c in shown]
    labels = {text.get_text(): text.get_position()[1] for text in figure.axes[0].texts}
    top = max(labels, key=labels.__getitem__)
    assert top.startswith(draw.mathtext(shown[0].short)) and len(labels) == len(shown), "the first stands at the top"
    _, table = draw.by_level(ROWS)
    named = [c for c in shown if c.levels]
    assert list(dict.fromkeys(table["claim"])) == [c.id for c in named]
    for claim in named:
        rows = table[table["claim"] == claim.id].set_index("level")["value"]
        assert rows.to_dict() == {level: e.value for level, e in claim.by_level.items() if e is not None}


def test_a_tally_of_verdicts_is_a_part_of_a_sentence():
    assert set(claims.SAID) == set(claims.VERDICTS)
    assert claims.tally([claims.OUTSIDE, "contradicts", "reproduced", claims.OUTSIDE]) == (
        "1 is reproduced, 2 differ outside the paper's regime and 1 is contradicted"
    )
    assert claims.tally(["inconclusive"] * 3) == "3 are inconclusive" and claims.tally([]) == ""
