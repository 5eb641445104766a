import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy.stats import chi2
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import make_scorer, mean_absolute_error
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from skhep_ml._hashing import event_fold
from skhep_ml.ensemble import BDTClassifier
from skhep_ml.exceptions import UnidentifiedEventsWarning
from skhep_ml.metrics import (
    background_rejection_scorer,
    bootstrap,
    confusion_scorer,
    effective_sample_size,
    flatness_scorer,
    roc_auc_score,
    roc_auc_scorer,
)
from skhep_ml.model_selection import (
    EventNumberKFold,
    RotatingClassifier,
    RotatingRegressor,
    fold_learning_curves,
    fold_scores,
)
from skhep_ml.neural_network import NetClassifier


@pytest.fixture
def events():
    rng = np.random.default_rng(3)
    y = np.array(["bkg", "sig"])[rng.integers(2, size=1200)]
    X = rng.normal((y == "sig")[:, None], size=(1200, 2))
    w = np.where(rng.random(1200) < 0.1, -1, 1) * rng.uniform(0.5, 2, 1200)
    return X, y, w, rng.permutation(1200)


@pytest.fixture
def model(events):
    X, y, _, event = events
    return RotatingClassifier(LogisticRegression(), 3).fit(X, y, groups=event)


def test_scores_are_those_of_the_models_that_saw_nothing(events, model):
    X, y, w, event = events
    scoring = {"auc": roc_auc_scorer(), "rejection": background_rejection_scorer(0.6)}
    scores = fold_scores(model, X, y, scoring=scoring, sample_weight=w, groups=event, n_replicas=40)
    fold = event_fold(event, 3, "rotating", 0)
    assert list(scores) == ["auc", "rejection"]
    assert np.array_equal(scores.n_events, np.bincount(fold))
    for k in range(3):
        rows = fold == k
        assert scores.effective_size[k] == pytest.approx(effective_sample_size(w[rows]))
        for name, scorer in scoring.items():
            expected = scorer(model.estimators_[k], X[rows], y[rows], sample_weight=w[rows])
            assert scores[name].folds[k] == pytest.approx(expected)
    assert scores.pooled_effective_size == pytest.approx(effective_sample_size(w))
    p = model.predict_proba(X, groups=event)[:, 1]
    by_hand = bootstrap(
        roc_auc_score,
        y == "sig",
        p,
        sample_weight=w,
        groups=event,
        n_replicas=40,
        random_state=0,
    )
    auc = scores["auc"]
    assert (auc.pooled, auc.pooled_error) == pytest.approx((by_hand.value, by_hand.std))
    assert auc.mean == pytest.approx(np.mean(auc.folds))
    assert auc.spread == pytest.approx(np.std(auc.folds, ddof=1))
    # folds are independent
    assert auc.mean_error == pytest.approx(np.sqrt(np.sum(auc.fold_errors**2)) / 3, rel=0.4)
    mean = np.average(auc.folds, weights=auc.fold_errors**-2)
    distance = np.sum(((auc.folds - mean) / auc.fold_errors) ** 2)
    assert auc.p_value == pytest.approx(chi2.sf(distance, 2))


def test_errors_cover_the_scatter_of_samples():
    values, errors = [], []
    for seed in range(25):
        rng = np.random.default_rng(seed)
        y, event = rng.integers(2, size=400), rng.permutation(400)
        X = rng.normal(y[:, None], size=(400, 2))
        model = RotatingClassifier(LogisticRegression(), 2).fit(X, y, groups=event)
        auc = fold_scores(model, X, y, scoring=roc_auc_scorer(), groups=event, n_replicas=15)
        auc = auc["roc_auc"]
        values.append(auc.pooled)
        errors.append(auc.pooled_error)
    assert np.std(values) == pytest.approx(np.mean(errors), rel=0.4)


def test_entries_of_one_event_are_counted_together(events):
    X, y, *_ = events
    copies = np.repeat(np.arange(1200), 4)
    X, y = X[copies], y[copies]
    model = RotatingClassifier(LogisticRegression(), 3).fit(X, y, groups=copies)
    scoring = {"auc": roc_auc_scorer()}
    fourfold = fold_scores(model, X, y, scoring=scoring, groups=copies, n_replicas=100)["auc"]
    once = fold_scores(model, X[::4], y[::4], scoring=scoring, groups=copies[::4], n_replicas=100)[
        "auc"
    ]
    assert fourfold.pooled == pytest.approx(once.pooled)
    assert fourfold.pooled_error == pytest.approx(once.pooled_error)


