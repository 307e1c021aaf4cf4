"""Images of the reader's own: read from files, known by their content, learned, and how long they may be learned."""

import io
import re
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from diffmemlib.__main__ import app
from diffmemlib.companion.estimators import images as estimate, window
from diffmemlib.companion.figures.images import tile
from diffmemlib.companion.figures.window import prediction
from diffmemlib.companion.sweeps.tables import sweep_configs
from diffmemlib.data import own
from diffmemlib.data.images import Images, images
from diffmemlib.data.inventory import SourceError
from diffmemlib.data.letters import draw_letters
from diffmemlib.data.picture import coloured, shrink
from diffmemlib.experiments import unet
from diffmemlib.metrics import memorization
from diffmemlib.metrics.digit_features import untrained_features
from diffmemlib.places import checkout
from diffmemlib.runs.store import Result
from diffmemlib.timescales.crossings import Timescale

ROOT = checkout()

COUNT = 150


def png(picture: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()


def blob(i: int) -> Image.Image:
    """A grey picture, 40 x 30, another for each i."""
    y, x = np.mgrid[:30, :40]
    inside = (x - 12 - i % 15) ** 2 + (y - 8 - i // 15) ** 2 < 60
    return Image.fromarray((np.where(inside, 230, 20)).astype(np.uint8))


@pytest.fixture
def folder(place: Path) -> Path:
    made = place / "pictures"
    (made / "b").mkdir(parents=True)
    for i in range(COUNT):
        (made / ("b" if i % 2 else "") / f"{i:03d}.PNG").write_bytes(png(blob(i)))
    for name in ("notes.txt", ".hidden.png"):
        (made / name).write_text("no picture")
    return made


def test_folder_and_zip_give_the_same_data_in_the_order_of_names(folder: Path, place: Path):
    own.prepare(folder, "one", 16, progress=False)
    archive = place / "pictures.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*.PNG"), reverse=True):
            file.write(path, path.relative_to(folder).as_posix())
    own.prepare(archive, "two", 16, progress=False)
    one, two = (np.load(place / "data" / f"{name}-16.npy") for name in ("one", "two"))
    assert np.array_equal(one, two)
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.PNG"))
    assert np.array_equal(one[3], shrink((folder / names[3]).read_bytes(), names[3], 16))
    assert own.identify("one", 16).removeprefix("one") == own.identify("two", 16).removeprefix("two")


def test_what_repeats_is_left_out_and_the_parts_share_nothing(folder: Path):
    for i in range(5):
        (folder / f"again-{i}.png").write_bytes(png(blob(i)))
    own.prepare(folder, "mine", 16, progress=False)
    data = images(own.identify("mine", 16), 16)
    everything = [bytes(x.numpy()) for x in torch.cat([data.pool, data.test])]
    assert len(everything) == len(set(everything)) == COUNT
    assert len(data.test) == COUNT // 4
    assert "155 images, 5 equal to an earlier one and left out: 113 to take training sets from, 37 held out" in (
        own.summary("mine", 16)
    )


def test_other_images_under_the_same_name_are_another_run(folder: Path):
    own.prepare(folder, "mine", 16, progress=False)
    before = unet.UNetConfig.from_parameters({"tier": "smoke", "dataset": "mine"})
    assert before.dataset == own.identify("mine", 16)
    assert before.features == "untrained"
    assert f"-p dataset {before.dataset}" in before.command
    (folder / "000.PNG").write_bytes(png(blob(99)))
    own.prepare(folder, "mine", 16, progress=False)
    assert unet.UNetConfig.from_parameters({"tier": "smoke", "dataset": "mine"}).id != before.id
    with pytest.raises(SourceError, match=r"mine-16.npy holds other images \(mine@.*\) than this run's"):
        unet.job(before)
    (own.prepared_path("mine", 16)).unlink()
    again = unet.UNetConfig.from_parameters({"tier": "smoke", "dataset": before.dataset})
    assert again.id == before.id  # a table with the checksum can be read without the images
    with pytest.raises(FileNotFoundError, match="data images FOLDER --name mine --size 16"):
        unet.job(again)


