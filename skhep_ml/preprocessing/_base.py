"""What the transformers of single features share: validation, clouds, chunks, blocks."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from skhep_ml._clouds import is_cloud, validate_floats
from skhep_ml._validation import check_event_weight
from skhep_ml.exceptions import EmptyColumnWarning
from skhep_ml.preprocessing._column_map import ColumnMap
from skhep_ml.preprocessing._statistics import (
    ColumnNames,
    ColumnStatistics,
    FloatArray,
    block_events,
    column_label,
    memory_order,
    refuse_infinity,
)

# blocks mapped at a time: more operations on each than in statistics, so each call costs less
_BLOCKS = 4

BlockFunction = Callable[[FloatArray, FloatArray], None]


class TableTransformer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Base whose `transform` obeys `set_output`."""

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Transform a table."""
        return self._transform(X)

    def _transform(self, X: ArrayLike) -> FloatArray:
        """Transform a table or a cloud."""
        raise NotImplementedError


# without automatic wrapping of its methods `transform` can return clouds as they are
class FeatureTransformer(TableTransformer, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Base of what treats each feature of a table or cloud on its own.

    `set_output` decides what becomes of tables; clouds stay arrays.
    """

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Transform a table or a cloud.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features) or (n_events, n_particles, n_features)
            Features, in the columns of `fit`; NaN stays NaN.

        Returns
        -------
        ndarray of the shape of X
            Transformed features; float32 stays float32.

        Raises
        ------
        ValueError
            Infinite values or other columns than in `fit`.
        """
        check_is_fitted(self)
        return self._transform(X) if is_cloud(X) else super().transform(X)

    def fit_transform(self, X: ArrayLike, y: Any = None, **fit_params: Any) -> NDArray[Any]:
        """Fit to a table or a cloud, then transform it.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features) or (n_events, n_particles, n_features)
            Features; NaN stays NaN.
        y : None
            Ignored.
        **fit_params : dict
            ``sample_weight`` for `fit`.

        Returns
        -------
        ndarray of the shape of X
            Transformed features.
        """
        if is_cloud(X):
            return self.fit(X, y, **fit_params).transform(X)
        return super().fit_transform(X, y, **fit_params)

    def _map_blocks(self, X: FloatArray, function: BlockFunction, inside: Any) -> FloatArray:
        """Call ``function(block, out)`` on blocks of rows; out is of the type ``inside``."""
        n_features = X.shape[-1]
        out = np.empty_like(X) if X.ndim == 2 else np.empty(X.shape, X.dtype)
        events = min(_BLOCKS * block_events(X), len(X))
        rows = events * (X.shape[1] if X.ndim == 3 else 1)
        buffer = None
        if inside != X.dtype:
            buffer = np.empty((rows, n_features), inside, memory_order(X))
        for start in range(0, len(X), events):
            # views of contiguous clouds; of others the block alone is copied
            block = X[start : start + events].reshape(-1, n_features)
            target = out[start : start + events].reshape(-1, n_features)
            refuse_infinity(block, self._names)
            if buffer is None:
                function(block, target)
            else:
                function(block, buffer[: len(block)])
                target[...] = buffer[: len(block)]
        return out

    def _warn_empty(self, empty: NDArray[np.bool_], stacklevel: int) -> None:
        columns = np.flatnonzero(empty)
        if len(columns):
            labels = ", ".join(column_label(self._names, index) for index in columns[:5])
            msg = (
                f"{len(columns)} of {self.n_features_in_} columns hold no value in events of "
                f"non-zero weight and are passed on as they are: {labels}"
            )
            warnings.warn(msg, EmptyColumnWarning, stacklevel=stacklevel + 1)

    @property
    def _names(self) -> ColumnNames:
        return getattr(self, "feature_names_in_", None)

    def __sklearn_tags__(self) -> Tags:
        """Missing values and clouds pass, and the floating-point type is kept."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


