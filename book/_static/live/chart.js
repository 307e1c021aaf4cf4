/* Small charts drawn as SVG in the page's own colours, redrawn many times a second while a reader moves a slider. */

globalThis.Chart = (() => {
  "use strict";

  const MARGIN = { top: 16, right: 14, bottom: 44, left: 58 };
  const SUPERSCRIPT = "⁰¹²³⁴⁵⁶⁷⁸⁹";

  const escape = (text) => String(text).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

  /** Text of a label, in which τ_gen has a subscript. */
  const typeset = (text) =>
    escape(text).replace(/_(\w+)/g, '<tspan dy="3" font-size="80%">$1</tspan><tspan dy="-3">&#8203;</tspan>');

  /** A number as the text has it: 0.012, 3.4, 12,000, 3 × 10⁷. */
  function plain(value) {
    if (!Number.isFinite(value)) return "–";
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-3 || size >= 1e7)) {
      const power = Math.floor(Math.log10(size) + 1e-9), factor = Number((value / 10 ** power).toPrecision(2));
      const raised = (power < 0 ? "⁻" : "") + [...String(Math.abs(power))].map((digit) => SUPERSCRIPT[digit]).join("");
      return factor === 1 ? `10${raised}` : `${factor} × 10${raised}`;
    }
    if (size >= 1e3) return Number(value.toPrecision(size >= 1e4 ? 3 : 4)).toLocaleString("en");
    return String(Number(value.toPrecision(3)));
  }

  /** Where an axis has its ticks: every decade of a log axis, at most seven; round steps of a linear one. */
  function ticks({ log, min, max }) {
    if (log) {
      const first = Math.ceil(Math.log10(min) - 1e-9), last = Math.floor(Math.log10(max) + 1e-9);
      const every = Math.ceil((last - first + 1) / 7);
      const decades = Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => first + i);
      const shown = decades.filter((power) => (power - first) % every === 0).map((power) => 10 ** power);
      return shown.length > 1 ? shown : [1, 2, 5].flatMap((f) => decades.concat(first - 1).map((p) => f * 10 ** p))
        .filter((value) => value >= min && value <= max).sort((a, b) => a - b);
    }
    const rough = (max - min) / 5, power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
    const shown = [];
    for (let value = Math.ceil(min / step) * step; value <= max + step * 1e-9; value += step) shown.push(value);
    return shown.map((value) => Number(value.toPrecision(12)));
  }

  /** The place of a value on an axis that is `length` pixels long. */
  function place({ log, min, max }, length) {
    const scale = log ? Math.log10 : (value) => value;
    return (value) => ((scale(Math.min(Math.max(value, min), max)) - scale(min)) / (scale(max) - scale(min))) * length;
  }

  /**
   * Draw into `box` and return the x value at a horizontal position of the pointer.
   *
   * x, y: {min, max, log, label}. lines: [{points: [[x, y]], kind, label, dashed, filled}]. spans: [{from, to, kind,
   * label}], shaded. marks: [{x, kind, label, row, left}], vertical lines. dots: [{x, y, kind}]. A kind is a class of live.css, which
   * gives the colour. A label stands at the end of its line, moved up or down where it would lie on another.
   */
  function draw(box, { x, y, lines = [], spans = [], marks = [], dots = [], height = 260, title }) {
    const width = Math.max(box.clientWidth, 240), inner = width - MARGIN.left - MARGIN.right;
    const top = MARGIN.top + 15 * Math.max(0, ...marks.map((mark) => (mark.row ?? 0) + 1)), tall = height - top - MARGIN.bottom;
    const across = place(x, inner), up = place(y, tall);
    const px = (value) => (MARGIN.left + across(value)).toFixed(1), py = (value) => (top + tall - up(value)).toFixed(1);
    const parts = [];
    for (const { from, to, kind, label } of spans) {
      const left = MARGIN.left + across(from), wide = Math.max(0, across(to) - across(from));
      parts.push(`<rect class="span ${kind}" x="${left.toFixed(1)}" y="${top}" width="${wide.toFixed(1)}" height="${tall}"/>`);
      if (label && wide > 8 * label.length)
        parts.push(`<text class="tick" x="${(left + wide / 2).toFixed(1)}" y="${top + 13}" text-anchor="middle">${escape(label)}</text>`);
    }
    for (const value of ticks(y)) {
      parts.push(`<line class="grid" x1="${MARGIN.left}" x2="${MARGIN.left + inner}" y1="${py(value)}" y2="${py(value)}"/>`);
      parts.push(`<text class="tick" x="${MARGIN.left - 6}" y="${py(value)}" dy="0.35em" text-anchor="end">${plain(value)}</text>`);
    }
    for (const value of ticks(x)) {
      parts.push(`<line class="grid" x1="${px(value)}" x2="${px(value)}" y1="${top}" y2="${top + tall}"/>`);
      parts.push(`<text class="tick" x="${px(value)}" y="${top + tall + 16}" text-anchor="middle">${plain(value)}</text>`);
    }
    parts.push(`<path class="axis" d="M${MARGIN.left} ${top}V${top + tall}H${MARGIN.left + inner}"/>`);
    parts.push(`<text class="name" x="${MARGIN.left + inner / 2}" y="${height - 6}" text-anchor="middle">${typeset(x.label)}</text>`);
    parts.push(`<text class="name" transform="translate(14 ${top + tall / 2}) rotate(-90)" text-anchor="middle">${typeset(y.label)}</text>`);
    for (const { points, kind, dashed, filled } of lines) {
      const path = points.map(([a, b], i) => `${i ? "L" : "M"}${px(a)} ${py(b)}`).join("");
      if (filled && points.length)
        parts.push(`<path class="area ${kind}" d="${path}L${px(points.at(-1)[0])} ${top + tall}L${px(points[0][0])} ${top + tall}Z"/>`);
      parts.push(`<path class="line ${kind}${dashed ? " dashed" : ""}" d="${path}"/>`);
    }
    for (const { x: at, kind, label, row = 0, left } of marks) {
      if (!(at >= x.min && at <= x.max)) continue;
      const line = MARGIN.top + 15 * row, end = left || across(at) > inner * 0.8;
      parts.push(`<line class="mark ${kind}" x1="${px(at)}" x2="${px(at)}" y1="${line - 6}" y2="${top + tall}"/>`);
      if (label) parts.push(
        `<text class="label ${kind}" x="${px(at)}" dx="${end ? -5 : 5}" y="${line}" dy="0.3em" text-anchor="${end ? "end" : "start"}">${typeset(label)}</text>`
      );
    }
    for (const { x: at, y: value, kind } of dots) parts.push(`<circle class="dot ${kind}" cx="${px(at)}" cy="${py(value)}" r="5"/>`);
    const taken = [];
    for (const { points, kind, label } of lines.filter((line) => line.label && line.points.length)) {
      const [a, b] = points.at(-1), beside = across(a) < inner * 0.7; // to the right of its end where there is room
      let line = Number(py(b)) + (beside ? 4 : -7);
      while (taken.some((other) => Math.abs(other - line) < 14)) line += 14;
      taken.push(line);
      parts.push(
        `<text class="label ${kind}" x="${px(a)}" dx="${beside ? 6 : -4}" y="${line.toFixed(1)}" text-anchor="${beside ? "start" : "end"}">${typeset(label)}</text>`
      );
    }
    box.innerHTML =
      `<svg viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escape(title)}">${parts.join("")}</svg>`;
    return (clientX) => {
      const share = (clientX - box.getBoundingClientRect().left - MARGIN.left) / inner;
      const bounded = Math.min(Math.max(share, 0), 1);
      return x.log ? x.min * (x.max / x.min) ** bounded : x.min + (x.max - x.min) * bounded;
    };
  }

  return { draw, plain, escape };
})();