def spoil(kind: str, folder: Path) -> tuple[Path, str, str]:
    """A source with one thing wrong, the name and the size that are asked for."""
    if kind == "no image":
        (folder / "000.PNG").write_bytes(b"no picture")
    elif kind == "few":
        for path in list(folder.rglob("*.PNG"))[10:]:
            path.unlink()
    elif kind == "16 bits":
        (folder / "000.PNG").write_bytes(png(Image.fromarray(np.full((20, 20), 40000, np.uint16))))
    elif kind == "archive":
        (folder / "a.zip").write_bytes(b"PK, or not")
        return folder / "a.zip", "mine", "16"
    elif kind == "nothing":
        return folder / "nowhere", "mine", "16"
    return folder, {"name": "My Data", "taken": "digits"}.get(kind, "mine"), "10" if kind == "size" else "16"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("no image", "000.PNG cannot be read as an image"),
        ("few", "pictures holds 10 images, and 140 are the fewest"),
        ("16 bits", "000.PNG cannot be read as an image (it has more than 8 bits a channel"),
        ("archive", "a.zip is not a whole zip archive"),
        ("nothing", "nowhere does not exist; give a folder or zip of images"),
        ("name", "--name My Data: small letters"),
        ("taken", "--name digits: small letters"),
        ("size", "--size 10: the U-Net takes sides that are multiples of 4"),
    ],
)
def test_a_bad_source_gives_one_sentence_and_no_output(kind: str, message: str, folder: Path, place: Path):
    source, name, size = spoil(kind, folder)
    run = CliRunner().invoke(app, ["data", "images", str(source), "--name", name, "--size", size])
    assert run.exit_code == 1
    assert message in run.output
    assert run.output.count("Error: ") == 1
    assert not list((place / "data").glob("mine*"))


def test_what_is_transparent_is_white_and_colour_is_grey():
    clear = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    assert (shrink(png(clear), "a.png", 8) == 255).all()
    red = Image.new("RGB", (20, 20), (255, 0, 0))
    assert (shrink(png(red), "a.png", 8) == round(0.2989 * 255)).all()


def test_a_photograph_is_upright_as_its_camera_says():
    half = Image.fromarray(np.repeat([[255], [0]], 10, axis=0).repeat(20, axis=1).astype(np.uint8))  # white above
    exif = Image.Exif()
    exif[0x0112] = 3  # held upside down
    file = io.BytesIO()
    half.save(file, "JPEG", exif=exif)
    upright = shrink(file.getvalue(), "a.jpg", 4)[0]
    assert upright[0].max() < 30
    assert upright[-1].min() > 225


def test_gaussian_images_have_the_pools_two_moments():
    g = np.random.Generator(np.random.Philox(1))
    pool = 128 + 15 * g.standard_normal((60, 1, 4, 4)) @ g.standard_normal((4, 4))
    data = Images(torch.from_numpy(pool.clip(0, 255)).byte(), torch.zeros(1, 1, 4, 4, dtype=torch.uint8))
    flat = data.pool.flatten(1).double() / 255
    twins = data.gaussian_images(40_000, seed=0).flatten(1).double()
    spread = flat.std(0)
    assert ((twins.mean(0) - flat.mean(0)).abs() < 0.03 * spread).all()
    assert torch.allclose(torch.cov(twins.T), torch.cov(flat.T), atol=0.05 * float(spread.max()) ** 2)
    assert not torch.equal(twins[:60].float(), flat.float())


