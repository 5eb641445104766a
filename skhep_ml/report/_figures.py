"""The pictures of a report that are not displays of their own."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhep_ml._extras import import_extra
from skhep_ml.metrics import ResponseProfile
from skhep_ml.plotting._style import COLORS, hep_axes, ticks_inside


def canvas(
    width: float = 6.6,
    height: float = 4.7,
    style: str | None = None,
    layout: str = "constrained",
    **subplots: Any,
) -> Any:
    """Axes on a figure of their own, outside pyplot's list of open figures.

    Square cells want ``layout="compressed"``; otherwise long names beside them are cut off.
    """
    matplotlib_figure = import_extra("matplotlib.figure", "plot")
    figure = matplotlib_figure.Figure(figsize=(width, height), layout=layout)
    with hep_axes(figure, style):
        return figure.subplots(**subplots)


def weight_sizes(
    weight: NDArray[np.float64],
    process: NDArray[Any],
    names: Sequence[str],
    style: str | None = None,
) -> Any:
    """Size of the weights by process: positive ones upwards, negative ones downwards."""
    ax = canvas(style=style)
    used = weight != 0
    weight, process = weight[used], process[used]
    size = np.log10(np.abs(weight))
    edges = np.linspace(np.floor(size.min() * 2) / 2, np.ceil(size.max() * 2) / 2 + 1e-9, 41)
    with hep_axes(ax, style):
        for name, color in zip(names, itertools.cycle(COLORS), strict=False):
            here = process == name
            positive, negative = here & (weight > 0), here & (weight < 0)
            ax.stairs(
                np.histogram(size[positive], edges)[0], edges, color=color, lw=1.8, label=name
            )
            if negative.any():
                counts = np.histogram(size[negative], edges)[0]
                ax.stairs(-counts, edges, color=color, lw=1.8, ls="--")
        ax.axhline(0, color="0.3", lw=0.8)
        down = " (w < 0: downwards)" if (weight < 0).any() else ""
        ax.set(xlabel=r"$\log_{10}|w|$", ylabel=f"Simulated events{down}")
        ax.yaxis.set_major_formatter(lambda value, _: f"{abs(value):,.0f}")
        low, high = ax.get_ylim()
        # room for the legend
        ax.set_ylim(low, high + 0.09 * -(-len(names) // 2) * (high - low))
        ticks_inside(ax)
        ax.legend(ncols=2)
    return ax.figure


def response_curves(
    profiles: Mapping[str, ResponseProfile], variable: str, style: str | None = None
) -> Any:
    """Bias and resolution of several models in bins of a variable."""
    upper, lower = canvas(6.6, 5.6, style, nrows=2, sharex=True)
    with hep_axes(upper, style):
        for (name, profile), color in zip(profiles.items(), itertools.cycle(COLORS), strict=False):
            centre = (profile.edges[1:] + profile.edges[:-1]) / 2
            points = {"fmt": "o", "ms": 4, "elinewidth": 1, "color": color, "label": name}
            half = np.diff(profile.edges) / 2
            upper.errorbar(centre, profile.bias, profile.bias_std, half, **points)
            lower.errorbar(centre, profile.resolution, profile.resolution_std, half, **points)
        upper.axhline(0, color="0.3", lw=0.8)
        upper.set_ylabel("Bias")
        lower.set(xlabel=variable, ylabel="Resolution")
        lower.set_ylim(bottom=0)
        for ax in (upper, lower):
            ticks_inside(ax)
        upper.legend(ncols=2)
    return upper.figure
