"""What the sections of a report are written from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhep_ml._frames import column_positions
from skhep_ml._identifiers import take_id_columns
from skhep_ml.inspection._table import EventTable
from skhep_ml.plotting import Blind, RocDisplay
from skhep_ml.report._events import Sample
from skhep_ml.report._figures import canvas
from skhep_ml.report._models import Scored, rotating_part

#: Features whose distributions are drawn.
N_FEATURES = 4


@dataclass
class Recorded:
    """Recorded events that may be looked at, and the simulation to compare them with."""

    X: Any
    score: NDArray[np.float64]
    blind: Blind
    #: simulated events outside of what is blinded
    outside: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.score)


@dataclass
class Study:
    """Events, scores and numbers."""

    sample: Sample
    models: list[Scored]
    #: expected events of every simulated one
    expected: NDArray[np.float64]
    #: events on which the cut is quoted, and what each of them then stands for
    quoted: NDArray[np.bool_]
    quoted_expected: NDArray[np.float64]
    #: events on which the cut was chosen, in words
    chosen_on: str
    yields_from: str
    pos_label: Any
    numbers: dict[str, Any]
    #: ROC curve of every model, not drawn yet
    roc: list[RocDisplay] = field(default_factory=list)
    #: display of training against test events, and which events these are
    overtraining: Any = None
    overtraining_how: str = ""
    recorded: Recorded | None = None
    feature_names: list[str] | None = None
    variables: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    style: str | None = None

    def look(
        self, width: float = 6.6, height: float = 4.7, layout: str = "constrained"
    ) -> dict[str, Any]:
        """Arguments of a display: axes of a figure of its own, and their style."""
        return {"ax": canvas(width, height, self.style, layout), "style": self.style}

    @property
    def first(self) -> Scored:
        """The model that the report is about."""
        return self.models[0]

    @property
    def leading(self) -> list[str]:
        """The features whose distributions are drawn: the most important ones."""
        ranking, table = self.numbers["ranking"], self.table()
        if ranking:
            return [row["feature"] for row in ranking[:N_FEATURES]]
        return [] if table is None else [str(name) for name in table.names[:N_FEATURES]]

    def caption(self, one: Scored | None = None) -> str:
        """The events, their weights and how they were scored, as a sentence."""
        return f"{self.sample.described()}, {(one or self.first).how()}."

    def quoted_caption(self) -> str:
        """The events on which the cut is quoted, as a sentence."""
        return (
            f"{int(self.quoted.sum()):,} of {self.sample.described()}, {self.first.how()}; "
            f"yields: {self.yields_from}."
        )

    def table(self) -> EventTable | None:
        """The inputs as columns; None where they are no table."""
        return self._table(self.sample.X)

    def columns(self) -> list[tuple[str, int]]:
        """Name of every input and its position in X."""
        table = self.table()
        if table is None:
            return []
        X = self.sample.X
        positions = list(range(X.shape[1]))
        rotating = rotating_part(self.first.model)
        if rotating is not None and rotating.id_columns is not None:
            single = isinstance(rotating.id_columns, (str, int))
            ids = column_positions(X, [rotating.id_columns] if single else rotating.id_columns)
            positions = [k for k in positions if k not in ids]
        return [(str(name), k) for name, k in zip(table.names, positions, strict=True)]

    def recorded_table(self) -> EventTable | None:
        """The same columns of the recorded events."""
        return None if self.recorded is None else self._table(self.recorded.X)

    def _table(self, X: Any) -> EventTable | None:
        X = self.inputs(X)
        if X is None:
            return None
        return EventTable(X, None if hasattr(X, "columns") else self.feature_names, (-999.0,))

    def inputs(self, X: Any = None) -> Any:
        """What the model learns from, if that is a table."""
        X = self.sample.X if X is None else X
        rotating = rotating_part(self.first.model)
        if rotating is not None and rotating.id_columns is not None:
            X, _ = take_id_columns(X, rotating.id_columns)
        is_table = hasattr(X, "columns") or (isinstance(X, np.ndarray) and X.ndim == 2)
        return X if is_table else None
