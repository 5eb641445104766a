"""Replacement of missing values by weighted statistics of their column."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from skhep_ml._validation import align_columns, check_event_weight
from skhep_ml.exceptions import EmptyColumnWarning
from skhep_ml.preprocessing._histogram import float_key
from skhep_ml.preprocessing._statistics import (
    ColumnNames,
    FloatArray,
    block_rows,
    column_label,
    memory_order,
    refuse_infinity,
    row_blocks,
)

STRATEGIES = ("median", "mean", "most_frequent", "constant")
# columns made contiguous at a time: a compromise between strided reads and memory
_GROUP = 8
# relative tolerance at which a cumulative weight counts as exactly one half
_HALF_TOLERANCE = 1e-12


def mask_missing(block: FloatArray, sentinels: Sequence[float]) -> NDArray[np.bool_]:
    """Tell which values are NaN or one of the sentinels."""
    mask = np.isnan(block)
    for value in sentinels:
        mask |= block == block.dtype.type(value)
    return mask


def weighted_median(values: FloatArray, weight: NDArray[np.float64] | None) -> float:
    """Median of the values, each repeated weight times.

    Where a value ends exactly at half of the total weight, the mean of it and the next one.
    """
    # a histogram over the leading bits finds the few values among which the median is
    key = float_key(values) >> 16
    first = int(key.min())
    histogram = np.cumsum(np.bincount(key - first, weight))
    half = histogram[-1] / 2
    slack = histogram[-1] * _HALF_TOLERANCE
    low = np.searchsorted(histogram, half - slack)
    high = np.searchsorted(histogram, half + slack, side="right")
    near = (key >= low + first) & (key <= high + first)
    candidates = values[near]
    order = np.argsort(candidates)
    near_weight = np.ones(len(order)) if weight is None else weight[near][order]
    cumulative = np.cumsum(near_weight) + (histogram[low - 1] if low > 0 else 0.0)
    last = len(order) - 1
    left = candidates[order[min(np.searchsorted(cumulative, half - slack), last)]]
    right = candidates[order[min(np.searchsorted(cumulative, half + slack, side="right"), last)]]
    return float(left) / 2 + float(right) / 2


def weighted_mode(values: FloatArray, weight: NDArray[np.float64] | None) -> float:
    """Value with the largest weight, the smallest of them where several tie."""
    distinct, codes = np.unique(values, return_inverse=True)
    weights = np.bincount(codes, weight)
    return float(distinct[np.argmax(weights >= weights.max() * (1 - _HALF_TOLERANCE))])


@dataclass
class _Sums:
    """Counts and sums of weights over the events of non-zero weight."""

    n_rows: int
    total: float
    n_missing: NDArray[np.float64]
    present: NDArray[np.float64]
    values: NDArray[np.float64]


class MissingValueImputer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Replace missing values by a weighted statistic of their column.

    Parameters
    ----------
    strategy : {"median", "mean", "most_frequent", "constant"}, default="median"
        What replaces a missing value: a statistic of the column, weighted by abs(w), or
        ``fill_value``.
    missing_values : float or sequence of float, default=(nan, -999.0)
        Values that stand for "missing", all at once. NaN and None always do.
    fill_value : float, default=None
        The replacement for ``strategy="constant"``, and for columns without any value;
        None stands for 0.
    add_indicator : bool, default=False
        Whether to append, for each feature with missing values in training, a column
        ``missingindicator_<feature>`` that is 1 where the value was missing and 0 elsewhere.

    Attributes
    ----------
    statistics_ : ndarray of shape (n_features,)
        The replacement for each feature.
    missing_fraction_ : ndarray of shape (n_features,)
        Share of each feature's weight, in abs(w), that is missing.
    indicator_features_ : ndarray of shape (n_indicators,)
        Indices of the features that have an indicator column; empty without ``add_indicator``.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Column names, when fitted on a DataFrame.

    Notes
    -----
    Events of weight zero do not count. The weighted median is the median of the values repeated
    in proportion to abs(w): for integer weights it equals the plain median of repeated events.
    Of equally frequent values, "most_frequent" takes the smallest.

    A sentinel is compared in the type of the table: -999.9 in a float32 table is the float32
    nearest to it. float32 tables stay float32, integers become float64.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.impute import MissingValueImputer
    >>> jets = np.array([[80.0, -999.0], [40.0, 30.0], [np.nan, 20.0], [60.0, 50.0]])
    >>> imputer = MissingValueImputer(add_indicator=True)
    >>> imputer.fit_transform(jets)
    array([[80., 30.,  0.,  1.],
           [40., 30.,  0.,  0.],
           [60., 20.,  1.,  0.],
           [60., 50.,  0.,  0.]])
    >>> imputer.get_feature_names_out(["jet1_pt", "jet2_pt"]).tolist()
    ['jet1_pt', 'jet2_pt', 'missingindicator_jet1_pt', 'missingindicator_jet2_pt']
    """

    __metadata_request__fit: ClassVar = {"sample_weight": True}

    def __init__(
        self,
        strategy: str = "median",
        *,
        missing_values: float | Sequence[float] = (np.nan, -999.0),
        fill_value: float | None = None,
        add_indicator: bool = False,
    ) -> None:
        self.strategy = strategy
        self.missing_values = missing_values
        self.fill_value = fill_value
        self.add_indicator = add_indicator

    def fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Learn the replacement of each feature.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights; abs(w) enters the statistics.

        Returns
        -------
        self : object
            The fitted imputer.

        Raises
        ------
        ValueError
            Infinite values (the column is named), a wrong parameter, unusable weights.

        Warns
        -----
        EmptyColumnWarning
            A column has no value at all: it is kept, and filled with ``fill_value`` or 0.
        """
        self._check_parameters()
        table = self._validate_table(X, reset=True)
        weight = check_event_weight(sample_weight, len(table))
        if weight is not None:
            weight = np.abs(weight)
        names = getattr(self, "feature_names_in_", None)
        sums = self._sums(table, weight, names)
        fill = 0.0 if self.fill_value is None else float(self.fill_value)
        if self.strategy == "mean":
            replacement = np.divide(
                sums.values, sums.present, out=np.zeros_like(sums.values), where=sums.present > 0
            )
        elif self.strategy == "constant":
            replacement = np.full(table.shape[1], fill)
        else:
            find = weighted_median if self.strategy == "median" else weighted_mode
            replacement = np.array(
                [
                    find(values, value_weight) if len(values) else fill
                    for values, value_weight in self._columns(table, weight)
                ]
            )
        empty = np.flatnonzero(sums.n_missing == sums.n_rows)
        replacement[empty] = fill
        self.statistics_ = replacement
        self.missing_fraction_ = np.where(sums.n_missing > 0, 1.0 - sums.present / sums.total, 0.0)
        has_missing = (sums.n_missing > 0) & bool(self.add_indicator)
        self.indicator_features_ = np.flatnonzero(has_missing)
        if len(empty):
            labels = ", ".join(column_label(names, index) for index in empty[:5])
            msg = (
                f"{len(empty)} of {self.n_features_in_} columns hold no value in events of "
                f"non-zero weight and are filled with {fill:g}: {labels}"
            )
            warnings.warn(msg, EmptyColumnWarning, stacklevel=2)
        return self

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Replace the missing values.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features, in the columns of `fit`.

        Returns
        -------
        ndarray of shape (n_events, n_features + n_indicators)
            Features without missing values, and the indicator columns.

        Raises
        ------
        ValueError
            Infinite values or other columns than in `fit`.
        """
        check_is_fitted(self)
        table = self._validate_table(X, reset=False)
        names = getattr(self, "feature_names_in_", None)
        sentinels = self._sentinels()
        n_features, n_indicators = table.shape[1], len(self.indicator_features_)
        out = np.empty(
            (len(table), n_features + n_indicators), dtype=table.dtype, order=memory_order(table)
        )
        rows = min(block_rows(n_features), len(table))
        fill = np.empty((rows, n_features), table.dtype, memory_order(table))
        fill[...] = self.statistics_
        for start in range(0, len(table), rows):
            block = table[start : start + rows]
            part = out[start : start + rows]
            missing = mask_missing(block, sentinels)
            values = np.where(missing, fill[: len(block)], block)
            refuse_infinity(values, names)
            part[:, :n_features] = values
            if n_indicators:
                part[:, n_features:] = missing[:, self.indicator_features_]
        return out

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray[Any]:
        """Names of the output columns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the input columns; None takes those of `fit`, or x0, x1, ...

        Returns
        -------
        ndarray of str
            The input names, then ``missingindicator_<name>`` for each indicator.
        """
        check_is_fitted(self)
        names = super().get_feature_names_out(input_features)
        flags = [f"missingindicator_{names[index]}" for index in self.indicator_features_]
        return np.concatenate([names, np.array(flags, dtype=object)])

    def _check_parameters(self) -> None:
        if self.strategy not in STRATEGIES:
            msg = f"strategy={self.strategy!r} must be one of {STRATEGIES}"
            raise ValueError(msg)
        fill = self.fill_value
        if fill is not None and (not isinstance(fill, Real) or not np.isfinite(float(fill))):
            msg = f"fill_value={fill!r} must be None or a finite number"
            raise ValueError(msg)
        self._sentinels()

    def _sentinels(self) -> tuple[float, ...]:
        """Values that stand for missing besides NaN."""
        given = self.missing_values
        values = given if isinstance(given, (tuple, list, np.ndarray)) else (given,)
        for value in values:
            if value is not None and not isinstance(value, Real):
                msg = f"missing_values={given!r} must be numbers, NaN or None, got {value!r}"
                raise ValueError(msg)
        return tuple(float(value) for value in values if value is not None and not np.isnan(value))

    def _validate_table(self, X: ArrayLike, *, reset: bool) -> FloatArray:
        if not reset:
            X = align_columns(self, X)
        return validate_data(
            self, X, reset=reset, dtype=[np.float64, np.float32], ensure_all_finite=False
        )

    def _sums(
        self, table: FloatArray, weight: NDArray[np.float64] | None, names: ColumnNames
    ) -> _Sums:
        sentinels = self._sentinels()
        sums = _Sums(0, 0.0, *np.zeros((3, table.shape[1])))
        for block, block_weight in row_blocks(table, weight):
            missing = mask_missing(block, sentinels)
            values = np.where(missing, block.dtype.type(0), block)
            refuse_infinity(values, names)
            sums.n_rows += len(block)
            sums.total += float(block_weight.sum())
            # matrix products are the fastest sums over rows
            sums.values += block_weight @ values.astype(np.float64, copy=False)
            if not missing.any():
                sums.present += block_weight.sum()
                continue
            # whole numbers this small are exact in float32
            count = np.ones(len(block), np.float32) @ missing.astype(np.float32)
            sums.n_missing += count
            # sum what is present: the difference of two large sums could lose a small weight
            sums.present += (
                len(block) - count if weight is None else block_weight @ (~missing).astype(float)
            )
        return sums

    def _columns(
        self, table: FloatArray, weight: NDArray[np.float64] | None
    ) -> Iterator[tuple[FloatArray, NDArray[np.float64] | None]]:
        """Values that are not missing, in events of non-zero weight, for each column."""
        used: Any = slice(None)
        if weight is not None and not weight.all():
            used = np.flatnonzero(weight)
            weight = weight[used]
        sentinels = self._sentinels()
        for start in range(0, table.shape[1], _GROUP):
            for values in np.ascontiguousarray(table[used, start : start + _GROUP].T):
                missing = mask_missing(values, sentinels)
                if not missing.any():
                    yield values, weight
                else:
                    present = ~missing
                    yield values[present], None if weight is None else weight[present]

    def __sklearn_tags__(self) -> Tags:
        """Missing values are welcome, and the floating-point type is kept."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
