import json
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import sklearn
import sklearn.metrics as reference
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
    cross_val_score,
    cross_validate,
)
from sklearn.naive_bayes import GaussianNB

from skhep_ml.metrics import (
    EventScorer,
    ams_score,
    ams_scorer,
    asimov_significance,
    average_precision_score,
    average_precision_scorer,
    background_rejection_score,
    background_rejection_scorer,
    best_cut,
    calibration_error,
    calibration_scorer,
    confusion_matrix,
    confusion_scorer,
    effective_sample_size,
    log_loss_scorer,
    purity_score,
    roc_auc_score,
    roc_auc_scorer,
    selected_yields,
    sensitivity_score,
    signal_efficiency_score,
    signal_efficiency_scorer,
    significance_scorer,
    specificity_score,
)

YIELDS = {0: 500.0, 1: 30.0}
SCORERS = {
    "auc": roc_auc_scorer(),
    "ap": average_precision_scorer(),
    "rejection": background_rejection_scorer(signal_efficiency=0.3),
    "efficiency": signal_efficiency_scorer(background_efficiency=0.1),
    "ams": ams_scorer(YIELDS),
    "ams_fixed": ams_scorer(YIELDS, threshold=0.6),
    "ams_predict": ams_scorer(YIELDS, threshold=None),
    "asimov": significance_scorer(YIELDS, background_uncertainty=0.1),
    "asimov_predict": significance_scorer(YIELDS, threshold=None, background_uncertainty=0.1),
    "sensitivity": confusion_scorer("sensitivity"),
    "specificity": confusion_scorer("specificity"),
    "purity": confusion_scorer("purity"),
    "accuracy": confusion_scorer("accuracy"),
    "balanced": confusion_scorer("balanced_accuracy"),
    "log_loss": log_loss_scorer(),
    "calibration": calibration_scorer(n_bins=5),
}


def direct(name, y, prob, weight):
    """The same numbers from the public functions, for labels 0 and 1."""
    w = {"sample_weight": weight}
    yields = w | {"class_yields": YIELDS}
    predicted = (prob > 0.5).astype(int)
    if name == "rejection":
        size = effective_sample_size(weight[y == 0])
        return min(background_rejection_score(y, prob, signal_efficiency=0.3, **w), size)
    if name == "asimov_predict":
        selected = selected_yields(y, predicted, **yields)
        return asimov_significance(selected.s, selected.b, 0.1 * selected.b)
    if name == "accuracy":
        return weight[predicted == y].sum() / weight.sum()
    if name == "balanced":
        return np.diag(confusion_matrix(y, predicted, normalize="true", **w)).mean()
    if name == "log_loss":
        return np.average(np.log(np.where(y == 1, prob, 1 - prob)), weights=weight)
    return {
        "auc": lambda: roc_auc_score(y, prob, **w),
        "ap": lambda: average_precision_score(y, prob, **w),
        "efficiency": lambda: signal_efficiency_score(y, prob, background_efficiency=0.1, **w),
        "ams": lambda: best_cut(y, prob, metric="ams", **yields).value,
        "ams_fixed": lambda: ams_score(y, prob >= 0.6, **yields),
        "ams_predict": lambda: ams_score(y, predicted, **yields),
        "asimov": lambda: (
            best_cut(y, prob, metric="asimov", background_uncertainty=0.1, **yields).value
        ),
        "sensitivity": lambda: sensitivity_score(y, predicted, **w),
        "specificity": lambda: specificity_score(y, predicted, **w),
        "purity": lambda: purity_score(y, predicted, **w),
        "calibration": lambda: -calibration_error(y, prob, n_bins=5, **w),
    }[name]()


@pytest.fixture(scope="module")
def events():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 600)
    X = rng.normal(size=(600, 3)) + 0.8 * y[:, None]
    weight = rng.exponential(size=600) * np.where(rng.random(600) < 0.15, -1, 1)
    return X, y, weight


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def logistic():
    """Weights reach the fit when routing is on."""
    model = LogisticRegression()
    if sklearn.get_config()["enable_metadata_routing"]:
        model.set_fit_request(sample_weight=True)
    return model


@pytest.mark.parametrize("name", SCORERS)
def test_scorer_equals_the_metric(events, name):
    X, y, weight = events
    model = LogisticRegression().fit(X, y)
    prob = model.predict_proba(X)[:, 1]
    scorer = SCORERS[name]
    expected = direct(name, y, prob, weight)
    assert scorer(model, X, y, sample_weight=weight) == pytest.approx(expected, rel=1e-12)
    unweighted = direct(name, y, prob, np.ones(len(y)))
    assert scorer(model, X, y) == pytest.approx(unweighted, rel=1e-12)
    prediction = prob if scorer.response == "score" else model.predict(X)
    assert scorer.score_predictions(y, prediction, weight) == pytest.approx(expected, rel=1e-12)
    assert scorer.greater_is_better


