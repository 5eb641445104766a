"""Gaussian processes and their graphs, with every kernel, method and mean."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    ExpSineSquared,
    Matern,
    RationalQuadratic,
    WhiteKernel,
)

from skhep_ml.export import to_onnx, verify_onnx
from skhep_ml.gaussian_process import GPClassifier, GPRegressor

ort = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

N = 60
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 2)).astype(np.float32)
F = np.sin(2 * X[:, 0]) + X[:, 1] + 0.1 * RNG.normal(size=N)
OPTIONS = {"optimizer": None, "device": "cpu", "random_state": 0}
KERNELS = [
    ConstantKernel(2.0) * RBF([1.0, 2.0]) + WhiteKernel(0.1),
    Matern(1.5, nu=0.5) + WhiteKernel(0.1),
    Matern([1.0, 2.0], nu=1.5) + WhiteKernel(0.1),
    Matern(1.5, nu=2.5) + ConstantKernel(0.5) + WhiteKernel(0.1),
    Matern(1.5, nu=np.inf) * DotProduct(1.0) + WhiteKernel(0.1),
    RationalQuadratic(1.0, 2.0) + DotProduct(0.5) ** 2 + WhiteKernel(0.1),
    ExpSineSquared(1.5, 3.0) + WhiteKernel(0.1),
]


def assert_same(model, X):
    graph = to_onnx(model)
    comparison = verify_onnx(model, graph, X)
    assert comparison, str(comparison)
    return graph


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_kernels(kernel):
    data = X[:, :1] if isinstance(kernel.k1, ExpSineSquared) else X
    assert_same(GPRegressor(clone(kernel), **OPTIONS).fit(data, F), data)
    assert_same(GPClassifier(clone(kernel), **OPTIONS).fit(data, F > 0), data)


@pytest.mark.parametrize("method", ["sparse", "svgp"])
def test_inducing_points(method):
    if method == "svgp":
        pytest.importorskip("gpytorch", reason="the extra gp is not installed")
    given = {**OPTIONS, "method": method, "n_inducing": 10, "max_epochs": 2}
    assert_same(GPRegressor(**given).fit(X, F), X)
    y = np.array(["a", "b", "c"])[np.digitize(F, [-0.5, 0.5])]
    graph = assert_same(GPClassifier(**given).fit(X, y), X)
    label, probabilities = ort.InferenceSession(graph.SerializeToString()).run(
        None, {"features": X}
    )
    assert set(label) == {"a", "b", "c"}
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("mean", ["constant", "linear"])
def test_means(mean):
    # of another unit, which normalize_y takes out
    model = GPRegressor(mean=mean, normalize_y=True, **OPTIONS).fit(X, 1e4 * F + 1e5)
    assert_same(model, X)
    far = assert_same(GPRegressor(normalize_y=True, **OPTIONS).fit(X, F + 50), X)
    (found,) = ort.InferenceSession(far.SerializeToString()).run(
        None, {"features": np.full((1, 2), 1e3, dtype=np.float32)}
    )
    # far from all events only the offset is left
    np.testing.assert_allclose(found, np.mean(F + 50), rtol=1e-6)


def test_features_far_from_the_origin():
    far = (X + 5e3).astype(np.float32)
    assert_same(GPRegressor(KERNELS[0], **OPTIONS).fit(far, F), far)


def test_graphs_that_would_be_too_large(monkeypatch):
    monkeypatch.setattr("skhep_ml.export._convert_gp._LARGEST", 8 * N * N)
    model = GPClassifier(**OPTIONS).fit(X, F > 0)
    with pytest.raises(ValueError, match="fit with method='sparse'"):
        to_onnx(model)
