import numpy as np
import pytest
import sklearn
import torch
from scipy.special import expit
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF, CompoundKernel, ConstantKernel, WhiteKernel
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skhep_ml.datasets import make_signed_events
from skhep_ml.gaussian_process import GPClassifier
from skhep_ml.gaussian_process._posterior import Data
from skhep_ml.gaussian_process._sparse import SparseLogistic
from skhep_ml.metrics import roc_auc_scorer
from skhep_ml.preprocessing import ZScoreScaler


def rings(n, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    p = expit(2 * (X**2).sum(axis=1) - 3)
    return X, (rng.random(n) < p).astype(int), p


X, Y, _ = rings(150)
NEW, _, TRUE = rings(60, seed=1)
WEIGHT = np.random.default_rng(2).uniform(0.2, 3, size=len(Y))
KERNEL = ConstantKernel(4.0) * RBF(1.0)
FIXED = {"optimizer": None, "device": "cpu", "random_state": 0}


def test_laplace_is_that_of_scikit_learn():
    theirs = GaussianProcessClassifier(KERNEL).fit(X, Y)
    ours = GPClassifier(KERNEL, device="cpu").fit(X, Y)
    assert ours.method_ == "laplace"
    np.testing.assert_allclose(ours.kernel_.theta, theirs.kernel_.theta, atol=1e-3)
    value = theirs.log_marginal_likelihood_value_
    assert ours.log_marginal_likelihood_value_ == pytest.approx(value, abs=1e-5)
    # scikit-learn approximates the integral over the sigmoid
    np.testing.assert_allclose(ours.predict_proba(NEW), theirs.predict_proba(NEW), atol=2e-3)


@pytest.mark.parametrize("method", ["laplace", "sparse"])
def test_integer_weights_are_repetitions(method):
    count = np.random.default_rng(0).integers(0, 4, size=len(Y))
    # the repeated rows of "laplace" make its covariance singular, which W^-1 cures
    model = GPClassifier(KERNEL, method=method, weight_scale=None, **FIXED)
    weighted = model.fit(X, Y, sample_weight=count)
    probability, value = weighted.predict_proba(NEW), weighted.log_marginal_likelihood_value_
    repeated = model.fit(X.repeat(count, axis=0), Y.repeat(count))
    np.testing.assert_allclose(probability, repeated.predict_proba(NEW), atol=1e-3)
    assert value == pytest.approx(repeated.log_marginal_likelihood_value_, abs=2e-3)


def test_unit_of_weights_does_not_matter():
    model = GPClassifier(KERNEL, **FIXED)
    first = model.fit(X, Y, sample_weight=WEIGHT).predict_proba(NEW)
    again = model.fit(X, Y, sample_weight=1e4 * WEIGHT).predict_proba(NEW)
    np.testing.assert_allclose(again, first, rtol=1e-6)
    assert not np.allclose(first, model.fit(X, Y).predict_proba(NEW), atol=1e-3)


def test_bound_lies_just_below_the_evidence():
    x, y, w = np.array([[0.0], [0.7]]), np.array([1.0, -1.0]), np.array([1.5, 0.5])
    kernel = ConstantKernel(2.0) * RBF(1.0) + WhiteKernel(0.2)
    data = Data(*(torch.as_tensor(part) for part in (x, y, np.zeros(2), w)))
    _, bound = SparseLogistic(kernel, data, x).finish(data.target)
    # sum over a grid of the two values of the function
    grid = np.linspace(-12, 12, 601)
    f = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1)
    covariance = kernel(x)
    prior = np.einsum("abi,ij,abj->ab", f, np.linalg.inv(covariance), f)
    density = np.exp(-0.5 * prior) / (2 * np.pi * np.sqrt(np.linalg.det(covariance)))
    likelihood = np.prod(expit(y * f) ** w, axis=-1)
    evidence = np.log((density * likelihood).sum() * (grid[1] - grid[0]) ** 2)
    assert evidence - 0.1 < bound < evidence


def test_sparse_and_laplace_agree():
    laplace, sparse = (
        GPClassifier(KERNEL, method=method, **FIXED).fit(X, Y, sample_weight=WEIGHT)
        for method in ("laplace", "sparse")
    )
    np.testing.assert_allclose(sparse.predict_proba(NEW), laplace.predict_proba(NEW), atol=0.08)
    assert np.mean(sparse.predict(NEW) == laplace.predict(NEW)) > 0.95


@pytest.mark.parametrize("weighted", [False, True])
def test_sparse_probabilities_are_true(weighted):
    table, label, _ = rings(3000)
    # events kept with a probability that depends on where they are, and weighted by its inverse
    keep = np.random.default_rng(3).random(3000) < np.where(table[:, 0] > 0, 0.9, 0.5)
    weight = 1 / np.where(table[:, 0] > 0, 0.9, 0.5)[keep] if weighted else None
    model = GPClassifier(n_inducing=40, n_optimize=300, random_state=0, device="cpu")
    model.fit(table[keep], label[keep], sample_weight=weight)
    assert model.method_ == "sparse"
    new, _, true = rings(2000, seed=5)
    probability = model.predict_proba(new)[:, 1]
    assert np.sqrt(np.mean((probability - true) ** 2)) < 0.04
    assert abs(probability.mean() - true.mean()) < 0.02


