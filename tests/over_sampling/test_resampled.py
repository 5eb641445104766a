import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from imblearn.over_sampling import SMOTE, RandomOverSampler
from imblearn.under_sampling import RandomUnderSampler
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.validation import check_is_fitted

from skhep_ml.ensemble import BDTClassifier
from skhep_ml.impute import DropMissingRows, MissingValueImputer
from skhep_ml.metrics import roc_auc_scorer
from skhep_ml.model_selection import EventNumberKFold, RotatingClassifier
from skhep_ml.over_sampling import ResampledClassifier, ResampledRegressor, WeightedSMOTE
from skhep_ml.over_sampling._base import Resampling, WeightedSampler
from skhep_ml.preprocessing import ZScoreScaler

LOG = []


class _Recorder(BaseEstimator):
    """Remembers every fit and every prediction."""

    __metadata_request__fit = {"sample_weight": True, "groups": True}

    def fit(self, X, y, sample_weight=None, groups=None):
        self.n_features_in_ = X.shape[1]
        LOG.append({"X": X, "y": y, "w": sample_weight, "groups": groups})
        self.fitted_ = True
        return self

    def predict(self, X):
        LOG.append({"predicted": np.asarray(X)})
        return np.zeros(len(X), dtype=int)


class RecordingClassifier(ClassifierMixin, _Recorder):
    pass


class RecordingRegressor(RegressorMixin, _Recorder):
    pass


class Mirror(WeightedSampler):
    """Appends a mirrored copy of every event; each shares the weight."""

    def __init__(self):
        super().__init__()

    def _fit_resample(self, X, y, weight):
        parents = np.tile(np.arange(len(y)), 2)
        both = None if weight is None else np.tile(weight / 2, 2)
        return Resampling(np.concatenate([X, -X]), parents, both)


@pytest.fixture(autouse=True)
def empty_log():
    LOG.clear()


def sample(n_major=240, n_minor=60, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat([0, 1], [n_major, n_minor]))
    X = rng.normal(size=(len(y), 4)) + 1.5 * y[:, None]
    w = rng.exponential(size=len(y)) + 0.1
    return X, y, w, rng.permutation(len(y)) + 2**60


def test_resampled_weights_and_identifiers_reach_the_model():
    X, y, w, event = sample()
    sampler = WeightedSMOTE(balance=True, random_state=0)
    model = ResampledClassifier(sampler, RecordingClassifier())
    model.fit(X, y, sample_weight=w, groups=event)
    expected = clone(sampler).fit_resample(X, y, sample_weight=w, groups=event)
    (seen,) = LOG
    for got, wanted in zip(
        (seen["X"], seen["y"], seen["w"], seen["groups"]), expected, strict=True
    ):
        np.testing.assert_array_equal(got, wanted)
    np.testing.assert_allclose(np.bincount(seen["y"], seen["w"]), w.sum() / 2)
    assert not hasattr(sampler, "sample_indices_")
    np.testing.assert_array_equal(model.sampler_.sample_indices_[: len(y)], np.arange(len(y)))


def test_without_weights_the_model_gets_none():
    X, y, _, event = sample()
    ResampledClassifier(WeightedSMOTE(), RecordingClassifier()).fit(X, y)
    ResampledClassifier(WeightedSMOTE(), RecordingClassifier()).fit(X, y, groups=event)
    assert [entry["w"] for entry in LOG] == [None, None]
    assert LOG[0]["groups"] is None
    assert len(LOG[1]["groups"]) == 480


def test_predictions_are_the_models_and_see_the_events_as_they_are():
    X, y, w, _ = sample()
    sampler = WeightedSMOTE(random_state=0)
    model = ResampledClassifier(sampler, LogisticRegression()).fit(X, y, sample_weight=w)
    X_more, y_more, w_more = sampler.fit_resample(X, y, sample_weight=w)
    by_hand = LogisticRegression().fit(X_more, y_more, w_more)
    np.testing.assert_array_equal(model.predict_proba(X), by_hand.predict_proba(X))
    np.testing.assert_array_equal(model.decision_function(X), by_hand.decision_function(X))
    np.testing.assert_array_equal(model.predict(X), by_hand.predict(X))
    assert model.score(X, y, w) == by_hand.score(X, y, w)
    assert model.classes_.tolist() == [0, 1]
    assert model.n_features_in_ == 4


def test_methods_are_those_of_the_model():
    ridge = ResampledClassifier(WeightedSMOTE(), RidgeClassifier())
    assert not hasattr(ridge, "predict_proba")
    assert hasattr(ridge, "decision_function")
    with pytest.raises(sklearn.exceptions.NotFittedError):
        check_is_fitted(ridge)
    with pytest.raises(sklearn.exceptions.NotFittedError):
        ridge.predict(np.zeros((1, 4)))


