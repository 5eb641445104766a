"""What all scalers share: validation, chunks, the map of columns, blocked application."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from skhep_ml._validation import align_columns, check_event_weight
from skhep_ml.exceptions import EmptyColumnWarning
from skhep_ml.preprocessing._statistics import (
    ColumnNames,
    ColumnStatistics,
    FloatArray,
    block_rows,
    column_label,
    memory_order,
    refuse_infinity,
)

ColumnValue = float | NDArray[np.float64]


def symmetric_log(
    x: NDArray[np.float64], origin: ColumnValue, threshold: ColumnValue
) -> NDArray[np.float64]:
    """``sign(d) log(1 + abs(d) / threshold)`` with ``d = x - origin``: finite and monotone."""
    with np.errstate(over="ignore"):
        distance = x - origin
        # an overflow would only come from float64 values: hold it at the largest number
        ratio = np.minimum(np.abs(distance) / threshold, np.finfo(np.float64).max)
    return np.copysign(np.log1p(ratio), distance)


def symmetric_exp(
    y: NDArray[np.float64], origin: ColumnValue, threshold: ColumnValue
) -> NDArray[np.float64]:
    """Inverse of `symmetric_log`."""
    return origin + np.copysign(threshold * np.expm1(np.abs(y)), y)


@dataclass
class ColumnMap:
    """``y = (g(x) - center) / scale + offset``, g = `symmetric_log` in some columns, else x.

    ``limits`` bound y on both sides.
    """

    center: NDArray[np.float64]
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    logarithmic: NDArray[np.bool_]
    origin: NDArray[np.float64]
    threshold: NDArray[np.float64]
    limits: tuple[float, float] | None = None

    @classmethod
    def linear(
        cls,
        center: NDArray[np.float64],
        scale: NDArray[np.float64],
        offset: float = 0.0,
    ) -> ColumnMap:
        """Map without logarithms; empty columns stay as they are."""
        empty = np.isnan(center)
        n_features = len(center)
        return cls(
            np.where(empty, 0.0, center),
            np.where(empty, 1.0, scale),
            np.where(empty, 0.0, offset),
            np.zeros(n_features, dtype=np.bool_),
            np.zeros(n_features),
            np.ones(n_features),
        )

    def update(self, other: ColumnMap, columns: NDArray[np.bool_]) -> None:
        """Take the given columns from another map."""
        for name in ("center", "scale", "offset", "logarithmic", "origin", "threshold"):
            getattr(self, name)[columns] = getattr(other, name)[columns]

    def prepared(self, table: FloatArray, rows: int) -> ColumnMap:
        """Map in the type and memory order of the table, repeated for blocks of rows.

        float32 tables are mapped in float32 where that moves no value by more than 4e-6 of the
        scale, otherwise in float64; both directions use the same center.
        """
        single = False
        if table.dtype == np.float32 and not self.logarithmic.any():
            size = np.maximum(np.abs(self.center), np.abs(self.offset))
            # the limits of size keep float32 far from overflow and underflow
            limited = (size < 64 * self.scale) & (size < 1e30) & (self.scale > 1e-30)
            single = bool(limited.all())

        def repeated(values: NDArray[np.float64]) -> NDArray[Any]:
            # long inner loops: a block meets an array of its own shape
            dtype = np.float32 if single else np.float64
            out = np.empty((rows, len(values)), dtype, memory_order(table))
            out[...] = values
            return out

        return replace(
            self,
            center=repeated(self.center),
            scale=repeated(self.scale),
            offset=repeated(self.offset),
        )

    def forward(self, block: FloatArray, out: FloatArray) -> None:
        """Write the mapped block to out; the map is a prepared one."""
        size = len(block)
        if self.logarithmic.any():
            np.copyto(out, block)
            self._apply(symmetric_log, out)
            out -= self.center[:size]
        else:
            np.subtract(block, self.center[:size], out=out)
        out /= self.scale[:size]
        if self.offset[0].any():
            out += self.offset[:size]
        if self.limits is not None:
            np.clip(out, *self.limits, out=out)

    def backward(self, block: FloatArray, out: FloatArray) -> None:
        """Write the block before mapping to out; the map is a prepared one."""
        size = len(block)
        np.subtract(block, self.offset[:size], out=out)
        out *= self.scale[:size]
        out += self.center[:size]
        self._apply(symmetric_exp, out)

    def _apply(self, function: Any, out: FloatArray) -> None:
        if self.logarithmic.all():
            out[...] = function(out, self.origin, self.threshold)
        elif self.logarithmic.any():
            columns = np.flatnonzero(self.logarithmic)
            out[:, columns] = function(
                out[:, columns], self.origin[columns], self.threshold[columns]
            )


class ColumnScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Base of the scalers: a subclass turns statistics of the columns into a `ColumnMap`."""

    __metadata_request__fit: ClassVar = {"sample_weight": True}
    __metadata_request__partial_fit: ClassVar = {"sample_weight": True}

    # what the subclass needs beside the extremes
    _needs_moments: ClassVar[bool] = False
    _needs_histogram: ClassVar[bool] = False

    _column_statistics: ColumnStatistics
    _column_map: ColumnMap

    def _check_parameters(self) -> None:
        """Raise a ValueError for parameters that make no sense."""

    def _solve(self, statistics: ColumnStatistics) -> ColumnMap:
        """Set the public fitted attributes and return the map."""
        raise NotImplementedError

    def fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Learn the scales from one table.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features; NaN stands for a missing value and is skipped.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights; abs(w) enters the statistics, so that rows of weight zero do not
            count and the unit of the weights does not matter.

        Returns
        -------
        self : object
            The fitted scaler.

        Raises
        ------
        ValueError
            Infinite values (the column is named), a wrong parameter, unusable weights.

        Warns
        -----
        EmptyColumnWarning
            A column has no value at all; it is passed on as it is.
        """
        self._learn(X, sample_weight, first=True)
        empty = np.flatnonzero(self._column_statistics.empty)
        if len(empty):
            labels = ", ".join(column_label(self._names, index) for index in empty[:5])
            msg = (
                f"{len(empty)} of {self.n_features_in_} columns hold no value in events of "
                f"non-zero weight and are passed on unscaled: {labels}"
            )
            warnings.warn(msg, EmptyColumnWarning, stacklevel=2)
        return self

    def partial_fit(
        self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Learn from one more chunk; all chunks together give what `fit` gives on the whole.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            The next events.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_events,), default=None
            Their weights, in the same unit as those of the other chunks.

        Returns
        -------
        self : object
            The scaler, fitted on all chunks so far.

        Raises
        ------
        ValueError
            As in `fit`; the scaler then keeps its state.
        """
        self._learn(X, sample_weight, first=not hasattr(self, "_column_statistics"))
        return self

    def _learn(self, X: ArrayLike, sample_weight: ArrayLike | None, *, first: bool) -> None:
        self._check_parameters()
        table = self._validate_table(X, reset=first)
        weight = check_event_weight(sample_weight, len(table))
        statistics = ColumnStatistics.from_table(
            table,
            None if weight is None else np.abs(weight),
            self._names,
            moments=self._needs_moments,
            histogram=self._needs_histogram,
        )
        if not first:
            statistics = self._column_statistics.merge(statistics)
        self._column_map = self._solve(statistics)
        self._column_statistics = statistics
        self.n_samples_seen_ = statistics.n_rows

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Scale a table.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features, in the columns of `fit`; NaN stays NaN.

        Returns
        -------
        ndarray of shape (n_events, n_features)
            Scaled features; float32 stays float32.

        Raises
        ------
        ValueError
            Infinite values or other columns than in `fit`.
        """
        check_is_fitted(self)
        return self._map_table(self._validate_table(X, reset=False), ColumnMap.forward)

    def inverse_transform(self, X: ArrayLike) -> NDArray[Any]:
        """Undo `transform`, up to rounding (and clipping where it was asked for).

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Scaled features.

        Returns
        -------
        ndarray of shape (n_events, n_features)
            Features in their own units.

        Raises
        ------
        ValueError
            Infinite values or a wrong number of columns.
        """
        check_is_fitted(self)
        table = self._validate_table(X, reset=False)
        return self._map_table(table, ColumnMap.backward)

    def _validate_table(self, X: ArrayLike, *, reset: bool) -> FloatArray:
        # infinities are looked for block by block, where the column can be named
        if not reset:
            X = align_columns(self, X)
        return validate_data(
            self, X, reset=reset, dtype=[np.float64, np.float32], ensure_all_finite=False
        )

    def _map_table(self, table: FloatArray, function: Any) -> FloatArray:
        out = np.empty_like(table)
        rows = min(block_rows(table.shape[1]), len(table))
        column_map = self._column_map.prepared(table, rows)
        dtype = column_map.center.dtype
        buffer = np.empty((rows, table.shape[1]), dtype, memory_order(table))
        for start in range(0, len(table), rows):
            block, target = table[start : start + rows], out[start : start + rows]
            refuse_infinity(block, self._names)
            if out.dtype == dtype:
                function(column_map, block, target)
            else:
                function(column_map, block, buffer[: len(block)])
                target[...] = buffer[: len(block)]
        return out

    @property
    def _names(self) -> ColumnNames:
        return getattr(self, "feature_names_in_", None)

    def __sklearn_tags__(self) -> Tags:
        """Missing values pass, and the floating-point type is kept."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
