"""Weighted statistics of single features."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhep_ml.inspection._table import SortedColumn
from skhep_ml.preprocessing._statistics import BLOCK_SIZE

QUANTILES = {"0.1%": 0.001, "25%": 0.25, "50%": 0.5, "75%": 0.75, "99.9%": 0.999}
FEATURE_COLUMNS = (
    "domain",
    "distinct",
    "missing",
    "infinite",
    "outliers",
    "min",
    *QUANTILES,
    "max",
    "mean",
    "std",
    "skewness",
)
#: Interquartile ranges beyond the quartiles from which on a value is an outlier.
OUTLIER_RANGES = 3.0
# relative tolerance at which a cumulative weight counts as reached
_TOLERANCE = 1e-12


def feature_row(
    column: SortedColumn, weight: NDArray[np.float64], missing: float
) -> dict[str, Any]:
    """Statistics of one feature.

    Parameters
    ----------
    column : SortedColumn
        The feature.
    weight : ndarray of shape (n_finite,)
        abs(w) of its sorted values.
    missing : float
        Missing share of the weight.

    Returns
    -------
    dict
        A value for each of `FEATURE_COLUMNS`.
    """
    row: dict[str, Any] = dict.fromkeys(FEATURE_COLUMNS, np.nan)
    row.update(
        domain="empty",
        distinct=len(column.last),
        missing=missing,
        infinite=column.n_infinite,
    )
    if not len(column.values):
        return row
    # adding 0 turns -0 into 0
    row.update(min=float(column.values[0]) + 0.0, max=float(column.values[-1]) + 0.0)
    row["domain"] = _domain(column)
    cumulative = np.cumsum(weight)
    if not cumulative[-1] > 0:
        return row
    shares = np.array(list(QUANTILES.values())) * cumulative[-1]
    positions = np.searchsorted(cumulative, shares * (1 - _TOLERANCE))
    quantiles = column.values[positions].astype(np.float64) + 0.0
    row.update(zip(QUANTILES, quantiles.tolist(), strict=True))
    row.update(_moments(column.values, weight, row["50%"]))
    row["outliers"] = _outliers(column.values, cumulative, row["25%"], row["75%"])
    if row["domain"] == "real" and _is_angle(row):
        row["domain"] = "angle"
    return row


def _moments(
    values: NDArray[np.floating[Any]], weight: NDArray[np.float64], median: float
) -> dict[str, float]:
    """Mean, standard deviation and skewness of sorted values."""
    # in units of the largest distance from the median no power overflows, and as the mean is
    # within one standard deviation of it, little is lost to rounding
    with np.errstate(over="ignore"):
        unit = float(max(median - values[0], values[-1] - median))
    if unit == 0:
        return {"mean": median, "std": 0.0}
    sums = np.zeros(4)
    for start in range(0, len(values), BLOCK_SIZE):
        distance = values[start : start + BLOCK_SIZE].astype(np.float64)
        distance -= median
        distance /= unit
        power = weight[start : start + BLOCK_SIZE].copy()
        for degree in range(4):
            sums[degree] += power.sum()
            power *= distance
    first, second, third = sums[1:] / sums[0]
    variance = second - first**2
    central = third - 3 * first * second + 2 * first**3
    return {
        "mean": median + unit * first,
        "std": unit * np.sqrt(max(variance, 0.0)),
        "skewness": central / variance**1.5 if variance > 0 else np.nan,
    }


def _outliers(
    values: NDArray[np.floating[Any]], cumulative: NDArray[np.float64], first: float, third: float
) -> float:
    """Share of the weight far outside the quartiles; NaN where these are equal."""
    width = OUTLIER_RANGES * (third - first)
    if not width > 0:
        return np.nan
    padded = np.concatenate([[0.0], cumulative])
    below = padded[np.searchsorted(values, first - width, "left")]
    above = padded[-1] - padded[np.searchsorted(values, third + width, "right")]
    return float((below + above) / padded[-1])


def _domain(column: SortedColumn) -> str:
    if len(column.last) == 1:
        return "constant"
    if len(column.last) == 2:
        return "binary"
    values = column.values
    return "integer" if np.array_equal(values, np.floor(values)) else "real"


def _is_angle(row: dict[str, Any]) -> bool:
    """Tell whether the values end, with weight, at -pi and pi, 0 and pi, or 0 and 2 pi."""
    return any(
        low - 1e-3 <= row["min"] <= low + 0.05
        and row["0.1%"] <= low + 0.1
        and high - 0.05 <= row["max"] <= high + 1e-3
        and row["99.9%"] >= high - 0.1
        for low, high in ((-np.pi, np.pi), (0.0, np.pi), (0.0, 2 * np.pi))
    )


def class_row(weight: NDArray[np.float64]) -> dict[str, Any]:
    """Yield, size and sign of the weights of one class."""
    size = np.abs(weight)
    negative = weight < 0
    squares = float(weight @ weight)
    total_size = float(size.sum())
    return {
        "events": len(weight),
        "sum_weight": float(weight.sum()),
        "error": float(np.sqrt(squares)),
        "sum_abs_weight": total_size,
        "negative_events": float(np.mean(negative)),
        "negative_weight": float(size[negative].sum() / total_size) if total_size else np.nan,
        "zero_events": float(np.mean(weight == 0)),
        "effective_size": float(weight.sum() ** 2 / squares) if squares else 0.0,
        "min_weight": float(weight.min()),
        "max_weight": float(weight.max()),
    }
