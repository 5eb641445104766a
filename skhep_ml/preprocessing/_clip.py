"""Clipping of outliers at quantiles of the training events."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from skhep_ml._clouds import validate_floats
from skhep_ml._validation import check_event_weight
from skhep_ml.preprocessing._base import FeatureTransformer
from skhep_ml.preprocessing._statistics import (
    FloatArray,
    by_column,
    column_values,
    refuse_infinity,
    row_blocks,
    weighted_quantile,
)


class QuantileClipper(FeatureTransformer):
    """Move outliers of each feature to quantiles of the training events.

    Parameters
    ----------
    lower : float, default=0.001
        Quantile below which values are moved up to it; 0 is the smallest training value.
    upper : float, default=0.999
        Quantile above which values are moved down to it; 1 is the largest training value.

    Attributes
    ----------
    lower_, upper_ : ndarray of shape (n_features,)
        The limits, in units of the features; NaN for a column without values.
    clipped_fraction_ : ndarray of shape (n_features,)
        Share of the training values outside the limits, weighted by abs(w).
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Column names, when fitted on a DataFrame.

    See Also
    --------
    ZScoreScaler : With ``robust=True``, a smooth clip that can be inverted.

    Notes
    -----
    The quantile q is the smallest value with a share q of the summed abs(w) at or below it;
    where that share is exactly q, the mean of it and the next value ("averaged inverted CDF").
    It is exact: columns are sorted one by one, and no more than one is held in memory beside
    the table. In clouds absent particles do not count, and each particle has the weight of its
    event. NaN stays NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.preprocessing import QuantileClipper
    >>> X = np.append(np.arange(100.0), 1e6)[:, None]
    >>> clipper = QuantileClipper(lower=0, upper=0.98).fit(X)
    >>> clipper.upper_
    array([98.])
    >>> clipper.transform([[-5.0], [50.0], [1e6], [np.nan]]).ravel()
    array([ 0., 50., 98., nan])
    >>> clipper.clipped_fraction_.round(3)
    array([0.02])
    """

    __metadata_request__fit: ClassVar = {"sample_weight": True}

    def __init__(self, lower: float = 0.001, upper: float = 0.999) -> None:
        self.lower = lower
        self.upper = upper

    def fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Learn the limits of each feature.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features) or (n_events, n_particles, n_features)
            Features; NaN stands for a missing value and is skipped.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights; abs(w) enters the quantiles, so that events of weight zero do not
            count and the unit of the weights does not matter.

        Returns
        -------
        self : object
            The fitted transformer.

        Raises
        ------
        ValueError
            Infinite values (the column is named), wrong quantiles, unusable weights.

        Warns
        -----
        EmptyColumnWarning
            A column has no value at all; it is passed on as it is.
        """
        q = self._check_parameters()
        X = validate_floats(self, X, reset=True)
        weight = check_event_weight(sample_weight, len(X))
        if weight is not None:
            weight = np.abs(weight)
        for block, _ in row_blocks(X, weight):
            refuse_infinity(block, self._names)
        limits = np.full((2, self.n_features_in_), np.nan)
        clipped = np.zeros(self.n_features_in_)
        for index in range(self.n_features_in_):
            values, value_weight = column_values(X, weight, index)
            if len(values):
                limits[:, index] = weighted_quantile(values, value_weight, q)
                low, high = limits[:, index].astype(X.dtype)
                outside = (values < low) | (values > high)
                clipped[index] = np.average(outside, weights=value_weight)
        self.lower_, self.upper_ = limits
        self.clipped_fraction_ = clipped
        self._warn_empty(np.isnan(self.lower_), stacklevel=2)
        return self

    def _check_parameters(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        for name in ("lower", "upper"):
            value = getattr(self, name)
            if (
                isinstance(value, bool)
                or not isinstance(value, (int, float, np.number))
                or not 0 <= value <= 1
            ):
                msg = f"{name}={value!r} must be a number between 0 and 1, a share of the weight"
                raise ValueError(msg)
        if self.lower >= self.upper:
            msg = f"lower={self.lower!r} must be below upper={self.upper!r}"
            raise ValueError(msg)
        return np.array([self.lower, self.upper], dtype=np.float64)

    def _transform(self, X: ArrayLike) -> FloatArray:
        X = validate_floats(self, X, reset=False)
        # a column without limits passes
        low = np.where(np.isnan(self.lower_), -np.inf, self.lower_).astype(X.dtype)
        high = np.where(np.isnan(self.upper_), np.inf, self.upper_).astype(X.dtype)

        def clip(block: FloatArray, out: FloatArray) -> None:
            by_column(np.maximum, block, low, out)
            by_column(np.minimum, out, high, out)

        return self._map_blocks(X, clip, X.dtype)
