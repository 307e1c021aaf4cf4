/* The page "Live theory": sliders, three charts, a plane and a sentence, all computed by theory.js. */

(() => {
  "use strict";

  const page = document.getElementById("live-theory");
  if (!page) return;
  const { BranchError, Model, learningCurves, spectrum } = RandomFeatures, { draw, plain } = Chart;

  const LONGEST = 1e8, SHORTEST = 0.1, COARSE = 96, NODES = [128, 256, 512], AGREED = 1e-8, PLANE = 13, PLANE_NODES = 64;
  const NOISES = [1, 2, 3, 5, 8, 12, 20, 50, Infinity], RIDGES = [0, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1];
  const TIMES = Array.from({ length: 109 }, (_, i) => SHORTEST * (LONGEST / SHORTEST) ** (i / 108));
  const power = (base) => ({ value: (place) => base ** place, place: (value) => Math.log(value) / Math.log(base) });
  const entry = (list) => ({ value: (place) => list[place], place: (value) => list.indexOf(value) });

  // name: what the slider is called, its range, and how its place becomes a value
  const CONTROLS = {
    tau: { name: "Training time τ", min: -1, max: 8, step: 0.02, start: 1000, ...power(10) },
    psiN: { name: "Training points for each dimension, ψₙ = n/d", min: 0, max: 8, step: 0.125, start: 8, ...power(2) },
    psiP: { name: "Features for each dimension, ψₚ = p/d", min: 0, max: 9, step: 0.125, start: 64, ...power(2) },
    t: { name: "Diffusion time t", min: -2, max: 0.3, step: 0.02, start: 0.1, ...power(10) },
    spread: { name: "Spread of the data's variances", min: 0, max: 0.95, step: 0.05, start: 0, value: Number, place: Number },
    noises: { name: "Noises for each point, m (∞: always fresh)", min: 0, max: 8, step: 1, start: Infinity, ...entry(NOISES) },
    ridge: { name: "Weight decay γ", min: 0, max: 9, step: 1, start: 0, ...entry(RIDGES) },
  };
  const SHOWN = { noises: (m) => (m === Infinity ? "∞" : String(m)) };

  const inputs = {};
  const controls = page.querySelector(".controls");
  for (const [key, { name, min, max, step, start, place }] of Object.entries(CONTROLS)) {
    const label = document.createElement("label");
    label.innerHTML =
      `<span>${name}</span> <output></output>` +
      `<input type="range" min="${min}" max="${max}" step="${step}" data-scrubber data-target="live-theory-answer" aria-label="${name}">`;
    const input = label.querySelector("input");
    input.value = place(start);
    inputs[key] = input;
    controls.append(label);
  }
  const activation = document.createElement("label");
  activation.innerHTML =
    '<span>Activation σ</span> <select><option>tanh</option><option>sin</option><option>arctan</option></select>';
  controls.append(activation);
  const select = activation.querySelector("select");

  const read = () => {
    const values = { activation: select.value };
    for (const [key, { value }] of Object.entries(CONTROLS)) {
      values[key] = value(Number(inputs[key].value));
      const shown = (SHOWN[key] ?? plain)(values[key]);
      inputs[key].closest("label").querySelector("output").textContent = shown;
      inputs[key].setAttribute("aria-valuetext", shown);
    }
    return values;
  };
  const modelOf = ({ spread, ...values }) =>
    new Model({ ...values, covariance: spread ? [[1 - spread, 0.5], [1 + spread, 0.5]] : [[1, 1]] });

  // What is known at the present place of the sliders; training time alone changes none of it.

  let known = {};

  function compute(values, nodes) {
    const model = modelOf(values), found = { values, model, nodes, residual: NaN };
    try {
      found.at = learningCurves(model, { ridge: values.ridge, longest: LONGEST, nodes });
      found.curve = TIMES.map(found.at);
      if (found.curve.some(({ train, test }) => !Number.isFinite(train + test))) throw new BranchError("no finite loss");
      found.spectrum = spectrum(model);
    } catch (error) {
      if (!(error instanceof BranchError)) throw error;
      return { values, message: error.message };
    }
    found.best = lowest(found);
    return found;
  }

  /** The smallest E_score over training time: the lowest of the curve's points, then by golden section between its neighbours. */
  function lowest({ at, curve }) {
    let i = curve.reduce((least, point, j) => (point.score < curve[least].score ? j : least), 0);
    if (i === 0 || i === curve.length - 1) return curve[i];
    let [a, b] = [Math.log(TIMES[i - 1]), Math.log(TIMES[i + 1])];
    const golden = (Math.sqrt(5) - 1) / 2;
    while (b - a > 1e-3) {
      const [c, d] = [b - golden * (b - a), a + golden * (b - a)];
      if (at(Math.exp(c)).score < at(Math.exp(d)).score) b = d;
      else a = c;
    }
    return at(Math.exp((a + b) / 2));
  }

  // Words

  function sentence({ values, at, best, curve, spectrum: { tauGen, tauMem } }) {
    const now = at(values.tau), untrained = at(0).score, gap = now.test - now.train;
    const compared = `The error of the score is ${plain(now.score)}. At the best time, τ = ${plain(best.tau)}, it is ${plain(best.score)}` +
      `, and without training it is ${plain(untrained)}.`;
    const endless = !Number.isFinite(tauMem);
    let where;
    if (now.score <= 1.1 * best.score) where = "This is about the best time to stop.";
    else if (values.tau < best.tau) where = "Too early: the network has not learned the distribution yet.";
    else if (now.score > untrained) where = "Far too late: the network follows its training points, and is worse than before training.";
    else if (!endless && values.tau > tauMem) where = "Too late: past τ_mem, the network follows its training points.";
    else where = "Later than the best time: the network begins to fit its training points.";
    const last = curve.at(-1);
    if (last.score <= 1.1 * best.score) where += " With these settings you may train as long as you like: the end is as good as the best time.";
    return `${where} ${compared} Test and training loss differ by ${plain(gap)}.`;
  }

  // Drawing

  const boxes = Object.fromEntries([...page.querySelectorAll("[data-chart]")].map((box) => [box.dataset.chart, box]));
  const answer = page.querySelector("#live-theory-answer"), precision = page.querySelector(".precision");

  function show(values) {
    if (known.message) {
      answer.textContent = `The theory gives no answer here: ${known.message}. Move a slider back.`;
      precision.textContent = "";
      return;
    }
    const { curve, best, at, spectrum: { tauGen, tauMem, bulks, delta }, model } = known, now = at(values.tau);
    answer.textContent = sentence({ ...known, values });
    const x = { log: true, min: SHORTEST, max: LONGEST, label: "training time τ" };
    const marks = [
      { x: tauGen, kind: "gen", label: "τ_gen", row: 1, left: true }, { x: tauMem, kind: "mem", label: "τ_mem", row: 1 },
      { x: values.tau, kind: "now", label: "you stop here", row: 0 },
    ];
    const spans = tauGen < tauMem ? [{ from: tauGen, to: Math.min(tauMem, LONGEST), kind: "window" }] : [];
    const nearBest = TIMES.filter((_, i) => curve[i].score <= 1.1 * best.score);
    if (nearBest.length) spans.push({ from: nearBest[0], to: nearBest.at(-1), kind: "best", label: "best" });
    const points = (name) => curve.map((point) => [point.tau, point[name]]);
    const highest = Math.max(...curve.map(({ test }) => test), 1) * 1.05;
    draw(boxes.losses, {
      title: "Training and test loss against training time", x, y: { min: 0, max: highest, label: "loss" }, spans, marks,
      lines: [{ points: points("test"), kind: "test", label: "test" }, { points: points("train"), kind: "train", label: "training" }],
      dots: [{ x: values.tau, y: now.test, kind: "test" }, { x: values.tau, y: now.train, kind: "train" }],
    });
    const scores = curve.map(({ score }) => score);
    draw(boxes.score, {
      title: "Error of the score against training time", x, spans, marks,
      y: { log: true, min: best.score / 1.5, max: Math.max(...scores) * 1.5, label: "E_score" },
      lines: [{ points: points("score"), kind: "score" }],
      dots: [{ x: best.tau, y: best.score, kind: "best" }, { x: values.tau, y: now.score, kind: "score" }],
    });
    drawSpectrum(bulks, delta, model);
    precision.textContent = Number.isFinite(known.residual)
      ? `Two quadrature rules of ${known.nodes / 2} and ${known.nodes} nodes agree within ${plain(known.residual)} on every loss.`
      : "Computing to more digits …";
    drawPlane(values);
  }

  /** Density in log(lambda), so that every bulk has its mass as its area. */
  function drawSpectrum(bulks, delta, model) {
    const lines = bulks.map(({ lambda, density, low, high }, i) => ({
      points: [[low, 0], ...lambda.map((l, j) => [l, density[j] * l]), [high, 0]].filter(([l]) => l > 0),
      kind: i === known.spectrum.split ? "gen" : i === Math.max(known.spectrum.split - 1, 0) ? "mem" : "other", filled: true,
    }));
    const top = Math.max(...lines.flatMap(({ points }) => points.map(([, d]) => d)));
    const low = Math.min(delta.weight > 1e-9 && delta.place > 0 ? delta.place : Infinity, ...lines.flatMap(({ points }) => points.map(([l]) => l)));
    draw(boxes.spectrum, {
      title: "Density of the eigenvalues of U", lines,
      x: { log: true, min: low / 2, max: bulks.at(-1).high * 2, label: "eigenvalue λ of U" },
      y: { min: 0, max: top * 1.1, label: "density of log λ" },
      marks: delta.weight > 1e-9 && delta.place > 0
        ? [{ x: delta.place, kind: "other", label: `${plain(100 * delta.weight)}% of all eigenvalues are here`, row: 0 }] : [],
    });
  }

  // The plane: E_score after training for tau, for every number of points and features, computed while nothing else is.

  const axis = (max) => Array.from({ length: PLANE }, (_, i) => 2 ** ((max * i) / (PLANE - 1)));
  const plane = { key: "", cells: [], psiN: axis(8), psiP: axis(9) };
  const SPARSE = TIMES.filter((_, i) => i % 2 === 0);
  plane.order = plane.psiP.flatMap((_, i) => plane.psiN.map((_, j) => [i, j]))
    .sort(([a, b], [c, d]) => ((a % 3) + (b % 3)) - ((c % 3) + (d % 3)));

  function continuePlane() {
    const key = JSON.stringify(["t", "spread", "noises", "ridge", "activation"].map((name) => String(known.values[name])));
    if (plane.key !== key) Object.assign(plane, { key, cells: [], next: 0 });
    const until = performance.now() + 25;
    while (plane.next < plane.order.length && performance.now() < until) {
      const [i, j] = plane.order[plane.next++], values = { ...known.values, psiP: plane.psiP[i], psiN: plane.psiN[j] };
      try {
        const at = learningCurves(modelOf(values), { ridge: values.ridge, longest: LONGEST, nodes: PLANE_NODES });
        const untrained = at(0).score;
        plane.cells.push({ i, j, shares: SPARSE.map((tau) => at(tau).score / untrained) });
      } catch (error) {
        if (!(error instanceof BranchError)) throw error;
      }
    }
    return plane.next < plane.order.length;
  }

  function drawPlane(values) {
    const box = boxes.plane, width = Math.max(box.clientWidth, 240), left = 58, bottom = 44, size = Math.min(width - left - 14, 420);
    const cell = size / PLANE, height = size + bottom + 8, at = Math.log(values.tau / SHORTEST) / Math.log(SPARSE[1] / SPARSE[0]);
    const before = Math.min(Math.floor(at), SPARSE.length - 2), share = at - before;
    const parts = plane.cells.map(({ i, j, shares }) => {
      const error = shares[before] * (1 - share) + shares[before + 1] * share;
      // From 0 (nothing is off) through 1 (as an untrained network) to 2 and more (worse than that)
      const colour = error < 1 ? "good" : "bad", strength = error < 1 ? 1 - Math.max(error, 0) : Math.min(Math.log2(error) / 3, 1);
      return `<rect class="cell ${colour}" style="--strength: ${(100 * strength).toFixed(0)}%" x="${(left + j * cell).toFixed(1)}" ` +
        `y="${(8 + size - (i + 1) * cell).toFixed(1)}" width="${(cell + 0.5).toFixed(1)}" height="${(cell + 0.5).toFixed(1)}"/>`;
    });
    const px = (psiN) => left + ((Math.log2(psiN) / 8) * (PLANE - 1) + 0.5) * cell;
    const py = (psiP) => 8 + size - ((Math.log2(psiP) / 9) * (PLANE - 1) + 0.5) * cell;
    for (const value of [1, 4, 16, 64, 256]) {
      parts.push(`<text class="tick" x="${px(value)}" y="${size + 24}" text-anchor="middle">${value}</text>`);
      parts.push(`<text class="tick" x="${left - 6}" y="${py(value)}" dy="0.35em" text-anchor="end">${value}</text>`);
    }
    parts.push(`<text class="name" x="${left + size / 2}" y="${height - 4}" text-anchor="middle">training points ψₙ</text>`);
    parts.push(`<text class="name" transform="translate(14 ${8 + size / 2}) rotate(-90)" text-anchor="middle">features ψₚ</text>`);
    parts.push(`<circle class="here" cx="${px(values.psiN)}" cy="${py(values.psiP)}" r="7"/>`);
    box.innerHTML = `<svg viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" ` +
      `aria-label="Error of the score for every number of points and features, at this training time">${parts.join("")}</svg>`;
    box.onclick = (event) => {
      const seen = box.getBoundingClientRect(), to = (key, share, max) => (inputs[key].value = Math.min(Math.max(share * max, 0), max));
      to("psiN", ((event.clientX - seen.left - left) / cell - 0.5) / (PLANE - 1), 8);
      to("psiP", ((8 + size - (event.clientY - seen.top)) / cell - 0.5) / (PLANE - 1), 9);
      changed();
    };
  }

  // A change is shown at once with few nodes; more digits and the plane come when the reader lets go.

  let waiting = 0, resting = 0;

  const same = (a, b) => a && Object.keys(a).every((key) => key === "tau" || a[key] === b[key]);

  function changed() {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => {
      const values = read();
      if (!same(known.values, values)) known = compute(values, COARSE);
      show(values);
      clearTimeout(resting);
      resting = setTimeout(refine, 150);
    });
  }

  function refine() {
    if (known.message) return;
    const values = read();
    for (const nodes of NODES) {
      if (known.residual < AGREED || nodes <= known.nodes) continue;
      const finer = compute(values, nodes);
      if (finer.message) break;
      finer.residual = Math.max(...finer.curve.flatMap((point, i) =>
        ["train", "test"].map((name) => Math.abs(point[name] - known.curve[i][name]) / Math.max(1, point[name]))));
      known = finer;
      show(values);
      resting = setTimeout(refine, 20);
      return;
    }
    if (continuePlane()) resting = setTimeout(refine, 0);
    drawPlane(values);
  }

  page.addEventListener("input", changed);
  addEventListener("resize", changed);
  page.querySelector(".play").addEventListener("click", ({ currentTarget: button }) => {
    const running = button.getAttribute("aria-pressed") === "true";
    button.setAttribute("aria-pressed", String(!running));
    if (running) return;
    if (Number(inputs.tau.value) >= 7.9) inputs.tau.value = -1;
    const step = () => {
      if (button.getAttribute("aria-pressed") !== "true") return;
      inputs.tau.value = Number(inputs.tau.value) + 0.05;
      changed();
      if (Number(inputs.tau.value) >= 8) button.setAttribute("aria-pressed", "false");
      else setTimeout(step, 50);
    };
    step();
  });
  changed();
})();
