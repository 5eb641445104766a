"""OmniFold: against D'Agostini's method, closure, stress, efficiency, fakes, errors, bad input."""

import inspect
import pickle

import numpy as np
import polars as pl
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures
from sklearn.svm import LinearSVC
from sklearn.utils import estimator_html_repr, get_tags
from sklearn.utils.estimator_checks import (
    check_get_params_invariance,
    check_no_attributes_set_in_init,
    check_set_params,
)
from sklearn.utils.metadata_routing import get_routing_for_object

from skhep_ml.datasets import make_unfolding_toy
from skhep_ml.ensemble import BDTClassifier
from skhep_ml.exceptions import SupportWarning
from skhep_ml.model_selection import EventNumberKFold
from skhep_ml.reweighting import OmniFold


class BinShares(ClassifierMixin, BaseEstimator):
    """Share of class 1 among the training events in the integer of the first feature."""

    def fit(self, X, y, sample_weight=None):
        weight = np.ones(len(X)) if sample_weight is None else sample_weight
        cell = np.asarray(X)[:, 0].astype(int)
        self.classes_ = np.array([0, 1])
        sums = np.stack([np.bincount(cell, weight * (y == k), 100) for k in (0, 1)])
        total = sums.sum(axis=0)
        self.share_ = np.divide(sums[1], total, out=np.full(100, 0.5), where=total > 0)
        return self

    def predict_proba(self, X):
        p = self.share_[np.asarray(X)[:, 0].astype(int)]
        return np.stack([1 - p, p], axis=1)


def about_zero(X):
    """Logarithms of pt, mass and width near 0, without a look at the sample."""
    return np.log(np.asarray(X)) - [5.0, 2.8, -1.8]


QUADRATIC = make_pipeline(
    FunctionTransformer(about_zero), PolynomialFeatures(2), LogisticRegression(max_iter=1000)
)
INSTANCES = [
    OmniFold(QUADRATIC, n_iterations=2, random_state=0),
    OmniFold(QUADRATIC, n_iterations=2, n_splits=None, n_bootstrap=2, random_state=0),
    OmniFold(BDTClassifier(10, n_jobs=1), QUADRATIC, n_iterations=1, negative_weights="keep"),
]
every = pytest.mark.parametrize("model", INSTANCES, ids=("folds", "replicas", "keep"))


@pytest.fixture(scope="module")
def toy():
    return make_unfolding_toy(1500, 1500, as_frame=True, random_state=0)


def arguments(toy, **changes):
    """What fit takes, identifiers included."""
    return {
        "truth_sim": toy.truth_sim,
        "reco_sim": toy.reco_sim,
        "reco_data": toy.reco_data,
        "pass_truth": toy.pass_truth,
        "pass_reco": toy.pass_reco,
        "sim_groups": toy.event_number,
        "data_groups": toy.event_number_data,
        **changes,
    }


