"""Scores, selection and common numbering of the events of several samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import _num_samples

from skhep_ml._frames import take_rows
from skhep_ml._response import positive_score, predicts_by_groups
from skhep_ml.inspection._duplicates import row_codes
from skhep_ml.inspection._systematics_result import Matching
from skhep_ml.inspection._templates import ScoredEvents, score_bin
from skhep_ml.inspection._varied import NominalEvents, VariedEvents
from skhep_ml.metrics._base import check_score

Array = NDArray[np.float64]
Table = Callable[[Any], Any]


def event_keys(
    events: NominalEvents, sides: list[VariedEvents]
) -> tuple[list[NDArray[np.intp]], int]:
    """Number of the event of every row, by process and identifier, in all samples alike."""
    if events.event_id is None:
        rows = np.arange(len(events.weight))
        return [rows] * (1 + len(sides)), len(rows)
    parts = [[events.process.astype(np.uint64), *events.event_id]]
    for side in sides:
        if side.event_id is not None:
            parts.append([side.process.astype(np.uint64), *side.event_id])
    codes, n_keys = row_codes([np.concatenate(column) for column in zip(*parts, strict=True)])
    split = np.split(codes, np.cumsum([len(part[0]) for part in parts])[:-1])
    own = iter(split[1:])
    return [split[0], *(split[0] if one.event_id is None else next(own) for one in sides)], n_keys


class EventScores:
    """Selected rows of a table, and their scores."""

    def __init__(self, model: Any, selection: Table | None, pos_label: Any) -> None:
        self.pos_label = pos_label
        self._model = model
        self._selection = selection
        # identifiers that ride in the table find their way by themselves
        riding = getattr(model, "id_columns", None) is not None
        self._by_groups = not riding and predicts_by_groups(model)

    def __call__(
        self, X: Any, event_id: list[NDArray[np.uint64]] | None, what: str
    ) -> tuple[NDArray[np.intp], NDArray[np.floating]]:
        n_events = _num_samples(X)
        rows = np.arange(n_events)
        if self._selection is not None:
            mask = np.asarray(self._selection(X))
            if mask.dtype != np.bool_ or mask.shape != (n_events,):
                msg = (
                    f"selection gives {mask.dtype} of shape {mask.shape} for {what}: a boolean "
                    f"mask of {n_events} events is needed"
                )
                raise ValueError(msg)
            rows = np.flatnonzero(mask)
            if not len(rows):
                msg = f"selection leaves no event of {what}"
                raise ValueError(msg)
        groups = None
        if self._by_groups and event_id is not None:
            groups = np.column_stack(event_id)[rows]
        table = X if len(rows) == n_events else take_rows(X, rows)
        score, self.pos_label = positive_score(
            self._model, table, pos_label=self.pos_label, groups=groups
        )
        return rows, check_score(score, name=f"the score of {what}")


def scored_events(
    one: NominalEvents | VariedEvents,
    rows: NDArray[np.intp],
    score: NDArray[np.floating],
    key: NDArray[np.intp],
    factor: Array,
    edges: Array,
) -> ScoredEvents:
    process = one.process[rows]
    weight = one.weight[rows] * factor[process]
    return ScoredEvents(score, weight, process, key[rows], score_bin(score, edges))


def with_processes(
    sample: ScoredEvents, nominal: ScoredEvents, processes: NDArray[np.bool_]
) -> ScoredEvents:
    """Add the nominal events of some processes."""
    rows = processes[nominal.process]
    pairs = zip(sample, nominal, strict=True)
    return ScoredEvents(*(np.concatenate([own, other[rows]]) for own, other in pairs))


def present_keys(key: NDArray[np.intp], nevent_keys: int) -> NDArray[np.bool_]:
    present = np.zeros(nevent_keys, dtype=bool)
    present[key] = True
    return present


def match_events(present: list[NDArray[np.bool_]], kept: list[str]) -> Matching:
    """Count partners and migrations from where events are: nominal and varied, all and selected."""
    nominal, varied, nominal_selected, varied_selected = present
    both = nominal & varied
    return Matching(
        int(both.sum()),
        int((nominal & ~varied).sum()),
        int((varied & ~nominal).sum()),
        int((both & nominal_selected & ~varied_selected).sum()),
        int((both & varied_selected & ~nominal_selected).sum()),
        kept,
    )
