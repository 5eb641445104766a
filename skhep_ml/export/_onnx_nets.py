"""Nets as ONNX graphs, from their inputs as they are to probabilities or predictions."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from skhep_ml._extras import import_extra
from skhep_ml.export._onnx_clouds import dense_form
from skhep_ml.neural_network import NetClassifier
from skhep_ml.neural_network._members import Members
from skhep_ml.neural_network._outputs import check_prior
from skhep_ml.neural_network._probabilities import _SOFTMAX_LOSSES, _criterion_type, _member_mean

# operator sets that torch's tracer writes
_OLDEST, _NEWEST = 9, 20
# largest difference between net and graph on made-up events, in units of the answer's size
_TOLERANCE = 1e-4


def net_graph(net: Any, opset: int) -> Any:
    """Graph of a fitted net for onnxruntime and the frameworks of the experiments.

    Parameters
    ----------
    net : NetClassifier or NetRegressor
        The net. With several members the graph holds all of them and their mean.
    opset : int
        Operator set, from 13; above 20 the graph is of 20.

    Returns
    -------
    onnx.ModelProto
        Input "features" (or one for each input that the net has, by name), float32, of any number
        of events; for clouds of any number of particles, NaN where they are absent. Outputs
        "label" (int64, number of the class) and "probabilities" (n_events, n_classes), or
        "prediction" in the shape that ``predict`` gives.

    Raises
    ------
    NotImplementedError
        A module that torch cannot trace, or whose traced graph answers otherwise than the net.
    ModuleNotFoundError
        The extra "onnx" is not installed.

    Notes
    -----
    Softmax, temperature, class mixture and the scale of the target are part of the graph, as is
    the choice of the columns that the module sees. Clouds go through `DenseCloud`, images and
    tables through the module itself. Everything is computed in single precision, also where the
    net uses ``precision="bf16"``. The graph is compared with the net on a few made-up events.
    """
    onnx = import_extra("onnx", extra="onnx")
    check_is_fitted(net, "module_")
    classifies = isinstance(net, NetClassifier)
    answer = (_Classifier if classifies else _Regressor)(net).eval()
    shapes = _shapes(net)
    outputs = ["label", "probabilities"] if classifies else ["prediction"]
    axes: dict[str, dict[int, str]] = {name: {0: "n_events"} for name in outputs}
    for name, shape in shapes.items():
        axes[name] = {0: "n_events"}
        if None in shape:
            axes[name][1] = f"n_particles_{name}" if len(shapes) > 1 else "n_particles"
    n_particles = _n_particles(net, 6)
    example = made_up_events(shapes, 5, n_particles)
    content: Any = io.BytesIO()
    try:
        with _tracing():
            torch.onnx.export(
                answer,
                tuple(torch.from_numpy(part) for part in example.values()),
                content,
                opset_version=min(opset, _NEWEST),
                dynamo=False,
                input_names=list(shapes),
                output_names=outputs,
                dynamic_axes=axes,
            )
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        msg = f"torch cannot trace {type(net.module_).__name__} into opset {opset}: {reason}"
        raise NotImplementedError(msg) from error
    graph = onnx.load_from_string(content.getvalue())
    _compare(net, content.getvalue(), shapes, outputs[-1])
    return graph


def made_up_events(
    shapes: dict[str, tuple[int | None, ...]], n_events: int, n_particles: int
) -> dict[str, NDArray[np.float32]]:
    """Events of given shapes: positive numbers, clouds of 0 to n_particles particles.

    Parameters
    ----------
    shapes : dict of tuple
        Shape of one event's input, by name; None for the number of particles.
    n_events, n_particles : int
        How many; the first cloud is empty, the last one full.

    Returns
    -------
    dict of ndarray
        Inputs by name.
    """
    random = np.random.default_rng(0)
    events = {}
    for name, shape in shapes.items():
        full = [n_particles if axis is None else axis for axis in shape]
        values = np.abs(random.normal(size=(n_events, *full))).astype(np.float32)
        if len(shape) == 2:
            counts = np.linspace(0, n_particles, n_events).astype(int)
            values[np.arange(n_particles) >= counts[:, None]] = np.nan
        events[name] = values
    return events


@contextmanager
def _tracing() -> Iterator[None]:
    """Trace without warnings, printing to stderr, and with two functions that torch lacks."""
    lacking = {"sinh": "Sinh", "asinh": "Asinh"}
    for name, operator in lacking.items():
        torch.onnx.register_custom_op_symbolic(
            f"aten::{name}", lambda g, x, operator=operator: g.op(operator, x), _OLDEST
        )
    # it prints the graph when it fails, which has no public switch
    print_to = getattr(torch._C, "_jit_set_onnx_log_output_stream", lambda stream: None)
    print_to("stderr")
    try:
        # what the tracer warns of is checked afterwards, by comparison
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            yield
    finally:
        print_to("stdout")
        for name in lacking:
            torch.onnx.unregister_custom_op_symbolic(f"aten::{name}", _OLDEST)


def _n_particles(net: Any, wanted: int) -> int:
    """Number of particles that a net takes: of one that answers for each, that of its target."""
    for_each = getattr(net.module_, "per_particle", False) and hasattr(net, "target_mean_")
    return len(net.target_mean_) if for_each else wanted


def _shapes(net: Any) -> dict[str, tuple[int | None, ...]]:
    shapes = getattr(net, "input_shapes_", None)
    if shapes is None:
        msg = "a net that was fitted on a torch Dataset does not know the shape of its inputs"
        raise NotImplementedError(msg)
    if isinstance(shapes, dict):
        return dict(shapes)
    n_particles = _n_particles(net, 0)
    return {"features": tuple(n_particles or None if axis is None else axis for axis in shapes)}


class _Answer(nn.Module):
    """What a net makes of its inputs, as one module."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        module = copy.deepcopy(getattr(net.module_, "_orig_mod", net.module_)).cpu().eval()
        single = not isinstance(module, Members)
        members = [module] if single else module.split()
        self.single = single
        self.members = nn.ModuleList(dense_form(member) for member in members).eval()
        nuisance = net._nuisance_
        shapes = net.input_shapes_
        self.names = list(shapes) if isinstance(shapes, dict) else None
        hidden = nuisance.columns if nuisance is not None and nuisance.hidden else ()
        self.hidden = set(hidden) if self.names else set()
        self.columns: list[int] | None = None
        if hidden and not self.names:
            self.columns = [k for k in range(shapes[0]) if k not in hidden]

    def output(self, *inputs: Tensor) -> Tensor:
        """Output of the module, members as second axis."""
        args, kwargs = inputs, {}
        if self.names is not None:
            kwargs = {
                name: part
                for name, part in zip(self.names, inputs, strict=True)
                if name not in self.hidden
            }
            args = (kwargs.pop("X"),) if kwargs.keys() == {"X"} else ()
        elif self.columns is not None:
            args = (torch.stack([inputs[0][:, k] for k in self.columns], dim=1),)
        outputs = [_first(member(*args, **kwargs)) for member in self.members]
        if self.single:
            return outputs[0]
        stacked = torch.stack(outputs, dim=1)
        # members that are ensembles themselves count as all of theirs
        return stacked.flatten(1, 2) if stacked.ndim == 4 else stacked


