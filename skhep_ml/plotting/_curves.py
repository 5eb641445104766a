"""Efficiency curves: ROC, background rejection, purity."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml._format import with_error
from skhep_ml._validation import positive_mask
from skhep_ml.metrics import average_precision_score, roc_auc_score
from skhep_ml.metrics._base import efficiency_error
from skhep_ml.metrics._ranking import from_zero, rank_events
from skhep_ml.plotting._comparison import CurveDisplay
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

#: An efficiency within rounding of zero is zero.
_ZERO = 1e-12


def _efficiencies(
    y_true: ArrayLike, y_score: ArrayLike, sample_weight: ArrayLike | None, pos_label: Any
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Thresholds, signal and background efficiency, and the error of the latter."""
    ranked = rank_events(y_true, y_score, sample_weight, pos_label)
    tps, fps = ranked.passing()
    squares = from_zero(ranked.passing(2)[1])
    tpr, fpr = from_zero(tps) / tps[-1], from_zero(fps) / fps[-1]
    std = efficiency_error(squares, squares[-1], fps[-1], fpr)
    return np.concatenate([[np.inf], ranked.thresholds]), tpr, fpr, std


def _efficiency_at(
    grid: NDArray[Any], tpr: NDArray[Any], fpr: NDArray[Any], std: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Background efficiency at given signal efficiencies, and its relative error."""
    efficiency = first_at(grid, tpr, fpr)
    efficiency = np.where(efficiency > _ZERO, efficiency, np.nan)
    return efficiency, first_at(grid, tpr, std) / efficiency


def first_at(grid: NDArray[Any], tpr: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
    """Values at the highest score at which signal efficiencies are reached, as in the metrics."""
    return np.interp(grid - _ZERO, np.maximum.accumulate(tpr), values)


class RocDisplay(CurveDisplay):
    r"""Background efficiency against signal efficiency, with its statistical error.

    Make it with ``from_estimator`` or ``from_predictions``; ``from_estimators``, ``from_scores``
    and ``from_folds`` draw several, with ratios on request. Any two displays share one picture
    when the second is given the ``ax_`` of the first.

    Parameters
    ----------
    fpr : ndarray of shape (n_points,)
        Background efficiency.
    tpr : ndarray of shape (n_points,)
        Signal efficiency.
    thresholds : ndarray of shape (n_points,)
        Falling scores after a leading infinity.
    fpr_std : ndarray of shape (n_points,)
        Statistical error of the background efficiency.
    roc_auc : float
        Area under the ROC curve.
    roc_auc_std : float
        Its statistical error.
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
    RejectionDisplay : The same curve for strong rejection.
    PrecisionRecallDisplay : Purity against signal efficiency.
    skhep_ml.metrics.roc_curve : The curve alone.

    Notes
    -----
    The band is the efficiency's error at a fixed threshold,
    :math:`\sigma^2 = \sum w^2 (p - \varepsilon)^2 / (\sum w)^2`, p being 1 for background that
    passes; it is 0 where no background is left. Points that would not be seen are not drawn.
    ``plot`` takes ``band`` (draw the errors, default True); it passes other keywords to
    :meth:`matplotlib.axes.Axes.plot`.

    Examples
    --------
    >>> from skhep_ml.plotting import RocDisplay
    >>> display = RocDisplay.from_predictions([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], name="Model")
    >>> display.roc_auc
    0.75
    >>> display.ax_.get_xlabel()
    'Signal efficiency'
    """

    def __init__(
        self,
        *,
        fpr: NDArray[np.float64],
        tpr: NDArray[np.float64],
        thresholds: NDArray[np.float64],
        fpr_std: NDArray[np.float64],
        roc_auc: float,
        roc_auc_std: float,
        name: str | None = None,
    ) -> None:
        self.fpr = fpr
        self.tpr = tpr
        self.thresholds = thresholds
        self.fpr_std = fpr_std
        self.roc_auc = roc_auc
        self.roc_auc_std = roc_auc_std
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
        thresholds, tpr, fpr, fpr_std = _efficiencies(y_true, y_score, sample_weight, pos_label)
        auc, auc_std = roc_auc_score(
            positive_mask(y_true, pos_label), y_score, sample_weight=sample_weight, return_std=True
        )
        return cls(
            fpr=fpr,
            tpr=tpr,
            thresholds=thresholds,
            fpr_std=fpr_std,
            roc_auc=auc,
            roc_auc_std=auc_std,
            name=name,
        )

    def _on_grid(self, grid: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        return _efficiency_at(grid, self.tpr, self.fpr, self.fpr_std)

    def _draw(self, ax: Any, name: str | None, *, band: bool = True, **kwargs: Any) -> None:
        area = f"AUC = {with_error(self.roc_auc, self.roc_auc_std)}"
        label = area if name is None else f"{name} ({area})"
        kwargs = {"color": COLORS[number_of_curves(ax) % len(COLORS)], "label": label, **kwargs}
        points = visible_points(self.tpr, self.fpr)
        x, y, std = self.tpr[points], self.fpr[points], self.fpr_std[points]
        draw_once(ax, "chance", [0, 1], [0, 1], color=CHANCE, ls="--", lw=1, label="Chance")
        (self.line_,) = ax.plot(x, y, gid="curve", **kwargs)
        self.band_ = None
        if band:
            color = self.line_.get_color()
            self.band_ = ax.fill_between(x, y - std, y + std, color=color, alpha=BAND_ALPHA, lw=0)
        ax.set(xlabel="Signal efficiency", ylabel="Background efficiency", xlim=(0, 1))
        show_range(ax, min(0.0, np.min(y - std)), max(1.0, np.max(y + std)))
        ticks_inside(ax)
        ax.legend(loc="upper left")


class RejectionDisplay(CurveDisplay):
    r"""Background rejection against signal efficiency, on a log axis, with its error.

    Make it with ``from_estimator`` or ``from_predictions``; ``from_estimators``, ``from_scores``
    and ``from_folds`` draw several, with ratios on request. Any two displays share one picture
    when the second is given the ``ax_`` of the first.

    Parameters
    ----------
    signal_efficiency : ndarray of shape (n_points,)
        Signal efficiency.
    rejection : ndarray of shape (n_points,)
        Inverse background efficiency; infinite where that is not positive.
    rejection_std : ndarray of shape (n_points,)
        Its statistical error; NaN where the rejection is infinite.
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
    RocDisplay : The same curve on linear axes.
    skhep_ml.metrics.background_rejection_score : One point of the curve.

    Notes
    -----
    The band reaches from :math:`1/(\varepsilon_B + \sigma)` to
    :math:`1/(\varepsilon_B - \sigma)`: no upper end where :math:`\sigma \ge \varepsilon_B`. The
    axis ends above the highest point known to better than 50%. Where the signed background
    efficiency is not positive there is no rejection and the curve has a gap.
    ``plot`` takes ``band`` (draw the errors, default True); it passes other keywords to
    :meth:`matplotlib.axes.Axes.plot`.

    Examples
    --------
    >>> from skhep_ml.plotting import RejectionDisplay
    >>> display = RejectionDisplay.from_predictions([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> display.signal_efficiency, display.rejection
    (array([0. , 0.5, 0.5, 1. , 1. ]), array([inf, inf,  2.,  2.,  1.]))
    """

    def __init__(
        self,
        *,
        signal_efficiency: NDArray[np.float64],
        rejection: NDArray[np.float64],
        rejection_std: NDArray[np.float64],
        name: str | None = None,
    ) -> None:
        self.signal_efficiency = signal_efficiency
        self.rejection = rejection
        self.rejection_std = rejection_std
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
        _, tpr, fpr, std = _efficiencies(y_true, y_score, sample_weight, pos_label)
        found = fpr > _ZERO
        return cls(
            signal_efficiency=tpr,
            rejection=np.divide(1.0, fpr, out=np.full_like(fpr, np.inf), where=found),
            rejection_std=np.divide(std, fpr**2, out=np.full_like(fpr, np.nan), where=found),
            name=name,
        )

    def _on_grid(self, grid: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        fpr = 1 / self.rejection
        std = np.nan_to_num(self.rejection_std) * fpr**2
        efficiency, relative = _efficiency_at(grid, self.signal_efficiency, fpr, std)
        return 1 / efficiency, relative

    def _draw(self, ax: Any, name: str | None, *, band: bool = True, **kwargs: Any) -> None:
        kwargs = {"color": COLORS[number_of_curves(ax) % len(COLORS)], "label": name, **kwargs}
        points = visible_points(self.signal_efficiency)
        x, y = self.signal_efficiency[points], self.rejection[points]
        defined = np.isfinite(y)
        y = np.where(defined, y, np.nan)
        relative = np.where(defined, self.rejection_std[points] / y, np.inf)
        known = y[relative < 0.5]
        top = 2 * known.max() if len(known) else 10.0
        upper = np.divide(y, 1 - relative, out=np.full_like(y, 1e6 * top), where=relative < 1)

        grid = np.linspace(0.001, 1, 1000)
        draw_once(ax, "chance", grid, 1 / grid, color=CHANCE, ls="--", lw=1, label="Chance")
        (self.line_,) = ax.plot(x, y, gid="curve", **kwargs)
        self.band_ = None
        if band:
            self.band_ = ax.fill_between(
                x,
                np.where(defined, y / (1 + relative), np.nan),
                np.where(defined, upper, np.nan),
                color=self.line_.get_color(),
                alpha=BAND_ALPHA,
                lw=0,
            )
        ax.set(
            xlabel=r"Signal efficiency $\varepsilon_S$",
            ylabel=r"Background rejection $1/\varepsilon_B$",
            yscale="log",
            xlim=(0, 1),
        )
        show_range(ax, 0.8, top)
        ticks_inside(ax)
        ax.legend(loc="upper right")


class PrecisionRecallDisplay(CurveDisplay):
    r"""Purity (precision) against signal efficiency (recall), with its statistical error.

    Make it with ``from_estimator`` or ``from_predictions``; ``from_estimators``, ``from_scores``
    and ``from_folds`` draw several, with ratios on request.

    Parameters
    ----------
    precision : ndarray of shape (n_thresholds,)
        Signal share of the selected weights; NaN where these sum to 0 or less.
    recall : ndarray of shape (n_thresholds,)
        Signal efficiency.
    thresholds : ndarray of shape (n_thresholds,)
        Falling scores.
    precision_std : ndarray of shape (n_thresholds,)
        Statistical error of the purity.
    average_precision : float
        Mean purity over the steps of signal efficiency.
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
    skhep_ml.metrics.average_precision_score : The mean purity.

    Notes
    -----
    The band is :math:`\sigma^2 = (B^2 \sigma_S^2 + S^2 \sigma_B^2) / (S + B)^4` for selected
    signal S and background B with errors sqrt(sum w^2), at a fixed threshold. Purities depend on
    the ratio of the two classes' sums of weights, which the dashed line, the purity of all
    events, shows.
    ``plot`` takes ``band`` (draw the errors, default True); it passes other keywords to
    :meth:`matplotlib.axes.Axes.plot`.

    Examples
    --------
    >>> from skhep_ml.plotting import PrecisionRecallDisplay
    >>> display = PrecisionRecallDisplay.from_predictions([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> display.precision.round(2), display.recall
    (array([1.  , 0.5 , 0.67, 0.5 ]), array([0.5, 0.5, 1. , 1. ]))
    """

    def __init__(
        self,
        *,
        precision: NDArray[np.float64],
        recall: NDArray[np.float64],
        thresholds: NDArray[Any],
        precision_std: NDArray[np.float64],
        average_precision: float,
        name: str | None = None,
    ) -> None:
        self.precision = precision
        self.recall = recall
        self.thresholds = thresholds
        self.precision_std = precision_std
        self.average_precision = average_precision
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
        ranked = rank_events(y_true, y_score, sample_weight, pos_label)
        (s, b), (s2, b2) = ranked.passing(), ranked.passing(2)
        selected = np.where(s + b > _ZERO * (s[-1] + b[-1]), s + b, np.nan)
        return cls(
            precision=s / selected,
            recall=s / s[-1],
            thresholds=ranked.thresholds,
            precision_std=np.sqrt(b**2 * s2 + s**2 * b2) / selected**2,
            average_precision=average_precision_score(
                positive_mask(y_true, pos_label), y_score, sample_weight=sample_weight
            ),
            name=name,
        )

    def _on_grid(self, grid: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        purity = first_at(grid, self.recall, self.precision)
        return purity, first_at(grid, self.recall, self.precision_std) / purity

    def _draw(self, ax: Any, name: str | None, *, band: bool = True, **kwargs: Any) -> None:
        mean = f"mean purity {self.average_precision:.3g}"
        label = mean.capitalize() if name is None else f"{name} ({mean})"
        kwargs = {"color": COLORS[number_of_curves(ax) % len(COLORS)], "label": label, **kwargs}
        points = visible_points(self.recall, np.nan_to_num(self.precision))
        x, y, std = self.recall[points], self.precision[points], self.precision_std[points]
        whole = self.precision[-1]
        draw_once(
            ax, "chance", [0, 1], [whole, whole], color=CHANCE, ls="--", lw=1, label="All events"
        )
        (self.line_,) = ax.plot(x, y, gid="curve", **kwargs)
        self.band_ = None
        if band:
            color = self.line_.get_color()
            self.band_ = ax.fill_between(x, y - std, y + std, color=color, alpha=BAND_ALPHA, lw=0)
        ax.set(xlabel="Signal efficiency (recall)", ylabel="Purity (precision)", xlim=(0, 1))
        known = y[std < 0.5 * np.abs(y)]
        show_range(ax, min(0.0, np.min(known, initial=0.0)), max(1.05, np.max(known, initial=0.0)))
        ticks_inside(ax)
        ax.legend(loc="best")
