"""What expressions can call: functions of numbers, and of the particles of a jagged branch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skhep_ml._extras import import_extra
from skhep_ml.events import is_awkward


class Function(NamedTuple):
    """A function with the number of arguments that it takes."""

    call: Callable[..., Any]
    n_arguments: int


def depth(value: Any) -> int:
    """Number of axes: 0 for a number, 1 for one number an event, 2 for a jagged branch."""
    return int(value.ndim) if is_awkward(value) else np.ndim(value)


def numbers(value: Any) -> Any:
    """Integers and booleans as int64, so that sums neither wrap around nor stay boolean.

    What is wider, floating or a Python number passes as it is.
    """
    if isinstance(value, bool):
        return int(value)
    if is_awkward(value):
        ak = import_extra("awkward", "root")
        kind = leaf_dtype(value)
        return value if kind.kind not in "iub" else ak.values_astype(value, np.int64)
    if isinstance(value, np.ndarray) and value.dtype.kind in "iub":
        return value.astype(np.int64, copy=False)
    return value


def leaf_dtype(value: Any) -> np.dtype[Any]:
    """Type of the numbers in an array."""
    if not is_awkward(value):
        return np.asarray(value).dtype
    ak = import_extra("awkward", "root")
    leaves = ak.flatten(value[:0], axis=None)
    return np.dtype(ak.to_numpy(leaves).dtype)


def as_jagged(value: Any) -> Any:
    """A jagged branch as an awkward array; a 2-D array of HDF5 or NumPy becomes one."""
    ak = import_extra("awkward", "root")
    array = value if is_awkward(value) else ak.from_numpy(np.ascontiguousarray(value))
    return ak.from_regular(array, axis=1)


def element(value: Any, index: int) -> NDArray[Any]:
    """Particle number ``index`` of every event, NaN where it does not exist."""
    if not is_awkward(value):
        n_particles = value.shape[1]
        if -n_particles <= index < n_particles:
            return value[:, index]
        return np.full(len(value), np.nan)
    ak = import_extra("awkward", "root")
    counts = ak.to_numpy(ak.num(value, axis=1))
    flat = ak.to_numpy(ak.flatten(value, axis=1))
    starts = np.cumsum(counts) - counts
    exists = counts > index if index >= 0 else counts >= -index
    place = starts + (index if index >= 0 else counts + index)
    out = np.full(len(counts), np.nan, dtype=flat.dtype if flat.dtype.kind == "f" else np.float64)
    out[exists] = flat[place[exists]]
    return out


def selected(value: Any, mask: Any) -> Any:
    """Particles that pass a mask.

    Raises
    ------
    ValueError
        A mask with another number of particles, which awkward would only refuse if it is longer.
    """
    ak = import_extra("awkward", "root")
    particles, passed = as_jagged(value), as_jagged(mask)
    counts = [ak.to_numpy(ak.num(array, axis=1)) for array in (particles, passed)]
    differ = counts[0] != counts[1]
    if differ.any():
        event = int(differ.argmax())
        msg = (
            f"the condition in [...] has {counts[1][event]} particles where the branch has "
            f"{counts[0][event]} (event {event} of a block): both must be of one collection"
        )
        raise ValueError(msg)
    return particles[passed]


def first_particles(value: Any, start: int | None, stop: int | None) -> Any:
    """A slice of the particles of every event."""
    return as_jagged(value)[:, start:stop]


def _over_particles(name: str) -> Callable[[Any], NDArray[Any]]:
    """Reduction of a jagged branch to one number an event."""

    def reduce(value: Any) -> NDArray[Any]:
        if depth(value) != 2:
            other = {"min": "; minimum(a, b) compares two values", "max": "; maximum(a, b) does"}
            msg = (
                f"{name}() goes over the particles of a jagged branch, but its argument has "
                f"{'one value an event' if depth(value) < 2 else 'lists in lists'}"
                f"{other.get(name, '')}"
            )
            raise ValueError(msg)
        ak = import_extra("awkward", "root")
        array = as_jagged(value)
        if name in ("count", "len"):
            return ak.to_numpy(ak.num(array, axis=1))
        if name in ("sum", "mean"):
            array = numbers(array)
        result = getattr(ak, name)(array, axis=1)
        if name in ("min", "max"):
            # an event without particles has none
            dtype = leaf_dtype(array)
            missing = dtype.type(np.nan) if dtype.kind == "f" else np.nan
            result = ak.fill_none(result, missing)
        return ak.to_numpy(result)

    return reduce


def where(condition: Any, yes: Any, no: Any) -> Any:
    """The second argument where the first holds, else the third."""
    if any(is_awkward(value) for value in (condition, yes, no)):
        ak = import_extra("awkward", "root")
        # a branch on both sides brings its own type; a number takes that of the other side
        return ak.where(condition, yes, no)
    return np.where(condition, yes, no)


def delta_phi(phi1: Any, phi2: Any) -> Any:
    """Difference of two azimuthal angles, in [-pi, pi)."""
    return (phi1 - phi2 + np.pi) % (2 * np.pi) - np.pi


def delta_r(eta1: Any, phi1: Any, eta2: Any, phi2: Any) -> Any:
    """Distance in pseudorapidity and azimuth."""
    return np.hypot(eta1 - eta2, delta_phi(phi1, phi2))


_UNARY = (
    "abs",
    "sqrt",
    "exp",
    "log",
    "log10",
    "log1p",
    "sin",
    "cos",
    "tan",
    "arctan",
    "sinh",
    "cosh",
    "tanh",
    "isfinite",
    "isnan",
)

FUNCTIONS = {
    **{name: Function(getattr(np, name), 1) for name in _UNARY},
    **{name: Function(getattr(np, name), 2) for name in ("arctan2", "hypot", "minimum", "maximum")},
    "where": Function(where, 3),
    "delta_phi": Function(delta_phi, 2),
    "delta_r": Function(delta_r, 4),
    **{
        name: Function(_over_particles(name), 1)
        for name in ("sum", "mean", "min", "max", "any", "all", "count", "len")
    },
}
