import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from skhep_ml.ensemble import BDTClassifier
from skhep_ml.exceptions import SupportWarning, WeightWarning
from skhep_ml.reweighting import ClassifierReweighter
from skhep_ml.reweighting._classifier import _fit_isotonic, _fit_sigmoid, cross_fit_folds

SHIFT = np.array([0.5, -0.3])


def gaussians(n=20_000, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)), rng.normal(SHIFT, 1.0, size=(n // 2, 2))


def true_ratio(X):
    return np.exp(X @ SHIFT - SHIFT @ SHIFT / 2)


def small_bdt(**params):
    return BDTClassifier(30, max_depth=3, device="cpu", n_jobs=1, random_state=0, **params)


def rms(ratio, truth):
    return np.sqrt(np.mean((ratio / (1 + ratio) - truth / (1 + truth)) ** 2))


@pytest.mark.parametrize(
    ("estimator", "calibrate", "limit"),
    [
        (LogisticRegression(), "sigmoid", 0.01),
        (LogisticRegression(), None, 0.01),
        (LogisticRegression(), "isotonic", 0.03),
        (small_bdt(), "sigmoid", 0.03),
        (None, "sigmoid", 0.03),
    ],
)
def test_the_known_ratio_of_gaussians(estimator, calibrate, limit):
    original, target = gaussians()
    model = ClassifierReweighter(estimator, calibrate=calibrate, n_jobs=1, random_state=0)
    model.fit(original, target)
    fresh, _ = gaussians(seed=1)
    ratio = model.predict_weights(fresh)
    assert rms(ratio, true_ratio(fresh)) < limit
    assert abs(ratio.mean() - 1) < 0.02
    for k in range(2):
        assert abs(np.average(fresh[:, k], weights=ratio) - SHIFT[k]) < 0.04


class TooSure(ClassifierMixin, BaseEstimator):
    """Logistic regression whose log odds are multiplied and shifted."""

    def __init__(self, factor=4.0, cube=False):
        self.factor = factor
        self.cube = cube

    def fit(self, X, y, sample_weight=None):
        self.model_ = LogisticRegression().fit(X, y, sample_weight)
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, X):
        score = self.model_.decision_function(X)
        score = self.factor * score**3 if self.cube else self.factor * score + 1
        p = 1 / (1 + np.exp(-score))
        return np.column_stack([1 - p, p])


def test_calibration_repairs_probabilities():
    original, target = gaussians()
    truth = true_ratio(original)
    plain = ClassifierReweighter(LogisticRegression()).fit(original, target)
    sure = ClassifierReweighter(TooSure()).fit(original, target)
    np.testing.assert_allclose(
        sure.predict_weights(original), plain.predict_weights(original), rtol=1e-3
    )
    assert abs(sure.calibration_.slope - 0.25) < 0.01
    raw = ClassifierReweighter(TooSure(), calibrate=None).fit(original, target)
    assert rms(raw.predict_weights(original), truth) > 0.15
    cube = ClassifierReweighter(TooSure(cube=True), calibrate="isotonic").fit(original, target)
    assert rms(cube.predict_weights(original), truth) < 0.03


def test_weights_of_both_samples_count():
    rng = np.random.default_rng(0)
    original, target = gaussians()
    weight = np.exp(0.4 * original[:, 0])
    keep = rng.random(len(target)) < 0.5
    target_weight = np.where(target[:, 1] > 0, 3.0, 1.0)
    model = ClassifierReweighter(make_pipeline(StandardScaler(), small_bdt()))
    model.fit(original, target, weight, target_weight)
    ratio = model.predict_weights(original, weight) / weight
    step = np.where(original[:, 1] > 0, 3.0, 1.0)
    truth = true_ratio(original) * step / np.exp(0.4 * original[:, 0])
    middle = np.abs(original[:, 1]) > 0.5
    correlation = np.corrcoef(np.log(ratio[middle]), np.log(truth[middle]))[0, 1]
    assert correlation > 0.9
    # the unit of the weights does not matter, and normalisation is fixed in fit
    scaled = clone(model).fit(original, target, 7 * weight, 1e-3 * target_weight)
    np.testing.assert_allclose(scaled.predict_weights(original), ratio, rtol=1e-6)
    to_target = clone(model).set_params(normalize="target").fit(original, target[keep], weight)
    assert abs(to_target.predict_weights(original, weight).sum() / keep.sum() - 1) < 0.02


@pytest.mark.parametrize("calibrate", ["sigmoid", "isotonic"])
@pytest.mark.parametrize("policy", ["refine", "keep"])
def test_negative_weights(policy, calibrate):
    # a third component that is added to the original and taken away again
    rng = np.random.default_rng(0)
    original, target = gaussians(20_000)
    extra = rng.normal(-1.0, 0.7, size=(6000, 2))
    signed = np.concatenate([original, extra])
    weight = np.concatenate([np.ones(len(original)), np.tile([1.0, -1.0], 3000)])
    model = ClassifierReweighter(
        small_bdt(negative_weights=policy),
        negative_weights=policy,
        calibrate=calibrate,
        n_jobs=1,
        random_state=0,
    ).fit(signed, target, weight)
    ratio = model.predict_weights(signed, weight)
    assert np.isfinite(ratio).all()
    np.testing.assert_array_equal(np.sign(ratio), np.sign(weight))
    fresh, _ = gaussians(seed=1)
    assert rms(model.predict_weights(fresh), true_ratio(fresh)) < 0.06


def test_signed_calibrations_against_the_unsigned_ones():
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1], 20_000)
    score = rng.normal(np.where(label == 1, 0.5, -0.5), 1.0)
    ones = np.ones(len(label))
    line = _fit_sigmoid(score, label, ones)
    reference = LogisticRegression(C=np.inf).fit(score[:, None], label)
    np.testing.assert_allclose(line, [reference.coef_[0, 0], reference.intercept_[0]], atol=1e-3)
    # pairs of opposite weight at equal scores change nothing
    more = rng.normal(0, 2, 5000)
    both = np.concatenate([score, more, more])
    labels = np.concatenate([label, np.zeros(10_000, dtype=int)])
    weight = np.concatenate([ones, np.ones(5000), -np.ones(5000)])
    np.testing.assert_allclose(_fit_sigmoid(both, labels, weight), line, atol=1e-3)
    at = np.linspace(-2, 2, 9)
    rising = _fit_isotonic(both, labels, weight)
    np.testing.assert_allclose(rising(at), at, atol=0.25)
    assert (np.diff(rising(np.linspace(-5, 5, 300))) >= 0).all()
    np.testing.assert_allclose(_fit_isotonic(score, label, ones)(at), at, atol=0.35)


