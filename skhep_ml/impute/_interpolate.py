"""Linear interpolation: between events along a column, or between samples within an event."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skhep_ml._frames import (
    column_positions,
    is_frame,
    refuse_repeated_columns,
    with_columns,
)
from skhep_ml.impute._masks import BoolArray, mask_missing
from skhep_ml.impute._statistics import run_edges
from skhep_ml.preprocessing._statistics import ColumnNames, FloatArray


class Curve(NamedTuple):
    """Mean value at each position, positions rising."""

    position: FloatArray
    value: FloatArray

    def __call__(self, position: FloatArray) -> NDArray[np.float64]:
        """Interpolate linearly; beyond the ends the value of the end."""
        return np.interp(position, self.position, self.value)


def resolve_axis(
    axis: Any, table: FloatArray, names: ColumnNames
) -> tuple[int | None, NDArray[np.intp]]:
    """Turn the parameter ``axis`` into the index of one column, or the indices of several.

    Raises
    ------
    ValueError
        No axis, an unknown column, a column twice, or a list of one.
    """
    if axis is None:
        msg = (
            "strategy='interpolate' needs an axis: the column whose values order the events "
            "(axis='time'), or the columns that hold the samples of a waveform in their order "
            "(axis=['s0', 's1', 's2'])"
        )
        raise ValueError(msg)
    one = isinstance(axis, str) or not isinstance(axis, Iterable)
    known = None if names is None else names.tolist()
    positions = column_positions(table, [axis] if one else list(axis), names=known, argument="axis")
    if one:
        return positions[0], np.empty(0, dtype=np.intp)
    if len(positions) < 2:
        msg = (
            f"axis={axis!r} lists {len(positions)} columns: interpolation between samples needs "
            "two or more; to order the events by one column, name it without a list"
        )
        raise ValueError(msg)
    return None, np.array(positions, dtype=np.intp)


def times_as_numbers(X: Any, axis: Any) -> Any:
    """Return X with nanoseconds since 1970 in the one column ``axis``, if it holds datetime64."""
    several = isinstance(axis, Iterable) and not isinstance(axis, str)
    if not is_frame(X) or axis is None or several:
        return X
    refuse_repeated_columns(X)
    position = column_positions(X, [axis], argument="axis")[0]
    column = X[X.columns[position]]
    # time zones included, which numpy does not have: UTC
    kind = column.dtype.kind if hasattr(X, "iloc") else np.asarray(column).dtype.kind
    if kind != "M":
        return X
    times = column.to_numpy(dtype="M8[ns]") if hasattr(X, "iloc") else np.asarray(column)
    times = times.astype("M8[ns]")
    return with_columns(X, {position: np.where(np.isnat(times), np.nan, times.astype(np.int64))})


def training_curves(
    table: FloatArray,
    axis: int,
    weight: NDArray[np.float64] | None,
    sentinels: Sequence[float],
) -> list[Curve | None]:
    """Curve of each column over the positions in column ``axis``; None without a value.

    Raises
    ------
    ValueError
        No event of non-zero weight has a position.
    """
    placed = ~mask_missing(table[:, axis], sentinels)
    if weight is not None:
        placed &= weight != 0
    rows = np.flatnonzero(placed)
    if not len(rows):
        msg = "axis: the column that orders the events holds no value in events of non-zero weight"
        raise ValueError(msg)
    rows = rows[np.argsort(table[rows, axis], kind="stable")]
    position = table[rows, axis]
    weight = None if weight is None else weight[rows]
    curves: list[Curve | None] = []
    for index in range(table.shape[1]):
        values = table[rows, index]
        present = ~mask_missing(values, sentinels)
        if index == axis or not present.any():
            curves.append(None)
            continue
        value_weight = None if weight is None else weight[present]
        curves.append(_mean_curve(position[present], values[present], value_weight))
    return curves


def _mean_curve(
    position: FloatArray, value: FloatArray, weight: NDArray[np.float64] | None
) -> Curve:
    starts = run_edges(position)[:-1]
    if len(starts) == len(position):
        return Curve(position, value)
    if weight is None:
        weight = np.ones(len(value))
    total = np.add.reduceat(weight, starts)
    mean = np.add.reduceat(weight * value, starts) / total
    return Curve(position[starts], mean.astype(value.dtype))


def between_samples(
    values: FloatArray, missing: BoolArray
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Interpolate the missing samples of each row between its nearest ones on both sides.

    Returns the row, the sample and the value of each; rows without any value are left out.
    """
    rows = np.flatnonzero(missing.any(axis=1) & ~missing.all(axis=1))
    values, missing = values[rows], missing[rows]
    last = values.shape[1] - 1
    step = np.arange(last + 1)
    before = np.maximum.accumulate(np.where(missing, -1, step), axis=1)
    after = np.minimum.accumulate(np.where(missing, last + 1, step)[:, ::-1], axis=1)[:, ::-1]
    row, sample = np.nonzero(missing)
    left, right = before[row, sample], after[row, sample]
    # at the ends both neighbours are the one that exists
    left, right = np.where(left < 0, right, left), np.where(right > last, left, right)
    share = (sample - left) / np.maximum(right - left, 1)
    low = values[row, left].astype(np.float64)
    high = values[row, right].astype(np.float64)
    return rows[row], sample, low + share * (high - low)
