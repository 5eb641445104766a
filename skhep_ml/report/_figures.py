"""The pictures of a report that are not displays of their own."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhep_ml._extras import import_extra
from skhep_ml.plotting._style import COLORS, hep_axes, ticks_inside


def canvas(
    width: float = 6.6, height: float = 4.7, style: str | None = None, **subplots: Any
) -> Any:
    """Axes on a figure of their own, outside pyplot's list of open figures."""
    matplotlib_figure = import_extra("matplotlib.figure", "plot")
    figure = matplotlib_figure.Figure(figsize=(width, height), layout="constrained")
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
        for name, color in zip(names, COLORS, strict=False):
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