@pytest.mark.parametrize("name", SCORERS)
def test_string_labels_give_the_same_numbers(events, name):
    X, y, weight = events
    named = np.array(["background", "signal"])[y]
    scorer = clone(SCORERS[name])
    if "class_yields" in (scorer.options or {}):
        scorer.options["class_yields"] = {"background": 500.0, "signal": 30.0}
    expected = SCORERS[name](LogisticRegression().fit(X, y), X, y, sample_weight=weight)
    model = LogisticRegression().fit(X, named)
    assert scorer(model, X, named, sample_weight=weight) == pytest.approx(expected, rel=1e-9)


def test_pos_label_turns_the_problem_round(events):
    X, y, weight = events
    named = np.array(["b", "s"])[y]
    model = LogisticRegression().fit(X, named)
    scorer = background_rejection_scorer(0.4, pos_label="b")
    prob = model.predict_proba(X)[:, 0]
    expected = background_rejection_score(
        named, prob, pos_label="b", signal_efficiency=0.4, sample_weight=weight
    )
    assert scorer(model, X, named, sample_weight=weight) == pytest.approx(expected)
    # both ways round in one call, where scikit-learn shares predictions among scorers
    both = {"b": scorer, "s": background_rejection_scorer(0.4)}
    shared = reference.check_scoring(model, scoring=both)(model, X, named, sample_weight=weight)
    assert shared["b"] == pytest.approx(expected)
    assert shared["s"] == both["s"](model, X, named, sample_weight=weight)
    with pytest.raises(ValueError, match="pos_label"):
        roc_auc_scorer(pos_label="x")(model, X, named)


def test_decision_function_where_there_are_no_probabilities(events):
    X, y, weight = events
    model = RidgeClassifier().fit(X, y)
    expected = roc_auc_score(y, model.decision_function(X), sample_weight=weight)
    assert roc_auc_scorer()(model, X, y, sample_weight=weight) == expected
    with pytest.raises(ValueError, match="outside"):
        log_loss_scorer()(model, X, y)


def test_model_without_scores_is_refused(events):
    X, y, _ = events
    with pytest.raises(AttributeError, match="neither predict_proba nor decision_function"):
        roc_auc_scorer()(sklearn.linear_model.LinearRegression().fit(X, y), X, y)


def test_rejection_is_finite_for_a_perfect_model():
    y = np.array([0] * 20 + [1] * 20)
    weight = np.where(np.arange(40) % 4 == 0, -0.5, 1.0)
    value = background_rejection_scorer().score_predictions(y, y + 0.0, weight)
    assert value == pytest.approx(effective_sample_size(weight[:20]))


def test_negative_background_scores_zero():
    y, score = np.array([0, 0, 1]), np.array([0.9, 0.1, 0.9])
    weight = np.array([-1.0, 3.0, 1.0])
    assert ams_scorer(threshold=0.5).score_predictions(y, score, weight) == 0.0
    assert significance_scorer(threshold=0.5).score_predictions(y, score, weight) == 0.0


def test_log_loss_equals_scikit_learn_and_is_clipped(events):
    X, y, weight = events
    model = LogisticRegression().fit(X, y)
    positive = np.abs(weight)
    assert log_loss_scorer()(model, X, y, sample_weight=positive) == pytest.approx(
        -reference.log_loss(y, model.predict_proba(X), sample_weight=positive), rel=1e-12
    )
    assert np.isfinite(log_loss_scorer().score_predictions([0, 1], [1.0, 0.0]))


