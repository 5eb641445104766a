import pickle

import imblearn.pipeline
import joblib
import numpy as np
import pytest
import sklearn
from imblearn.over_sampling import RandomOverSampler
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline

from skhep_ml._hashing import event_fold
from skhep_ml.ensemble import BDTClassifier, BDTRegressor
from skhep_ml.events import Events
from skhep_ml.exceptions import UnidentifiedEventsWarning
from skhep_ml.model_selection import EventNumberKFold, RotatingClassifier, RotatingRegressor
from skhep_ml.neural_network import NetClassifier
from skhep_ml.neural_network.modules import DeepSets
from skhep_ml.preprocessing import ZScoreScaler


class Recorder(ClassifierMixin, BaseEstimator):
    """Keeps what its fit was given; the first column of X is the event number."""

    __metadata_request__fit = {
        "sample_weight": True,
        "eval_set": True,
        "sample_weight_eval_set": True,
    }
    __metadata_request__score = {"sample_weight": True}

    def __init__(self, option=0):
        self.option = option

    def fit(self, X, y, sample_weight=None, *, eval_set=None, sample_weight_eval_set=None):
        self.classes_ = np.unique(y)
        self.X_, self.y_, self.weight_ = X, y, sample_weight
        ((self.X_held_, self.y_held_),) = eval_set
        self.weight_held_ = None if sample_weight_eval_set is None else sample_weight_eval_set[0]
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


class Shift(TransformerMixin, BaseEstimator):
    """Adds its largest training event number, which shows what it was fitted on."""

    def fit(self, X, y=None):
        self.fitted_on_ = X[:, 0].astype(int)
        return self

    def transform(self, X):
        return np.column_stack([X[:, 0], X[:, 1:] + self.fitted_on_.max()])


@pytest.fixture
def events():
    rng = np.random.default_rng(0)
    event = rng.permutation(900)
    y = np.array(["bkg", "sig"])[rng.integers(2, size=900)]
    X = np.column_stack([event, rng.normal(size=(900, 2)) + (y == "sig")[:, None]])
    w = np.where(rng.random(900) < 0.2, -1, 1) * rng.uniform(0.5, 2, 900)
    return X, y, w, event


def search(estimator, **grid):
    return GridSearchCV(estimator, grid, cv=EventNumberKFold(2), error_score="raise")


SHAPES = {
    "model": Recorder(),
    "pipeline": make_pipeline(Shift(), Recorder()),
    "one step": make_pipeline(Recorder()),
    "search": search(Recorder(), option=[0, 1]),
    "search of pipeline": search(make_pipeline(Shift(), Recorder()), recorder__option=[0, 1]),
    "pipeline of search": make_pipeline(Shift(), search(Recorder(), option=[0, 1])),
    "nested pipeline": make_pipeline(Shift(), make_pipeline("passthrough", Recorder())),
}


