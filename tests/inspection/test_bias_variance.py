import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, learning_curve
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from skhep_ml.ensemble import BDTClassifier
from skhep_ml.inspection import bias_variance
from skhep_ml.metrics import roc_auc_scorer
from skhep_ml.model_selection import EventNumberKFold
from skhep_ml.weights import request_weights


def test_the_mean_has_the_variance_of_a_mean():
    """Closed form: V = 1/m, B = var(y) = 1 for parts of m events; errors add up."""
    rng = np.random.default_rng(0)
    n = 40_000
    y = rng.normal(size=n)
    result = bias_variance(
        DummyRegressor(), np.zeros((n, 1)), y, groups=np.arange(n), n_parts=(500, 100)
    )
    np.testing.assert_allclose(result.n_train, [0.75 * n / 500, 0.75 * n / 100], rtol=0.02)
    np.testing.assert_allclose(result.variance, 1 / result.n_train, rtol=0.2)
    np.testing.assert_allclose(result.bias, 1, atol=4 * result.bias_std[0])
    np.testing.assert_allclose(result.error, result.bias + result.variance)
    # in training a mean is as close as m - 1 of m events allow
    np.testing.assert_allclose(result.train_error, 1 - 1 / result.n_train, rtol=0.02)


def test_bias_and_variance_of_stiff_and_flexible_models():
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, size=(6000, 1))
    y = X[:, 0] ** 2 + rng.normal(0, 0.3, 6000)
    event = np.arange(6000)
    stiff, flexible = (
        bias_variance(model, X, y, groups=event, n_parts=(8, 2))
        for model in (LinearRegression(), DecisionTreeRegressor(random_state=0))
    )
    # a line through a symmetric parabola: var(x^2) = 64/45 of bias beyond the noise
    assert stiff.bias[1] == pytest.approx(64 / 45 + 0.09, abs=4 * stiff.bias_std[1])
    assert stiff.variance[1] < 0.01
    # a fully grown tree repeats the noise of its training events
    assert flexible.variance[1] == pytest.approx(0.09, rel=0.3)
    assert flexible.bias[1] == pytest.approx(0.09, rel=0.15)
    assert flexible.train_error[1] == pytest.approx(0, abs=1e-12)
    table = flexible.to_pandas()
    assert table.index.tolist() == [8, 2]
    assert table.loc[2, "variance"] == flexible.variance[1]
    assert str(flexible).splitlines()[0].split()[:2] == ["training", "events"]
    assert "<th>variance</th>" in flexible._repr_html_()


def test_weights_count_in_training_and_in_the_errors():
    rng = np.random.default_rng(0)
    n = 8000
    y = rng.normal(size=n) + np.where(np.arange(n) % 2, 4.0, 0.0)
    weight = np.where(np.arange(n) % 2, 0.0, 2.0)
    X, event = np.zeros((n, 1)), np.arange(n)
    result = bias_variance(DummyRegressor(), X, y, sample_weight=weight, groups=event)
    np.testing.assert_allclose(result.bias, 1, atol=0.1)
    unit = bias_variance(DummyRegressor(), X, y, sample_weight=5 * weight, groups=event)
    np.testing.assert_allclose(result.error, unit.error)


def test_signed_weights_cancel_events():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 4000)
    X = rng.normal(y[:, None], 1.0, size=(4000, 2))
    # events of no use, each with its opposite
    X2 = np.vstack([X, np.zeros((1000, 2)), np.zeros((1000, 2))])
    y2 = np.concatenate([y, np.ones(2000, int)])
    weight = np.repeat([1.0, 3.0, -3.0], [4000, 1000, 1000])
    event = np.concatenate([np.arange(5000), np.arange(4000, 5000)])
    plain = bias_variance(LogisticRegression(), X, y, groups=np.arange(4000), n_parts=(4,))
    signed = bias_variance(
        LogisticRegression(), X2, y2, sample_weight=weight, groups=event, n_parts=(4,)
    )
    np.testing.assert_allclose(signed.error, plain.error, rtol=1e-3)
    np.testing.assert_allclose(signed.variance, plain.variance, rtol=0.05, atol=1e-6)


