"""Linear scalers: to a range, and to zero mean and unit variance."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from skhep_ml.preprocessing._base import ColumnMap, ColumnScaler
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

    def _solve(self, statistics: ColumnStatistics) -> ColumnMap:
        limits = check_feature_range(self.feature_range)
        column_map = minmax_map(statistics, limits)
        if self.clip:
            column_map.limits = limits
        self.data_min_ = statistics.minimum
        self.data_max_ = statistics.maximum
        return column_map


class ZScoreScaler(ColumnScaler):
    """Scale each feature to weighted mean 0 and standard deviation 1.

    Parameters
    ----------
    with_mean : bool, default=True
        Whether the mean is subtracted.
    with_std : bool, default=True
        Whether to divide by the standard deviation.
    clip : float, default=None
        Largest absolute value of the output, in standard deviations; None does not clip.
        Clipped values cannot be recovered by `inverse_transform`.

    Attributes
    ----------
    mean_, var_ : ndarray of shape (n_features,)
        Mean and variance of the training values, weighted by abs(w); NaN for a column without
        values.
    scale_ : ndarray of shape (n_features,)
        What the features are divided by.
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

    References
    ----------
    .. [1] T. F. Chan, G. H. Golub, R. J. LeVeque, Updating formulae and a pairwise algorithm
       for computing sample variances, Stanford STAN-CS-79-773 (1979).

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
    """

    _needs_moments: ClassVar[bool] = True

    def __init__(
        self, *, with_mean: bool = True, with_std: bool = True, clip: float | None = None
    ) -> None:
        self.with_mean = with_mean
        self.with_std = with_std
        self.clip = clip

    def _check_parameters(self) -> None:
        check_clip(self.clip)

    def _solve(self, statistics: ColumnStatistics) -> ColumnMap:
        column_map = zscore_map(
            statistics, self._names, with_mean=self.with_mean, with_std=self.with_std
        )
        column_map.limits = check_clip(self.clip)
        self.mean_ = np.where(
            statistics.constant | statistics.empty, statistics.minimum, statistics.mean
        )
        self.var_ = statistics.variance
        self.scale_ = column_map.scale
        return column_map
