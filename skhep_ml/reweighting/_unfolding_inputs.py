"""Checks of what an unfolding takes: matched truth and reconstruction, data, weights, masks."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from skhep_ml._frames import is_frame
from skhep_ml._masks import unmasked
from skhep_ml._validation import check_event_weight
from skhep_ml.metrics._bootstrap import poisson_counts
from skhep_ml.reweighting._base import (
    TARGET_OUTSIDE,
    SampleEstimator,
    as_columns,
    hashed_identifiers,
    warn_of_outside,
    warn_of_positions,
)

# bins of each feature in which weights may not sum to so many standard deviations below zero
N_BINS, _DEEPEST = 20, 5.0


class Inputs(NamedTuple):
    """Checked events of an unfolding.

    Attributes
    ----------
    truth, reco : ndarray of shape (n_sim, ...)
        Features of the simulated events, 0 where an event does not pass.
    data : ndarray of shape (n_data, ...)
        Reconstructed features of the data.
    w_sim, w_data : ndarray of shape (n_sim,), (n_data,)
        Weights as they were given, ones for None.
    pass_truth, pass_reco : ndarray of shape (n_sim,)
        Whether a simulated event has a truth and a reconstruction inside the selections.
    event_sim, event_data : ndarray of shape (n_sim,), (n_data,)
        Hashed identifiers.
    """

    truth: NDArray[Any]
    reco: NDArray[Any]
    data: NDArray[Any]
    w_sim: NDArray[np.float64]
    w_data: NDArray[np.float64]
    pass_truth: NDArray[np.bool_]
    pass_reco: NDArray[np.bool_]
    event_sim: NDArray[np.uint64]
    event_data: NDArray[np.uint64]

    @property
    def both(self) -> NDArray[np.bool_]:
        """Events that the response is learned from."""
        return self.pass_truth & self.pass_reco

    @property
    def fakes(self) -> NDArray[np.bool_]:
        """Reconstructed events without a truth."""
        return self.pass_reco & ~self.pass_truth


class UnfoldingEstimator(SampleEstimator):
    """Checks of simulation and data; remembers the columns of both levels."""

    _missing_remedy = (
        "impute them, take a classifier that knows missing values, or exclude the events from the "
        "selection (pass_truth, pass_reco)"
    )

    def _check_inputs(
        self,
        tables: tuple[Any, Any, Any],
        weights: tuple[ArrayLike | None, ArrayLike | None],
        masks: tuple[ArrayLike | None, ArrayLike | None],
        groups: tuple[Any, Any],
        allow_nan: tuple[bool, bool],
    ) -> Inputs:
        """Check everything that `fit` was given before any work."""
        names = ("truth_sim", "reco_sim", "reco_data")
        truth, reco, data = (unmasked(as_columns(table)) for table in tables)
        for name, table in zip(names, (truth, reco, data), strict=True):
            if not len(table):
                msg = f"{name} is empty: events are needed in simulation and data"
                raise ValueError(msg)
        if len(truth) != len(reco):
            msg = (
                f"truth_sim has {len(truth)} events and reco_sim {len(reco)}: row i of both is the "
                "same simulated event; rows that do not pass a selection may hold NaN, with "
                "pass_truth and pass_reco saying so"
            )
            raise ValueError(msg)
        passes = [
            _mask(mask, len(truth), name)
            for mask, name in zip(masks, ("pass_truth", "pass_reco"), strict=True)
        ]
        if not (passes[0] & passes[1]).any():
            msg = (
                "no simulated event passes both pass_truth and pass_reco: there is nothing to "
                "learn the response from"
            )
            raise ValueError(msg)
        if is_frame(reco) and is_frame(data):
            data = self._target_in_order(reco, data, names[1:])
        warn_of_positions(reco, data, names[1:])
        self._remember(truth, reco)
        arrays = [
            self._features(truth, names[0], passes[0], allow_nan[0]),
            self._features(reco, names[1], passes[1], allow_nan[1]),
            self._features(data, names[2], np.ones(len(data), dtype=bool), allow_nan[1]),
        ]
        if arrays[1].shape[1:] != arrays[2].shape[1:]:
            msg = (
                f"an event of reco_sim has shape {arrays[1].shape[1:]} and one of reco_data "
                f"{arrays[2].shape[1:]}: both need the same features"
            )
            raise ValueError(msg)
        w_sim = _weight(weights[0], passes[0] & passes[1], "sim_weight")
        w_data = _weight(weights[1], np.ones(len(data), dtype=bool), "data_weight")
        content = np.concatenate([table.reshape(len(table), -1) for table in arrays[:2]], axis=1)
        inputs = Inputs(
            arrays[0],
            arrays[1],
            arrays[2],
            w_sim,
            w_data,
            passes[0],
            passes[1],
            hashed_identifiers(groups[0], content, "sim_groups"),
            hashed_identifiers(groups[1], arrays[2].reshape(len(data), -1), "data_groups"),
        )
        self._check_regions(inputs)
        return inputs

    def _remember(self, truth: Any, reco: Any) -> None:
        validate_data(self, truth, skip_check_array=True, reset=True)
        self.n_features_in_ = truth.shape[-1]
        # a name of no estimator's, as scikit-learn knows one table only
        self.reco_feature_names_ = (
            np.asarray(reco.columns, dtype=object) if is_frame(reco) else None
        )

    def _features(
        self, X: Any, name: str, passing: NDArray[np.bool_], allow_nan: bool
    ) -> NDArray[Any]:
        """Features of events that pass, 0 for the others; clouds keep their absent particles."""
        columns = list(X.columns) if is_frame(X) else None
        table = check_array(
            # scikit-learn does not see that a polars table is in single precision
            X.to_numpy() if hasattr(X, "get_columns") else X,
            dtype=[np.float64, np.float32],
            ensure_all_finite=False,
            allow_nd=True,
            estimator=self,
            input_name=name,
        )
        if not passing.all():
            table = np.where(passing.reshape(-1, *[1] * (table.ndim - 1)), table, 0)
        flat = table.reshape(len(table), -1)
        absent = np.isnan(flat[:, 0])
        absent[absent] = np.isnan(flat[absent]).all(axis=1)
        if absent.any():
            remedies = {
                "truth_sim": "pass_truth= says which events pass",
                "reco_sim": "pass_reco= says which events pass",
                "reco_data": "remove them",
                "truth": "give the events inside the truth selection only",
            }
            msg = (
                f"{name} is NaN in all features of {absent.sum()} events, first in event "
                f"{int(np.argmax(absent))}; {remedies[name]}"
            )
            raise ValueError(msg)
        self._check_finite(table, columns, name, allow_nan=allow_nan or table.ndim > 2)
        return table

    def _check_regions(self, inputs: Inputs) -> None:
        """Refuse regions of negative weights, and warn of data where there is no simulation."""
        truth_names = getattr(self, "feature_names_in_", None)
        reco_names = self.reco_feature_names_
        seen, both = inputs.pass_reco, inputs.both
        for name, table, weight, columns in (
            ("data_weight", inputs.data, inputs.w_data, reco_names),
            ("sim_weight", inputs.reco[seen], inputs.w_sim[seen], reco_names),
            ("sim_weight", inputs.truth[both], inputs.w_sim[both], truth_names),
        ):
            if table.ndim == 2 and weight.min() < 0:
                _refuse_negative_region(name, table, weight, columns)
        if inputs.data.ndim == 2:
            warn_of_outside(
                (inputs.data[inputs.w_data != 0], "reco_data", TARGET_OUTSIDE),
                (inputs.reco[seen & (inputs.w_sim != 0)], "reco_sim"),
                "no weight makes up for events that simulation does not have",
                (np.arange(inputs.data.shape[1]) if reco_names is None else reco_names).tolist(),
                stacklevel=5,
            )


def feature_bins(table: NDArray[Any]) -> list[NDArray[np.float64]]:
    """Inner edges that cut every feature of a table in bins of about equal counts."""
    edges = []
    for column in table.T:
        known = column[~np.isnan(column)]
        quantiles = np.linspace(0, 1, N_BINS + 1)[1:-1]
        edges.append(np.unique(np.quantile(known, quantiles)) if len(known) else np.empty(0))
    return edges


def binned(
    column: NDArray[Any], edges: NDArray[np.float64], *weights: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    """Sums of weights in the bins of one feature; missing values fall in the last one."""
    place = np.searchsorted(edges, column, side="right")
    return [
        np.bincount(place, weight, len(edges) + 1).astype(np.float64, copy=False)
        for weight in weights
    ]


def _refuse_negative_region(
    name: str, table: NDArray[Any], weight: NDArray[np.float64], columns: Any
) -> None:
    for k, (column, edges) in enumerate(zip(table.T, feature_bins(table), strict=True)):
        sums, squares = binned(column, edges, weight, weight**2)
        bad = np.flatnonzero(sums < -_DEEPEST * np.sqrt(squares))
        if len(bad):
            low, high = (np.r_[-np.inf, edges, np.inf][bad[0] + j] for j in (0, 1))
            msg = (
                f"{name} sums to {sums[bad[0]]:.6g} ± {np.sqrt(squares[bad[0]]):.2g} where feature "
                f"{k if columns is None else columns[k]!r} lies between {low:.6g} and {high:.6g}: "
                "nothing positive is left there to unfold; check what is subtracted, or select "
                "other events"
            )
            raise ValueError(msg)


def _mask(mask: ArrayLike | None, n_events: int, name: str) -> NDArray[np.bool_]:
    if mask is None:
        return np.ones(n_events, dtype=bool)
    array = np.asarray(mask)
    if array.shape != (n_events,):
        msg = f"{name} has shape {array.shape}, but there are {n_events} simulated events"
        raise ValueError(msg)
    if array.dtype.kind != "b" and not np.isin(array, (0, 1)).all():
        msg = f"{name} must be booleans, True where the event passes; got type {array.dtype}"
        raise ValueError(msg)
    if not array.any():
        msg = f"{name} is False for every event: simulation needs events that pass"
        raise ValueError(msg)
    return array.astype(bool)


def _weight(given: ArrayLike | None, rows: NDArray[np.bool_], name: str) -> NDArray[np.float64]:
    weight = check_event_weight(given, len(rows), name=name)
    if weight is None:
        return np.ones(len(rows))
    if not weight[rows].sum() > 0:
        msg = (
            f"{name} sums to {weight[rows].sum():.6g} over the {rows.sum()} events that unfolding "
            "learns from: a density needs a positive sum; merge samples, or check the signs"
        )
        raise ValueError(msg)
    return weight


def replica_inputs(inputs: Inputs, k: int, seed: int) -> Inputs:
    """Weights of events that are counted a Poisson number of times, by their identifiers."""
    drawn = inputs._replace(
        w_sim=inputs.w_sim * poisson_counts(inputs.event_sim, k, seed),
        # numbers of simulated and data events may coincide, their fluctuations not
        w_data=inputs.w_data * poisson_counts(inputs.event_data, k, seed ^ 0x7FFFFFFF),
    )
    for name, weight in (("sim_weight", drawn.w_sim[drawn.both]), ("data_weight", drawn.w_data)):
        if not weight.sum() > 0:
            msg = (
                f"{name} sums to {weight.sum():.6g} in replica {k}: the sample is too small, or "
                "its signs cancel too much, for replicas; set n_bootstrap=0 or give more events"
            )
            raise ValueError(msg)
    return drawn
