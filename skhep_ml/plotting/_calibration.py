"""Reliability of predicted probabilities."""

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml._validation import check_event_weight
from skhep_ml.metrics import calibration_error
from skhep_ml.metrics._base import efficiency_error, greater_label_mask
from skhep_ml.metrics._calibration import check_probability, probability_bins
from skhep_ml.plotting._base import BinaryDisplay
from skhep_ml.plotting._style import (
    CHANCE,
    COLORS,
    draw_once,
    number_of_curves,
    show_range,
    ticks_inside,
)


class CalibrationDisplay(BinaryDisplay):
    r"""Observed signal share against predicted probability, with statistical errors.

    Make it with ``from_estimator`` or ``from_predictions``. Several models share one picture when
    each next one is given the ``ax_`` of the one before.

    Parameters
    ----------
    prob_pred : ndarray of shape (n_bins,)
        Mean prediction of each bin; NaN where its weights sum to 0 or less.
    prob_true : ndarray of shape (n_bins,)
        Observed signal share, likewise.
    prob_true_std : ndarray of shape (n_bins,)
        Its statistical error.
    calibration_error : float
        Mean distance of prediction and share, weighted.
    name : str, default=None
        Name of the model.

    Attributes
    ----------
    line_ : matplotlib ErrorbarContainer
        The points.
    ax_ : matplotlib Axes
        The axes drawn on.
    figure_ : matplotlib Figure
        Their figure.

    See Also
    --------
    skhep_ml.metrics.calibration_error : The number in the legend.

    Notes
    -----
    The error is :math:`\sigma^2 = \sum w^2 (y - \bar y)^2 / (\sum w)^2` over the events of a bin.
    Bins whose signed weights sum to 0 or less have no share and are not drawn. A signal share
    supposes the yields of the weights: a model trained on balanced classes is calibrated for
    balanced weights.
    ``plot`` passes other keywords to :meth:`matplotlib.axes.Axes.errorbar`.

    Examples
    --------
    >>> from skhep_ml.plotting import CalibrationDisplay
    >>> display = CalibrationDisplay.from_predictions(
    ...     [0, 1, 0, 1], [0.25, 0.25, 0.75, 0.75], n_bins=2)
    >>> display.prob_pred, display.prob_true
    (array([0.25, 0.75]), array([0.5, 0.5]))
    """

    _response_methods = ("predict_proba",)

    def __init__(
        self,
        *,
        prob_pred: NDArray[np.float64],
        prob_true: NDArray[np.float64],
        prob_true_std: NDArray[np.float64],
        calibration_error: float,
        name: str | None = None,
    ) -> None:
        self.prob_pred = prob_pred
        self.prob_true = prob_true
        self.prob_true_std = prob_true_std
        self.calibration_error = calibration_error
        self.name = name

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_prob: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        n_bins: int = 10,
        strategy: Literal["uniform", "quantile"] = "uniform",
        pos_label: Any = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the reliability of given probabilities.

        Parameters
        ----------
        y_true : array-like of shape (n_events,)
            Labels of two classes.
        y_prob : array-like of shape (n_events,)
            Predicted probability of signal, in [0, 1].
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign; None counts events.
        n_bins : int, default=10
            Number of bins in ``y_prob``.
        strategy : {"uniform", "quantile"}, default="uniform"
            Bins of equal width, or with equal raw numbers of events.
        pos_label : label, default=None
            The signal label; None takes the greater label.
        name : str, default=None
            Name of the model in the legend.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **kwargs : dict
            Passed on to ``plot``.

        Returns
        -------
        CalibrationDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            Probabilities outside [0, 1], or weights that sum to 0 or less.
        """
        # this checks the input as well
        error = calibration_error(
            y_true,
            y_prob,
            n_bins=n_bins,
            strategy=strategy,
            sample_weight=sample_weight,
            pos_label=pos_label,
        )
        positive = greater_label_mask(y_true, pos_label)
        prob = check_probability(y_prob).astype(np.float64, copy=False)
        weight = check_event_weight(sample_weight, len(prob))
        if weight is None:
            weight = np.ones(len(prob))
        bins = probability_bins(prob, n_bins, strategy)

        def total(values: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.bincount(bins, values, n_bins).astype(np.float64)

        sums = total(weight)
        sums[sums <= 0] = np.nan
        share = total(weight * positive) / sums
        display = cls(
            prob_pred=total(weight * prob) / sums,
            prob_true=share,
            prob_true_std=efficiency_error(
                total(weight**2 * positive), total(weight**2), sums, share
            ),
            calibration_error=error,
            name=name,
        )
        return display.plot(ax, **kwargs)

    def _draw(self, ax: Any, name: str | None, **kwargs: Any) -> None:
        error = f"calibration error {self.calibration_error:.3g}"
        label = error.capitalize() if name is None else f"{name} ({error})"
        draw_once(ax, "ideal", [0, 1], [0, 1], color=CHANCE, ls="--", lw=1, label="Ideal")
        options = {
            "color": COLORS[number_of_curves(ax) % len(COLORS)],
            "marker": "o",
            "ms": 4,
            "elinewidth": 1,
            "label": label,
            **kwargs,
        }
        self.line_ = ax.errorbar(self.prob_pred, self.prob_true, self.prob_true_std, **options)
        self.line_[0].set_gid("curve")
        ax.set(xlabel="Predicted probability", ylabel="Observed signal share", xlim=(0, 1))
        # signed weights can take a share out of [0, 1]
        shares = self.prob_true[np.isfinite(self.prob_true)]
        show_range(ax, shares.min(initial=0.0) - 0.02, shares.max(initial=1.0) + 0.02)
        ticks_inside(ax)
        ax.legend(loc="upper left")
