"""What counts as missing: NaN, sentinels, masked entries and nulls of DataFrames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhep_ml._clouds import present_particles, validate_floats
from skhep_ml._masks import missing_sentinels as missing_sentinels
from skhep_ml._masks import unmasked as unmasked
from skhep_ml.preprocessing._statistics import (
    ColumnNames,
    FloatArray,
    block_rows,
    refuse_infinity,
)

BoolArray = NDArray[np.bool_]


def mask_missing(block: FloatArray, sentinels: Sequence[float]) -> BoolArray:
    """Tell which values are NaN or one of the sentinels."""
    mask = np.isnan(block)
    for value in sentinels:
        mask |= block == block.dtype.type(value)
    return mask


def replaced(
    block: FloatArray, missing: BoolArray, fill: Any, out: FloatArray | None = None
) -> FloatArray:
    """Return the block with the values of fill, of the same type, where it is missing."""
    # operations on the bits: no branch that depends on data, twice the speed of np.where
    kind = np.dtype(f"i{block.dtype.itemsize}")
    keep = missing.view(np.int8).astype(kind)
    keep -= 1
    bits = fill.view(kind)
    found = np.bitwise_xor(block.view(kind), bits, out=None if out is None else out.view(kind))
    found &= keep
    found ^= bits
    return found.view(block.dtype)


def refuse_present_infinity(block: FloatArray, missing: BoolArray, names: ColumnNames) -> None:
    """Raise a ValueError that names the first column with an infinite value not missing."""
    if np.isinf(block).any():
        refuse_infinity(replaced(block, missing, block.dtype.type(0)), names)


def validate_missing(estimator: Any, X: Any, *, reset: bool) -> FloatArray:
    """Check a table or a cloud of numbers in which values may be missing in any way."""
    return validate_floats(estimator, X, reset=reset)


def present_rows(flat: FloatArray, sentinels: Sequence[float]) -> BoolArray:
    """Tell which rows, the particles of a flattened cloud, hold at least one value."""
    present = np.empty(len(flat), dtype=bool)
    rows = block_rows(flat.shape[1])
    for start in range(0, len(flat), rows):
        block = flat[start : start + rows]
        if sentinels:
            nan = block.dtype.type(np.nan)
            block = replaced(block, mask_missing(block, sentinels), nan)
        present[start : start + rows] = present_particles(block)
    return present
