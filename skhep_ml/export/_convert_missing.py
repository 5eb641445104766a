"""Imputers and selectors of columns as graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skhep_ml._masks import missing_sentinels
from skhep_ml.export._graph import Graph, Tensor
from skhep_ml.export._interpolate import interpolate, interpolate_samples


def convert_selector(graph: Graph, selector: Any, x: Tensor) -> Tensor:
    """Graph of whatever keeps some of the columns."""
    return graph.columns(x, np.flatnonzero(selector.get_support()))


def convert_imputer(graph: Graph, imputer: Any, x: Tensor) -> Tensor:
    """Graph of a `MissingValueImputer`; its indicators come behind the features."""
    sentinels = missing_sentinels(imputer.missing_values)
    missing = _missing(graph, x, sentinels)
    fill = imputer.statistics_.astype(x.kind)
    out = [x._replace(name=graph.op("Where", missing, fill, x.name))]
    if imputer.strategy == "interpolate":
        out = [_interpolated(graph, imputer, x, out[0], missing, sentinels)]
    if len(imputer.indicator_features_):
        flags = graph.columns(Tensor(missing, np.bool_, x.tail), imputer.indicator_features_)
        out.append(graph.as_kind(flags, x.kind))
    y = graph.join(out)
    if len(x.tail) == 1:
        return y
    # a particle of which nothing is known is absent, and stays so
    known = graph.cast(graph.op("Not", missing), np.float32)
    known = graph.op("ReduceSum", known, np.array([-1]), keepdims=1)
    absent = graph.op("Less", known, np.float32(0.5))
    return y._replace(name=graph.op("Where", absent, x.kind(np.nan), y.name))


def _missing(graph: Graph, x: Tensor, sentinels: Sequence[float]) -> str:
    missing = graph.op("IsNaN", x.name)
    for value in sentinels:
        # the input of the graph is float32, whatever follows
        missing = graph.op("Or", missing, graph.op("Equal", x.name, x.kind(np.float32(value))))
    return missing


def _interpolated(
    graph: Graph,
    imputer: Any,
    x: Tensor,
    filled: Tensor,
    missing: str,
    sentinels: Sequence[float],
) -> Tensor:
    """Put interpolated values in the place of the medians, where there are some."""
    if len(x.tail) > 1:
        msg = "interpolation along the particles of clouds has no export: interpolate before"
        raise NotImplementedError(msg)
    if imputer._order is None:
        samples = imputer._samples
        value, found = interpolate_samples(
            graph, graph.columns(x, samples), _columns_of(graph, missing, x, samples)
        )
        columns = [(samples[k], value, found, k) for k in range(len(samples))]
    else:
        position = graph.columns(x, [imputer._order])
        placed = graph.op("Not", _missing(graph, position, sentinels))
        columns = [
            (k, interpolate(graph, position.name, curve.position, curve.value), placed, 0)
            for k, curve in enumerate(imputer._curves)
            if curve is not None
        ]
    parts = {k: graph.columns(filled, [k]) for k in range(imputer.n_features_in_)}
    for column, value, found, k in columns:
        here = _columns_of(graph, missing, x, [column])
        if imputer._order is None:
            index = np.array([k])
            value, found = (graph.op("Gather", part, index, axis=1) for part in (value, found))
        replace = graph.op("And", here, found)
        name = graph.op("Where", replace, graph.cast(value, x.kind), parts[column].name)
        parts[column] = parts[column]._replace(name=name)
    return graph.join(list(parts.values()))


def _columns_of(graph: Graph, mask: str, x: Tensor, index: Any) -> str:
    return graph.columns(Tensor(mask, np.bool_, x.tail), index).name
