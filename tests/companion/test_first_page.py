"""The first page's figure holds what its runs measured."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diffmemlib.companion.estimators import scaling
from diffmemlib.companion.figures import curves, first_page
from diffmemlib.companion.sweeps.tables import sweep_results


@pytest.fixture(scope="module")
def runs():
    return [r for r in sweep_results("images-n") if r.config["seed"] == 0]


def test_a_sheet_has_a_row_for_each_milestone_and_a_column_for_each_sample() -> None:
    g = np.random.default_rng(0)
    images = g.integers(0, 256, (3, 5, 1, 4, 4), dtype=np.uint8)
    address = first_page.sheet(images)
    kind, _, body = address.partition(",")
    assert kind == "data:image/png;base64"
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(body))))
    assert sheet.shape == (12, 20)
    for milestone in range(3):
        for sample in range(5):
            cell = sheet[4 * milestone : 4 * milestone + 4, 4 * sample : 4 * sample + 4]
            assert (cell == images[milestone, sample, 0]).all()


def test_each_run_is_told_as_it_was_measured(runs) -> None:
    told = first_page.told(runs[::-1])
    assert [run["n"] for run in told] == sorted(r.config["n"] for r in runs)
    for run, result in zip(told, sorted(runs, key=lambda r: r.config["n"]), strict=True):
        assert run["steps"] == result.samples["step"].tolist()
        f_mem = result.curve("f_mem")["value"].loc[run["steps"]]
        assert run["f_mem"] == pytest.approx(f_mem.tolist(), abs=1e-4)
        assert (np.array(run["copied"]) == curves.copies(result)[:, : first_page.SHOWN]).all()
        assert run["mem"] == round(scaling.tau_mem([result])[0].tau)
        assert len(run["distance"]) == len(run["loss_test"]) == len(run["steps"])
    assert told[0]["gen"] is None  # n = 32 ends before its samples are good


def test_its_numbers_can_be_read_back_from_the_page_and_it_is_small(runs) -> None:
    page = first_page.show(runs).data
    assert len(page) < 1_500_000
    data = page.split('id="first-page-data">')[1].split("</script>")[0]
    assert json.loads(data) == json.loads(json.dumps(first_page.told(runs)))
    assert (Path(__file__).parents[2] / "book" / "api" / first_page.STILL).is_file()


def test_the_download_has_a_row_for_each_run_and_milestone(runs) -> None:
    table = first_page.curves(runs)
    assert len(table) == sum(len(r.samples["step"]) for r in runs)
    one = table[(table["n"] == 64) & (table["step"] == 2560)].iloc[0]
    result = next(r for r in runs if r.config["n"] == 64)
    assert one["f_mem"] == result.curve("f_mem")["value"].loc[2560]
