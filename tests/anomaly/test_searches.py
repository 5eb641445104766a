"""CWoLa and CATHODE: what they find, folds, regions, weights, bad input."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from skhep_ml.anomaly import CathodeClassifier, CWoLaClassifier
from skhep_ml.anomaly._cathode import smooth_spectrum
from skhep_ml.anomaly._regions import check_regions
from skhep_ml.anomaly._weak import FoldModel
from skhep_ml.datasets import make_resonance_search
from skhep_ml.ensemble import BDTClassifier
from skhep_ml.exceptions import UnidentifiedEventsWarning
from skhep_ml.metrics import roc_auc_score, significance_improvement_scorer
from skhep_ml.model_selection._rotating import event_folds


class NormalAtMass(sklearn.base.BaseEstimator):
    """Gaussian in all features together, of a mean linear in the mass."""

    def __init__(self, context_features=None):
        self.context_features = context_features

    def fit(self, X, sample_weight=None):
        self.columns_ = list(X.columns)
        table = np.asarray(X, dtype=np.float64)
        m = np.asarray(X[self.context_features[0]], dtype=np.float64)
        basis = np.column_stack([np.ones(len(m)), m / 1000])
        w = np.ones(len(m)) if sample_weight is None else sample_weight
        self.n_seen_, self.seen_ = len(m), m
        weighted = (w[:, None] * basis).T
        self.slope_ = np.linalg.solve(weighted @ basis, weighted @ table)
        rest = table - basis @ self.slope_
        self.covariance_ = rest.T @ (w[:, None] * rest) / w.sum()
        return self

    def sample(self, *, context, random_state):
        rng = np.random.RandomState(random_state)
        m = context[:, 0]
        basis = np.column_stack([np.ones(len(m)), m / 1000])
        noise = rng.multivariate_normal(np.zeros(len(self.columns_)), self.covariance_, len(m))
        table = pd.DataFrame(basis @ self.slope_ + noise, columns=self.columns_)
        table[self.context_features[0]] = m
        return table


def toy(n, *, slope=0.0, fraction=0.02, seed=0, sign=0.0):
    """Two gaussian features; background moves with the mass by ``slope``, signal sits at (2, 2)."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < fraction).astype(int)
    mass = np.where(y, rng.normal(3500, 80, n), 2700 + rng.exponential(500, n))
    x = rng.normal(size=(n, 2)) + slope * (mass[:, None] / 1000 - 3.5)
    x[y == 1] = rng.normal(2, 0.3, size=(y.sum(), 2))
    weight = np.where(rng.random(n) < sign, -1.0, 1.0)
    table = pd.DataFrame({"a": x[:, 0], "m": mass, "b": x[:, 1], "event": np.arange(n)})
    return table, y, weight


REGION = (3300.0, 3700.0)
BDT = BDTClassifier(40, max_depth=3, subsample=0.7, device="cpu", n_jobs=1)
SMALL = {"mass": "m", "estimator": BDT, "n_members": 2, "n_splits": 2, "id_columns": "event"}


@pytest.fixture(scope="module")
def events():
    return toy(12_000)


@pytest.fixture(scope="module", params=["cwola", "cathode"])
def search(request, events):
    if request.param == "cwola":
        model = CWoLaClassifier(REGION, random_state=0, **SMALL)
    else:
        model = CathodeClassifier(REGION, density=NormalAtMass(), random_state=0, **SMALL)
    return model.fit(events[0])


def test_finds_the_signal_and_looks_alike_everywhere(search, events):
    X, y, _ = events
    score = search.decision_function(X)
    assert roc_auc_score(y, score) > 0.9
    p = search.predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_allclose(score, np.log(p[:, 1] / p[:, 0]), rtol=1e-6)
    np.testing.assert_array_equal(search.predict(X), (p[:, 1] > 0.5).astype(int))
    assert search.classes_.tolist() == [0, 1]
    assert search.feature_names_in_.tolist() == ["a", "m", "b"]
    assert [len(members) for members in search.estimators_] == [2, 2]
    # neither mass nor order of rows and columns matter
    moved = X.assign(m=3000.0)[["event", "b", "m", "a"]].iloc[::-1]
    np.testing.assert_allclose(search.decision_function(moved)[::-1], score)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(search)).predict_proba(X), p)


