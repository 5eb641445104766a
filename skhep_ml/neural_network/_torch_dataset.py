"""Training on a torch Dataset: what it shows of its events, and what it cannot do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset, Subset, TensorDataset

from skhep_ml._early_stopping import stopping_mask
from skhep_ml.neural_network._dataset import unwrap
from skhep_ml.neural_network._inputs import (
    check_shapes,
    event_shape,
    forget_columns,
    record_shapes,
)
from skhep_ml.neural_network._prepare import Run, automatic_batch_size

# parameters that need all events as arrays
_NEED_ARRAYS = (
    "calibrate",
    "checkpoint",
    "class_weight",
    "decorrelate",
    "eval_metric",
    "prior",
    "refit",
)


def refuse_with_dataset(**arguments: Any) -> None:
    """Refuse arguments of fit that go with arrays.

    Raises
    ------
    ValueError
        One of them is given.
    """
    given = [name for name, value in arguments.items() if value is not None]
    if given:
        msg = f"{given} need X as arrays: a torch Dataset goes to skorch as it is"
        raise ValueError(msg)


def dataset_run(
    net: Any, X: Any, y: Any, device: str, *, seed: int, learn_shapes: bool, learn_target: bool
) -> Run:
    """Check a Dataset and hold events out; where asked, the net learns shapes and classes from it.

    Raises
    ------
    ValueError
        Parameters that need arrays, items that are no pairs, a target of another length, or other
        shapes or classes than before.
    """
    for name in _NEED_ARRAYS:
        value = getattr(net, name, None)
        if value is not None and value is not False:
            msg = f"{name} needs X as arrays, not as a torch Dataset"
            raise ValueError(msg)
    inputs, item_target = _first_item(X)
    shapes = _shapes(inputs)
    if learn_shapes:
        forget_columns(net)
        net._nuisance_ = None
        record_shapes(net, shapes)
    elif hasattr(net, "input_shapes_"):
        check_shapes(net, shapes)
    target = _shown_target(X, y)
    if target is not None and len(target) != len(X):
        msg = f"y has {len(target)} entries, but the Dataset has {len(X)} events"
        raise ValueError(msg)
    net._learn_from_dataset(target, np.shape(item_target), learn=learn_target)
    train, valid = X, None
    if net.train_split:
        train, valid = net.get_split_datasets(X, y)
    elif net.early_stopping:
        train, valid = _held_out(net, X, target, seed)
    if net.early_stopping and valid is None:
        msg = "early_stopping needs held-out events, but train_split gives none"
        raise ValueError(msg)
    batch_size = net.batch_size
    if batch_size == "auto":
        parts = inputs.values() if isinstance(inputs, Mapping) else [inputs]
        shapes = [(1, *getattr(part, "shape", ())) for part in parts]
        batch_size = automatic_batch_size(train, device, shapes)
    return Run(train, valid, torch.Generator().manual_seed(seed), batch_size)


def _first_item(X: Any) -> tuple[Any, Any]:
    if isinstance(X, IterableDataset) or not hasattr(X, "__len__") or not len(X):
        msg = (
            f"{type(X).__name__} must have events, their number as len() and items by number, "
            "which an IterableDataset has not"
        )
        raise ValueError(msg)
    item = X[0]
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        msg = (
            f"the items of {type(X).__name__} must be pairs (inputs, target), got "
            f"{type(item).__name__}{f' of {len(item)}' if isinstance(item, (tuple, list)) else ''}"
        )
        raise ValueError(msg)
    return item[0], item[1]


def _shapes(inputs: Any) -> Any:
    """Shapes as fit learns them from arrays; None where inputs are no arrays."""
    if isinstance(inputs, Mapping):
        shapes = {name: _shapes(part) for name, part in inputs.items()}
        if any(shape is None or isinstance(shape, dict) for shape in shapes.values()):
            return None
        return shapes["X"] if shapes.keys() == {"X"} else shapes
    shape = getattr(inputs, "shape", ())
    return event_shape(shape) if 1 <= len(shape) <= 3 else None


def _shown_target(X: Any, y: Any) -> NDArray[Any] | None:
    """Target of all events, if it was passed, or the Dataset is of skorch or of tensors."""
    if y is None:
        dataset, rows = unwrap(X)
        if isinstance(dataset, TensorDataset):
            y = dataset.tensors[1]
        elif hasattr(dataset, "X"):
            y = getattr(dataset, "y", None)
        if y is not None and rows is not None:
            y = _as_array(y)[rows.numpy()]
    return None if y is None else _as_array(y)


def _as_array(y: Any) -> NDArray[Any]:
    return y.cpu().numpy() if isinstance(y, torch.Tensor) else np.asarray(y)


def _held_out(net: Any, X: Any, target: NDArray[Any] | None, seed: int) -> tuple[Any, Any]:
    """Parts of a Dataset for training and early stopping, of all classes where it shows them."""
    if target is None:
        codes, classes = np.zeros(len(X), dtype=np.intp), np.array(["all"])
    else:
        codes, classes = net._codes(net._encode(target))
    held = stopping_mask(
        codes, classes, None, fraction=net.validation_fraction, salt=net.salt, seed=seed
    )
    train, valid = (Subset(X, np.flatnonzero(mask).tolist()) for mask in (~held, held))
    return train, valid
