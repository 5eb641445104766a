import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy.special import expit, logit
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from skhep_ml._hashing import held_out
from skhep_ml.datasets import make_dalitz
from skhep_ml.ensemble import BDTClassifier, UniformBDTClassifier
from skhep_ml.ensemble._flatness_loss import (
    BinDeviation,
    NeighbourDeviation,
    NeighbourMargin,
    Term,
    flatness_loss,
    flatness_objective,
    neighbour_loss,
    neighbour_objective,
    staggered_edges,
)
from skhep_ml.ensemble._objectives import signed_logistic
from skhep_ml.metrics import roc_auc_score, roc_auc_scorer, sde_flatness
from skhep_ml.model_selection import EventNumberKFold

PLANE = ["m2_ab", "m2_bc"]
FAST = {"n_estimators": 40, "max_depth": 3, "learning_rate": 0.2, "n_jobs": 1, "n_bins": 5}
LOSSES = ["bins", "knn", "knn-ada"]


@pytest.fixture(scope="module")
def decays():
    return make_dalitz(6000, as_frame=True, random_state=0)


@pytest.fixture(scope="module")
def unseen():
    return make_dalitz(20_000, as_frame=True, random_state=1)


def quality(model, events, label=1):
    score = model.decision_function(events.data)
    plane = events.data[PLANE]
    flat = sde_flatness(events.target, score, plane, uniform_label=label, n_bins=6)
    return roc_auc_score(events.target, score), flat


# --- the losses ----------------------------------------------------------------------------------


def distribution(score, weight, at):
    """Weighted share of scores below, ties half."""
    below = (score[None, :] < at[:, None]) + 0.5 * (score[None, :] == at[:, None])
    return below @ weight / weight.sum()


def cells_of(values, edges):
    along = [np.searchsorted(e, v, "right") for e, v in zip(edges, values.T, strict=True)]
    return np.unique(np.column_stack(along), axis=0, return_inverse=True)[1].ravel()


@pytest.fixture(scope="module")
def scored():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(300, 2))
    # every second score is one of a few values
    score = np.where(rng.random(300) < 0.5, rng.normal(size=300), rng.integers(4, size=300))
    return values, rng.uniform(0.5, 2, 300), score.astype(np.float32)


def test_bins_compare_cells_with_all_events(scored):
    values, weight, score = scored
    edges = staggered_edges(values, 3)
    expected = np.zeros(300)
    for grid in edges:
        cell = cells_of(values, grid)
        for k in range(cell.max() + 1):
            inside = cell == k
            w, s = weight[inside], score[inside]
            # cells worth fewer than nine events count in proportion
            size = max(w.sum(), 3 * np.sqrt((w**2).sum()))
            local = distribution(s, w, s) - distribution(score, weight, s)
            expected[inside] += local * w.sum() / size / 2
    assert np.allclose(BinDeviation(values, weight, edges)(score), expected, atol=1e-12)


def test_grids_are_half_a_bin_apart():
    whole, half = staggered_edges(np.arange(1001.0)[:, None], 5)
    assert np.allclose(whole[0], [200, 400, 600, 800])
    assert np.allclose(half[0], [100, 300, 500, 700, 900])


@pytest.mark.parametrize("weighted", [False, True])
def test_neighbours_compare_the_nearest_with_all_events(scored, weighted):
    values, weight, score = scored
    weight = weight if weighted else np.full(300, 2.0)
    scaled = values / values.std(axis=0)
    distance = ((scaled[:, None] - scaled[None]) ** 2).sum(axis=2)
    expected = np.empty(300)
    for k in range(300):
        near = np.argsort(distance[k])[:20]
        own = distribution(score[near], weight[near], score[k : k + 1])
        expected[k] = (own - distribution(score, weight, score[k : k + 1]))[0]
    found = NeighbourDeviation(values, weight, 20)(score)
    assert np.allclose(found, expected, atol=1e-6)