def test_untrained_features_are_fixed_and_have_unit_total_variance():
    x = torch.rand(100, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(5)
    first, again = untrained_features(x)(x), untrained_features(x)(x)
    assert torch.equal(first, again)
    assert float(first.double().var(0).sum()) == pytest.approx(1, rel=1e-5)
    assert untrained_features(x)(x.repeat_interleave(2, 2).repeat_interleave(2, 3)).allclose(first, atol=1e-5)


def test_the_letters_of_the_table_are_those_that_are_drawn(place: Path):
    """From drawing them to the runs that the page is drawn from."""
    assert draw_letters(place / "letters") == len(list((place / "letters").iterdir())) == 1248
    own.prepare(place / "letters", "letters", 16, progress=False)
    assert {c.dataset for c in sweep_configs("letters", "laptop", ROOT / "config")} == {own.identify("letters", 16)}


def test_a_run_on_images_of_ones_own(folder: Path, place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DIFFMEM_RESULTS", str(place / "results"))
    monkeypatch.setenv("DIFFMEM_CHECKPOINTS", str(place / "checkpoints"))
    own.prepare(folder, "mine", 16, progress=False)
    result = unet.run(unet.UNetConfig.from_parameters({"tier": "smoke", "dataset": "mine"}), show_progress=False)
    real, twins = (result.provenance[f"fd_untrained_{name}"] for name in ("real", "gaussian"))
    assert 0 < real < twins
    assert estimate.quality([result]) == "fd_untrained"
    assert estimate.good(result, "fd_untrained") == twins
    pool = {bytes(x.numpy()) for x in images(own.identify("mine", 16), 16).pool}
    assert all(x.tobytes() in pool for x in result.samples["nearest"].reshape(-1, 256))


def tinted(i: int) -> Image.Image:
    """The same picture, blue on a ground of another colour for each i."""
    ground = Image.new("RGB", (40, 30), (200 - i, 40 + i, 30))
    ground.paste((10, 20, 220), mask=blob(i))
    return ground


def test_colours_are_kept_unless_grey_is_asked_for(folder: Path, place: Path):
    made = place / "tinted"
    made.mkdir()
    for i in range(COUNT):
        (made / f"{i:03d}.png").write_bytes(png(tinted(i)))
    for name, options, channels in (("kept", [], 3), ("grey", ["--grey"], 1)):
        done = CliRunner().invoke(app, ["data", "images", str(made), "--name", name, "--size", "8", *options])
        assert done.exit_code == 0, done.output
        assert f"{COUNT} files with colours" in done.output
        array = np.load(place / "data" / f"{name}-8.npy")
        assert array.shape == (COUNT, channels, 8, 8)
    one = Image.open(made / "003.png").resize((8, 8))  # a look at the order of the channels, not at rounding
    assert np.argmax(np.load(place / "data" / "kept-8.npy")[3].mean((1, 2))) == np.argmax(np.asarray(one).mean((0, 1)))
    own.prepare(folder, "plain", 8, progress=False)
    assert np.load(place / "data" / "plain-8.npy").shape == (COUNT, 1, 8, 8)


def test_a_grey_photograph_that_jpeg_tinted_counts_as_grey():
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 1), dtype=np.uint8).repeat(3, 2)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "JPEG", quality=60, subsampling=2)
    grey, colour = (shrink(data, "a", 16, colours=True)[None] for data in (file.getvalue(), png(tinted(3))))
    assert coloured(grey) == 0 and coloured(colour) == 1