class ColumnScaler(FeatureTransformer):
    """Base of the scalers: a subclass turns statistics of the columns into a `ColumnMap`."""

    __metadata_request__fit: ClassVar = {"sample_weight": True}
    __metadata_request__partial_fit: ClassVar = {"sample_weight": True}

    _column_statistics: ColumnStatistics
    _column_map: ColumnMap

    def _check_parameters(self) -> None:
        """Raise a ValueError for parameters that make no sense."""

    def _needs(self) -> dict[str, Any]:
        """What the map needs beside the extremes: arguments of `ColumnStatistics.from_table`."""
        return {}

    def _solve(self, statistics: ColumnStatistics) -> ColumnMap:
        """Set the public fitted attributes and return the map."""
        raise NotImplementedError

    def fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Learn the scales from one table or cloud.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features) or (n_events, n_particles, n_features)
            Features; NaN stands for a missing value and is skipped, and so are absent particles.
            Statistics of a cloud run over all particles of all events.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights; abs(w) enters the statistics, so that events of weight zero do not
            count and the unit of the weights does not matter. Every particle has its event's.

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
        self._learn(X, sample_weight, check_event_weight, first=True)
        self._warn_empty(self._column_statistics.empty, stacklevel=2)
        return self

    def partial_fit(
        self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Learn from one more chunk; all chunks together give what `fit` gives on the whole.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features) or (n_events, n_particles, n_features)
            The next events.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_events,), default=None
            Their weights, in the same unit as those of the other chunks. All may be zero, as long
            as another chunk has others.

        Returns
        -------
        self : object
            The scaler, fitted on all chunks so far.

        Raises
        ------
        ValueError
            As in `fit`, or parameters that ask for other statistics than those of the chunks
            before; the scaler then keeps its state.

        Notes
        -----
        A column without a value so far is passed on as it is, and without the warning of `fit`:
        values may come with the next chunk.
        """
        first = not hasattr(self, "_column_statistics")
        self._learn(X, sample_weight, _chunk_weight, first=first)
        return self

    def _learn(
        self,
        X: ArrayLike,
        sample_weight: ArrayLike | None,
        check_weight: Callable[[Any, int], NDArray[np.float64] | None],
        *,
        first: bool,
    ) -> None:
        self._check_parameters()
        X = validate_floats(self, X, reset=first)
        weight = check_weight(sample_weight, len(X))
        statistics = ColumnStatistics.from_table(
            X, None if weight is None else np.abs(weight), self._names, **self._needs()
        )
        if not first:
            statistics = self._column_statistics.merge(statistics)
        self._column_map = self._solve(statistics)
        self._column_statistics = statistics
        self.n_samples_seen_ = statistics.n_rows

    def _transform(self, X: ArrayLike) -> FloatArray:
        X = validate_floats(self, X, reset=False)
        prepared = self._column_map.prepared(X.dtype)
        return self._map_blocks(X, prepared.forward, prepared.inside)

    def inverse_transform(self, X: ArrayLike) -> NDArray[Any]:
        """Undo `transform`, up to rounding (and clipping where it was asked for).

        Parameters
        ----------
        X : array-like of shape (n_events, n_features) or (n_events, n_particles, n_features)
            Scaled features.

        Returns
        -------
        ndarray of the shape of X
            Features in their own units.

        Raises
        ------
        ValueError
            Infinite values or a wrong number of columns.
        """
        check_is_fitted(self)
        X = validate_floats(self, X, reset=False)
        prepared = self._column_map.prepared(X.dtype)
        return self._map_blocks(X, prepared.backward, prepared.inside)


def _chunk_weight(sample_weight: Any, n_events: int) -> NDArray[np.float64] | None:
    """Check the weights of a chunk, of which all may be zero."""
    weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    if weight is None or weight.any():
        return check_event_weight(weight, n_events)
    # everything else about them is checked
    check_event_weight(np.ones_like(weight), n_events)
    return np.zeros(n_events)