def test_gradient_is_the_derivative_of_the_loss():
    rng = np.random.default_rng(1)
    n = 200
    y = rng.integers(2, size=n)
    values, weight = rng.normal(size=(n, 1)), rng.uniform(0.5, 1.5, n)
    score = rng.permutation(np.linspace(-2, 2, n)).astype(np.float32)
    terms = []
    for label in (0, 1):
        rows = np.flatnonzero(y == label)
        deviation = BinDeviation(values[rows], weight[rows], staggered_edges(values[rows], 3))
        terms.append(Term(rows, weight[rows], 0.7 + label, deviation))
    gradient, hessian = flatness_objective(signed_logistic(y, weight), terms)(score, None)

    def loss(s):
        p = expit(s)
        value = -np.dot(weight, np.where(y == 1, np.log(p), np.log1p(-p)))
        for term in terms:
            value += term.strength * term.deviation.loss(s[term.rows], unbiased=False)
        return value

    step = 1e-3  # smaller than the distance of two scores
    s = score.astype(np.float64)
    for k in range(0, n, 7):
        up, down = s.copy(), s.copy()
        up[k] += step
        down[k] -= step
        assert gradient[k] == pytest.approx((loss(up) - loss(down)) / (2 * step), abs=2e-4)
    assert np.all(hessian > 0)
    # the loss for held-out events is the same, per weight, without its statistical expectation
    biased = loss(s) / weight.sum()
    assert 0 < biased - flatness_loss(y, weight, terms)(score) < 0.2


def test_loss_is_the_integral_over_the_score(scored):
    values, weight, score = scored
    edges = staggered_edges(values[:, :1], 2)
    order = np.sort(np.unique(score)).astype(np.float64)
    middle = 0.5 * (order[1:] + order[:-1])
    expected = 0.0
    for grid in edges:
        cell = cells_of(values[:, :1], grid)
        for k in range(cell.max() + 1):
            inside = cell == k
            apart = distribution(score[inside], weight[inside], middle)
            apart = apart - distribution(score, weight, middle)
            expected += weight[inside].sum() * np.dot(apart**2, np.diff(order)) / 2
    found = BinDeviation(values[:, :1], weight, edges).loss(score, unbiased=False)
    assert found == pytest.approx(expected, rel=1e-6)


def test_loss_of_a_flat_score_is_zero_on_average():
    rng = np.random.default_rng(2)
    values, weight = rng.uniform(size=(400, 1)), rng.uniform(0.2, 3, 400)
    deviation = BinDeviation(values, weight, staggered_edges(values, 10))
    scores = rng.normal(size=(200, 400))
    unbiased = [deviation.loss(score) for score in scores]
    biased = [deviation.loss(score, unbiased=False) for score in scores]
    error = np.std(unbiased) / np.sqrt(200)
    assert abs(np.mean(unbiased)) < 3 * error + 0.03 * np.mean(biased)
    assert np.mean(biased) > 20 * error


def test_mixed_margins_are_those_of_neighbours(scored):
    values, weight, score = scored
    y = (np.arange(300) % 3 == 0).astype(int)
    rows = np.flatnonzero(y == 1)
    margins = NeighbourMargin(300, [(rows, values[rows])], 8, 0.75)
    objective = neighbour_objective(signed_logistic(y, weight), margins)
    gradient, hessian = objective(score, None)
    scaled = values[rows] / values[rows].std(axis=0)
    distance = ((scaled[:, None] - scaled[None]) ** 2).sum(axis=2)
    mixed = score.astype(np.float64)
    mixed[rows] = 0.25 * score[rows] + 0.75 * score[rows[np.argsort(distance)[:, :8]]].mean(axis=1)
    assert np.allclose(margins.mix @ score, mixed, atol=1e-5)
    loss = neighbour_loss(y, weight, margins)
    s, step = score.astype(np.float64), 1e-4
    for k in range(0, 300, 11):
        up, down = s.copy(), s.copy()
        up[k] += step
        down[k] -= step
        slope = (loss(up) - loss(down)) / (2 * step) * weight.sum()
        assert gradient[k] == pytest.approx(slope, abs=1e-4)
    # a common shift of all margins
    p = expit(mixed)
    assert hessian.sum() == pytest.approx((weight * p * (1 - p)).sum(), rel=1e-4)


# --- the estimator -------------------------------------------------------------------------------


@pytest.mark.parametrize(("loss", "gain"), [("bins", 0.75), ("knn", 0.75), ("knn-ada", 0.85)])
def test_flatness_at_a_known_cost(decays, unseen, loss, gain):
    plain = UniformBDTClassifier(PLANE, 1, strength=0, **FAST).fit(decays.data, decays.target)
    flat = UniformBDTClassifier(PLANE, 1, loss=loss, **FAST).fit(decays.data, decays.target)
    (auc, sde), (flat_auc, flat_sde) = quality(plain, unseen), quality(flat, unseen)
    assert flat_sde < gain * sde
    assert auc - 0.03 < flat_auc < auc


