"""Gaussian processes as graphs, in double precision: a kernel with fixed points, then products."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from sklearn.gaussian_process import kernels

from skhep_ml.export._convert_models import Outputs, classified, flat
from skhep_ml.export._graph import Graph, Tensor

# a protocol buffer ends at 2 GiB
_LARGEST = 2**31 - 2**24
# smallest squared distance under a root, as in the models
_TINY = 1e-30


def convert_gp_regressor(graph: Graph, model: Any, x: Tensor) -> Outputs:
    """Graph of the mean of a `GPRegressor`."""
    x = graph.as_kind(x, np.float64)
    posterior = model._posterior
    _check_size(posterior.points.nbytes)
    cross = _covariance(graph, posterior.kernel, x, posterior.points)
    mean = graph.op("MatMul", cross, model.y_scale_ * posterior.beta[:, None])
    mean = graph.op("Add", mean, _trend(graph, model, x))
    return {"prediction": flat(graph, graph.cast(mean, np.float32))}


def _trend(graph: Graph, model: Any, x: Tensor) -> Any:
    mean = model._mean_function
    if mean is None:
        return np.float64(model.y_offset_)
    if model.mean == "constant":
        return np.float64(mean.parameters[0])
    if model.mean == "linear":
        slope = graph.op("MatMul", x.name, mean.parameters[1:, None])
        return graph.op("Add", slope, np.float64(mean.parameters[0]))
    msg = "its mean is a function of yours, which is no operator; 'constant' and 'linear' are"
    raise NotImplementedError(msg)


def convert_gp_classifier(graph: Graph, model: Any, x: Tensor) -> Outputs:
    """Graph of a `GPClassifier`."""
    from skhep_ml.gaussian_process._classifier import _NODE_WEIGHTS, _NODES

    x = graph.as_kind(x, np.float64)
    _check_size(sum(2 * posterior.factor.nbytes for posterior in model._posteriors))
    columns = []
    for posterior in model._posteriors:
        mean, variance = _moments(graph, posterior, x)
        spread = graph.op("Mul", graph.op("Sqrt", variance), _NODES[None])
        odds = graph.op("Sigmoid", graph.op("Add", mean, spread))
        columns.append(graph.op("MatMul", odds, _NODE_WEIGHTS[:, None]))
    if len(columns) == 1:
        other = graph.op("Sub", np.ones((1, 1)), columns[0])
        probabilities = graph.op("Concat", other, columns[0], axis=1)
    else:
        single = graph.op("Concat", *columns, axis=1)
        total = graph.op("ReduceSum", single, np.array([1]), keepdims=1)
        probabilities = graph.op("Div", single, total)
    return classified(graph, model.classes_, graph.cast(probabilities, np.float32))


def _moments(graph: Graph, posterior: Any, x: Tensor) -> tuple[str, str]:
    """Mean and variance of the function, shape (n_events, 1)."""
    cross = _covariance(graph, posterior.kernel, x, posterior.points)
    mean = graph.op("MatMul", cross, posterior.beta[:, None])
    # there is no operator for triangular systems
    inverse = solve_triangular(posterior.factor, np.eye(len(posterior.points)), lower=True)
    variance = _variance(graph, posterior.kernel, x)
    v = graph.op("MatMul", cross, np.ascontiguousarray(inverse.T))
    variance = graph.op("Sub", variance, _squares(graph, v))
    if posterior.inner is not None:
        w = graph.op("MatMul", v, np.ascontiguousarray(posterior.inner.T))
        variance = graph.op("Add", variance, _squares(graph, w))
    return mean, graph.op("Max", variance, np.float64(0))


def _check_size(n_bytes: int) -> None:
    if n_bytes > _LARGEST:
        msg = (
            f"its matrices take {n_bytes / 1e9:.1f} GB, and a graph holds 2: fit with "
            "method='sparse'"
        )
        raise NotImplementedError(msg)


def _squares(graph: Graph, values: str) -> str:
    return graph.op("ReduceSum", graph.op("Mul", values, values), np.array([1]), keepdims=1)


def _covariance(graph: Graph, kernel: Any, x: Tensor, points: NDArray[np.float64]) -> str:
    """Covariance of the function at x and the points, white noise left out."""
    if isinstance(kernel, (kernels.Sum, kernels.Product)):
        parts = [_covariance(graph, part, x, points) for part in (kernel.k1, kernel.k2)]
        return graph.op("Add" if isinstance(kernel, kernels.Sum) else "Mul", *parts)
    if isinstance(kernel, kernels.Exponentiation):
        inner = _covariance(graph, kernel.kernel, x, points)
        return graph.op("Pow", inner, np.float64(kernel.exponent))
    if isinstance(kernel, (kernels.WhiteKernel, kernels.ConstantKernel)):
        value = getattr(kernel, "constant_value", 0.0)
        # of the shape of the others
        nothing = graph.op("MatMul", x.name, np.zeros((points.shape[1], len(points))))
        return graph.op("Add", nothing, np.float64(value))
    if isinstance(kernel, kernels.DotProduct):
        product = graph.op("MatMul", x.name, np.ascontiguousarray(points.T))
        return graph.op("Add", product, np.float64(kernel.sigma_0**2))
    if isinstance(kernel, kernels.Matern):  # before RBF, its base class
        return _matern(graph, kernel.nu, _squared(graph, x, points, kernel.length_scale))
    if isinstance(kernel, kernels.RBF):
        squared = _squared(graph, x, points, kernel.length_scale)
        return graph.op("Exp", graph.op("Mul", squared, np.float64(-0.5)))
    if isinstance(kernel, kernels.RationalQuadratic):
        stretch = np.float64(2 * kernel.alpha * kernel.length_scale**2)
        ratio = graph.op("Div", _squared(graph, x, points, 1.0), stretch)
        return graph.op("Pow", graph.op("Add", ratio, np.float64(1)), np.float64(-kernel.alpha))
    assert isinstance(kernel, kernels.ExpSineSquared)
    squared = graph.op("Max", _squared(graph, x, points, 1.0), np.float64(_TINY))
    phase = graph.op("Mul", graph.op("Sqrt", squared), np.float64(np.pi / kernel.periodicity))
    wave = graph.op("Div", graph.op("Sin", phase), np.float64(kernel.length_scale))
    return graph.op("Exp", graph.op("Mul", graph.op("Mul", wave, wave), np.float64(-2)))


def _variance(graph: Graph, kernel: Any, x: Tensor) -> str:
    """Prior variance with white noise, shape (n_events, 1)."""
    if isinstance(kernel, (kernels.Sum, kernels.Product)):
        parts = [_variance(graph, part, x) for part in (kernel.k1, kernel.k2)]
        return graph.op("Add" if isinstance(kernel, kernels.Sum) else "Mul", *parts)
    if isinstance(kernel, kernels.Exponentiation):
        return graph.op("Pow", _variance(graph, kernel.kernel, x), np.float64(kernel.exponent))
    if isinstance(kernel, kernels.DotProduct):
        return graph.op("Add", _squares(graph, x.name), np.float64(kernel.sigma_0**2))
    value = 1.0
    if isinstance(kernel, kernels.WhiteKernel):
        value = kernel.noise_level
    elif isinstance(kernel, kernels.ConstantKernel):
        value = kernel.constant_value
    return graph.constant(np.array([[value]], dtype=np.float64))


def _squared(graph: Graph, x: Tensor, points: NDArray[np.float64], scale: Any) -> str:
    """Squared distances of the events from the points, in units of the scale."""
    points = points / scale
    # about their mean little cancels in the difference of squares
    centre = points.mean(axis=0)
    points = points - centre
    unit = np.broadcast_to(np.asarray(scale, dtype=np.float64), centre.shape)
    events = graph.op("Sub", graph.op("Div", x.name, unit.copy()), centre)
    squares = graph.op("Add", _squares(graph, events), (points**2).sum(axis=1)[None])
    cross = graph.op("MatMul", events, np.ascontiguousarray(-2 * points.T))
    return graph.op("Max", graph.op("Add", squares, cross), np.float64(0))


def _matern(graph: Graph, nu: float, squared: str) -> str:
    if nu == np.inf:
        return graph.op("Exp", graph.op("Mul", squared, np.float64(-0.5)))
    square = graph.op("Max", graph.op("Mul", squared, np.float64(2 * nu)), np.float64(_TINY))
    distance = graph.op("Sqrt", square)
    decay = graph.op("Exp", graph.op("Neg", distance))
    if nu == 0.5:
        return decay
    factor = graph.op("Add", distance, np.float64(1))
    if nu == 2.5:
        factor = graph.op("Add", factor, graph.op("Div", square, np.float64(3)))
    return graph.op("Mul", factor, decay)
