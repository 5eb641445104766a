"""The surrogates of BayesSearchCV against scikit-optimize's and scikit-learn's own."""

import numpy as np
import pytest
from sklearn.base import clone
from skopt.learning import GaussianProcessRegressor
from skopt.space import Categorical, Integer, Real
from skopt.utils import normalize_dimensions

from skhep_ml.model_selection._surrogates import (
    MaternProcess,
    gaussian_process,
    without_tail,
)

# like those of a search, kernels at their bounds are no concern
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

DIMENSIONS = [Real(1e-3, 1e3, prior="log-uniform"), Integer(1, 9), Categorical(["a", "b", "c"])]


@pytest.fixture
def both():
    """Both processes, and 25 points with scores."""
    space = normalize_dimensions(DIMENSIONS)
    X = space.transform(space.rvs(25, random_state=0))
    y = np.sin(4 * X[:, 0]) + X[:, 1] + 0.1 * np.random.default_rng(0).normal(size=25)
    fast = gaussian_process(DIMENSIONS, np.random.RandomState(3))
    general = GaussianProcessRegressor(**fast.get_params(deep=False))
    assert isinstance(fast, MaternProcess)
    return fast, general, X, y


def test_likelihood_and_gradient(both):
    fast, general, X, y = both
    fast.fit(X, y)
    general.fit(X, without_tail(y))
    for theta in np.random.default_rng(1).uniform(-2, 2, size=(5, X.shape[1] + 2)):
        value, gradient = fast.log_marginal_likelihood(theta, eval_gradient=True)
        expected, slope = general.log_marginal_likelihood(theta, eval_gradient=True)
        np.testing.assert_allclose(value, expected, rtol=1e-9)
        np.testing.assert_allclose(gradient, slope, rtol=1e-6, atol=1e-9)
        assert fast.log_marginal_likelihood(theta) == value
    assert fast.log_marginal_likelihood() == pytest.approx(general.log_marginal_likelihood())


def test_predictions_and_gradients(both):
    fast, general, X, y = both
    fast.fit(X, y)
    general.fit(X, without_tail(y))
    new = np.random.default_rng(2).uniform(size=(40, X.shape[1]))
    np.testing.assert_allclose(fast.predict(new), general.predict(new), rtol=1e-4)
    for ours, theirs in zip(
        fast.predict(new, return_std=True), general.predict(new, return_std=True), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3)
    options = {"return_std": True, "return_mean_grad": True, "return_std_grad": True}
    for point in new[:5]:
        ours = fast.predict(point[None], **options)
        theirs = general.predict(point[None], **options)
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-4)
    mean, covariance = fast.predict(new, return_cov=True)
    assert (mean.shape, covariance.shape) == ((40,), (40, 40))


def test_equal_scores_and_points_seen_twice(both):
    fast, _, X, _ = both
    model = clone(fast).fit(np.vstack([X, X]), np.zeros(50))
    np.testing.assert_allclose(model.predict(X), 0, atol=1e-12)


def test_only_categories_keep_the_general_kernel():
    process = gaussian_process([Categorical(["a", "b"])], np.random.RandomState(0))
    assert not isinstance(process, MaternProcess)


def test_hopeless_losses_do_not_set_the_scale():
    losses = np.array([-0.9, -0.89, -0.88, -0.87, 3.0, 1e9])
    np.testing.assert_allclose(
        without_tail(losses), [-0.9, -0.89, -0.88, -0.87, -0.85, -0.85], rtol=1e-12
    )
    assert without_tail([1.0]).tolist() == [1.0]