def test_more_strength_is_flatter(decays, unseen):
    sde = [
        quality(
            UniformBDTClassifier(PLANE, 1, strength=c, **FAST).fit(decays.data, decays.target),
            unseen,
        )[1]
        for c in (0, 0.5, 2, 8)
    ]
    assert sde == sorted(sde, reverse=True)


def test_both_classes(decays, unseen):
    plain = UniformBDTClassifier(PLANE, strength=0, **FAST).fit(decays.data, decays.target)
    flat = UniformBDTClassifier(PLANE, strength=3, **FAST).fit(decays.data, decays.target)
    named = UniformBDTClassifier(PLANE, [0, 1], strength=3, **FAST)
    for label in (0, 1):
        assert quality(flat, unseen, label)[1] < 0.8 * quality(plain, unseen, label)[1]
    named.fit(decays.data, decays.target)
    assert np.array_equal(named.decision_function(unseen.data), flat.decision_function(unseen.data))


@pytest.mark.parametrize("loss", LOSSES)
def test_no_strength_is_the_plain_classifier(decays, loss):
    X, y, w = decays.data, decays.target, np.linspace(0.5, 2, len(decays.target))
    ours = UniformBDTClassifier(PLANE, 1, loss=loss, strength=0, **FAST).fit(X, y, w)
    options = {name: value for name, value in FAST.items() if name != "n_bins"}
    plain = BDTClassifier(**options).fit(X[decays.train_features], y, w)
    assert np.array_equal(ours.predict_proba(X), plain.predict_proba(X[decays.train_features]))
    # the objective of our own continues it; the engine sets its bins by weights, ours without
    ours.fit(X, y)
    weak = UniformBDTClassifier(PLANE, 1, loss=loss, strength=1e-6, **FAST).fit(X, y)
    assert np.mean(np.abs(weak.predict_proba(X) - ours.predict_proba(X))) < 1e-4


@pytest.mark.parametrize("loss", LOSSES)
def test_weights_have_no_unit(decays, loss):
    X, y, w = decays.data, decays.target, np.linspace(0.5, 2, len(decays.target))
    model = UniformBDTClassifier(PLANE, 1, loss=loss, **FAST)
    a, b = (model.fit(X, y, unit * w).decision_function(X) for unit in (1.0, 1024.0))
    assert np.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_order_of_events_does_not_matter(decays, loss):
    X, y = decays.data, decays.target
    order = np.random.default_rng(0).permutation(len(y))
    model = UniformBDTClassifier(PLANE, 1, loss=loss, **{**FAST, "n_estimators": 10})
    a = model.fit(X, y).decision_function(X)
    b = model.fit(X.iloc[order], y[order]).decision_function(X)
    assert np.allclose(a, b, atol=1e-4)


def test_ratio_of_classes_does_not_change_the_meaning_of_strength(decays, unseen):
    X, y = decays.data, decays.target
    w = np.where(y == 1, 1e-3, 1.0)
    # a leaf of signal must be possible
    options = {**FAST, "min_child_weight": 1e-3, "reg_lambda": 1e-3}
    plain = UniformBDTClassifier(PLANE, strength=0, **options).fit(X, y)
    for label in (0, 1):
        auc, sde = quality(
            UniformBDTClassifier(PLANE, label, **options).fit(X, y, w), unseen, label
        )
        assert auc > 0.9
        assert sde < 0.95 * quality(plain, unseen, label)[1]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("policy", ["keep", "refine"])
def test_signed_weights(unseen, loss, policy):
    for seed in range(2):
        events = make_dalitz(4000, negative_fraction=0.2, as_frame=True, random_state=seed)
        model = UniformBDTClassifier(PLANE, 1, loss=loss, negative_weights=policy, **FAST)
        args = (events.data, events.target, events.weight)
        auc, sde = quality(model.fit(*args), unseen)
        plain_auc, plain_sde = quality(clone(model).set_params(strength=0).fit(*args), unseen)
        assert np.isfinite(model.decision_function(unseen.data)).all()
        assert auc > plain_auc - 0.04
        assert sde < 0.97 * plain_sde


def test_cells_without_net_weight_leave_the_gradient_finite():
    rng = np.random.default_rng(0)
    values, score = rng.normal(size=(300, 2)), rng.normal(size=300).astype(np.float32)
    weight = rng.choice([-1.0, 1.0], 300, p=[0.45, 0.55])
    weight[:5] = 0
    for deviation in (
        BinDeviation(values, weight, staggered_edges(values, 12)),
        NeighbourDeviation(values, weight, 4),
    ):
        found = deviation(score)
        assert np.isfinite(found).all()
        assert np.abs(found).max() < 5


