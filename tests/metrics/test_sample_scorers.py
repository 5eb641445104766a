import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose
from scipy.stats import norm
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.neighbors import KernelDensity, KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skhep_ml.ensemble import BDTClassifier
from skhep_ml.events import Events
from skhep_ml.generative import FlowMatching, GenerativeUnweighter, sample_pipeline
from skhep_ml.metrics import (
    frechet_distance_scorer,
    kernel_distance_scorer,
    roc_auc_score,
    separation_power_scorer,
    sliced_wasserstein_scorer,
    two_sample_auc,
    two_sample_auc_scorer,
    wasserstein_distance,
    wasserstein_scorer,
)

FACTORIES = [
    frechet_distance_scorer,
    kernel_distance_scorer,
    separation_power_scorer,
    sliced_wasserstein_scorer,
    two_sample_auc_scorer,
    wasserstein_scorer,
]


class Smearing(BaseEstimator):
    """Conditional toy: the first column is the context, the others gaussians around it."""

    __metadata_request__fit = {"sample_weight": True}

    def __init__(self, width=1.0, context_features=None):
        self.width = width
        self.context_features = context_features

    def fit(self, X, y=None, sample_weight=None):
        self.n_ = X.shape[1]
        self.weight_ = sample_weight
        return self

    def sample(self, n=None, *, context=None, random_state=None):
        rng = np.random.default_rng(random_state)
        if self.context_features is None:
            return rng.normal(0, self.width, (n, self.n_))
        if isinstance(context, Events):
            table = np.asarray(context["energy"])[:, None]
            pixels = rng.normal(table[..., None, None], self.width, (n, 1, 3, 3))
            return Events(image=pixels, energy=table[:, 0])
        table = np.asarray(context)[:, :1]
        drawn = np.hstack([table, rng.normal(table, self.width, (n, self.n_ - 1))])
        return (
            pd.DataFrame(drawn, columns=context.columns) if hasattr(context, "columns") else drawn
        )


def conditional_table(n=1500, seed=0):
    rng = np.random.default_rng(seed)
    energy = rng.exponential(3, (n, 1))
    return np.hstack([energy, rng.normal(energy, 1.0, (n, 2))])


# --- the area ---------------------------------------------------------------------------------


def test_auc_of_shifted_gaussians():
    # of a shift m in one of three unit gaussians the best area is Phi(m / sqrt 2)
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 4000, 3))
    second[:, 1] += 0.7
    auc, std = two_sample_auc(
        first, second, estimator=LogisticRegression(), n_splits=5, return_std=True
    )
    assert abs(auc - norm.cdf(0.7 / np.sqrt(2))) < 3 * std
    assert 0.001 < std < 0.02


def test_auc_of_equal_samples_and_of_correlations():
    rng = np.random.default_rng(1)
    first, same = rng.normal(size=(2, 3000, 2))
    other = rng.multivariate_normal([0, 0], [[1, 0.9], [0.9, 1]], 3000)
    trees = BDTClassifier(30, max_depth=3, n_jobs=1, random_state=0)
    auc, std = two_sample_auc(first, same, estimator=trees, return_std=True)
    assert abs(auc - 0.5) < 3 * std
    assert two_sample_auc(first, other, estimator=trees) > 0.7


def test_auc_undoes_weights():
    # weights turn the second sample into the first one; signs of an equal mean leave it alone
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=(2, 6000, 1))
    second += 1.0
    weight = np.exp(0.5 - second[:, 0])
    plain = two_sample_auc(first, second, estimator=LogisticRegression())
    auc, std = two_sample_auc(
        first, second, weight2=weight, estimator=LogisticRegression(), return_std=True
    )
    assert plain > 0.7
    assert abs(auc - 0.5) < 3 * std
    signs = rng.choice([1.0, 1.0, 1.0, -1.0], 6000)
    trees = BDTClassifier(20, max_depth=2, negative_weights="keep", n_jobs=1, random_state=0)
    signed, std = two_sample_auc(first, second, weight1=signs, estimator=trees, return_std=True)
    assert abs(signed - plain) < 4 * std


def test_auc_does_not_depend_on_the_order_of_events():
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=(2, 600, 2))
    tree = DecisionTreeClassifier(max_depth=3, random_state=0)
    auc = two_sample_auc(first, second, estimator=tree)
    again = two_sample_auc(first[::-1], rng.permutation(second), estimator=tree)
    assert_allclose(again, auc)