@pytest.mark.parametrize("routing", [False, True])
def test_pipelines_searches_and_our_models_take_weights_and_identifiers(routing):
    rng = np.random.default_rng(0)
    y = np.array(["b", "s"])[rng.integers(0, 2, 600)]
    X = pd.DataFrame(rng.normal((y == "s")[:, None], 1.0, size=(600, 2)), columns=["a", "b"])
    weight = rng.exponential(size=600)
    event = np.column_stack([np.ones(600, int), np.arange(600)])
    bdt = BDTClassifier(n_estimators=5, early_stopping_rounds=2, n_jobs=1, random_state=0)
    with sklearn.config_context(enable_metadata_routing=routing):
        scaled = make_pipeline(StandardScaler(), bdt)
        search = GridSearchCV(bdt, {"max_depth": [1]}, cv=EventNumberKFold(2))
        models = [bdt, request_weights(scaled) if routing else scaled, search]
        found = [
            bias_variance(
                model, X, y, sample_weight=weight, groups=event, n_parts=(2,), pos_label="s"
            )
            for model in models
        ]
    for one in found:
        assert 0.1 < one.error[0] < 0.25
        assert 0 < one.variance[0] < one.error[0]


def test_rows_do_not_matter():
    rng = np.random.default_rng(0)
    X, event = rng.normal(size=(500, 2)), rng.permutation(500)
    y = X[:, 0] + rng.normal(size=500)
    order = rng.permutation(500)
    one = bias_variance(LinearRegression(), X, y, groups=event)
    other = bias_variance(LinearRegression(), X[order], y[order], groups=event[order])
    np.testing.assert_allclose(one.error, other.error)
    np.testing.assert_allclose(one.variance, other.variance)


def test_held_out_events_are_not_trained_on():
    class Memory(RegressorMixin, BaseEstimator):
        def fit(self, X, y):
            self.seen_ = set(X[:, 0].tolist())
            return self

        def predict(self, X):
            return np.array([float(value in self.seen_) for value in X[:, 0]])

    event = np.arange(400)
    X = event[:, None].astype(float)
    result = bias_variance(Memory(), X, np.zeros(400), groups=event, n_parts=(4,))
    assert result.error[0] == 0
    assert result.train_error[0] == 1


def test_scikit_learns_learning_curve_takes_weights_and_identifiers():
    """So there is none of our own."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 600)
    X = rng.normal(y[:, None], 1.0, size=(600, 2))
    weight = rng.exponential(size=600) * np.where(rng.random(600) < 0.1, -1, 1)
    bdt = BDTClassifier(n_estimators=5, n_jobs=1, random_state=0)
    event = np.arange(600)
    with sklearn.config_context(enable_metadata_routing=True):
        sizes, train, test = learning_curve(
            bdt,
            X,
            y,
            cv=EventNumberKFold(3),
            scoring=roc_auc_scorer(),
            train_sizes=[0.2, 1.0],
            params={"sample_weight": weight, "groups": event},
        )
    assert train.shape == test.shape == (2, 3)
    assert sizes[0] < sizes[1]
    for k, (inside, outside) in enumerate(EventNumberKFold(3).split(X, y, event)):
        rows = inside[: sizes[1]]
        model = bdt.fit(X[rows], y[rows], sample_weight=weight[rows])
        expected = roc_auc_scorer()(model, X[outside], y[outside], weight[outside])
        assert test[1, k] == pytest.approx(expected)


def test_wrong_input_is_refused():
    X, y, event = np.zeros((50, 1)), np.arange(50.0), np.arange(50)
    model = DummyRegressor()
    with pytest.raises(ValueError, match="identifiers are needed"):
        bias_variance(model, X, y, groups=None)
    with pytest.raises(ValueError, match="test_size lie in"):
        bias_variance(model, X, y, groups=event, test_size=1.0)
    with pytest.raises(ValueError, match="n_splits must be"):
        bias_variance(model, X, y, groups=event, n_parts=(1,))
    with pytest.raises(ValueError, match="no event falls in fold"):
        bias_variance(model, X, y, groups=event, n_parts=(40,))
    with pytest.raises(ValueError, match="y has shape"):
        bias_variance(model, X, y[:3], groups=event)
    with pytest.raises(ValueError, match="held-out events sum to"):
        bias_variance(model, X, y, sample_weight=-np.ones(50), groups=event)
