"""The map that scalers apply: formulas of one column, and blocks of all columns at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhep_ml.preprocessing._statistics import FloatArray, by_column

ColumnValue = float | NDArray[np.float64]

# where the smooth clip levels off
CLIP_LEVEL = 3.0
# beyond it the clipped value does not change, and its square is far from overflow
_BEYOND = 1e15


def symmetric_log(x: FloatArray, origin: ColumnValue, threshold: ColumnValue) -> FloatArray:
    """``sign(d) log(1 + abs(d) / threshold)`` with ``d = x - origin``: finite and monotone."""
    with np.errstate(over="ignore"):
        distance = by_column(np.subtract, x, origin)
        # one-sided features need no signs
        signed = not distance.min(initial=0.0) >= 0
        size = np.abs(distance) if signed else distance
        by_column(np.divide, size, threshold, size)
    # an overflow would only come from float64 values: hold it at the largest number
    if not size.max(initial=0.0) < np.inf:
        np.minimum(size, np.finfo(np.float64).max, out=size)
    np.log1p(size, out=size)
    return np.copysign(size, distance, out=size) if signed else size


def symmetric_exp(y: FloatArray, origin: ColumnValue, threshold: ColumnValue) -> FloatArray:
    """Inverse of `symmetric_log`."""
    size = np.abs(y)
    np.expm1(size, out=size)
    by_column(np.multiply, size, threshold, size)
    np.copysign(size, y, out=size)
    return by_column(np.add, size, origin, size)


def smooth_clip(z: FloatArray) -> FloatArray:
    """``z / sqrt(1 + (z / 3)^2)``: about z in the middle, between -3 and 3 everywhere."""
    z = np.clip(z, -_BEYOND, _BEYOND)
    ratio = z / CLIP_LEVEL
    ratio *= ratio
    ratio += 1
    np.sqrt(ratio, out=ratio)
    return np.divide(z, ratio, out=z)


def smooth_unclip(y: FloatArray, dtype: Any) -> FloatArray:
    """Inverse of `smooth_clip`; -3 and 3 count as their neighbours of the given type."""
    edge = float(np.nextafter(np.asarray(CLIP_LEVEL, dtype), np.asarray(0, dtype)))
    y = np.clip(y, -edge, edge)
    ratio = y / CLIP_LEVEL
    # (1 - r)(1 + r) keeps the digits that 1 - r^2 loses near the edge
    return y / np.sqrt((1 - ratio) * (1 + ratio))


@dataclass
class ColumnMap:
    """``y = h((g(x) - center) / scale + offset)``.

    g is `symmetric_log` in the ``logarithmic`` columns, h is `smooth_clip` in the ``smooth``
    ones; elsewhere they do nothing. ``limits`` bound y on both sides.
    """

    center: NDArray[np.float64]
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    logarithmic: NDArray[np.bool_]
    origin: NDArray[np.float64]
    threshold: NDArray[np.float64]
    smooth: NDArray[np.bool_]
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
            np.zeros(n_features, dtype=np.bool_),
        )

    def update(self, other: ColumnMap, columns: NDArray[np.bool_]) -> None:
        """Take the given columns from another map."""
        for part in fields(self):
            if part.name != "limits":
                getattr(self, part.name)[columns] = getattr(other, part.name)[columns]

    def prepared(self, dtype: Any) -> PreparedMap:
        """Map for blocks of the given type.

        float32 blocks are mapped in float32 where that moves no value by more than 4e-6 of the
        scale, otherwise in float64; both directions use the same center.
        """
        single = False
        if dtype == np.float32 and not self.logarithmic.any():
            size = np.maximum(np.abs(self.center), np.abs(self.offset))
            # these limits keep float32 far from overflow and underflow
            limited = (size < 64 * self.scale) & (size < 1e30)
            limited &= (self.scale > 1e-30) & (self.scale < 1e30)
            single = bool(limited.all())
        inside = np.float32 if single else np.float64
        return PreparedMap(
            self,
            np.dtype(dtype),
            np.dtype(inside),
            self.center.astype(inside),
            self.scale.astype(inside),
            self.offset.astype(inside),
        )


@dataclass
class PreparedMap:
    """A `ColumnMap` in the floating-point type ``inside``, for blocks of type ``dtype``."""

    column_map: ColumnMap
    dtype: np.dtype[Any]
    inside: np.dtype[Any]
    center: NDArray[Any]
    scale: NDArray[Any]
    offset: NDArray[Any]

    def forward(self, block: FloatArray, out: FloatArray) -> None:
        """Write the mapped block to out, which is of type ``inside``."""
        columns = self.column_map
        if columns.logarithmic.any():
            np.copyto(out, block)
            self._logarithm(symmetric_log, out)
            by_column(np.subtract, out, self.center, out)
        else:
            by_column(np.subtract, block, self.center, out)
        by_column(np.divide, out, self.scale, out)
        if self.offset.any():
            by_column(np.add, out, self.offset, out)
        _on_columns(smooth_clip, columns.smooth, out)
        if columns.limits is not None:
            np.clip(out, *columns.limits, out=out)

    def backward(self, block: FloatArray, out: FloatArray) -> None:
        """Write the block before mapping to out, which is of type ``inside``."""
        columns = self.column_map
        np.copyto(out, block)
        _on_columns(lambda y: smooth_unclip(y, self.dtype), columns.smooth, out)
        if self.offset.any():
            by_column(np.subtract, out, self.offset, out)
        by_column(np.multiply, out, self.scale, out)
        by_column(np.add, out, self.center, out)
        self._logarithm(symmetric_exp, out)

    def _logarithm(self, function: Any, out: FloatArray) -> None:
        columns = self.column_map
        used = columns.logarithmic
        origin, threshold = columns.origin[used], columns.threshold[used]
        _on_columns(lambda x: function(x, origin, threshold), used, out)


def _on_columns(
    function: Callable[[FloatArray], FloatArray], columns: NDArray[np.bool_], out: FloatArray
) -> None:
    """Replace the given columns by the function of them."""
    if columns.all():
        out[...] = function(out)
    elif columns.any():
        index = np.flatnonzero(columns)
        out[:, index] = function(np.take(out, index, axis=1))
