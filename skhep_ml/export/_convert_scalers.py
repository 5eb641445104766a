"""Scalers and clippers as graphs, in the arithmetic of the fitted objects."""

from __future__ import annotations

from typing import Any

import numpy as np

from skhep_ml.export._graph import Graph, Tensor
from skhep_ml.preprocessing._column_map import _BEYOND, CLIP_LEVEL


def convert_scaler(graph: Graph, scaler: Any, x: Tensor) -> Tensor:
    """Graph of a scaler's `ColumnMap`.

    Every operation is that of the scaler on a table of the type of x, in the same precision and
    order: a last digit that differs would move events across the thresholds of trees behind it.
    """
    columns = scaler._column_map
    prepared = columns.prepared(x.kind)
    inside = prepared.inside.type
    y = graph.as_kind(x, inside).name
    if columns.logarithmic.any():
        used = columns.logarithmic
        # harmless numbers where another column is not logarithmic
        origin, threshold = np.where(used, columns.origin, 0), np.where(used, columns.threshold, 1)
        y = graph.op("Where", used, _symmetric_log(graph, y, origin, threshold), y)
    y = graph.op("Sub", y, prepared.center)
    y = graph.op("Div", y, prepared.scale)
    if prepared.offset.any():
        y = graph.op("Add", y, prepared.offset)
    if columns.smooth.any():
        y = graph.op("Where", columns.smooth, _smooth_clip(graph, y, inside), y)
    if columns.limits is not None:
        y = _clip(graph, y, *(inside(limit) for limit in columns.limits))
    return graph.as_kind(Tensor(y, inside, x.tail), x.kind)


def convert_clipper(graph: Graph, clipper: Any, x: Tensor) -> Tensor:
    """Graph of a `QuantileClipper`; a column without limits passes."""
    low = np.where(np.isnan(clipper.lower_), -np.inf, clipper.lower_).astype(x.kind)
    high = np.where(np.isnan(clipper.upper_), np.inf, clipper.upper_).astype(x.kind)
    return x._replace(name=_clip(graph, x.name, low, high))


def _clip(graph: Graph, y: str, low: Any, high: Any) -> str:
    # comparisons with NaN are false: missing values pass, which Max and Min do not promise
    low, high = graph.constant(low), graph.constant(high)
    y = graph.op("Where", graph.op("Less", y, low), low, y)
    return graph.op("Where", graph.op("Greater", y, high), high, y)


def _symmetric_log(graph: Graph, y: str, origin: Any, threshold: Any) -> str:
    distance = graph.op("Sub", y, origin)
    size = graph.op("Div", graph.op("Abs", distance), threshold)
    # log(1 + s) = s log(u) / (u - 1) with u = 1 + s as rounded keeps the digits of small s
    one = graph.constant(np.float64(1))
    u = graph.op("Add", size, one)
    ratio = graph.op("Div", size, graph.op("Sub", u, one))
    log = graph.op(
        "Where", graph.op("Equal", u, one), size, graph.op("Mul", graph.op("Log", u), ratio)
    )
    return graph.op("Mul", log, graph.op("Sign", distance))


def _smooth_clip(graph: Graph, y: str, inside: Any) -> str:
    # from here on the square would overflow, and the result no longer changes
    y = _clip(graph, y, inside(-_BEYOND), inside(_BEYOND))
    ratio = graph.op("Div", y, inside(CLIP_LEVEL))
    square = graph.op("Add", graph.op("Mul", ratio, ratio), inside(1))
    return graph.op("Div", y, graph.op("Sqrt", square))
