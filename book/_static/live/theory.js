/* The random-features theory in the limit d -> infinity, in the browser: what diffmemlib.rfnn computes, for a page.

The equations are those of diffmemlib/rfnn/model.py, support.py and learning_curves.py, with the same names. A test
compares the two, so a change there is a change here. A classic script, since pages opened from disk load no modules. */

globalThis.RandomFeatures = (() => {
  "use strict";

  // Complex numbers {re, im}

  const complex = (re, im = 0) => ({ re, im });
  const add = (a, b) => ({ re: a.re + b.re, im: a.im + b.im });
  const sub = (a, b) => ({ re: a.re - b.re, im: a.im - b.im });
  const mul = (a, b) => ({ re: a.re * b.re - a.im * b.im, im: a.re * b.im + a.im * b.re });
  const times = (a, s) => ({ re: a.re * s, im: a.im * s });
  const plus = (a, s) => ({ re: a.re + s, im: a.im });
  const conj = (a) => ({ re: a.re, im: -a.im });
  const abs = (a) => Math.hypot(a.re, a.im);
  const inv = (a) => {
    const size = a.re * a.re + a.im * a.im;
    return { re: a.re / size, im: -a.im / size };
  };
  const div = (a, b) => mul(a, inv(b));
  const exp = (a) => ({ re: Math.exp(a.re) * Math.cos(a.im), im: Math.exp(a.re) * Math.sin(a.im) });
  const expm1 = (a) => {
    const half = Math.sin(a.im / 2);
    return { re: Math.expm1(a.re) * Math.cos(a.im) - 2 * half * half, im: Math.exp(a.re) * Math.sin(a.im) };
  };
  const sum = (list) => list.reduce(add, complex(0));
  const minor = (a, b, c, d) => sub(mul(a, d), mul(b, c));
  const determinant = ([[a, b, c], [d, e, f], [g, h, i]]) =>
    add(sub(mul(a, minor(e, f, h, i)), mul(b, minor(d, f, g, i))), mul(c, minor(d, e, g, h)));
  /** The solution of three linear equations, by Cramer's rule. */
  const solve = ([[a, b, c], [d, e, f], [g, h, i]], [x, y, z]) => {
    const over = inv(determinant([[a, b, c], [d, e, f], [g, h, i]]));
    return [
      mul(determinant([[x, b, c], [y, e, f], [z, h, i]]), over),
      mul(determinant([[a, x, c], [d, y, f], [g, z, i]]), over),
      mul(determinant([[a, b, x], [d, e, y], [g, h, z]]), over),
    ];
  };

  class BranchError extends Error {}

  // Coefficients of the activation, Eqs. 12-16

  const ACTIVATIONS = { tanh: Math.tanh, sin: Math.sin, arctan: Math.atan };
  const STEP = 0.125; // of the trapezoidal rule, whose error for these functions is below rounding

  /** a_t, b_t, v_t^2 and s_t^2 of one activation, time and data variance; see coefficients.py. */
  function coefficients(t, variance, sigma) {
    const nodes = [], weights = [];
    for (let x = -9; x <= 9; x += STEP) {
      nodes.push(x);
      weights.push((STEP * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI));
    }
    const mean = (f) => nodes.reduce((total, x, i) => total + weights[i] * f(x, i), 0);
    const signal = Math.exp(-t) * Math.sqrt(variance), noise = Math.sqrt(-Math.expm1(-2 * t));
    const gamma = Math.hypot(signal, noise);
    const a = mean((x) => x * sigma(gamma * x)) / gamma, b = noise * a;
    const values = nodes.map((u) => nodes.map((v) => sigma(signal * u + noise * v)));
    const given = values.map((row) => mean((_, j) => row[j]));
    const v2 = mean((u, i) => (given[i] - a * signal * u) ** 2);
    const s2 = mean((_, i) => mean((v, j) => (values[i][j] - given[i] - b * v) ** 2));
    return { a, b, v2, s2 };
  }

  // The resolvent

  const START = 1e3, SHRINKS = [0.1, 0.6], RESIDUAL = 1e-10, ROUNDING = 1e-14;
  const CONVERGED = 1e-9; // relative: Newton's next step would be smaller than rounding

  class Model {
    /** psiP = p/d, psiN = n/d, t; covariance: [eigenvalue, weight] atoms; noises: m, or Infinity; activation by name. */
    constructor({ psiP, psiN, t, covariance = [[1, 1]], activation = "tanh", noises = Infinity }) {
      const variance = covariance.reduce((total, [lambda, weight]) => total + weight * lambda, 0);
      Object.assign(this, { psiP, psiN, t, covariance, variance, noises }, coefficients(t, variance, ACTIVATIONS[activation]));
      this.delta = -Math.expm1(-2 * t);
      this.alpha = this.a ** 2 * Math.exp(-2 * t);
      this.b2 = this.b ** 2;
      this.ratio = psiP / psiN;
      this.shared = this.ratio / noises;
      this.origin = noises === Infinity ? this.s2 : 0;
      this.bulkWeight = Math.min(1, noises === Infinity ? (1 + psiN) / psiP : 1 / this.shared);
      const features = (1 + Math.sqrt(psiP)) ** 2, largest = Math.max(...covariance.map(([lambda]) => lambda));
      this.top = [
        this.alpha * largest * features * (1 + 1 / Math.sqrt(psiN)) ** 2,
        this.b2 * features * (1 + 1 / Math.sqrt(psiN * noises)) ** 2,
        this.v2 * (1 + Math.sqrt(this.ratio)) ** 2,
        this.s2 * (1 + Math.sqrt(this.shared)) ** 2,
      ].reduce((total, part) => total + Math.sqrt(part), 0) ** 2;
    }

    /** D_1, D_2, kappa, and S_k and N_k of each atom. */
    denominators([q, r, u]) {
      const D2 = plus(times(add(times(u, this.b2), times(q, this.s2)), this.shared), 1);
      const D1 = add(D2, times(add(times(r, this.alpha), times(q, this.v2)), this.ratio));
      const over1 = inv(D1), over2 = inv(D2), m = this.noises;
      const kappa = add(times(over1, 1 / m), times(over2, 1 - 1 / m));
      const S = this.covariance.map(([lambda]) => add(times(kappa, this.b2), times(over1, this.alpha * lambda)));
      const N = S.map((s) => plus(times(mul(q, s), this.psiP), 1));
      return { over1, over2, kappa, S, N };
    }

    /** The three equations at z = origin + x, the first times q, and their Jacobian in (q, r, u). */
    residual(x, traces) {
      const [q, r, u] = traces, { b2, s2, v2, alpha, ratio, shared, psiP, noises: m } = this;
      const { over1, over2, kappa, S, N } = this.denominators(traces);
      const atoms = this.covariance.map(([lambda, weight], k) => {
        const overN = inv(N[k]);
        return { lambda, plain: times(overN, weight), twice: times(mul(overN, overN), weight), S: S[k] };
      });
      const total = (f) => sum(atoms.map(f));
      const inside = add(sub(plus(times(kappa, s2), -this.origin), x), add(times(over1, v2), total((k) => mul(k.plain, k.S))));
      const first = mul(q, inside);
      const equations = [
        plus(first, -1),
        sub(r, mul(q, total((k) => times(k.plain, k.lambda)))),
        sub(u, mul(q, total((k) => k.plain))),
      ];
      const jacobian = [[], [], []], inner = times(mul(q, q), psiP);
      [[shared * s2, shared * s2 + ratio * v2], [0, ratio * alpha], [shared * b2, shared * b2]].forEach(([D2by, D1by], by) => {
        const over1By = times(mul(over1, over1), -D1by);
        const kappaBy = sub(times(over1By, 1 / m), times(mul(over2, over2), (1 - 1 / m) * D2by));
        const SBy = (k) => add(times(kappaBy, b2), times(over1By, alpha * k.lambda));
        jacobian[0].push(mul(q, add(add(times(kappaBy, s2), times(over1By, v2)), total((k) => mul(k.twice, SBy(k))))));
        jacobian[1].push(mul(inner, total((k) => times(mul(k.twice, SBy(k)), k.lambda))));
        jacobian[2].push(mul(inner, total((k) => mul(k.twice, SBy(k)))));
      });
      const ownS = total((k) => mul(k.twice, mul(k.S, k.S)));
      jacobian[0][0] = add(jacobian[0][0], sub(inside, times(mul(q, ownS), psiP)));
      jacobian[1][0] = sub(jacobian[1][0], total((k) => times(k.twice, k.lambda)));
      jacobian[2][0] = sub(jacobian[2][0], total((k) => k.twice));
      jacobian[1][1] = plus(jacobian[1][1], 1);
      jacobian[2][2] = plus(jacobian[2][2], 1);
      return { equations, jacobian };
    }

    newton(x, traces, steps) {
      for (let step = 0, moved = 1; step < steps && moved > CONVERGED; step++) {
        const { equations, jacobian } = this.residual(x, traces), change = solve(jacobian, equations);
        moved = Math.max(...change.map((value, i) => abs(value) / abs(traces[i])));
        traces = traces.map((value, i) => sub(value, change[i]));
      }
      return traces;
    }

    /** Whether the equations are met by the physical solution, whose traces have positive imaginary parts. */
    proven(x, traces) {
      const { equations } = this.residual(x, traces);
      const off = equations.map((e, i) => (i ? abs(e) / Math.max(abs(traces[i]), 1e-300) : abs(e)));
      const [q, r, u] = traces;
      return Math.max(...off) < RESIDUAL && q.im > 0 && r.im > -ROUNDING * abs(r) && u.im > -ROUNDING * abs(u);
    }

    /** q, r, u at z = origin + x, Im x > 0: from a guess where that leads to a proven solution, else from far above. */
    traces(x, guess) {
      if (guess) {
        const near = this.newton(x, guess, 5);
        if (this.proven(x, near)) return near;
      }
      for (const shrink of SHRINKS) {
        let height = START * Math.max(1, this.top);
        const q = times(inv(complex(this.origin + x.re, height)), -1);
        let traces = [q, times(q, this.variance), q];
        for (; height > x.im; height *= shrink) traces = this.newton(complex(x.re, Math.max(height, x.im)), traces, 2);
        traces = this.newton(x, traces, 6);
        if (this.proven(x, traces)) return traces;
      }
      throw new BranchError("the equations could not be solved at these values");
    }

    /** Traces along a path of points, each from the one before. */
    along(path) {
      let before;
      return path.map((x) => (before = this.traces(x, before)));
    }

    /** z - origin, the second and the third equation, and dz/dq along solutions, at real traces; see model.py. */
    realBranch(traces) {
      const distance = div(this.residual(complex(0), traces).equations[0], traces[0]);
      const { equations, jacobian } = this.residual(distance, traces);
      return [distance, equations[1], equations[2], div(determinant(jacobian), traces[0])];
    }
  }

  // Where the spectrum ends; see support.py

  const NEAR = 1e-8, SLOPE = 0.32, CLOSEST = 1e-8;
  const GRIDS = [[200, 64], [1000, 400]]; // points that look for bulks, and points in each: finer where masses do not add up
  const MASS = 1e-3; // relative error that their sum may have

  const geometric = (low, high, count) =>
    Array.from({ length: count }, (_, i) => low * (high / low) ** (i / (count - 1)));

  function inside(model, distance, guess) {
    const far = model.traces(complex(distance, distance * NEAR), guess);
    const near = model.traces(complex(distance, (distance * NEAR) / 10), far);
    return { within: near[0].im > SLOPE * far[0].im, traces: near };
  }

  /** The edge between two distances, by Newton's method on dz/dq = 0; derivatives by a tiny imaginary step. */
  function polished(model, left, right, begins) {
    const outside = begins ? left : right;
    let at = model.traces(complex(outside, outside * NEAR)).map((value) => complex(value.re));
    for (let step = 0; step < 50; step++) {
      const wanted = model.realBranch(at).slice(1).map((value) => complex(value.re));
      const columns = at.map((value, axis) => {
        const moved = at.map((v, i) => (i === axis ? complex(v.re, 1e-30 * Math.abs(v.re)) : v));
        return model.realBranch(moved).slice(1).map((v) => complex(v.im * 1e30));
      });
      const change = solve(wanted.map((_, row) => columns.map((column) => column[row])), wanted).map((value) => value.re);
      at = at.map((value, i) => complex(value.re - change[i] * Math.abs(value.re)));
      if (Math.max(...change.map(Math.abs)) < 1e-13) break;
    }
    const distance = model.realBranch(at)[0].re;
    if (!(Math.abs(distance - (left + right) / 2) < 2 * (right - left) + 1e-3 * right))
      throw new BranchError("an edge of the spectrum could not be found at these values");
    return distance;
  }

  /** Every bulk: a grid of so many points in log(x) has one in each, then edges are halved and polished. */
  function bulks(model, count, points) {
    let grid = geometric(CLOSEST * Math.min(model.v2, model.s2), model.top, count);
    if (model.origin === 0) {
      const beside = geometric(CLOSEST * model.s2, model.s2 / 2, count / 2);
      grid = [...grid, ...beside.map((x) => model.s2 - x), ...beside.map((x) => model.s2 + x)].sort((a, b) => a - b);
    }
    let guess;
    const within = grid.map((distance) => {
      const tried = inside(model, distance, guess);
      guess = tried.traces;
      return tried.within;
    });
    const edges = within[0] ? [0] : [];
    for (let i = 1; i < grid.length; i++) {
      if (within[i] === within[i - 1]) continue;
      let [left, right] = [grid[i - 1], grid[i]], near;
      for (let step = 0; step < 16; step++) {
        const middle = Math.sqrt(left * right), tried = inside(model, middle, near);
        near = tried.traces;
        if (tried.within === within[i]) right = middle;
        else left = middle;
      }
      edges.push(polished(model, left, right, within[i]));
    }
    return edges.filter((_, i) => i % 2 === 0).map((low, i) => bulk(model, low, edges[2 * i + 1], points));
  }

  /** The spectrum: delta, bulks with edges, mass and density at some points, and the times psi_p/(Delta lambda). */
  function spectrum(model) {
    const weighed = GRIDS.map((grid) => () => bulks(model, ...grid)).reduce((found, next) => {
      if (found) return found;
      const tried = next(), total = tried.reduce((mass, part) => mass + part.mass, 0);
return Math.abs(total / model.bulkWeight - 1) < MASS ? tried : null;
    }, null);
    if (!weighed) throw new BranchError("a part of the spectrum was not found");
    let above = 0, split = -1;
    for (let i = weighed.length - 1; i > 0 && split < 0; i--) {
      above += weighed[i].mass;
      if (Math.abs(above * model.psiP - 1) < 10 * MASS) split = i;
    }
    const time = (part) => model.psiP / model.delta / part.low;
    return {
      delta: { place: model.origin, weight: 1 - model.bulkWeight }, bulks: weighed, split,
      tauGen: split < 0 ? NaN : time(weighed[split]), tauMem: time(weighed[split < 0 ? 0 : split - 1]),
    };
  }

  /** A bulk between two distances from the origin: its density ends as a root, so these points give its mass. */
  function bulk(model, low, high, points) {
    // Even in the cosine of an angle, in log(x + shift): a bulk over many decades has points in each of them.
    const shift = low > 0 ? 0 : model.s2, span = Math.log((high + shift) / (low + shift)), lambda = [], density = [];
    let mass = 0, guess;
    for (let i = 0; i < points; i++) {
      const angle = (Math.PI * (i + 0.5)) / points;
      const x = (low + shift) * Math.exp((span * (1 - Math.cos(angle))) / 2) - shift, point = complex(x, 1e-7 * x);
      guess = model.traces(point, guess);
      const value = Math.max(0, add(guess[0], times(inv(point), 1 - model.bulkWeight)).im / Math.PI);
      lambda.push(model.origin + x);
      density.push(value);
      mass += ((value * (x + shift) * span * Math.sin(angle)) / 2) * (Math.PI / points);
    }
    return { low: model.origin + low, high: model.origin + high, mass, lambda, density };
  }

  // The losses at every training time; see learning_curves.py

  const HEIGHTS = [0.7, 0.85];

  /** lim Tr[V^T R(z1) U~ R(z2) V]/d from what `prepared` gives at z1 and z2; see two_point. */
  function twoPoint(model, one, two) {
    const { psiP, ratio, shared, alpha, b2, s2, v2, noises: m } = model;
    let P0 = complex(0), P1 = complex(0), P2 = complex(0), PS = complex(0);
    model.covariance.forEach(([lambda, weight], k) => {
      const both = times(mul(one.overN[k], two.overN[k]), weight);
      P0 = add(P0, both);
      P1 = add(P1, times(both, lambda));
      P2 = add(P2, times(both, lambda * lambda));
      PS = add(PS, mul(both, mul(one.S[k], two.S[k])));
    });
    const qq = times(mul(one.q, two.q), psiP);
    const scale = inv(sub(mul(one.overQ, two.overQ), times(PS, psiP)));
    const cornerQ = [mul(plus(times(P0, b2), s2), scale), mul(plus(times(P1, alpha), v2), scale)];
    const cornerR = [
      add(mul(P1, cornerQ[0]), times(mul(qq, P1), b2)), add(mul(P1, cornerQ[1]), times(mul(qq, P2), alpha)),
    ];
    const cornerU = [
      add(mul(P0, cornerQ[0]), times(mul(qq, P0), b2)), add(mul(P0, cornerQ[1]), times(mul(qq, P1), alpha)),
    ];
    const D2 = [0, 1].map((i) => times(add(times(cornerU[i], b2), times(cornerQ[i], s2)), shared));
    const D1 = [0, 1].map((i) => add(D2[i], times(add(times(cornerR[i], alpha), times(cornerQ[i], v2)), ratio)));
    const over1 = mul(one.over1, two.over1), over2 = times(mul(one.over2, two.over2), 1 - 1 / m), rest = 1 - 1 / m;
    const a = times(mul(over1, D1[0]), -1), b = plus(times(mul(over1, D1[1]), -1), 1);
    const c = plus(times(mul(over2, D2[0]), -1), 1), d = plus(times(mul(over2, D2[1]), -1), -1 / m);
    const over = inv(sub(mul(a, d), mul(b, c)));
    const stay = mul(sub(d, times(b, rest)), over), grown = mul(sub(times(a, rest), c), over);
    const moved = plus(times(stay, -1), 1);
    const u12 = add(mul(cornerU[0], stay), mul(cornerU[1], grown));
    const through = add(mul(moved, add(mul(two.u, two.kappa), mul(one.kappa, one.u))), mul(mul(one.kappa, two.kappa), u12));
    return sub(times(through, b2 * psiP), moved);
  }

  /** Nodes on the upper half of a contour around the spectrum: z, dz/(2 pi i) and the traces of each. */
  function contour(model, { low, shift }, height, count) {
    const first = Math.log(low + shift) - height, last = Math.log(model.top + shift) + height, half = (last - first) / 2;
    const nodes = Array.from({ length: count / 2 }, (_, i) => {
      const angle = ((i + 0.5) * 2 * Math.PI) / count;
      const z = exp(complex((last + first) / 2 + half * Math.cos(angle), height * Math.sin(angle)));
      const slope = complex(-half * Math.sin(angle), height * Math.cos(angle));
      return { z: plus(z, -shift), dz: div(mul(z, slope), complex(0, count)) };
    });
    const traces = model.along(nodes.map(({ z }) => plus(z, -model.origin)));
    return nodes.map((node, i) => {
      const [q, r, u] = traces[i], { N, ...parts } = model.denominators(traces[i]);
      return { ...node, ...parts, q, r, u, overQ: inv(q), overN: N.map(inv) };
    });
  }

  const mirrored = (node) =>
    Object.fromEntries(Object.entries(node).map(([name, v]) => [name, Array.isArray(v) ? v.map(conj) : conj(v)]));

  /** A function of training times that gives train loss, test loss and E_score, for times up to `longest`. */
  function learningCurves(model, { ridge = 0, longest = 1e8, nodes = 200 } = {}) {
    const c = (2 * model.delta) / model.psiP;
    const frozen = model.noises !== Infinity;
    const where = { low: frozen ? 0 : model.s2, shift: frozen ? Math.min(ridge + 1 / (c * longest), model.top) : 0 };
    const [one, upper] = HEIGHTS.map((height) => contour(model, where, height, nodes));
    const two = [...upper, ...upper.map(mirrored)], half = one.length, full = two.length;
    const real = new Float64Array(half * full), imag = new Float64Array(half * full);
    one.forEach((first, i) =>
      two.forEach((second, j) => {
        const Q = twoPoint(model, first, second);
        real[i * full + j] = Q.re;
        imag[i * full + j] = Q.im;
      })
    );
    const g = (tau, z) => {
      const moved = plus(z, ridge);
      return div(expm1(times(moved, -c * tau)), moved);
    };
    const inverse = model.covariance.reduce(
      (total, [lambda, weight]) => total + weight / (Math.exp(-2 * model.t) * lambda + model.delta), 0
    );
    const at = (tau) => {
      let train = 1, test = 1;
      const outer = one.map((node) => {
        const value = g(tau, node.z), cross = times(mul(node.kappa, node.u), model.b2 * model.psiP);
        const X = plus(add(times(node.kappa, -1), mul(node.kappa, cross)), 1);
        train -= 2 * mul(add(mul(node.z, mul(value, value)), times(value, 2)), mul(X, node.dz)).re;
        test -= 4 * mul(value, mul(cross, node.dz)).re;
        return mul(value, node.dz);
      });
      const inner = upper.map((node) => mul(g(tau, node.z), node.dz));
      for (let i = 0; i < half; i++) {
        let re = 0, im = 0;
        for (let j = 0; j < half; j++) {
          const a = i * full + j, b = a + half, h = inner[j];
          re += (real[a] + real[b]) * h.re - (imag[a] - imag[b]) * h.im;
          im += (imag[a] + imag[b]) * h.re + (real[a] - real[b]) * h.im;
        }
        test += 2 * (outer[i].re * re - outer[i].im * im);
      }
      return { tau, train, test, score: (test - 1) / model.delta + inverse };
    };
    return at;
  }

  return { ACTIVATIONS, BranchError, Model, coefficients, learningCurves, spectrum };
})();
