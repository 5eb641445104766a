"""Areas under curves: ROC and precision-recall."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score as sklearn_roc_auc_score
from sklearn.utils import check_random_state

from skhep_ml._validation import check_event_weight, positive_mask
from skhep_ml.metrics._base import binary_sample, check_score, greater_label_mask
from skhep_ml.metrics._ranking import RankedEvents, from_zero, purity

Average = Literal["macro", "weighted", "micro"] | None
_Binary = Callable[[NDArray[np.bool_], Any, NDArray[np.float64] | None], float]

#: Bootstrap replicas: the standard deviation is known to 5%.
_N_REPLICAS = 200


def roc_auc_score(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    average: Average = "macro",
    sample_weight: ArrayLike | None = None,
    max_fpr: float | None = None,
    multi_class: Literal["raise", "ovr", "ovo"] = "raise",
    labels: ArrayLike | None = None,
    pos_label: Any = None,
    return_std: bool = False,
    random_state: Any = 0,
) -> Any:
    r"""Area under the ROC curve, for weights of any sign.

    Parameters
    ----------
    y_true : array-like of shape (n_events,) or (n_events, n_classes)
        Labels, or a multilabel indicator.
    y_score : array-like of shape (n_events,) or (n_events, n_classes)
        Scores, greater for signal; infinities are allowed. Several classes need one column each,
        in the order of the sorted labels, with rows that sum to 1.
    average : {"macro", "weighted", "micro"} or None, default="macro"
        How areas of several classes are joined; None returns one area a class.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights; None counts events.
    max_fpr : float, default=None
        Background efficiency in (0, 1] up to which to integrate; the area is then standardised to
        0.5 for a random and 1 for a perfect score (McClish).
    multi_class : {"raise", "ovr", "ovo"}, default="raise"
        Treatment of more than two classes: refused, one against the rest, or one against one
        (scikit-learn's own, unweighted).
    labels : array-like of shape (n_classes,), default=None
        Sorted labels of the columns; None takes those of ``y_true``.
    pos_label : label, default=None
        The signal label of two classes; None takes the greater label.
    return_std : bool, default=False
        Whether to return the statistical error as well (two classes only).
    random_state : int, RandomState instance or None, default=0
        Seed of the bootstrap behind ``return_std``.

    Returns
    -------
    auc : float or ndarray of shape (n_classes,)
        Sum over pairs; negative weights can take it out of [0, 1] and it is not clipped.
    std : float
        Standard deviation over 200 Poisson bootstrap replicas, when ``return_std``.

    Raises
    ------
    ValueError
        NaN scores, shapes that do not fit, a class whose weights sum to 0 or less, negative
        weights with ``multi_class="ovo"``.

    See Also
    --------
    roc_curve : The curve itself.

    Notes
    -----
    .. math::
        \mathrm{AUC} = \frac{1}{W_S W_B} \sum_{i \in S} \sum_{j \in B} w_i w_j
            \left[\mathbf 1(s_i > s_j) + \tfrac12 \mathbf 1(s_i = s_j)\right]

    This equals the trapezoid under :func:`roc_curve` also where that curve is not monotone, and
    :func:`sklearn.metrics.roc_auc_score` for weights >= 0. With ``max_fpr`` the integral ends
    where the background efficiency first exceeds it.

    References
    ----------
    J. A. Hanley and B. J. McNeil, Radiology 143 (1982) 29.
    D. K. McClish, Medical Decision Making 9 (1989) 190.

    Examples
    --------
    >>> from skhep_ml.metrics import roc_auc_score
    >>> y, score = [0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]
    >>> roc_auc_score(y, score)
    0.75
    >>> roc_auc_score(y, score, sample_weight=[1.0, -0.5, 1.0, 1.0])
    1.5
    """
    if max_fpr is not None and not 0 < max_fpr <= 1:
        msg = f"max_fpr must lie in (0, 1], got {max_fpr}"
        raise ValueError(msg)
    partial = None if max_fpr == 1 else max_fpr
    y = np.asarray(y_true)
    columns = np.asarray(y_score)
    if y.ndim == 2 and y.shape[1] > 1:
        indicator = _check_indicator(y)
    elif columns.ndim == 2 and columns.shape[1] > 1:
        y = y.reshape(-1)
        classes = np.unique(y) if labels is None else np.asarray(labels)
        if len(classes) > 2 or columns.shape[1] > 2:
            if multi_class == "ovo":
                _refuse_return_std(return_std)
                return _one_against_one(y, columns, average, sample_weight, labels)
            indicator = _one_against_rest(y, columns, classes, multi_class, partial)
        else:
            check_score(columns)  # raises, and names the column to take
    else:
        positive, score, weight = binary_sample(
            greater_label_mask(y, pos_label), columns, sample_weight
        )
        evaluate: _PairedScores | _PartialArea = (
            _PairedScores(positive, score, weight)
            if partial is None
            else _PartialArea(positive, score, weight, partial)
        )
        value = evaluate()
        return (value, _bootstrap_std(evaluate, random_state)) if return_std else value

    _refuse_return_std(return_std)

    def area(positive: NDArray[np.bool_], score: Any, weight: NDArray[np.float64] | None) -> float:
        sample = binary_sample(positive, score, weight)
        return _PairedScores(*sample)() if partial is None else _PartialArea(*sample, partial)()

    return _average(area, indicator, columns, average, sample_weight)


def average_precision_score(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    average: Average = "macro",
    pos_label: Any = None,
    sample_weight: ArrayLike | None = None,
) -> Any:
    r"""Mean purity over the steps of signal efficiency, for weights of any sign.

    Parameters
    ----------
    y_true : array-like of shape (n_events,) or (n_events, n_classes)
        Labels, or a multilabel indicator.
    y_score : array-like of shape (n_events,) or (n_events, n_classes)
        Scores, greater for signal; infinities are allowed. More than two classes need one column
        each, in the order of the sorted labels.
    average : {"macro", "weighted", "micro"} or None, default="macro"
        How values of several classes are joined; None returns one value a class.
    pos_label : label, default=None
        The signal label of two classes; None takes 1 of {0, 1} or {-1, 1}.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights; None counts events.

    Returns
    -------
    float or ndarray of shape (n_classes,)
        Average precision. Negative weights can take it out of [0, 1] and it is not clipped.

    Raises
    ------
    ValueError
        NaN scores, shapes that do not fit, or a class whose weights sum to 0 or less.

    Notes
    -----
    :math:`\sum_k (\varepsilon_k - \varepsilon_{k-1}) P_k` over thresholds k with signal
    efficiency :math:`\varepsilon` and purity P. Equal to
    :func:`sklearn.metrics.average_precision_score` for weights >= 0.

    Examples
    --------
    >>> from skhep_ml.metrics import average_precision_score
    >>> round(average_precision_score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 4)
    0.8333
    """

    def precision(positive: NDArray[np.bool_], score: Any, weight: Any) -> float:
        tps, fps = RankedEvents(*binary_sample(positive, score, weight)).passing()
        return float(np.dot(np.diff(from_zero(tps)), purity(tps, fps)) / tps[-1])

    y = np.asarray(y_true)
    columns = np.asarray(y_score)
    if y.ndim == 2 and y.shape[1] > 1:
        indicator = _check_indicator(y)
    elif columns.ndim == 2 and columns.shape[1] > 2:
        y = y.reshape(-1)
        indicator = _class_indicator(y, columns, np.unique(y))
    else:
        return precision(positive_mask(y, pos_label), y_score, sample_weight)
    if pos_label not in (None, 1):
        msg = f"pos_label={pos_label!r} has no meaning for several classes: leave it out"
        raise ValueError(msg)
    return _average(precision, indicator, columns, average, sample_weight)


class _PairedScores:
    """The sum over pairs, prepared so that other weights cost no second sort.

    Each class is sorted by itself: half the length, and plain values sort several times faster
    than positions where there are no weights to carry along.
    """

    def __init__(
        self, positive: NDArray[np.bool_], score: NDArray[Any], weight: NDArray[np.float64] | None
    ) -> None:
        signal, background = score[positive], score[~positive]
        self.weight: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
        if weight is None:
            signal.sort()
            background.sort()
        else:
            by_signal, by_background = np.argsort(signal), np.argsort(background)
            signal, background = signal[by_signal], background[by_background]
            self.weight = weight[positive][by_signal], weight[~positive][by_background]
        self.n_signal, self.n_background = len(signal), len(background)
        # background events below each signal event, and below or equal
        self._below = np.searchsorted(background, signal, "left")
        self._reached = np.searchsorted(background, signal, "right")

    def __call__(self, factors: NDArray[Any] | None = None) -> float:
        if self.weight is None and factors is None:
            pairs = int(self._below.sum()) + int(self._reached.sum())
            return pairs / (2 * self.n_signal * self.n_background)
        signal, background = self.weight or (1.0, 1.0)
        if factors is not None:
            signal = signal * factors[: self.n_signal]
            background = background * factors[self.n_signal :]
        cumulative = from_zero(np.cumsum(background))
        pairs = np.dot(signal, cumulative[self._below]) + np.dot(signal, cumulative[self._reached])
        total = np.sum(signal) * cumulative[-1]
        return float(pairs / (2 * total)) if total > 0 else float("nan")

    def __len__(self) -> int:
        return self.n_signal + self.n_background


class _PartialArea:
    """The standardised area up to a background efficiency, for repeated weights."""

    def __init__(
        self,
        positive: NDArray[np.bool_],
        score: NDArray[Any],
        weight: NDArray[np.float64] | None,
        max_fpr: float,
    ) -> None:
        self.ranked = RankedEvents(positive, score, weight)
        self.max_fpr = max_fpr

    def __call__(self, factors: NDArray[Any] | None = None) -> float:
        if factors is None:
            tps, fps = self.ranked.passing()
        else:
            weight = self.ranked.weight
            tps, fps = self.ranked.sums(factors if weight is None else weight * factors)
        if tps[-1] <= 0 or fps[-1] <= 0:
            return float("nan")
        tpr, fpr = from_zero(tps) / tps[-1], from_zero(fps) / fps[-1]
        stop = int(np.argmax(fpr > self.max_fpr))
        part = (self.max_fpr - fpr[stop - 1]) / (fpr[stop] - fpr[stop - 1])
        tpr = np.append(tpr[:stop], tpr[stop - 1] + part * (tpr[stop] - tpr[stop - 1]))
        fpr = np.append(fpr[:stop], self.max_fpr)
        area = np.trapezoid(tpr, fpr)
        random = self.max_fpr**2 / 2
        return float(0.5 * (1 + (area - random) / (self.max_fpr - random)))

    def __len__(self) -> int:
        return len(self.ranked.positive)


def _bootstrap_std(evaluate: _PairedScores | _PartialArea, random_state: Any) -> float:
    """Spread over replicas in which every event counts a Poisson(1) number of times.

    Replicas in which a class has no positive sum are left out.
    """
    rng = np.random.default_rng(check_random_state(random_state).randint(2**31))
    # Poisson(1) by table: 2^16 cells are finer than 200 replicas resolve, and ten times faster
    cells = np.round(65536 * np.cumsum(np.exp(-1) / np.cumprod([1, *range(1, 9)]))).astype(int)
    table = np.searchsorted(cells, np.arange(65536), "right").astype(np.float64)
    values = [
        evaluate(table[rng.integers(0, 65536, len(evaluate), dtype=np.uint16)])
        for _ in range(_N_REPLICAS)
    ]
    defined = np.array([value for value in values if not np.isnan(value)])
    return float(np.std(defined, ddof=1)) if len(defined) > 1 else float("nan")


def _average(
    metric: _Binary,
    indicator: NDArray[np.bool_],
    y_score: NDArray[Any],
    average: Average,
    sample_weight: ArrayLike | None,
) -> Any:
    """Evaluate a binary metric on each column and join the values."""
    if average not in ("macro", "weighted", "micro", None):
        msg = f"average={average!r}: choose 'macro', 'weighted', 'micro' or None"
        raise ValueError(msg)
    if y_score.shape != indicator.shape:
        msg = f"y_score must have shape {indicator.shape} like y_true, got {y_score.shape}"
        raise ValueError(msg)
    weight = check_event_weight(sample_weight, len(indicator))
    n_classes = indicator.shape[1]
    if average == "micro":
        repeated = None if weight is None else np.repeat(weight, n_classes)
        return metric(indicator.ravel(), y_score.ravel(), repeated)
    scores = np.array([metric(indicator[:, k], y_score[:, k], weight) for k in range(n_classes)])
    if average is None:
        return scores
    if average == "macro":
        return float(scores.mean())
    sums = indicator.sum(axis=0) if weight is None else weight @ indicator
    return float(np.average(scores, weights=sums))


def _check_indicator(y: NDArray[Any]) -> NDArray[np.bool_]:
    if not np.all((y == 0) | (y == 1)):
        msg = f"y_true of shape {y.shape} must be an indicator of 0 and 1"
        raise ValueError(msg)
    return y.astype(bool)


def _class_indicator(
    y: NDArray[Any], y_score: NDArray[Any], classes: NDArray[Any]
) -> NDArray[np.bool_]:
    if len(classes) != y_score.shape[1]:
        msg = (
            f"y_score has {y_score.shape[1]} columns for {len(classes)} labels "
            f"{classes[:5].tolist()}: pass labels= when a class is absent from y_true"
        )
        raise ValueError(msg)
    return y[:, None] == classes


def _one_against_rest(
    y: NDArray[Any],
    y_score: NDArray[Any],
    classes: NDArray[Any],
    multi_class: str,
    max_fpr: float | None,
) -> NDArray[np.bool_]:
    if multi_class != "ovr":
        msg = (
            f"y_score has {y_score.shape[1]} columns and multi_class={multi_class!r}: choose "
            "'ovr' or 'ovo'"
        )
        raise ValueError(msg)
    if max_fpr is not None:
        msg = f"max_fpr={max_fpr} is defined for two classes only"
        raise ValueError(msg)
    if not np.array_equal(np.unique(classes), classes):
        msg = f"labels must be sorted and unique, got {classes[:5].tolist()}"
        raise ValueError(msg)
    unknown = np.setdiff1d(y, classes)
    if len(unknown):
        msg = f"y_true holds {unknown[0]!r}, which is not among labels {classes[:5].tolist()}"
        raise ValueError(msg)
    off = ~np.isclose(y_score.sum(axis=1), 1.0)
    if off.any():
        first = int(np.flatnonzero(off)[0])
        msg = (
            f"scores of several classes must sum to 1 for each event, event {first} sums to "
            f"{y_score[first].sum():.6g}: pass predict_proba"
        )
        raise ValueError(msg)
    return _class_indicator(y, y_score, classes)


def _one_against_one(
    y: NDArray[Any],
    y_score: NDArray[Any],
    average: Average,
    sample_weight: ArrayLike | None,
    labels: ArrayLike | None,
) -> float:
    weight = check_event_weight(sample_weight, len(y))
    if weight is not None and np.any(weight < 0):
        msg = "multi_class='ovo' is not defined for negative weights: choose multi_class='ovr'"
        raise ValueError(msg)
    score = sklearn_roc_auc_score(
        y, y_score, average=average, sample_weight=weight, multi_class="ovo", labels=labels
    )
    return float(score)


def _refuse_return_std(return_std: bool) -> None:
    if return_std:
        msg = "return_std is defined for two classes with one column of scores"
        raise ValueError(msg)
