"""Significance improvement against signal efficiency."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml._format import with_error
from skhep_ml.metrics import significance_improvement
from skhep_ml.plotting._comparison import CurveDisplay
from skhep_ml.plotting._curves import first_at
from skhep_ml.plotting._style import (
    BAND_ALPHA,
    CHANCE,
    COLORS,
    draw_once,
    number_of_curves,
    show_range,
    ticks_inside,
    visible_points,
)


class SignificanceImprovementDisplay(CurveDisplay):
    r"""Significance improvement against signal efficiency, with its statistical error.

    Make it with ``from_estimator`` or ``from_predictions``; ``from_estimators``, ``from_scores``
    and ``from_folds`` draw several, with ratios on request. Any two displays share one picture
    when the second is given the ``ax_`` of the first.

    Parameters
    ----------
    signal_efficiency : ndarray of shape (n_thresholds,)
        Signal efficiency.
    improvement : ndarray of shape (n_thresholds,)
        Significance improvement; NaN where the background efficiency is not positive.
    improvement_std : ndarray of shape (n_thresholds,)
        Its statistical error.
    background_events : ndarray of shape (n_thresholds,)
        Number of background events that pass, raw or effective, whichever is less.
    name : str, default=None
        Name of the model.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The curve.
    band_ : matplotlib PolyCollection or None
        Its error band.
    ax_ : matplotlib Axes
        The axes drawn on.
    figure_ : matplotlib Figure
        Their figure.

    See Also
    --------
    skhep_ml.metrics.significance_improvement : The curve alone.
    RejectionDisplay : Background rejection against signal efficiency.

    Notes
    -----
    The dashed line, :math:`\sqrt{\varepsilon_S}`, is that of a score without information.
    ``plot`` takes ``min_background_events`` (draw what at least so many background events pass,
    default 25, and mark the maximum there), ``band`` (draw the errors, default True), and passes
    other keywords to :meth:`matplotlib.axes.Axes.plot`.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.plotting import SignificanceImprovementDisplay
    >>> y = np.repeat([0, 1], 10_000)
    >>> score = np.random.default_rng(0).normal(2.0 * y, 1.0)
    >>> display = SignificanceImprovementDisplay.from_predictions(y, score, name="Toy")
    >>> display.ax_.get_legend_handles_labels()[1][1]
    'Toy (max. 4.94 ± 0.50)'
    """

    def __init__(
        self,
        *,
        signal_efficiency: NDArray[np.float64],
        improvement: NDArray[np.float64],
        improvement_std: NDArray[np.float64],
        background_events: NDArray[np.float64],
        name: str | None = None,
    ) -> None:
        self.signal_efficiency = signal_efficiency
        self.improvement = improvement
        self.improvement_std = improvement_std
        self.background_events = background_events
        self.name = name

    @classmethod
    def _make(
        cls,
        y_true: ArrayLike,
        y_score: ArrayLike,
        *,
        sample_weight: ArrayLike | None,
        pos_label: Any,
        name: str | None,
    ) -> Self:
        curve = significance_improvement(
            y_true, y_score, sample_weight=sample_weight, pos_label=pos_label
        )
        return cls(
            signal_efficiency=curve.signal_efficiency,
            improvement=curve.improvement,
            improvement_std=curve.improvement_std,
            background_events=curve.background_events,
            name=name,
        )

    def _on_grid(self, grid: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        value = first_at(grid, self.signal_efficiency, self.improvement)
        return value, first_at(grid, self.signal_efficiency, self.improvement_std) / value

    def _draw(
        self,
        ax: Any,
        name: str | None,
        *,
        band: bool = True,
        min_background_events: float = 25,
        **kwargs: Any,
    ) -> None:
        known = self.background_events >= min_background_events * (1 - 1e-9)
        y = np.where(known, self.improvement, np.nan)
        label = name
        if known.any():
            best = int(np.nanargmax(y))
            maximum = f"max. {with_error(y[best], self.improvement_std[best])}"
            label = maximum.capitalize() if name is None else f"{name} ({maximum})"
        kwargs = {"color": COLORS[number_of_curves(ax) % len(COLORS)], "label": label, **kwargs}
        grid = np.linspace(0, 1, 500)
        draw_once(ax, "chance", grid, np.sqrt(grid), color=CHANCE, ls="--", lw=1, label="Chance")
        top = float(np.nanmax(y)) if known.any() else 1.0
        points = visible_points(self.signal_efficiency, np.nan_to_num(y / top))
        x, y, std = self.signal_efficiency[points], y[points], self.improvement_std[points]
        (self.line_,) = ax.plot(x, y, gid="curve", **kwargs)
        color = self.line_.get_color()
        if known.any():
            ax.plot(self.signal_efficiency[best], self.improvement[best], "o", color=color, ms=4)
        self.band_ = None
        if band:
            self.band_ = ax.fill_between(x, y - std, y + std, color=color, alpha=BAND_ALPHA, lw=0)
        ax.set(
            xlabel=r"Signal efficiency $\varepsilon_S$",
            ylabel=r"Significance improvement $\varepsilon_S/\sqrt{\varepsilon_B}$",
            xlim=(0, 1),
        )
        # room for the legend
        show_range(ax, 0.0, 1.35 * max(1.0, float(np.nanmax(y + std, initial=0.0))))
        ticks_inside(ax)
        ax.legend(loc="upper right")
