"""What a probe reads: each kind of source with what it says of it, and each kind of fault in one sentence."""

import io
import pickle
import re
import zipfile
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import torch
from PIL import Image

from diffmemlib.data.inventory import SourceError
from diffmemlib.data.own import FEWEST
from diffmemlib.probe.data import Data, or_no_folder, read

COUNT = 160
RNG = np.random.default_rng(0)
VECTORS = RNG.normal(5, 3, (COUNT, 4))
GREY = RNG.integers(0, 256, (COUNT, 12, 12), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (COUNT, 12, 12, 3), dtype=np.uint8)


def probe_data(path: Path | str, out: Path, **options) -> Data:
    return read(str(path), out, progress=False, **options)


def save(path: Path, array) -> Path:
    frame = pd.DataFrame(array, columns=list("abcd")) if np.ndim(array) == 2 else None
    writers = {
        ".npy": lambda: np.save(path, array), ".npz": lambda: np.savez(path, only=array),
        ".safetensors": lambda: safetensors.numpy.save_file({"x": array}, path),
        ".csv": lambda: frame.to_csv(path, index=False), ".tsv": lambda: frame.to_csv(path, index=False, sep="\t"),
        ".parquet": lambda: frame.to_parquet(path),
    }  # fmt: skip
    writers[path.suffix]()
    return path


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors", ".csv", ".tsv", ".parquet"])
def test_vectors_of_every_kind_of_file_are_the_same_data(tmp_path, suffix: str):
    data = probe_data(save(tmp_path / f"x{suffix}", VECTORS), tmp_path)
    assert data.kind == "vectors" and data.shape == (4,) and data.count == COUNT
    assert len(data.held_out) == COUNT // 4
    back = torch.cat([data.in_file_units(data.held_out), data.in_file_units(data.pool)]).double().numpy()
    np.testing.assert_allclose(back[np.lexsort(back.T)], VECTORS[np.lexsort(VECTORS.T)], rtol=1e-5)
    whole = torch.cat([data.pool, data.held_out]).double()
    torch.testing.assert_close(whole.mean(0), torch.zeros(4).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(whole.std(0), torch.ones(4).double(), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("array", "shape"),
    [(GREY, (1, 8, 8)), (COLOUR, (3, 8, 8)), (np.moveaxis(COLOUR, -1, 1) / 255.0, (3, 8, 8)),
     (GREY[..., None], (1, 8, 8)), (GREY / 127.5 - 1, (1, 8, 8))],
    ids=["grey", "channels last", "channels first in [0, 1]", "one channel", "in [-1, 1]"],
)  # fmt: skip
def test_images_in_an_array_are_known_by_their_shape_and_range(tmp_path, array, shape):
    data = probe_data(save(tmp_path / "x.npy", array), tmp_path, size=8)
    assert data.kind == "images" and data.shape == shape
    shown = data.in_file_units(data.pool)
    assert 0 <= float(shown.min()) < 0.2 and 0.8 < float(shown.max()) <= 1
    assert any("12 x 12" in line for line in data.found)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("channels", [2, 5])
def test_fields_of_any_number_of_channels_and_any_range_keep_their_values(tmp_path, channels: int, last: bool):
    # Channels in other units, such as a temperature beside a humidity below 0.02.
    units = np.array([280.0, 0.01, -30.0, 1e4, 5.0])[:channels, None, None]
    fields = units * (1 + 0.2 * RNG.normal(size=(COUNT, channels, 12, 12)))
    array = np.moveaxis(fields, 1, -1) if last else fields
    data = probe_data(save(tmp_path / "x.npy", array), tmp_path, size=12)
    assert data.kind == "images" and data.shape == (channels, 12, 12)
    assert any("In each channel the lowest number was made black" in line for line in data.found)
    low, span = fields.min((0, 2, 3), keepdims=True), np.ptp(fields, (0, 2, 3), keepdims=True)
    shown = data.in_file_units(torch.cat([data.held_out, data.pool])).numpy()
    first = np.abs(shown[:, None] - ((fields - low) / span)[None]).max(axis=(2, 3, 4)).min(axis=1)
    assert first.max() < 1 / 255, "each is one of the fields, to a shade"
    with pytest.raises(SourceError, match=f"--grey is for colours, and x.npy holds images of {channels} channels"):
        probe_data(tmp_path / "x.npy", tmp_path, grey=True)


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.02), (-0.01, 0.01), (0.0, 300.5)])
def test_numbers_that_fill_a_small_part_of_the_usual_range_keep_all_shades(tmp_path, low: float, high: float):
    data = probe_data(save(tmp_path / "x.npy", RNG.uniform(low, high, (COUNT, 12, 12))), tmp_path, size=12)
    assert len(torch.unique(data.pool)) > 250
    assert any("lowest number was made black" in line for line in data.found)