def test_pairs_of_events_stay_together():
    # an event of the other sample with the same context teaches a classifier that goes by
    # neighbours the opposite of the truth, unless both fall in one fold
    rng = np.random.default_rng(4)
    context = rng.normal(size=(2000, 1))
    first, second = (np.hstack([context, 1e-6 * rng.normal(size=(2000, 1))]) for _ in range(2))
    nearest = KNeighborsClassifier(1)
    assert two_sample_auc(first, second, estimator=nearest) < 0.3
    number = np.arange(2000)
    together, std = two_sample_auc(
        first, second, groups1=number, groups2=number, estimator=nearest, return_std=True
    )
    assert abs(together - 0.5) < 3 * std


def test_auc_takes_missing_values():
    rng = np.random.default_rng(5)
    # half of the second sample lacks the first feature, which all of the first one have
    first, second = rng.normal(size=(2, 1000, 2))
    second[::2, 0] = np.nan
    trees = BDTClassifier(5, max_depth=2, n_jobs=1, random_state=0)
    assert_allclose(two_sample_auc(first, second, estimator=trees), 0.75, atol=0.03)
    first[3] = np.inf
    with pytest.raises(ValueError, match="is inf in 1 events, first in event 3"):
        two_sample_auc(first, second, estimator=trees)


def test_bad_input_of_the_area():
    rng = np.random.default_rng(6)
    first, second = rng.normal(size=(2, 50, 2))
    with pytest.raises(ValueError, match="both groups1 and groups2"):
        two_sample_auc(first, second, groups1=np.arange(50))
    with pytest.raises(ValueError, match="n_splits"):
        two_sample_auc(first, second, n_splits=1)
    with pytest.raises(ValueError, match="different features"):
        two_sample_auc(first, second[:, :1])


# --- scorers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("factory", FACTORIES, ids=lambda f: f.__name__)
def test_searches_find_the_width(factory):
    X = np.random.default_rng(0).normal(size=(600, 2))
    options = {"estimator": DecisionTreeClassifier(max_depth=4)}
    scorer = factory(**(options if factory is two_sample_auc_scorer else {}))
    search = GridSearchCV(Smearing(), {"width": [0.5, 1.0, 2.0]}, scoring=scorer, cv=2)
    assert search.fit(X).best_params_ == {"width": 1.0}
    # scorers travel and repeat themselves
    same = pickle.loads(pickle.dumps(clone(scorer)))
    assert same(search.best_estimator_, X) == scorer(search, X)
    assert repr(scorer).startswith("SampleScorer(metric=")


def test_several_scorers_at_once():
    X = np.random.default_rng(0).normal(size=(400, 2))
    scores = cross_validate(
        KernelDensity(bandwidth=0.3),
        X,
        cv=2,
        scoring={"w": wasserstein_scorer(), "sw": sliced_wasserstein_scorer(n_projections=10)},
    )
    assert (scores["test_w"] < 0).all()
    assert (scores["test_sw"] < 0).all()


def test_score_is_minus_the_metric():
    X = np.random.default_rng(0).normal(size=(400, 2))
    model = GaussianMixture(2, random_state=0).fit(X)
    drawn, _ = clone(model).fit(X).sample(400)
    expected = -wasserstein_distance(X, drawn, scale="std").mean()
    assert_allclose(wasserstein_scorer()(clone(model).fit(X), X), expected)


def test_weights_reach_the_metric():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(500, 1)), rng.normal(5, 1, size=(500, 1))])
    weight = np.repeat([1.0, 1e-9], 500)
    model = Smearing().fit(X)
    scorer = wasserstein_scorer(scale=None)
    assert scorer(model, X) < -2
    assert scorer(model, X, sample_weight=weight) > -0.2
    with sklearn.config_context(enable_metadata_routing=True):
        scores = cross_validate(
            Smearing(), X, cv=2, scoring={"w": scorer}, params={"sample_weight": weight}
        )
        with_weights = cross_validate(
            Smearing(), X[::2], cv=2, scoring=scorer, params={"sample_weight": weight[::2]}
        )
    assert np.isfinite(scores["test_w"]).all()
    assert with_weights["test_score"][0] > -0.3


@pytest.mark.parametrize("frame", [False, True])
def test_context_is_given_and_not_judged(frame):
    X = conditional_table()
    context = ["energy"] if frame else [0]
    if frame:
        X = pd.DataFrame(X, columns=["energy", "a", "b"])
    model = Smearing(context_features=context).fit(X)
    # the first column is equal: a mean over three features would be lower
    drawn = model.sample(len(X), context=X, random_state=0)
    expected = wasserstein_distance(X, drawn, scale="std")
    assert expected[0] == 0
    assert_allclose(wasserstein_scorer()(model, X), -expected[1:].mean())
    area = two_sample_auc_scorer(estimator=DecisionTreeClassifier(max_depth=5, random_state=0))
    assert abs(area(model, X) + 0.5) < 0.05
    assert area(Smearing(width=3.0, context_features=context).fit(X), X) < -0.6


