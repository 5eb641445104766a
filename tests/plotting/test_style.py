import subprocess
import sys

import mplhep
import numpy as np
import pytest
from matplotlib import pyplot

from skhep_ml.plotting import RocDisplay
from skhep_ml.plotting._style import COLORS, hep_axes, visible_points


def test_visible_points_leave_out_less_than_a_step():
    x = np.linspace(0, 1, 100_001)
    points = visible_points(x, x**2, resolution=100)
    assert len(points) < 500
    assert points[0] == 0
    assert points[-1] == len(x) - 1
    grid = np.interp(x, x[points], (x**2)[points])
    assert np.abs(grid - x**2).max() < 0.01


def test_missing_matplotlib_is_one_sentence_and_import_does_not_need_it():
    code = (
        "import sys\n"
        "sys.modules['matplotlib'] = None\n"
        "from skhep_ml.plotting import RocDisplay\n"
        "try:\n"
        "    RocDisplay.from_predictions([0, 1], [0.1, 0.9])\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == 'matplotlib is not installed: run pip install "skhep-ml[plot]"\n'


def test_own_figure_is_closed_when_drawing_fails(sample):
    display = RocDisplay.from_predictions(sample.y, sample.score)
    pyplot.close("all")
    with pytest.raises(AttributeError, match="nonsense"):
        display.plot(nonsense=1)
    assert pyplot.get_fignums() == []


def test_given_axes_are_used_and_ticks_point_inward(sample):
    figure, ax = pyplot.subplots()
    display = RocDisplay.from_predictions(sample.y, sample.score, ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is figure
    figure.canvas.draw()
    ticks = [*ax.xaxis.get_major_ticks(), *ax.yaxis.get_minor_ticks()]
    assert {tick.get_tickdir() for tick in ticks} == {"in"}
    assert all(tick.tick2line.get_visible() for tick in ticks)


def test_a_figure_of_its_own_is_of_the_house_size():
    with hep_axes() as ax:
        assert ax.figure.get_size_inches().tolist() == [6.0, 4.5]


@pytest.mark.parametrize("style", ["ATLAS", "CMS", "LHCb2", "ALICE", "DUNE"])
def test_styles_of_experiments_in_the_size_of_the_displays(sample, style):
    display = RocDisplay.from_predictions(sample.y, sample.score, name="A", style=style)
    theirs = vars(mplhep.style)[style]
    width, height = display.figure_.get_size_inches()
    assert width == 6.0
    assert height / width == theirs["figure.figsize"][1] / theirs["figure.figsize"][0]
    tick = display.ax_.xaxis.get_major_ticks()[0]
    scale = 6.0 / theirs["figure.figsize"][0]
    assert tick.tick1line.get_markersize() == pytest.approx(theirs["xtick.major.size"] * scale)
    # found when the figure is written, under other settings
    family = display.ax_.xaxis.label.get_fontfamily()
    assert family[0].lower() in ("tex gyre heros", "tex gyre termes")
    assert display.line_.get_color() == COLORS[0]


def test_settings_in_place_of_a_style(sample):
    display = RocDisplay.from_predictions(
        sample.y, sample.score, style={"figure.figsize": (3.0, 2.0), "axes.labelsize": 7}
    )
    assert display.figure_.get_size_inches().tolist() == [3.0, 2.0]
    assert display.ax_.xaxis.label.get_size() == 7


def test_unknown_style_names_those_there_are(sample):
    with pytest.raises(ValueError, match="style='Atlas' is none of mplhep's: ALICE, ATLAS, "):
        RocDisplay.from_predictions(sample.y, sample.score, style="Atlas")
    assert pyplot.get_fignums() == []
