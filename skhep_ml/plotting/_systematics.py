"""Relative variations of a score's histogram."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from skhep_ml.inspection._templates import relative_shift
from skhep_ml.plotting._base import Display
from skhep_ml.plotting._style import BAND_ALPHA, COLORS, label_steps, ticks_inside

# variations shown without being asked for: more cannot be told apart
_MOST = 4
# widest over narrowest bin from which on bins are drawn equally wide
_UNEVEN = 4.0


class SystematicsDisplay(Display):
    """Relative up and down variations of the bins of a score, with statistical errors.

    Make it with ``from_result``.

    Parameters
    ----------
    edges : ndarray of shape (n_bins + 1,)
        Edges of the bins of the score.
    names : list of str
        Names of the variations.
    up, up_errors : ndarray of shape (n_variations, n_bins)
        Up shift over nominal, and its statistical error; NaN where nominal is 0 or less.
    down, down_errors : ndarray of shape (n_variations, n_bins)
        The same of the down shift; NaN for one-sided variations.
    stat : ndarray of shape (n_bins,)
        Relative statistical error of the nominal histogram.
    what : str
        The processes that are summed, shown as title.
    name : str, default=None
        Name of the model, shown at the score's axis.

    Attributes
    ----------
    lines_ : list of matplotlib ErrorbarContainer
        Up and down shifts, one after the other.
    ax_ : matplotlib Axes
        The axes drawn on.
    figure_ : matplotlib Figure
        Their figure.

    See Also
    --------
    skhep_ml.inspection.evaluate_systematics : The numbers and templates.

    Notes
    -----
    The error of a relative shift knows which events the nominal and the varied histogram share, so
    that a common factor has none; the grey
    band is the statistical error of the nominal histogram, sqrt(sum w^2).
    ``plot`` takes ``equal_steps`` (bins drawn equally wide, whatever their edges; default: where
    the widest is more than four times the narrowest); it passes other keywords to
    :meth:`matplotlib.axes.Axes.errorbar`.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skhep_ml.datasets import make_signed_events
    >>> from skhep_ml.inspection import evaluate_systematics
    >>> from skhep_ml.plotting import SystematicsDisplay
    >>> events = make_signed_events(2000, random_state=0)
    >>> model = LogisticRegression().fit(events.data, events.target)
    >>> weight = {"weight": (1.1 * events.weight, 0.9 * events.weight)}
    >>> result = evaluate_systematics(model, events, weight, bins=[0, 0.4, 0.6, 1], n_replicas=0)
    >>> SystematicsDisplay.from_result(result).up.round(3)
    array([[0.1, 0.1, 0.1]])
    """

    def __init__(
        self,
        *,
        edges: NDArray[np.float64],
        names: list[str],
        up: NDArray[np.float64],
        up_errors: NDArray[np.float64],
        down: NDArray[np.float64],
        down_errors: NDArray[np.float64],
        stat: NDArray[np.float64],
        what: str,
        name: str | None = None,
    ) -> None:
        self.edges = edges
        self.names = names
        self.up = up
        self.up_errors = up_errors
        self.down = down
        self.down_errors = down_errors
        self.stat = stat
        self.what = what
        self.name = name

    @classmethod
    def from_result(
        cls,
        result: Any,
        variations: str | Sequence[str] | None = None,
        *,
        processes: str | Sequence[str] | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot what `skhep_ml.inspection.evaluate_systematics` has found.

        Parameters
        ----------
        result : SystematicsResult
            The result.
        variations : str or sequence of str, default=None
            Names of variations; None takes the four with the largest shifts.
        processes : str or sequence of str, default=None
            Processes to sum; None takes all background.
        name : str, default=None
            Name of the model, shown at the score's axis.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **kwargs : dict
            Passed on to ``plot``.

        Returns
        -------
        SystematicsDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            Unknown variations or processes, or none.
        """
        if processes is None:
            rows, what = ~result.signal, "all background"
        else:
            chosen = _listed(processes, result.processes, "processes")
            rows, what = np.isin(result.processes, chosen), " + ".join(chosen)
        nominal = result.values[rows].sum(axis=0)

        def relative(side: Any) -> NDArray[np.float64]:
            if side is None:
                return np.full((2, len(nominal)), np.nan)
            parts = (side.values, result.values, side.sumw2, result.sumw2, side.shift_sumw2)
            return np.array(relative_shift(*(part[rows].sum(axis=0) for part in parts)))

        known = list(result.variations)
        names = known if variations is None else _listed(variations, known, "variations")
        pairs = np.array(
            [
                [relative(result.variations[one].up), relative(result.variations[one].down)]
                for one in names
            ]
        )
        if variations is None and len(names) > _MOST:
            size = np.nansum(pairs[:, :, 0] ** 2, axis=(1, 2))
            largest = np.sort(np.argsort(-size, kind="stable")[:_MOST])
            names, pairs = [names[k] for k in largest], pairs[largest]
        display = cls(
            edges=result.edges,
            names=names,
            up=pairs[:, 0, 0],
            up_errors=pairs[:, 0, 1],
            down=pairs[:, 1, 0],
            down_errors=pairs[:, 1, 1],
            stat=np.sqrt(result.sumw2[rows].sum(axis=0)) / np.where(nominal > 0, nominal, np.nan),
            what=what if len(names) == len(known) else f"{what}, {len(names)} of {len(known)}",
            name=name,
        )
        return display.plot(ax, **kwargs)

    def _draw(
        self, ax: Any, name: str | None, *, equal_steps: bool | None = None, **kwargs: Any
    ) -> None:
        widths = np.diff(self.edges)
        if equal_steps is None:
            equal_steps = bool(widths.max() > _UNEVEN * widths.min())
        edges = np.arange(len(self.edges), dtype=np.float64) if equal_steps else self.edges
        width = np.diff(edges)
        band = {"color": "0.4", "alpha": BAND_ALPHA, "lw": 0}
        stat = np.nan_to_num(100 * self.stat)
        ax.stairs(stat, edges, baseline=-stat, fill=True, label="Stat. error, nominal", **band)
        ax.axhline(0, color="black", lw=0.8)
        self.lines_: list[Any] = []
        n_lines = 2 * len(self.names)
        for k, variation in enumerate(self.names):
            color = COLORS[k % len(COLORS)]
            for side, marker, style in (("up", "^", "-"), ("down", "v", "--")):
                values = 100 * getattr(self, side)[k]
                if np.isnan(values).all():
                    continue
                ax.stairs(values, edges, baseline=None, color=color, ls=style, lw=1.4)
                # side by side, so that error bars do not hide each other
                part = (len(self.lines_) + 1) / (n_lines + 1)
                options = {
                    "color": color,
                    "fmt": marker,
                    "ms": 4.5,
                    "elinewidth": 1,
                    "label": variation if np.isnan(self.down[k]).all() else f"{variation} {side}",
                    **kwargs,
                }
                errors = 100 * getattr(self, f"{side}_errors")[k]
                self.lines_.append(
                    ax.errorbar(edges[:-1] + part * width, values, errors, **options)
                )
        largest = 100 * np.nanmax(np.abs([self.up, self.down]), initial=0.0)
        # the band may leave the picture where the variations are small against it
        top = max(1.3 * largest, 0.3 * stat.max(), 1e-3)
        rows = np.ceil((len(self.lines_) + 1) / 2)
        ax.set(
            xlim=(edges[0], edges[-1]),
            # room for the legend
            ylim=(-top, top * (1 + 0.17 * rows)),
            xlabel="Score" if name is None else f"{name} score",
            ylabel="Variation / nominal (%)",
        )
        ax.set_title(self.what, loc="right", fontsize=9)
        ticks_inside(ax)
        if equal_steps:
            label_steps(ax, self.edges)
        ax.legend(loc="upper left", ncols=2)


def _listed(given: str | Sequence[str], known: list[str], what: str) -> list[str]:
    names = [given] if isinstance(given, str) else list(given)
    unknown = [one for one in names if one not in known]
    if unknown or not names:
        msg = f"{what} {unknown or names} are not among {known}"
        raise ValueError(msg)
    return names