def test_scorers_of_every_kind(events, model):
    X, y, w, event = events

    def share(estimator, X, y):
        assert len(X) == len(y)
        return np.mean(estimator.predict(X) == y)

    given = {"groups": event, "n_replicas": 0}
    own = fold_scores(model, X, y, scoring=share, **given)["score"]
    named = fold_scores(model, X, y, scoring=["accuracy", "roc_auc", "neg_log_loss"], **given)
    default = fold_scores(model, X, y, **given)["accuracy"]
    assert own.pooled == named["accuracy"].pooled == pytest.approx(default.pooled)
    assert default.pooled == pytest.approx(model.score(X, y, groups=event))
    assert np.isnan([own.pooled_error, own.mean_error, own.p_value]).all()
    assert fold_scores(model, X, y, scoring=confusion_scorer("purity"), **given)["confusion"]
    weighted = fold_scores(model, X, y, sample_weight=np.abs(w), **given)["accuracy"]
    assert weighted.pooled == pytest.approx(model.score(X, y, np.abs(w), groups=event))
    # a scorer that looks into the table
    flatness = flatness_scorer([0], uniform_label="bkg", pos_label="sig")
    flat = fold_scores(model, X, y, scoring={"flat": flatness}, **given)
    p = model.predict_proba(X, groups=event)[:, 1]
    direct = flatness.score_predictions(y, p, X=X)
    assert flat["flat"].pooled == pytest.approx(direct)


def test_decision_function_and_identifiers_in_x(events):
    X, y, _, event = events
    frame = pd.DataFrame(X, columns=["a", "b"]).assign(run=1, event=event)
    model = RotatingClassifier(LinearSVC(), 3, id_columns=("run", "event")).fit(frame, y)
    scores = fold_scores(model, frame, y, scoring="roc_auc", n_replicas=10)
    ids = frame[["run", "event"]]
    other = RotatingClassifier(LinearSVC(), 3).fit(X, y, groups=ids)
    expected = fold_scores(other, X, y, scoring="roc_auc", groups=ids, n_replicas=10)
    assert scores["roc_auc"].pooled == pytest.approx(expected["roc_auc"].pooled)
    assert scores["roc_auc"].pooled_error == pytest.approx(expected["roc_auc"].pooled_error)


def test_regression(events):
    X, _, w, event = events
    target = X @ [1, 2] + np.random.default_rng(0).normal(size=1200)
    model = RotatingRegressor(Ridge(), 4).fit(X, target, groups=event)
    loss = make_scorer(mean_absolute_error, greater_is_better=False)
    scores = fold_scores(model, X, target, scoring={"mae": loss}, groups=event, n_replicas=20)
    expected = np.mean(np.abs(model.predict(X, groups=event) - target))
    assert scores["mae"].pooled == pytest.approx(-expected)
    r2 = fold_scores(model, X, target, sample_weight=w, groups=event, n_replicas=0)["r2"]
    assert r2.pooled == pytest.approx(model.score(X, target, w, groups=event))


def test_tables(events, model):
    X, y, _, event = events
    scores = fold_scores(
        model, X, y, scoring={"a<b": roc_auc_scorer()}, groups=event, n_replicas=10
    )
    table = scores.to_pandas()
    assert list(table.columns) == ["a<b", "a<b_error"]
    assert list(table.index) == [0, 1, 2, "mean", "spread", "pooled"]
    assert table.loc["pooled", "a<b"] == scores["a<b"].pooled
    text = repr(scores)
    assert text.splitlines()[0].split() == ["fold", "events", "effective", "a<b"]
    assert len({len(line) for line in text.splitlines()}) == 1
    assert "1,200" in text
    page = scores._repr_html_()
    assert "<th>a&lt;b</th>" in page
    assert page.count("<tr>") == 7


