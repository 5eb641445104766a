"""Sums, scales and sizes of signed event weights."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml._validation import check_event_weight, check_labels


def effective_sample_size(sample_weight: ArrayLike) -> float:
    r"""Number of unweighted events with the same relative statistical error.

    Parameters
    ----------
    sample_weight : array-like of shape (n_events,)
        Event weights, of any sign.

    Returns
    -------
    float
        :math:`(\sum w)^2 / \sum w^2`; 0 for an empty sample.

    References
    ----------
    L. Kish, Survey Sampling, Wiley 1965.

    Examples
    --------
    >>> from skhep_ml.weights import effective_sample_size
    >>> effective_sample_size([1.0, 1.0, 1.0, -1.0])
    1.0
    """
    weight = np.asarray(sample_weight, dtype=np.float64).ravel()
    if not weight.any():
        return 0.0
    check_event_weight(weight, len(weight))
    return float(weight.sum() ** 2 / np.dot(weight, weight))


def class_sums(
    codes: NDArray[np.intp], classes: NDArray[Any], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Signed weight sum of every class; refuse classes whose sum is not positive.

    ``codes`` number the classes from 0.
    """
    sums = np.bincount(codes, weight, len(classes)).astype(np.float64, copy=False)
    for k in np.flatnonzero(~(sums > 0)):
        count = int(np.sum(codes == k))
        msg = (
            f"the weights of class {classes.tolist()[k]!r} sum to {sums[k]:.6g} over {count} "
            "events: a class needs a positive sum; merge samples, or remove the class"
        )
        raise ValueError(msg)
    return sums


def balance_classes(
    y: ArrayLike, sample_weight: ArrayLike | None = None, *, total: float | None = None
) -> NDArray[np.float64]:
    """Scale weights so that every class has the same signed sum.

    Parameters
    ----------
    y : array-like of shape (n_events,)
        Class labels.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights, of any sign; None counts events.
    total : float, default=None
        Sum over all classes after scaling; None keeps the present sum.

    Returns
    -------
    ndarray of shape (n_events,)
        The scaled weights; signs and ratios inside a class are kept.

    Raises
    ------
    ValueError
        A class whose weights do not sum to a positive number, missing labels.

    Examples
    --------
    >>> from skhep_ml.weights import balance_classes
    >>> balance_classes([0, 0, 0, 1]).tolist()
    [0.6666666666666666, 0.6666666666666666, 0.6666666666666666, 2.0]
    """
    n_events = len(np.asarray(y))
    weight = check_event_weight(sample_weight, n_events)
    if weight is None:
        weight = np.ones(n_events)
    labels, codes = check_labels(y, n_events)
    sums = class_sums(codes, labels, weight)
    wanted = (weight.sum() if total is None else total) / len(labels)
    return weight * (wanted / sums)[codes]


# the earlier name
balance_weights = balance_classes