def test_a_run_on_coloured_images_draws_coloured_samples(place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DIFFMEM_RESULTS", str(place / "results"))
    monkeypatch.setenv("DIFFMEM_CHECKPOINTS", str(place / "checkpoints"))
    (place / "tinted").mkdir()
    for i in range(COUNT):
        (place / "tinted" / f"{i:03d}.png").write_bytes(png(tinted(i)))
    own.prepare(place / "tinted", "mine", 16, progress=False)
    config = unet.UNetConfig.from_parameters({"tier": "smoke", "dataset": "mine"})
    result = unet.run(config, show_progress=False)
    assert result.samples["samples"].shape[2:] == result.samples["nearest"].shape[2:] == (3, 16, 16)
    pool = {bytes(x.numpy()) for x in images(own.identify("mine", 16), 16).pool}
    assert all(x.tobytes() in pool for x in result.samples["nearest"].reshape(-1, 768))
    picture = tile(result, 0, columns=2, zoom=1)
    cell = picture[22 + 3 : 22 + 3 + 16, 3 : 3 + 16]  # below the sample, within frame and margin
    assert np.array_equal(cell.transpose(2, 0, 1), result.samples["nearest"][0, 0])
    with pytest.raises(ValueError, match="they see grey images"):
        unet.job(unet.UNetConfig.from_parameters({"tier": "smoke", "dataset": "mine", "features": "digits"}))


def made(n: int, seed: int = 0, late: float = 1.0, end: float = 1e6) -> Result:
    """tau_gen = 1000; f_mem rises from 0 at late * 25 n^1.1, by 0.02 a factor e."""
    tau = np.geomspace(10, 1e6, 241)
    tau = tau[tau <= end]
    curves = {"fd_untrained": 150 / tau, "f_mem": np.clip(0.02 * np.log(tau / (late * 25 * n**1.1)), 0, 1)}
    rows = [(t, name, v, v, v) for name, values in curves.items() for t, v in zip(tau, values, strict=True)]
    table = pd.DataFrame(rows, columns=["step", "metric", "value", "low", "high"])
    return Result(
        Path(f"made-{n}-{seed}"), {"n": n, "seed": seed, "samples": 10**9}, table, {"fd_untrained_gaussian": 0.15}
    )


RUNS = [made(32, late=1.05), made(32, 1, 0.96), made(64), made(64, 1, 1.02), made(128, late=0.98), made(256)]


def number(text: str) -> float:
    """A number as a page writes it."""
    return float(text.replace(",", ""))


def test_windows_say_when_samples_are_good_and_copied():
    table = window.windows([*RUNS, made(8), made(512, end=5000)]).set_index(["n", "seed"])
    e = np.e
    assert table["good from"].map(number).to_numpy() == pytest.approx(1000, rel=0.01)
    assert number(table["copies from"][256, 0]) == pytest.approx(e * 25 * 256**1.1, rel=0.01)
    assert table["copies from"][512, 0].startswith("> ")
    assert table["window"][8, 0] == "no"
    assert (table["window"].drop((8, 0)) == "yes").all()


def test_the_largest_n_is_predicted_from_the_others():
    told = window.predictions(RUNS, pool=1024)
    fitted, by_paper = told.iloc[0], told.iloc[1]
    assert fitted["steps"] == pytest.approx(np.e * 25 * 256**1.1, rel=0.05)
    assert fitted["low"] < number(fitted["measured"]) < fitted["high"]
    assert by_paper["steps"] < fitted["steps"]  # the exponent of these runs is 1.1
    assert told["n"].tolist() == [256, 256, 1024, 1024]
    assert told["measured"].tolist()[2:] == ["", ""]
    _, table = prediction(RUNS, 1024)
    line = table[table["time"] == "predicted"].set_index("n")
    np.testing.assert_allclose(line["tau"].iloc[-1], window.tau_mem_at(RUNS[:-1], 1024).value)
    with pytest.raises(ValueError, match="every run has n = 256"):
        window.predictions(RUNS[-1:], 1024)


@pytest.mark.parametrize(
    ("good", "copies", "expected"),
    [
        ((100, "interpolated"), (200, "interpolated"), "yes"),
        ((200, "interpolated"), (100, "interpolated"), "no"),
        ((100, "interpolated"), (100, "censored"), "yes"),  # copies only after the end, at which samples were good
        ((200, "interpolated"), (100, "censored"), "unknown"),
        ((100, "censored"), (50, "interpolated"), "no"),
        ((100, "censored"), (200, "interpolated"), "unknown"),
        ((100, "at first point"), (200, "interpolated"), "yes"),
        ((100, "at first point"), (100, "at first point"), "unknown"),
        ((300, "interpolated"), (100, "at first point"), "no"),
    ],
)
def test_a_window_is_told_where_bounds_allow_it(good, copies, expected: str):
    assert window.window_between(Timescale(*good), Timescale(*copies)) == expected


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        ((150, "interpolated"), "inside the interval"),
        ((250, "interpolated"), "outside the interval"),
        ((50, "censored"), "not contradicted: the run ended before it could be told"),
        ((150, "censored"), "not contradicted: the run ended before it could be told"),
        ((250, "censored"), "outside the interval"),
        ((150, "at first point"), "not contradicted: the run was first measured after it could be told"),
        ((50, "at first point"), "outside the interval"),
    ],
)
def test_a_bound_contradicts_a_prediction_only_where_it_excludes_all_of_it(measured, expected: str):
    assert window.verdict(100, 200, Timescale(*measured)) == expected
    assert window.verdict(0, np.inf, Timescale(*measured)).startswith("nothing to compare with")


def test_an_exponent_that_cannot_be_told_is_called_unknown():
    assert window.exponent_text(RUNS).startswith("1.09 [")
    ended = [made(32), made(64, end=100), made(128, end=100)]
    assert window.exponent_text(ended) == "unknown (copies were seen at fewer than two sizes)"


def test_the_lines_for_a_model_of_ones_own_run(monkeypatch):
    """Those that the page shows, with small arrays in place of the reader's."""
    page = (ROOT / "book" / "your-data.py").read_text()
    (code,) = re.findall(r"# ```python\n(.*?)# ```", page, re.DOTALL)
    g = np.random.Generator(np.random.Philox(0))
    train = torch.from_numpy(g.standard_normal((50, 3)))
    copied = [train[:k] + 1e-6 for k in (1, 20)]
    new = torch.from_numpy(g.standard_normal((100, 3)))
    names = {
        "train": train, "steps": [10, 100], "samples_at_checkpoints": [torch.cat([c, new]) for c in copied],
        **{f"tau_mem_{n}": own_time(n) for n in (250, 500, 1000)},
    }  # fmt: skip
    exec(re.sub(r"^# ?", "", code, flags=re.MULTILINE), names)
    assert names["tau_mem"].status in ("interpolated", "at first point")
    assert names["expected"] == pytest.approx(60_000)
    assert names["f_mem"] == [memorization.memorized_fraction(s, train).value for s in names["samples_at_checkpoints"]]


def own_time(n: int):
    return Timescale(3.0 * n, "interpolated")
