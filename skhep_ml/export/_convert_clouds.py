"""Kinematics, tables and images of clouds as graphs, in double precision as in the models."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhep_ml._clouds import feature_position, find_feature
from skhep_ml.export._graph import Graph, Tensor
from skhep_ml.preprocessing import _cloud_table
from skhep_ml.preprocessing._cloud_kinematics import CARTESIAN, mass_or_energy

_PURPOSE = "the export"
_ZERO, _ONE = np.float64(0), np.float64(1)


# --- values of particles, by the name of a node ---------------------------------------------------


def _feature(graph: Graph, x: Tensor, index: int, kind: Any = np.float64) -> str:
    """One feature of all particles, shape (n_events, n_particles)."""
    values = Tensor(graph.op("Gather", x.name, np.int64(index), axis=2), x.kind, (None,))
    return graph.as_kind(values, kind).name


def _named(graph: Graph, x: Tensor, names: list[str], name: str) -> str:
    return _feature(graph, x, feature_position(names, name, _PURPOSE))


def _present(graph: Graph, x: Tensor) -> str:
    known = graph.cast(graph.op("Not", graph.op("IsNaN", x.name)), np.float32)
    known = graph.op("ReduceSum", known, np.array([2]), keepdims=0)
    return graph.op("Greater", known, np.float32(0.5))


def _total(graph: Graph, values: str) -> str:
    """Sum over the particles, shape (n_events, 1)."""
    return graph.op("ReduceSum", values, np.array([1]), keepdims=1)


def _square(graph: Graph, values: str) -> str:
    return graph.op("Mul", values, values)


def _hypot(graph: Graph, *values: str) -> str:
    squares = [_square(graph, value) for value in values]
    total = squares[0]
    for square in squares[1:]:
        total = graph.op("Add", total, square)
    return graph.op("Sqrt", total)


def _at_least_zero(graph: Graph, values: str) -> str:
    # NaN stays, which Max does not promise
    return graph.op("Where", graph.op("Less", values, _ZERO), _ZERO, values)


def _wrapped(graph: Graph, difference: str) -> str:
    """Angle within a turn, (-pi, pi]."""
    turns = graph.op("Sub", graph.op("Div", difference, np.float64(2 * np.pi)), np.float64(0.5))
    turns = graph.op("Mul", graph.op("Ceil", turns), np.float64(2 * np.pi))
    return graph.op("Sub", difference, turns)


def _arctan2(graph: Graph, y: str, x: str) -> str:
    """Angle of (x, y) in double precision; onnxruntime has the arctangent in single only."""
    length = _hypot(graph, x, y)
    zero = graph.op("Equal", length, _ZERO)
    ratio = graph.cast(graph.op("Div", y, x), np.float32)
    angle = graph.cast(graph.op("Atan", ratio), np.float64)
    half_turn = graph.op("Where", graph.op("Less", y, _ZERO), np.float64(-np.pi), np.float64(np.pi))
    behind = graph.op("Where", graph.op("Less", x, _ZERO), half_turn, _ZERO)
    angle = graph.op("Add", angle, behind)
    # what is left is the sine of a small angle
    cos, sin = graph.op("Cos", angle), graph.op("Sin", angle)
    left = graph.op("Sub", graph.op("Mul", y, cos), graph.op("Mul", x, sin))
    angle = graph.op("Add", angle, graph.op("Div", left, length))
    return graph.op("Where", zero, _ZERO, angle)


def _arcsinh(graph: Graph, values: str) -> str:
    size = graph.op("Abs", values)
    root = graph.op("Sqrt", graph.op("Add", _square(graph, size), _ONE))
    log = graph.op("Log", graph.op("Add", size, root))
    return graph.op("Mul", log, graph.op("Sign", values))


# --- four-momenta ---------------------------------------------------------------------------------


def _momenta(graph: Graph, x: Tensor, names: list[str]) -> dict[str, str]:
    pt, eta, phi = (_named(graph, x, names, name) for name in ("pt", "eta", "phi"))
    growing, falling = graph.op("Exp", eta), graph.op("Exp", graph.op("Neg", eta))
    half = graph.op("Mul", pt, np.float64(0.5))
    momentum = graph.op("Mul", half, graph.op("Add", growing, falling))
    found = {
        "px": graph.op("Mul", pt, graph.op("Cos", phi)),
        "py": graph.op("Mul", pt, graph.op("Sin", phi)),
        "pz": graph.op("Mul", half, graph.op("Sub", growing, falling)),
        "energy": momentum,
    }
    completed = mass_or_energy(names)
    if completed == "energy":
        found["energy"] = _named(graph, x, names, "energy")
    elif completed == "mass":
        mass = _named(graph, x, names, "mass")
        # a negative mass stands for a negative square
        square = graph.op("Mul", mass, graph.op("Abs", mass))
        square = graph.op("Add", _square(graph, momentum), square)
        found["energy"] = graph.op("Sqrt", _at_least_zero(graph, square))
    return found


def _mass_square(graph: Graph, momenta: dict[str, str]) -> str:
    square = _square(graph, momenta["energy"])
    parts = [_square(graph, momenta[name]) for name in ("px", "py", "pz")]
    total = graph.op("Add", graph.op("Add", parts[0], parts[1]), parts[2])
    return graph.op("Sub", square, total)


def _mass(graph: Graph, momenta: dict[str, str]) -> str:
    return graph.op("Sqrt", _at_least_zero(graph, _mass_square(graph, momenta)))


def _cylindrical(graph: Graph, momenta: dict[str, str]) -> dict[str, str]:
    px, py, pz = (momenta[name] for name in ("px", "py", "pz"))
    pt = _hypot(graph, px, py)
    eta = _arcsinh(graph, graph.op("Div", pz, pt))
    square = _mass_square(graph, momenta)
    root = graph.op("Sqrt", graph.op("Abs", square))
    return {
        "pt": pt,
        "eta": graph.op("Where", graph.op("Equal", pz, _ZERO), _ZERO, eta),
        "phi": _arctan2(graph, py, px),
        "mass": graph.op("Mul", root, graph.op("Sign", square)),
    }


def _jet(graph: Graph, x: Tensor, names: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Momenta of the particles, and their sum."""
    present = _present(graph, x)
    momenta = _momenta(graph, x, names)
    total = {
        name: _total(graph, graph.op("Where", present, part, _ZERO))
        for name, part in momenta.items()
    }
    return momenta, total


