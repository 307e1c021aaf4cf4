"""A sample of mutants of the core modules, each run against the tests of its package: python tests/mutation.py

Cosmic Ray makes the mutants, in a copy of the checkout. What no test notices is printed with its difference; some of
these change nothing that could be noticed (a tolerance, a block size), the others want a test.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import cosmic_ray.commands
from cosmic_ray.config import ConfigDict
from cosmic_ray.modules import find_modules
from cosmic_ray.work_db import use_db
from cosmic_ray.work_item import TestOutcome

ROOT = Path(__file__).resolve().parents[1]
CORE = {  # module -> the tests that are to notice a change in it
    "diffusion/schedule": "tests/diffusion",
    "diffusion/samplers": "tests/diffusion tests/experiments/test_conditional.py",
    "diffusion/losses": "tests/diffusion tests/experiments/test_conditional.py tests/training/test_loop.py",
    "metrics/memorization": "tests/metrics/test_memorization.py",
    "metrics/frechet": "tests/metrics/test_frechet.py",
    "metrics/kl": "tests/metrics/test_kl.py",
    "metrics/neighbour_kl": "tests/metrics/test_neighbour_kl.py",
    "metrics/empirical": "tests/diffusion/test_schedule.py",
    "timescales/crossings": "tests/timescales",
    "timescales/censored": "tests/timescales",
    "timescales/power_laws": "tests/timescales",
    "timescales/prediction": "tests/timescales",
    "training/loop": "tests/training/test_loop.py",
    "training/checkpoints": "tests/training/test_loop.py",
    "training/ensemble": "tests/training/test_ensemble.py",
    "rfnn/coefficients": "tests/rfnn",
    "rfnn/spectrum": "tests/rfnn/test_rfnn_spectrum.py",
    "rfnn/model": "tests/rfnn/test_rfnn_noises.py tests/rfnn/test_rfnn_spectrum.py",
    "rfnn/learning_curves": "tests/rfnn/test_rfnn_learning_curves.py tests/rfnn/test_rfnn_noises.py",
    "runs/store": "tests/runs/test_runs.py",
    "runs/config": "tests/runs/test_runs.py",
}
ANNOTATIONS = "ReplaceBinaryOperator_BitOr"  # X | None, which is never evaluated


def sample(count: int, seed: int, modules: list[str]) -> list[tuple[str, object]]:
    """Mutants of the modules, as many from each as the next, drawn at random."""
    rng, chosen = random.Random(seed), []
    with tempfile.TemporaryDirectory() as folder:
        for module in modules:
            with use_db(str(Path(folder) / "all.sqlite")) as database:
                database.clear()
                cosmic_ray.commands.init(find_modules([Path(f"diffmemlib/{module}.py")]), database, {})
                items = [w for w in database.work_items if ANNOTATIONS not in w.mutations[0].operator_name]
            chosen += [(module, item) for item in rng.sample(items, min(len(items), -(-count // len(modules))))]
    rng.shuffle(chosen)
    return chosen[:count]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=68, help="how many mutants")
    parser.add_argument("--minutes", type=float, default=15, help="begin no further mutant after this time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--module", action="append", choices=list(CORE), help="only this one; may be repeated")
    options = parser.parse_args()
    began, killed, survived = time.monotonic(), 0, []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "checkout"
        skip = shutil.ignore_patterns(".git", ".venv*", "_build", "checkpoints", "executed", "data", "__pycache__")
        shutil.copytree(ROOT, copy, ignore=lambda d, names: skip(d, names) if Path(d) == ROOT else [])
        sys.path.insert(0, str(copy))
        import os

        os.chdir(copy)
        os.environ |= {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        mutants = sample(options.sample, options.seed, options.module or list(CORE))
        for i, (module, item) in enumerate(mutants):
            if time.monotonic() - began > 60 * options.minutes:
                print(f"the time is over: {len(mutants) - i} mutants were not tried")
                break
            config = ConfigDict({
                "timeout": 240.0, "distributor": {"name": "local"},
                "test-command": f"{sys.executable} -m pytest -x -q -p no:cacheprovider {CORE[module]}",
            })  # fmt: skip
            with use_db(str(Path(folder) / f"{i}.sqlite")) as database:
                database.add_work_item(item)
                cosmic_ray.commands.execute(database, config)
                ((_, result),) = database.results
            noticed = result.test_outcome == TestOutcome.KILLED
            killed += noticed
            if not noticed:
                survived.append((module, result.diff))
            mutation = item.mutations[0]
            verdict = "noticed" if noticed else "SURVIVED"
            print(f"{verdict:9} {module} line {mutation.start_pos[0]} {mutation.operator_name}", flush=True)
    for module, diff in survived:
        print(f"\n{module}\n{diff}")
    print(f"\n{killed} of {killed + len(survived)} mutants noticed, {(time.monotonic() - began) / 60:.1f} minutes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