def test_small_pictures_are_told_to_be_enlarged(tmp_path):
    folder = pictures(tmp_path / "pictures")
    found = probe_data(folder, tmp_path / "out", size=16).found
    assert f"{COUNT} have sides of fewer than 16 pixels and were enlarged." in found
    assert not any("enlarged" in line for line in probe_data(folder, tmp_path / "out", size=12).found)
    found = probe_data(save(tmp_path / "x.npy", GREY), tmp_path).found
    assert "Each image of 12 x 12 was enlarged to 16 pixels (--size)." in found


def test_refused_data_leave_no_folder_but_the_pictures_that_were_read(tmp_path):
    out, there = tmp_path / "out", tmp_path / "there"
    there.mkdir()
    (there / "report.html").touch()
    for folder in (out, there):
        with pytest.raises(SourceError), or_no_folder(folder / "probe.lock"):
            folder.mkdir(exist_ok=True)
            (folder / "probe.lock").touch()
            raise SourceError("no")
    assert not out.exists() and {file.name for file in there.iterdir()} == {"report.html", "probe.lock"}
    folder = pictures(tmp_path / "pictures")
    (folder / "bad.png").write_bytes(b"no picture")
    with pytest.raises(SourceError, match=r"bad\.png"), or_no_folder(out / "probe.lock"):
        probe_data(folder, out)
    assert list(out.glob(".data.npy.parts/*/*.npz"))


@pytest.mark.parametrize("skip_bad", [False, True])
def test_files_none_of_which_can_be_taken_leave_nothing(tmp_path, skip_bad: bool):
    (tmp_path / "bad").mkdir()
    for i in range(COUNT):
        (tmp_path / "bad" / f"{i}.png").write_bytes(b"no picture")
    with pytest.raises(SourceError, match=r"none of the|no picture that can be taken"):
        read(str(tmp_path / "bad"), tmp_path / "out", skip_bad=skip_bad, progress=False)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_pictures_of_one_colour_are_told_and_too_many_are_refused(tmp_path):
    folder = pictures(tmp_path / "pictures")
    for i in range(3):
        Image.new("RGB", (12, 12), (i, 0, 90)).save(folder / f"blank-{i}.png")
    found = probe_data(folder, tmp_path / "out").found
    assert "3 have one colour all over; leave them out if they are not meant to be there." in found
    for i in range(COUNT + 10):  # of one colour channel, which is not one colour
        Image.fromarray(np.dstack([GREY[i % COUNT], GREY[i % COUNT] * 0 + i, GREY[0]])).save(folder / f"red-{i}.png")
    assert (
        "3 have one colour all over; leave them out if they are not meant to be there."
        in probe_data(folder, tmp_path / "other").found
    )
    blank = np.broadcast_to(np.arange(200, dtype=np.uint8)[:, None, None], (200, 12, 12))
    with pytest.raises(SourceError, match=r"200 of 200 pictures of blank\.npy have one colour all over: there is"):
        probe_data(save(tmp_path / "blank.npy", blank), tmp_path)


def test_colour_may_be_turned_to_grey(tmp_path):
    data = probe_data(save(tmp_path / "x.npy", COLOUR), tmp_path, size=12, grey=True)
    assert data.shape == (1, 12, 12)


def pictures(folder: Path, count: int = COUNT, mode: str = "RGB") -> Path:
    folder.mkdir()
    for i in range(count):
        picture = Image.fromarray(COLOUR[i % COUNT])
        (folder / f"{i:03d}.png").write_bytes(png(picture.convert(mode) if mode != "RGB" else picture))
    return folder


def png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L"])
def test_a_folder_or_zip_of_pictures_of_any_mode(tmp_path, mode: str):
    folder = pictures(tmp_path / "pictures", mode=mode)
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as file:
        for path in sorted(folder.iterdir()):
            file.write(path, path.name)
    one, two = (probe_data(tmp_path / name, tmp_path / name[-3:], size=8) for name in ("pictures", "pictures.zip"))
    assert one.checksum == two.checksum and one.shape == ((1, 8, 8) if mode == "L" else (3, 8, 8))
    assert one.found[0].startswith(f"{COUNT} files taken: {COUNT} .png")