@pytest.mark.parametrize("routing", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_who_trains_who_stops_who_is_tested(events, shape, routing):
    X, y, w, event = events
    with sklearn.config_context(enable_metadata_routing=routing):
        model = RotatingClassifier(SHAPES[shape], 4, salt=1, validation_fold=True)
        model.fit(X, y, w, groups=event)
        fold = event_fold(event, 4, "rotating", 1)
        for k, fitted in enumerate(model.estimators_):
            shift = 0.0
            train = ~np.isin(fold, [k, (k + 1) % 4])
            while not isinstance(fitted, Recorder):
                if isinstance(fitted, Pipeline):
                    if isinstance(fitted[0], Shift):
                        assert np.array_equal(fitted[0].fitted_on_, event[train])
                        shift = event[train].max()
                    fitted = fitted.steps[-1][1]
                else:
                    fitted = fitted.best_estimator_
            held = fold == (k + 1) % 4
            for rows, kind in ((train, "_"), (held, "_held_")):
                expected = np.column_stack([event[rows], X[rows, 1:] + shift])
                assert np.array_equal(getattr(fitted, f"X{kind}"), expected)
                assert np.array_equal(getattr(fitted, f"y{kind}"), y[rows])
                assert np.array_equal(getattr(fitted, f"weight{kind}"), w[rows])
        assert len(model.predict(X, groups=event)) == 900


def test_without_weights_none_are_passed(events):
    X, y, _, event = events
    model = RotatingClassifier(Recorder(), 3, validation_fold=True).fit(X, y, groups=event)
    assert all(fitted.weight_held_ is None for fitted in model.estimators_)


def test_rows_rotate_where_there_are_no_identifiers(events):
    X, y, *_ = events
    with pytest.warns(UnidentifiedEventsWarning):
        model = RotatingClassifier(Recorder(), 3, validation_fold=True).fit(X, y)
    held = [set(fitted.X_held_[:, 0]) for fitted in model.estimators_]
    train = [set(fitted.X_[:, 0]) for fitted in model.estimators_]
    assert set.union(*held) == set(range(900))
    assert sum(map(len, held)) == sum(map(len, train)) == 900
    assert all(a.isdisjoint(b) for a, b in zip(held, train, strict=True))


def test_boosted_trees_stop_as_by_hand(events):
    X, y, w, event = events
    X = X[:, 1:]
    bdt = BDTClassifier(
        n_estimators=60, early_stopping_rounds=4, learning_rate=0.3, n_jobs=1, random_state=0
    )
    model = RotatingClassifier(make_pipeline(ZScoreScaler(), bdt), 3, validation_fold=True)
    with sklearn.config_context(enable_metadata_routing=True):
        model.fit(X, y, w, groups=event)
    fold = event_fold(event, 3, "rotating", 0)
    p = model.predict_proba(X, groups=event)
    for k in range(3):
        held, train, test = fold == (k + 1) % 3, fold == (k + 2) % 3, fold == k
        scaler = ZScoreScaler().fit(X[train], sample_weight=w[train])
        by_hand = sklearn.clone(bdt).fit(
            scaler.transform(X[train]),
            y[train],
            w[train],
            groups=event[train],
            eval_set=[(scaler.transform(X[held]), y[held])],
            sample_weight_eval_set=[w[held]],
        )
        fitted = model.estimators_[k][-1]
        assert fitted.best_iteration_ == by_hand.best_iteration_
        assert np.array_equal(p[test], by_hand.predict_proba(scaler.transform(X[test])))
        assert fitted.n_estimators_ < 60


def test_pickle_and_parallel(events):
    X, y, w, event = events
    bdt = BDTClassifier(n_estimators=8, early_stopping_rounds=3, n_jobs=1, random_state=0)
    pipe = make_pipeline(ZScoreScaler(), bdt)
    with joblib.parallel_config(backend="threading"):
        one, two = (
            RotatingClassifier(pipe, 3, validation_fold=True, n_jobs=n_jobs)
            .fit(X[:, 1:], y, w, groups=event)
            .predict_proba(X[:, 1:], groups=event)
            for n_jobs in (None, 2)
        )
    assert np.array_equal(one, two)
    model = RotatingClassifier(pipe, 3, validation_fold=True).fit(X[:, 1:], y, w, groups=event)
    copy = pickle.loads(pickle.dumps(model))
    assert np.array_equal(copy.predict_proba(X[:, 1:], groups=event), one)


def test_regressor(events):
    X, _, w, event = events
    target = X[:, 1] * 3
    bdt = BDTRegressor(n_estimators=40, early_stopping_rounds=3, n_jobs=1, random_state=0)
    model = RotatingRegressor(bdt, 3, validation_fold=True)
    model.fit(X[:, 1:], target, np.abs(w), groups=event)
    assert model.score(X[:, 1:], target, np.abs(w), groups=event) > 0.95
    assert all(list(m.evals_result_) == ["validation_0"] for m in model.estimators_)


def net(**options):
    return NetClassifier(
        max_epochs=2, batch_size=128, early_stopping=True, random_state=0, device="cpu", **options
    )


def test_net_and_clouds(events):
    X, y, w, event = events
    cloud = np.repeat(X[:, None, 1:], 3, axis=1).astype(np.float32)
    cloud[::2, 2] = np.nan
    model = RotatingClassifier(net(module=DeepSets), 3, validation_fold=True)
    model.fit(cloud, y, w, groups=event)
    p = model.predict_proba(cloud, groups=event)
    assert p.shape == (900, 2)
    assert np.allclose(model.predict_proba(cloud[:5], groups=event[:5]), p[:5], atol=1e-6)
    assert all(np.isfinite(m.history_[-1]["valid_loss"]) for m in model.estimators_)


def test_events(events):
    X, y, w, event = events
    mixed = Events(X=X[:, 1:].astype(np.float32))
    one, two = (
        RotatingClassifier(net(), 3, validation_fold=True).fit(table, y, w, groups=event)
        for table in (mixed, mixed["X"])
    )
    p = one.predict_proba(mixed, groups=event)
    assert np.allclose(p, two.predict_proba(mixed["X"], groups=event), atol=1e-6)
    assert np.allclose(one.predict_proba(mixed[:7], groups=event[:7]), p[:7], atol=1e-6)


class NoHeldWeights(Recorder):
    __metadata_request__fit = {"sample_weight": True, "eval_set": True}

    def fit(self, X, y, sample_weight=None, *, eval_set=None):
        return super().fit(X, y, sample_weight, eval_set=eval_set)


SAMPLER = imblearn.pipeline.make_pipeline(RandomOverSampler(), Recorder())


@pytest.mark.parametrize(
    ("estimator", "change", "match"),
    [
        (Recorder(), {"n_splits": 2}, "leaves nothing to train on"),
        (Recorder(), {"eval_set": [1]}, r"given \['eval_set'\], but validation_fold"),
        (LogisticRegression(), {}, "LogisticRegression.fit takes no eval_set"),
        (make_pipeline(Shift(), LogisticRegression()), {}, "LogisticRegression.fit takes no eval"),
        (search(LogisticRegression(), C=[1]), {}, "LogisticRegression.fit takes no eval_set"),
        (make_pipeline(Recorder(), "passthrough"), {}, "takes no eval_set"),
        (NoHeldWeights(), {}, "NoHeldWeights.fit takes no sample_weight_eval_set"),
        (SAMPLER, {}, "imblearn.pipeline.Pipeline cannot send a validation fold"),
        (Recorder(), {"y": np.r_[["a"], ["b"] * 899]}, "no events outside folds . and ."),
    ],
)
def test_bad_input(events, estimator, change, match):
    X, y, w, event = events
    given = {"y": y, "sample_weight": w, "groups": event} | change
    model = RotatingClassifier(estimator, given.pop("n_splits", 3), validation_fold=True)
    with pytest.raises(ValueError, match=match):
        model.fit(X, **given)
    assert not hasattr(model, "estimators_")
