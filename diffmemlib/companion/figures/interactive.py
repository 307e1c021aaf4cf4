"""Figures with a slider over training time that work offline, from a server or from the file system."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go
from IPython.display import HTML

from .style import MEMORY, QUALITY
from .tables import typeset

PLOTLY = "../_static/plotly.min.js"  # as seen from a page in book/; copied there when the book is built


def scrubber(
    figure: go.Figure, steps: Sequence[float], moving: Sequence[int], frames: Sequence[Sequence[Any]],
    start: int = 0, titles: Sequence[str] | None = None, prefix: str = "training step ",
) -> go.Figure:  # fmt: skip
    """Give a figure a slider over training steps, or over what `prefix` says.

    moving: indices of the traces that change. frames: for every step, these traces, or the new data of scatters.
    start: the step shown first, by index; the figure must already hold its data, so that it says something without
    moving. titles: one for every step, shown above the figure.
    """
    if not len(steps) == len(frames):
        raise ValueError(f"{len(steps)} steps and {len(frames)} frames: one frame a step")
    titles = [typeset(title) for title in titles or [f"step {tau:,}" for tau in steps]]
    figure.frames = [
        go.Frame(
            name=str(tau),
            traces=list(moving),
            data=[go.Scatter(**d) if isinstance(d, dict) else d for d in data],
            layout={"title": {"text": title}},
        )
        for tau, data, title in zip(steps, frames, titles, strict=True)
    ]
    figure.update_layout(
        title={"text": titles[start], "x": 0.02, "y": 0.985, "yanchor": "top", "font": {"size": 15}},
        sliders=[
            {
                "active": start,
                "currentvalue": {"prefix": typeset(prefix), "font": {"size": 13}},
                "steps": [{"label": f"{tau:,}", "method": "animate", "args": [[str(tau)]]} for tau in steps],
            }
        ],
    )
    return figure


def quality_and_copies(
    figure: go.Figure, row: int, steps: Sequence[int], quality: Sequence[float], f_mem: Sequence[float],
    name: str, limits: tuple[float, float],
) -> None:  # fmt: skip
    """Below what moves: quality (left, log axis of these decimal limits) and f_mem (right) against training time."""
    figure.add_scatter(x=steps, y=rounded(quality), name=f"{name} (left)", line={"color": QUALITY}, row=row, col=1)
    figure.add_scatter(
        x=steps, y=rounded(f_mem), name="f_mem (right)", line={"color": MEMORY}, row=row, col=1, secondary_y=True
    )
    figure.update_xaxes(type="log", title="training step", row=row, col=1)
    figure.update_yaxes(type="log", range=list(limits), title=name, row=row, col=1, secondary_y=False)
    figure.update_yaxes(
        range=[0, 1], tickvals=[0, 0.5, 1], title="f_mem", showgrid=False, row=row, col=1, secondary_y=True
    )


def show(figure: go.Figure, name: str, description: str, height: int = 620) -> HTML:
    """The figure as HTML that loads plotly from the book itself.

    name: unique id on the page. description: what is seen, for screen readers and where scripts are off.
    """
    figure.update_layout(
        template="plotly_white", height=height, margin={"l": 55, "r": 15, "t": 78, "b": 40},
        legend={"orientation": "h", "y": 1.01, "x": 0, "yanchor": "bottom"}, font={"size": 12},
    )  # fmt: skip
    control = _control(figure, name)
    figure.for_each_trace(lambda trace: trace.update(name=typeset(trace.name or "")))
    for each_axis in (figure.for_each_xaxis, figure.for_each_yaxis):
        each_axis(lambda axis: axis.update(title_text=typeset(axis.title.text or "")))
    body = figure.to_html(
        full_html=False, include_plotlyjs=PLOTLY, div_id=name, auto_play=False, default_height=f"{height}px",
        config={"responsive": True, "displayModeBar": False},
    )  # fmt: skip
    return HTML(
        f'<div class="interactive" role="figure" aria-label="{escape(description)}">{control}{body}</div>'
        f"<noscript><p>This figure moves when scripts are allowed. {escape(description)}</p></noscript>"
    )


def _control(figure: go.Figure, name: str) -> str:
    """Take plotly's slider off a figure, which keys do not reach, and return one of the browser's own in its place."""
    if not figure.layout.sliders:
        return ""
    slider, figure.layout.sliders = figure.layout.sliders[0], []
    labels, frames = [step.label for step in slider.steps], [step.args[0][0] for step in slider.steps]
    prefix, start = slider.currentvalue.prefix.strip(), int(slider.active)
    spoken = re.sub("<[^>]*>", "", prefix).rstrip(" =")  # a label names the first control in it, which is the output
    return (
        f'<label class="scrubber"><span>{prefix}</span> <output>{labels[start]}</output><input type="range" min="0" '
        f'max="{len(labels) - 1}" value="{start}" data-scrubber data-target="{name}" aria-label="{spoken}" '
        f'aria-valuetext="{labels[start]}"></label><script>(() => {{'
        f"const input = document.querySelector('[data-target=\"{name}\"]'), labels = {json.dumps(labels)},"
        f" frames = {json.dumps(frames)}; input.addEventListener('input', () => {{"
        "const label = labels[input.value]; input.previousElementSibling.textContent = label;"
        " input.setAttribute('aria-valuetext', label);"
        f" Plotly.animate('{name}', [frames[input.value]], {{mode: 'immediate', frame: {{duration: 0, redraw: true}},"
        " transition: {duration: 0}}).catch(() => {}); }); })();</script>"  # a move cut short by the next one
    )


def rounded(values: Any, digits: int = 3) -> list[float]:
    """Numbers short enough to keep a page small, as a plain list."""
    return [round(float(v), digits) for v in values]
