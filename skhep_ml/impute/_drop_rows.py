"""Events with missing values, left out together with their labels and weights."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array

from skhep_ml._clouds import is_cloud
from skhep_ml._frames import column_positions, is_frame, take_rows
from skhep_ml.impute._masks import mask_missing, missing_sentinels, unmasked
from skhep_ml.over_sampling._base import Resampling, WeightedSampler
from skhep_ml.preprocessing._statistics import block_rows


class DropMissingRows(WeightedSampler):
    """Drop the events in which too many values are missing.

    Labels, weights and identifiers of these events go with them, which a transformer cannot do.

    Parameters
    ----------
    max_missing : int, default=0
        Number of values that may be missing in an event that is kept.
    columns : str, int or sequence of them, default=None
        Columns in which missing values count, by name or position; None stands for all.
    missing_values : float or sequence of float, default=(nan, -999.0)
        Values that stand for "missing", all at once. NaN, None, masked entries and the nulls of
        DataFrames always do.

    Attributes
    ----------
    sample_indices_ : ndarray of shape (n_kept,)
        Rows that are kept, in rising order.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_features,)
        Column names, when X is a DataFrame.

    See Also
    --------
    MissingValueImputer : Fill what is missing.
    DropMissingColumns : Leave out columns that are mostly missing.

    Notes
    -----
    The sum of the weights falls by that of the dropped events: an analysis that quotes yields
    has to treat this as a selection. As every sampler it acts when a Pipeline is fitted, not when
    it predicts.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.impute import DropMissingRows
    >>> X = np.array([[20.0, -999.0], [50.0, 30.0], [30.0, np.nan], [40.0, 60.0]])
    >>> sampler = DropMissingRows()
    >>> sampler.fit_resample(X, [0, 1, 0, 1], sample_weight=[1.0, -0.5, 1.0, 2.0])
    (array([[50., 30.],
           [40., 60.]]), [1, 1], array([-0.5,  2. ]))
    >>> sampler.sample_indices_
    array([1, 3])
    """

    def __init__(
        self,
        max_missing: int = 0,
        *,
        columns: str | int | Sequence[str] | Sequence[int] | None = None,
        missing_values: float | Sequence[float] = (np.nan, -999.0),
    ) -> None:
        self.max_missing = max_missing
        self.columns = columns
        self.missing_values = missing_values

    def _check_table(self, X: Any) -> Any:
        limit = self.max_missing
        if isinstance(limit, bool) or not isinstance(limit, Integral) or int(limit) < 0:
            msg = f"max_missing={limit!r} must be a number of values, 0 or more"
            raise ValueError(msg)
        if is_cloud(X):
            msg = "DropMissingRows takes tables: in a cloud, NaN stands for an absent particle"
            raise ValueError(msg)
        return super()._check_table(X)

    def _fit_resample(
        self, X: Any, y: NDArray[Any], weight: NDArray[np.float64] | None
    ) -> Resampling:
        rows = np.flatnonzero(self._n_missing(X) <= self.max_missing)
        if not len(rows):
            msg = (
                f"each of the {len(X)} events has more than max_missing={self.max_missing} missing "
                "values: raise it, choose columns=, or drop the worst ones by DropMissingColumns"
            )
            raise ValueError(msg)
        return Resampling(take_rows(X, rows), rows, None if weight is None else weight[rows])

    def _n_missing(self, X: Any) -> NDArray[np.intp]:
        """Count the missing values of each event."""
        sentinels = missing_sentinels(self.missing_values)
        table = X
        if self.columns is not None:
            columns: Any = self.columns
            if isinstance(columns, (str, Integral)):
                columns = [columns]
            positions = column_positions(X, columns)
            table = X[[X.columns[k] for k in positions]] if is_frame(X) else X[:, positions]
        table = check_array(
            unmasked(table), dtype=[np.float64, np.float32], ensure_all_finite=False
        )
        count = np.empty(len(table), dtype=np.intp)
        rows = block_rows(table.shape[1])
        for start in range(0, len(table), rows):
            missing = mask_missing(table[start : start + rows], sentinels)
            count[start : start + rows] = np.count_nonzero(missing, axis=1)
        return count
