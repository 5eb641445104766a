"""Logarithmic scaler for features that span orders of magnitude."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhep_ml.preprocessing._base import ColumnScaler
from skhep_ml.preprocessing._column_map import ColumnMap, symmetric_log
from skhep_ml.preprocessing._histogram import mid_quantile
from skhep_ml.preprocessing._linear import check_clip
from skhep_ml.preprocessing._statistics import (
    ColumnNames,
    ColumnStatistics,
    FloatArray,
    column_label,
)

LOG_METHODS = ("log", "shifted", "signed")
# quantile of the distance to the origin that becomes the threshold
_THRESHOLD_QUANTILE = {"shifted": 0.1, "signed": 0.5}


def log_methods(statistics: ColumnStatistics, method: str, names: ColumnNames) -> NDArray[Any]:
    """Variant of the logarithm for each column; empty columns have none ("")."""
    minimum = statistics.minimum
    if method == "auto":
        chosen = np.where(minimum > 0, "log", np.where(minimum == 0, "shifted", "signed"))
    else:
        chosen = np.full(len(minimum), method)
        refused = np.flatnonzero(minimum <= 0)
        if method == "log" and len(refused):
            msg = (
                f"method='log' needs positive values, but {column_label(names, refused[0])} "
                f"goes down to {minimum[refused[0]]:g}: use method='auto' or 'signed'"
            )
            raise ValueError(msg)
    return np.where(statistics.empty, "", chosen)


def log_map(
    statistics: ColumnStatistics,
    methods: NDArray[Any],
    *,
    threshold: float | None = None,
    standardize: bool = True,
) -> ColumnMap:
    """Symmetric logarithm of each column by its variant, columns with "" left alone."""
    n_features = len(methods)
    column_map = ColumnMap.linear(np.zeros(n_features), np.ones(n_features))
    for index in np.flatnonzero(methods != "").tolist():
        method = methods[index]
        low, high = statistics.minimum[index], statistics.maximum[index]
        values, weight = statistics.column(index)
        origin = 0.0 if method == "signed" else low
        if method == "log":
            width = low
        elif threshold is not None:
            width = threshold
        else:
            width = _distance_quantile(values - origin, weight, _THRESHOLD_QUANTILE[method])
        logs = symmetric_log(values, origin, width)
        center, scale = 0.0, 1.0
        if standardize:
            ends = symmetric_log(np.array([low, high]), origin, width)
            center, scale = _mean_and_deviation(logs, weight, ends)
        elif method == "log":
            center = -np.log(low)
        column_map.logarithmic[index] = True
        column_map.origin[index] = origin
        column_map.threshold[index] = width
        column_map.center[index] = center
        column_map.scale[index] = scale
    return column_map


def _distance_quantile(
    distance: NDArray[np.float64], weight: NDArray[np.float64], q: float
) -> float:
    """Weighted quantile of the absolute distances that are not zero; 1 where there are none."""
    distance = np.abs(distance)
    # the mean of a bin of equal values may be off by a rounding
    used = distance > 1e-12 * distance.max()
    if not used.any():
        return 1.0
    distance, weight = distance[used], weight[used]
    order = np.argsort(distance)
    return float(mid_quantile(distance[order], weight[order], q))


def _mean_and_deviation(
    values: FloatArray, weight: NDArray[np.float64], ends: FloatArray
) -> tuple[float, float]:
    low, high = ends
    if low == high:
        return float(low), 1.0
    if len(values) == 1:
        # closer together than float32 resolves: take the values as uniform
        return float(low + high) / 2, float(high - low) / np.sqrt(12)
    mean = np.average(values, weights=weight)
    return float(mean), float(np.sqrt(np.average((values - mean) ** 2, weights=weight)))


class LogScaler(ColumnScaler):
    """Take a logarithm of each feature, by default standardised afterwards.

    Features that are not strictly positive get a variant of the logarithm, and values never
    seen in training, below the smallest one included, stay finite and ordered.

    Parameters
    ----------
    method : {"auto", "log", "shifted", "signed"}, default="auto"
        Which logarithm. "log" is the natural one and needs positive values; "shifted" is for
        one-sided features, "signed" for features of both signs (see Notes). "auto" takes "log"
        where all values are positive, "shifted" where the smallest is 0, else "signed".
    threshold : float, default=None
        Distance c, in the feature's unit, below which "shifted" and "signed" are about linear.
        None takes, for each feature and from its histogram, the weighted 10% quantile of the
        non-zero distances from the minimum for "shifted", and the weighted median of the
        non-zero absolute values for "signed".
    standardize : bool, default=True
        Whether the logarithm is scaled to weighted mean 0 and standard deviation 1, as networks
        like it.
    clip : float, default=None
        Largest absolute value of the output; None does not clip. Clipped values cannot be
        recovered by `inverse_transform`.

    Attributes
    ----------
    methods_ : ndarray of shape (n_features,)
        "log", "shifted" or "signed" for each feature; "" for a column without values.
    origin_, threshold_ : ndarray of shape (n_features,)
        Origin and width c of the logarithm.
    mean_, scale_ : ndarray of shape (n_features,)
        What is subtracted from the logarithm and what it is divided by.
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
    All variants are one function, odd about its origin o, with a continuous slope everywhere
    and a closed inverse::

        g(x) = sign(x - o) log(1 + |x - o| / c)

    ========= ============ ====================== =========================================
    method    origin o     width c                so that
    ========= ============ ====================== =========================================
    "log"     minimum      minimum                g(x) = log x - log(minimum) above it
    "shifted" minimum      ``threshold``          g(x) = log(1 + (x - minimum) / c)
    "signed"  0            ``threshold``          g(x) = sign(x) log(1 + abs(x) / c)
    ========= ============ ====================== =========================================

    The output is ``(g(x) - mean) / scale``; without ``standardize`` it is g(x), for "log" with
    log(minimum) added back, that is log x. Means, deviations and quantiles come from a weighted
    histogram with some thousand bins a feature, which merges exactly over chunks: the output
    mean and standard deviation are 0 and 1 to about 1e-4. The histogram takes values in the range
    of float32: a float64 feature that goes beyond 3.4e38, or is mostly below 1.2e-38, is refused;
    change its unit.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.preprocessing import LogScaler
    >>> energy = np.array([[1.0, 0.0], [10.0, 9.0], [100.0, 99.0], [np.nan, -9.0]])
    >>> scaler = LogScaler(standardize=False, threshold=1.0).fit(energy)
    >>> scaler.methods_
    array(['log', 'signed'], dtype='<U7')
    >>> (scaler.transform(energy) / np.log(10)).round(6)
    array([[ 0.,  0.],
           [ 1.,  1.],
           [ 2.,  2.],
           [nan, -1.]])
    """

    def __init__(
        self,
        method: str = "auto",
        *,
        threshold: float | None = None,
        standardize: bool = True,
        clip: float | None = None,
    ) -> None:
        self.method = method
        self.threshold = threshold
        self.standardize = standardize
        self.clip = clip

    def _check_parameters(self) -> None:
        check_clip(self.clip)
        if self.method not in ("auto", *LOG_METHODS):
            msg = f"method={self.method!r} must be one of {('auto', *LOG_METHODS)}"
            raise ValueError(msg)
        threshold = self.threshold
        if threshold is not None and not (
            isinstance(threshold, (int, float, np.number))
            and not isinstance(threshold, bool)
            and 0 < threshold < np.inf
        ):
            msg = f"threshold={threshold!r} must be None or a positive number"
            raise ValueError(msg)

    def _needs(self) -> dict[str, Any]:
        return {"histogram": True}

    def _solve(self, statistics: ColumnStatistics) -> ColumnMap:
        methods = log_methods(statistics, self.method, self._names)
        column_map = log_map(
            statistics, methods, threshold=self.threshold, standardize=self.standardize
        )
        column_map.limits = check_clip(self.clip)
        self.methods_ = methods
        self.origin_ = column_map.origin
        self.threshold_ = column_map.threshold
        self.mean_ = column_map.center
        self.scale_ = column_map.scale
        return column_map
