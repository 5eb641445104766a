import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import xgboost
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skhep_ml._hashing import held_out
from skhep_ml.datasets import load_higgs, make_signed_events
from skhep_ml.ensemble import BDTClassifier, BDTRegressor
from skhep_ml.exceptions import BiasedWeightsWarning, WeightWarning
from skhep_ml.impute import MissingValueImputer
from skhep_ml.linear_model import LogisticRegression
from skhep_ml.metrics import (
    background_rejection_scorer,
    confusion_scorer,
    roc_auc_score,
    roc_auc_scorer,
)
from skhep_ml.model_selection import EventNumberKFold, train_val_test_split
from skhep_ml.preprocessing import ZScoreScaler

FAST = {"n_estimators": 20, "max_depth": 3, "n_jobs": 1, "random_state": 0}


@pytest.fixture(scope="module")
def events():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=2000)
    X = rng.normal(size=(2000, 4)).astype(np.float32) + 0.6 * y[:, None].astype(np.float32)
    X[rng.random(X.shape) < 0.05] = np.nan
    return X, y, rng.lognormal(0, 1, 2000)


@pytest.fixture(scope="module")
def signed():
    return make_signed_events(20_000, negative_fraction=0.2, random_state=0)


def engine(objective, w=None, **kwargs):
    cls = xgboost.XGBClassifier if "reg" not in objective else xgboost.XGBRegressor
    return cls(n_estimators=20, max_depth=3, learning_rate=0.1, n_jobs=1, random_state=0, **kwargs)


def test_equals_the_engine_on_positive_weights(events):
    X, y, w = events
    ours = BDTClassifier(**FAST).fit(X, y, w).predict_proba(X)
    theirs = engine("binary").fit(X, y, sample_weight=w / w.mean()).predict_proba(X)
    assert np.allclose(ours, theirs, atol=1e-6)
    three = y + (X[:, 0] > 1)
    ours = BDTClassifier(**FAST).fit(X, three, w).predict_proba(X)
    theirs = engine("multi").fit(X, three, sample_weight=w / w.mean()).predict_proba(X)
    assert np.allclose(ours, theirs, atol=1e-6)
    target = np.nan_to_num(X[:, 0]) + y
    ours = BDTRegressor(**FAST).fit(X, target, w).predict(X)
    theirs = engine("reg").fit(X, target, sample_weight=w / w.mean()).predict(X)
    assert np.allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("policy", ["refine", "keep"])
def test_weights_have_no_unit(signed, policy):
    e = signed
    model = BDTClassifier(**FAST, negative_weights=policy)
    a, b = (model.fit(e.data, e.target, s * e.weight).predict_proba(e.data) for s in (1.0, 1e-4))
    assert np.allclose(a, b, atol=1e-6)


def test_weight_scale_none_hands_weights_through(events):
    X, y, w = events
    ours = BDTClassifier(**FAST, weight_scale=None).fit(X, y, 5 * w).predict_proba(X)
    theirs = engine("binary").fit(X, y, sample_weight=5 * w).predict_proba(X)
    assert np.allclose(ours, theirs, atol=1e-6)


def test_keep_on_positive_weights_is_the_plain_fit(events):
    X, y, w = events
    a = BDTClassifier(**FAST, negative_weights="keep").fit(X, y, w)
    b = BDTClassifier(**FAST).fit(X, y, w)
    assert np.array_equal(a.predict_proba(X), b.predict_proba(X))


@pytest.mark.parametrize(("policy", "limit"), [("refine", 0.008), ("keep", 0.011)])
def test_signed_weights_come_close_to_the_exact_posterior(signed, policy, limit):
    e = signed
    test_x, test_y = e.truth.sample_unsigned(20_000, random_state=1)
    optimum = roc_auc_score(test_y, e.truth.likelihood_ratio(test_x))

    def auc(policy):
        model = BDTClassifier(n_estimators=60, random_state=0, negative_weights=policy)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BiasedWeightsWarning)
            model.fit(e.data, e.target, e.weight)
        return roc_auc_score(test_y, model.predict_proba(test_x)[:, 1])

    assert optimum - auc(policy) < limit
    assert optimum - auc("drop") > 0.015