def binned_toy(n, seed, n_bins=8):
    """Bins of truth, of reconstruction and of data, weights, and masks; some events fail either."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, n_bins, n)
    reco = np.clip(truth + rng.integers(-1, 2, n), 0, n_bins - 1)
    pass_truth = rng.random(n) > 0.1
    pass_reco = rng.random(n) > np.where(pass_truth, 0.05 + 0.04 * truth, 0.3)
    true = rng.choice(n_bins, n, p=np.arange(1, n_bins + 1) / (n_bins * (n_bins + 1) / 2))
    data = np.clip(true + rng.integers(-1, 2, n), 0, n_bins - 1)
    data = data[rng.random(n) > 0.05 + 0.04 * true]
    return (
        truth,
        reco,
        data,
        rng.uniform(0.5, 2, n),
        rng.uniform(0.5, 2, len(data)),
        (
            pass_truth,
            pass_reco,
        ),
    )


def dagostini(truth, reco, data, w_sim, w_data, passes, n_iterations, n_bins=8):
    """D'Agostini's method as it is written, fakes by the purity of each bin."""
    total = np.zeros(n_bins)
    joint = np.zeros((n_bins, n_bins))
    fakes = np.zeros(n_bins)
    for j, i, w, in_truth, in_reco in zip(truth, reco, w_sim, *passes, strict=True):
        if in_truth:
            total[j] += w
        if in_truth and in_reco:
            joint[j, i] += w
        elif in_reco:
            fakes[i] += w
    measured = np.bincount(data, w_data, n_bins)
    n_true = total.copy()
    for _ in range(n_iterations):
        updated = np.zeros(n_bins)
        for j in range(n_bins):
            efficiency = joint[j].sum() / total[j]
            for i in range(n_bins):
                seen = joint[:, i].sum()
                prior = sum(joint[k, i] / total[k] * n_true[k] for k in range(n_bins))
                posterior = joint[j, i] / total[j] * n_true[j] / prior
                updated[j] += posterior * measured[i] * seen / (seen + fakes[i]) / efficiency
        n_true = updated
    return n_true


@pytest.mark.parametrize("n_iterations", [1, 2, 5])
def test_bins_give_dagostini(n_iterations):
    truth, reco, data, w_sim, w_data, passes = sample = binned_toy(3000, 0)
    expected = dagostini(*sample, n_iterations)
    model = OmniFold(BinShares(), n_iterations=n_iterations, n_splits=None)
    model.fit(
        truth[:, None].astype(float),
        reco[:, None].astype(float),
        data[:, None].astype(float),
        sim_weight=w_sim,
        data_weight=w_data,
        pass_truth=passes[0],
        pass_reco=passes[1],
    )
    found = model.histogram(truth, np.arange(-0.5, 8))
    np.testing.assert_allclose(found.counts, expected, rtol=1e-9)
    assert found.covariance is None
    assert (model.weights_[~passes[0]] == 0).all()
    # what is not reconstructed has the weight of what is, in the same truth
    ratio = model.weights_ / w_sim
    for j in range(8):
        of_bin = ratio[(truth == j) & passes[0]]
        np.testing.assert_allclose(of_bin, of_bin[0])
        assert (passes[1][(truth == j) & passes[0]]).any()


def test_stress_closes_on_the_truth():
    toy = make_unfolding_toy(14_000, 14_000, random_state=3)
    model = OmniFold(n_iterations=4, n_jobs=1, random_state=0).fit(**arguments(toy))
    summary = model.summary()
    assert summary.chi2[0] > 10
    assert summary.chi2[-1] < 1.5
    assert summary.auc[0] > 0.57
    assert abs(summary.auc[-1] - 0.5) < 0.02
    inside = toy.pass_truth
    start = toy.weight_truth.sum() / inside.sum()
    for k, edges in enumerate(([100, 120, 150, 200, 300], [6, 12, 16, 22, 40], [0, 0.1, 0.2, 0.4])):
        values = toy.truth_sim[:, k]
        found = model.histogram(values, edges).counts
        wanted = np.histogram(values[inside], edges, weights=toy.weight_truth[inside])[0]
        simulated = start * np.histogram(values[inside], edges)[0]
        # 14000 jets: bins fluctuate by 1.5 to 4%
        np.testing.assert_allclose(found, wanted, rtol=0.1)
        assert np.abs(found / wanted - 1).max() < 0.7 * np.abs(simulated / wanted - 1).max()
    assert model.weights_.sum() == pytest.approx(toy.weight_truth.sum(), rel=0.04)


def test_closure_changes_nothing():
    toy = make_unfolding_toy(8000, 8000, strength=0.0, random_state=1)
    model = OmniFold(n_iterations=3, n_jobs=1, random_state=0).fit(**arguments(toy))
    ratio = model.weights_[toy.pass_truth]
    assert abs(ratio.mean() - 1) < 0.04
    assert ratio.std() < 0.3
    pt = toy.truth_sim[:, 0]
    edges = [100, 120, 150, 200, 300]
    unfolded = model.histogram(pt, edges).counts
    # the fluctuations of 5000 jets of data, 3 to 5%
    np.testing.assert_allclose(unfolded, np.histogram(pt[toy.pass_truth], edges)[0], rtol=0.12)
    assert model.summary().fake_share == pytest.approx(
        np.mean(~toy.pass_truth[toy.pass_reco]), rel=1e-12
    )


def test_quantities_outside_the_features_follow():
    """The mass shifts with pt, although only pt is unfolded."""
    toy = make_unfolding_toy(8000, 8000, random_state=2)
    only_pt = arguments(toy)
    for name in ("truth_sim", "reco_sim", "reco_data"):
        only_pt[name] = only_pt[name][:, 0]
    model = OmniFold(n_iterations=3, n_jobs=1, random_state=0).fit(**only_pt)
    inside = toy.pass_truth
    mass = toy.truth_sim[inside, 1]
    wanted = np.average(mass, weights=toy.truth_ratio(toy.truth_sim[inside]))
    found = np.average(mass, weights=model.weights_[inside])
    assert mass.mean() < found < wanted
    np.testing.assert_allclose(model.histogram(toy.truth_sim[:, 1], 1).counts, model.weights_.sum())


def test_each_event_is_predicted_by_models_that_never_saw_it():
    class Spy(ClassifierMixin, BaseEstimator):
        def fit(self, X, y, sample_weight=None):
            self.classes_ = np.array([0, 1])
            self.seen_ = set(X[:, 0].tolist())
            return self

        def predict_proba(self, X):
            assert not self.seen_ & set(X[:, 0].tolist())
            return np.full((len(X), 2), 0.5)

    n = 400
    ids = np.arange(n, dtype=float)
    OmniFold(Spy(), n_iterations=2, n_splits=3).fit(
        ids,
        ids,
        ids[1:-1] + 0.5,
        sim_groups=np.arange(n),
        data_groups=np.arange(n - 2),
        pass_truth=ids % 7 != 0,
        pass_reco=ids % 5 != 0,
    )


def test_order_of_events_does_not_matter():
    truth, reco, data, w_sim, w_data, passes = binned_toy(2000, 1)
    order, data_order = np.random.default_rng(0).permutation(2000), slice(None, None, -1)
    model = OmniFold(BinShares(), n_iterations=2, n_bootstrap=4, random_state=0)
    found = []
    for rows, data_rows in ((slice(None), slice(None)), (order, data_order)):
        model.fit(
            truth[rows].astype(float),
            reco[rows].astype(float),
            data[data_rows].astype(float),
            sim_weight=w_sim[rows],
            data_weight=w_data[data_rows],
            pass_truth=passes[0][rows],
            pass_reco=passes[1][rows],
            sim_groups=np.arange(2000)[rows],
            data_groups=np.arange(len(data))[data_rows],
        )
        found.append(model.histogram(truth[rows], np.arange(-0.5, 8)))
    np.testing.assert_allclose(found[1].counts, found[0].counts)
    np.testing.assert_allclose(found[1].covariance, found[0].covariance)


def test_errors_are_those_of_repeated_experiments():
    counts, errors, correlation = [], [], []
    for seed in range(40):
        truth, reco, data, *_, passes = binned_toy(1500, seed)
        model = OmniFold(
            BinShares(), n_iterations=3, n_splits=None, n_bootstrap=15 * (seed < 4), random_state=1
        )
        floats = [x.astype(float) for x in (truth, reco, data)]
        model.fit(*floats, pass_truth=passes[0], pass_reco=passes[1])
        found = model.histogram(truth, np.arange(-0.5, 8))
        counts.append(found.counts)
        if found.covariance is not None:
            errors.append(found.errors)
            correlation.append(found.correlation)
            assert model.replica_weights(floats[0]).shape == (15, 1500)
    spread = np.std(counts, axis=0, ddof=1)
    # 40 experiments know it to 11%, replicas to 9%, and bins share their fluctuations
    assert np.mean(errors, axis=0).mean() == pytest.approx(spread.mean(), rel=0.3)
    neighbours = np.diag(np.corrcoef(counts, rowvar=False), 1).mean()
    assert np.mean([np.diag(one, 1) for one in correlation]) == pytest.approx(neighbours, abs=0.2)
    np.testing.assert_allclose(np.diag(correlation[0]), 1.0)


def test_subtracted_background():
    toy = make_unfolding_toy(8000, 8000, random_state=5)
    clean = OmniFold(QUADRATIC, n_iterations=3).fit(**arguments(toy))
    rng = np.random.default_rng(0)

    def background(n):
        pt = 100 + rng.exponential(30, n)
        return np.column_stack([pt, pt * rng.uniform(0.05, 0.15, n), rng.uniform(0.05, 0.3, n)])

    n = 1500
    data = np.concatenate([toy.reco_data, background(n), background(4 * n)])
    weight = np.repeat([1.0, -0.25], [len(toy.reco_data) + n, 4 * n])
    subtracted = arguments(toy, reco_data=data, data_weight=weight, data_groups=None)
    contaminated = arguments(toy, reco_data=data[: -4 * n], data_groups=None)
    model = OmniFold(QUADRATIC, n_iterations=3, random_state=0).fit(**subtracted)
    ignored = OmniFold(QUADRATIC, n_iterations=3).fit(**contaminated)
    pt = toy.truth_sim[:, 0]
    edges = [100, 120, 150, 200, 300]
    wanted, found, wrong = (m.histogram(pt, edges).counts for m in (clean, model, ignored))
    np.testing.assert_allclose(found, wanted, rtol=0.1)
    assert np.abs(found / wanted - 1).max() < 0.4 * np.abs(wrong / wanted - 1).max()


def test_negative_weights_and_classifiers(toy):
    signed = np.where(np.arange(len(toy.reco_data)) % 5 == 0, -1.0, 1.0)
    given = arguments(toy, data_weight=signed)
    with pytest.raises(ValueError, match="LogisticRegression has no policy for negative weights"):
        OmniFold(QUADRATIC, negative_weights="keep").fit(**given)
    with pytest.raises(ValueError, match="negative_weights='raise'"):
        OmniFold(QUADRATIC, negative_weights="raise").fit(**given)
    kept = OmniFold(
        BDTClassifier(20, negative_weights="keep", n_jobs=1),
        n_iterations=2,
        negative_weights="keep",
        random_state=0,
    ).fit(**given)
    total = kept.summary().data_sum / kept.summary().efficiency
    assert kept.weights_.sum() == pytest.approx(total, rel=0.1)


def test_signed_simulation():
    """Weights of simulation that cancel in part leave the unfolded spectrum."""
    toy = make_unfolding_toy(10_000, 6000, random_state=7)
    sign = np.random.default_rng(0).choice([1.5, -1.0], len(toy.truth_sim), p=[0.8, 0.2])
    model = OmniFold(QUADRATIC, n_iterations=3, random_state=0)
    model.fit(**arguments(toy, sim_weight=sign))
    assert (np.sign(model.weights_[toy.pass_truth]) == np.sign(sign[toy.pass_truth])).all()
    edges = [100, 120, 150, 200, 300]
    found = model.histogram(toy.truth_sim[:, 0], edges).counts
    inside = toy.pass_truth
    wanted = np.histogram(toy.truth_sim[inside, 0], edges, weights=toy.weight_truth[inside])[0]
    np.testing.assert_allclose(found, wanted, rtol=0.12)


def test_other_events(toy):
    model = clone(INSTANCES[0]).fit(**arguments(toy))
    inside = toy.pass_truth
    truth = toy.truth_sim[inside]
    same = model.predict_weights(truth, groups=toy.event_number[inside])
    np.testing.assert_allclose(same, model.weights_[inside], rtol=1e-12)
    weights = np.linspace(-1, 2, len(truth))
    mean = model.predict_weights(truth, weights)
    assert (np.sign(mean) == np.sign(weights)).all()
    assert not model.predict_weights(truth[:3], np.zeros(3)).any()
    with pytest.raises(ValueError, match="give the events inside the truth selection only"):
        model.predict_weights(toy.truth_sim)
    swapped = truth[["width", "pt", "mass"]]
    np.testing.assert_array_equal(model.predict_weights(swapped, weights), mean)
    np.testing.assert_allclose(
        model.predict_weights(pl.DataFrame(truth.to_dict("list"))), mean / weights
    )
    with pytest.raises(ValueError, match="fitted without replicas: set n_bootstrap"):
        model.replica_weights(truth)
    with pytest.raises(ValueError, match="feature names"):
        model.predict_weights(truth.rename(columns={"pt": "phi"}))
    anonymous = clone(model).fit(**arguments(toy, sim_groups=None))
    with pytest.raises(ValueError, match="fitted without sim_groups"):
        anonymous.predict_weights(truth, groups=toy.event_number[inside])
    arrays = clone(model).fit(
        **arguments(
            toy, **{k: arguments(toy)[k].to_numpy() for k in ("truth_sim", "reco_sim", "reco_data")}
        )
    )
    np.testing.assert_allclose(arrays.predict_weights(truth.to_numpy(), weights), mean, rtol=1e-6)
    with pytest.raises(ValueError, match="2 features"):
        arrays.predict_weights(truth.to_numpy()[:, :2])


def test_columns_of_data_by_name(toy):
    expected = clone(INSTANCES[0]).fit(**arguments(toy)).weights_
    turned = arguments(toy, reco_data=toy.reco_data[["mass", "width", "pt"]])
    np.testing.assert_array_equal(clone(INSTANCES[0]).fit(**turned).weights_, expected)
    renamed = arguments(toy, reco_data=toy.reco_data.rename(columns={"pt": "et"}))
    with pytest.raises(ValueError, match=r"reco_data lacks \['pt'\] and reco_sim lacks \['et'\]"):
        clone(INSTANCES[0]).fit(**renamed)
    with pytest.warns(UserWarning, match="reco_sim has column names and reco_data has none"):
        clone(INSTANCES[0]).fit(**arguments(toy, reco_data=toy.reco_data.to_numpy()))


def test_clouds():
    """Particles of a jet as features: what a classifier makes of them is its affair."""

    class Multiplicity(LogisticRegression):
        def fit(self, X, y, sample_weight=None):
            return super().fit(self.count(X), y, sample_weight)

        def predict_proba(self, X):
            return super().predict_proba(self.count(X))

        @staticmethod
        def count(X):
            return np.isfinite(X[:, :, :1]).sum(axis=1)

    rng = np.random.default_rng(0)

    def cloud(n_particles):
        X = rng.random((len(n_particles), 12, 2))
        X[np.arange(12) >= n_particles[:, None]] = np.nan
        return X

    n_sim, n_data = rng.integers(2, 8, 1000), rng.integers(4, 10, 1000)
    sim = cloud(n_sim)
    with pytest.raises(ValueError, match="NaN in all features of 1 events"):
        OmniFold(Multiplicity()).fit(
            sim, np.where(np.arange(1000)[:, None, None] == 3, np.nan, sim), sim
        )
    model = OmniFold(Multiplicity(), n_iterations=2).fit(sim, sim, cloud(n_data))
    assert np.average(n_sim, weights=model.weights_) > n_sim.mean() + 1
    assert np.isnan(model.summary().chi2).all()
    np.testing.assert_allclose(model.predict_weights(sim).sum(), 1000, rtol=0.1)


@every
def test_parameters(model):
    name = type(model).__name__
    check_no_attributes_set_in_init(name, model)
    check_get_params_invariance(name, model)
    check_set_params(name, model)
    assert get_tags(model).input_tags.two_d_array is False
    assert name in estimator_html_repr(model)
    requests = get_routing_for_object(model)
    requests = getattr(requests, "_self_request", requests).fit.requests
    given = set(inspect.signature(model.fit).parameters) - {"truth_sim", "reco_sim", "reco_data"}
    assert set(requests) == given
    assert all(value is True for value in requests.values())


@every
def test_refit_pickle_and_routing(model, toy):
    signed = np.where(np.arange(len(toy.truth_sim)) % 9 == 0, -0.5, 1.0)
    given = arguments(toy, sim_weight=signed if model.negative_weights == "refine" else None)
    model = clone(model)
    assert model.fit(**given) is model
    first = model.weights_
    np.testing.assert_array_equal(model.fit(**given).weights_, first)
    copy = pickle.loads(pickle.dumps(model))
    inside = toy.truth_sim[toy.pass_truth]
    np.testing.assert_array_equal(copy.predict_weights(inside), model.predict_weights(inside))
    with sklearn.config_context(enable_metadata_routing=True):
        np.testing.assert_array_equal(clone(model).fit(**given).weights_, first)
    with pytest.raises(NotFittedError):
        clone(model).predict_weights(inside)


def test_summary(toy):
    model = OmniFold(QUADRATIC, n_iterations=2).fit(**arguments(toy))
    summary = model.summary()
    table = summary.to_pandas()
    assert list(table.index) == [0, 1, 2]
    assert table["total"].iloc[0] == toy.pass_truth.sum()
    assert table["total"].iloc[2] == pytest.approx(model.weights_.sum())
    assert model.weights_per_iteration_.shape == (2, len(toy.truth_sim))
    np.testing.assert_array_equal(model.weights_per_iteration_[-1], model.weights_)
    assert "chi2 / bins" in repr(summary)
    assert summary._repr_html_().count("<tr>") == 4
    assert summary.efficiency == (toy.pass_truth & toy.pass_reco).sum() / toy.pass_truth.sum()
    before, after = model.weights_per_iteration_[:, toy.pass_truth]
    expected = np.sqrt(np.average((after / before - 1) ** 2, weights=before))
    assert summary.change[1] == pytest.approx(expected)


def test_progress_is_shown(toy, capsys):
    OmniFold(QUADRATIC, n_iterations=2, n_bootstrap=2, verbose=1).fit(**arguments(toy))
    assert "6/6" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_iterations": 0}, "n_iterations must be an integer of at least 1, got 0"),
        ({"n_iterations": 2.5}, "n_iterations must be an integer of at least 1, got 2.5"),
        ({"n_bootstrap": -1}, "n_bootstrap must be an integer of at least 0, got -1"),
        ({"n_bootstrap": 1}, "n_bootstrap=1 gives no covariance"),
        ({"n_splits": 1}, "n_splits must be an integer of at least 2, got 1"),
        ({"clip": 0.5}, r"clip must lie in \[0, 0.5\), got 0.5"),
        ({"negative_weights": "ignore"}, "negative_weights must be one of"),
        ({"classifier_reco": LinearSVC()}, r"classifier_reco=LinearSVC\(\) has no predict_proba"),
        ({"classifier_truth": LinearSVC()}, r"classifier_truth=LinearSVC\(\) has no predict_proba"),
    ],
)
def test_wrong_parameters(toy, changes, message):
    with pytest.raises(ValueError, match=message):
        clone(INSTANCES[0]).set_params(**changes).fit(**arguments(toy))


def test_bad_events(toy):
    n_sim, n_data = len(toy.truth_sim), len(toy.reco_data)

    def refused(message, **changes):
        with pytest.raises(ValueError, match=message):
            OmniFold(QUADRATIC).fit(**arguments(toy, **changes))

    refused(rf"truth_sim has {n_sim - 1} events and reco_sim {n_sim}", truth_sim=toy.truth_sim[1:])
    refused("reco_data is empty", reco_data=toy.reco_data[:0])
    refused("pass_reco has shape", pass_reco=toy.pass_reco[1:])
    refused("pass_truth must be booleans", pass_truth=np.full(n_sim, 3))
    refused("pass_truth is False for every event", pass_truth=np.zeros(n_sim, dtype=bool))
    refused("pass_reco is False for every event", pass_reco=np.zeros(n_sim, dtype=bool))
    refused("no simulated event passes both", pass_truth=~toy.pass_reco, pass_reco=toy.pass_reco)
    refused("truth_sim is NaN in all features of .* pass_truth= says", pass_truth=None)
    refused("reco_sim is NaN in all features of .* pass_reco= says", pass_reco=None)
    row = int(np.flatnonzero(toy.pass_truth & toy.pass_reco)[4])
    for name in ("truth_sim", "reco_sim"):
        broken = arguments(toy)[name].copy()
        broken.loc[row, "mass"] = np.nan
        refused(
            f"Input {name} contains NaN in 1 of .* event {row}, column 'mass'", **{name: broken}
        )
        broken.loc[row, "mass"] = np.inf
        refused(f"Input {name} contains infinity in 1 of .* event {row}", **{name: broken})
    broken = toy.reco_data.copy()
    broken.iloc[5] = np.nan
    refused("reco_data is NaN in all features of 1 events, first in event 5", reco_data=broken)
    refused("sim_weight has 3 entries", sim_weight=np.ones(3))
    refused("data_weight has 3 entries", data_weight=np.ones(3))
    refused("sim_weight sums to -", sim_weight=-np.ones(n_sim))
    refused("data_weight sums to -", data_weight=-np.ones(n_data))
    refused("data_weight is NaN or infinite", data_weight=np.full(n_data, np.nan))
    refused("sim_groups has 2 entries", sim_groups=[1, 2])
    refused("event identifiers must be integers, got float64", data_groups=np.ones(n_data))
    low = toy.reco_data["pt"] < 115
    refused(
        "data_weight sums to -.* where feature 'pt' lies between -inf and",
        data_weight=np.where(low, -1.0, 4.0),
    )
    inside_low = toy.truth_sim["pt"] < 110
    refused("sim_weight sums to -.* feature 'pt'", sim_weight=np.where(inside_low, -1.0, 4.0))
    with pytest.raises(ValueError, match=r"reco_sim has shape \(3,\) and one of reco_data \(2,\)"):
        OmniFold(QUADRATIC).fit(
            **arguments(
                toy, reco_sim=toy.reco_sim.to_numpy(), reco_data=toy.reco_data.to_numpy()[:, :2]
            )
        )


def test_missing_values_go_to_those_who_know_them(toy):
    holes = toy.reco_sim.copy()
    holes.loc[holes.index % 4 == 0, "width"] = np.nan
    data = toy.reco_data.copy()
    data.loc[data.index % 4 == 0, "width"] = np.nan
    model = OmniFold(BDTClassifier(10, n_jobs=1), n_iterations=1)
    model.fit(**arguments(toy, reco_sim=holes, reco_data=data))
    assert np.isfinite(model.weights_).all()
    assert np.isfinite(model.summary().chi2).all()


def test_bad_histograms(toy):
    model = clone(INSTANCES[0]).fit(**arguments(toy))
    with pytest.raises(ValueError, match=r"values has shape \(2,\), but OmniFold was fitted"):
        model.histogram([1.0, 2.0], 3)
    with pytest.raises(ValueError, match=r"values is NaN in \d+ events inside the truth"):
        model.histogram(toy.reco_sim["pt"], 3)
    with pytest.raises(ValueError, match="rising edges"):
        model.histogram(toy.truth_sim["pt"], [2, 1])
    with pytest.raises(ValueError, match="there are no errors"):
        _ = model.histogram(toy.truth_sim["pt"], 3).errors


def test_warnings(toy):
    far = toy.reco_data.copy()
    far.loc[: len(far) // 10, "pt"] = 5000.0
    with pytest.warns(
        SupportWarning, match=r"reco_data lie outside the range of reco_sim .* 'pt'"
    ) as record:
        OmniFold(QUADRATIC).fit(**arguments(toy, reco_data=far))
    assert record[0].filename == __file__
    stopping = HistGradientBoostingClassifier(max_iter=2, early_stopping=True)
    with pytest.warns(UserWarning, match="stops early on rows held out at random") as record:
        OmniFold(QUADRATIC, stopping, n_iterations=1).fit(**arguments(toy))
    assert record[0].filename == __file__


def test_search_needs_a_splitter_by_groups(toy):
    def unfold(cv):
        search = GridSearchCV(QUADRATIC, {"logisticregression__C": [1.0, 2.0]}, cv=cv)
        return OmniFold(QUADRATIC, search, n_iterations=1, n_splits=None).fit(**arguments(toy))

    with pytest.warns(UserWarning, match="GridSearchCV compares models on rows split at random"):
        unfold(2)
    plain = OmniFold(QUADRATIC, n_iterations=1, n_splits=None).fit(**arguments(toy))
    np.testing.assert_allclose(unfold(EventNumberKFold(2)).weights_, plain.weights_, rtol=0.05)


def test_default_classifier_learns_from_small_samples():
    rng = np.random.default_rng(0)
    truth, true = rng.normal(size=150), rng.normal(1.5, size=150)
    reco, data = (values + 0.1 * rng.normal(size=150) for values in (truth, true))
    # no event of data may lie where there is no simulation
    data = np.clip(data, reco.min(), reco.max())
    model = OmniFold(n_iterations=2, n_jobs=1, random_state=0).fit(truth, reco, data)
    assert np.average(truth, weights=model.weights_) > 0.7


def test_too_few_events_for_replicas():
    with pytest.raises(ValueError, match=r"sums to .* in replica \d+: the sample is too small"):
        OmniFold(BinShares(), n_splits=None, n_iterations=1, n_bootstrap=50).fit(
            [1.0, 2.0], [1.0, 2.0], [1.0]
        )
