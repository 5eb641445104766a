import subprocess
import sys

import numpy as np
import pytest
from matplotlib import pyplot

from skhep_ml.plotting import RocDisplay
from skhep_ml.plotting._style import hep_axes, visible_points


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