def test_signed_multiclass_and_regression():
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=6000)
    X = rng.normal(size=(6000, 3)) + np.eye(3)[y] * 1.5
    w = np.where(rng.random(6000) < 0.15, -1.0, 1.0)
    for policy in ("keep", "refine"):
        model = BDTClassifier(**FAST, negative_weights=policy).fit(X, np.array(list("abc"))[y], w)
        assert np.mean(model.predict(X) == np.array(list("abc"))[y]) > 0.65
        assert np.allclose(model.predict_proba(X).sum(axis=1), 1, atol=1e-5)
        regressor = BDTRegressor(**FAST, negative_weights=policy).fit(X, X[:, 0], w)
        assert np.mean((regressor.predict(X) - X[:, 0]) ** 2) < 0.15


def test_base_score_is_the_signed_fraction(signed):
    e = signed
    w = np.where(e.target == 1, e.weight, 3 * e.weight)
    model = BDTClassifier(n_estimators=1, learning_rate=1e-9, negative_weights="keep", n_jobs=1)
    p = model.fit(e.data, e.target, w).predict_proba(e.data)[:, 1]
    assert np.allclose(p, w[e.target == 1].sum() / w.sum(), atol=1e-5)


def test_class_balance_equalises_signed_sums(signed):
    e = signed
    w = np.where(e.target == 1, 1e-3 * e.weight, e.weight)
    kwargs = {**FAST, "class_weight": "balanced", "negative_weights": "keep"}
    balanced = BDTClassifier(**kwargs).fit(e.data, e.target, w).predict_proba(e.data)
    equal = BDTClassifier(**kwargs).fit(e.data, e.target, e.weight).predict_proba(e.data)
    assert np.allclose(balanced, equal, atol=1e-4)
    by_dict = BDTClassifier(**FAST, class_weight={1: 1000.0}, negative_weights="keep")
    by_dict = by_dict.fit(e.data, e.target, w).predict_proba(e.data)
    assert np.allclose(by_dict[:, 1].mean(), 0.5, atol=0.1)


def test_keep_warns_where_signs_leave_nothing():
    e = make_signed_events(300, negative_fraction=0.45, kind="random", random_state=1)
    with pytest.warns(WeightWarning, match="almost constant"):
        model = BDTClassifier(**FAST, negative_weights="keep").fit(e.data, e.target, e.weight)
    assert np.ptp(model.predict_proba(e.data)[:, 1]) < 0.3


@pytest.mark.parametrize("labels", [("bkg", "sig"), (-1, 1), (False, True), (3, 17)])
def test_any_labels(events, labels):
    X, y, w = events
    model = BDTClassifier(**FAST).fit(X, np.array(labels)[y], w)
    assert model.classes_.tolist() == list(labels)
    assert set(model.predict(X)) == set(labels)
    reference = BDTClassifier(**FAST).fit(X, y, w).decision_function(X)
    assert np.array_equal(model.decision_function(X), reference)


def test_columns_by_name(events):
    X, y, w = events
    frame = pd.DataFrame(X, columns=["pt", "eta", "phi", "m"])
    model = BDTClassifier(**FAST).fit(frame, y, w)
    p = model.predict_proba(frame)
    assert np.array_equal(model.predict_proba(frame[["m", "phi", "eta", "pt"]]), p)
    assert np.array_equal(model.predict_proba(pl.from_pandas(frame)), p)
    assert np.array_equal(BDTClassifier(**FAST).fit(X, y, w).predict_proba(X), p)
    with pytest.raises(ValueError, match=r"(?s)now missing.*phi"):
        model.predict(frame[["pt", "eta", "m"]])
    with pytest.raises(ValueError, match=r"(?s)unseen at fit time.*mass"):
        model.predict(frame.rename(columns={"m": "mass"}))


