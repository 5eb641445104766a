"""Histograms of weighted events with statistical errors."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml._validation import check_edges
from skhep_ml.metrics._base import check_positive_sum, efficiency_error


class Histogram(NamedTuple):
    """Sums of weights in bins.

    Attributes
    ----------
    edges : ndarray of shape (n_bins + 1,)
        Rising edges.
    values : ndarray of shape (n_bins,)
        Sum of weights.
    errors : ndarray of shape (n_bins,)
        sqrt(sum w^2).
    """

    edges: NDArray[np.float64]
    values: NDArray[np.float64]
    errors: NDArray[np.float64]

    def density(self, what: str) -> "Histogram":
        """Scale to unit area; the errors are those of a share, so that the area has none."""
        total = check_positive_sum(self.values, what)
        share = self.values / total
        squares = self.errors**2
        errors = efficiency_error(squares, squares.sum(), total, share)
        widths = np.diff(self.edges)
        return Histogram(self.edges, share / widths, errors / widths)


def histogram(
    values: NDArray[Any], edges: NDArray[np.float64], weight: NDArray[np.float64] | None
) -> Histogram:
    """Fill a histogram; what lies outside, infinities included, counts in the outermost bins."""
    n_bins = len(edges) - 1
    index = np.clip(np.searchsorted(edges, values, "right") - 1, 0, n_bins - 1)
    sums = np.bincount(index, weight, n_bins).astype(np.float64)
    squares = sums if weight is None else np.bincount(index, weight**2, n_bins)
    return Histogram(edges, sums, np.sqrt(squares))


def score_edges(scores: NDArray[Any], bins: ArrayLike) -> NDArray[np.float64]:
    """Edges for scores: [0, 1] for probabilities that use it, otherwise their finite range."""
    edges = check_edges(bins)
    if not isinstance(edges, int):
        return edges
    low, high = _finite_range(scores[np.isfinite(scores)])
    if low >= 0 and high <= 1 and high - low > 0.5:
        low, high = 0.0, 1.0
    return np.linspace(low, high, edges + 1)


def feature_edges(values: NDArray[Any], bins: ArrayLike) -> NDArray[np.float64]:
    """Edges for a feature: one bin an integer where there are few, otherwise the central 99%."""
    edges = check_edges(bins)
    if not isinstance(edges, int):
        return edges
    finite = values[np.isfinite(values)]
    integer = integer_edges(finite, edges)
    if integer is not None:
        return integer
    low, high = _finite_range(finite)
    if len(finite):
        low, high = _finite_range(np.quantile(finite, [0.005, 0.995]))
    return np.linspace(low, high, edges + 1)


def integer_edges(finite: NDArray[Any], n_bins: int) -> NDArray[np.float64] | None:
    """Edges of one bin an integer; None for other values, or if there are too many."""
    low, high = _finite_range(finite)
    if high - low < n_bins and np.all(finite == np.floor(finite)):
        return np.arange(np.floor(low) - 0.5, np.ceil(high) + 1)
    return None


def _finite_range(finite: NDArray[Any]) -> tuple[float, float]:
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, low + 0.5)
