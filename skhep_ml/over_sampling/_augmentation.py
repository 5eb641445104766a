"""Base of the augmentations: transformed copies that belong to their parents."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from skhep_ml._clouds import cloud_feature_names, is_cloud
from skhep_ml._frames import (
    column_positions,
    is_frame,
    numeric_columns,
    replace_columns,
    take_rows,
)
from skhep_ml.impute._masks import mask_missing, missing_sentinels
from skhep_ml.over_sampling._base import Resampling, WeightedSampler
from skhep_ml.preprocessing._statistics import FloatArray, refuse_infinity

BoolArray = NDArray[np.bool_]


class Augmenter(WeightedSampler):
    """Base of samplers that append transformed copies of every event.

    A subclass names its columns in `_columns` and transforms them in `_changed`. It has the
    parameters ``keep_original``, ``missing_values``, ``features`` and ``recompute``, and
    ``n_copies`` and ``random_state`` where copies differ.
    """

    def _columns(self, X: Any) -> list[int]:
        """Positions of the columns that change."""
        raise NotImplementedError

    def _changed(
        self, values: FloatArray, untouched: BoolArray, rng: np.random.Generator
    ) -> FloatArray:
        """Return the values of a copy; what it gives for ``untouched`` ones does not matter."""
        raise NotImplementedError

    def _untouched(self, missing: BoolArray) -> BoolArray:
        """Tell which values stay as they are; broadcast against ``missing``."""
        return missing

    def _check_parameters(self, X: Any) -> None:
        n_copies = getattr(self, "n_copies", 1)
        if not isinstance(n_copies, Integral) or isinstance(n_copies, bool) or n_copies < 1:
            msg = f"n_copies={n_copies!r} must be an integer of at least 1"
            raise ValueError(msg)
        if self.recompute is not None and not callable(self.recompute):
            msg = (
                f"recompute={self.recompute!r} must be a function of the copied events that "
                "returns them with derived columns recomputed, or None"
            )
            raise ValueError(msg)
        missing_sentinels(self.missing_values)
        self._columns(X)

    def _check_table(self, X: Any) -> Any:
        table = super()._check_table(X)
        self._check_parameters(table)
        return table

    def _positions(self, X: Any, columns: Sequence[Any], argument: str) -> list[int]:
        if isinstance(columns, (str, Integral)):
            msg = f"{argument}={columns!r} must be a list of columns: write [{columns!r}]"
            raise ValueError(msg)
        return column_positions(X, columns, names=self._names(X), argument=argument)

    def _names(self, X: Any) -> list[str] | None:
        if is_frame(X) or (self.features is None and not is_cloud(X)):
            return None
        return cloud_feature_names(self.features, X.shape[-1])

    def _values(self, X: Any, positions: list[int]) -> FloatArray:
        """Columns as floats; infinite ones are refused."""
        values = numeric_columns(X, positions)
        if values.dtype.kind != "f":
            values = values.astype(np.float64)
        names = self._names(X) or (list(X.columns) if is_frame(X) else range(X.shape[-1]))
        labels = np.array([str(names[position]) for position in positions])
        refuse_infinity(values.reshape(-1, len(positions)), labels)
        return values

    def _fit_resample(
        self, X: Any, y: NDArray[Any], weight: NDArray[np.float64] | None
    ) -> Resampling:
        n_shares = getattr(self, "n_copies", 1) + bool(self.keep_original)
        parents = np.tile(np.arange(len(X)), n_shares)
        copies = slice(len(X) if self.keep_original else 0, None)
        # without random_state nothing is random
        seed = check_random_state(getattr(self, "random_state", 0)).randint(2**31)
        out = self._transform(take_rows(X, parents), copies, np.random.default_rng(seed))
        if self.recompute is not None:
            out = self._recomputed(out, copies)
        return Resampling(out, parents, None if weight is None else weight[parents] / n_shares)

    def _transform(self, X: Any, copies: slice, rng: np.random.Generator) -> Any:
        """Transform the rows ``copies`` of X."""
        positions = self._columns(X)
        values = self._values(X[copies], positions)
        untouched = self._untouched(mask_missing(values, missing_sentinels(self.missing_values)))
        changed = np.where(untouched, values, self._changed(values, untouched, rng))
        if not is_frame(X) and X.dtype.kind == "f":
            # the rows are copies already: no further one of the whole table
            X[copies][..., positions] = changed
            return X
        return replace_columns(X, positions, changed, rows=copies)

    def _recomputed(self, X: Any, copies: slice) -> Any:
        events = take_rows(X, np.arange(len(X))[copies])
        n_events = len(events)
        result = self.recompute(events)
        if result is None or (is_frame(X) and not is_frame(result)):
            msg = (
                "recompute must return the events, with derived columns recomputed, in the type "
                f"in which it gets them; it returned {type(result).__name__}"
            )
            raise ValueError(msg)
        if not is_frame(X):
            result = np.asarray(result)
            if result.shape != (n_events, *X.shape[1:]):
                msg = (
                    f"recompute returned an array of shape {result.shape}: the copied events have "
                    f"shape {(n_events, *X.shape[1:])}"
                )
                raise ValueError(msg)
            return replace_columns(X, range(X.shape[-1]), result, rows=copies)
        columns = list(getattr(result, "columns", ()))
        if len(result) != n_events or columns != list(X.columns):
            msg = (
                f"recompute returned {len(result)} events with the columns {columns[:12]}: the "
                f"copied events are {n_events} with {list(X.columns)[:12]}, in this order"
            )
            raise ValueError(msg)
        for position, name in enumerate(columns):
            # one at a time: integers never pass through floats
            if np.asarray(result[name]).dtype.kind in "fiub":
                X = replace_columns(X, [position], numeric_columns(result, [position]), rows=copies)
        return X
