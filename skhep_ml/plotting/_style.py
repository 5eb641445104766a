"""Look of the displays: colours, ticks and sizes, and how numbers are printed."""

from collections.abc import Iterator, Mapping
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

_RC: dict[str, Any] = {
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
    "xtick.labelsize": 9.5,
    "xtick.major.size": 6.0,
    "xtick.minor.size": 3.0,
    "yaxis.labellocation": "top",
    "ytick.labelsize": 9.5,
    "ytick.major.size": 6.0,
    "ytick.minor.size": 3.0,
}

#: Settings that matplotlib reads when a figure is written, not when it is made.
_LATE = ("mathtext.", "savefig.")


@contextmanager
def hep_axes(ax: Any = None, style: str | Mapping[str, Any] | None = None) -> Iterator[Any]:
    """Yield axes to draw on, new ones if none are given; the global style stays as it is."""
    matplotlib = import_extra("matplotlib", "plot")
    pyplot = import_extra("matplotlib.pyplot", "plot")
    own = ax is None
    with matplotlib.rc_context(_RC if style is None else _style_settings(style)):
        if own:
            _, ax = pyplot.subplots(layout="constrained")
        try:
            yield ax
        except BaseException:
            if own:
                pyplot.close(ax.figure)
            raise


def _style_settings(style: str | Mapping[str, Any]) -> dict[str, Any]:
    """Settings of an experiment's style, or given ones over those of the displays."""
    if not isinstance(style, str):
        return {**_RC, **style}
    styles = import_extra("mplhep", "plot").style
    # each experiment has one under its plain name; the others are its variants
    known = {name: vars(styles)[name] for name in vars(styles) if name[:2].isupper()}
    known = {name: found for name, found in known.items() if isinstance(found, dict)}
    if style not in known:
        msg = f"style={style!r} is none of mplhep's: {', '.join(sorted(known))}"
        raise ValueError(msg)
    settings = {name: value for name, value in known[style].items() if not name.startswith(_LATE)}
    # figures of another size: all that is in points shrinks along, as in a picture of the picture
    width, height = settings.pop("figure.figsize")
    scale = _RC["figure.figsize"][0] / width
    for name, value in settings.items():
        if name.endswith(("size", "width", "pad")) and isinstance(value, (int, float)):
            settings[name] = scale * value
    return {
        **settings,
        "figure.figsize": (scale * width, scale * height),
        "figure.autolayout": False,
        "font.family": _installed(settings),
        # theirs hold a word or two, those of the displays numbers with errors
        "legend.fontsize": _RC["legend.fontsize"],
    }


def _installed(settings: Mapping[str, Any]) -> list[str]:
    """First font of a style that there is, and one that has every sign.

    A generic family would be looked up when the figure is written, under other settings.
    """
    fonts = import_extra("matplotlib.font_manager", "plot")
    known = {font.name.lower() for font in fonts.fontManager.ttflist}
    wanted = settings.get(f"font.{settings.get('font.family', 'sans-serif')}", [])
    return [*[name for name in wanted if name.lower() in known][:1], "DejaVu Sans"]


def ticks_inside(ax: Any, *, minor: bool = True) -> None:
    """Put ticks inward on all four sides."""
    if minor:
        ax.minorticks_on()
    ax.tick_params(which="both", direction="in", top=True, right=True)
    settings = import_extra("matplotlib", "plot").rcParams
    for axis in ("x", "y"):
        ax.tick_params(axis=axis, which="both", labelsize=settings[f"{axis}tick.labelsize"])
        for which in ("major", "minor"):
            ax.tick_params(axis=axis, which=which, length=settings[f"{axis}tick.{which}.size"])


def grid_cell(ax: Any) -> Any:
    """Place of axes in their grid, to put others there; the axes themselves vanish."""
    cell = ax.get_subplotspec()
    if cell is None:
        msg = (
            "the display needs axes that are part of a grid, such as those of pyplot.subplots, "
            "or none"
        )
        raise ValueError(msg)
    ax.set_axis_off()
    return cell


def panel_and_ratio(figure: Any, cell: Any) -> tuple[Any, Any]:
    """Axes one above the other with a common x axis, the lower ones for ratios."""
    parts = cell.subgridspec(2, 1, height_ratios=(5, 2), hspace=0.04)
    panel = figure.add_subplot(parts[0])
    below = figure.add_subplot(parts[1], sharex=panel)
    panel.tick_params(labelbottom=False)
    return panel, below


def ratio_range(ratios: Any, *, most: float = 1.0) -> tuple[float, float]:
    """Ends of the axis of ratios, which shows nearly all of them about 1."""
    away = np.abs(np.append(ratios, 1.0) - 1)
    width = 1.3 * float(np.quantile(away[np.isfinite(away)], 0.95))
    width = min(max(width, 0.1), most)
    return max(1 - width, 0.0), 1 + width


def label_steps(ax: Any, edges: NDArray[np.float64]) -> None:
    """Label an x axis on which bin k reaches from k to k + 1 with the edges of the bins."""
    ax.tick_params(axis="x", which="minor", bottom=False, top=False)
    every = -(-len(edges) // 12)
    labels = [f"{edge:.3g}" for edge in edges[::every]]
    if len(set(labels)) < len(labels):
        labels = [f"{edge:.5g}" for edge in edges[::every]]
    places = np.arange(len(edges))[::every]
    ax.set_xticks(places, labels, rotation=45 if len(labels) > 6 else 0)


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