def test_parallel_is_the_same(events, model):
    X, y, _, event = events
    given = {"scoring": "roc_auc", "groups": event, "n_replicas": 6}
    with joblib.parallel_config(backend="threading"):
        one, two = (fold_scores(model, X, y, n_jobs=n, **given)["roc_auc"] for n in (None, 2))
    assert one.pooled_error == two.pooled_error


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"model": LogisticRegression()}, TypeError, "cross_validate scores other models"),
        ({"model": RotatingClassifier(LogisticRegression())}, ValueError, "not fitted yet"),
        ({"groups": None}, ValueError, "needs them to predict"),
        ({"groups": np.zeros((1200, 2), int)}, ValueError, "2 columns, but 1 in fit"),
        ({"groups": np.zeros(1200, int)}, ValueError, "has none of the 1200 events"),
        ({"groups": np.arange(3)}, ValueError, "3 entries, but there are 1200"),
        ({"y": np.zeros(3)}, ValueError, "inconsistent numbers of samples"),
        ({"sample_weight": np.ones(3)}, ValueError, "3 entries"),
        ({"n_replicas": 1}, ValueError, "n_replicas must be 0 or at least 2"),
        ({"scoring": []}, ValueError, "scoring is empty"),
        ({"scoring": "auc"}, ValueError, "'auc'"),
        ({"scoring": {"own": lambda e, X, y: 0.0}}, ValueError, "'own' takes no sample_weight"),
        ({"y": np.full(1200, "sig")}, ValueError, "score 'roc_auc' of fold 0"),
        (
            {"scoring": "roc_auc", "sample_weight": np.where(np.arange(1200) % 5, 1.0, -1.0)},
            ValueError,
            r"scorers of skhep_ml\.metrics take them",
        ),
    ],
)
def test_bad_input(events, model, change, error, match):
    X, y, _, event = events
    given = {"model": model, "y": y, "groups": event, "scoring": {"roc_auc": roc_auc_scorer()}}
    given |= change
    with pytest.raises(error, match=match):
        fold_scores(given.pop("model"), X, given.pop("y"), **given)


def test_without_identifiers_nothing_is_out_of_fold(events, model):
    X, y, _, event = events
    with pytest.raises(ValueError, match="is asked without event identifiers"):
        fold_scores(
            sklearn.clone(model).set_params(unidentified="mean").fit(X, y, groups=event), X, y
        )
    with pytest.warns(UnidentifiedEventsWarning):
        rows = sklearn.clone(model).fit(X, y)
    with pytest.raises(ValueError, match="was fitted without event identifiers"):
        fold_scores(rows, X, y, groups=event)


def test_learning_curves(events):
    X, y, _, event = events
    bdt = BDTClassifier(n_estimators=9, early_stopping_rounds=4, max_depth=2, n_jobs=1)
    search = GridSearchCV(
        make_pipeline(bdt), {"bdtclassifier__max_depth": [2]}, cv=EventNumberKFold(2)
    )
    rotating = RotatingClassifier(search, 3, validation_fold=True).fit(X, y, groups=event)
    curves = fold_learning_curves(rotating)
    assert list(curves) == ["validation_0 loss"]
    for curve, fitted in zip(curves["validation_0 loss"], rotating.estimators_, strict=True):
        assert np.array_equal(
            curve, fitted.best_estimator_[-1].evals_result_["validation_0"]["loss"]
        )
    inner = RotatingClassifier(bdt, 3).fit(X, y, groups=event)
    assert list(fold_learning_curves(inner)) == ["validation loss"]
    single = fold_learning_curves(inner.estimators_[0])
    assert len(single["validation loss"]) == 1

    net = NetClassifier(max_epochs=2, early_stopping=True, device="cpu", random_state=0)
    rotating = RotatingClassifier(net, 3, validation_fold=True).fit(X, y, groups=event)
    curves = fold_learning_curves(rotating)
    assert list(curves) == ["train_loss", "valid_loss"]
    assert [len(curve) for curve in curves["valid_loss"]] == [2, 2, 2]
    assert curves["valid_loss"][1][0] == rotating.estimators_[1].history_[0]["valid_loss"]


def test_models_without_learning_curves(events, model):
    X, y, _, event = events
    with pytest.raises(ValueError, match="LogisticRegression has no learning curve"):
        fold_learning_curves(model)
    bdt = RotatingClassifier(BDTClassifier(n_estimators=2, n_jobs=1), 2).fit(X, y, groups=event)
    with pytest.raises(ValueError, match="only with held-out events"):
        fold_learning_curves(bdt)
    with pytest.raises(ValueError, match="not fitted yet"):
        fold_learning_curves(RotatingClassifier(BDTClassifier()))


def test_nested_search_with_signed_weights(events):
    X, y, w, event = events
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            BDTClassifier(n_estimators=10, n_jobs=1, random_state=0),
            {"max_depth": [1, 2]},
            cv=EventNumberKFold(2),
            scoring=roc_auc_scorer(),
        )
        model = RotatingClassifier(search, 2).fit(X, y, w, groups=event)
        scores = fold_scores(
            model, X, y, scoring="roc_auc", sample_weight=np.abs(w), groups=event, n_replicas=5
        )
    assert scores["roc_auc"].folds.min() > 0.7
