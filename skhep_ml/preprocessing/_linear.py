"""Linear scalers: to a range, and to zero mean and unit variance or their robust forms."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhep_ml.preprocessing._base import ColumnScaler
from skhep_ml.preprocessing._column_map import ColumnMap
from skhep_ml.preprocessing._statistics import ColumnNames, ColumnStatistics, column_label


def check_feature_range(feature_range: Any) -> tuple[float, float]:
    """Return the range as two floats, the first below the second."""
    try:
        low, high = (float(edge) for edge in feature_range)
    except (TypeError, ValueError):
        low = high = np.nan
    if not (np.isfinite([low, high]).all() and low < high):
        msg = f"feature_range={feature_range!r} must be two finite numbers, the smaller one first"
        raise ValueError(msg)
    return low, high


def check_clip(clip: Any) -> tuple[float, float] | None:
    """Return the symmetric limits that a positive number stands for."""
    if clip is None:
        return None
    if (
        isinstance(clip, bool)
        or not isinstance(clip, (int, float, np.number))
        or not 0 < clip < np.inf
    ):
        msg = f"clip={clip!r} must be None or a positive number, in units of the scaled feature"
        raise ValueError(msg)
    return -float(clip), float(clip)


def minmax_map(statistics: ColumnStatistics, feature_range: tuple[float, float]) -> ColumnMap:
    """Map the extremes of each column to the range, constant columns to its middle."""
    low, high = feature_range
    # halves first: the difference of two float64 numbers may overflow
    center = statistics.minimum / 2 + statistics.maximum / 2
    scale = (statistics.maximum / 2 - statistics.minimum / 2) / ((high - low) / 2)
    constant = statistics.constant | (scale == 0)
    return ColumnMap.linear(
        np.where(statistics.constant, statistics.minimum, center),
        np.where(constant, 1.0, scale),
        (low + high) / 2,
    )


def zscore_map(
    statistics: ColumnStatistics,
    names: ColumnNames,
    *,
    with_mean: bool = True,
    with_std: bool = True,
    columns: NDArray[np.bool_] | bool = True,
) -> ColumnMap:
    """Subtract the mean and divide by the standard deviation, constant columns by 1.

    ``columns`` are the ones whose map will be used.
    """
    variance = statistics.variance
    overflow = columns & ~(np.isfinite(variance) | statistics.empty)
    if overflow.any():
        msg = (
            f"the variance of {column_label(names, int(overflow.argmax()))} is beyond float64: "
            "use LogScaler or MinMaxScaler"
        )
        raise ValueError(msg)
    deviation = np.sqrt(variance)
    scale = np.where(deviation > 0, deviation, 1.0) if with_std else np.ones_like(deviation)
    # the weighted mean of equal numbers is off by a rounding
    mean = np.where(statistics.constant, statistics.minimum, statistics.mean)
    center = mean if with_mean else np.zeros_like(mean)
    return ColumnMap.linear(np.where(statistics.empty, np.nan, center), scale)


def robust_map(
    statistics: ColumnStatistics,
    *,
    with_mean: bool = True,
    with_std: bool = True,
    columns: NDArray[np.bool_] | bool = True,
) -> ColumnMap:
    """Subtract the median, divide by the interquartile range, then clip smoothly.

    Without a spread between the quartiles half of the full range stands in, for constant
    columns 1. ``columns`` are the ones whose map will be used.
    """
    n_features = len(statistics.minimum)
    center, spread = np.full(n_features, np.nan), np.zeros(n_features)
    used = np.broadcast_to(columns, n_features) & ~statistics.empty
    for index in np.flatnonzero(used).tolist():
        first, center[index], third = statistics.quartiles(index)
        spread[index] = third / 2 - first / 2
    spread = np.where(spread > 0, spread, statistics.maximum / 4 - statistics.minimum / 4)
    # doubled last, and at most half of the largest number: nothing overflows
    spread = 2 * np.minimum(spread, np.finfo(np.float64).max / 4)
    scale = np.where(spread > 0, spread, 1.0) if with_std else np.ones(n_features)
    column_map = ColumnMap.linear(
        center if with_mean else np.where(statistics.empty, np.nan, 0.0), scale
    )
    column_map.smooth = used
    return column_map


class MinMaxScaler(ColumnScaler):
    """Scale each feature linearly to a range, by default to [-1, 1].

    Suited to bounded features without tails, such as angles: the extremes of the training
    events decide.

    Parameters
    ----------
    feature_range : tuple (low, high), default=(-1, 1)
        Where the smallest and largest training value go.
    clip : bool, default=False
        Whether values outside the training range are moved to the edge of ``feature_range``;
        they cannot be recovered by `inverse_transform` then.

    Attributes
    ----------
    data_min_, data_max_ : ndarray of shape (n_features,)
        Extremes of the training values; NaN for a column without values.
    n_samples_seen_ : int
        Number of events.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Column names, when fitted on a DataFrame.

    See Also
    --------
    AutoScaler : Chooses the scaling of each feature.

    Notes
    -----
    With the training extremes a and b and the range [l, h]::

        y = (x - (a + b) / 2) * (h - l) / (b - a) + (l + h) / 2

    A constant column goes to the middle of the range, NaN stays NaN, and events of weight zero
    do not count; the size of other weights makes no difference.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.preprocessing import MinMaxScaler
    >>> X = np.array([[0.0, 5.0], [1.0, np.nan], [4.0, 5.0]])
    >>> MinMaxScaler().fit_transform(X)
    array([[-1. ,  0. ],
           [-0.5,  nan],
           [ 1. ,  0. ]])
    """

    def __init__(self, feature_range: tuple[float, float] = (-1, 1), *, clip: bool = False) -> None:
        self.feature_range = feature_range
        self.clip = clip

    def _check_parameters(self) -> None:
        check_feature_range(self.feature_range)
        if not isinstance(self.clip, (bool, np.bool_)):
            msg = f"clip={self.clip!r} must be True or False: the limits are those of feature_range"
            raise ValueError(msg)

    def _solve(self, statistics: ColumnStatistics) -> ColumnMap:
        limits = check_feature_range(self.feature_range)
        column_map = minmax_map(statistics, limits)
        if self.clip:
            column_map.limits = limits
        self.data_min_ = statistics.minimum
        self.data_max_ = statistics.maximum
        return column_map


class ZScoreScaler(ColumnScaler):
    """Scale each feature to weighted mean 0 and standard deviation 1, or robustly.

    Parameters
    ----------
    with_mean : bool, default=True
        Whether the mean (``robust``: the median) is subtracted.
    with_std : bool, default=True
        Whether to divide by the standard deviation (``robust``: the interquartile range).
    clip : float, default=None
        Largest absolute value of the output, in standard deviations; None does not clip.
        Clipped values cannot be recovered by `inverse_transform`.
    robust : bool, default=False
        Whether median and interquartile range take the place of mean and standard deviation,
        followed by a smooth clip to (-3, 3): for features with long tails or outliers.

    Attributes
    ----------
    mean_, var_ : ndarray of shape (n_features,)
        Mean and variance of the training values, weighted by abs(w); NaN for a column without
        values. Not there when ``robust``.
    center_, scale_ : ndarray of shape (n_features,)
        What is subtracted from the features and what they are divided by.
    n_samples_seen_ : int
        Number of events.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Column names, when fitted on a DataFrame.

    See Also
    --------
    AutoScaler : Chooses the scaling of each feature.

    Notes
    -----
    ``y = (x - mean) / sqrt(var)`` with ``mean = sum(|w| x) / sum(|w|)`` and
    ``var = sum(|w| (x - mean)^2) / sum(|w|)`` over the values that are not NaN. A constant
    column goes to exactly 0. Blocks and chunks are merged by the formulae of [1]_, in float64.

    With ``robust``, as in RealMLP [2]_::

        z = (x - median) / (q75 - q25)
        y = z / sqrt(1 + (z / 3)^2)

    with quantiles weighted by abs(w), that is, of the values repeated in proportion to it. Where
    the quartiles are equal (more than half of the weight at one value), half of the distance
    between the extremes stands in for their difference.

    `fit` takes exact quantiles. `partial_fit` takes them from a histogram of each feature that
    merges exactly over chunks: they are off by less than a bin, which is narrow against the
    values (at most 3% of them where a feature takes both signs, much less elsewhere); quartiles
    within one bin count as equal.

    `inverse_transform` solves for z in closed form. Since y levels off, the rounding of y grows by
    ``(1 + (z / 3)^2)^1.5`` on the way back: values some 300 interquartile ranges from the median
    come back to a tenth of one in float32, and all beyond some 8,000 (in float64, 10^8) come back
    as about that. Nothing becomes NaN or infinite.

    References
    ----------
    .. [1] T. F. Chan, G. H. Golub, R. J. LeVeque, Updating formulae and a pairwise algorithm
       for computing sample variances, Stanford STAN-CS-79-773 (1979).
    .. [2] D. Holzmüller, L. Grinsztajn, I. Steinwart, Better by default: strong pre-tuned MLPs
       and boosted trees on tabular data, arXiv:2407.04491 (2024).

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.preprocessing import ZScoreScaler
    >>> X = np.array([[0.0], [2.0], [np.nan], [7.0]])
    >>> scaler = ZScoreScaler().fit(X, sample_weight=[1.0, -1.0, 1.0, 0.0])
    >>> scaler.mean_, scaler.var_
    (array([1.]), array([1.]))
    >>> scaler.transform(X).ravel()
    array([-1.,  1., nan,  6.])

    The robust form keeps an outlier from squeezing the other values together:

    >>> X = np.array([[1.0], [2.0], [3.0], [4.0], [1e6]])
    >>> ZScoreScaler(robust=True).fit_transform(X).ravel().round(3)
    array([-0.949, -0.493,  0.   ,  0.493,  3.   ])
    """

    def __init__(
        self,
        *,
        with_mean: bool = True,
        with_std: bool = True,
        clip: float | None = None,
        robust: bool = False,
    ) -> None:
        self.with_mean = with_mean
        self.with_std = with_std
        self.clip = clip
        self.robust = robust

    def _check_parameters(self) -> None:
        check_clip(self.clip)

    def _needs(self) -> dict[str, Any]:
        if self.robust:
            return {"histogram": True, "quartiles": range(self.n_features_in_)}
        return {"moments": True}

    def _solve(self, statistics: ColumnStatistics) -> ColumnMap:
        for name in ("mean_", "var_"):
            self.__dict__.pop(name, None)
        if self.robust:
            column_map = robust_map(statistics, with_mean=self.with_mean, with_std=self.with_std)
        else:
            column_map = zscore_map(
                statistics, self._names, with_mean=self.with_mean, with_std=self.with_std
            )
            self.mean_ = np.where(
                statistics.constant | statistics.empty, statistics.minimum, statistics.mean
            )
            self.var_ = statistics.variance
        column_map.limits = check_clip(self.clip)
        self.center_ = column_map.center
        self.scale_ = column_map.scale
        return column_map