def convert_kinematics(graph: Graph, model: Any, x: Tensor) -> Tensor:
    """Graph of a `KinematicsTransformer`."""
    names = model.features_
    found: dict[str, str]
    if model.to == "cartesian":
        found = _momenta(graph, x, names)
    elif model.to == "cylindrical":
        found = _cylindrical(graph, {name: _named(graph, x, names, name) for name in CARTESIAN})
    else:
        found = _relative(graph, x, names)
    columns = []
    for name in model.output_features_:
        if name in model._kept:
            column = _feature(graph, x, names.index(name), x.kind)
        else:
            column = graph.cast(found[name], x.kind)
        columns.append(graph.op("Unsqueeze", column, np.array([2])))
    joined = graph.op("Concat", *columns, axis=2)
    return Tensor(joined, x.kind, (x.tail[0], len(columns)))


def _relative(graph: Graph, x: Tensor, names: list[str]) -> dict[str, str]:
    momenta, total = _jet(graph, x, names)
    jet = _cylindrical(graph, total)
    pt, eta, phi = (_named(graph, x, names, name) for name in ("pt", "eta", "phi"))
    d_eta = graph.op("Sub", eta, jet["eta"])
    d_phi = _wrapped(graph, graph.op("Sub", phi, jet["phi"]))
    return {
        "log_pt": graph.op("Log", pt),
        "log_energy": graph.op("Log", momenta["energy"]),
        "log_pt_rel": graph.op("Log", graph.op("Div", pt, jet["pt"])),
        "log_energy_rel": graph.op("Log", graph.op("Div", momenta["energy"], total["energy"])),
        "delta_r": _hypot(graph, d_eta, d_phi),
        "delta_eta": d_eta,
        "delta_phi": d_phi,
    }


# --- tables ---------------------------------------------------------------------------------------


def convert_cloud_table(graph: Graph, model: Any, x: Tensor) -> Tensor:
    """Graph of a `CloudToTable`."""
    names = model.features_
    # leading particles that are not there are NaN; one more, so that no cloud is empty
    x = _padded(graph, x, max(model.n_leading, 1))
    leading = _leading(graph, x, max(model.n_leading, 1), model._sort_index(names))
    columns = []
    for part in model._parts(names):
        compute = getattr(part.compute, "func", part.compute)
        options = getattr(part.compute, "keywords", {})
        if compute is _cloud_table._leading and model.n_leading:
            width = model.n_leading * len(names)
            columns.append(graph.op("Reshape", leading.name, np.array([-1, width])))
        elif compute is _cloud_table._pairs:
            columns += _pairs(graph, leading, names)
        elif compute in _SUMMARIES:
            columns += _SUMMARIES[compute](graph, x, **options)
    width = sum(len(part.names) for part in model._parts(names))
    columns = [graph.cast(column, x.kind) for column in columns]
    return Tensor(graph.op("Concat", *columns, axis=1), x.kind, (width,))