def _first(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


class _Classifier(_Answer):
    """Labels by number, and probabilities."""

    def __init__(self, net: Any) -> None:
        super().__init__(net)
        self.net = (net,)  # in a tuple: torch must not take its parameters for ours
        criterion = _criterion_type(net.criterion_)
        own = callable(net.predict_nonlinearity)
        self.binary = not own and isinstance(criterion, nn.BCEWithLogitsLoss)
        self.softmax = not own and isinstance(criterion, _SOFTMAX_LOSSES)
        self.temperature = 1.0 if net.calibrate is None else float(net.temperature_)
        self.shift: Tensor | None = None
        prior = check_prior(net.prior, net.classes_)
        if prior is not None:
            self.shift = torch.tensor(np.log(prior / net.class_prior_), dtype=torch.float32)
        self.final = net.calibrate is None and prior is None

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Number of the most probable class, and probabilities of all."""
        probability = self._probability(self.output(*inputs))
        return probability.argmax(dim=1), probability

    def _probability(self, output: Tensor) -> Tensor:
        if self.binary:
            logit = output.flatten(1)
            signal = torch.sigmoid(logit).mean(dim=1)
            probability = torch.stack([1 - signal, signal], dim=1)
            output = torch.stack([torch.zeros_like(signal), logit[:, 0]], dim=1)
            smooth = logit.shape[1] == 1
        elif self.softmax:
            probability = _member_mean(torch.softmax(output, dim=-1))
            smooth = output.ndim == 2
        else:
            probability, smooth = self.net[0]._probability(output), False
        if self.final:
            return probability
        tiny = torch.finfo(torch.float32).tiny
        log = torch.log_softmax(output, dim=1) if smooth else probability.clamp(min=tiny).log()
        log = log / self.temperature
        return torch.softmax(log if self.shift is None else log + self.shift, dim=1)


class _Regressor(_Answer):
    """Predictions in the unit of the target."""

    def __init__(self, net: Any) -> None:
        super().__init__(net)
        self.locate = getattr(net.criterion_, "location", None)
        self.one = net._single_target_
        self.scale = torch.from_numpy(np.asarray(net.target_scale_, dtype=np.float64))
        self.mean = torch.from_numpy(np.asarray(net.target_mean_, dtype=np.float64))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Predictions."""
        output = self.output(*inputs)
        if output.ndim == 3:
            output = torch.stack([self._located(part) for part in output.unbind(1)]).mean(dim=0)
        else:
            output = self._located(output)
        output = output.unsqueeze(1) if output.ndim == 1 else output
        # masses in MeV would lose digits in single precision
        table = (output.double() * self.scale + self.mean).float()
        return table[:, 0] if self.one else table

    def _located(self, output: Tensor) -> Tensor:
        """Middle of what the loss predicts: some of the columns of the output."""
        if self.locate is None:
            return output
        numbers = torch.arange(output.shape[1], dtype=torch.float32).unsqueeze(0)
        columns = self.locate(numbers)[0].long().tolist()
        return torch.stack([output[:, k] for k in columns], dim=1)


def _compare(net: Any, content: bytes, shapes: dict[str, Any], output: str) -> None:
    """Refuse a graph whose answers are not those of the net."""
    onnxruntime = import_extra("onnxruntime", extra="onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    for n_events, wanted in ((7, 6), (1, 9), (2, 1)):
        events = made_up_events(shapes, n_events, _n_particles(net, wanted))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # names of columns
            X = events if isinstance(net.input_shapes_, dict) else events["features"]
            expected = net.predict_proba(X) if output == "probabilities" else net.predict(X)
        try:
            (got,) = session.run([output], events)
        except Exception as error:
            reason = str(error).strip().splitlines()[0]
            msg = f"the graph of {type(net.module_).__name__} fails on {n_events} events: {reason}"
            raise NotImplementedError(msg) from error
        size = 1.0 if output == "probabilities" else np.abs(net.target_scale_).max()
        size = max(size, np.abs(expected).max(initial=0.0))
        # another precision of the net cannot be reproduced
        tolerance = 0.02 if net.precision == "bf16" else _TOLERANCE
        if got.shape != expected.shape or np.abs(got - expected).max() > tolerance * size:
            msg = (
                f"the traced graph of {type(net.module_).__name__} does not reproduce it: the "
                "module looks at values, or at lengths, of its inputs in Python"
            )
            raise NotImplementedError(msg)
