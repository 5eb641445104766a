"""Curves and working points on events in order of falling score."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml._validation import positive_mask
from skhep_ml.metrics._base import binary_sample, efficiency_error, plain

#: Efficiencies closer than this are equal: cumulative sums of weights carry rounding.
_TOLERANCE = 1e-12


class RankedEvents:
    """Events of two classes in order of falling score, equal scores merged.

    Attributes
    ----------
    thresholds : ndarray of shape (n_thresholds,)
        Distinct scores, falling.
    positive : ndarray of shape (n_events,)
        True for events of the positive class, in order of falling score.
    weight : ndarray of shape (n_events,) or None
        Weights in the same order; None counts events.
    """

    def __init__(
        self,
        positive: NDArray[np.bool_],
        score: NDArray[Any],
        weight: NDArray[np.float64] | None = None,
    ) -> None:
        # stable and falling, for any dtype: ties keep the order of the input, so that sums of
        # weights round in the same way on every machine
        order = len(score) - 1 - np.argsort(score[::-1], kind="stable")[::-1]
        score = score[order]
        self.positive = positive[order]
        self.weight = None if weight is None else weight[order]
        self._last = np.append(np.flatnonzero(score[1:] != score[:-1]), len(score) - 1)
        self.thresholds = score[self._last]

    def passing(self, power: int = 1) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Sums of w^power over positive and negative events at or above each threshold."""
        if self.weight is None or power == 0:
            positive = np.cumsum(self.positive)[self._last].astype(np.float64)
            return positive, self._last + 1.0 - positive
        return self.sums(self.weight if power == 1 else self.weight**power)

    def sums(self, values: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Sums of any values, given in this order, at or above each threshold."""
        return (
            np.cumsum(np.where(self.positive, values, 0.0))[self._last],
            np.cumsum(np.where(self.positive, 0.0, values))[self._last],
        )


def rank_events(
    y_true: ArrayLike, y_score: ArrayLike, sample_weight: ArrayLike | None, pos_label: Any
) -> RankedEvents:
    """Check the input of a binary curve and rank its events."""
    return RankedEvents(*binary_sample(positive_mask(y_true, pos_label), y_score, sample_weight))


def from_zero(values: NDArray[Any]) -> NDArray[np.float64]:
    """Put a zero, the sum above all thresholds, before cumulative sums."""
    return np.concatenate([[0.0], values])


def roc_curve(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    pos_label: Any = None,
    sample_weight: ArrayLike | None = None,
    drop_intermediate: bool = True,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Background and signal efficiency at every threshold, for weights of any sign.

    Parameters
    ----------
    y_true : array-like of shape (n_events,)
        Labels of two classes.
    y_score : array-like of shape (n_events,)
        Scores, greater for signal; infinities are allowed.
    pos_label : label, default=None
        The signal label; None takes 1 of {0, 1} or {-1, 1}.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights; None counts events.
    drop_intermediate : bool, default=True
        Whether to leave out points midway on a straight piece of the curve.

    Returns
    -------
    fpr : ndarray of shape (n_points,)
        Background efficiency of ``y_score >= threshold``. With negative weights it may fall and
        leave [0, 1].
    tpr : ndarray of shape (n_points,)
        Signal efficiency, likewise.
    thresholds : ndarray of shape (n_points,)
        Falling scores after a leading infinity, where nothing passes.

    Raises
    ------
    ValueError
        NaN scores, a class that is missing or whose weights sum to 0 or less.

    See Also
    --------
    roc_auc_score : Area under this curve.
    background_rejection_score : One point of it.

    Notes
    -----
    Equal to :func:`sklearn.metrics.roc_curve` for weights >= 0. Dropped points lie on the
    straight line between their neighbours, whatever the signs.

    Examples
    --------
    >>> from skhep_ml.metrics import roc_curve
    >>> fpr, tpr, _ = roc_curve([0, 0, 1, 1, 0], [0.1, 0.4, 0.35, 0.8, 0.9],
    ...                         sample_weight=[1, 1, 1, 1, -0.5])
    >>> fpr
    array([ 0.        , -0.33333333, -0.33333333,  0.33333333,  0.33333333,
            1.        ])
    >>> tpr
    array([0. , 0. , 0.5, 0.5, 1. , 1. ])
    """
    ranked = rank_events(y_true, y_score, sample_weight, pos_label)
    tps, fps = ranked.passing()
    thresholds = ranked.thresholds.astype(np.float64)
    if drop_intermediate and len(fps) > 2:
        corner = (np.diff(fps, 2) != 0) | (np.diff(tps, 2) != 0)
        keep = np.concatenate([[True], corner, [True]])
        tps, fps, thresholds = tps[keep], fps[keep], thresholds[keep]
    thresholds = np.concatenate([[np.inf], thresholds])
    return from_zero(fps) / fps[-1], from_zero(tps) / tps[-1], thresholds


def precision_recall_curve(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    pos_label: Any = None,
    sample_weight: ArrayLike | None = None,
    drop_intermediate: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[Any]]:
    """Purity against signal efficiency at every threshold, for weights of any sign.

    Parameters
    ----------
    y_true : array-like of shape (n_events,)
        Labels of two classes.
    y_score : array-like of shape (n_events,)
        Scores, greater for signal; infinities are allowed.
    pos_label : label, default=None
        The signal label; None takes 1 of {0, 1} or {-1, 1}.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights; None counts events.
    drop_intermediate : bool, default=False
        Whether to keep only the first and last point of every signal efficiency.

    Returns
    -------
    precision : ndarray of shape (n_thresholds + 1,)
        Signal share of the sum of selected weights; 0 where that sum is 0. A last 1 is added.
        With negative weights it may leave [0, 1].
    recall : ndarray of shape (n_thresholds + 1,)
        Signal efficiency, from 1 to an added 0.
    thresholds : ndarray of shape (n_thresholds,)
        Rising scores.

    Raises
    ------
    ValueError
        NaN scores, a class that is missing or whose weights sum to 0 or less.

    Examples
    --------
    >>> from skhep_ml.metrics import precision_recall_curve
    >>> precision, recall, thresholds = precision_recall_curve([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> precision
    array([0.5       , 0.66666667, 0.5       , 1.        , 1.        ])
    >>> recall
    array([1. , 1. , 0.5, 0.5, 0. ])
    """
    ranked = rank_events(y_true, y_score, sample_weight, pos_label)
    tps, fps = ranked.passing()
    thresholds = ranked.thresholds
    if drop_intermediate and len(fps) > 2:
        change = np.diff(tps) != 0
        keep = np.concatenate([[True], change[:-1] | change[1:], [True]])
        tps, fps, thresholds = tps[keep], fps[keep], thresholds[keep]
    precision = purity(tps, fps)
    recall = tps / tps[-1]
    return np.append(precision[::-1], 1.0), np.append(recall[::-1], 0.0), thresholds[::-1]


def purity(tps: NDArray[np.float64], fps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signal share of the selected weights; 0 where they sum to 0."""
    selected = tps + fps
    return np.divide(tps, selected, out=np.zeros_like(tps), where=selected != 0)


def signal_efficiency_score(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    background_efficiency: ArrayLike,
    sample_weight: ArrayLike | None = None,
    pos_label: Any = None,
    return_std: bool = False,
) -> Any:
    r"""Signal efficiency at a given background efficiency.

    Parameters
    ----------
    y_true : array-like of shape (n_events,)
        Labels of two classes.
    y_score : array-like of shape (n_events,)
        Scores, greater for signal; infinities are allowed.
    background_efficiency : float or array-like of shape (n_targets,)
        Background efficiencies in [0, 1].
    sample_weight : array-like of shape (n_events,), default=None
        Event weights, of any sign; None counts events.
    pos_label : label, default=None
        The signal label; None takes 1 of {0, 1} or {-1, 1}.
    return_std : bool, default=False
        Whether to return the statistical error as well.

    Returns
    -------
    efficiency : float or ndarray of shape (n_targets,)
        Coming from the highest score, the signal efficiency where the background efficiency
        first exceeds the target, interpolated linearly between distinct scores.
    std : float or ndarray of shape (n_targets,)
        Its statistical error, when ``return_std``.

    Raises
    ------
    ValueError
        A target outside [0, 1], NaN scores, or a class whose weights sum to 0 or less.

    Notes
    -----
    :math:`\sigma^2 = \sum w^2 (p - \varepsilon)^2 / (\sum w)^2` over signal events, p being 1
    for those that pass: the error at a fixed threshold, so the threshold's own error from the
    background sample is not in it.

    Examples
    --------
    >>> from skhep_ml.metrics import signal_efficiency_score
    >>> signal_efficiency_score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], background_efficiency=0.5)
    1.0
    """
    target = _check_target(background_efficiency, "background_efficiency", 0.0)
    ranked = rank_events(y_true, y_score, sample_weight, pos_label)
    tps, fps = ranked.passing()
    at = Crossing(fps / fps[-1], target, side="right")
    efficiency = at(tps / tps[-1])
    if not return_std:
        return plain(efficiency)
    squares = ranked.passing(2)[0]
    std = efficiency_error(at(squares), squares[-1], tps[-1], efficiency)
    return plain(efficiency), plain(std)


def background_rejection_score(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    signal_efficiency: ArrayLike = 0.5,
    sample_weight: ArrayLike | None = None,
    pos_label: Any = None,
    return_std: bool = False,
) -> Any:
    r"""Inverse background efficiency at a given signal efficiency.

    Parameters
    ----------
    y_true : array-like of shape (n_events,)
        Labels of two classes.
    y_score : array-like of shape (n_events,)
        Scores, greater for signal; infinities are allowed.
    signal_efficiency : float or array-like of shape (n_targets,), default=0.5
        Signal efficiencies in (0, 1].
    sample_weight : array-like of shape (n_events,), default=None
        Event weights, of any sign; None counts events.
    pos_label : label, default=None
        The signal label; None takes 1 of {0, 1} or {-1, 1}.
    return_std : bool, default=False
        Whether to return the statistical error as well.

    Returns
    -------
    rejection : float or ndarray of shape (n_targets,)
        :math:`1/\varepsilon_B` where, coming from the highest score, the signal efficiency first
        reaches the target, interpolated linearly between distinct scores; infinite where
        :math:`\varepsilon_B \le 0`.
    std : float or ndarray of shape (n_targets,)
        Its statistical error, when ``return_std``; NaN where the rejection is infinite.

    Raises
    ------
    ValueError
        A target outside (0, 1], NaN scores, or a class whose weights sum to 0 or less.

    Notes
    -----
    :math:`\sigma(1/\varepsilon_B) = \sigma(\varepsilon_B)/\varepsilon_B^2` with
    :math:`\sigma^2(\varepsilon_B) = \sum w^2 (p - \varepsilon_B)^2 / (\sum w)^2` over background
    events, p being 1 for those that pass: the error at a fixed threshold.

    Examples
    --------
    >>> from skhep_ml.metrics import background_rejection_score
    >>> y = [0, 0, 0, 0, 1, 1]
    >>> score = [0.1, 0.2, 0.3, 0.6, 0.5, 0.9]
    >>> background_rejection_score(y, score, signal_efficiency=[0.5, 1.0])
    array([inf,  4.])
    """
    target = _check_target(signal_efficiency, "signal_efficiency", _TOLERANCE)
    ranked = rank_events(y_true, y_score, sample_weight, pos_label)
    tps, fps = ranked.passing()
    at = Crossing(tps / tps[-1], target, side="left")
    efficiency = at(fps / fps[-1])
    # an efficiency within rounding of zero is zero
    found = efficiency > _TOLERANCE
    rejection = np.divide(1.0, efficiency, out=np.full_like(efficiency, np.inf), where=found)
    if not return_std:
        return plain(rejection)
    squares = ranked.passing(2)[1]
    error = efficiency_error(at(squares), squares[-1], fps[-1], efficiency)
    std = np.divide(error, efficiency**2, out=np.full_like(efficiency, np.nan), where=found)
    return plain(rejection), plain(std)


def _check_target(value: ArrayLike, name: str, low: float) -> NDArray[np.float64]:
    target = np.asarray(value, dtype=np.float64)
    if not np.all((target >= low) & (target <= 1)):
        interval = "(0, 1]" if low else "[0, 1]"
        msg = f"{name} must lie in {interval}, got {target}"
        raise ValueError(msg)
    return target


class Crossing:
    """The point between two thresholds where an efficiency crosses a target.

    ``side="left"`` is where it first reaches the target, ``side="right"`` where it first exceeds
    it; on a non-monotone curve the crossing nearest to the highest score.
    """

    def __init__(self, efficiency: NDArray[np.float64], target: NDArray[np.float64], side: Any):
        curve = from_zero(efficiency)
        shift = -_TOLERANCE if side == "left" else _TOLERANCE
        after = np.searchsorted(np.maximum.accumulate(curve), target + shift, side)
        self._after = np.clip(after, 1, len(curve) - 1)
        low, high = curve[self._after - 1], curve[self._after]
        step = np.where(high == low, 1.0, high - low)
        part = np.clip((target - low) / step, 0.0, 1.0)
        self._part = np.where(after < len(curve), part, 1.0)

    def __call__(self, cumulative: NDArray[np.float64]) -> NDArray[np.float64]:
        curve = from_zero(cumulative)
        low, high = curve[self._after - 1], curve[self._after]
        return np.asarray(low + self._part * (high - low))
