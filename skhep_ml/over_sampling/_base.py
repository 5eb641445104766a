"""Base of the samplers: every row has a parent, so labels, weights and identifiers follow it."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from imblearn.base import BaseSampler
from imblearn.utils import check_target_type
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, validate_data

from skhep_ml._clouds import is_cloud, validate_floats
from skhep_ml._frames import is_frame, refuse_repeated_columns, take_rows
from skhep_ml._masks import unmasked
from skhep_ml._validation import check_event_id, check_event_weight
from skhep_ml.preprocessing._statistics import refuse_infinity


class Resampling(NamedTuple):
    """What a sampler made of a sample.

    Attributes
    ----------
    X : array or DataFrame
        The output rows, in the type of the input.
    parents : ndarray of shape (n_output,)
        The input row that each output row comes from.
    weight : ndarray of shape (n_output,) or None
        Weights of the output rows, if the input had some.
    """

    X: Any
    parents: NDArray[np.intp]
    weight: NDArray[np.float64] | None


class WeightedSampler(BaseSampler):
    """Base of samplers that carry event weights and identifiers.

    A subclass writes `_fit_resample`. Everything that belongs to an event (label, identifier) is
    taken from the parent of each output row, in the type in which it was given.
    """

    # weights are asked for by name: imbalanced-learn's Pipeline cannot carry them
    __metadata_request__fit_resample: ClassVar = {"sample_weight": False, "groups": False}

    _sampling_type: ClassVar = "bypass"
    _parameter_constraints: ClassVar[dict[str, Any]] = {}
    # whether the labels must be classes, and whether NaN may pass
    _needs_classes: ClassVar[bool] = False
    _allow_nan: ClassVar[bool] = True

    def _fit_resample(
        self, X: Any, y: NDArray[Any], weight: NDArray[np.float64] | None
    ) -> Resampling:
        """Resample checked input: X an array (table or cloud) or DataFrame, y one-dimensional."""
        raise NotImplementedError

    def fit(self, X: Any, y: ArrayLike) -> Self:
        """Check the input; `fit_resample` does the work.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_events, n_features)
            Events.
        y : array-like of shape (n_events,)
            Targets.

        Returns
        -------
        self : object
            The sampler.
        """
        self._check(X, y, None, None)
        return self

    def fit_resample(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> tuple[Any, ...]:
        """Resample a data set.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_events, n_features)
            Events; clouds of shape (n_events, n_particles, n_features) where the sampler is about
            them.
        y : array-like of shape (n_events,)
            Targets.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers.

        Returns
        -------
        X_resampled : array-like or DataFrame
            The events, in the type of X.
        y_resampled : array-like
            The targets, in the type of y.
        sample_weight_resampled : ndarray of shape (n_output,)
            The weights; only if weights were given.
        groups_resampled : array-like
            The identifiers of the parents; only if identifiers were given.

        Raises
        ------
        ValueError
            Input of the wrong kind or length; the message says what to do.
        """
        table, labels, weight = self._check(X, y, sample_weight, groups)
        result = self._fit_resample(table, labels, weight)
        self.sample_indices_ = result.parents
        rows: list[Any] = [result.X.tolist() if isinstance(X, list) else result.X]
        rows.append(take_rows(_indexable(y), result.parents))
        if sample_weight is not None:
            rows.append(result.weight)
        if groups is not None:
            rows.append(take_rows(_indexable(groups), result.parents))
        return tuple(rows)

    def _check(
        self, X: Any, y: Any, sample_weight: Any, groups: Any
    ) -> tuple[Any, NDArray[Any], NDArray[np.float64] | None]:
        if y is None:
            msg = f"{type(self).__name__} requires y to be passed, but the target y is None"
            raise ValueError(msg)
        table = self._check_table(X)
        check_consistent_length(table, y)
        if self._needs_classes:
            check_classification_targets(y)
            labels = check_target_type(y)
        else:
            labels = np.asarray(y)
        weight = check_event_weight(sample_weight, len(table))
        if groups is not None:
            check_event_id(groups, len(table))
        return table, labels, weight

    def _check_table(self, X: Any) -> Any:
        return check_table(self, X, allow_nan=self._allow_nan)

    def __sklearn_tags__(self) -> Any:
        """Dense tables and DataFrames; the parent of each row is known."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        tags.input_tags.allow_nan = self._allow_nan
        tags.sampler_tags.sample_indices = True
        return tags


def check_table(estimator: Any, X: Any, *, allow_nan: bool) -> Any:
    """Check events and record their features; a cloud, a DataFrame or an array comes back."""
    if is_frame(X):
        refuse_repeated_columns(X)
        for number, what in zip(X.shape, ("sample", "feature"), strict=True):
            if number == 0:
                # the wording is scikit-learn's, as for arrays
                msg = (
                    f"Found array with 0 {what}(s) (shape={X.shape}) while a minimum of 1 is "
                    f"required by {type(estimator).__name__}."
                )
                raise ValueError(msg)
        validate_data(estimator, X, reset=True, skip_check_array=True)
        return X
    X = unmasked(X)
    if is_cloud(X):
        return validate_floats(estimator, X, reset=True)
    table = validate_data(estimator, X, reset=True, ensure_all_finite=not allow_nan)
    if table.dtype.kind == "f":
        refuse_infinity(table, None)
    return table


def _indexable(values: Any) -> Any:
    keeps_type = isinstance(values, list) or hasattr(values, "to_numpy")
    return values if keeps_type else np.asarray(values)
