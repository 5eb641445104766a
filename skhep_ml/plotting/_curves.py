"""Efficiency curves: ROC and background rejection."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml._format import with_error
from skhep_ml._validation import positive_mask
from skhep_ml.metrics import roc_auc_score
from skhep_ml.metrics._base import efficiency_error
from skhep_ml.metrics._ranking import from_zero, rank_events
from skhep_ml.plotting._base import BinaryDisplay
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


class RocDisplay(BinaryDisplay):
    r"""Background efficiency against signal efficiency, with its statistical error.

    Make it with ``from_estimator`` or ``from_predictions``. Several models share one picture when
    each next one is given the ``ax_`` of the one before.

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
    band_ : matplotlib PolyCollection
        Its error band.
    ax_ : matplotlib Axes
        The axes drawn on.
    figure_ : matplotlib Figure
        Their figure.

    See Also
    --------
    RejectionDisplay : The same curve for strong rejection.
    skhep_ml.metrics.roc_curve : The curve alone.

    Notes
    -----
    The band is the efficiency's error at a fixed threshold,
    :math:`\sigma^2 = \sum w^2 (p - \varepsilon)^2 / (\sum w)^2`, p being 1 for background that
    passes; it is 0 where no background is left. Points that would not be seen are not drawn.
    ``plot`` passes other keywords to :meth:`matplotlib.axes.Axes.plot`.

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
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_score: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        pos_label: Any = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the curve of given scores.

        Parameters
        ----------
        y_true : array-like of shape (n_events,)
            Labels of two classes.
        y_score : array-like of shape (n_events,)
            Scores, greater for signal; infinities are allowed.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign; None counts events.
        pos_label : label, default=None
            The signal label; None takes 1 of {0, 1} or {-1, 1}.
        name : str, default=None
            Name of the model in the legend.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **kwargs : dict
            Passed on to ``plot``.

        Returns
        -------
        RocDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            NaN scores, or a class that is missing or whose weights sum to 0 or less.
        """
        thresholds, tpr, fpr, fpr_std = _efficiencies(y_true, y_score, sample_weight, pos_label)
        auc, auc_std = roc_auc_score(
            positive_mask(y_true, pos_label), y_score, sample_weight=sample_weight, return_std=True
        )
        display = cls(
            fpr=fpr,
            tpr=tpr,
            thresholds=thresholds,
            fpr_std=fpr_std,
            roc_auc=auc,
            roc_auc_std=auc_std,
            name=name,
        )
        return display.plot(ax, **kwargs)

    def _draw(self, ax: Any, name: str | None, **kwargs: Any) -> None:
        area = f"AUC = {with_error(self.roc_auc, self.roc_auc_std)}"
        label = area if name is None else f"{name} ({area})"
        kwargs = {"color": COLORS[number_of_curves(ax) % len(COLORS)], "label": label, **kwargs}
        points = visible_points(self.tpr, self.fpr)
        x, y, std = self.tpr[points], self.fpr[points], self.fpr_std[points]
        draw_once(ax, "chance", [0, 1], [0, 1], color=CHANCE, ls="--", lw=1, label="Chance")
        (self.line_,) = ax.plot(x, y, gid="curve", **kwargs)
        self.band_ = ax.fill_between(
            x, y - std, y + std, color=self.line_.get_color(), alpha=BAND_ALPHA, lw=0
        )
        ax.set(xlabel="Signal efficiency", ylabel="Background efficiency", xlim=(0, 1))
        show_range(ax, min(0.0, np.min(y - std)), max(1.0, np.max(y + std)))
        ticks_inside(ax)
        ax.legend(loc="upper left")


class RejectionDisplay(BinaryDisplay):
    r"""Background rejection against signal efficiency, on a log axis, with its error.

    Make it with ``from_estimator`` or ``from_predictions``. Several models share one picture when
    each next one is given the ``ax_`` of the one before.

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
    band_ : matplotlib PolyCollection
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
    ``plot`` passes other keywords to :meth:`matplotlib.axes.Axes.plot`.

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
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_score: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        pos_label: Any = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the curve of given scores.

        Parameters
        ----------
        y_true : array-like of shape (n_events,)
            Labels of two classes.
        y_score : array-like of shape (n_events,)
            Scores, greater for signal; infinities are allowed.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign; None counts events.
        pos_label : label, default=None
            The signal label; None takes 1 of {0, 1} or {-1, 1}.
        name : str, default=None
            Name of the model in the legend.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **kwargs : dict
            Passed on to ``plot``.

        Returns
        -------
        RejectionDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            NaN scores, or a class that is missing or whose weights sum to 0 or less.
        """
        _, tpr, fpr, std = _efficiencies(y_true, y_score, sample_weight, pos_label)
        # an efficiency within rounding of zero is zero
        found = fpr > 1e-12
        display = cls(
            signal_efficiency=tpr,
            rejection=np.divide(1.0, fpr, out=np.full_like(fpr, np.inf), where=found),
            rejection_std=np.divide(std, fpr**2, out=np.full_like(fpr, np.nan), where=found),
            name=name,
        )
        return display.plot(ax, **kwargs)

    def _draw(self, ax: Any, name: str | None, **kwargs: Any) -> None:
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