@pytest.mark.parametrize("loss", LOSSES)
def test_early_stopping_on_the_loss_of_held_out_events(decays, loss):
    X, y, w = decays.data, decays.target, np.linspace(0.5, 2, len(decays.target))
    event = decays.event_number * 10
    params = {**FAST, "n_estimators": 200, "learning_rate": 0.5, "early_stopping_rounds": 5}
    model = UniformBDTClassifier(PLANE, 1, loss=loss, strength=0.9, **params)
    model.fit(X, y, w, groups=event)
    history = model.evals_result_["validation"]["loss"]
    assert model.n_estimators_ == np.argmin(history) + 1 < 150
    held = held_out(event, 0.2, "early_stopping", 0)
    score = model.decision_function(X[held])
    rows = np.flatnonzero(y[held] == 1)
    plane, weight = X[held][PLANE].to_numpy(), w[held]
    if loss == "knn-ada":
        margins = NeighbourMargin(held.sum(), [(rows, plane[rows])], 10, 0.9)
        expected = neighbour_loss(y[held], weight, margins)(score)
    else:
        trained = (y == 1) & ~held
        edges = staggered_edges(X[trained][PLANE].to_numpy(), 5)
        share = np.average(y[~held], weights=w[~held])
        deviation = BinDeviation(plane[rows], weight[rows], edges)
        term = Term(rows, weight[rows], 2 * 0.9 * (1 - share), deviation)
        expected = flatness_loss(y[held], weight, [term])(score)
    assert model.best_score_ == min(history) == pytest.approx(expected, rel=1e-4)
    given = UniformBDTClassifier(PLANE, 1, loss=loss, strength=0.9, **params).fit(
        X[~held], y[~held], w[~held],
        eval_set=[(X[held], y[held])], sample_weight_eval_set=[w[held]],
    )  # fmt: skip
    assert given.evals_result_["validation_0"]["loss"] == pytest.approx(history)
    auc = clone(model).set_params(eval_metric=roc_auc_scorer()).fit(X, y, w, groups=event)
    score = auc.predict_proba(X[held])[:, 1]
    assert auc.best_score_ == pytest.approx(roc_auc_score(y[held], score, sample_weight=weight))


def test_columns_and_labels_by_name(decays):
    X, y = decays.data, np.where(decays.target == 1, "signal", "background")
    model = UniformBDTClassifier(PLANE, "signal", **FAST).fit(X, y)
    score = model.decision_function(X)
    assert model.classes_.tolist() == ["background", "signal"]
    assert set(model.predict(X)) == {"background", "signal"}
    assert np.array_equal(model.decision_function(X[X.columns[::-1]]), score)
    # by position; numbers as labels; a single column
    array = X.to_numpy()
    by_position = UniformBDTClassifier([6, -1], 1, **FAST).fit(array, decays.target)
    assert np.array_equal(by_position.decision_function(array), score)
    one = UniformBDTClassifier("m2_ab", "signal", PLANE[1:] + decays.train_features, **FAST)
    one.fit(X, y)
    assert one.uniform_columns_.tolist() == [6]
    assert one.train_columns_.tolist() == [7, 0, 1, 2, 3, 4, 5]
    # the trees see nothing of the uniform features
    moved = X.assign(m2_ab=0.0, m2_bc=np.nan)
    assert np.array_equal(model.decision_function(moved), score)
    assert np.all(model.feature_importances_[6:] == 0)
    assert model.feature_importances_.sum() == pytest.approx(1)
    assert model.feature_importances_.shape == (8,)


def test_monotone_constraints_of_columns_by_name(decays):
    X, y = decays.data, decays.target
    model = UniformBDTClassifier(PLANE, 1, monotone_constraints={"softest_pt": -1}, **FAST)
    model.fit(X, y)
    low, high = (model.decision_function(X.assign(softest_pt=value)) for value in (-2.0, 0.5))
    assert np.all(high <= low)