def test_same_seed_same_model_and_members_differ(search, events):
    X, _, _ = events
    again = clone(search).fit(X)
    np.testing.assert_array_equal(again.decision_function(X), search.decision_function(X))
    first, second = search.estimators_[0]
    table = X[["a", "b"]].to_numpy()
    assert np.abs(first.predict_proba(table) - second.predict_proba(table)).max() > 1e-3


def test_no_event_is_predicted_by_a_model_that_saw_it(events, monkeypatch):
    X, _, _ = events
    seen = []
    fit = FoldModel.fit

    def spy(self, table, y, sample_weight=None, groups=None):
        seen.append(set(np.asarray(groups)[:, 0].tolist()))
        return fit(self, table, y, sample_weight, groups)

    monkeypatch.setattr(FoldModel, "fit", spy)
    model = CWoLaClassifier(REGION, random_state=0, **SMALL).fit(X)
    fold = event_folds(model.rotation_, X.drop(columns="event"), X[["event"]])
    for k in range(2):
        assert seen[k].isdisjoint(X["event"][fold == k])
        assert seen[k] == set(X["event"][fold != k])


def test_mass_dependence_misleads_cwola_and_not_cathode():
    # the mean of both features follows the mass: events in the middle look like the signal region
    X, y, _ = toy(30_000, slope=4.0)
    inside = X["m"].between(*REGION).to_numpy()
    scores = [
        model.fit(X).decision_function(X)[inside]
        for model in (
            CWoLaClassifier(REGION, random_state=0, **SMALL),
            CathodeClassifier(REGION, density=NormalAtMass(), random_state=0, **SMALL),
        )
    ]
    cwola, cathode = (roc_auc_score(y[inside], score) for score in scores)
    assert cathode > 0.9
    assert cwola < cathode - 0.05


def test_template_comes_from_the_sidebands_at_the_masses_of_the_region(events):
    X, _, _ = events
    model = CathodeClassifier(REGION, density=NormalAtMass(), random_state=0, **SMALL).fit(X)
    for density in model.densities_:
        assert not ((density.seen_ >= 3300) & (density.seen_ < 3700)).any()
        assert density.context_features == ["m"]
    narrow = clone(model).set_params(sidebands=((3000, 3300), (3700, 4000))).fit(X)
    assert narrow.densities_[0].seen_.min() >= 3000
    assert narrow.densities_[0].seen_.max() < 4000
    asked = []

    class Recorder(NormalAtMass):
        def sample(self, *, context, random_state):
            asked.append(context)
            return super().sample(context=context, random_state=random_state)

    for mass_model in ("kde", "fit"):
        asked.clear()
        clone(model).set_params(density=Recorder(), mass_model=mass_model, oversampling=3.0).fit(X)
        drawn = np.concatenate(asked)[:, 0]
        inside = X["m"][X["m"].between(*REGION)]
        assert len(drawn) == pytest.approx(3 * len(inside), abs=3)
        assert 3300 <= drawn.min() < drawn.max() <= 3700
        assert drawn.mean() == pytest.approx(inside.mean(), abs=12)


def test_smooth_spectrum_is_the_density_without_edge_effects():
    rng = np.random.default_rng(0)
    mass = rng.uniform(0, 1, 50_000)
    spectrum = smooth_spectrum(mass, np.ones(len(mass)), (0.0, 1.0))
    np.testing.assert_allclose(spectrum, 250, atol=25)
    signed = smooth_spectrum(mass, np.where(rng.random(len(mass)) < 0.2, -1.0, 1.0), (0.0, 1.0))
    np.testing.assert_allclose(signed, 150, atol=25)