def test_what_repeats_never_changes_or_is_near_is_said(tmp_path):
    array = np.concatenate([VECTORS, VECTORS[:10], VECTORS[:7] + 1e-6])
    data = probe_data(save(tmp_path / "x.npy", np.column_stack([array[:, :3], np.ones(len(array))])), tmp_path)
    text = "\n".join(data.found)
    assert data.shape == (3,)
    assert "1 column that never changes was left out" in text
    assert f"10 of {COUNT + 17} points equal an earlier one" in text
    (twins,) = re.findall(rf"(\d+) of {COUNT + 7} have a near-duplicate", text)
    assert 14 <= int(twins) < 30  # in three dimensions some are near by chance


def test_a_table_without_names_loses_no_line_and_columns_can_be_chosen(tmp_path):
    (tmp_path / "x.csv").write_text("\n".join(";".join(f"{v:.6f}" for v in row) for row in VECTORS))
    data = probe_data(tmp_path / "x.csv", tmp_path)
    assert data.count == COUNT and any("first line holds numbers and was taken for a point" in f for f in data.found)
    save(tmp_path / "y.csv", VECTORS)
    assert probe_data(tmp_path / "y.csv", tmp_path, columns=("b", "d")).shape == (2,)


def test_the_usual_tables_of_other_programs_are_read_as_they_are_meant(tmp_path):
    frame = pd.DataFrame(VECTORS, columns=["h, cm", " w ", "x", "y"])
    frame.to_csv(tmp_path / "pandas.csv")  # its index without a name is no column
    frame.to_csv(tmp_path / "mark.csv", index=False, encoding="utf-8-sig")
    frame.to_csv(tmp_path / "excel.csv", index=False, sep=";", encoding="utf-16")
    data = [probe_data(tmp_path / f"{name}.csv", tmp_path) for name in ("pandas", "mark", "excel")]
    assert len({d.checksum for d in data}) == 1 and data[0].shape == (4,)
    assert probe_data(tmp_path / "mark.csv", tmp_path, columns=("w", "h, cm", "w")).shape == (2,)


