"""From what a user passes as X to float32 arrays, one or several by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_array, validate_data
from torch import Tensor

from skhep_ml._frames import is_frame
from skhep_ml._validation import align_columns
from skhep_ml.events import Events
from skhep_ml.neural_network._dataset import NUISANCE, WEIGHT

KINDS = {2: "table", 3: "cloud", 4: "image"}


def check_inputs(net: Any, X: Any, *, reset: bool) -> Any:
    """Check X and return it as float32 arrays: one, or a dict of them.

    On ``reset`` the shapes are recorded, as in `record_shapes`.

    Raises
    ------
    ValueError
        NaN in a table or image, infinite values, or other shapes than in fit.
    NotFittedError
        There is no fit to compare with: the net was only initialised, or fitted on a Dataset whose
        items are no arrays.
    """
    if not reset and not hasattr(net, "input_shapes_"):
        msg = (
            "the shapes of X are learnt in fit, and this net was only initialised, or fitted on a "
            "torch Dataset whose inputs are no arrays: fit it on arrays, or predict on a Dataset"
        )
        raise NotFittedError(msg)
    if reset:
        forget_columns(net)
    several = not reset and isinstance(net.input_shapes_, dict)
    if _is_named(X) and list(X.keys()) == ["X"] and not several:
        X = X["X"]  # one input of this name is the same as the input alone
    if several and not _is_named(X):
        msg = f"X is a single input, but the net was fitted on several: {net.input_shapes_}"
        raise ValueError(msg)
    if _is_named(X):
        reserved = {WEIGHT, NUISANCE} & set(X.keys())
        if reserved:
            msg = f"inputs cannot be called {sorted(reserved)}: the net uses these names itself"
            raise ValueError(msg)
        if reset:
            net.input_columns_ = {
                str(name): [str(column) for column in part.columns]
                for name, part in X.items()
                if is_frame(part)
            }
        X = {name: _by_name(net, str(name), part) for name, part in X.items()}
        arrays: Any = {str(name): _named_input(str(name), array) for name, array in X.items()}
        lengths = {name: len(array) for name, array in arrays.items()}
        if not arrays or len(set(lengths.values())) > 1:
            msg = f"the inputs of X must have one length, got {lengths}"
            raise ValueError(msg)
    elif len(getattr(X, "shape", ())) > 2:
        arrays = _many_axes(X, "X")
    else:
        table = X if reset else align_columns(net, X)
        arrays = validate_data(net, table, reset=reset, dtype=np.float32)
    shapes = input_shapes(arrays)
    if reset:
        record_shapes(net, shapes)
    else:
        check_shapes(net, shapes)
    return arrays


def _is_named(X: Any) -> bool:
    # sparse matrices of one kind are dicts
    return isinstance(X, (Mapping, Events)) and not issparse(X)


def forget_columns(net: Any) -> None:
    """Forget the names of columns of an earlier fit."""
    for name in ("feature_names_in_", "input_columns_"):
        vars(net).pop(name, None)


def record_shapes(net: Any, shapes: Any) -> None:
    """Record shapes, as `input_shapes` gives them, in ``net.input_shapes_``; None forgets them."""
    for name in ("input_shapes_", "n_features_in_"):
        vars(net).pop(name, None)
    if shapes is not None:
        net.input_shapes_ = shapes
        net.n_features_in_ = n_features(shapes)


def check_shapes(net: Any, shapes: Any) -> None:
    """Compare shapes with those recorded in fit.

    Raises
    ------
    ValueError
        They are others.
    """
    if shapes != net.input_shapes_:
        msg = f"X has inputs of shape {shapes}, but the net was fitted on {net.input_shapes_}"
        raise ValueError(msg)


def n_features(shapes: Any) -> int:
    """Features of a table or cloud, channels of an image, or number of named inputs."""
    if isinstance(shapes, dict):
        return len(shapes)
    return shapes[0] if len(shapes) == 3 else shapes[-1]


def _by_name(net: Any, name: str, part: Any) -> Any:
    """Columns of a DataFrame in the order of fit."""
    order = getattr(net, "input_columns_", {}).get(name)
    if order is None or not is_frame(part) or list(part.columns) == order:
        return part
    if sorted(map(str, part.columns)) != sorted(order):
        msg = f"input {name!r} has the columns {list(part.columns)}, but fit had {order}"
        raise ValueError(msg)
    return part[order]


def input_shapes(arrays: Any) -> Any:
    """Shape of each input without its first axis; None for the number of particles."""
    if isinstance(arrays, dict):
        return {name: input_shapes(array) for name, array in arrays.items()}
    return event_shape(arrays.shape[1:])


def event_shape(shape: Any) -> Any:
    """Shape of one event's input as it is recorded: a cloud may have any number of particles."""
    return (None, shape[1]) if len(shape) == 2 else tuple(shape)


def _named_input(name: str, X: Any) -> NDArray[np.float32]:
    if hasattr(X, "fields") and hasattr(X, "layout"):
        msg = f"input {name!r} is a jagged array: pad it with JaggedToPadded first"
        raise ValueError(msg)
    if len(getattr(X, "shape", ())) > 2:
        return _many_axes(X, f"input {name!r}")
    array = check_array(X, dtype=np.float32, ensure_2d=False, input_name=f"input {name!r}")
    return array.reshape(len(array), -1)


def _many_axes(X: Any, name: str) -> NDArray[np.float32]:
    shape = X.shape
    if len(shape) not in KINDS:
        msg = f"{name} has shape {shape}: 2 (table), 3 (cloud) or 4 (image) axes are known"
        raise ValueError(msg)
    if 0 in shape[1:]:
        msg = f"{name} has shape {shape}: no axis beyond the first may be empty"
        raise ValueError(msg)
    finite = "allow-nan" if len(shape) == 3 else True
    return check_array(
        X, dtype=np.float32, allow_nd=True, ensure_all_finite=finite, input_name=name
    )


def to_tensors(arrays: Any) -> Any:
    """Tensors that share the memory of the arrays where they may."""
    if isinstance(arrays, dict):
        return {name: to_tensors(array) for name, array in arrays.items()}
    return to_tensor(arrays)


def to_tensor(array: NDArray[Any]) -> Tensor:
    """Tensor with the memory of the array, or of a copy if it is read-only or not contiguous."""
    array = np.ascontiguousarray(array)
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def flat_table(arrays: Any) -> NDArray[np.float32]:
    """All inputs side by side as one table, for models of the weights' signs."""
    parts = list(arrays.values()) if isinstance(arrays, dict) else [arrays]
    flat = [part.reshape(len(part), -1) for part in parts]
    return flat[0] if len(flat) == 1 else np.hstack(flat)