def test_region_weights_balance():
    model = CWoLaClassifier(REGION, mass=0)._fold_model(None, 0, check_regions(REGION, None))
    mass = np.array([3000.0, 3100, 3200, 3400, 3500, 3800])
    region = model.regions.of(mass)
    weight = np.array([1.0, 2, -1, 3, 1, 4])
    sums = np.array([weight[region == k].sum() for k in range(3)])
    X = np.column_stack([mass, mass])
    _, label, w, _ = model._training_sample(X, region, sums, weight, None)
    assert label.tolist() == [0, 0, 0, 1, 1, 0]
    assert [w[region == k].sum() for k in range(3)] == pytest.approx([0.5, 1.0, 0.5])
    assert np.sign(w).tolist() == np.sign(weight).tolist()


def test_signed_weights(events):
    X, y = events[0][:5000], events[1][:5000]
    weight = np.where(np.random.default_rng(1).random(len(y)) < 0.1, -1.0, 1.0)
    for model in (
        CWoLaClassifier(REGION, random_state=0, **SMALL),
        CathodeClassifier(REGION, density=NormalAtMass(), random_state=0, **SMALL),
    ):
        score = model.fit(X, sample_weight=weight).decision_function(X)
        assert roc_auc_score(y, score) > 0.8
        # the unit of weights does not matter; a power of two changes no rounding
        other = clone(model).fit(X, sample_weight=weight / 1024).decision_function(X)
        np.testing.assert_allclose(other, score, atol=1e-6)


def test_any_classifier_and_routing(events):
    X, y, _ = events
    linear = make_pipeline(StandardScaler(), PolynomialFeatures(2), LogisticRegression())
    model = CWoLaClassifier(REGION, **{**SMALL, "estimator": linear}).fit(X)
    assert roc_auc_score(y, model.decision_function(X)) > 0.85
    with sklearn.config_context(enable_metadata_routing=True):
        routed = CWoLaClassifier(REGION, random_state=0, **SMALL).fit(X)
    plain = CWoLaClassifier(REGION, random_state=0, **SMALL).fit(X)
    np.testing.assert_array_equal(routed.predict_proba(X), plain.predict_proba(X))
    with pytest.raises(ValueError, match="takes no sample_weight"):
        CWoLaClassifier(REGION, **{**SMALL, "estimator": KNeighborsClassifier()}).fit(X)


def test_scorers_take_the_truth_of_simulation(events, search):
    X, y, _ = events
    scorer = significance_improvement_scorer(min_background_events=10)
    assert scorer(search, X, y) > 2


def test_arrays_and_groups_are_the_same_as_columns(events):
    X, _, _ = events
    array = X[["a", "m", "b"]].to_numpy()
    options = {**SMALL, "mass": 1, "id_columns": None, "random_state": 0}
    one = CWoLaClassifier(REGION, **options).fit(array, groups=X["event"].to_numpy())
    frame = CWoLaClassifier(REGION, random_state=0, **SMALL).fit(X)
    np.testing.assert_allclose(
        one.predict_proba(array, groups=X["event"].to_numpy()), frame.predict_proba(X)
    )
    with pytest.raises(ValueError, match="needs them to predict"):
        one.predict_proba(array)
    mean = clone(one).set_params(unidentified="mean").fit(array, groups=X["event"].to_numpy())
    assert mean.predict_proba(array[:5]).shape == (5, 2)
    with pytest.warns(UnidentifiedEventsWarning):
        CWoLaClassifier(REGION, **options).fit(array)


