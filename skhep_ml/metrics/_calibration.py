"""Agreement of predicted probabilities with observed shares."""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml._validation import check_event_weight
from skhep_ml.metrics._base import check_positive_sum, check_score, greater_label_mask


def check_probability(y_prob: ArrayLike) -> NDArray[Any]:
    """Return predictions that must lie in [0, 1]."""
    prob = check_score(y_prob, name="y_prob")
    outside = (prob < 0) | (prob > 1)
    if outside.any():
        first = int(np.flatnonzero(outside)[0])
        msg = (
            f"y_prob lies outside [0, 1] in {int(outside.sum())} events, first in event {first} "
            f"({prob[first]:.6g}): pass predict_proba, or calibrate the scores"
        )
        raise ValueError(msg)
    return prob


def calibration_error(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    *,
    n_bins: int = 10,
    strategy: Literal["uniform", "quantile"] = "uniform",
    sample_weight: ArrayLike | None = None,
    pos_label: Any = None,
) -> float:
    r"""Mean distance of predicted probability and observed signal share, over bins.

    Parameters
    ----------
    y_true : array-like of shape (n_events,)
        Labels of two classes.
    y_prob : array-like of shape (n_events,)
        Predicted probability of the positive class, in [0, 1].
    n_bins : int, default=10
        Number of bins in ``y_prob``.
    strategy : {"uniform", "quantile"}, default="uniform"
        Bins of equal width, or with equal raw numbers of events.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights, of any sign; None counts events.
    pos_label : label, default=None
        The signal label; None takes the greater label.

    Returns
    -------
    float
        0 for perfect calibration. Statistical fluctuation of the bins adds to it.

    Raises
    ------
    ValueError
        Probabilities outside [0, 1], or weights that sum to 0 or less.

    Notes
    -----
    :math:`\frac{1}{W} \sum_b \left|\sum_{i \in b} w_i (y_i - p_i)\right|`. For weights >= 0 this is
    the expected calibration error, :math:`\sum_b (W_b/W) |\bar y_b - \bar p_b|`; written without
    the means it stays defined where the weights of a bin sum to 0 or less.

    References
    ----------
    M. P. Naeini, G. F. Cooper, M. Hauskrecht, AAAI 2015, 2901.

    Examples
    --------
    >>> from skhep_ml.metrics import calibration_error
    >>> calibration_error([0, 1, 0, 1], [0.25, 0.25, 0.75, 0.75], n_bins=2)
    0.25
    """
    if n_bins < 1:
        msg = f"n_bins must be at least 1, got {n_bins}"
        raise ValueError(msg)
    if strategy not in ("uniform", "quantile"):
        msg = f"strategy={strategy!r}: choose 'uniform' or 'quantile'"
        raise ValueError(msg)
    positive = greater_label_mask(y_true, pos_label)
    prob = check_probability(y_prob).astype(np.float64, copy=False)
    if len(prob) != len(positive):
        msg = f"y_prob has {len(prob)} entries, but y_true has {len(positive)}"
        raise ValueError(msg)
    weight = check_event_weight(sample_weight, len(prob))
    if weight is None:
        weight = np.ones(len(prob))
    total = check_positive_sum(weight, "given")
    bins = probability_bins(prob, n_bins, strategy)
    residuals = np.bincount(bins, weight * (positive - prob), n_bins)
    return float(np.abs(residuals).sum() / total)


def probability_bins(prob: NDArray[np.floating], n_bins: int, strategy: str) -> NDArray[np.intp]:
    """Bin of every probability, of equal width or of equal counts (``"quantile"``)."""
    levels = np.linspace(0, 1, n_bins + 1)[1:-1]
    edges = levels if strategy == "uniform" else np.quantile(prob, levels)
    return np.searchsorted(edges, prob, "right")