def test_an_indeterminate_calibration_warns():
    original, target = np.linspace(0, 1, 100)[:, None], np.linspace(3, 4, 100)[:, None]
    model = ClassifierReweighter(TooSure(factor=0.01), normalize=None)
    with (
        pytest.warns(SupportWarning),
        pytest.warns(WeightWarning, match="determine no calibration"),
    ):
        model.fit(original, target)
    assert model.calibration_ is None


def test_samples_that_are_alike_get_a_ratio_of_one():
    rng = np.random.default_rng(0)
    original, target = rng.normal(size=(3000, 20)), rng.normal(size=(3000, 20))
    model = ClassifierReweighter(small_bdt()).fit(original, target)
    raw = ClassifierReweighter(small_bdt(), calibrate=None).fit(original, target)
    ratio = model.predict_weights(original)
    assert np.std(np.log(ratio)) < 0.1 < np.std(np.log(raw.predict_weights(original)))


def test_clip_bounds_the_ratio():
    original, target = gaussians(4000)
    model = ClassifierReweighter(LogisticRegression(), clip=0.4, normalize=None)
    ratio = model.fit(original, target).predict_weights(original)
    np.testing.assert_allclose([ratio.min(), ratio.max()], [2 / 3, 1.5])


def test_rows_do_not_matter_nor_does_company():
    original, target = gaussians(4000)
    model = ClassifierReweighter(LogisticRegression()).fit(original, target)
    ratio = model.predict_weights(original)
    order = np.random.default_rng(0).permutation(4000)
    again = clone(model).fit(original[order], target[::-1])
    np.testing.assert_allclose(again.predict_weights(original), ratio, rtol=1e-6)
    np.testing.assert_allclose(model.predict_weights(original[order[:9]]), ratio[order[:9]])


@pytest.mark.parametrize("routing", [False, True])
def test_pipelines_get_the_weights(routing):
    original, target = gaussians(8000)
    weight = np.exp(original @ SHIFT)
    frames = [pd.DataFrame(sample, columns=["a", "b"]) for sample in (original, target)]
    pipeline = make_pipeline(
        make_column_transformer((StandardScaler(), ["a"]), ("passthrough", ["b"])),
        LogisticRegression(),
    )
    with sklearn.config_context(enable_metadata_routing=routing):
        model = ClassifierReweighter(pipeline).fit(*frames, weight)
        # weighted, the samples are alike; without weights the ratio would rise
        ratio = model.predict_weights(frames[0][["b", "a"]])
    assert np.std(np.log(ratio)) < 0.15
    assert model.feature_names_in_.tolist() == ["a", "b"]