def test_early_stopping_by_event(events):
    X, y, w = events
    event = np.arange(2000) * 10
    params = {"n_estimators": 300, "learning_rate": 0.3, "early_stopping_rounds": 5, "n_jobs": 1}
    model = BDTClassifier(**params, salt=2).fit(X, y, w, groups=event)
    held = held_out(event, 0.2, "early_stopping", 2)
    p = np.clip(model.predict_proba(X[held])[:, 1].astype(float), 1e-12, 1 - 1e-7)
    loss = -np.average(np.where(y[held] == 1, np.log(p), np.log1p(-p)), weights=w[held])
    history = model.evals_result_["validation"]["loss"]
    assert model.best_score_ == min(history) == pytest.approx(loss, rel=1e-4)
    assert model.n_estimators_ == model.best_iteration_ + 1 == np.argmin(history) + 1 < 100
    given = BDTClassifier(**params).fit(
        X[~held], y[~held], w[~held], eval_set=[(X[held], y[held])],
        sample_weight_eval_set=[w[held]],
    )  # fmt: skip
    assert given.evals_result_["validation_0"]["loss"] == history
    everything = BDTClassifier(**params, salt=2, refit=True).fit(X, y, w, groups=event)
    assert everything.n_estimators_ == model.n_estimators_
    plain = BDTClassifier(n_estimators=model.n_estimators_, learning_rate=0.3, n_jobs=1)
    plain = plain.fit(X, y, w)
    assert np.array_equal(everything.predict_proba(X), plain.predict_proba(X))


@pytest.mark.parametrize("policy", ["refine", "keep"])
def test_early_stopping_on_signed_weights_and_our_metrics(signed, policy):
    e, event = signed, np.arange(len(signed.target))
    metrics = {
        "auc": (roc_auc_scorer(), lambda y, s, w: roc_auc_score(y, s, sample_weight=w)),
        "rejection": (background_rejection_scorer(signal_efficiency=0.5), None),
        "decision": (confusion_scorer("accuracy"), None),
        "loss": (None, None),
    }
    for scorer, function in metrics.values():
        model = BDTClassifier(
            n_estimators=15, n_jobs=1, early_stopping_rounds=5, eval_metric=scorer,
            negative_weights=policy, random_state=0, class_weight="balanced",
        ).fit(e.data, np.array(["b", "s"])[e.target], e.weight, groups=event)  # fmt: skip
        (values,) = model.evals_result_["validation"].values()
        assert np.isfinite(values).all()
        best = np.argmin(values) if scorer is None else np.argmax(values)
        assert model.best_iteration_ == best
        if function is not None:
            held = held_out(event, 0.2, "early_stopping")
            s = model.predict_proba(e.data[held])[:, 1]
            expected = function(e.target[held], s, e.weight[held])
            assert model.best_score_ == pytest.approx(expected, abs=1e-6)


def test_early_stopping_without_identifiers_is_stratified(events):
    X, y, w = events
    few = np.r_[np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:10]]
    model = BDTClassifier(**FAST, early_stopping_rounds=3).fit(X[few], y[few], w[few])
    again = clone(model).fit(X[few], y[few], w[few])
    assert np.array_equal(model.predict_proba(X), again.predict_proba(X))


def test_regressor_stops_on_the_signed_error():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 2))
    y = X[:, 0] + rng.normal(size=3000)
    w = np.where(rng.random(3000) < 0.1, -1.0, 1.0)
    model = BDTRegressor(n_estimators=200, early_stopping_rounds=5, n_jobs=1, random_state=0)
    model.fit(X, y, w, groups=np.arange(3000))
    held = held_out(np.arange(3000), 0.2, "early_stopping")
    error = np.sqrt(np.average((model.predict(X[held]) - y[held]) ** 2, weights=w[held]))
    assert model.best_score_ == pytest.approx(error, rel=1e-4)

    def negative_bias(y_true, y_pred, sample_weight):
        return -abs(np.average(y_pred - y_true, weights=sample_weight))

    model.set_params(eval_metric=negative_bias).fit(X, y, w)
    assert "negative_bias" in model.evals_result_["validation"]