def _padded(graph: Graph, x: Tensor, n_more: int) -> Tensor:
    n_events = graph.op("Slice", graph.op("Shape", x.name), np.array([0]), np.array([1]))
    shape = graph.op("Concat", n_events, np.array([n_more, x.tail[1]]), axis=0)
    blank = graph.op("Expand", np.full((1, 1, 1), np.nan, dtype=x.kind), shape)
    return x._replace(name=graph.op("Concat", x.name, blank, axis=1))


def _leading(graph: Graph, x: Tensor, n_leading: int, sort_index: int | None) -> Tensor:
    present = _present(graph, x)
    lowest = x.kind(np.finfo(x.kind).min)
    if sort_index is None:
        key: Any = x.kind(0)
    else:
        key = _feature(graph, x, sort_index, x.kind)
        # present, but of unknown size: behind those that are known
        key = graph.op("Where", graph.op("IsNaN", key), lowest, key)
    key = graph.op("Where", present, key, x.kind(-np.inf))
    # of equal ones the first stays first
    place = graph.ops("TopK", 2, key, np.array([n_leading]), axis=1)[1]
    place = graph.op("Unsqueeze", place, np.array([2]))
    place = graph.op("Concat", *[place] * (x.tail[1] or 0), axis=2)
    name = graph.op("GatherElements", x.name, place, axis=1)
    return x._replace(name=name, tail=(n_leading, x.tail[1]))


def _multiplicity(graph: Graph, x: Tensor) -> list[str]:
    return [_total(graph, graph.cast(_present(graph, x), np.float32))]


def _above(graph: Graph, x: Tensor, *, index: int, threshold: float) -> list[str]:
    above = graph.op("Greater", _feature(graph, x, index, x.kind), x.kind(threshold))
    return [_total(graph, graph.cast(above, np.float32))]


def _sum(graph: Graph, x: Tensor, *, index: int) -> list[str]:
    values = _feature(graph, x, index)
    return [_total(graph, graph.op("Where", graph.op("IsNaN", values), _ZERO, values))]


def _extrema(graph: Graph, x: Tensor, *, index: int) -> list[str]:
    values = _feature(graph, x, index, x.kind)
    missing = graph.op("IsNaN", values)
    found = []
    for reduce, beyond in (("ReduceMin", np.inf), ("ReduceMax", -np.inf)):
        filled = graph.op("Where", missing, x.kind(beyond), values)
        if graph.opset < 18:
            extreme = graph.op(reduce, filled, axes=[1], keepdims=1)
        else:
            extreme = graph.op(reduce, filled, np.array([1]), keepdims=1)
        none = graph.op("Equal", extreme, x.kind(beyond))
        found.append(graph.op("Where", none, x.kind(np.nan), extreme))
    return found


def _system(graph: Graph, x: Tensor, *, names: list[str]) -> list[str]:
    _, total = _jet(graph, x, names)
    some = graph.op("Greater", _multiplicity(graph, x)[0], np.float32(0.5))
    found = [_mass(graph, total), _hypot(graph, total["px"], total["py"])]
    return [graph.op("Where", some, values, np.float64(np.nan)) for values in found]


_SUMMARIES: dict[Any, Any] = {
    _cloud_table._multiplicity: _multiplicity,
    _cloud_table._above: _above,
    _cloud_table._sum: _sum,
    _cloud_table._extrema: _extrema,
    _cloud_table._system: _system,
}


def _pairs(graph: Graph, leading: Tensor, names: list[str]) -> list[str]:
    momenta = _momenta(graph, leading, names)
    directions = [_named(graph, leading, names, name) for name in ("eta", "phi")]

    def one(values: str, place: int) -> str:
        return graph.op("Gather", values, np.array([place]), axis=1)

    columns = []
    for first, second in combinations(range(leading.tail[0] or 0), 2):
        both = {
            name: graph.op("Add", one(part, first), one(part, second))
            for name, part in momenta.items()
        }
        apart = [graph.op("Sub", one(part, first), one(part, second)) for part in directions]
        d_eta, d_phi = graph.op("Abs", apart[0]), graph.op("Abs", _wrapped(graph, apart[1]))
        columns += [_mass(graph, both), _hypot(graph, d_eta, d_phi), d_eta, d_phi]
    return columns