@pytest.mark.parametrize(
    ("head", "told"),
    [
        ("0,1,2,3", "Its first line numbers the columns, and was taken for their names."),
        ("1,2,3,4", "Its first line numbers the columns, and was taken for their names."),
        ("# made by a lab, in May\n# twice\na,b,c,d", "Comment lines (#) at its beginning, which were left out: 2."),
        (
            "# made by a lab",
            "Its first line holds numbers and was taken for a point: put a line of names above if it is none.",
        ),
        ("# a,b,c,d", "Its columns are a, b, c, d; --column NAME, given for each, chooses among them."),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_above_the_numbers_are_no_points(tmp_path, head: str, told: str, end: str):
    lines = head.splitlines() + [",".join(f"{v:.6f}" for v in row) for row in VECTORS]
    (tmp_path / "x.csv").write_bytes(end.join(lines).encode())
    data = probe_data(tmp_path / "x.csv", tmp_path)
    assert data.count == COUNT and data.shape == (4,) and told in data.found


def test_decimals_and_text_that_says_numbers_are_numbers_and_dates_are_none(tmp_path):
    frame = pd.DataFrame(VECTORS.round(6), columns=list("abcd"))
    frame.to_parquet(tmp_path / "floats.parquet")
    frame.map(lambda v: Decimal(f"{v:.6f}")).to_parquet(tmp_path / "decimals.parquet")
    frame.map(lambda v: f"{v:.6f}").to_parquet(tmp_path / "text.parquet")
    checksums = {probe_data(tmp_path / f"{n}.parquet", tmp_path).checksum for n in ("floats", "decimals", "text")}
    assert len(checksums) == 1
    for zone in (None, "UTC"):
        frame.assign(when=pd.date_range("2020", periods=COUNT, tz=zone)).to_parquet(tmp_path / "dates.parquet")
        with pytest.raises(SourceError, match=r"without numbers: when\. .* leave such columns out"):
            probe_data(tmp_path / "dates.parquet", tmp_path)


def test_labels_and_numbers_that_stand_for_gaps_are_told(tmp_path):
    frame = pd.DataFrame(VECTORS, columns=list("abcd")).assign(kind=np.arange(COUNT) % 3, one=np.arange(COUNT) % 2)
    frame.loc[3:8, "b"], frame.loc[9:10, "c"] = -9999.0, 1e6
    frame.to_csv(tmp_path / "x.csv", index=False)
    labels, gaps = probe_data(tmp_path / "x.csv", tmp_path).found[3:5]
    assert labels.startswith("At most 20 different whole numbers are in kind, one: if they are labels")
    assert gaps.startswith("Far from all others and repeated: -9999 in column b, 1e+06 in column c. If such numbers")
    np.save(tmp_path / "x.npy", frame.to_numpy(float))
    assert any(
        "-9999 in column 2, 1e+06 in column 3" in told for told in probe_data(tmp_path / "x.npy", tmp_path).found
    )
    pd.DataFrame(VECTORS).assign(tail=VECTORS[:, 0] ** 9, kind=np.arange(COUNT) % 3).to_csv(
        tmp_path / "y.csv", index=False
    )
    assert not any("Far from" in told for told in probe_data(tmp_path / "y.csv", tmp_path).found), "heavy tails"


def test_a_channel_without_content_is_told(tmp_path):
    images = np.stack([np.random.default_rng(0).random((COUNT, 8, 8)), np.zeros((COUNT, 8, 8))], axis=1)
    np.save(tmp_path / "x.npy", images)
    assert "Channel 2 has the same number everywhere: leave it out." in probe_data(tmp_path / "x.npy", tmp_path).found


@pytest.mark.parametrize("kind", [">f4", ">f8", "longdouble", "float16", "int32"])
def test_arrays_of_any_type_are_taken(tmp_path, kind: str):
    np.save(tmp_path / "x.npy", (10 * VECTORS).astype(kind))
    assert probe_data(tmp_path / "x.npy", tmp_path).count == COUNT
    np.save(tmp_path / "y.npy", GREY.astype(kind))
    assert probe_data(tmp_path / "y.npy", tmp_path, size=8).kind == "images"


def test_masks_of_zeros_and_ones_keep_their_contrast(tmp_path):
    masks = (GREY > 128).astype(np.uint8)
    data = probe_data(save(tmp_path / "x.npy", masks), tmp_path, size=12)
    assert set(data.in_file_units(data.pool).unique().round(decimals=4).tolist()) == {0.0, 1.0}


def test_data_of_another_scale_are_other_data(tmp_path):
    one, two = (probe_data(save(tmp_path / f"{k}.npy", k * VECTORS), tmp_path) for k in (1, 2))
    torch.testing.assert_close(one.pool, two.pool)
    assert one.checksum != two.checksum


def test_data_reach_another_process_by_value(tmp_path):
    data = probe_data(save(tmp_path / "x.npy", VECTORS), tmp_path)
    again = pickle.loads(pickle.dumps(data))
    assert torch.equal(again.pool, data.pool) and again.checksum == data.checksum and again.found == data.found


def csv(text: str):
    return lambda path: path.with_suffix(".csv").write_text(text)


def rows(first: str, other: str) -> str:
    return "a,b\n" + first + "\n" + "\n".join(f"{i},{i * i}" for i in range(COUNT)) + other


BAD = {
    "text": (csv(rows("1,x", "")), ".csv", "numbers: b. The first of them holds 'x' in row 1: leave.*such as a"),
    "gaps": (csv(rows("1,", "\n,7")), ".csv", "gaps in 2 of 162 rows, in the columns a, b, first in row 1:"),
    "total": (csv(rows("1,2", "\nTotal,9")), ".csv", "holds 'Total' in row 162: leave such rows out"),
    "spaces": (csv("a b\n" + COUNT * "1 2\n"), ".csv", "no comma, semicolon or tab between its columns"),
    "empty": (csv(""), ".csv", "is empty: give a line of names"),
    "ragged": (csv("a,b\n1,2,3,4\n1\n"), ".csv", "line 2 has 4 fields, and the first has 2"),
    "header": (csv("a,b\n"), ".csv", "is empty: give a line of names"),
    "commas": (csv("a;b\n" + COUNT * "1,5;2\n"), ".csv", "has commas within numbers, in the column a: write points"),
    "twice": (csv("a,a\n" + COUNT * "1,2\n"), ".csv", "two columns of the name a"),
    "photo": (lambda p: np.save(p, RNG.random((480, 640, 3))), ".npy", "480 images of 640 x 3"),
    "huge": (lambda p: np.save(p, 1e200 * VECTORS), ".npy", "numbers above 1e.30: rescale"),
    "NaN": (lambda p: np.save(p, np.where(VECTORS > 9, np.nan, VECTORS)), ".npy", r"the first of them point \d+:"),
    "few": (lambda p: np.save(p, VECTORS[:50]), ".npy", f"holds 50 points, and {FEWEST} different ones"),
    "constant": (lambda p: np.save(p, np.ones((500, 3))), ".npy", "holds 500 points, 1 of them different"),
    "one image": (lambda p: np.save(p, np.repeat(GREY[:1], 500, 0)), ".npy", "500 points, 1 of them different"),
    "tiny": (lambda p: np.save(p, 1e-200 * VECTORS), ".npy", "columns that vary by less than 1e-38: rescale them"),
    "none": (lambda p: np.save(p, VECTORS[:0]), ".npy", r"holds no points: its shape is \(0, 4\)"),
    "pickle": (lambda p: p.write_bytes(pickle.dumps(VECTORS)), ".npy", "is no .npy file, whatever its name says"),
    "no zip": (lambda p: p.write_bytes(b"PK"), ".npz", "is no .npz file, whatever its name says"),
    "half a zip": (lambda p: p.write_bytes(b"PK\x03\x04"), ".npz", "cannot be read as .npz"),
    "objects": (lambda p: np.save(p, np.array([{"a": 1}] * 9), allow_pickle=True), ".npy", "holds Python objects"),
    "objects of an archive": (
        lambda p: np.savez(p, a=np.array([{"a": 1}] * 9)), ".npz", "holds Python objects, which are not read"),
    "alpha": (lambda p: np.save(p, RNG.random((200, 8, 8, 4))), ".npy", r"like transparency \(alpha\): leave it out"),
    "range": (
        lambda p: np.save(p, np.where(np.arange(12_800).reshape(200, 8, 8) < 3, 1e6, RNG.random((200, 8, 8)))), ".npy",
        "runs from .* to 1e.06, and nearly all of it lies in a small part of that: cut off"),
    "channels": (lambda p: np.save(p, RNG.random((200, 8, 8, 8))), ".npy", "neither the second number nor the last is"),
    "shape": (lambda p: np.save(p, RNG.random(200)), ".npy", "has shape .200,.: give vectors"),
    "two arrays": (lambda p: np.savez(p, a=VECTORS, b=GREY), ".npz", "holds 2 arrays .a, b.: choose one with --column"),
    "text array": (lambda p: np.save(p, np.array([["a", "b"]] * 200)), ".npy", "give numbers, a point a row"),
    "cut": (lambda p: p.write_bytes(b"\x93NUMPY\x01\x00v\x00{'descr'"), ".npy", "cannot be read as .npy"),
    "parquet": (lambda p: p.write_bytes(b"PAR1nothing"), ".parquet", "cannot be read as .parquet"),
    "tensors": (lambda p: p.write_bytes(b"\xff" * 40), ".safetensors", "cannot be read as .safetensors"),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(BAD))
def test_a_file_that_cannot_be_taken_is_told_in_a_sentence(tmp_path, kind: str):
    write, suffix, sentence = BAD[kind]
    path = tmp_path / f"x{suffix}"
    write(path)
    with pytest.raises(SourceError, match=sentence) as told:
        probe_data(path, tmp_path / "out")
    assert "x" + suffix in str(told.value)
    assert not (tmp_path / "out" / "data.npy").exists()


@pytest.mark.parametrize(
    ("source", "options", "sentence"),
    [
        ("nowhere", {}, "does not exist; give a folder or zip of images"),
        ("empty", {}, "empty holds 0 images, and 140 are the fewest"),
        ("few", {}, "few holds 20 images"),
        ("few", {"columns": ("a",)}, "--column is for tables and arrays"),
        ("few", {"size": 10}, "--size 10: the U-Net takes sides that are multiples of 4"),
        ("x.csv", {"columns": ("z",)}, "has no column z; it has a, b, c, d"),
        ("x.npy", {"columns": ("z",)}, "holds one array, without a name: leave --column out"),
        ("x.npy", {"grey": True}, "--grey is for pictures, and x.npy holds vectors"),
        ("few", {"size": 0}, "--size 0: the U-Net takes sides that are multiples of 4"),
        ("x.npy", {"size": 8}, "--size is for pictures, and x.npy holds vectors"),
        ("few/000.png", {}, "000.png is one picture: give the folder"),
        ("x.xlsx", {}, "x.xlsx is a spreadsheet: save it as .csv"),
        ("x.pt", {}, "x.pt is a file of Python objects, which are not read, since they may run code"),
        ("x.h5", {}, "x.h5 is of a kind that is not read: save the numbers as .npy"),
        ("", {}, "the source is empty"),
    ],
)
def test_a_source_that_cannot_be_taken_is_told_with_what_to_give(tmp_path, monkeypatch, source, options, sentence):
    (tmp_path / "empty").mkdir()
    pictures(tmp_path / "few", 20)
    save(tmp_path / "x.csv", VECTORS)
    np.save(tmp_path / "x.npy", VECTORS)
    for suffix in ("xlsx", "pt", "h5"):
        (tmp_path / f"x.{suffix}").write_bytes(b"PK\x03\x04")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=sentence):
        probe_data(source, tmp_path / "out", **options)


@pytest.mark.parametrize(
    ("name", "values", "left_out"),
    [
        ("id", range(1000, 1000 + 3 * COUNT, 3), True),
        ("patient_ID", np.random.default_rng(1).permutation(COUNT), True),
        ("anything", range(7, 7 + COUNT), True),  # it counts
        ("ids", range(1000, 1000 + 3 * COUNT, 3), False),
        ("id", np.arange(COUNT) + 0.5, False),
        ("id", np.arange(COUNT) // 2, False),
    ],
)
def test_a_column_that_numbers_the_rows_is_left_out_and_told(tmp_path, name: str, values, left_out: bool):
    table = pd.DataFrame(VECTORS, columns=list("abcd"))
    table.insert(2, name, list(values))
    table.to_csv(tmp_path / "x.csv", index=False)
    data = probe_data(tmp_path / "x.csv", tmp_path / "out")
    assert data.shape == (4 if left_out else 5,)
    sentence = f"The column {name} only numbers the rows and was left out (--column takes it)."
    assert (sentence in data.found) == left_out
    asked = probe_data(tmp_path / "x.csv", tmp_path / "out", columns=("a", name))
    assert asked.shape == (2,)


def test_a_table_that_only_numbers_its_rows_is_refused(tmp_path):
    (tmp_path / "x.csv").write_text("id\n" + "\n".join(map(str, range(COUNT))))
    with pytest.raises(SourceError, match="no column of measurements"):
        probe_data(tmp_path / "x.csv", tmp_path / "out")


def test_transparent_parts_and_further_frames_are_told(tmp_path):
    folder = pictures(tmp_path / "sprites", COUNT)
    from PIL import Image

    clear = np.full((9, 9, 4), 200, np.uint8)
    clear[:4, :, 3] = 0
    Image.fromarray(clear).save(folder / "000.png")
    opaque = clear.copy()
    opaque[..., 3] = 255
    Image.fromarray(opaque).save(folder / "001.png")
    Image.fromarray(clear[..., 0]).save(folder / "a.gif", save_all=True, append_images=[Image.fromarray(clear[..., 3])])
    found = "\n".join(probe_data(folder, tmp_path / "out", size=8).found)
    assert "\n1 have transparent parts, which were made white." in found
    assert "\n1 have several frames or pages, of which the first was taken." in found


def test_data_in_which_everything_has_a_near_duplicate_are_refused_and_some_are_told(tmp_path):
    """As pictures beside brighter versions of themselves: a copy of one cannot be told from the other."""
    rng = np.random.default_rng(0)
    points = rng.standard_normal((300, 30))
    np.save(tmp_path / "all.npy", np.concatenate([points, points + 1e-3, points + 2e-3]))
    with pytest.raises(SourceError, match=r"900 of 900 points of all.npy have a near-duplicate.* Leave one of each"):
        probe_data(tmp_path / "all.npy", tmp_path / "out")
    np.save(tmp_path / "some.npy", np.concatenate([points, points[:30] + 1e-3]))
    found = "\n".join(probe_data(tmp_path / "some.npy", tmp_path / "out").found)
    assert "60 of 330 have a near-duplicate" in found and "So many hide copies: leave one of each." in found
    np.save(tmp_path / "flat.npy", rng.standard_normal((400, 2)))  # of two dimensions many are near by chance
    found = "\n".join(probe_data(tmp_path / "flat.npy", tmp_path / "out").found)
    assert "So many" not in found and "they run from -" in found


@pytest.mark.parametrize("kind", ["images", "vectors"])
def test_data_are_the_same_whatever_the_number_of_threads(tmp_path, kind: str):
    """Or a probe that goes on with another number of cores would not find its trainings."""
    rng = np.random.default_rng(0)
    shape = (4000, 3, 16, 16) if kind == "images" else (20_000, 40)
    array = rng.integers(0, 256, shape, dtype=np.uint8) if kind == "images" else rng.standard_normal(shape)
    np.save(tmp_path / "data.npy", array)
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(read(str(tmp_path / "data.npy"), tmp_path / "out", progress=False))
    finally:
        torch.set_num_threads(threads)
    for other in found[1:]:
        assert other.checksum == found[0].checksum
        assert torch.equal(other.pool, found[0].pool) and torch.equal(other.spread, found[0].spread)


def test_black_and_white_are_told_in_the_units_of_the_network(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (200, 8, 8), dtype=np.uint8)
    images[0, 0, :2] = 0, 255
    np.save(tmp_path / "images.npy", images)
    data = read(str(tmp_path / "images.npy"), tmp_path / "out", 8, progress=False)
    low, high = data.bounds
    assert low == pytest.approx(float(min(data.pool.min(), data.held_out.min())), abs=1e-6)
    assert high == pytest.approx(float(max(data.pool.max(), data.held_out.max())), abs=1e-6)


def folder_of(path: Path, pictures: list[Image.Image]) -> Path:
    path.mkdir()
    for i, picture in enumerate(pictures):
        picture.save(path / f"{i:03d}.png")
    return path


def test_it_says_which_sides_pictures_have_and_that_one_in_colour_gives_all_three_channels(tmp_path):
    grey = [Image.fromarray(image).resize((10 + i % 20, 12)) for i, image in enumerate(GREY)]
    data = probe_data(folder_of(tmp_path / "a", grey), tmp_path / "out", size=8)
    assert "They are 10 to 29 pixels wide and 12 high." in data.found and data.shape == (1, 8, 8)
    alike = [Image.fromarray(image) for image in GREY]
    mixed = probe_data(folder_of(tmp_path / "b", [*alike[:-1], Image.fromarray(COLOUR[0])]), tmp_path / "two", size=8)
    assert "All are 12 pixels wide and 12 high." in mixed.found and mixed.shape == (3, 8, 8)
    assert f"1 of {COUNT} has colours, so all were given three channels (--grey turns them to grey)." in mixed.found


def test_a_set_of_equal_pictures_and_one_of_none_that_can_be_taken_are_told_as_such(tmp_path):
    equal = folder_of(tmp_path / "equal", [Image.fromarray(GREY[0])] * COUNT)
    with pytest.raises(SourceError, match=rf"holds {COUNT} pictures, all equal when .* different ones are the fewest"):
        probe_data(equal, tmp_path / "out", size=8)
    deep = [Image.fromarray(image.astype(np.uint16) * 200) for image in GREY]
    with pytest.raises(
        SourceError, match=r"none of the 160 files in .?deep.? can be taken:\n.* more than 8 bits"
    ) as told:
        probe_data(folder_of(tmp_path / "deep", deep), tmp_path / "out", size=8)
    assert "--skip-bad" not in str(told.value)


def test_truths_are_numbers_in_a_table_as_in_parquet(tmp_path):
    frame = pd.DataFrame(VECTORS, columns=list("abcd")).assign(b=VECTORS[:, 1] > 5)
    frame.to_csv(tmp_path / "x.csv", index=False)
    frame.to_parquet(tmp_path / "x.parquet")
    text, binary = (probe_data(tmp_path / name, tmp_path / name[2:]) for name in ("x.csv", "x.parquet"))
    torch.testing.assert_close(text.pool, binary.pool)
    assert len(set(text.in_file_units(text.pool)[:, 1].round(decimals=4).tolist())) == 2


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [({"name": [f"n{i}" for i in range(COUNT)], "a": VECTORS[:, 0]}, "leave such columns out; or choose"),
     ({"a": ["x", *map(str, range(COUNT))]}, "leave such rows out"),
     ({"a": VECTORS[:, 0], "b": [np.nan, *VECTORS[1:, 1]]}, "in the column 'b'|in the column b")],
)  # fmt: skip
def test_what_to_leave_out_of_a_table_fits_its_fault(tmp_path, frame, sentence):
    pd.DataFrame(frame).to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(SourceError, match=sentence):
        probe_data(tmp_path / "x.csv", tmp_path / "out")


def test_a_column_of_lists_in_parquet_is_a_column_for_each_entry(tmp_path):
    """As embeddings are stored; a cell may be a list or an array."""
    pd.DataFrame({"id": range(COUNT), "embedding": list(VECTORS.tolist())}).to_parquet(tmp_path / "x.parquet")
    np.save(tmp_path / "y.npy", VECTORS)
    lists, array = (probe_data(tmp_path / name, tmp_path / name[0]) for name in ("x.parquet", "y.npy"))
    torch.testing.assert_close(lists.pool, array.pool)
    ragged = [row[: 3 + i % 2] for i, row in enumerate(VECTORS.tolist())]
    pd.DataFrame({"embedding": ragged}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(SourceError, match=r"lists of 3 to 4 entries in the column .*embedding"):
        probe_data(tmp_path / "x.parquet", tmp_path / "out")
    for wrong, sentence in (
        ([None, *VECTORS.tolist()[1:]], f"has gaps in 1 of {COUNT} rows, in the column .*embedding.*, first in row 1"),
        ([[[1.0, 2.0]]] * COUNT, "has lists of lists in the column .*embedding"),
    ):
        pd.DataFrame({"embedding": wrong}).to_parquet(tmp_path / "x.parquet")
        with pytest.raises(SourceError, match=sentence):
            probe_data(tmp_path / "x.parquet", tmp_path / "out")


def test_one_grey_picture_among_colours_gets_three_channels_and_is_counted(tmp_path):
    folder = pictures(tmp_path / "some")
    Image.fromarray(GREY[0]).save(next(folder.glob("*.png")))
    data = probe_data(folder, tmp_path / "out")
    assert data.shape == (3, 16, 16)
    assert any(f"{COUNT - 1} of {COUNT} have colours, so all were given three channels" in line for line in data.found)


def test_pictures_of_sixteen_bits_in_an_array_keep_their_order_of_brightness(tmp_path):
    wide = GREY.astype(np.uint16) * 257
    np.save(tmp_path / "x.npy", wide)
    np.save(tmp_path / "y.npy", GREY)
    data, plain = (probe_data(tmp_path / name, tmp_path / name[0]) for name in ("x.npy", "y.npy"))
    assert any("from 0 to 65535" in line and "1 channel" in line for line in data.found)
    torch.testing.assert_close(data.pool.float(), plain.pool.float(), atol=1, rtol=0)


@pytest.mark.parametrize("allowed", [0, 1])
def test_a_full_disk_while_pictures_are_read_is_a_sentence_and_they_are_read_again(tmp_path, monkeypatch, allowed):
    from diffmemlib import files

    folder, real, count = pictures(tmp_path / "some"), files.os.replace, 0

    def full(*arguments):
        nonlocal count
        count += 1
        if count > allowed:
            raise OSError(28, "No space left on device")
        return real(*arguments)

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(OSError, match="No space left on device"):
        probe_data(folder, tmp_path / "out")
    monkeypatch.setattr(files.os, "replace", real)
    assert probe_data(folder, tmp_path / "out").shape == (3, 16, 16)


def test_complex_numbers_are_told_how_they_can_be_given(tmp_path):
    np.save(tmp_path / "x.npy", VECTORS * 1j)
    with pytest.raises(SourceError, match="complex numbers: give their real and imaginary parts"):
        probe_data(tmp_path / "x.npy", tmp_path / "out")


@pytest.mark.parametrize("versions", [3, 6, 12])
def test_sets_in_which_each_point_has_several_versions_are_refused(tmp_path, versions):
    several = np.repeat(RNG.normal(size=(600 // versions, 16)), versions, 0)
    np.save(tmp_path / "x.npy", several + 0.01 * RNG.normal(size=several.shape))
    with pytest.raises(SourceError, match=r"have a near-duplicate.* Leave one of each"):
        probe_data(tmp_path / "x.npy", tmp_path / "out")
