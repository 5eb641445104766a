"""Linear interpolation as a graph: in a table of points, and between samples of one event."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhep_ml.export._graph import Graph, Tensor


def interpolate(graph: Graph, x: str, points: NDArray[Any], values: NDArray[Any]) -> str:
    """`numpy.interp` of the float32 tensor x, in double precision.

    The interval is found by bisection, one step after another for all events at once: a table of a
    million points takes 20 steps.
    """
    points, values = (np.asarray(part, dtype=np.float64) for part in (points, values))
    t = graph.cast(x, np.float64)
    if len(points) == 1:
        zero = graph.op("Mul", graph.cast(graph.op("IsNaN", x), np.float64), np.float64(0))
        return graph.op("Add", zero, values[:1])
    steps = int(np.ceil(np.log2(len(points))))
    # padded with infinity, so that no step leaves the table
    table = graph.constant(np.append(points, np.full(2**steps, np.inf)))
    index = graph.cast(graph.op("IsNaN", x), np.int64)
    index = graph.op("Mul", index, np.int64(0))
    for step in 2 ** np.arange(steps - 1, -1, -1, dtype=np.int64):
        further = graph.op("Add", index, np.int64(step))
        below = graph.op("LessOrEqual", graph.op("Gather", table, further), t)
        index = graph.op("Where", below, further, index)
    last = np.int64(len(points) - 2)
    index = graph.op("Where", graph.op("Greater", index, last), last, index)
    slope = np.diff(values) / np.diff(points)
    distance = graph.op("Sub", t, graph.op("Gather", table, index))
    value = graph.op("Mul", graph.op("Gather", slope, index), distance)
    value = graph.op("Add", value, graph.op("Gather", values, index))
    value = graph.op("Where", graph.op("Less", t, points[0]), values[0], value)
    return graph.op("Where", graph.op("GreaterOrEqual", t, points[-1]), values[-1], value)


def interpolate_samples(graph: Graph, x: Tensor, missing: str) -> tuple[str, str]:
    """Values between the samples of each event; and whether it has any sample, sample by sample.

    The nearest samples on both sides are found by doubling: after k steps those within 2^k.
    """
    n_steps = x.tail[-1]
    assert n_steps is not None
    number = np.arange(n_steps, dtype=np.int64)
    before = graph.op("Where", missing, np.int64(-1), number[None])
    after = graph.op("Where", missing, np.int64(n_steps), number[None])
    shift = 1
    while shift < n_steps:
        back = np.maximum(number - shift, 0)
        ahead = np.minimum(number + shift, n_steps - 1)
        before = graph.op("Max", before, graph.op("Gather", before, back, axis=1))
        after = graph.op("Min", after, graph.op("Gather", after, ahead, axis=1))
        shift *= 2
    # at the ends both neighbours are the one that exists
    no_left = graph.op("Less", before, np.int64(0))
    no_right = graph.op("Greater", after, np.int64(n_steps - 1))
    left = graph.op("Where", no_left, after, before)
    right = graph.op("Where", no_right, before, after)
    found = graph.op("Not", graph.op("And", no_left, no_right))
    # without any sample the indices point nowhere: keep them inside
    left, right = (graph.op("Where", found, side, np.int64(0)) for side in (left, right))
    gap = graph.op("Sub", right, left)
    gap = graph.op("Where", graph.op("Less", gap, np.int64(1)), np.int64(1), gap)
    share = graph.op(
        "Div",
        graph.cast(graph.op("Sub", number[None], left), np.float64),
        graph.cast(gap, np.float64),
    )
    values = graph.cast(x.name, np.float64)
    low, high = (graph.op("GatherElements", values, side, axis=1) for side in (left, right))
    step = graph.op("Mul", share, graph.op("Sub", high, low))
    return graph.op("Add", low, step), found
