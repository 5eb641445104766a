"""How far predictions of a quantity lie from its true value: bias, resolution, response, pulls."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml._validation import check_edges, check_event_weight
from skhep_ml.metrics._base import check_positive_sum, check_score

_ONE_SIGMA = 0.6826894921370859


class ResponseProfile(NamedTuple):
    """Bias and resolution in bins of a variable.

    Attributes
    ----------
    edges : ndarray of shape (n_bins + 1,)
        Edges of the bins.
    bias, bias_std : ndarray of shape (n_bins,)
        Median residual and its statistical error; NaN in bins without events.
    resolution, resolution_std : ndarray of shape (n_bins,)
        Half width of the central 68.3% of the residuals and its statistical error.
    n_effective : ndarray of shape (n_bins,)
        Effective number of events, (sum w)^2 / sum w^2.
    """

    edges: NDArray[np.float64]
    bias: NDArray[np.float64]
    bias_std: NDArray[np.float64]
    resolution: NDArray[np.float64]
    resolution_std: NDArray[np.float64]
    n_effective: NDArray[np.float64]


class PullSummary(NamedTuple):
    """Mean and width of pulls, 0 and 1 where the errors are right.

    Attributes
    ----------
    mean, mean_std : float
        Weighted mean and its statistical error.
    width, width_std : float
        Weighted standard deviation and its statistical error.
    coverage : float
        Share of events with a pull within one; 0.683 for Gaussian errors.
    """

    mean: float
    mean_std: float
    width: float
    width_std: float
    coverage: float


def bias_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    relative: bool = False,
) -> float:
    """Median of prediction minus truth.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_events,)
        True and predicted values.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights, of any sign.
    relative : bool, default=False
        Whether to divide each difference by the true value.

    Returns
    -------
    float
        Median residual, in units of y, or a fraction.

    Raises
    ------
    ValueError
        NaN, unequal lengths, weights that sum to 0 or less, or a true value of 0 with
        ``relative``.

    Examples
    --------
    >>> from skhep_ml.metrics import bias_score
    >>> bias_score([1.0, 2.0, 4.0], [1.5, 2.5, 4.5])
    0.5
    """
    residual, weight = _residuals(y_true, y_pred, sample_weight, relative)
    return float(_quantiles(residual, weight, [0.5])[0])


def resolution_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    relative: bool = False,
) -> float:
    """Half width of the central 68.3% of prediction minus truth.

    The standard deviation of Gaussian residuals, and hardly moved by tails.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_events,)
        True and predicted values.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights, of any sign.
    relative : bool, default=False
        Whether to divide each difference by the true value.

    Returns
    -------
    float
        Resolution, in units of y, or a fraction.

    Raises
    ------
    ValueError
        As `bias_score`.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.metrics import resolution_score
    >>> truth = np.full(100_000, 50.0)
    >>> measured = np.random.default_rng(0).normal(truth, 2.0)
    >>> round(resolution_score(truth, measured, relative=True), 3)
    0.04
    """
    residual, weight = _residuals(y_true, y_pred, sample_weight, relative)
    low, high = _quantiles(residual, weight, [(1 - _ONE_SIGMA) / 2, (1 + _ONE_SIGMA) / 2])
    return float(high - low) / 2


def response_profile(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    variable: ArrayLike | None = None,
    *,
    bins: int | ArrayLike = 10,
    sample_weight: ArrayLike | None = None,
    relative: bool = True,
) -> ResponseProfile:
    r"""Bias and resolution against a variable, with statistical errors.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_events,)
        True and predicted values.
    variable : array-like of shape (n_events,), default=None
        Variable to bin in; None takes ``y_true``. Events outside the edges are left out.
    bins : int or array-like, default=10
        Number of bins of equal numbers of events, or rising edges.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights, of any sign.
    relative : bool, default=True
        Whether to divide each difference by the true value.

    Returns
    -------
    ResponseProfile
        Named tuple ``(edges, bias, bias_std, resolution, resolution_std, n_effective)``.

    Raises
    ------
    ValueError
        As `bias_score`, or edges that do not rise.

    Notes
    -----
    Errors are those of a median and of a 68.3% interval of Gaussian residuals of width
    :math:`\sigma`: :math:`1.253\,\sigma/\sqrt{n}` and :math:`0.960\,\sigma/\sqrt{n}`, n being the
    effective number of events.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.metrics import response_profile
    >>> rng = np.random.default_rng(0)
    >>> energy = rng.uniform(10, 100, 20_000)
    >>> measured = energy * (1 + rng.normal(size=20_000) / np.sqrt(energy))
    >>> profile = response_profile(energy, measured, bins=[10, 20, 50, 100])
    >>> profile.resolution.round(2)
    array([0.27, 0.17, 0.12])
    """
    residual, weight = _residuals(y_true, y_pred, sample_weight, relative)
    values = check_score(y_true if variable is None else variable, name="variable")
    if len(values) != len(residual):
        msg = f"variable has {len(values)} entries, but y_true has {len(residual)}"
        raise ValueError(msg)
    edges = check_edges(bins)
    if isinstance(edges, int):
        edges = np.unique(np.quantile(values, np.linspace(0, 1, edges + 1))).astype(np.float64)
    number = np.searchsorted(edges, values, "right") - 1
    number[values == edges[-1]] = len(edges) - 2
    n_bins = len(edges) - 1
    result = np.full((5, n_bins), np.nan)
    for k in range(n_bins):
        inside = number == k
        w = weight[inside]
        if w.sum() <= 0:
            continue
        low, middle, high = _quantiles(
            residual[inside], w, [(1 - _ONE_SIGMA) / 2, 0.5, (1 + _ONE_SIGMA) / 2]
        )
        width, size = (high - low) / 2, w.sum() ** 2 / np.square(w).sum()
        # variance of a sample quantile q of a standard normal: q(1-q) / (n density(q)^2)
        result[:, k] = middle, 1.2533 * width / size**0.5, width, 0.9603 * width / size**0.5, size
    return ResponseProfile(edges, *result)


def pull_summary(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    y_std: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
) -> PullSummary:
    r"""Mean, width and coverage of pulls, (prediction - truth) / predicted error.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_events,)
        True and predicted values.
    y_std : array-like of shape (n_events,)
        Predicted standard deviations, greater than 0.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights, of any sign.

    Returns
    -------
    PullSummary
        Named tuple ``(mean, mean_std, width, width_std, coverage)``.

    Raises
    ------
    ValueError
        As `bias_score`, or errors that are not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.metrics import pull_summary
    >>> rng = np.random.default_rng(0)
    >>> pulls = pull_summary(np.zeros(10_000), rng.normal(0, 3, 10_000), np.full(10_000, 3.0))
    >>> round(pulls.width, 1), round(pulls.coverage, 2)
    (1.0, 0.68)
    """
    residual, weight = _residuals(y_true, y_pred, sample_weight, relative=False)
    std = check_score(y_std, name="y_std")
    if len(std) != len(residual) or not np.all(std > 0):
        msg = "y_std must hold a positive error for every event"
        raise ValueError(msg)
    pull = residual / std
    total = weight.sum()
    mean = weight @ pull / total
    square = (pull - mean) ** 2
    variance = weight @ square / total
    mean_std = np.sqrt(np.square(weight) @ square) / total
    variance_std = np.sqrt(np.square(weight) @ np.square(square - variance)) / total
    width = np.sqrt(max(variance, 0.0))
    width_std = variance_std / (2 * width) if width > 0 else np.nan
    coverage = weight @ (np.abs(pull) <= 1) / total
    return PullSummary(*(float(v) for v in (mean, mean_std, width, width_std, coverage)))


def _residuals(
    y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None, relative: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    truth, prediction = check_score(y_true, name="y_true"), check_score(y_pred, name="y_pred")
    if len(truth) != len(prediction):
        msg = f"y_pred has {len(prediction)} entries, but y_true has {len(truth)}"
        raise ValueError(msg)
    weight = check_event_weight(sample_weight, len(truth))
    weight = np.ones(len(truth)) if weight is None else weight
    check_positive_sum(weight, "given")
    residual = prediction.astype(np.float64) - truth
    if relative:
        if not np.all(truth):
            first = int(np.argmin(np.abs(truth)))
            msg = f"y_true is 0 in event {first}: relative=True divides by it; leave it out"
            raise ValueError(msg)
        residual = residual / truth
    return residual, weight


def _quantiles(values: NDArray[np.float64], weight: NDArray[np.float64], q: Any) -> Any:
    """Quantiles by the signed distribution function, made monotone by its running maximum."""
    order = np.argsort(values, kind="stable")
    middle = np.cumsum(weight[order]) - weight[order] / 2
    return np.interp(q, np.maximum.accumulate(middle) / weight.sum(), values[order])
