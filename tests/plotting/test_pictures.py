"""Every display against a reference picture.

The pictures are those of the gallery, at 50 dpi and without texts: versions of freetype differ in
the width of letters, and with it in the layout. Texts are in the tests of each display. A picture
may differ from its reference by TOLERANCE, the root mean square over all pixels of values up to
255. A failed comparison leaves ``NAME.png`` and ``NAME-failed-diff.png`` in the folder that it
names.

After a change of how displays look, write the references anew, and look at the gallery::

    python tests/plotting/test_pictures.py
"""

import importlib.util
import re
from pathlib import Path

import matplotlib
import pytest

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.legend import Legend
from matplotlib.testing.compare import compare_images
from matplotlib.text import Text

from skhep_ml import plotting

ROOT = Path(__file__).parents[2]
BASELINE = Path(__file__).parent / "baseline"
TOLERANCE = 1
SIDES = ("labelbottom", "labelleft", "labelright", "labeltop")


def _gallery():
    spec = importlib.util.spec_from_file_location("make_gallery", ROOT / "docs" / "make_gallery.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


gallery = _gallery()


def draw(name, path):
    figure = gallery.PICTURES[name]().figure_
    for ax in figure.axes:
        ax.tick_params(which="both", **dict.fromkeys(SIDES, False))
        ax.xaxis.offsetText.set_visible(False)
        ax.yaxis.offsetText.set_visible(False)
    for text in [*figure.findobj(Text), *figure.findobj(Legend)]:
        text.set_visible(False)
    figure.savefig(path, dpi=50)
    pyplot.close(figure)


@pytest.mark.parametrize("name", gallery.PICTURES)
def test_picture(name, tmp_path):
    drawn = tmp_path / f"{name}.png"
    draw(name, drawn)
    difference = compare_images(str(BASELINE / f"{name}.png"), str(drawn), tol=TOLERANCE)
    assert difference is None, difference


def test_every_display_has_a_picture_and_every_picture_a_place():
    source = (ROOT / "docs" / "make_gallery.py").read_text()
    displays = {name for name in plotting.__all__ if name.endswith("Display")}
    # several curves come from the displays of one
    assert displays - set(re.findall(r"plotting\.(\w+)", source)) == {"ComparisonDisplay"}
    page = (ROOT / "docs" / "gallery.rst").read_text()
    assert re.findall(r":pyobject: (\w+)", page) == [*gallery.PICTURES, "make_toy"]
    assert re.findall(r"image:: _build/gallery/(\w+)\.png", page) == list(gallery.PICTURES)
    assert {path.stem for path in BASELINE.glob("*.png")} == set(gallery.PICTURES)
    assert max(path.stat().st_size for path in BASELINE.glob("*.png")) < 30_000


if __name__ == "__main__":
    BASELINE.mkdir(exist_ok=True)
    for one in gallery.PICTURES:
        draw(one, BASELINE / f"{one}.png")
