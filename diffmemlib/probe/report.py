"""The report of a probe: one HTML file that opens without a network, and the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from math import isfinite
from pathlib import Path
from typing import Any

from ..files import to_json, write_atomic
from ..timescales.crossings import BOUND, Timescale
from ..timescales.power_laws import Interval
from ..timescales.prediction import STEEPER
from .answer import Answer, at_your_rate, sentences, times
from .backtest import FACTOR, Backtest, backtests
from .data import Data, Kind
from .model import FEATURES, Model
from .pilot import Pilot
from .training import COPIES, ERRORS, SURE, Run

VERDICTS = {
    "inside": "inside the interval", "earlier": "earlier than the interval", "later": "later than the interval",
    "not told": "not told: the training ended before, or was first looked at after",
}  # fmt: skip
CSS = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --soft: #f2f4f7; --line: #d5d9e0; --accent: #d55e00 }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --paper: #15181c; --soft: #20252b; --line: #3a4149 } }
body { font: 17px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto;
  padding: 1rem; max-width: 60rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2.2rem }
.answer { border-left: 5px solid var(--accent); background: var(--soft); padding: .8rem 1.2rem }
.answer p:first-child { font-size: 1.3rem; font-weight: 600; margin: 0 0 .5rem }
figure { margin: 1rem 0; overflow-x: auto } figure svg, figure img { max-width: 100%; height: auto; background: #fff;
  border-radius: 4px } figcaption { font-size: .9rem; opacity: .85 }
.pixels { image-rendering: pixelated; width: 100% }
table { border-collapse: collapse; font-size: .95rem } td, th { padding: .25rem .8rem; text-align: right;
  border-bottom: 1px solid var(--line) } input[type=range] { width: 100% } .wide { overflow-x: auto }
figure > svg { max-width: 40rem; width: 100% }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); gap: .5rem }
.panels svg { width: 100% }
@media (max-width: 40rem) { td, th { padding: .25rem .35rem; font-size: .85rem } }
/* Charts are drawn on white: light and dark change places, colours keep their hue. Photographs stay as they are. */
@media (prefers-color-scheme: dark) { figure svg, img.chart { filter: invert(.91) hue-rotate(180deg) } }
"""
SCRIPT = """
const frames = JSON.parse(document.getElementById('frames').textContent);
const slider = document.getElementById('slider'), image = document.getElementById('frame');
const show = () => { const [step, source, text] = frames[slider.value];
  image.src = source; image.alt = text; document.getElementById('now').textContent = text; };
slider.addEventListener('input', show); show();
"""


def write(
    out: Path, source: str, data: Data, model: Model, runs: Sequence[Run], found: Answer, facts: dict[str, Any]
) -> tuple[Path, list[str]]:  # fmt: skip
    """Write report.html and report.json into a folder; return the path of the first, and the answer in words.

    Parameters
    ----------
    out
        The folder.
    source
        The name of the data.
    data, model, runs, found
        Of the probe.
    facts
        Seconds used, device, version and the like, for both.
    """
    rate = steps_per_second(runs)
    pilot = Pilot(**facts["pilot"]) if "pilot" in facts else None
    told = sentences(found, model.batch, rate, model.kind)
    if found.tau_mem is not None:
        told.append(beyond(found.n, runs))
    told += at_your_rate(found, facts.get("model_steps_per_second", 0.0), pilot)
    tests = backtests(runs)
    told += outcome(tests) + [facts[key] for key in ("following",) if facts.get(key)]
    html_file, content = out / "report.html", out / "report.json"
    write_atomic(content, to_json({
        "source": source, "answer": asdict(found), "sentences": told, "found": list(data.found), "model": asdict(model),
        "steps_per_second": rate, "runs": [_as_json(run) for run in runs],
        "backtests": [asdict(test) | {"verdict": test.verdict} for test in tests],
        "times": _times_as_json(runs), "rests_on": assumptions(model, facts), **facts,
    }))  # fmt: skip
    write_atomic(html_file, html(source, data, model, runs, found, told, facts).encode())
    return html_file, told


def beyond(n: int, runs: Sequence[Run]) -> str:
    """Return whose steps these are, and how far the prediction reaches beyond what was trained."""
    times = n / max(run.n for run in runs if len(run.curves))
    far = f" All points are {times:.3g} times as many as in the largest training." if times > 1 else ""
    return (
        "These are steps of the probe's own small network. A network of yours copies at another time: put a "
        f"MemorizationMonitor into its training loop.{far}"
    )


