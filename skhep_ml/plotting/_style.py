"""Look of the displays: colours, ticks and sizes, and how numbers are printed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhep_ml._extras import import_extra

#: Ten colours that colour-blind readers tell apart (M. A. Petroff, arXiv:2107.02270): lines in
#: this order; fills of a stack and lines drawn over it take parts that do not meet.
COLORS = (
    "#3f90da",
    "#bd1f01",
    "#ffa90e",
    "#832db6",
    "#94a4a2",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)
FILL_COLORS = ("#3f90da", "#ffa90e", "#94a4a2", "#92dadd", "#b9ac70", "#717581")
LINE_COLORS = ("#bd1f01", "#832db6", "#e76300", "#a96b59")
BACKGROUND, SIGNAL = COLORS[:2]
CHANCE = "0.55"

#: Opacity of statistical bands.
BAND_ALPHA = 0.3

_RC = {
    "axes.labelsize": 11,
    "axes.linewidth": 1.0,
    "axes.titlesize": 10,
    "figure.figsize": (6.0, 4.5),
    "font.size": 10,
    "hatch.linewidth": 0.5,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "xaxis.labellocation": "right",
    "yaxis.labellocation": "top",
}


@contextmanager
def hep_axes(ax: Any = None) -> Iterator[Any]:
    """Yield axes to draw on, new ones if none are given; the global style stays as it is."""
    matplotlib = import_extra("matplotlib", "plot")
    pyplot = import_extra("matplotlib.pyplot", "plot")
    own = ax is None
    with matplotlib.rc_context(_RC):
        if own:
            _, ax = pyplot.subplots(layout="constrained")
        try:
            yield ax
        except BaseException:
            if own:
                pyplot.close(ax.figure)
            raise


def ticks_inside(ax: Any, *, minor: bool = True) -> None:
    """Put ticks inward on all four sides."""
    if minor:
        ax.minorticks_on()
    ax.tick_params(which="both", direction="in", top=True, right=True, labelsize=9.5)
    ax.tick_params(which="major", length=6)
    ax.tick_params(which="minor", length=3)


def number_of_curves(ax: Any) -> int:
    """Count the curves that displays have drawn on these axes."""
    return sum(line.get_gid() == "curve" for line in ax.lines)


def show_range(ax: Any, low: float, high: float) -> None:
    """Set the ends of the y axis, wider where an earlier curve needs it."""
    if number_of_curves(ax) > 1:
        before = ax.get_ylim()
        low, high = min(low, before[0]), max(high, before[1])
    ax.set_ylim(low, high)


def draw_once(ax: Any, gid: str, x: Any, y: Any, **kwargs: Any) -> None:
    """Draw a line that several displays on the same axes share, such as pure chance."""
    if all(line.get_gid() != gid for line in ax.lines):
        ax.plot(x, y, gid=gid, **kwargs)


def visible_points(*curves: NDArray[Any], resolution: int = 1000) -> NDArray[np.intp]:
    """Positions at which curves within [0, 1] move by a visible step.

    A curve of an event a point is slow to draw and makes vector files of many megabytes.
    """
    keep = np.zeros(len(curves[0]), dtype=bool)
    keep[[0, -1]] = True
    for curve in curves:
        step = np.diff(np.floor(resolution * curve)) != 0
        keep[:-1] |= step
        keep[1:] |= step
    return np.flatnonzero(keep)
