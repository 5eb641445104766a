"""Rotating models as graphs: the hash of the identifiers, and each event to its own model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from skhep_ml._hashing import kind_salt, splitmix64
from skhep_ml.export._graph import Graph, Tensor

# what a model sees: one tensor, or several by name
Features = Tensor | dict[str, Tensor]

_BYTES = np.arange(0, 64, 8, dtype=np.uint64)
_MASK = 0xFFFFFFFFFFFFFFFF


def fold_graph(graph: Graph, event_id: Tensor, n_splits: int, salt: int) -> str:
    """Fold of every event of a rotating model, by the integer arithmetic of `event_hash`.

    ``event_id`` is int64 of shape (n_events, k).
    """
    n_columns = event_id.tail[0]
    assert n_columns is not None
    table = graph.constant(np.bitwise_xor.outer(np.arange(256), np.arange(256)).ravel(), np.uint8)
    identifiers = graph.cast(event_id.name, np.uint64)
    start = splitmix64(kind_salt("rotating", salt) & _MASK)
    state = graph.constant(np.array([[start]], dtype=np.uint64))
    for k in range(n_columns):
        column = graph.op("Gather", identifiers, np.array([k]), axis=1)
        state = _splitmix64(graph, _xor(graph, table, column, state), table)
    upper = graph.op("BitShift", state, np.uint64(32), direction="RIGHT")
    product = graph.op("Mul", upper, np.uint64(n_splits))
    fold = graph.op("BitShift", product, np.uint64(32), direction="RIGHT")
    return graph.op("Reshape", graph.cast(fold, np.int64), np.array([-1]))


def _splitmix64(graph: Graph, z: str, table: str) -> str:
    z = graph.op("Add", z, np.uint64(0x9E3779B97F4A7C15))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        shifted = graph.op("BitShift", z, np.uint64(shift), direction="RIGHT")
        z = graph.op("Mul", _xor(graph, table, z, shifted), np.uint64(factor))
    shifted = graph.op("BitShift", z, np.uint64(31), direction="RIGHT")
    return _xor(graph, table, z, shifted)


def _xor(graph: Graph, table: str, a: str, b: str) -> str:
    """Exclusive or of uint64 of shape (n_events, 1), byte by byte from a table.

    An operator for it came with opset 18 only.
    """
    parts = []
    for operand in (a, b):
        byte = graph.op("BitShift", operand, _BYTES[None], direction="RIGHT")
        parts.append(graph.cast(graph.op("Mod", byte, np.uint64(256)), np.int64))
    index = graph.op("Add", graph.op("Mul", parts[0], np.int64(256)), parts[1])
    byte = graph.cast(graph.op("Gather", table, index), np.uint64)
    # onnxruntime sums int64 in double precision: 32 bits at a time are exact
    byte = graph.op("BitShift", byte, _BYTES[None] % np.uint64(32), direction="LEFT")
    byte = graph.op("Reshape", graph.cast(byte, np.int64), np.array([-1, 2, 4]))
    half = graph.cast(graph.op("ReduceSum", byte, np.array([2]), keepdims=0), np.uint64)
    low, high = (graph.op("Gather", half, np.array([k]), axis=1) for k in (0, 1))
    return graph.op("Add", low, graph.op("BitShift", high, np.uint64(32), direction="LEFT"))


def by_fold(
    graph: Graph,
    fold: str,
    x: Features,
    models: Sequence[Callable[[Features], dict[str, Tensor]]],
) -> dict[str, Tensor]:
    """Send each event through the model of its fold alone, and put the answers back in order."""
    rows, answers = [], []
    for k, model in enumerate(models):
        row = graph.op("NonZero", graph.op("Equal", fold, np.int64(k)))
        row = graph.op("Reshape", row, np.array([-1]))
        rows.append(row)
        outputs = model(_with_blank(graph, x, row))
        answers.append({name: _without_last(graph, part) for name, part in outputs.items()})
    order = graph.op("Concat", *rows, axis=0)
    number = graph.op(
        "Range", np.int64(0), graph.op("Squeeze", graph.op("Shape", order)), np.int64(1)
    )
    place = graph.op("ScatterElements", order, order, number, axis=0)
    joined = {}
    for name, first in answers[0].items():
        parts = graph.op("Concat", *(answer[name].name for answer in answers), axis=0)
        joined[name] = first._replace(name=graph.op("Gather", parts, place, axis=0))
    return joined


def _with_blank(graph: Graph, x: Features, row: str) -> Features:
    """Rows of the features and a blank one, since not every operator takes an empty batch."""
    if not isinstance(x, Tensor):
        return {name: _blank_added(graph, part, row) for name, part in x.items()}
    return _blank_added(graph, x, row)


def _blank_added(graph: Graph, x: Tensor, row: str) -> Tensor:
    taken = graph.op("Gather", x.name, row, axis=0)
    # the sizes of the other axes may be known only when it runs
    shape = graph.op("Shape", x.name)
    ones, others = np.ones(1, dtype=np.int64), np.arange(1, len(x.tail) + 1)
    shape = graph.op("Concat", graph.constant(ones), graph.op("Gather", shape, others), axis=0)
    blank = graph.op("Expand", np.zeros(1, dtype=x.kind), shape)
    return x._replace(name=graph.op("Concat", taken, blank, axis=0))


def _without_last(graph: Graph, x: Tensor) -> Tensor:
    return x._replace(name=graph.op("Slice", x.name, np.array([0]), np.array([-1]), np.array([0])))