def test_only_the_training_events_of_each_split_are_resampled():
    X, y, _, event = sample()
    model = make_pipeline(ResampledClassifier(Mirror(), RecordingClassifier()))
    with sklearn.config_context(enable_metadata_routing=True):
        cross_validate(model, X, y, cv=EventNumberKFold(3), params={"groups": event})
    fits = [entry for entry in LOG if "X" in entry]
    predictions = [entry["predicted"] for entry in LOG if "predicted" in entry]
    assert len(fits) == len(predictions) == 3
    assert sum(map(len, predictions)) == len(X)
    for fit, seen in zip(fits, predictions, strict=True):
        assert len(fit["X"]) == 2 * (len(X) - len(seen))
        rows = {tuple(row) for row in X}
        assert all(tuple(row) in rows for row in seen)
        trained = {tuple(row) for row in np.abs(fit["X"])}
        assert not any(tuple(row) in trained for row in np.abs(seen))


@pytest.mark.parametrize("wrapped", [False, True])
def test_search_over_a_pipeline_with_signed_weights_and_identifiers(wrapped):
    X, y, w, event = sample(400, 120)
    X[::9, 2] = -999.0
    w[::7] *= -0.5
    steps = [
        MissingValueImputer(),
        ZScoreScaler(),
        ResampledClassifier(
            WeightedSMOTE(negative_weights="refine", balance=True, random_state=0, n_jobs=1),
            BDTClassifier(n_estimators=10, max_depth=2, n_jobs=1),
        ),
    ]
    grid = {"resampledclassifier__sampler__k_neighbors": [2, 5]}
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            make_pipeline(*steps), grid, cv=EventNumberKFold(3), scoring=roc_auc_scorer()
        )
        model = search
        if wrapped:
            search.cv = EventNumberKFold(2, salt=1)
            model = RotatingClassifier(search, n_splits=2)
        model.fit(X, y, sample_weight=w, groups=event)
        fitted = model.estimators_[0] if wrapped else model
        assert fitted.best_params_[next(iter(grid))] in (2, 5)
        assert (fitted.cv_results_["mean_test_score"] > 0.8).all()
        keywords = {"groups": event} if wrapped else {}
        assert model.predict_proba(X, **keywords).shape == (520, 2)
        inner = fitted.best_estimator_[-1]
        assert inner.sampler_.k_neighbors == fitted.best_params_[next(iter(grid))]


def test_rotating_models_take_their_own_resampling():
    X, y, w, event = sample()
    model = RotatingClassifier(
        ResampledClassifier(WeightedSMOTE(random_state=0), LogisticRegression()), n_splits=3
    ).fit(X, y, sample_weight=w, groups=event)
    assert [len(inner.sampler_.sample_indices_) > 240 for inner in model.estimators_] == [True] * 3
    assert model.score(X, y, w, groups=event) > 0.8


@pytest.mark.parametrize("sampler", [RandomOverSampler, RandomUnderSampler])
def test_selecting_samplers_of_imbalanced_learn_carry_weights(sampler):
    X, y, w, event = sample()
    w[::9] *= -0.3
    model = ResampledClassifier(sampler(random_state=0), RecordingClassifier())
    model.fit(X, y, sample_weight=w, groups=event)
    (seen,) = LOG
    rows = model.sampler_.sample_indices_
    np.testing.assert_array_equal(seen["groups"], event[rows])
    np.testing.assert_array_equal(seen["X"], X[rows])
    assert len(np.unique(np.bincount(seen["y"]))) == 1
    for label in (0, 1):
        mine = seen["y"] == label
        assert seen["w"][mine].sum() == pytest.approx(w[y == label].sum())
        ratio = seen["w"][mine] / w[rows][mine]
        np.testing.assert_allclose(ratio, ratio[0])


def test_samplers_that_cannot_carry_weights_say_so():
    X, y, w, event = sample()
    smote = SMOTE(random_state=0)
    ResampledClassifier(smote, RecordingClassifier()).fit(X, y)
    assert np.bincount(LOG[0]["y"]).tolist() == [240, 240]
    with pytest.raises(ValueError, match=r"SMOTE makes events without weights.*WeightedSMOTE"):
        ResampledClassifier(smote, RecordingClassifier()).fit(X, y, sample_weight=w)
    with pytest.raises(ValueError, match=r"SMOTE makes events without identifiers.*Recording"):
        ResampledClassifier(smote, RecordingClassifier()).fit(X, y, groups=event)
    # identifiers that only split the data do no harm
    ResampledClassifier(smote, KNeighborsClassifier()).fit(X, y, groups=event)


def test_weights_for_a_model_that_takes_none_are_an_error():
    X, y, w, _ = sample()
    model = ResampledClassifier(WeightedSMOTE(), KNeighborsClassifier())
    with pytest.raises(ValueError, match="KNeighborsClassifier takes no sample_weight"):
        model.fit(X, y, sample_weight=w)