def test_a_classifier_without_weights_is_enough_for_equal_samples():
    original, target = gaussians(4000)
    model = ClassifierReweighter(KNeighborsClassifier(200), n_splits=2)
    ratio = model.fit(original[:2000], target).predict_weights(original[2000:])
    assert rms(ratio, true_ratio(original[2000:])) < 0.08
    with pytest.raises(ValueError, match="KNeighborsClassifier takes no sample_weight"):
        model.fit(original, target)


def test_missing_values_follow_the_estimator():
    original, target = gaussians(4000)
    original[::5, 0] = target[::7, 0] = np.nan
    model = ClassifierReweighter(small_bdt()).fit(original, target)
    assert np.isfinite(model.predict_weights(original)).all()
    with pytest.raises(ValueError, match="NaN"):
        ClassifierReweighter(LogisticRegression()).fit(original, target)


def test_replicas_clone_pickle_and_refit():
    original, target = gaussians(2000)
    model = ClassifierReweighter(LogisticRegression(), n_replicas=5, random_state=0)
    weights, std = model.fit(original, target).predict_weights(original, return_std=True)
    assert model.replica_weights(original).shape == (5, 2000)
    assert (std > 0).all()
    # an error of 1/sqrt(1000) on each mean moves the log ratio by as much times x
    assert 0.01 < np.median(std / weights) < 0.2
    again = pickle.loads(pickle.dumps(clone(model).fit(original, target)))
    np.testing.assert_array_equal(again.predict_weights(original), weights)
    model.fit(target, original)
    assert not np.allclose(model.predict_weights(original), weights)


def test_discrete_features_are_spread_over_the_folds():
    rng = np.random.default_rng(0)
    original, target = rng.poisson(2.0, (5000, 1)), rng.poisson(2.5, (5000, 1))
    fold = cross_fit_folds(np.concatenate([original, target]), 3, "calibration")
    for k in range(3):
        assert set(range(5)) <= set(np.concatenate([original, target])[fold == k, 0].tolist())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = ClassifierReweighter(GaussianNB(), calibrate="isotonic").fit(original, target)
    at = np.arange(6)
    truth = np.exp(-0.5) * 1.25**at
    np.testing.assert_allclose(model.predict_weights(at), truth, rtol=0.15)
    # identifiers of one sample leave the other one spread
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(original, target, groups=np.arange(5000))
    np.testing.assert_allclose(model.predict_weights(at), truth, rtol=0.15)


def test_variations_of_an_event_share_a_fold_of_the_calibration():
    rng = np.random.default_rng(0)
    variations = np.repeat(rng.normal(size=(2, 300)), 5, axis=1)
    original, target = (variations + 1e-3 * rng.normal(size=(2, 1500)))[:, :, None]
    number = np.repeat(np.arange(300), 5)
    tree = DecisionTreeClassifier(min_samples_leaf=3, random_state=0)
    learned = ClassifierReweighter(tree).fit(original, target)
    honest = clone(learned).fit(original, target, groups=number, target_groups=number + 300)
    # both samples are alike, and the tree has learned the single events
    spread = [np.log(model.predict_weights(original)).std() for model in (learned, honest)]
    assert spread[0] > 0.5
    assert spread[1] < 0.1


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"estimator": LinearSVC()}, "no predict_proba"),
        ({"calibrate": "platt"}, "calibrate must be"),
        ({"n_splits": 1}, "n_splits must be"),
        ({"clip": 0.5}, "clip must lie"),
        ({"clip": -0.1}, "clip must lie"),
        ({"normalize": "both"}, "normalize must be"),
        ({"negative_weights": "ignore"}, "negative_weights must be"),
    ],
)
def test_wrong_parameters_are_refused(params, message):
    original, target = gaussians(100)
    with pytest.raises(ValueError, match=message):
        ClassifierReweighter(**params).fit(original, target)


def test_wrong_data_is_refused():
    original, target = gaussians(200)
    frame = pd.DataFrame(original, columns=["a", "b"])
    model = ClassifierReweighter(LogisticRegression())
    with pytest.raises(ValueError, match="different columns"):
        model.fit(frame, pd.DataFrame(target, columns=["a", "c"]))
    with pytest.raises(ValueError, match="original_weight sums to"):
        model.fit(original, target, -np.ones(200))
    with pytest.raises(ValueError, match="of 300 weights are negative"):
        model.set_params(negative_weights="raise").fit(
            original, target, np.where(np.arange(200) < 2, -1.0, 1.0)
        )
    with pytest.raises(ValueError, match="feature names"):
        model.set_params(negative_weights="refine").fit(frame, frame).predict_weights(frame[["a"]])
