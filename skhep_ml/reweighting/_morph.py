"""Map one sample's distribution of a feature on another's by quantiles."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import OneToOneFeatureMixin, TransformerMixin
from sklearn.isotonic import isotonic_regression
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from skhep_ml._frames import column_positions, is_frame
from skhep_ml._validation import check_edges
from skhep_ml.preprocessing._statistics import weighted_quantile
from skhep_ml.reweighting._base import Samples, TwoSampleEstimator, as_columns
from skhep_ml.weights._base import effective_sample_size

# effective events for each quantile, below which there are fewer of them
_EVENTS_A_QUANTILE = 10


class _Position(NamedTuple):
    """Where events lie between the centres of the bins: ``low`` and the share of ``low + 1``."""

    low: NDArray[np.intp]
    share: NDArray[np.float64]

    def between(self, nodes: NDArray[np.float64], level: NDArray[np.intp]) -> NDArray[np.float64]:
        """Quantile of every event at one level each."""
        if len(nodes) == 1:
            return nodes[0, level]
        high = np.minimum(self.low + 1, len(nodes) - 1)
        return (1 - self.share) * nodes[self.low, level] + self.share * nodes[high, level]


class QuantileMorpher(OneToOneFeatureMixin, TransformerMixin, TwoSampleEstimator):
    r"""Transfer function that gives a feature of one sample the distribution of another.

    Where a reweighter changes the weights of events, a morpher moves their values: the usual
    correction of a simulated resolution, shower shape or classifier input, from a control sample.

    Parameters
    ----------
    features : str, int or sequence of them, default=None
        Columns to morph, each on its own; None takes all but ``condition``. Others pass unchanged.
    condition : str or int, default=None
        Column on which the transfer function depends, such as a transverse momentum.
    bins : int or array-like of shape (n_bins + 1,), default=10
        Bins of ``condition``: rising edges, or a number of bins that hold equal shares of both
        samples. Values outside belong to the outermost bins.
    interpolate : bool, default=True
        Whether quantiles change linearly with ``condition`` between the centres of the bins, and
        stay constant beyond the outermost; False takes those of the bin, for categories and counts.
    n_quantiles : int, default=100
        Quantiles of each feature and bin, besides those in the tails; fewer where there are not ten
        effective events for each.

    Attributes
    ----------
    features_ : list of int
        Positions of the morphed columns.
    original_quantiles_, target_quantiles_ : list of ndarray of shape (n_bins, n_levels)
        For each of them the quantiles of both samples, at the same levels; rising along the last
        axis.
    edges_ : ndarray of shape (n_bins + 1,)
        Edges of the bins of ``condition``; empty without.
    original_centers_, target_centers_ : ndarray of shape (n_bins,)
        Mean of ``condition`` in every bin, under abs(w).
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of str
        Their names, if fitted on a DataFrame; later DataFrames are read by these names.

    See Also
    --------
    GBReweighter : Changes weights, in many features at once.

    Notes
    -----
    :math:`T(x|c) = F_{target}^{-1}(F_{original}(x|c)\,|\,c)` at quantiles of levels
    :math:`(k + 1/2)/n`, and at half, a quarter, ... of the outermost level while ten effective
    events lie beyond; linear between them. It is a rising function, exact at the quantiles, whose
    inverse is :meth:`inverse_transform`. Beyond the outermost quantiles values move by as much as
    these do: the last events of the tail keep its shape. Quantiles, not transfer functions, are
    interpolated in ``condition``, each sample between its own centres, so a feature whose mean
    follows ``condition`` is treated right.

    Distribution functions lie in the middle of each value's weight. With negative weights they are
    not monotone, and are replaced by the nearest monotone ones (least squares under abs(w)), within
    0 and 1; with weights >= 0 nothing changes. A value that many events share moves to one
    value: a spike is not spread.

    Missing values (NaN) do not count and stay missing. Each feature is morphed on its own, which
    keeps its ranks, and so nearly keeps correlations. For those of the target, chain: morph one
    feature, then another with the first as ``condition``, fitted on the morphed sample.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.reweighting import QuantileMorpher
    >>> rng = np.random.default_rng(0)
    >>> simulation, data = rng.normal(size=(90000, 1)), rng.normal(1.0, 2.0, size=(90000, 1))
    >>> morpher = QuantileMorpher().fit(simulation, data)
    >>> morpher.transform([[-1.0], [0.0], [1.0]]).round(1).ravel()
    array([-1., 1., 3.])
    """

    _allow_nan = True

    edges_: NDArray[np.float64]
    original_centers_: NDArray[np.float64]
    target_centers_: NDArray[np.float64]

    def __init__(
        self,
        features: Any = None,
        *,
        condition: Any = None,
        bins: ArrayLike = 10,
        interpolate: bool = True,
        n_quantiles: int = 100,
    ) -> None:
        self.features = features
        self.condition = condition
        self.bins = bins
        self.interpolate = interpolate
        self.n_quantiles = n_quantiles

    def fit(
        self,
        original: Any,
        target: Any,
        original_weight: ArrayLike | None = None,
        target_weight: ArrayLike | None = None,
    ) -> Self:
        """Learn the transfer function from ``original`` to ``target``.

        Parameters
        ----------
        original : array-like of shape (n_original, n_features) or (n_original,)
            Sample whose values will be moved; NaN marks missing values.
        target : array-like of shape (n_target, n_features) or (n_target,)
            Sample to imitate. Columns of DataFrames are matched by name.
        original_weight : array-like of shape (n_original,), default=None
            Event weights, of any sign; None counts events.
        target_weight : array-like of shape (n_target,), default=None
            Event weights, of any sign; None counts events.

        Returns
        -------
        self : QuantileMorpher
            The fitted morpher.

        Raises
        ------
        ValueError
            Unknown or different columns, infinite values, ``condition`` missing in an event, or
            a feature without positive weight in a bin.
        """
        n_quantiles = self.n_quantiles
        if (
            not isinstance(n_quantiles, numbers.Integral)
            or isinstance(n_quantiles, bool)
            or n_quantiles < 1
        ):
            msg = f"n_quantiles must be an integer of at least 1, got {n_quantiles!r}"
            raise ValueError(msg)
        edges = check_edges(self.bins)
        samples = self._check_samples(original, target, original_weight, target_weight)
        self._find_columns()
        tables = (samples.original, samples.target)
        weights = (samples.w_original, samples.w_target)
        if self._condition is None:
            self.edges_ = np.empty(0)
            bins = [np.zeros(len(table), dtype=np.intp) for table in tables]
            self.original_centers_, self.target_centers_ = np.zeros(1), np.zeros(1)
        else:
            on = [self._condition_of(table) for table in tables]
            self.edges_ = _quantile_edges(on, weights, edges) if isinstance(edges, int) else edges
            bins = [np.searchsorted(self.edges_[1:-1], values, side="right") for values in on]
            self.original_centers_, self.target_centers_ = (
                _means(*parts, len(self.edges_) - 1)
                for parts in zip(on, bins, weights, strict=True)
            )
        self.original_quantiles_: list[NDArray[np.float64]] = []
        self.target_quantiles_: list[NDArray[np.float64]] = []
        for position in self.features_:
            nodes = self._quantiles(position, samples, bins)
            self.original_quantiles_.append(nodes[0])
            self.target_quantiles_.append(nodes[1])
        return self

    def _find_columns(self) -> None:
        names = getattr(self, "feature_names_in_", None)

        def positions(columns: list[Any], argument: str) -> list[int]:
            known = None if names is None else names.tolist()
            table = np.empty((0, self.n_features_in_))
            return column_positions(table, columns, names=known, argument=argument)

        self._condition = None
        if self.condition is not None:
            self._condition = positions([self.condition], "condition")[0]
        if self.features is None:
            self.features_ = [k for k in range(self.n_features_in_) if k != self._condition]
        else:
            given = self.features
            single = isinstance(given, (str, numbers.Integral))
            self.features_ = positions([given] if single else list(given), "features")
        if not self.features_:
            msg = "there is no feature to morph: name columns in features, other than condition"
            raise ValueError(msg)
        if self._condition in self.features_:
            msg = f"condition={self.condition!r} cannot be morphed itself: take it out of features"
            raise ValueError(msg)

    def _condition_of(self, table: NDArray[Any]) -> NDArray[Any]:
        values = table[:, self._condition]
        missing = np.isnan(values)
        if missing.any():
            msg = (
                f"condition {self.condition!r} is missing (NaN) in {missing.sum()} events, first "
                f"in event {int(np.argmax(missing))}: impute it, or leave these events out"
            )
            raise ValueError(msg)
        return values

    def _quantiles(
        self, position: int, samples: Samples, bins: Sequence[NDArray[np.intp]]
    ) -> NDArray[np.float64]:
        """Quantiles of one feature, shape (2, n_bins, n_levels)."""
        parts = []
        size = np.inf
        for name, table, weight, index in zip(
            ("original", "target"), samples[:2], samples[2:4], bins, strict=True
        ):
            present = (weight != 0) & ~np.isnan(table[:, position])
            values, w, at = table[present, position], weight[present], index[present]
            for k in range(len(self.original_centers_)):
                here = at == k
                if not w[here].sum() > 0:
                    raise ValueError(self._empty_message(name, position, k, w[here]))
                size = min(size, effective_sample_size(w[here]))
                parts.append(_distribution(values[here].astype(np.float64), w[here]))
        levels = _levels(size, self.n_quantiles)
        n_bins = len(self.original_centers_)
        nodes = np.empty((2, n_bins, len(levels)))
        for k in range(n_bins):
            pair = parts[k], parts[n_bins + k]
            # a level inside the weight of a sample's first or last value belongs to that value
            low = max(levels_of[0] for _, levels_of in pair)
            high = min(levels_of[-1] for _, levels_of in pair)
            common = np.clip(levels, low, high)
            for which, (values, levels_of) in enumerate(pair):
                nodes[which, k] = np.interp(common, levels_of, values)
        return nodes

    def _empty_message(self, name: str, position: int, k: int, weight: NDArray[np.float64]) -> str:
        column = getattr(self, "feature_names_in_", range(self.n_features_in_))[position]
        where = ""
        if self._condition is not None:
            where = (
                f" where {self.condition!r} is between {self.edges_[k]:.6g} and "
                f"{self.edges_[k + 1]:.6g}: use fewer or wider bins"
            )
        return (
            f"the weights of the {len(weight)} events of {name} that have {column!r} sum to "
            f"{weight.sum():.6g}{where}; a distribution needs a positive sum"
        )

    def transform(self, X: Any) -> NDArray[Any]:
        """Move events of the original sample to where the target has them.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features) or (n_events,)
            Events, in the columns of `fit`.

        Returns
        -------
        ndarray of shape (n_events, n_features)
            The same columns, some of them moved; float32 stays float32. `set_output` makes a
            DataFrame of them.

        Raises
        ------
        ValueError
            Other columns than in `fit`, infinite values, or ``condition`` missing in an event.
        """
        check_is_fitted(self)
        return self._move(self._table(X), "original", "target")

    def inverse_transform(self, X: Any) -> NDArray[Any]:
        """Move events back.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features) or (n_events,)
            Events as `transform` returns them.

        Returns
        -------
        ndarray of shape (n_events, n_features)
            The events before, to rounding; where many events of the original share a value, those
            of the target between two quantiles come from it.

        Raises
        ------
        ValueError
            Other columns than in `fit`, infinite values, or ``condition`` missing in an event.
        """
        check_is_fitted(self)
        if is_frame(X):
            return self._move(self._table(X), "target", "original")
        # `transform` returns arrays, for which lacking names is no fault
        table = self._floats(as_columns(X), "X")
        if table.shape[1] != self.n_features_in_:
            msg = f"X has {table.shape[1]} columns, but {self.n_features_in_} in fit"
            raise ValueError(msg)
        return self._move(table, "target", "original")

    def _move(self, table: NDArray[Any], *names: str) -> NDArray[Any]:
        nodes = [getattr(self, f"{name}_quantiles_") for name in names]
        positions = [self._position(table, getattr(self, f"{name}_centers_")) for name in names]
        out = table.copy()
        for feature, *pair in zip(self.features_, *nodes, strict=True):
            present = ~np.isnan(table[:, feature])
            at = [_Position(p.low[present], p.share[present]) for p in positions]
            values = table[present, feature].astype(np.float64)
            out[present, feature] = _transfer(values, pair, at)
        return out

    def _position(self, table: NDArray[Any], centers: NDArray[np.float64]) -> _Position:
        n_events = len(table)
        if self._condition is None:
            return _Position(np.zeros(n_events, dtype=np.intp), np.zeros(n_events))
        on = self._condition_of(table)
        if not self.interpolate:
            low = np.searchsorted(self.edges_[1:-1], on, side="right")
            return _Position(low, np.zeros(n_events))
        place = np.interp(on, centers, np.arange(len(centers)))
        low = np.floor(place).astype(np.intp)
        return _Position(low, place - low)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _levels(size: float, n_quantiles: int) -> NDArray[np.float64]:
    """Rising levels of the quantiles for an effective number of events."""
    n_levels = int(np.clip(size // _EVENTS_A_QUANTILE, 1, n_quantiles))
    n_tail = int(np.log2(max(0.5 * size / n_levels / _EVENTS_A_QUANTILE, 1)))
    tail = 0.5 / n_levels * 0.5 ** np.arange(n_tail, 0, -1)
    return np.concatenate([tail, (np.arange(n_levels) + 0.5) / n_levels, 1 - tail[::-1]])


def _quantile_edges(
    values: Sequence[NDArray[Any]], weights: Sequence[NDArray[np.float64]], n_bins: int
) -> NDArray[np.float64]:
    """Edges of equal shares of both samples together, each of them counted the same."""
    size = np.concatenate([np.abs(weight) / np.abs(weight).sum() for weight in weights])
    both = np.concatenate(values)
    inner = weighted_quantile(both, size, np.arange(1, n_bins) / n_bins)
    low, high = float(both.min()), float(both.max())
    # equal values share a bin
    inner = np.unique(inner[(inner > low) & (inner <= high)])
    return np.concatenate([[low], inner, [high]])


def _means(
    values: NDArray[Any], bins: NDArray[np.intp], weight: NDArray[np.float64], n_bins: int
) -> NDArray[np.float64]:
    """Mean in every bin under abs(w); NaN in an empty one."""
    size = np.abs(weight)
    with np.errstate(invalid="ignore"):
        return np.bincount(bins, size * values, n_bins) / np.bincount(bins, size, n_bins)


def _distribution(
    values: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distinct values and the level of each, in the middle of its weight; both rise."""
    order = np.argsort(values)
    values, weight = values[order], weight[order]
    last = np.append(np.flatnonzero(values[1:] != values[:-1]), len(values) - 1)
    values = values[last]
    cumulative = np.cumsum(weight)[last]
    cumulative /= cumulative[-1]
    if weight.min() < 0:
        size = np.diff(np.cumsum(np.abs(weight))[last], prepend=0.0)
        cumulative = isotonic_regression(cumulative, sample_weight=size, y_min=0.0, y_max=1.0)
        cumulative[-1] = 1.0
    step = np.diff(cumulative, prepend=0.0)
    rising = step > 0
    return values[rising], (cumulative - step / 2)[rising]


def _transfer(
    x: NDArray[np.float64],
    nodes: Sequence[NDArray[np.float64]],
    at: Sequence[_Position],
) -> NDArray[np.float64]:
    """Piecewise linear function through pairs of quantiles, of slope 1 outside."""
    n_levels = nodes[0].shape[1]
    low = np.zeros(len(x), dtype=np.intp)
    high = np.full(len(x), n_levels - 1)
    # bisection, for every event between the quantiles of its own condition
    for _ in range(n_levels.bit_length()):
        middle = (low + high) // 2
        reached = at[0].between(nodes[0], middle) <= x
        low = np.where(reached, middle, low)
        high = np.where(reached, high, middle)
    high = np.minimum(low + 1, n_levels - 1)
    x0, x1 = (at[0].between(nodes[0], level) for level in (low, high))
    y0, y1 = (at[1].between(nodes[1], level) for level in (low, high))
    inside = (x > x0) & (x < x1)
    slope = np.ones(len(x))
    np.divide(y1 - y0, x1 - x0, out=slope, where=inside)
    above = x >= x1
    return np.where(above, y1 + (x - x1), y0 + slope * (x - x0))
