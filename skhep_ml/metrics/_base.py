"""Checks and formulas that the metrics share."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml._validation import check_event_weight, positive_mask

#: Part of sum(abs(w)) below which a sum of signed weights is rounding, not signal.
_ROUNDING = 1e-12


def check_score(y_score: ArrayLike, *, name: str = "y_score") -> NDArray[Any]:
    """Return scores as a one-dimensional real array; infinities are allowed, NaN is not."""
    score = np.asarray(y_score)
    if score.ndim == 2 and score.shape[1] == 1:
        score = score[:, 0]
    if score.ndim != 1:
        msg = f"{name} must have shape (n_events,), got {score.shape}"
        if score.ndim == 2 and score.shape[1] == 2:
            msg += f": pass the column of the positive class, {name}[:, 1]"
        raise ValueError(msg)
    if score.dtype.kind not in "iuf":
        score = score.astype(np.float64)
    elif score.dtype == np.float16:
        score = score.astype(np.float32)
    if score.dtype.kind == "f":
        missing = np.isnan(score)
        if missing.any():
            bad = np.flatnonzero(missing)
            msg = (
                f"{name} is NaN in {len(bad)} events, first in event {bad[0]}: impute the inputs "
                "of the model or remove these events"
            )
            raise ValueError(msg)
    return score


def greater_label_mask(y_true: ArrayLike, pos_label: Any = None) -> NDArray[np.bool_]:
    """Tell which events are positive; without ``pos_label`` the greater of two labels is."""
    y = np.asarray(y_true)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if pos_label is not None or y.ndim != 1 or y.dtype.kind == "b" or not len(y):
        return positive_mask(y, pos_label)
    if y.dtype.kind in "iuf":
        # comparing with the extremes is many times faster than sorting for the unique labels
        low, high = y.min(), y.max()
        positive = y == high
        if np.all(positive | (y == low)):
            return positive
    labels = np.unique(y)
    if len(labels) > 2:
        msg = f"y_true has {len(labels)} labels, a binary metric takes two: {labels[:5].tolist()}"
        raise ValueError(msg)
    return y == labels[-1]


def check_positive_sum(
    values: NDArray[np.float64], what: str, *, n_events: int | None = None
) -> float:
    """Return the sum of signed weights, which must be positive beyond rounding."""
    total = float(values.sum())
    if total > 0 and (values.min() >= 0 or total > _ROUNDING * np.abs(values).sum()):
        return total
    count = len(values) if n_events is None else n_events
    msg = (
        f"the weights of the {what} events sum to {total:.6g} over {count} events: the metric "
        "needs a positive sum of each class; evaluate more events at once"
    )
    raise ValueError(msg)


def binary_sample(
    positive: NDArray[np.bool_], y_score: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[NDArray[np.bool_], NDArray[Any], NDArray[np.float64] | None]:
    """Check the scores and weights of two classes and leave out events of weight zero."""
    score = check_score(y_score)
    if len(score) != len(positive):
        msg = f"y_score has {len(score)} entries, but y_true has {len(positive)}"
        raise ValueError(msg)
    weight = check_event_weight(sample_weight, len(positive))
    n_positive = int(np.count_nonzero(positive))
    if n_positive in (0, len(positive)):
        missing = "negative" if n_positive else "positive"
        msg = f"y_true holds no {missing} event among {len(positive)}: both classes are needed"
        raise ValueError(msg)
    if weight is not None:
        if not weight.all():
            counts = weight != 0
            positive, score, weight = positive[counts], score[counts], weight[counts]
        check_positive_sum(weight[positive], "positive")
        check_positive_sum(weight[~positive], "negative")
    return positive, score, weight


def efficiency_error(passing_w2: Any, total_w2: Any, total: Any, efficiency: Any) -> Any:
    r"""Statistical error of a weighted efficiency.

    Notes
    -----
    :math:`\sigma^2 = \sum_i w_i^2 (p_i - \varepsilon)^2 / (\sum_i w_i)^2` with :math:`p_i` 1 for
    events that pass and 0 for others. It needs only the sums of :math:`w^2` over the events that
    pass and over all, and holds for weights of any sign.
    """
    failing_w2 = np.subtract(total_w2, passing_w2)
    variance = passing_w2 * np.subtract(1.0, efficiency) ** 2 + failing_w2 * np.square(efficiency)
    return np.sqrt(np.maximum(variance, 0.0)) / np.abs(total)


def plain(values: NDArray[np.float64]) -> Any:
    """Return a zero-dimensional array as a float, others as they are."""
    return float(values) if np.ndim(values) == 0 else values