def test_monotone_constraints_by_name(events):
    X, y, w = events
    frame = pd.DataFrame(np.nan_to_num(X), columns=["pt", "eta", "phi", "m"])
    model = BDTClassifier(**FAST, monotone_constraints={"pt": -1}).fit(frame, y, w)
    probe = pd.concat([frame.iloc[[0]]] * 50, ignore_index=True)
    probe["pt"] = np.linspace(-3, 3, 50, dtype=np.float32)
    assert np.all(np.diff(model.decision_function(probe)) <= 0)
    with pytest.raises(ValueError, match=r"names \['pT'\]"):
        BDTClassifier(monotone_constraints={"pT": 1}).fit(frame, y)
    with pytest.raises(ValueError, match="-1, 0 or 1 for each of 4"):
        BDTClassifier(monotone_constraints=[1, 0]).fit(frame, y)


def test_importances(events):
    _, y, w = events
    rng = np.random.default_rng(1)
    X = np.column_stack([rng.normal(size=2000), y + 0.3 * rng.normal(size=2000)])
    model = BDTClassifier(**FAST).fit(X, y, w)
    for kind in ("total_gain", "gain"):
        values = model.importances(kind)
        assert values.argmax() == 1
        assert values.sum() == pytest.approx(1)
    assert np.array_equal(model.feature_importances_, model.importances())
    shuffled = model.permutation_importances(X, y, w, scoring=roc_auc_scorer(), random_state=0)
    assert shuffled.importances_mean[1] > 0.3
    assert abs(shuffled.importances_mean[0]) < 0.05


def test_pickle_clone_and_reproducibility(signed):
    e = signed
    model = BDTClassifier(**{**FAST, "subsample": 0.5}).fit(e.data, e.target, e.weight)
    p = model.predict_proba(e.data)
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict_proba(e.data), p)
    assert np.array_equal(clone(model).fit(e.data, e.target, e.weight).predict_proba(e.data), p)


@pytest.mark.parametrize("routing", [True, False])
def test_in_a_search_with_signed_weights(signed, routing):
    e, event = signed, np.arange(len(signed.target))
    with sklearn.config_context(enable_metadata_routing=routing):
        search = GridSearchCV(
            make_pipeline(ZScoreScaler(), BDTClassifier(**FAST)),
            {"bdtclassifier__max_depth": [1, 3]},
            cv=EventNumberKFold(2),
            scoring=background_rejection_scorer(signal_efficiency=0.5),
            error_score="raise",
        )
        name = "sample_weight" if routing else "bdtclassifier__sample_weight"
        search.fit(e.data, e.target, groups=event, **{name: e.weight})
        assert search.best_params_["bdtclassifier__max_depth"] == 3


def test_progress_bar(events, capsys):
    X, y, w = events
    BDTClassifier(**FAST, verbose=1, early_stopping_rounds=5).fit(X, y, w)
    assert "trees" in capsys.readouterr().err


@pytest.mark.gpu
def test_gpu_agrees_with_cpu(events):
    X, y, w = events
    a, b = (
        BDTClassifier(**FAST, device=d).fit(X, y, w).predict_proba(X)[:, 1] for d in ("cpu", "cuda")
    )
    assert abs(roc_auc_score(y, a) - roc_auc_score(y, b)) < 0.01


@pytest.mark.parametrize(
    ("params", "fit", "match"),
    [
        ({}, {"sample_weight": np.r_[np.nan, np.ones(99)]}, "NaN or infinite in 1 events"),
        ({}, {"sample_weight": np.ones(5)}, "5 entries, but there are 100"),
        ({}, {"sample_weight": np.r_[np.full(50, -1.0), np.ones(50)]}, "class 0 sum to -50"),
        ({}, {"groups": np.arange(100) / 2}, "must be integers"),
        ({}, {"groups": np.arange(7)}, "7 entries"),
        ({}, {"eval_set": [(np.zeros((3, 2)), [0, 1])]}, "3 events in X and 2 in y"),
        ({}, {"eval_set": [(np.zeros((2, 2)), [0, 5])]}, "label 5 was not seen in fit"),
        ({}, {"eval_set": [(np.zeros((1, 2)), [0])], "sample_weight_eval_set": []}, "1 pairs"),
        (
            {},
            {"eval_set": [(np.zeros((2, 2)), [0, 1])], "sample_weight_eval_set": [[1, -2]]},
            "weights of validation_0 sum to -1",
        ),
        ({"negative_weights": "ignore"}, {}, "negative_weights must be one of"),
        ({"negative_weights": "raise"}, {"sample_weight": np.r_[-1, np.ones(99)]}, "event 0"),
        ({"weight_scale": "max"}, {"sample_weight": np.ones(100)}, "weight_scale"),
        ({"class_weight": "equal"}, {}, "class_weight must be"),
        ({"n_estimators": 0}, {}, "n_estimators must be a positive integer"),
        ({"early_stopping_rounds": 0}, {}, "early_stopping_rounds must be"),
        ({"validation_fraction": 1.0, "early_stopping_rounds": 2}, {}, "validation_fraction"),
        ({"engine_params": {"max_depth": 2}}, {}, r"may not set \['max_depth'\]"),
        ({"device": "gpu"}, {}, 'device must be "auto"'),
        ({"device": "cuda:99"}, {}, "GPUs"),
    ],
)
def test_bad_input(params, fit, match):
    X, y = np.random.default_rng(0).normal(size=(100, 2)), np.repeat([0, 1], 50)
    with pytest.raises(ValueError, match=match):
        BDTClassifier(**params).fit(X, y, **fit)