@pytest.mark.parametrize("kind", [CWoLaClassifier, CathodeClassifier])
def test_bad_input(events, kind):
    X, _, _ = events
    options = dict(SMALL)
    if kind is CathodeClassifier:
        options["density"] = NormalAtMass()

    def fit(region=REGION, table=X, weight=None, **changes):
        return kind(region, **{**options, **changes}).fit(table, sample_weight=weight)

    with pytest.raises(ValueError, match=r"mass names 'mjj', but the columns are \['a', 'm'"):
        fit(mass="mjj")
    with pytest.raises(ValueError, match=r"no event in the signal region \[50000, 60000\)"):
        fit((50_000, 60_000))
    with pytest.raises(ValueError, match=r"no event in the lower sideband \[-inf, 2000\)"):
        fit((2000, 3000))
    with pytest.raises(ValueError, match=r"no event in the upper sideband \[30000, 40000\)"):
        fit(sidebands=((2700, 3300), (30_000, 40_000)))
    with pytest.raises(ValueError, match="signal_region must be two rising masses"):
        fit((3700, 3300))
    with pytest.raises(ValueError, match="must lie below and above signal_region"):
        fit(sidebands=((2700, 3400), (3700, 4000)))
    with pytest.raises(ValueError, match="sidebands must be two intervals"):
        fit(sidebands=(2700, 3400, 5))
    inside = X["m"].between(*REGION)
    with pytest.raises(ValueError, match=r"in the signal region .* sum to -.* positive sum"):
        fit(weight=np.where(inside, -1.0, 1.0))
    with pytest.raises(ValueError, match=r"in the upper sideband .* sum to -"):
        fit(weight=np.where(X["m"] >= 3700, -1.0, 1.0))
    with pytest.raises(ValueError, match="mass is NaN or infinite in 1 events, first in event 3"):
        fit(table=X.assign(m=X["m"].where(X.index != 3)))
    with pytest.raises(ValueError, match="nothing to learn from"):
        fit(table=X[["m", "event"]])
    with pytest.raises(ValueError, match="is among id_columns"):
        fit(mass="event")
    with pytest.raises(ValueError, match="n_members must be an integer of at least 1"):
        fit(n_members=0)
    with pytest.raises(TypeError, match="has no predict_proba"):
        fit(estimator=RidgeClassifier())
    with pytest.raises(ValueError, match="groups has 5 entries, but there are 12000 events"):
        kind(REGION, **{**options, "id_columns": None}).fit(X[["a", "m"]], groups=np.arange(5))


def test_bad_density(events):
    X, _, _ = events

    def fit(**changes):
        options = {"density": NormalAtMass(), **SMALL, **changes}
        return CathodeClassifier(REGION, **options).fit(X)

    with pytest.raises(TypeError, match="cannot be sampled at given masses"):
        fit(density=LogisticRegression())
    with pytest.raises(TypeError, match="cannot be sampled at given masses"):
        fit(density=NormalAtMass)
    with pytest.raises(ValueError, match="oversampling must be a positive number"):
        fit(oversampling=0)
    with pytest.raises(ValueError, match="oversampling must be a positive number, got '4'"):
        fit(oversampling="4")
    with pytest.raises(ValueError, match='mass_model must be "kde" or "fit"'):
        fit(mass_model="guess")
    with pytest.raises(ValueError, match="give the centre-of-mass energy"):
        fit(mass_model="fit", energy=13.0)

    class Broken(NormalAtMass):
        def sample(self, *, context, random_state):
            return super().sample(context=context, random_state=random_state) * np.nan

    with pytest.raises(ValueError, match="gave no finite event"):
        fit(density=Broken())


def test_cathode_with_a_flow():
    pytest.importorskip("zuko")
    from skhep_ml.generative import NormalizingFlow

    events = make_resonance_search(2500, signal_fraction=0.2, as_frame=True, random_state=0)
    flow = NormalizingFlow(
        "realnvp",
        n_transforms=1,
        hidden=(16,),
        max_epochs=2,
        batch_size=512,
        domains={"m_j1": "positive", "delta_m_j": "positive"},
        device="cpu",
    )
    options = {**SMALL, "mass": "m_jj", "id_columns": None}
    model = CathodeClassifier(events.signal_region, density=flow, random_state=0, **options)
    model.fit(events.data, groups=events.event_number)
    inside = events.data["m_jj"].between(*events.signal_region).to_numpy()
    score = model.decision_function(events.data, groups=events.event_number)
    assert roc_auc_score(events.target[inside], score[inside]) > 0.8
