"""The events of a report, checked once."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from skhep_ml._hashing import held_out
from skhep_ml._validation import check_event_id, check_event_weight
from skhep_ml.metrics._base import check_positive_sum

PARTS = ("X", "y", "sample_weight", "groups", "process")


@dataclass(frozen=True)
class Sample:
    """Simulated events with all that travels with them."""

    what: str
    X: Any
    label: NDArray[Any]
    signal: NDArray[np.bool_]
    weight: NDArray[np.float64]
    process: NDArray[Any]
    groups: NDArray[np.uint64] | None
    weighted: bool

    def __len__(self) -> int:
        return len(self.label)

    def take(self, rows: NDArray[Any]) -> "Sample":
        """Some of the events, by positions or a mask."""
        positions = np.flatnonzero(rows) if rows.dtype.kind == "b" else rows
        parts: dict[str, Any] = {
            part.name: None if getattr(self, part.name) is None else getattr(self, part.name)[rows]
            for part in fields(self)
            if part.name not in ("what", "X", "weighted")
        }
        return replace(self, X=_safe_indexing(self.X, positions), **parts)

    def halves(self) -> NDArray[np.bool_]:
        """Split by event number, or by turns where events have none; True for the second half."""
        if self.groups is None:
            return np.arange(len(self)) % 2 == 1
        return held_out(self.groups, 0.5, "report")

    def described(self) -> str:
        """The events in words."""
        weights = "unit weights"
        if self.weighted:
            negative = np.mean(self.weight < 0)
            weights = "event weights"
            if negative:
                weights = f"signed event weights ({100 * negative:.2g}% negative)"
        what = f"{self.what} " if self.what else ""
        return f"{len(self):,} {what}events with {weights}"

    def processes(self) -> list[str]:
        """Names, signal first, the greatest yield first in each class."""
        names = np.unique(self.process).tolist()
        is_signal = {name: bool(self.signal[self.process == name][0]) for name in names}
        total = {name: self.weight[self.process == name].sum() for name in names}
        return sorted(names, key=lambda name: (not is_signal[name], -total[name]))


def check_sample(
    what: str,
    X: Any,
    y: Any,
    sample_weight: Any = None,
    groups: Any = None,
    process: Any = None,
    *,
    pos_label: Any = None,
) -> Sample:
    """Check arrays of one length and find the signal."""
    n_events = _num_samples(X)
    label = np.asarray(y)
    if label.shape != (n_events,):
        msg = f"y has shape {label.shape}, but {_prefix(what)}X has {n_events} events"
        raise ValueError(msg)
    weight = check_event_weight(sample_weight, n_events)
    event = None if groups is None else np.column_stack(check_event_id(groups, n_events))
    signal = signal_mask(label, pos_label)
    if process is None:
        name = label.astype(str)
        if len(np.unique(label)) == 2:
            name = np.where(signal, "signal", "background")
    else:
        name = np.asarray(process).astype(str)
        if name.shape != (n_events,):
            msg = f"process has shape {name.shape}, but there are {n_events} events"
            raise ValueError(msg)
        both = sorted(set(name[signal].tolist()) & set(name[~signal].tolist()))
        if both:
            msg = f"process {both[0]!r} is signal in some events and background in others"
            raise ValueError(msg)
    used = np.ones(n_events) if weight is None else weight
    for kind, chosen in (("signal", signal), ("background", ~signal)):
        if not chosen.any():
            msg = f"there is no {kind} among the {n_events} {_prefix(what)}events: both are needed"
            raise ValueError(msg)
        check_positive_sum(used[chosen], kind)
    return Sample(what, X, label, signal, used, name, event, weight is not None)


def signal_mask(label: NDArray[Any], pos_label: Any) -> NDArray[np.bool_]:
    """Which events are signal: of ``pos_label``, or of the greater of two labels."""
    labels = np.unique(label)
    if pos_label is None:
        if len(labels) != 2:
            msg = (
                f"y has {len(labels)} labels {labels[:5].tolist()}: pass pos_label=, all others "
                "are background"
            )
            raise ValueError(msg)
        pos_label = labels[1]
    elif pos_label not in labels:
        msg = f"pos_label={pos_label!r} is not among the labels {labels[:5].tolist()}"
        raise ValueError(msg)
    return np.asarray(label == pos_label)


def _prefix(what: str) -> str:
    return f"{what} " if what else ""


def check_parts(argument: str, parts: Any, extra: Sequence[str] = ()) -> dict[str, Any]:
    """Return the arrays of another sample, given as a mapping; refuse unknown names."""
    if not isinstance(parts, Mapping):
        msg = (
            f"{argument} must be a dict with the keys X, y and, if there are any, sample_weight, "
            f"groups and process, got {type(parts).__name__}"
        )
        raise TypeError(msg)
    known = (*PARTS, *extra)
    unknown = [key for key in parts if key not in known]
    missing = [key for key in ("X", "y") if key not in parts]
    if unknown or missing:
        what = f"unknown keys {unknown}" if unknown else f"no {missing}"
        msg = f"{argument} has {what}: its keys are {', '.join(known)}"
        raise ValueError(msg)
    return dict(parts)


def yield_weights(sample: Sample, class_yields: Mapping[Any, float] | None) -> NDArray[np.float64]:
    """Weights whose sums over the classes are the expected yields."""
    if class_yields is None:
        return sample.weight
    scaled = sample.weight.copy()
    for label, expected in class_yields.items():
        here = sample.label == label
        scaled[here] *= expected / check_positive_sum(sample.weight[here], f"class {label!r}")
    return scaled


def check_class_yields(class_yields: Any, labels: list[Any]) -> dict[Any, float]:
    """Return the yields by label; refuse other labels and yields that are not positive."""
    found = dict(class_yields)
    if set(found) != set(labels):
        msg = f"class_yields has the labels {list(found)}, but y has {labels}"
        raise ValueError(msg)
    for label, value in found.items():
        if not (np.isfinite(value) and value > 0):
            msg = f"class_yields[{label!r}]={value} is no yield: it must be positive"
            raise ValueError(msg)
    return {label: float(value) for label, value in found.items()}


def fingerprint(values: Any) -> str:
    """First 16 digits of the sha256 of an array, a table or Events, with its shape and type."""
    digest = hashlib.sha256()
    for name, part in _named_arrays(values):
        array = np.ascontiguousarray(part)
        if array.dtype.kind == "O":
            array = array.astype(str)
        digest.update(f"{name}{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def _named_arrays(values: Any) -> list[tuple[str, Any]]:
    if hasattr(values, "columns"):
        return [(str(name), np.asarray(values[name])) for name in values.columns]
    if isinstance(values, Mapping):
        return [(str(name), np.asarray(values[name])) for name in values]
    return [("", np.asarray(values))]