@pytest.mark.parametrize("loss", LOSSES)
def test_clone_pickle_and_search(decays, loss):
    X, y, event = decays.data, decays.target, decays.event_number
    base = UniformBDTClassifier(PLANE, 1, loss=loss, **{**FAST, "n_estimators": 5})
    again = pickle.loads(pickle.dumps(base.fit(X, y)))
    assert np.array_equal(again.decision_function(X), base.decision_function(X))
    refit = clone(base).fit(X, y)
    assert np.array_equal(refit.decision_function(X), base.decision_function(X))
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            base, {"strength": [0, 0.5, 1]}, cv=EventNumberKFold(2), scoring=roc_auc_scorer()
        )
        search.fit(X, y, sample_weight=np.ones(len(y)), groups=event)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_params_ == {"strength": 0}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"uniform_features": ["mass"]}, "uniform_features names 'mass'"),
        ({"uniform_features": [9]}, "uniform_features names 9"),
        ({"uniform_features": []}, "uniform_features is empty"),
        ({"train_features": ["pt"]}, "train_features names 'pt'"),
        ({"train_features": []}, "no features to train on"),
        ({"uniform_features": list(range(8))}, r"n_features = 8.*takes 8"),
        ({"uniform_label": 2}, r"uniform_label names 2, but the classes are \[0, 1\]"),
        ({"uniform_label": []}, "uniform_label is empty"),
        ({"loss": "mse"}, "loss must be one of"),
        ({"strength": -1}, "strength must be at least 0"),
        ({"strength": np.inf}, "strength must be at least 0"),
        ({"strength": "2"}, "strength must be at least 0"),
        ({"loss": "knn-ada", "strength": 1.5}, "between 0 and 1"),
        ({"n_bins": 1}, "n_bins must be an integer of at least 2"),
        ({"n_neighbors": 2.5}, "n_neighbors must be an integer"),
    ],
)
def test_bad_parameters(decays, params, message):
    model = UniformBDTClassifier(**{"uniform_features": PLANE, "uniform_label": 1, **params})
    with pytest.raises(ValueError, match=message):
        model.fit(decays.data, decays.target)


def test_bad_input(decays):
    X, y = decays.data, decays.target
    model = UniformBDTClassifier(PLANE, 1, **FAST)
    signal = np.flatnonzero(y == 1)
    missing = X.copy()
    missing.loc[signal[3], "m2_bc"] = np.nan
    with pytest.raises(ValueError, match=rf"'m2_bc' is missing in 1 .* event {signal[3]}"):
        model.fit(missing, y)
    with pytest.raises(ValueError, match=r"missing in 1 events of eval_set\[0\]"):
        model.fit(X, y, eval_set=[(missing, y)])
    # of events that need not be flat nothing is asked, nor of what the trees see
    missing = X.copy()
    missing.loc[np.flatnonzero(y == 0)[3], "m2_bc"] = np.nan
    missing.loc[signal[3], "pointing"] = np.nan
    model.fit(missing, y)
    with pytest.raises(ValueError, match=r"'m2_ab' is 1 in every event of class 1"):
        model.fit(X.assign(m2_ab=np.where(y == 1, 1.0, X["m2_ab"])), y)
    with pytest.raises(ValueError, match="Only binary classification is supported"):
        model.fit(X, y + (X["pointing"] > 1))
    with pytest.raises(ValueError, match=r"the weights of class 1 in validation_0 sum to"):
        model.fit(X, y, eval_set=[(X, y)], sample_weight_eval_set=[np.where(y == 1, -0.5, 1.0)])
    with pytest.raises(ValueError, match="uniform_features names 'm2_ab'"):
        model.fit(X.to_numpy(), y)


def test_discrete_and_heavy_tailed_variables():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=4000)
    jets = rng.integers(2, 6, size=4000)
    mass = rng.pareto(1.0, 4000)
    X = pd.DataFrame(
        {
            "x": rng.normal(size=4000) + y * (0.5 + 0.5 * jets),
            "z": rng.normal(size=4000) + y + np.log1p(mass),
            "jets": jets,
            "mass": mass,
        }
    )
    for loss in LOSSES:
        plain, flat = (
            UniformBDTClassifier(["jets", "mass"], loss=loss, strength=c, **FAST).fit(X, y)
            for c in (0, None)
        )

        def sde(model, label, X=X):
            score = model.decision_function(X)
            return sde_flatness(y, score, X[["jets"]], uniform_label=label, n_bins=4)

        assert sde(flat, 1) < sde(plain, 1)


def test_base_score_is_the_weighted_share(decays):
    w = np.where(decays.target == 1, 0.25, 1.0)
    model = UniformBDTClassifier(PLANE, 1, **{**FAST, "n_estimators": 1, "learning_rate": 1e-9})
    margin = model.fit(decays.data, decays.target, w).decision_function(decays.data)
    assert np.allclose(margin, logit(w[decays.target == 1].sum() / w.sum()), atol=1e-5)
