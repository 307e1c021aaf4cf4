"""What a reader sees who moves the sliders of the first page and of the live theory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import serve

from diffmemlib.rfnn.learning_curves import learning_curves

SET = """([input, value]) => { input.value = value; input.dispatchEvent(new Event("input", {bubbles: true})); }"""
# theory.js, changed so that many points have no solution.
UNSOLVED = """
  RandomFeatures.spectrum = model => {
    if (model.psiN > 100) throw new RandomFeatures.BranchError("no luck");
    return was(model);
  };
"""


@pytest.fixture(scope="module")
def base(html: Path) -> Iterator[str]:
    with serve(html) as server:
        yield server


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    page = chromium.new_page(viewport={"width": 1280, "height": 1000})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()
    assert not errors, errors


def move(page: Any, place: int, value: float, figure: str) -> str:
    """Set the slider at a place of a figure, and return the sentence that the figure then says."""
    slider = page.query_selector_all(f"{figure} input[type=range]")[place]
    page.evaluate(SET, [slider, str(value)])
    page.wait_for_timeout(60)
    return str(page.inner_text(f"{figure} .answer"))


def spaced(step: int) -> str:
    """A number of steps as the page writes it: three digits of large ones, apart by thousands."""
    return f"{float(f'{step:.3g}'):,.0f}" if step >= 10_000 else f"{step:,}"


def test_the_first_page_says_what_its_runs_measured(page: Any, base: str) -> None:
    page.goto(f"{base}/book/index.html")
    runs = json.loads(page.text_content("#first-page-data"))
    assert page.inner_text("#first-page .answer").startswith("Stop here.")
    for place, run in enumerate(runs):
        late = move(page, 1, 40, "#first-page") and move(page, 0, place, "#first-page")
        assert f"on {run['n']} images" in late
        assert len(page.query_selector_all("#first-page .copied")) == sum(run["copied"][-1])
        if run["mem"] and run["steps"][-1] > run["mem"]:
            assert late.startswith("Too late. After") and f"{int(100 * run['f_mem'][-1] + 0.5)}% of all samples" in late
        early = move(page, 1, 0, "#first-page")
        assert early.startswith("Too early.")
        window = bool(run["gen"]) and (not run["mem"] or run["gen"] < run["mem"])
        said = [move(page, 1, time, "#first-page") for time in range(41)]
        begins = [sentence.split(".")[0] for sentence in said]
        assert ("Stop here" in begins) == window
        phases = [
            "Too early" if word == "Too early" else "Too late" if word == "Too late" else "window" for word in begins
        ]
        assert phases == sorted(phases, key=["Too early", "window", "Too late"].index)
        for sentence, word in zip(said, begins, strict=True):
            if word in ("Stop here", "Wait"):
                (step,) = [s for s in run["steps"] if f"After {spaced(s)} steps" in sentence]
                good = run["distance"][run["steps"].index(step)] <= run["good"]
                assert good == (word == "Stop here"), "samples are called good where their distance says so"


def test_the_first_page_is_moved_by_keys_and_by_its_button(page: Any, base: str) -> None:
    page.goto(f"{base}/book/index.html")
    time = page.query_selector_all("#first-page input[type=range]")[1]
    before = int(time.input_value())
    time.focus()
    page.keyboard.press("ArrowLeft")
    assert int(time.input_value()) == before - 1
    page.evaluate(SET, [time, "0"])
    page.click("#first-page button")
    page.wait_for_timeout(1000)
    page.click("#first-page button")
    stopped = int(time.input_value())
    page.wait_for_timeout(500)
    assert 0 < stopped == int(time.input_value())


def test_a_scrubber_shows_the_step_that_its_keys_choose(page: Any, base: str) -> None:
    page.goto(f"{base}/book/images.html")
    slider = page.wait_for_selector("input[data-target=images-scrubber]")
    page.wait_for_selector("#images-scrubber .gtitle")
    for key, place in (("End", "max"), ("Home", "min")):
        slider.focus()
        page.keyboard.press(key)
        assert slider.input_value() == slider.get_attribute(place)
        shown = f"step {slider.get_attribute('aria-valuetext')}:"
        page.wait_for_function(
            "shown => document.querySelector('#images-scrubber .gtitle').textContent.startsWith(shown)", arg=shown
        )


def test_without_scripts_the_first_page_shows_a_still(chromium: Any, base: str) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page, loaded = context.new_page(), {}
    page.on("response", lambda response: loaded.update({response.url: response.status}))
    page.goto(f"{base}/book/index.html")
    assert loaded[f"{base}/_static/two-times.png"] == 200
    still = page.query_selector("#first-page img")
    assert still.is_visible() and still.bounding_box()["height"] > 50
    context.close()


def numbers(sentence: str) -> list[float]:
    return [float(value.replace(",", "")) for value in re.findall(r"(?<![\w.])\d[\d,]*\.?\d*", sentence)]


def test_the_live_theory_says_what_the_library_computes(page: Any, base: str) -> None:
    page.goto(f"{base}/book/live-theory.html")
    page.wait_for_function(
        "document.querySelector('#live-theory .precision').textContent.startsWith('Two quadrature rules')"
    )
    found = numbers(page.inner_text("#live-theory .answer"))
    tau = np.append(np.geomspace(5, 50, 400), 1000.0)
    curves = learning_curves(tau, psi_p=64, psi_n=8, t=0.1)
    best = curves.score_error[:-1].argmin()
    gap = curves.test[-1] - curves.train[-1]
    expected = [curves.score_error[-1], tau[best], curves.score_error[best], 1.0, gap]
    assert found == pytest.approx(expected, rel=0.01)


def test_more_data_move_the_time_of_memorisation_and_not_that_of_generation(page: Any, base: str) -> None:
    page.goto(f"{base}/book/live-theory.html")

    def places() -> dict[str, float]:
        marks = page.query_selector_all("#live-theory [data-chart=losses] line.mark")
        return {mark.get_attribute("class").split()[1]: float(mark.get_attribute("x1")) for mark in marks}

    before = places()
    move(page, 1, 4, "#live-theory")  # psi_n = 16
    after = places()
    assert after["mem"] > before["mem"] + 5 and abs(after["gen"] - before["gen"]) < 5


def test_a_click_on_the_plane_goes_there(page: Any, base: str) -> None:
    page.goto(f"{base}/book/live-theory.html")
    plane = page.query_selector("#live-theory [data-chart=plane]")
    plane.scroll_into_view_if_needed()
    page.wait_for_function(
        "document.querySelector('#live-theory .precision').textContent.startsWith('Two quadrature rules')"
    )
    box = plane.bounding_box()  # its drawing is made anew all the time
    page.mouse.click(box["x"] + 0.8 * box["width"], box["y"] + 0.5 * box["height"])
    page.wait_for_timeout(100)
    psi_n, psi_p = (float(page.query_selector_all("#live-theory input")[i].input_value()) for i in (1, 2))
    assert psi_n > 4.5 and 2 < psi_p < 7


def test_where_nothing_can_be_solved_the_page_says_so(page: Any, base: str, html: Path) -> None:
    theory = (html / "_static" / "live" / "theory.js").read_text(encoding="utf-8")
    body = theory + "{ const was = RandomFeatures.spectrum;" + UNSOLVED + "}"
    page.route("**/theory.js", lambda route: route.fulfill(body=body, content_type="text/javascript"))
    page.goto(f"{base}/book/live-theory.html")
    said = move(page, 1, 7, "#live-theory")
    assert said == "The theory gives no answer here: no luck. Move a slider back."
    assert move(page, 1, 3, "#live-theory").startswith(("Later than the best", "This is", "Too"))