@pytest.mark.parametrize("library", [pd, pl])
def test_frames_reach_the_model_with_their_names(library):
    X, y, w, event = sample()
    names = ["pt", "eta", "m", "met"]
    table = library.DataFrame(dict(zip(names, X.astype(np.float32).T, strict=True)))
    groups = library.DataFrame({"run": np.full(len(y), 3), "event": event})
    model = ResampledClassifier(WeightedSMOTE(random_state=0), RecordingClassifier())
    model.fit(table, y, sample_weight=w, groups=groups)
    (seen,) = LOG
    assert type(seen["X"]) is type(table)
    assert list(seen["X"].columns) == names
    assert model.feature_names_in_.tolist() == names
    np.testing.assert_array_equal(seen["groups"]["event"], event[model.sampler_.sample_indices_])


def test_string_labels_and_a_pipeline_inside():
    X, y, w, _ = sample()
    labels = np.where(y == 1, "signal", "background")
    model = ResampledClassifier(
        WeightedSMOTE(random_state=0), make_pipeline(ZScoreScaler(), LogisticRegression())
    ).fit(X, labels, sample_weight=w)
    assert model.classes_.tolist() == ["background", "signal"]
    assert model.score(X, labels, w) > 0.8
    assert isinstance(model.estimator_, Pipeline)


def test_regression_with_continuous_targets_and_signed_weights():
    X, _, w, event = sample()
    w[::5] *= -1
    target = X @ [1.0, 2.0, 3.0, 4.0]
    model = ResampledRegressor(Mirror(), RecordingRegressor())
    model.fit(X, target, sample_weight=w, groups=event)
    (seen,) = LOG
    np.testing.assert_array_equal(seen["y"], np.tile(target, 2))
    np.testing.assert_array_equal(seen["w"], np.tile(w / 2, 2))
    np.testing.assert_array_equal(seen["groups"], np.tile(event, 2))
    # mirrored inputs with unmirrored targets leave nothing but the mean
    flat = ResampledRegressor(Mirror(), LinearRegression()).fit(X, target, sample_weight=abs(w))
    np.testing.assert_allclose(flat.estimator_.coef_, 0, atol=1e-10)
    assert flat.predict(X) == pytest.approx(np.full(len(X), np.average(target, weights=abs(w))))
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        ResampledRegressor(WeightedSMOTE(), LinearRegression()).fit(X, target)


def test_bad_input_is_refused_before_any_work():
    X, y, w, event = sample()
    model = ResampledClassifier(WeightedSMOTE(), RecordingClassifier())
    with pytest.raises(ValueError, match="has 299 entries, but there are 300 events"):
        model.fit(X, y, sample_weight=w[:-1])
    with pytest.raises(ValueError, match="identifiers must be integers"):
        model.fit(X, y, groups=event.astype(float))
    with pytest.raises(ValueError, match="only one class in y"):
        model.fit(X, np.zeros(300, dtype=int))
    with pytest.raises(ValueError, match="requires y to be passed"):
        model.fit(X, None)
    with pytest.raises(ValueError, match="negative_weights="):
        model.fit(X, y, sample_weight=-w + 0.5 * w.max())
    assert LOG == []


def test_sampler_may_drop_what_the_model_cannot_take():
    X, y = np.random.default_rng(0).normal(size=(60, 2)), np.tile([0, 1], 30)
    X[:7, 1] = np.nan
    found = ResampledClassifier(DropMissingRows(), LogisticRegression()).fit(X, y)
    np.testing.assert_array_equal(
        found.estimator_.coef_, LogisticRegression().fit(X[7:], y[7:]).coef_
    )
    for sampler in (WeightedSMOTE(), DropMissingRows(max_missing=1)):
        with pytest.raises(ValueError, match="contains NaN"):
            ResampledClassifier(sampler, LogisticRegression()).fit(X, y)


@pytest.mark.parametrize(
    ("sampler", "estimator", "message"),
    [
        ("smote", LogisticRegression(), "sampler='smote' must be an object with fit_resample"),
        (ZScoreScaler(), LogisticRegression(), "must be an object with fit_resample"),
        (WeightedSMOTE, LogisticRegression(), "must be an object with fit_resample"),
        (WeightedSMOTE(), None, "estimator=None must be an object with fit and predict"),
    ],
)
def test_wrong_parts_are_refused(sampler, estimator, message):
    model = ResampledClassifier(sampler, estimator)
    with pytest.raises(TypeError, match=message):
        model.fit(np.ones((4, 1)), [0, 1, 0, 1])
    with pytest.raises(TypeError, match=message):
        cross_validate(model, np.ones((4, 1)), [0, 1, 0, 1], cv=2)