# --- images ---------------------------------------------------------------------------------------


def convert_cloud_image(graph: Graph, model: Any, x: Tensor) -> Tensor:
    """Graph of a `CloudToImage`."""
    names = model.features_
    x = _padded(graph, x, 1)
    eta, phi = (_named(graph, x, names, name) for name in ("eta", "phi"))
    unused = graph.op("Or", graph.op("IsNaN", eta), graph.op("IsNaN", phi))
    eta, phi = (graph.op("Where", unused, _ZERO, part) for part in (eta, phi))
    weights = [_intensity(graph, x, names, name, unused) for name in model.channels_]
    eta, phi = _place(graph, model, eta, phi, weights[0])
    rows = _pixels(graph, eta, model.eta_edges_)
    columns = graph.op("Transpose", _pixels(graph, phi, model.phi_edges_), perm=[0, 2, 1])
    channels = []
    for weight in weights:
        weight = graph.op("Unsqueeze", weight, np.array([1]))
        image = graph.op("MatMul", graph.op("Mul", rows, weight), columns)
        if model.normalize:
            total = graph.op("Abs", image)
            total = graph.op("ReduceSum", total, np.array([1, 2]), keepdims=1)
            some = graph.op("Greater", total, _ZERO)
            image = graph.op("Div", image, graph.op("Where", some, total, _ONE))
        channels.append(graph.op("Unsqueeze", graph.cast(image, np.float32), np.array([1])))
    shape = (len(channels), len(model.eta_edges_) - 1, len(model.phi_edges_) - 1)
    return Tensor(graph.op("Concat", *channels, axis=1), np.float32, shape)


def _intensity(graph: Graph, x: Tensor, names: list[str], name: str, unused: str) -> str:
    place = find_feature(names, name, _PURPOSE)
    values = _momenta(graph, x, names)["energy"] if place is None else _feature(graph, x, place)
    missing = graph.op("Or", unused, graph.op("IsNaN", values))
    return graph.op("Where", missing, _ZERO, values)


def _place(graph: Graph, model: Any, eta: str, phi: str, weight: str) -> tuple[str, str]:
    """Coordinates in the image, as `CloudToImage` places particles."""

    def total(values: str) -> str:
        return _total(graph, graph.op("Mul", weight, values))

    def turned_up(values: str) -> str:
        down = graph.op("Less", total(graph.op("Sign", values)), _ZERO)
        return graph.op("Mul", graph.op("Where", down, -_ONE, _ONE), values)

    if model.center:
        direction = _arctan2(graph, total(graph.op("Sin", phi)), total(graph.op("Cos", phi)))
        phi = _wrapped(graph, graph.op("Sub", phi, direction))
        sums = _total(graph, weight)
        sums = graph.op("Where", graph.op("Equal", sums, _ZERO), _ONE, sums)
        eta, phi = (
            graph.op("Sub", part, graph.op("Div", total(part), sums)) for part in (eta, phi)
        )
    phi = _wrapped(graph, phi)
    if model.rotate:
        mixed = graph.op("Mul", np.float64(2), total(graph.op("Mul", eta, phi)))
        apart = total(graph.op("Sub", _square(graph, eta), _square(graph, phi)))
        angle = graph.op("Mul", _arctan2(graph, mixed, apart), np.float64(0.5))
        cos, sin = graph.op("Cos", angle), graph.op("Sin", angle)
        eta, phi = (
            graph.op("Add", graph.op("Mul", cos, eta), graph.op("Mul", sin, phi)),
            graph.op("Sub", graph.op("Mul", cos, phi), graph.op("Mul", sin, eta)),
        )
        down = graph.op("Less", total(graph.op("Sign", eta)), _ZERO)
        side = graph.op("Where", down, -_ONE, _ONE)
        eta, phi = (graph.op("Mul", side, part) for part in (eta, phi))
    if model.flip:
        eta, phi = turned_up(eta), turned_up(phi)
    return eta, phi


def _pixels(graph: Graph, values: str, edges: NDArray[np.float64]) -> str:
    """1 in the pixel of each particle, 0 elsewhere: shape (n_events, n_pixels, n_particles)."""
    values = graph.op("Unsqueeze", values, np.array([1]))
    upper = edges[1:].copy()
    upper[-1] = np.nextafter(upper[-1], np.inf)  # the last pixel holds its edge
    below = graph.op("Less", values, edges[:-1, None])
    inside = graph.op("And", graph.op("Not", below), graph.op("Less", values, upper[:, None]))
    return graph.cast(inside, np.float64)
