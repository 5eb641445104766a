"""Columns that are mostly missing, left out."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.utils import Tags, check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from skhep_ml._validation import align_columns, check_event_weight
from skhep_ml.impute._masks import missing_sentinels, unmasked
from skhep_ml.impute._statistics import MissingSums

# shares of equal weights that differ by rounding count as equal
_SHARE_TOLERANCE = 1e-12


class DropMissingColumns(SelectorMixin, BaseEstimator):
    """Drop the columns whose values are missing in too large a part of the events.

    Parameters
    ----------
    max_fraction : float, default=0.5
        Largest share of the weight, in abs(w), that may be missing in a column that is kept.
    missing_values : float or sequence of float, default=(nan, -999.0)
        Values that stand for "missing", all at once. NaN, None, masked entries and the nulls of
        DataFrames always do.

    Attributes
    ----------
    missing_fraction_ : ndarray of shape (n_features,)
        Share of each column's weight, in abs(w), that is missing.
    support_ : ndarray of bool, shape (n_features,)
        Which columns are kept.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_features,)
        Column names, when fitted on a DataFrame.

    See Also
    --------
    MissingValueImputer : Fill what is missing.
    DropMissingRows : Leave out events with missing values.

    Notes
    -----
    Events of weight zero do not count. Values pass unchanged, sentinels and infinities too.

    Examples
    --------
    >>> import pandas as pd
    >>> from skhep_ml.impute import DropMissingColumns
    >>> events = pd.DataFrame({"met": [20.0, 50.0, 30.0], "jet2_pt": [-999.0, 30.0, -999.0]})
    >>> selector = DropMissingColumns(max_fraction=0.5).fit(events)
    >>> selector.get_feature_names_out().tolist(), selector.missing_fraction_.round(2).tolist()
    (['met'], [0.0, 0.67])
    """

    __metadata_request__fit: ClassVar = {"sample_weight": True}

    support_: NDArray[np.bool_]

    def __init__(
        self,
        max_fraction: float = 0.5,
        *,
        missing_values: float | Sequence[float] = (np.nan, -999.0),
    ) -> None:
        self.max_fraction = max_fraction
        self.missing_values = missing_values

    def fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Find the columns to keep.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights; abs(w) enters the shares.

        Returns
        -------
        self : object
            The fitted selector.

        Raises
        ------
        ValueError
            No column would be left, a wrong parameter, unusable weights.
        """
        limit = self.max_fraction
        if not isinstance(limit, Real) or not 0 <= float(limit) <= 1:
            msg = f"max_fraction={limit!r} must lie between 0 and 1"
            raise ValueError(msg)
        sentinels = missing_sentinels(self.missing_values)
        table = validate_data(
            self, unmasked(X), dtype=[np.float64, np.float32], ensure_all_finite=False
        )
        weight = check_event_weight(sample_weight, len(table))
        if weight is not None:
            weight = np.abs(weight)
        sums = MissingSums.from_table(table, weight, sentinels, None, finite=False)
        share = sums.missing_fraction
        support = share <= float(limit) + _SHARE_TOLERANCE
        if not support.any():
            msg = (
                f"every column is missing in more than max_fraction={limit:g} of the weight, the "
                f"best one in {share.min():.3g}: raise max_fraction"
            )
            raise ValueError(msg)
        self.missing_fraction_ = share
        self.support_ = support
        return self

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Leave out the columns that `fit` found.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features, in the columns of `fit`.

        Returns
        -------
        ndarray of shape (n_events, n_kept)
            The columns that are kept.

        Raises
        ------
        ValueError
            Other columns than in `fit`.
        """
        check_is_fitted(self)
        return super().transform(unmasked(align_columns(self, X)))

    def inverse_transform(self, X: ArrayLike) -> NDArray[Any]:
        """Put the columns back in their places; those left out are NaN.

        Parameters
        ----------
        X : array-like of shape (n_events, n_kept)
            The columns that are kept.

        Returns
        -------
        ndarray of shape (n_events, n_features)
            Features in the columns of `fit`.

        Raises
        ------
        ValueError
            Another number of columns than are kept.
        """
        check_is_fitted(self)
        kept = check_array(unmasked(X), dtype=[np.float64, np.float32], ensure_all_finite=False)
        if kept.shape[1] != self.support_.sum():
            msg = f"X has {kept.shape[1]} columns, but {self.support_.sum()} are kept"
            raise ValueError(msg)
        out = np.full((len(kept), len(self.support_)), np.nan, dtype=kept.dtype)
        out[:, self.support_] = kept
        return out

    def _get_support_mask(self) -> NDArray[np.bool_]:
        check_is_fitted(self)
        return self.support_

    def __sklearn_tags__(self) -> Tags:
        """Missing values are welcome."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
