"""From the arguments of fit to tensors: targets, weights, and what is held out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_consistent_length
from torch import Tensor

from skhep_ml._early_stopping import evaluation_pairs, stopping_mask
from skhep_ml._validation import check_event_id, check_event_weight
from skhep_ml.neural_network._dataset import NUISANCE, WEIGHT, EventDataset, unwrap
from skhep_ml.neural_network._inputs import check_inputs, flat_table, to_tensor, to_tensors
from skhep_ml.neural_network._losses import EventLoss
from skhep_ml.neural_network._penalties import DoubleDisCoLoss, find_nuisance, visible_inputs
from skhep_ml.weights._policies import prepare_weights

# fewer events than this say little about the independence of two quantities
_LEAST_TO_DECORRELATE = 512
# share of a GPU's free memory that the events may take; beyond it they stay with the host
_DEVICE_SHARE = 0.4


@dataclass
class FitArguments:
    """Checked arguments of fit, as arrays."""

    inputs: dict[str, NDArray[np.float32]]
    single: bool
    target: NDArray[Any]
    weight: NDArray[np.float64] | None
    groups: NDArray[Any] | None
    valid: Any
    seed: int

    def rows(self, mask: NDArray[np.bool_] | slice) -> Any:
        """Inputs of some events, an array or a dict as they were given."""
        inputs = {name: array[mask] for name, array in self.inputs.items()}
        return inputs["X"] if self.single else inputs


@dataclass
class Run:
    """What one call of fit needs beside the net, gone when it ends.

    Events are `EventDataset`; those that came as a torch Dataset stay one.
    """

    train: Any
    valid: Any
    generator: torch.Generator
    batch_size: int
    epochs: int | None = None
    resumed: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    halved: bool = False
    valid_output: list[Tensor] = field(default_factory=list)


def check_arguments(
    net: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    groups: Any = None,
    eval_set: Any = None,
    sample_weight_eval_set: Any = None,
    *,
    seed: int,
    learn_shapes: bool = True,
    learn_target: bool = True,
) -> FitArguments:
    """Check what fit got; where asked, the net learns shapes and classes from it."""
    if y is None:
        msg = f"{type(net).__name__} requires y to be passed, but the target y is None"
        raise ValueError(msg)
    if sample_weight_eval_set is not None and not eval_set:
        msg = "sample_weight_eval_set holds the weights of an eval_set, but there is none"
        raise ValueError(msg)
    inputs = check_inputs(net, X, reset=learn_shapes)
    if learn_shapes:
        net._nuisance_ = find_nuisance(net, inputs)
    named = inputs if isinstance(inputs, dict) else {"X": inputs}
    n_events = len(next(iter(named.values())))
    target = net._learn_target(y) if learn_target else net._encode(y)
    check_consistent_length(target, next(iter(named.values())))
    weight = check_event_weight(sample_weight, n_events)
    if groups is not None:
        groups = np.column_stack(check_event_id(groups, n_events))
    valid = None
    for X_valid, y_valid, w_valid in evaluation_pairs(eval_set, sample_weight_eval_set)[-1:]:
        valid_inputs, valid_target = check_inputs(net, X_valid, reset=False), net._encode(y_valid)
        parts = valid_inputs if isinstance(valid_inputs, dict) else {"X": valid_inputs}
        check_consistent_length(next(iter(parts.values())), y_valid)
        w_valid = check_event_weight(w_valid, len(valid_target), name="sample_weight_eval_set")
        valid = valid_inputs, valid_target, w_valid
    return FitArguments(named, not isinstance(inputs, dict), target, weight, groups, valid, seed)


def make_run(net: Any, given: FitArguments, device: str, *, hold_out: bool) -> Run:
    """Tensors for training and validation; events are held out if asked for and none are given."""
    target, weight, groups = given.target, given.weight, given.groups
    codes, classes = net._codes(target)
    held = np.zeros(len(target), dtype=bool)
    if hold_out and given.valid is None:
        held = stopping_mask(
            codes,
            classes,
            groups,
            fraction=net.validation_fraction,
            salt=net.salt,
            seed=given.seed,
        )
    train: Any = ~held if held.any() else slice(None)
    pick = lambda values: None if values is None else values[train]  # noqa: E731
    inputs = given.rows(train)
    prepared = prepare_weights(
        flat_table(inputs),
        codes[train],
        classes,
        pick(weight),
        target=target[train],
        negative_weights=net.negative_weights,
        weight_scale=net.weight_scale,
        class_weight=getattr(net, "class_weight", None),
        weight_cap=net.weight_cap,
        groups=pick(groups),
        salt=net.salt,
        random_state=given.seed,
        device=device,
    )
    if prepared is not None and not isinstance(net._make_criterion(), EventLoss):
        msg = (
            f"criterion={net.criterion!r} takes no weights: give it an argument reduction, so that "
            "it returns the loss of each event with reduction='none'"
        )
        raise ValueError(msg)
    dataset = _dataset(net, inputs, target[train], None if prepared is None else prepared.train)
    factor = np.ones(len(classes)) if prepared is None else prepared.class_factor
    valid = None
    if hold_out and given.valid is not None:
        inputs, target, weight = given.valid
        valid = _validation(net, inputs, target, weight, factor)
    elif held.any():
        w_held = None if weight is None else weight[held]
        valid = _validation(net, given.rows(held), target[held], w_held, factor)
    batch_size = net.batch_size
    if batch_size == "auto":
        batch_size = automatic_batch_size(dataset, device)
        if net.decorrelate is not None or isinstance(net._make_criterion(), DoubleDisCoLoss):
            batch_size = max(batch_size, _LEAST_TO_DECORRELATE)
    return Run(
        place(dataset, device),
        None if valid is None else place(valid, device),
        torch.Generator().manual_seed(given.seed),
        batch_size,
    )


def automatic_batch_size(dataset: Any, device: str, shapes: Any = None) -> int:
    """Power of two near n/128, from 32 to 1024 (4096 on a GPU).

    Clouds and images have 16 (64) thousand particles or pixels in a batch at most, since what a
    network keeps for its gradient grows with them. ``shapes`` are those of the inputs, where the
    dataset does not hold them as tensors.
    """
    gpu = device.startswith("cuda")
    power = min(max(round(math.log2(max(len(dataset), 1) / 128)), 5), 12 if gpu else 10)
    if shapes is None:
        inputs = getattr(unwrap(dataset)[0], "inputs", {})
        parts = inputs.values() if isinstance(inputs, dict) else [inputs]
        shapes = [part.shape for part in parts]
    places = max((math.prod(_places(shape)) for shape in shapes), default=1)
    if places > 1:
        power = min(power, int(math.log2((65536 if gpu else 16384) / places)))
    return 2 ** max(power, 3)


def _places(shape: Any) -> Any:
    """Particles of a cloud, height and width of an image; nothing for a table."""
    return shape[1:-1] if len(shape) == 3 else shape[2:]


def place(dataset: EventDataset, device: str) -> EventDataset:
    """Move events to the device if they fit; otherwise batches travel one by one."""
    if not device.startswith("cuda"):
        return dataset
    size = sum(t.numel() * t.element_size() for t in dataset.tensors())
    free, _ = torch.cuda.mem_get_info(device)
    return dataset.to(device) if size < _DEVICE_SHARE * free else dataset


def _dataset(
    net: Any, inputs: Any, target: NDArray[Any], weight: NDArray[np.float64] | None
) -> EventDataset:
    extras = {} if weight is None else {WEIGHT: to_tensor(weight.astype(np.float32))}
    if net._nuisance_ is not None:
        extras[NUISANCE] = to_tensor(net._nuisance_.values(inputs))
    return EventDataset(to_tensors(visible_inputs(net, inputs)), to_tensor(target), extras)


def _validation(
    net: Any,
    inputs: Any,
    target: NDArray[Any],
    weight: NDArray[np.float64] | None,
    factor: NDArray[np.float64],
) -> EventDataset:
    """Held-out events with their own signed weights, of mean 1 after class balance."""
    codes, _ = net._codes(target)
    if weight is None and (factor == 1).all():
        return _dataset(net, inputs, target, None)
    weight = np.ones(len(target)) if weight is None else weight
    weight = weight * factor[codes]
    if weight.sum() <= 0:
        msg = (
            f"the held-out weights sum to {weight.sum():.6g}: early stopping needs a positive sum; "
            "change validation_fraction or salt, or give more events"
        )
        raise ValueError(msg)
    return _dataset(net, inputs, target, weight * (len(weight) / weight.sum()))
