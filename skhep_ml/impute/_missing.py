"""Replacement of missing values by weighted statistics of their column, or by interpolation."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from skhep_ml._clouds import is_cloud
from skhep_ml._validation import align_columns, check_event_weight
from skhep_ml.exceptions import EmptyColumnWarning
from skhep_ml.impute._base import ImputerBase
from skhep_ml.impute._interpolate import (
    Curve,
    between_samples,
    resolve_axis,
    times_as_numbers,
    training_curves,
)
from skhep_ml.impute._masks import (
    BoolArray,
    mask_missing,
    missing_sentinels,
    present_rows,
    refuse_present_infinity,
    replaced,
    validate_missing,
)
from skhep_ml.impute._statistics import (
    MissingSums,
    column_statistics,
    weighted_median,
    weighted_mode,
)
from skhep_ml.preprocessing._statistics import (
    FloatArray,
    block_rows,
    column_label,
    memory_order,
)

STRATEGIES = ("median", "mean", "most_frequent", "constant", "interpolate")


class MissingValueImputer(ImputerBase):
    r"""Replace missing values by a weighted statistic of their column, or by interpolation.

    Parameters
    ----------
    strategy : {"median", "mean", "most_frequent", "constant", "interpolate"}, default="median"
        What replaces a missing value: a statistic of the column, weighted by abs(w),
        ``fill_value``, or a value between its neighbours along ``axis``.
    missing_values : float or sequence of float, default=(nan, -999.0)
        Values that stand for "missing", all at once. NaN, None, masked entries and the nulls of
        DataFrames always do.
    fill_value : float, default=None
        The replacement for ``strategy="constant"``, and for columns without any value;
        None stands for 0.
    add_indicator : bool, default=False
        Whether to append, for each feature with missing values in training, a column
        ``missingindicator_<feature>`` that is 1 where the value was missing and 0 elsewhere.
    axis : str, int or sequence of them, default=None
        Along what ``strategy="interpolate"`` interpolates; the other strategies ignore it.

        One column, by name or index (``axis="time"``), orders the *events*: a missing value lies
        between the training values at the neighbouring times. Several columns
        (``axis=["s0", "s1", "s2"]``) are the samples of a waveform in their order, equally
        spaced: a missing sample lies between its neighbours in the same event. Clouds take None:
        they are interpolated along their second axis, event by event.

    Attributes
    ----------
    statistics_ : ndarray of shape (n_features,)
        The replacement for each feature; the median for ``strategy="interpolate"``, which
        replaces what cannot be interpolated.
    missing_fraction_ : ndarray of shape (n_features,)
        Share of each feature's weight, in abs(w), that is missing.
    indicator_features_ : ndarray of shape (n_indicators,)
        Indices of the features that have an indicator column; empty without ``add_indicator``.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Column names, when fitted on a DataFrame.

    See Also
    --------
    missing_report : What is missing, and what is missing together.
    DropMissingColumns : Leave out columns that are mostly missing.
    DropMissingRows : Leave out events with missing values.

    Notes
    -----
    Events of weight zero do not count. The weighted median is the median of the values repeated
    in proportion to abs(w): for integer weights it equals the plain median of repeated events.
    Of equally frequent values, "most_frequent" takes the smallest.

    A sentinel is compared in the type of the table: -999.9 in a float32 table is the float32
    nearest to it. float32 tables stay float32, integers become float64.

    *Clouds*, of shape (n_events, n_particles, n_features): the statistics go over all particles
    that are present. A particle is absent when all its features are missing, in whatever way; it
    is NaN in the result, its indicators too, so that a network masks it. When interpolating,
    steps that are missing between others are filled, and only those after an event's last one
    are absent.

    *Interpolation between events* at the position t uses, for each feature, the mean :math:`m_k`
    of the training values at position :math:`t_k`, weighted by abs(w), over the :math:`t_k`
    at which the feature is present:

    .. math:: m(t) = m_k + (m_{k+1} - m_k) \frac{t - t_k}{t_{k+1} - t_k},
              \qquad t_k \le t \le t_{k+1}

    and the value at the nearer end outside. It depends on the training events alone, so that an
    event is filled in the same way whatever the others beside it are. The fitted imputer keeps
    these curves, at most about two numbers for each value of the training table. Where the
    position itself is missing, the median is taken. Times (datetime64) in that column of a
    DataFrame become nanoseconds since 1970, in UTC, and come out as such; float64 rounds them to
    256 ns.

    *Interpolation between samples* follows the same formula with the sample's number for t and
    the event's own samples for :math:`m_k`; only an event without any sample, and columns that
    are not samples, take the median. Give times of 2^24 or more in float64: a table is
    compared in its own type.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.impute import MissingValueImputer
    >>> jets = np.array([[80.0, -999.0], [40.0, 30.0], [np.nan, 20.0], [60.0, 50.0]])
    >>> imputer = MissingValueImputer(add_indicator=True)
    >>> imputer.fit_transform(jets)
    array([[80., 30.,  0.,  1.],
           [40., 30.,  0.,  0.],
           [60., 20.,  1.,  0.],
           [60., 50.,  0.,  0.]])
    >>> imputer.get_feature_names_out(["jet1_pt", "jet2_pt"]).tolist()
    ['jet1_pt', 'jet2_pt', 'missingindicator_jet1_pt', 'missingindicator_jet2_pt']

    A temperature that was not read out, from the readings before and after:

    >>> import pandas as pd
    >>> slow = pd.DataFrame({"time": [0.0, 30.0, 10.0], "temperature": [20.0, 26.0, np.nan]})
    >>> imputer = MissingValueImputer("interpolate", axis="time").set_output(transform="pandas")
    >>> imputer.fit_transform(slow)
       time  temperature
    0   0.0         20.0
    1  30.0         26.0
    2  10.0         22.0

    A missing sample of a pulse, from the samples beside it:

    >>> pulses = np.array([[0.0, 4.0, -999.0, 2.0], [0.0, -999.0, -999.0, 3.0]])
    >>> MissingValueImputer("interpolate", axis=range(4)).fit_transform(pulses)
    array([[0., 4., 3., 2.],
           [0., 1., 2., 3.]])
    """

    __metadata_request__fit: ClassVar = {"sample_weight": True}

    def __init__(
        self,
        strategy: str = "median",
        *,
        missing_values: float | Sequence[float] = (np.nan, -999.0),
        fill_value: float | None = None,
        add_indicator: bool = False,
        axis: str | int | Sequence[str] | Sequence[int] | None = None,
    ) -> None:
        self.strategy = strategy
        self.missing_values = missing_values
        self.fill_value = fill_value
        self.add_indicator = add_indicator
        self.axis = axis

    def fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Learn the replacement of each feature.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features) or (n_events, n_particles, n_features)
            Features.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights; abs(w) enters the statistics.

        Returns
        -------
        self : object
            The fitted imputer.

        Raises
        ------
        ValueError
            Infinite values (the column is named), a wrong parameter, an axis that names no
            column or is missing in every event, unusable weights.

        Warns
        -----
        EmptyColumnWarning
            A column has no value at all: it is kept, and filled with ``fill_value`` or 0.
        """
        self._check_parameters()
        sentinels = missing_sentinels(self.missing_values)
        if self.strategy == "interpolate":
            X = times_as_numbers(X, self.axis)
        table = validate_missing(self, X, reset=True)
        weight = check_event_weight(sample_weight, len(table))
        if weight is not None:
            weight = np.abs(weight)
        order, samples = self._resolve_axis(table)
        flat = table.reshape(-1, table.shape[-1])
        weight = self._present_weight(table, weight)
        mean = self.strategy == "mean"
        sums = MissingSums.from_table(flat, weight, sentinels, self._names, mean=mean)
        fill = 0.0 if self.fill_value is None else float(self.fill_value)
        self.statistics_ = self._statistics(flat, weight, sums, fill)
        self.missing_fraction_ = sums.missing_fraction
        has_missing = (sums.n_missing > 0) & bool(self.add_indicator)
        self.indicator_features_ = np.flatnonzero(has_missing)
        self._samples = samples
        self._curves: list[Curve | None] = []
        self._order = order
        if order is not None:
            self._curves = training_curves(flat, order, weight, sentinels)
        # a sample that was never read out is interpolated all the same
        empty = np.setdiff1d(sums.empty, samples)
        if len(empty):
            labels = ", ".join(column_label(self._names, index) for index in empty[:5])
            msg = (
                f"{len(empty)} of {self.n_features_in_} columns hold no value in events of "
                f"non-zero weight and are filled with {fill:g}: {labels}"
            )
            warnings.warn(msg, EmptyColumnWarning, stacklevel=2)
        return self

    def _transform(self, X: ArrayLike) -> FloatArray:
        X = align_columns(self, X)
        if self.strategy == "interpolate":
            X = times_as_numbers(X, self.axis)
        table = validate_missing(self, X, reset=False)
        if self.strategy == "interpolate" and is_cloud(table) != (self.axis is None):
            kind, other = ("cloud", "table") if is_cloud(table) else ("table", "cloud")
            msg = f"X is a {kind}, but the imputer was fitted to interpolate a {other}"
            raise ValueError(msg)
        sentinels = missing_sentinels(self.missing_values)
        present = self._present(table)
        flat = table.reshape(-1, table.shape[-1])
        n_features, n_indicators = flat.shape[1], len(self.indicator_features_)
        out = np.empty(
            (len(flat), n_features + n_indicators), dtype=flat.dtype, order=memory_order(flat)
        )
        rows = max(1, min(block_rows(n_features), len(flat)))
        fill = np.empty((rows, n_features), flat.dtype, memory_order(flat))
        fill[...] = self.statistics_
        for start in range(0, len(flat), rows):
            block = flat[start : start + rows]
            part = out[start : start + rows]
            missing = mask_missing(block, sentinels)
            refuse_present_infinity(block, missing, self._names)
            replaced(block, missing, fill[: len(block)], out=part[:, :n_features])
            if n_indicators:
                part[:, n_features:] = missing[:, self.indicator_features_]
            if present is not None:
                part[~present[start : start + rows]] = np.nan
        if self._order is not None:
            self._between_events(flat, out)
        elif self.strategy == "interpolate":
            self._between_samples(table, out)
        return out.reshape(*table.shape[:-1], out.shape[1])

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray[Any]:
        """Names of the output columns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the input columns; None takes those of `fit`, or x0, x1, ...

        Returns
        -------
        ndarray of str
            The input names, then ``missingindicator_<name>`` for each indicator.
        """
        check_is_fitted(self)
        names = super().get_feature_names_out(input_features)
        flags = [f"missingindicator_{names[index]}" for index in self.indicator_features_]
        return np.concatenate([names, np.array(flags, dtype=object)])

    def _check_parameters(self) -> None:
        if self.strategy not in STRATEGIES:
            msg = f"strategy={self.strategy!r} must be one of {STRATEGIES}"
            raise ValueError(msg)
        fill = self.fill_value
        if fill is not None and (not isinstance(fill, Real) or not np.isfinite(float(fill))):
            msg = f"fill_value={fill!r} must be None or a finite number"
            raise ValueError(msg)

    def _resolve_axis(self, table: FloatArray) -> tuple[int | None, NDArray[np.intp]]:
        """Index of the column that orders the events, or those of the samples."""
        if self.strategy != "interpolate":
            return None, np.empty(0, dtype=np.intp)
        if is_cloud(table):
            if self.axis is not None:
                msg = (
                    f"axis={self.axis!r}: clouds are interpolated along their second axis; leave "
                    "axis=None"
                )
                raise ValueError(msg)
            return None, np.empty(0, dtype=np.intp)
        return resolve_axis(self.axis, table, self._names)

    def _present(self, table: FloatArray) -> BoolArray | None:
        """Tell which particles of a flattened cloud are present; None for a table."""
        if not is_cloud(table):
            return None
        flat = table.reshape(-1, table.shape[-1])
        present = present_rows(flat, missing_sentinels(self.missing_values))
        if self.strategy == "interpolate":
            # a step is missing, not absent, while any later one is there
            steps = present.reshape(table.shape[:2])
            present = np.logical_or.accumulate(steps[:, ::-1], axis=1)[:, ::-1].ravel()
        return present

    def _present_weight(
        self, table: FloatArray, weight: NDArray[np.float64] | None
    ) -> NDArray[np.float64] | None:
        """Weights of the rows of the flattened table: absent particles weigh nothing."""
        present = self._present(table)
        if present is None or (weight is None and present.all()):
            return weight
        particle_weight = 1.0 if weight is None else np.repeat(weight, table.shape[1])
        return np.where(present, particle_weight, 0.0)

    def _statistics(
        self,
        flat: FloatArray,
        weight: NDArray[np.float64] | None,
        sums: MissingSums,
        fill: float,
    ) -> NDArray[np.float64]:
        if self.strategy == "constant":
            return np.full(flat.shape[1], fill)
        if self.strategy == "mean":
            found = np.divide(
                sums.values, sums.present, out=np.zeros_like(sums.values), where=sums.present > 0
            )
        else:
            find = weighted_mode if self.strategy == "most_frequent" else weighted_median
            sentinels = missing_sentinels(self.missing_values)
            found = column_statistics(find, flat, weight, sentinels)
        found[sums.empty] = fill
        return found

    def _between_events(self, table: FloatArray, out: FloatArray) -> None:
        """Overwrite what is missing with the training curves at the positions of the events."""
        sentinels = missing_sentinels(self.missing_values)
        position = table[:, self._order]
        placed = ~mask_missing(position, sentinels)
        for index, curve in enumerate(self._curves):
            if curve is not None:
                rows = np.flatnonzero(mask_missing(table[:, index], sentinels) & placed)
                if len(rows):
                    out[rows, index] = curve(position[rows])

    def _between_samples(self, table: FloatArray, out: FloatArray) -> None:
        """Overwrite what is missing with values between the samples of the same event."""
        sentinels = missing_sentinels(self.missing_values)
        cloud = table if is_cloud(table) else table[:, self._samples, None]
        n_steps, n_features = cloud.shape[1:]
        rows = block_rows(n_steps * n_features)
        for start in range(0, len(cloud), rows):
            block = cloud[start : start + rows]
            traces = block.transpose(0, 2, 1).reshape(-1, n_steps)
            trace, step, value = between_samples(traces, mask_missing(traces, sentinels))
            event, feature = np.divmod(trace, n_features)
            event += start
            if is_cloud(table):
                row = event * n_steps + step
                filled = ~np.isnan(out[row, feature])
                out[row[filled], feature[filled]] = value[filled]
            else:
                out[event, self._samples[step]] = value
