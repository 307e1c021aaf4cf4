/* The first page: one slider for training time, one for n, twelve samples above their nearest training images. */

(() => {
  "use strict";

  const page = document.getElementById("first-page");
  if (!page) return;
  const runs = JSON.parse(document.getElementById("first-page-data").textContent), { draw, plain } = Chart;
  const count = runs[0].copied[0].length;

  // Sliders and the button

  const controls = page.querySelector(".controls");
  const slider = (name, max, start, target) => {
    const label = document.createElement("label");
    label.innerHTML = `<span>${name}</span> <output></output>` +
      `<input type="range" min="0" max="${max}" step="1" value="${start}" data-scrubber data-target="${target}" aria-label="${name}">`;
    controls.append(label);
    return label.querySelector("input");
  };
  const say = (input, text) => {
    input.closest("label").querySelector("output").textContent = text;
    input.setAttribute("aria-valuetext", text);
  };
  // One grid of times for all runs, so that n can be changed at the same time; each shows its last milestone until then.
  const begin = Math.min(...runs.map(({ steps }) => steps[0])), end = Math.max(...runs.map(({ steps }) => steps.at(-1)));
  const last = 40, timeAt = (place) => begin * (end / begin) ** (place / last) * (1 + 1e-9);
  const milestone = (run, place) => Math.max(0, run.steps.filter((step) => step <= timeAt(place)).length - 1);
  const window = ({ gen, mem }) => Boolean(gen) && (!mem || gen < mem);
  const first = Math.max(0, runs.findLastIndex(window));
  const size = slider("Training images, n", runs.length - 1, first, "first-page-answer");
  const time = slider("Training step, τ", last, opening(runs[first]), "first-page-controls");
  const play = document.createElement("button");
  play.type = "button";
  play.textContent = "Train";
  play.setAttribute("aria-pressed", "false");
  controls.append(play);

  /** The time shown first: the middle of the window, in the logarithm of time. */
  function opening({ gen, mem }) {
    return Math.round((last * Math.log(Math.sqrt((gen ?? begin) * (mem ?? end)) / begin)) / Math.log(end / begin));
  }

  // Pictures: cells of two sheets, each a row a milestone

  const gallery = page.querySelector(".gallery");
  const cells = Array.from({ length: count }, (_, i) => {
    const cell = document.createElement("div");
    cell.className = "pair";
    cell.innerHTML = '<div class="picture" role="img"></div><div class="picture" role="img"></div>';
    gallery.append(cell);
    return [cell, ...cell.children];
  });
  let sheets = null;

  function showPictures(run, at) {
    const rows = run.steps.length;
    cells.forEach(([cell, sample, nearest], i) => {
      const copied = Boolean(run.copied[at][i]);
      cell.classList.toggle("copied", copied);
      for (const [picture, sheet, what] of [[sample, run.samples, "sample"], [nearest, run.nearest, "nearest training image"]]) {
        if (sheets !== run) picture.style.backgroundImage = `url(${sheet})`;
        picture.style.backgroundSize = `${100 * count}% ${100 * rows}%`;
        picture.style.backgroundPosition = `${(100 * i) / (count - 1)}% ${(100 * at) / (rows - 1)}%`;
        picture.setAttribute("aria-label", `${what} ${i + 1}${copied ? ", a copy" : ""}`);
      }
    });
    sheets = run;
  }

  // Words

  function sentence(run, at) {
    const step = run.steps[at], copied = run.f_mem[at], percent = `${Math.round(100 * copied)}%`;
    const after = `After ${plain(step)} steps on ${run.n} images`;
    const over = timeAt(Number(time.value)) > 1.2 * run.steps.at(-1) ? " This training ended there." : "";
    if (run.mem && step >= run.mem)
      return `Too late. ${after}, ${percent} of all samples are copies of training images${run.copied[at].some(Boolean) ? " (framed)" : ", though none of these twelve"}.${over}`;
    if (!window(run)) return `Too early. With ${run.n} images there is no good time to stop: copies appear before the samples are good.${over}`;
    if (step < run.gen) return `Too early. ${after}, the samples are not good yet.`;
    if (run.distance[at] > run.good)
      return `Wait. ${after}, this look is above the level of good samples: the distance swings from look to look, and τ_gen is read off the median of three.`;
    const later = run.mem ? `Copies come from step ${plain(run.mem)} on.` : "No copies come within this training.";
    return `Stop here. ${after}, the samples are good, and ${copied > 0 ? `only ${percent} are copies` : "none is a copy"}. ${later}`;
  }

  // Curves

  const boxes = Object.fromEntries([...page.querySelectorAll("[data-chart]")].map((box) => [box.dataset.chart, box]));
  const range = (names) => runs.flatMap((run) => names.flatMap((name) => run[name]));
  const ends = { log: true, min: begin, max: end, label: "training step τ" };

  function showCurves(run, at) {
    const step = run.steps[at], marks = [
      { x: run.gen, kind: "gen", label: "τ_gen", row: 1, left: window(run) },
      { x: run.mem, kind: "mem", label: "τ_mem", row: 1, left: run.gen > run.mem },
      { x: step, kind: "now", label: "now", row: 0 },
    ];
    const spans = window(run) ? [{ from: run.gen, to: run.mem ?? end, kind: "window", label: "window" }] : [];
    const line = (name, kind, label) => ({ points: run.steps.map((s, i) => [s, run[name][i]]), kind, label });
    const dot = (name, kind) => ({ x: step, y: run[name][at], kind });
    const common = { x: ends, marks, spans, height: 230 }, distances = range(["distance"]), losses = range(["loss_train", "loss_test"]);
    draw(boxes.distance, {
      ...common, title: "Distance of the samples to real digits", dots: [dot("distance", "gen")],
      lines: [line("distance", "gen"), { points: [[begin, run.good], [end, run.good]], kind: "now", dashed: true, label: "good" }],
      y: { log: true, min: Math.min(...distances) / 1.3, max: Math.max(...distances) * 1.3, label: "distance to real digits" },
    });
    draw(boxes.copies, {
      ...common, title: "Share of copies among the samples", lines: [line("f_mem", "mem")], dots: [dot("f_mem", "mem")],
      y: { min: 0, max: 1, label: "share of copies" },
    });
    draw(boxes.losses, {
      ...common, title: "Training and held-out loss", dots: [dot("loss_test", "test"), dot("loss_train", "train")],
      lines: [line("loss_test", "test", "held out"), line("loss_train", "train", "training")],
      y: { min: 0, max: Math.max(...losses) * 1.05, label: "loss at t = 0.01" },
    });
  }

  function show() {
    const run = runs[Number(size.value)], at = milestone(run, Number(time.value));
    say(size, String(run.n));
    say(time, plain(run.steps[at]));
    page.querySelector(".answer").textContent = sentence(run, at);
    showPictures(run, at);
    showCurves(run, at);
  }

  play.addEventListener("click", () => {
    const running = play.getAttribute("aria-pressed") === "true";
    play.setAttribute("aria-pressed", String(!running));
    if (running) return;
    if (Number(time.value) === last) time.value = 0;
    const step = () => {
      if (play.getAttribute("aria-pressed") !== "true") return;
      time.value = Number(time.value) + 1;
      show();
      if (Number(time.value) === last) play.setAttribute("aria-pressed", "false");
      else setTimeout(step, 300);
    };
    setTimeout(step, 300);
  });
  page.addEventListener("input", show);
  addEventListener("resize", show);
  show();
})();