def test_several_classes():
    rng = np.random.default_rng(1)
    y = np.array(["gg", "qq", "tt"])[rng.integers(0, 3, 300)]
    X = rng.normal(size=(300, 2)) + (y == "gg")[:, None] - (y == "tt")[:, None]
    weight = rng.normal(1.0, 0.5, 300)
    model = GaussianNB().fit(X, y)
    prob = model.predict_proba(X)
    auc = roc_auc_scorer(multi_class="ovr", average="weighted")
    assert auc(model, X, y, sample_weight=weight) == roc_auc_score(
        y, prob, multi_class="ovr", average="weighted", sample_weight=weight
    )
    assert average_precision_scorer()(model, X, y) == average_precision_score(y, prob)
    loss = reference.log_loss(y, prob)
    assert log_loss_scorer()(model, X, y) == pytest.approx(-loss, rel=1e-12)
    assert log_loss_scorer().score_predictions(y, prob) == pytest.approx(-loss, rel=1e-12)
    accuracy = confusion_scorer("accuracy")(model, X, y, sample_weight=weight)
    assert accuracy == pytest.approx(weight[model.predict(X) == y].sum() / weight.sum())
    balanced = confusion_scorer("balanced_accuracy")(model, X, y)
    assert balanced == pytest.approx(reference.balanced_accuracy_score(y, model.predict(X)))
    with pytest.raises(ValueError, match="two"):
        confusion_scorer("purity")(model, X, y)


@pytest.mark.parametrize("name", SCORERS)
def test_clone_pickle_params_and_repr(events, name):
    X, y, weight = events
    model = LogisticRegression().fit(X, y)
    scorer = SCORERS[name]
    expected = scorer(model, X, y, sample_weight=weight)
    copies = [clone(scorer), pickle.loads(pickle.dumps(scorer)), eval(repr(scorer))]
    copies.append(EventScorer("roc_auc").set_params(**scorer.get_params()))
    for copy in copies:
        assert copy.get_params() == scorer.get_params()
        assert copy(model, X, y, sample_weight=weight) == expected


@pytest.mark.usefixtures("routing")
def test_weights_are_routed_by_themselves(events):
    X, y, weight = events
    cv = KFold(3)
    result = cross_validate(
        logistic(), X, y, scoring=SCORERS, cv=cv, params={"sample_weight": weight}
    )
    for fold, (train, test) in enumerate(cv.split(X)):
        model = LogisticRegression().fit(X[train], y[train], sample_weight=weight[train])
        prob = model.predict_proba(X[test])[:, 1]
        for name in SCORERS:
            expected = direct(name, y[test], prob, weight[test])
            assert result[f"test_{name}"][fold] == pytest.approx(expected, rel=1e-9), name


def test_cross_val_score_without_routing_is_unweighted(events):
    X, y, _ = events
    values = cross_val_score(LogisticRegression(), X, y, scoring=roc_auc_scorer(), cv=3)
    expected = cross_val_score(LogisticRegression(), X, y, scoring="roc_auc", cv=3)
    np.testing.assert_allclose(values, expected, rtol=1e-12)


@pytest.mark.parametrize("routed", [False, True])
@pytest.mark.parametrize("search", [GridSearchCV, RandomizedSearchCV])
@pytest.mark.parametrize("several", [False, True])
def test_searches_score_with_signed_weights(events, search, routed, several):
    X, y, weight = events
    with sklearn.config_context(enable_metadata_routing=routed):
        grid = {"C": [0.01, 1.0]}
        options = {"n_iter": 2, "random_state": 0} if search is RandomizedSearchCV else {}
        scoring = SCORERS if several else SCORERS["rejection"]
        refit = "rejection" if several else True
        fitted = search(logistic(), grid, scoring=scoring, refit=refit, cv=KFold(3), **options)
        fitted.fit(X, y, sample_weight=weight)
        names = SCORERS if several else {"score": SCORERS["rejection"]}
        for name in names:
            assert np.all(np.isfinite(fitted.cv_results_[f"mean_test_{name}"]))
        _, test = next(KFold(3).split(X))
        train = np.setdiff1d(np.arange(len(X)), test)
        for k, params in enumerate(fitted.cv_results_["params"]):
            model = LogisticRegression(**params)
            model.fit(X[train], y[train], sample_weight=weight[train])
            expected = direct(
                "rejection", y[test], model.predict_proba(X[test])[:, 1], weight[test]
            )
            name = "rejection" if several else "score"
            found = fitted.cv_results_[f"split0_test_{name}"][k]
            assert found == pytest.approx(expected, rel=1e-9)
        if routed:
            prob = fitted.best_estimator_.predict_proba(X)[:, 1]
            expected = direct("rejection", y, prob, weight)
            assert fitted.score(X, y, sample_weight=weight) == pytest.approx(expected)


def test_predictions_are_shared_among_scorers(events):
    class Counting(LogisticRegression):
        calls = 0

        def predict_proba(self, X):
            type(self).calls += 1
            return super().predict_proba(X)

    X, y, _ = events
    cross_validate(
        Counting(), X, y, cv=2, scoring={name: SCORERS[name] for name in ("auc", "ap", "ams")}
    )
    assert Counting.calls == 2