def test_weights_of_context_are_those_of_the_test_events():
    X = conditional_table(4000)
    weight = np.exp(-X[:, 0])
    model = Smearing(context_features=[0]).fit(X)
    scorer = two_sample_auc_scorer(estimator=DecisionTreeClassifier(max_depth=3, random_state=0))
    assert abs(scorer(model, X, sample_weight=weight) + 0.5) < 0.06


def test_images_with_an_energy():
    rng = np.random.default_rng(0)
    energy = rng.exponential(3, 500)
    X = Events(image=rng.normal(energy[:, None, None, None], 1.0, (500, 1, 3, 3)), energy=energy)
    good, bad = (Smearing(width, context_features=["energy"]).fit(X) for width in (1.0, 4.0))
    scorer = wasserstein_scorer()
    assert scorer(good, X) > scorer(bad, X) + 0.1

    def total(events):
        return np.asarray(events["image"]).sum(axis=(1, 2, 3))

    of_sums = wasserstein_scorer(features=total)
    assert of_sums(good, X) > of_sums(bad, X)


def test_roc_of_the_scorer_is_that_of_a_classifier():
    # the same folds, the same trees: an area by hand
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 1))
    model = Smearing(2.0).fit(X)
    drawn = model.sample(500, random_state=0)
    found = -two_sample_auc_scorer(estimator=LogisticRegression())(model, X**2 - 0.5)
    label = np.repeat([0, 1], 500)
    both = np.concatenate([X**2 - 0.5, drawn])
    direct = roc_auc_score(label, -both[:, 0])
    assert abs(found - max(direct, 1 - direct)) < 0.05


def test_pipelines_of_generative_models():
    X = pd.DataFrame(1e3 * conditional_table(400), columns=["energy", "a", "b"])
    flow = FlowMatching(
        context_features=["energy"],
        hidden=(8,),
        max_epochs=1,
        n_steps=1,
        device="cpu",
        random_state=0,
    )
    model = make_pipeline(StandardScaler().set_output(transform="pandas"), flow).fit(X)
    drawn = sample_pipeline(model, len(X), context=X, random_state=0)
    expected = wasserstein_distance(X[["a", "b"]], drawn[["a", "b"]], scale="std")
    assert_allclose(wasserstein_scorer()(model, X), -expected.mean())
    grid = {"flowmatching__n_steps": [1, 2]}
    search = GridSearchCV(model, grid, scoring=wasserstein_scorer(), cv=2).fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert wasserstein_scorer()(search, X) == wasserstein_scorer()(search.best_estimator_, X)


def test_models_that_cannot_be_sampled():
    X = np.zeros((10, 1))
    model = LogisticRegression()
    with pytest.raises(TypeError, match="LogisticRegression has no method sample"):
        wasserstein_scorer()(model, X)
    with pytest.raises(TypeError, match="Pipeline has no method sample"):
        wasserstein_scorer()(make_pipeline(StandardScaler(), model), X)
    unknown = clone(wasserstein_scorer()).set_params(metric="w2")
    with pytest.raises(ValueError, match="metric='w2': choose one of"):
        unknown(Smearing().fit(X), X)


@pytest.mark.parametrize("n_events", [25, 100])
def test_default_classifier_learns_from_small_samples(n_events):
    X = np.random.default_rng(0).normal(size=(2, n_events, 2))
    assert two_sample_auc(X[0], X[1] + 5, n_jobs=1) > 0.85
    auc, std = two_sample_auc(X[0], X[1], n_jobs=1, return_std=True)
    assert abs(auc - 0.5) < 3 * std


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"X1": np.zeros((3, 2))}, "X1 holds 3 events, 20 are needed"),
        ({"groups1": np.arange(5), "groups2": np.arange(40)}, "5 entries, but there are 40"),
        ({"estimator": LinearRegression()}, "LinearRegression.*has no predict_proba"),
    ],
)
def test_area_says_what_is_missing(changes, message):
    X = np.random.default_rng(0).normal(size=(40, 2))
    with pytest.raises(ValueError, match=message):
        two_sample_auc(**{"X1": X, "X2": X, **changes})


def test_densities_of_scikit_learn_behind_a_step_and_context_behind_a_wrapper():
    X = np.random.default_rng(0).normal(size=(200, 2))
    scorer = wasserstein_scorer()
    model = make_pipeline(StandardScaler(), KernelDensity(bandwidth=0.1)).fit(X)
    assert_allclose(scorer(model, X), scorer(KernelDensity(bandwidth=0.1).fit(X), X), atol=0.1)
    flow = FlowMatching(
        context_features=[0], hidden=(8,), max_epochs=1, device="cpu", random_state=0
    )
    wrapped = GenerativeUnweighter(flow, random_state=0).fit(X)
    assert scorer(wrapped, X) == scorer(wrapped.estimator_, X)
