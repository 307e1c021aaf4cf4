"""What a folder or zip of strangers' files may hold: all of it is told, nothing runs, nothing fills the machine."""

import inspect
import io
import os
import re
import shutil
import stat
import struct
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies
from PIL import Image
from typer.testing import CliRunner

from diffmemlib.__main__ import app, images as images_command
from diffmemlib.data import inventory, own, picture, prepared
from diffmemlib.data.inventory import SourceError, open_source, quoted
from diffmemlib.data.picture import shrink
from diffmemlib.places import checkout


def encode(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def smooth(i: int, side: int = 24) -> Image.Image:
    """A smooth grey picture, another for each i."""
    g = np.random.default_rng(i)
    return Image.fromarray(g.integers(0, 256, (4, 4), dtype=np.uint8)).resize((side, side), Image.Resampling.BICUBIC)


@pytest.fixture
def folder(place: Path) -> Path:
    (place / "pictures").mkdir()
    for i in range(own.FEWEST + 2):
        smooth(i).save(place / "pictures" / f"{i:03d}.png")
    return place / "pictures"


def wanted(name: str) -> bool:
    return name.endswith((".png", ".jpg"))


def test_copies_that_systems_keep_are_passed_over_and_counted(folder: Path):
    for name in (".ipynb_checkpoints", "@eaDir/003.png", "__MACOSX", "$RECYCLE.BIN", ".thumbnails"):
        (folder / name).mkdir(parents=True)
        smooth(900).save(folder / name / "copy.png")
    (folder / "kept").mkdir()
    smooth(901).save(folder / "kept" / "one.png")
    for name in ("._000.png", "desktop.ini", "Thumbs.db"):
        (folder / name).write_bytes(b"x")
    source = open_source(folder, wanted, "a folder", sorted)
    assert len(source.names) == own.FEWEST + 3
    assert "kept/one.png" in source.names
    told = source.inventory.lines()
    for name in (".ipynb_checkpoints", "@eaDir", "__MACOSX", "$RECYCLE.BIN", ".thumbnails"):
        assert f"1 file left out: in the hidden or system folder {name}" in told
    assert "3 files left out: hidden files, or those of the system" in told


def test_what_is_left_out_is_told_by_kind_and_stored(folder: Path):
    for i, suffix in enumerate([".heic", ".heic", ".txt", ""]):
        (folder / f"x{i}{suffix}").write_bytes(b"x")
    os.symlink(folder / "000.png", folder / "link.png")
    os.symlink("/etc", folder / "etc")
    os.mkfifo(folder / "pipe.png")
    own.prepare(folder, "mine", 8, progress=False)
    told = own.summary("mine", 8)
    assert f"{own.FEWEST + 2} files taken: {own.FEWEST + 2} .png" in told
    assert "2 files left out: of another kind or name (.heic)" in told
    assert "1 file left out: of another kind or name (no suffix)" in told
    assert "3 files left out: links, pipes and devices" in told
    manifest = prepared.manifest_of(own.prepared_path("mine", 8), "")
    assert manifest["inventory"]["left_out"]["of another kind or name (.heic)"] == 2


def test_bad_files_of_one_reason_stand_in_one_line(folder: Path):
    """As 16-bit pictures beside one that is damaged: the frequent reason first, and some of its files by name."""
    for i in range(6):
        Image.fromarray(np.full((20, 20), 1000 * i, np.uint16)).save(folder / f"deep{i}.png")
    (folder / "000.png").write_bytes(b"no picture")
    with pytest.raises(SourceError) as error:
        own.prepare(folder, "mine", 8, progress=False)
    head, deep, damaged = str(error.value).splitlines()
    assert head.startswith("7 of the ") and damaged.startswith("  000.png cannot be read as an image (its content")
    assert deep.startswith(
        "  deep0.png, deep1.png, deep2.png and 3 more cannot be read as an image (it has more than 8 "
    )


def test_transparent_pictures_are_told(folder: Path):
    clear = np.full((20, 20, 4), 90, np.uint8)
    Image.fromarray(clear).save(folder / "clear.png")
    own.prepare(folder, "mine", 8, progress=False)
    assert "1 file with transparent parts, which were made white" in own.summary("mine", 8)


def test_frames_and_pages_are_told(folder: Path):
    frames = [smooth(1000 + k) for k in range(3)]
    for i, kind in enumerate(("GIF", "TIFF", "WEBP")):
        (folder / f"a{i}.{kind.lower()}").write_bytes(encode(frames[0], kind, save_all=True, append_images=frames[1:]))
    own.prepare(folder, "mine", 8, progress=False)
    assert "3 files with several frames or pages, of which the first was taken" in own.summary("mine", 8)


def test_all_bad_files_come_in_one_message_and_none_is_read_twice(folder: Path, monkeypatch: pytest.MonkeyPatch):
    bad = [folder / f"{i:03d}.png" for i in (3, 70, 141)]
    for path in bad:
        path.write_bytes(path.read_bytes()[:60])
    read: list[str] = []
    original = prepared.shrink
    monkeypatch.setattr(prepared, "shrink", lambda data, name, *a: (read.append(name), original(data, name, *a))[1])
    with pytest.raises(SourceError) as error:
        own.prepare(folder, "mine", 8, progress=False)
    assert all(path.name in str(error.value) for path in bad)
    assert "3 of the 142 files" in str(error.value)
    assert not own.prepared_path("mine", 8).exists()
    read.clear()
    for i, path in enumerate(bad):
        smooth(500 + i).save(path)
    own.prepare(folder, "mine", 8, progress=False)
    assert sorted(read) == [p.name for p in bad]


def test_an_interruption_loses_no_picture(folder: Path, monkeypatch: pytest.MonkeyPatch):
    read: list[str] = []
    original = prepared.shrink

    def stopped(data: bytes, name: str, *options: int) -> np.ndarray:
        if name == "100.png" and len(read) == 100:
            raise KeyboardInterrupt
        read.append(name)
        return original(data, name, *options)

    monkeypatch.setattr(prepared, "shrink", stopped)
    with pytest.raises(KeyboardInterrupt):
        own.prepare(folder, "mine", 8, progress=False)
    read.append("interrupted")
    own.prepare(folder, "mine", 8, progress=False)
    assert len(read) == len(set(read)) == own.FEWEST + 3


def test_bad_files_can_be_left_out_and_are_listed(folder: Path):
    (folder / "000.png").write_bytes(b"no picture")
    own.prepare(folder, "mine", 8, progress=False, skip_bad=True)
    told = own.summary("mine", 8)
    assert "1 file left out that cannot be taken:\n  000.png cannot be read as an image" in told
    assert f"{own.FEWEST + 1} files taken: {own.FEWEST + 1} .png" in told, "and not the one that was left out"


def test_one_picture_many_times_is_refused_and_leaves_nothing(place: Path):
    (place / "same").mkdir()
    data = encode(smooth(1), "PNG")
    for i in range(own.FEWEST + 5):
        (place / "same" / f"{i}.png").write_bytes(data)
    with pytest.raises(SourceError, match="all equal when the central square is cut out and brought"):
        own.prepare(place / "same", "mine", 8, progress=False)
    assert not [p for p in (place / "data").rglob("*") if p.suffix in (".npy", ".npz")]


def png_of_16_bits(colour: int, channels: int) -> bytes:
    pixels = np.full((20, 20 * channels), 2000, ">u2")

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 20, 20, 16, colour, 0, 0, 0)
    raw = b"".join(b"\0" + row.tobytes() for row in pixels)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_sixteen_bits_are_refused_in_grey_and_in_colour(colour: int, channels: int):
    with pytest.raises(SourceError, match=r"x\.png cannot be read as an image \(it has more than 8 bits a channel"):
        shrink(png_of_16_bits(colour, channels), "x.png", 8)