def test_more_than_two_classes():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(200, 2))
    label = np.array(["b", "c", "a"])[(table[:, 0] > 0).astype(int) + (table[:, 1] > 0.5)]
    kernel = ConstantKernel(4.0, "fixed") * RBF(1.0)
    theirs = GaussianProcessClassifier(kernel).fit(table, label)
    ours = GPClassifier(kernel, device="cpu").fit(table, label)
    assert ours.classes_.tolist() == ["a", "b", "c"]
    assert isinstance(ours.kernel_, CompoundKernel)
    np.testing.assert_allclose(ours.predict_proba(NEW), theirs.predict_proba(NEW), atol=5e-3)
    sparse = GPClassifier(kernel, method="sparse", n_inducing=40, **FIXED).fit(table, label)
    probability = sparse.predict_proba(NEW)
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    assert np.mean(sparse.predict(table) == label) > 0.9


def test_balanced_classes():
    rng = np.random.default_rng(0)
    label = (rng.random(300) < 0.1).astype(int)
    table = rng.normal(size=(300, 1)) + label[:, None]
    plain = GPClassifier(KERNEL, **FIXED).fit(table, label)
    balanced = GPClassifier(KERNEL, class_weight="balanced", **FIXED).fit(table, label)
    middle = np.array([[0.5]])
    assert plain.predict_proba(middle)[0, 1] < 0.3
    assert balanced.predict_proba(middle)[0, 1] == pytest.approx(0.5, abs=0.15)
    assert plain.predict([[-1.0]]).tolist() == [0]


def test_negative_weights():
    events = make_signed_events(1500, negative_fraction=0.25, random_state=0)
    model = GPClassifier(method="sparse", n_inducing=50, n_optimize=300, random_state=0)
    model.set_params(device="cpu", class_weight="balanced")
    model.fit(events.data, events.target, sample_weight=events.weight)
    score = roc_auc_scorer()(model, events.data, events.target, sample_weight=events.weight)
    assert score > 0.6
    with pytest.raises(ValueError, match="'keep' has no meaning"):
        GPClassifier(negative_weights="keep").fit(
            events.data, events.target, sample_weight=events.weight
        )


@pytest.mark.parametrize("method", ["laplace", "sparse"])
def test_fit_is_bit_reproducible(method):
    model = GPClassifier(method=method, n_inducing=20, n_optimize=100, random_state=1, device="cpu")
    first = model.fit(X, Y).predict_proba(NEW)
    assert np.array_equal(first, model.fit(X, Y).predict_proba(NEW))


def test_svgp_gets_where_sparse_is():
    pytest.importorskip("gpytorch")
    table, label, _ = rings(1000)
    options = {"n_inducing": 20, "n_optimize": 200, "random_state": 0, "device": "cpu"}
    sparse = GPClassifier(method="sparse", **options).fit(table, label)
    svgp = GPClassifier(method="svgp", batch_size=150, max_epochs=5, **options).fit(table, label)
    new = 0.7 * NEW
    np.testing.assert_allclose(svgp.predict_proba(new), sparse.predict_proba(new), atol=0.1)


def test_separable_classes_stay_finite():
    table = np.linspace(-3, 3, 80).reshape(-1, 1)
    label = (table[:, 0] > 0).astype(int)
    for method in ("laplace", "sparse"):
        model = GPClassifier(method=method, device="cpu", random_state=0).fit(table, label)
        probability = model.predict_proba(table)
        assert np.isfinite(probability).all()
        assert np.array_equal(model.predict(table), label)


@pytest.mark.parametrize(
    ("parameters", "label", "message"),
    [
        ({}, np.zeros(150), "only one class in y: .*; a classifier needs two"),
        ({}, np.linspace(0, 1, 150), "Unknown label type"),
        ({"method": "exact"}, Y, "'laplace', 'sparse', 'svgp'"),
        ({"kernel": RBF([1.0, 1.0, 1.0])}, Y, "3 length scales"),
        ({"class_weight": "even"}, Y, "class_weight must be"),
        ({"max_exact": -1}, Y, "max_exact must be"),
    ],
)
def test_bad_input_is_refused(parameters, label, message):
    with pytest.raises(ValueError, match=message):
        GPClassifier(**parameters).fit(X, label)


def test_pipeline_and_search_carry_weights():
    with sklearn.config_context(enable_metadata_routing=True):
        model = make_pipeline(ZScoreScaler(), GPClassifier(**FIXED))
        kernels = [RBF(0.01), RBF(1.0)]
        search = GridSearchCV(
            model, {"gpclassifier__kernel": kernels}, cv=3, scoring=roc_auc_scorer()
        )
        search.fit(X, Y, sample_weight=WEIGHT)
        probability = search.predict_proba(NEW)
        direct = make_pipeline(ZScoreScaler(), GPClassifier(kernels[1], **FIXED))
        expected = direct.fit(X, Y, sample_weight=WEIGHT).predict_proba(NEW)
    assert search.best_params_["gpclassifier__kernel"] is kernels[1]
    np.testing.assert_allclose(probability, expected)
