"""Pictures of characters of a font that the reader has: each character once, and a sentence where it has too few."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from diffmemlib.data import ideographs
from diffmemlib.data.ideographs import draw_ideographs
from diffmemlib.data.inventory import SourceError

FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"  # it has no ideographs


@pytest.fixture
def letters(monkeypatch):
    """Capital letters in their place."""
    monkeypatch.setattr(ideographs, "FIRST", ord("A"))
    monkeypatch.setattr(ideographs, "LAST", ord("Z"))


def test_each_character_is_drawn_once_and_the_same_ones_again(tmp_path, letters):
    for name in ("one", "two"):
        assert draw_ideographs(FONT, tmp_path / name, 20) == 20
    one, two = ({p.name: np.asarray(Image.open(p)) for p in (tmp_path / name).glob("*.png")} for name in ("one", "two"))
    assert len(one) == 20 and one.keys() == two.keys() and all((one[name] == two[name]).all() for name in one)
    pictures = np.stack(list(one.values()))
    assert pictures.shape == (20, 96, 96) and pictures.dtype == np.uint8
    assert len(np.unique(pictures.reshape(20, -1), axis=0)) == 20, "all different"
    assert (pictures.max((1, 2)) == 255).all() and (pictures[:, 0] == 0).all(), "white on black, with a margin"


def test_a_font_without_them_is_told(tmp_path, letters, monkeypatch):
    with pytest.raises(SourceError, match="has 26 ideographs, and 40 are asked for"):
        draw_ideographs(FONT, tmp_path / "x", 40)
    monkeypatch.setattr(ideographs, "FIRST", 0x4E00)
    monkeypatch.setattr(ideographs, "LAST", 0x4E20)
    with pytest.raises(SourceError, match="has 0 ideographs"):  # boxes stand for what it lacks
        draw_ideographs(FONT, tmp_path / "x", 40)


def test_a_file_that_is_no_font_is_told(tmp_path):
    (tmp_path / "x.ttf").write_bytes(b"no font")
    with pytest.raises(SourceError, match=r"x.ttf cannot be read as a font .*; give a .ttf or .otf"):
        draw_ideographs(tmp_path / "x.ttf", tmp_path / "x")