def test_one_class_and_infinite_features():
    X = np.zeros((10, 2))
    with pytest.raises(ValueError, match="only one class"):
        BDTClassifier().fit(X, np.ones(10))
    X[3, 1] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        BDTClassifier().fit(X, np.repeat([0, 1], 5))


def test_embedded_higgs_events_are_hard_for_a_linear_model_and_not_for_trees():
    events = load_higgs()
    X, _, X_test, y, _, y_test, w, _, w_test = train_val_test_split(
        events.data, events.target, events.weight, groups=events.event_number,
        fractions=(0.6, 0.0, 0.4),
    )  # fmt: skip
    bdt = BDTClassifier(n_estimators=100, class_weight="balanced", random_state=0)
    linear = LogisticRegression(class_weight="balanced")
    linear = make_pipeline(MissingValueImputer(), ZScoreScaler(), linear)
    score = bdt.fit(X, y, w).predict_proba(X_test)[:, 1]
    auc, std = roc_auc_score(y_test, score, sample_weight=w_test, return_std=True)
    score = linear.fit(X, y, logisticregression__sample_weight=w).predict_proba(X_test)[:, 1]
    linear_auc, linear_std = roc_auc_score(y_test, score, sample_weight=w_test, return_std=True)
    assert 0.87 < auc < 0.94
    assert auc - linear_auc > 3 * np.hypot(std, linear_std)


@pytest.mark.parametrize("estimator", [BDTClassifier, BDTRegressor])
def test_masked_entries_are_missing(estimator):
    X, y = np.random.default_rng(0).normal(size=(200, 2)), np.tile([0, 1], 100)
    hidden = np.random.default_rng(1).random(X.shape) < 0.3
    masked = np.ma.masked_array(np.where(hidden, 7.0, X), mask=hidden)
    X[hidden] = np.nan
    model = estimator(n_estimators=5, n_jobs=1, device="cpu").fit(masked, y)
    expected = estimator(n_estimators=5, n_jobs=1, device="cpu").fit(X, y).predict(X)
    np.testing.assert_array_equal(model.predict(X), expected)
    np.testing.assert_array_equal(model.predict(masked), expected)


def test_refinement_in_regression_keeps_the_weighted_mean_of_the_target():
    # the sign depends on the target: refined by features alone, E[w y | x] would be lost
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40_000, 2))
    y = X[:, 0] + rng.normal(size=40_000)
    p_negative = 0.4 / (1 + np.exp(-3 * (y - X[:, 0])))
    weight = np.where(rng.random(40_000) < p_negative, -1.0, 1.0)
    options = {"n_estimators": 40, "n_jobs": 1, "random_state": 0}
    refined = BDTRegressor(**options).fit(X, y, sample_weight=weight)
    truth = BDTRegressor(**options).fit(X, y, sample_weight=1 - 2 * p_negative)
    positive = BDTRegressor(**options).fit(X, y)
    shift = np.mean(refined.predict(X) - positive.predict(X))
    wanted = np.mean(truth.predict(X) - positive.predict(X))
    assert wanted < -0.2
    assert shift == pytest.approx(wanted, abs=0.05)
