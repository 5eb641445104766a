"""Comparison of an exported graph with its model."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import _safe_indexing

from skhep_ml._extras import import_extra
from skhep_ml._frames import is_frame, with_columns
from skhep_ml._response import model_response
from skhep_ml.events import Events
from skhep_ml.export._events_in import IDENTIFIERS, graph_inputs

# method of the model that an output of the graph stands for
_METHODS = {
    "probabilities": "predict_proba",
    "prediction": "predict",
    "distances": "transform",
    "transformed": "transform",
}
# differing events that are moved by some units in the last place, to see whether one decides
_EXAMINED = 200
_ULPS = 2


@dataclass(frozen=True)
class OnnxComparison:
    """How a graph compares with its model; true if no event differs.

    Attributes
    ----------
    output : str
        Output that was compared.
    n_events : int
        Number of events.
    tolerance : float
        Largest difference allowed: of probabilities as it is, of other outputs relative to the
        larger of the value and the median size of all values.
    largest_difference : float
        Largest difference found, in the same unit.
    differing : ndarray of int
        Events that differ by more than the tolerance, are NaN on one side alone, or have another
        label although their largest probabilities are apart.
    n_nan : int
        Events that are NaN on one side alone.
    n_labels : int
        Events with another label.
    n_missing : int
        Differing events that have missing values (NaN) among their features.
    n_threshold : int
        Differing events whose answer by the model itself changes by more than the tolerance when
        one feature moves by two units in the last place of float32: they lie on the threshold of
        a tree. At most 200 differing events are examined.

    Examples
    --------
    >>> from skhep_ml.export import OnnxComparison
    >>> print(OnnxComparison("probabilities", 1000, 1e-5, 3e-7))
    probabilities of 1,000 events: largest difference 3.0e-07, all within 1e-05
    """

    output: str
    n_events: int
    tolerance: float
    largest_difference: float
    differing: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, dtype=np.intp))
    n_nan: int = 0
    n_labels: int = 0
    n_missing: int = 0
    n_threshold: int = 0

    def __bool__(self) -> bool:
        return not len(self.differing)

    def __str__(self) -> str:
        head = (
            f"{self.output} of {self.n_events:,} events: largest difference "
            f"{self.largest_difference:.1e}, "
        )
        if self:
            return f"{head}all within {self.tolerance:g}"
        first = ", ".join(str(event) for event in self.differing[:5])
        parts = [
            f"{head}{len(self.differing):,} beyond {self.tolerance:g} (events {first}"
            f"{', ...' if len(self.differing) > 5 else ''})"
        ]
        for count, text in (
            (self.n_nan, "NaN on one side alone"),
            (self.n_labels, "with another label"),
            (self.n_missing, "with missing features"),
            (self.n_threshold, "on the threshold of a tree"),
        ):
            if count:
                parts.append(f"{count:,} {text}")
        return "; ".join(parts)


def verify_onnx(
    model: Any,
    onnx: Any,
    X: Any,
    *,
    groups: ArrayLike | None = None,
    tolerance: float = 1e-5,
) -> OnnxComparison:
    """Compare a graph, run by onnxruntime, with the model it was made of.

    Parameters
    ----------
    model : estimator
        The fitted model.
    onnx : path, bytes or onnx.ModelProto
        The graph.
    X : array-like of shape (n_events, n_features) or (n_events, n_particles, n_features)
        Events; a DataFrame's columns are used by name. The model gets them as they are, the graph
        in float32.
    groups : array-like of int, shape (n_events,) or (n_events, k), default=None
        Event identifiers, for models that predict by them.
    tolerance : float, default=1e-5
        Largest difference that counts as equal.

    Returns
    -------
    OnnxComparison
        Largest difference, differing events, and how many of them are explained by what.

    Raises
    ------
    ValueError
        No events, or a graph with inputs other than those of `to_onnx`.
    FileNotFoundError
        There is no such file.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.export import to_onnx, verify_onnx
    >>> from skhep_ml.preprocessing import ZScoreScaler
    >>> X = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    >>> scaler = ZScoreScaler().fit(X)
    >>> print(verify_onnx(scaler, to_onnx(scaler), X))
    transformed of 100 events: largest difference 0.0e+00, all within 1e-05
    """
    if not tolerance >= 0:
        msg = f"tolerance must be a number of at least 0, got {tolerance!r}"
        raise ValueError(msg)
    inputs = graph_inputs(model, X, groups)
    n_events = len(next(iter(inputs.values())))
    if not n_events:
        msg = "X holds no events: there is nothing to compare"
        raise ValueError(msg)
    found = _run(onnx, inputs)
    parts = [name for name in found if name.startswith("transformed_")]
    if parts:
        found["transformed"] = np.hstack([found[name].reshape(n_events, -1) for name in parts])
    output = next((name for name in _METHODS if name in found), None)
    if output is None:
        msg = f"the graph has the outputs {sorted(found)}, none of {list(_METHODS)}"
        raise ValueError(msg)

    def native(events: Any, identifiers: Any) -> NDArray[np.float64]:
        if output == "transformed":
            answer = model.transform(events)
            if isinstance(answer, Events):
                columns = [np.asarray(part).reshape(len(events), -1) for part in answer.values()]
                return np.hstack(columns).astype(np.float64)
            answer = answer.toarray() if hasattr(answer, "toarray") else np.asarray(answer)
        else:
            answer, _ = model_response(model, events, identifiers, (_METHODS[output],))
        return answer.reshape(len(answer), -1).astype(np.float64)

    expected = native(X, groups)
    answer = found[output].reshape(expected.shape).astype(np.float64)
    scale = 1.0 if output == "probabilities" else _scale(expected)
    difference = _difference(answer, expected, scale)
    one_nan = (np.isnan(answer) != np.isnan(expected)).any(axis=1)
    other_label = np.zeros(n_events, dtype=bool)
    tied = other_label
    if "label" in found:
        labels, _ = model_response(model, X, groups, ("predict",))
        other_label = found["label"].astype(str) != _as_text(labels, found["label"])
        tied = _tied(expected, tolerance * scale, smallest=output == "distances")
    differs = (difference > tolerance) | one_nan | (other_label & ~tied)
    differing = np.flatnonzero(differs)
    features = [part.reshape(n_events, -1) for name, part in inputs.items() if name != IDENTIFIERS]
    missing = np.isnan(np.hstack(features)).any(axis=1)
    return OnnxComparison(
        output,
        n_events,
        tolerance,
        float(np.max(difference)),
        differing,
        int(one_nan.sum()),
        int(other_label.sum()),
        int(missing[differing].sum()),
        _count_thresholds(native, X, groups, differing, expected, scale, tolerance),
    )


def _run(onnx: Any, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    runtime = import_extra("onnxruntime", "onnx")
    if isinstance(onnx, (str, os.PathLike)):
        content = Path(onnx).read_bytes()
    else:
        content = onnx if isinstance(onnx, bytes) else onnx.SerializeToString()
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    wanted = {value.name: value.shape for value in session.get_inputs()}
    lacking = sorted(set(wanted) - set(inputs))
    if lacking:
        hint = ": pass groups=" if lacking == [IDENTIFIERS] else ""
        msg = f"the graph takes {sorted(wanted)}, of which {lacking} are not given{hint}"
        raise ValueError(msg)
    for name, shape in wanted.items():
        given = inputs[name].shape
        fits = len(given) == len(shape) and all(
            not isinstance(size, int) or size == length
            for size, length in zip(shape[1:], given[1:], strict=True)
        )
        if not fits:
            msg = f"the graph's input {name!r} has the shape {shape}, but {given} is given"
            raise ValueError(msg)
    names = [value.name for value in session.get_outputs()]
    results = session.run(names, {name: inputs[name] for name in wanted})
    return dict(zip(names, results, strict=True))


def _scale(expected: NDArray[np.float64]) -> Any:
    """Size that differences are relative to, value by value."""
    size = np.abs(expected)
    finite = size[np.isfinite(size) & (size > 0)]
    typical = float(np.median(finite)) if len(finite) else 1.0
    return np.fmax(size, typical)


def _difference(answer: Any, expected: Any, scale: Any) -> NDArray[np.float64]:
    """Largest relative difference of each event; 0 where both are the same infinity or NaN."""
    with np.errstate(invalid="ignore"):
        size = np.where(answer == expected, 0.0, np.abs(answer - expected) / scale)
    return np.max(np.nan_to_num(size, nan=0.0, posinf=np.inf), axis=1, initial=0.0)


def _as_text(labels: NDArray[Any], like: NDArray[Any]) -> NDArray[np.str_]:
    return (labels.astype(np.int64) if like.dtype.kind in "iu" else labels).astype(str)


def _tied(values: NDArray[np.float64], tolerance: Any, *, smallest: bool) -> NDArray[np.bool_]:
    """Tell in which events the two best values are closer than the rounding of both."""
    if values.shape[1] < 2:
        return np.ones(len(values), dtype=bool)
    ordered = np.sort(values if smallest else -values, axis=1)
    return ordered[:, 1] - ordered[:, 0] <= 2 * np.max(tolerance)


def _count_thresholds(
    native: Callable[[Any, Any], NDArray[np.float64]],
    X: Any,
    groups: Any,
    differing: NDArray[np.intp],
    expected: NDArray[np.float64],
    scale: Any,
    tolerance: float,
) -> int:
    """Count the differing events that one feature, moved a little, takes across a threshold."""
    rows = differing[:_EXAMINED]
    if not len(rows) or isinstance(X, (Events, Mapping)):  # no table, no thresholds
        return 0
    part = _safe_indexing(X if is_frame(X) else np.asarray(X), rows)
    identifiers = None if groups is None else _safe_indexing(groups, rows)
    row_scale = scale if np.ndim(scale) == 0 else scale[rows]
    moved = np.zeros(len(rows), dtype=bool)
    for column in range(part.shape[-1]):
        for toward in (-np.inf, np.inf):
            other = _moved(part, column, toward)
            if other is not None:
                shift = _difference(native(other, identifiers), expected[rows], row_scale)
                moved |= shift > tolerance
    return int(moved.sum())


def _moved(part: Any, column: int, toward: float) -> Any:
    """Events with one feature some float32 numbers further; None for whole numbers."""
    values = np.asarray(part[part.columns[column]]) if is_frame(part) else part[..., column]
    if values.dtype.kind != "f":
        return None
    with np.errstate(over="ignore"):
        shifted = values.astype(np.float32)
        for _ in range(_ULPS):
            shifted = np.nextafter(shifted, np.float32(toward))
    shifted = np.where(np.isfinite(shifted), shifted, values).astype(values.dtype)
    if is_frame(part):
        return with_columns(part, {column: shifted})
    other = part.copy()
    other[..., column] = shifted
    return other