@pytest.mark.usefixtures("routing")
def test_requests_can_be_changed(events):
    X, y, weight = events
    renamed = roc_auc_scorer().set_score_request(sample_weight="score_weight")
    ignoring = roc_auc_scorer().set_score_request(sample_weight=False)
    params = {"sample_weight": np.abs(weight), "score_weight": weight}
    results = cross_validate(
        logistic(),
        X,
        y,
        cv=KFold(2),
        params=params,
        scoring={"renamed": clone(renamed), "ignoring": clone(ignoring)},
    )
    train, test = next(KFold(2).split(X))
    model = LogisticRegression().fit(X[train], y[train], sample_weight=np.abs(weight[train]))
    prob = model.predict_proba(X[test])[:, 1]
    assert results["test_renamed"][0] == roc_auc_score(y[test], prob, sample_weight=weight[test])
    assert results["test_ignoring"][0] == roc_auc_score(y[test], prob)


@pytest.mark.usefixtures("routing")
def test_threshold_tuning_takes_label_metrics(events):
    X, y, weight = events
    model = TunedThresholdClassifierCV(
        logistic(), scoring=ams_scorer(YIELDS, threshold=None), cv=3, thresholds=20
    )
    model.fit(X, y, sample_weight=weight)
    assert np.isfinite(model.best_score_)
    assert 0 < model.best_threshold_ < 1


def test_requests_survive_the_import_of_imbalanced_learn():
    """imbalanced-learn adds a method to scikit-learn's list of those that take metadata."""
    script = """
        import json
        import numpy as np, sklearn
        from sklearn.base import clone
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GridSearchCV, cross_validate
        sklearn.set_config(enable_metadata_routing=True)
        from skhep_ml.metrics import ams_scorer, roc_auc_scorer
        scoring = {
            "auc": roc_auc_scorer(),
            "alias": ams_scorer().set_score_request(sample_weight="other"),
        }
        import imblearn
        rng = np.random.default_rng(0)
        y = rng.integers(0, 2, 200)
        X = rng.normal(size=(200, 1)) + y[:, None]
        model = LogisticRegression().set_fit_request(sample_weight=True)
        search = GridSearchCV(model, {"C": [0.1, 1.0]}, scoring=scoring, refit="auc", cv=2)
        weight = rng.normal(1, 0.3, 200)
        search = clone(search).fit(X, y, sample_weight=weight, other=weight)
        print(json.dumps(search.cv_results_["mean_test_alias"].tolist()))
    """
    script = textwrap.dedent(script)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert np.all(np.isfinite(json.loads(done.stdout)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: EventScorer("auc").score_predictions([0, 1], [0, 1]), "metric='auc'"),
        (lambda: confusion_scorer("recall"), "metric='recall'"),
        (lambda: roc_auc_scorer().score_predictions([0, 1], [0.0]), "1 predictions"),
        (lambda: roc_auc_scorer().score_predictions([0, 1], [0.0, 1.0], [1.0]), "1 entries"),
        (lambda: ams_scorer().score_predictions([0, 1], [0.0, 1.0]), "no threshold leaves"),
        (
            lambda: log_loss_scorer().score_predictions([0, 1], np.eye(3)[:2]),
            "3 columns of predictions meet 2 labels",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "scorer",
    [
        roc_auc_scorer,
        background_rejection_scorer,
        average_precision_scorer,
        log_loss_scorer,
        calibration_scorer,
    ],
)
def test_one_of_three_labels_against_the_rest(scorer):
    rng = np.random.default_rng(0)
    y = rng.choice(["W", "H", "Z"], size=600)
    X = rng.normal(size=(600, 2)) + 1.5 * np.column_stack([y == "H", y == "W"])
    weight = rng.choice([1.0, 1.0, 1.0, -0.5], size=600)
    model = LogisticRegression().fit(X, y)
    found = scorer(pos_label="H")(model, X, y, sample_weight=weight)
    score = model.predict_proba(X)[:, list(model.classes_).index("H")]
    assert found == pytest.approx(scorer().score_predictions(y == "H", score, weight))
    given = scorer(pos_label="H").score_predictions(y, model.predict_proba(X), weight)
    assert found == pytest.approx(given)
    with pytest.raises(ValueError, match=r"pos_label='t' is none of the classes"):
        scorer(pos_label="t")(model, X, y)
    with pytest.raises(ValueError, match="3 columns of predictions meet 2 labels"):
        scorer(pos_label="H").score_predictions(y[y != "W"], model.predict_proba(X[y != "W"]))