def steps_per_second(runs: Sequence[Run]) -> float:
    """Return the middle rate of the runs; 0 of none."""
    rates = sorted(run.steps_per_second for run in runs if run.steps_per_second > 0)
    return rates[len(rates) // 2] if rates else 0.0


def html(
    source: str, data: Data, model: Model, runs: Sequence[Run], found: Answer, told: Sequence[str],
    facts: dict[str, Any],
) -> str:  # fmt: skip
    """Return the text of the page."""
    measured = [run for run in runs if len(run.curves)]
    first, *rest = told
    parts = [
        f"<h1>How long may a diffusion model train on {escape(source)}?</h1>",
        f'<div class="answer"><p>{escape(first)}</p>' + "".join(f"<p>{escape(s)}</p>" for s in rest) + "</div>",
    ]
    if measured:
        parts += _of_runs(data, measured, found) + _of_tests(backtests(measured))
    parts += ["<h2>What was found</h2>", *(f"<p>{escape(line).replace(chr(10), '<br>')}</p>" for line in data.found)]
    parts += ["<h2>What this rests on</h2>", *(f"<p>{escape(line)}</p>" for line in assumptions(model, facts))]
    return page(f"How long to train: {source}", parts)


def page(title: str, parts: Sequence[str]) -> str:
    """Return a whole page that opens without a network.

    Parameters
    ----------
    title
        As text.
    parts
        Of its body, as HTML.
    """
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
        f"<style>{CSS}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _of_runs(data: Data, runs: Sequence[Run], found: Answer) -> list[str]:
    from . import figures  # brings matplotlib

    last = max(runs, key=lambda r: (r.ended == "copies", r.n, len(r.curves)))
    share = last.curve("f_mem").set_index("step")["value"]
    frames = [
        (step, picture, f"n = {last.n}, step {step:,}: {share[step]:.1%} of all samples are copies")
        for step, picture in figures.pictures(last, data)
    ]
    kind = "Samples, each over the training image nearest to it; copies are framed."
    if data.kind == "images" and data.shape[0] not in (1, 3):
        kind += f" Shown is the first of {data.shape[0]} channels."
    if data.kind == "vectors":
        kind = (
            "Samples among training points, along the two directions in which the data vary most. A line joins each "
            "sample to the training point nearest to it, by the distance in all directions."
        )
    rows = "".join(
        f"<tr><td>{row.n}</td><td>{row.seed}</td><td>{as_text(row.good_from)}</td><td>{as_text(row.copies_from)}</td></tr>"
        for row in times(runs).itertuples()
    )
    return [
        "<h2>The window</h2>",
        f"<figure>{figures.svg(figures.window(runs, found))}<figcaption>Both times of every training that was made, "
        "against the number of points it learned.</figcaption></figure>",
        "<h2>Watch it happen</h2>",
        f'<figure><img id="frame" class="{"pixels" if data.kind == "images" else "chart"}" src="{frames[-1][1]}" '
        f'alt="{frames[-1][2]}"><input id="slider" type="range" min="0" max="{len(frames) - 1}" '
        f'value="{len(frames) - 1}" aria-label="training time"><p id="now" aria-live="polite">{frames[-1][2]}</p>'
        f"<figcaption>{kind}</figcaption></figure>",
        f'<script type="application/json" id="frames">{_json_in_html(frames)}</script>',
        f"<script>{SCRIPT}</script>",
        "<h2>The trainings</h2>",
        f'<figure><div class="panels">{"".join(map(figures.svg, figures.curves(runs)))}</div><figcaption>First: '
        "distance to held-out data, over the level at which samples of a training count as good; a dot where they do. "
        "Second: loss on held-out and on training points, which part before copies come. Third and fourth: share of "
        "copies, against steps and against steps divided by n; dashed, the level at which copies have come."
        "</figcaption></figure>",
        '<div class="wide"><table><thead><tr><th>n</th><th>seed</th><th>good from step</th><th>copies from step</th>'
        f"</tr></thead><tbody>{rows}</tbody></table></div>"
        "<p>&gt;: later than this step, at which the training ended; &lt;: before this step, the first that was looked "
        "at.</p>",
    ]


def outcome(tests: Sequence[Backtest]) -> list[str]:
    """Return how the prediction did where it was put to the test, in a sentence; nothing where it was not.

    Parameters
    ----------
    tests
        Of the probe.
    """
    verdicts = [test.verdict for test in tests if test.verdict != "not told"]
    if not verdicts:
        return []
    wrong = [f"{verdicts.count(v)} {v}" for v in ("earlier", "later") if v in verdicts]
    if len(verdicts) == 1:
        where = {"inside": "inside", "earlier": "earlier than", "later": "later than"}[verdicts[0]]
        told = f"The one larger training that was predicted in this way came {where} the interval"
        return [f"{told}." if verdicts == ["inside"] else f"{told}: do not rely on it, and give more minutes."]
    told = (
        f"Of {len(verdicts)} larger trainings that were predicted in this way, {verdicts.count('inside')} came inside"
    )
    if not wrong:
        return [told + " the interval."]
    return [f"{told} the interval and {' and '.join(wrong)}: do not rely on the interval above, and give more minutes."]


def _of_tests(tests: Sequence[Backtest]) -> list[str]:
    rows = "".join(
        f"<tr><td>{test.n}</td><td>{test.seed}</td><td>{', '.join(map(str, test.sizes))}</td>"
        f"<td>{test.predicted[0]:,.0f} [{test.predicted[1]:,.0f}, {test.predicted[2]:,.0f}]</td>"
        f"<td>{as_text(test.measured)}</td><td>{VERDICTS[test.verdict]}</td><td>{_expected(test.good_predicted)}</td>"
        f"<td>{as_text(test.good_measured)}</td></tr>"
        for test in tests
    )
    if not rows:
        return []
    return [
        "<h2>The prediction put to the test</h2>",
        f"<p>Each row predicts a training that was made from others with at most {1 / FACTOR:.0%} of its points, in "
        "the way in which all your data are predicted above.</p>",
        '<div class="wide"><table><thead><tr><th>n</th><th>seed</th><th>predicted from n</th><th>copies expected at '
        "step [95%]</th><th>came at</th><th></th><th>good samples expected from step [95%]</th><th>were good from</th>"
        f"</tr></thead><tbody>{rows}</tbody></table></div>",
    ]


def _expected(interval: Interval | None) -> str:
    if interval is None:
        return "not told"
    value, low, high = interval
    return f"{value:,.0f}" + (f" [{low:,.0f}, {high:,.0f}]" if isfinite(high) else "")


def assumptions(model: Model, facts: dict[str, Any]) -> list[str]:
    """Return what the answer rests on, as sentences."""
    net = f"a U-Net with {model.width} channels" if model.kind == "images" else f"a residual MLP of width {model.width}"
    return [
        f"The clock is that of {net}, trained from its first weights by Adam at a rate of {model.lr:g} in batches of "
        f"{model.batch}. Another network, rate, batch, resolution, dropout or augmentation is another clock, and so is "
        "a network that was trained on other data before, as in fine-tuning and LoRA: its time of copies is not told "
        "by this report. For a network of your own, use MemorizationMonitor in its training loop. By how much the "
        'usual settings change the clock is measured in the chapter "What buys training time" of the companion.',
        *criteria(model.kind),
        f"How the time of copies grows with n is fitted, as a power of n and as an offset plus a multiple of n^a, a "
        f"from {min(STEEPER):g} to {max(STEEPER):g}; the interval holds what any of these allows, for one more "
        "training.",
        made_by(facts),
    ]


def made_by(facts: dict[str, Any]) -> str:
    """Return which version made a report, where, and in what time."""
    return f"Made by diffmemlib {facts['version']} on {facts['device']} in {facts['seconds'] / 60:.1f} minutes."


def criteria(kind: Kind) -> list[str]:
    """Return when samples count as copies, and when as good, as sentences."""
    features = "features of an untrained network" if kind == "images" else f"{FEATURES} random Fourier features"
    return [
        f"A sample is a copy where its nearest training point is less than a third as far away as the second nearest. "
        f"Copies have come when their share exceeds what new data may have by {COPIES:.0%}, or by {ERRORS:g} standard "
        f"errors where this is more. New data may have the upper end of the {SURE:.0%} interval that the held-out data "
        "give.",
        f"Samples are good when their Fréchet distance to held-out data, between {features}, is at most twice that of "
        "the training points themselves, or that of the Gaussian with the data's mean and covariance where this is "
        "more. That is a low bar: look at them.",
    ]


def _json_in_html(content: Any) -> str:
    """JSON in which nothing can end the element that holds it."""
    return json.dumps(content).replace("<", "\\u003c")


def as_text(time: Timescale) -> str:
    """Return a time in whole steps, with > or < where it is only a bound, for a page."""
    return escape(f"{BOUND[time.status]}{time.tau:,.0f}")


def _times_as_json(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The table of both times of each training."""
    return [
        {"n": row.n, "seed": row.seed, "good_from": asdict(row.good_from), "copies_from": asdict(row.copies_from)}
        for row in times([run for run in runs if len(run.curves)]).itertuples()
    ]


def _as_json(run: Run) -> dict[str, Any]:
    curves = {metric: part.drop(columns="metric").to_dict("list") for metric, part in run.curves.groupby("metric")}
    return {
        "n": run.n, "seed": run.seed, "ended": run.ended, "seconds": run.seconds, "baseline": run.baseline,
        "level": run.level, "copies_distance": run.copies_distance, "gaussian_distance": run.gaussian_distance,
        "steps_per_second": run.steps_per_second, "curves": curves,
    }  # fmt: skip