def test_a_renamed_postscript_file_reaches_no_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Pillow hands EPS to Ghostscript, which runs it; a file is decoded only as what its content says it is."""
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) (w) file\n"
    called: list[object] = []
    monkeypatch.setattr("subprocess.check_call", lambda *a, **k: called.append(a))
    monkeypatch.setattr("subprocess.Popen", lambda *a, **k: called.append(a))
    for data in (eps, b"\xc5\xd0\xd3\xc6" + eps):
        with pytest.raises(SourceError, match="its content is no PNG, JPEG"):
            shrink(data, "a.png", 8)
    assert not called


def test_a_picture_of_too_many_pixels_is_refused_at_once_unless_asked_for():
    wide = encode(Image.new("1", (9000, 8000)), "PNG")
    with pytest.raises(SourceError, match=r"a\.png .*more than 64 million pixels.*--most-pixels"):
        shrink(wide, "a.png", 8)
    assert shrink(wide, "a.png", 8, most_pixels=80_000_000).shape == (1, 8, 8)
    assert Image.MAX_IMAGE_PIXELS == 89_478_485  # as Pillow has it


def test_a_zip_entry_that_unpacks_to_gigabytes_is_refused_by_its_directory(place: Path):
    archive = place / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for i in range(own.FEWEST):
            file.writestr(f"{i}.png", encode(smooth(i), "PNG"))
        with file.open("zeros.png", "w", force_zip64=True) as entry:
            for _ in range(600):
                entry.write(bytes(2**20))
    with pytest.raises(SourceError, match=r"zeros\.png unpacks to 600 MiB; 512 MiB are the most"):
        own.prepare(archive, "mine", 8, progress=False)


def test_an_archive_that_unpacks_to_more_than_a_stated_limit_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inventory, "MOST_UNPACKED", 5000)
    with zipfile.ZipFile(place / "a.zip", "w") as file:
        for i in range(9):
            file.writestr(f"{i}.png", bytes(1000))
    with pytest.raises(SourceError, match=r"a\.zip unpacks to .* the most that are taken"):
        open_source(place / "a.zip", wanted, "a zip", sorted)


def test_a_zip_is_read_with_either_slash_and_tells_what_it_leaves_out(place: Path):
    with zipfile.ZipFile(place / "a.zip", "w") as file, pytest.warns(UserWarning, match="Duplicate name"):
        file.writestr("top\\one.png", b"1")
        file.writestr("__MACOSX\\top\\._one.png", b"2")
        file.writestr("twice.png", b"3")
        file.writestr("twice.png", b"4")
        file.writestr("notes.txt", b"5")
        link = zipfile.ZipInfo("link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, "/etc/passwd")
    source = open_source(place / "a.zip", wanted, "a zip", sorted)
    assert source.names == ["top/one.png", "twice.png"]
    assert source.read("top/one.png") == b"1"
    assert source.inventory.left_out == {
        "in the hidden or system folder __MACOSX": 1, "entries of a name that came before": 1,
        "of another kind or name (.txt)": 1, "links": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.tar.gz", b"\x1f\x8b\x08" + bytes(20), "p.tar.gz is a gzip or tar.gz archive: unpack it, and give"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c" + bytes(99), "a.7z is a 7z archive: unpack it, and give"),
        ("a.npy", b"\x93NUMPY\x01\x00", "a.npy is no zip archive; give a folder or zip"),
        ("a.csv", b"1,2\n", "a.csv is no zip archive; give a folder or zip"),
        ("a.zip", b"PK\x03\x04 cut", "a.zip is not a whole zip archive"),
        ("a.html", b"<!DOCTYPE html>", "a.html is a web page"),
    ],
)
def test_what_is_no_zip_is_called_what_it_is(name: str, content: bytes, message: str, place: Path):
    (place / name).write_bytes(content)
    with pytest.raises(SourceError) as error:
        own.prepare(place / name, "mine", 8)
    assert message in str(error.value)


def test_an_empty_source_is_not_the_current_folder(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder)
    run = CliRunner().invoke(app, ["data", "images", "", "--name", "mine", "--size", "8"])
    assert run.exit_code == 1
    assert "the source is empty" in run.output
    with pytest.raises(SourceError, match=r"^/dev/null is no file; give"):
        own.prepare("/dev/null", "mine", 8)


@pytest.mark.parametrize("name", ["nan", "inf", "none", "true", "digits", "Mine"])
def test_names_that_are_values_elsewhere_are_refused(name: str, folder: Path):
    with pytest.raises(SourceError, match=f"--name {name}: small letters"):
        own.prepare(folder, name, 8, progress=False)


def test_a_size_that_memory_cannot_hold_is_refused_before_anything_is_read(folder: Path):
    with pytest.raises(SourceError, match=r"--size 400000: 142 pictures of it need about .* GiB"):
        own.prepare(folder, "mine", 400_000, progress=False)


def test_names_of_any_bytes_are_taken_and_shown_safely(folder: Path):
    os.rename(os.fsencode(folder / "000.png"), os.fsencode(folder) + b"/caf\xe9.png")
    (folder / "001.png").rename(folder / "a\x1b[31m\nb.png")
    (folder / "a\x1b[31m\nb.png").write_bytes(b"no picture")
    with pytest.raises(SourceError) as error:
        own.prepare(folder, "mine", 8, progress=False)
    assert r"a\x1b[31m\nb.png cannot be read as an image" in str(error.value)
    assert own.prepare(folder, "mine", 8, progress=False, skip_bad=True).exists()
    assert quoted("caf\udce9") == r"caf\udce9"
    assert quoted("café") == "café"


def test_odd_facts_of_a_camera_do_not_spoil_a_good_picture():
    for tag, kind, value in ((0x010E, 11, struct.pack("<f", 1.5)), (0x011A, 2, b"x\0\0\0"), (0x0112, 2, b"x\0\0\0")):
        entry = struct.pack("<HHI4s", tag, kind, 1, value)
        exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + b"\0\0\0\0"
        assert shrink(encode(smooth(1), "JPEG", exif=exif), "a.jpg", 8).shape == (1, 8, 8)


def test_a_large_photograph_is_reduced_before_it_is_resized_and_looks_the_same():
    g = np.random.default_rng(0)
    photo = Image.fromarray(g.integers(0, 256, (12, 18, 3), dtype=np.uint8)).resize(
        (1800, 1200), Image.Resampling.BICUBIC
    )
    small = np.asarray(photo.resize((24, 16), Image.Resampling.BILINEAR).convert("L"), float)[:, 4:20]
    for kind, options in (("PNG", {}), ("JPEG", {"quality": 95}), ("WEBP", {"quality": 95})):
        assert np.abs(shrink(encode(photo, kind, **options), "a", 16)[0] - small).mean() < 1.5


SAMPLES = [encode(smooth(7).convert("RGB"), kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")]


DAMAGES = 150


@settings(max_examples=DAMAGES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    strategies.sampled_from(SAMPLES),
    strategies.lists(strategies.tuples(strategies.integers(0, 10**6), strategies.integers(0, 255)), max_size=8),
    strategies.integers(0, 10**6),
)
def test_any_damage_to_a_picture_ends_in_a_picture_or_in_one_sentence(data: bytes, changes, end: int):
    spoiled = bytearray(data)
    for at, value in changes:
        spoiled[at % len(data)] = value
    cut = bytes(spoiled[: max(1, end % (2 * len(data)))])
    try:
        assert shrink(cut, "a.png", 8).shape == (1, 8, 8)
    except SourceError as error:
        assert str(error).startswith("a.png ")
        assert "\n" not in str(error)
        assert " at 0x" not in str(error)
    picture.loses(cut, 16)


def test_a_preparation_that_cannot_be_written_names_its_own_place(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DIFFMEM_DATA", "/dev/null")
    with pytest.raises(OSError, match="let DIFFMEM_DATA name a place") as error:
        own.prepare(folder, "mine", 8, progress=False)
    assert "DIFFMEM_RESULTS" not in str(error.value)


def test_a_damaged_manifest_or_array_is_told_by_name(folder: Path):
    path = own.prepare(folder, "mine", 8, progress=False)
    whole, manifest = path.read_bytes(), path.with_suffix(".npy.json")
    kept = manifest.read_bytes()
    for content in (b"[]", b"{}", b"\xff", b"[" * 100_000):
        manifest.write_bytes(content)
        with pytest.raises(SourceError, match=r"mine-8\.npy\.json is damaged"):
            own.identify("mine", 8)
    manifest.write_bytes(kept)
    path.write_bytes(whole[:-1])
    with pytest.raises(SourceError, match=r"mine-8\.npy is damaged"):
        own.load(own.identify("mine", 8), 8)
    shutil.rmtree(path.parent)


def test_the_limits_on_the_page_and_of_the_command_are_those_of_the_library():
    page = (checkout() / "book" / "reproduce.md").read_text()
    assert f"more than {picture.MOST_PIXELS / 1e6:g} million pixels" in page
    entry, whole = inventory.MOST_BYTES / 2**20, inventory.MOST_UNPACKED / 2**30
    assert (
        f"a zip entry that unpacks to more than {entry:g} MiB, or a zip that unpacks to more than {whole:g} GiB" in page
    )
    assert f"fewer than {own.FEWEST} different ones" in page
    assert f"{DAMAGES} random damages to files of six formats" in page
    assert inspect.signature(images_command).parameters["most_pixels"].default == picture.MOST_PIXELS


def test_a_folder_that_cannot_be_read_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch):
    (folder / "locked").mkdir()
    scandir = os.scandir

    def closed(path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    inventory = open_source(folder, wanted, "pictures", sorted).inventory
    assert inventory.left_out["the folder locked, which cannot be read (Permission denied)"] == 1


def test_a_link_to_a_folder_is_not_followed_whatever_its_name(folder: Path, tmp_path: Path):
    (tmp_path / "large").mkdir()
    for i in range(20):
        (tmp_path / "large" / f"{i}.png").write_bytes(b"")
    for name in (".cache", "plain"):
        (folder / name).symlink_to(tmp_path / "large")
    left_out = open_source(folder, wanted, "pictures", sorted).inventory.left_out
    assert left_out["links, pipes and devices (copy what a link leads to if you want it)"] == 2
    assert not any("hidden or system folder" in reason for reason in left_out)


@pytest.mark.parametrize("size", [(1, 200_000), (200_000, 1), (3, 5000)])
def test_a_strip_is_cut_before_it_is_enlarged(size: tuple[int, int]):
    """As a whole it would take a hundred times the memory of a picture of as many pixels."""
    shapes: list[tuple[int, ...]] = []
    y, x = np.mgrid[: size[1], : size[0]]
    strip = Image.fromarray(((x + y) // 7 % 2 * 255).astype(np.uint8))
    from torchvision.transforms import functional as T

    resize = T.resize
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(T, "resize", lambda x, *a, **k: (shapes.append(tuple(x.shape)), resize(x, *a, **k))[1])
        made = shrink(encode(strip, "PNG"), "a.png", 16)
    assert made.shape == (1, 16, 16)
    assert max(shapes[0][1:]) <= 8 * min(shapes[0][1:])
    middle = size[0] // 2, size[1] // 2
    short = min(size)
    box = [max(0, int(m - short / 2)) for m in middle]
    square = strip.crop((*box, box[0] + short, box[1] + short)).resize((16, 16), Image.Resampling.BILINEAR)
    assert np.abs(made[0].astype(int) - np.asarray(square, int)).mean() < 40


def test_a_colon_in_a_name_does_not_lead_out_of_an_archive(place: Path):
    with zipfile.ZipFile(place / "a.zip", "w") as file:
        file.writestr("A:0.png", b"x")
    assert open_source(place / "a.zip", wanted, "pictures", sorted).names == ["A:0.png"]
    with zipfile.ZipFile(place / "b.zip", "w") as file:
        file.writestr("C:/windows/a.png", b"x")
    with pytest.raises(SourceError, match="leads out of the archive"):
        open_source(place / "b.zip", wanted, "pictures", sorted)


def test_homes_that_do_not_exist_are_told_in_a_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(SourceError, match="cannot be found"):
        open_source("~nosuchuser/pictures", wanted, "pictures", sorted)
    monkeypatch.setenv("DIFFMEM_DATA", "~nosuchuser/data")
    with pytest.raises(ValueError, match="DIFFMEM_DATA, ~nosuchuser/data, cannot be found"):
        own.prepare(folder, "mine", 8, progress=False)


@pytest.mark.parametrize("value", ["null", "[1]", '"many"'])
def test_a_manifest_with_a_number_that_is_none_is_damaged(folder: Path, value: str):
    path = own.prepare(folder, "mine", 8, progress=False)
    manifest = path.with_suffix(".npy.json")
    text = re.sub(r'"different": \d+', f'"different": {value}', manifest.read_text())
    manifest.write_text(text)
    with pytest.raises(SourceError, match="is damaged"):
        own.identify("mine", 8)


@pytest.mark.parametrize("arguments", [["data", "letters", ""], ["data", "letters", "~nosuchuser/letters"]])
def test_a_folder_to_write_to_is_a_place_of_its_own(arguments, place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(place)
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1 and done.output.startswith("Error: The folder for the letters")
    assert not list(place.glob("*.png"))


def test_a_package_that_is_not_installed_is_named_with_what_installs_it(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision.transforms", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = CliRunner().invoke(app, ["data", "letters", str(folder / "letters")])
    assert done.exit_code == 1
    assert "this needs the package matplotlib, which is not installed: pip install 'diffmemlib[runs]'" in done.output
