"""GenerativeUnweighter: shapes of signed samples, effective size, all kinds of models."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline

from skhep_ml.datasets import make_signed_events
from skhep_ml.events import Events
from skhep_ml.exceptions import BiasedWeightsWarning
from skhep_ml.generative import GenerativeUnweighter, NormalizingFlow


@pytest.fixture(scope="module")
def signal():
    """Signal with a hole of negative weights, in two dimensions, and its truth."""
    events = make_signed_events(6000, 0.25, n_features=2, random_state=0)
    rows = events.target == 1
    return events.data[rows], events.weight[rows], events.truth


def share_near_the_centre(X):
    return np.mean(np.linalg.norm(np.asarray(X) - 0.4, axis=1) < 0.8)


def test_generated_events_follow_the_signed_density(signal):
    X, weight, truth = signal
    model = GenerativeUnweighter(KernelDensity(bandwidth=0.1), n_jobs=1, random_state=0)
    model.fit(X, sample_weight=weight)
    generated = model.sample(20_000, random_state=1)
    wanted, labels = truth.sample_unsigned(20_000, random_state=2)
    expected = share_near_the_centre(wanted[labels == 1])
    # 6000 signed events are worth 1500: 6% of what is near the centre
    assert share_near_the_centre(generated) == pytest.approx(expected, rel=0.2)
    with pytest.warns(BiasedWeightsWarning):
        biased = clone(model).set_params(negative_weights="abs").fit(X, sample_weight=weight)
    assert share_near_the_centre(biased.sample(20_000, random_state=1)) > 1.6 * expected


def test_what_the_sample_is_worth(signal):
    X, weight, _ = signal
    model = GenerativeUnweighter(KernelDensity(bandwidth=0.1), n_jobs=1, random_state=0)
    model.fit(X, sample_weight=weight)
    assert model.effective_size_ == pytest.approx(weight.sum() ** 2 / (weight**2).sum())
    assert model.sum_weight_ == pytest.approx(weight.sum())
    assert model.negative_fraction_ == pytest.approx(np.mean(weight < 0))
    assert len(model.sample()) == round(model.effective_size_)
    np.testing.assert_array_equal(model.sample(7, random_state=3), model.sample(7, random_state=3))
    counted = clone(model).fit(X)
    assert counted.effective_size_ == counted.sum_weight_ == len(X)
    np.testing.assert_allclose(
        counted.score_samples(X[:5]), KernelDensity(bandwidth=0.1).fit(X).score_samples(X[:5])
    )
    some, signs = X[:200], weight[:200]
    expected = np.average(model.score_samples(some), weights=signs)
    assert model.score(some, sample_weight=signs) == pytest.approx(expected)


def test_default_and_conditional_flows(signal):
    X, weight, _ = signal
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(X, columns=["a", "b"]).assign(mass=rng.random(len(X)))
    flow = NormalizingFlow(
        context_features=["mass"], n_transforms=1, hidden=(8,), max_epochs=1, device="cpu"
    )
    model = GenerativeUnweighter(flow, n_jobs=1, random_state=0).fit(frame, sample_weight=weight)
    generated = model.sample(context=np.full((5, 1), 0.3), random_state=0)
    assert list(generated.columns) == ["a", "b", "mass"]
    np.testing.assert_allclose(generated["mass"], 0.3, rtol=1e-5)
    assert list(model.feature_names_in_) == ["a", "b", "mass"]
    with pytest.raises(ValueError, match="context"):
        model.sample(5)
    assert isinstance(GenerativeUnweighter()._model(3), NormalizingFlow)
    assert hasattr(GenerativeUnweighter(), "score_samples")


def test_models_that_know_the_signs_themselves(signal):
    X, weight, _ = signal

    class Knows(BaseEstimator):
        def __init__(self, negative_weights="keep"):
            self.negative_weights = negative_weights

        def fit(self, X, y=None, sample_weight=None, groups=None):
            self.given_ = sample_weight, groups
            return self

        def sample(self, n, random_state=None):
            return np.zeros((n, 2))

    event = np.arange(len(X))
    model = GenerativeUnweighter(Knows(), negative_weights="keep")
    model.fit(X, sample_weight=weight, groups=event)
    np.testing.assert_array_equal(model.estimator_.given_[0], weight)
    np.testing.assert_array_equal(model.estimator_.given_[1], event)
    assert not hasattr(model, "score_samples")
    assert not hasattr(model, "n_features_in_")
    events = Events(table=X, mass=X[:, 0])
    refined = clone(model).set_params(negative_weights="refine", n_jobs=1)
    assert (refined.fit(events, sample_weight=weight).estimator_.given_[0] >= 0).all()
    with sklearn.config_context(enable_metadata_routing=True):
        knows = Knows().set_fit_request(sample_weight=True, groups=True)
        clone(model).set_params(estimator=knows).fit(X, sample_weight=weight, groups=event)


def test_search_and_pickle(signal):
    X, weight, _ = signal
    model = GenerativeUnweighter(KernelDensity(), negative_weights="pair", n_jobs=1)
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(model, {"estimator__bandwidth": [0.02, 0.2, 2.0]}, cv=2)
        search.fit(X[:2000], sample_weight=weight[:2000])
    assert search.best_params_ == {"estimator__bandwidth": 0.2}
    copy = pickle.loads(pickle.dumps(search.best_estimator_))
    np.testing.assert_array_equal(
        copy.sample(3, random_state=0), search.best_estimator_.sample(3, random_state=0)
    )


def test_bad_input(signal):
    X, weight, _ = signal
    with pytest.raises(TypeError, match="is no generative model, such as NormalizingFlow"):
        GenerativeUnweighter(LogisticRegression()).fit(X)
    with pytest.raises(TypeError, match="is no generative model"):
        GenerativeUnweighter(KernelDensity).fit(X)
    density = GenerativeUnweighter(KernelDensity())
    with pytest.raises(ValueError, match="sum to -"):
        density.fit(X, sample_weight=-weight)
    with pytest.raises(ValueError, match="sample_weight has 3 entries"):
        density.fit(X, sample_weight=weight[:3])
    with pytest.raises(ValueError, match="negative_weights must be one of"):
        clone(density).set_params(negative_weights="ignore").fit(X, sample_weight=weight)
    with pytest.raises(ValueError, match="KernelDensity has no policy for negative weights"):
        clone(density).set_params(negative_weights="keep").fit(X, sample_weight=weight)
    with pytest.raises(ValueError, match="GaussianMixture takes no sample_weight"):
        GenerativeUnweighter(GaussianMixture(), n_jobs=1).fit(X, sample_weight=weight)
    with pytest.raises(TypeError, match="it has no sample"):
        GenerativeUnweighter(make_pipeline(KernelDensity())).fit(X, sample_weight=weight)
    with pytest.raises(ValueError, match="3 entries"):
        density.fit(X, sample_weight=weight, groups=np.arange(3))
    fitted = clone(density).fit(X)
    with pytest.raises(ValueError, match="needs a positive sum"):
        fitted.score(X[:2], sample_weight=[1.0, -1.0])


def test_impossible_events_are_never_made_up_for():
    X = np.random.default_rng(0).uniform(size=(200, 1))
    model = GenerativeUnweighter(KernelDensity(kernel="tophat", bandwidth=0.3)).fit(X)
    few = np.array([[9.0], [0.4], [0.5], [0.6]])
    assert model.score(few) == model.score(few, sample_weight=[-1, 2, 1, 1]) == -np.inf
    without = model.score(few, sample_weight=[0, 2, 1, 1])
    assert without == pytest.approx(model.score(few[1:], sample_weight=[2, 1, 1]))
    with pytest.raises(ValueError, match="sample_weight has the sum -2: a mean needs a positive"):
        model.score(few, sample_weight=[1, -1, -1, -1])
