"""NeuralResampler: sums and errors of every region, imbalanced-learn's checks, bad input."""

import functools
import pickle

import numpy as np
import pandas as pd
import pytest
from imblearn.utils.estimator_checks import parametrize_with_checks
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from sklearn.svm import LinearSVC

from skhep_ml.datasets import make_signed_events
from skhep_ml.generative import NeuralResampler
from skhep_ml.weights import apply_negative_weights, effective_sample_size

_ANY = "classes are resampled one by one, so that one is enough"
_CHECKS = parametrize_with_checks(
    [NeuralResampler(LogisticRegression(), random_state=0)],
    expected_failed_checks=lambda _: {
        "check_samplers_one_label": _ANY,
        "check_samplers_fit": "nothing is balanced, so that there is no sampling strategy",
    },
).mark


# imbalanced-learn hands over a generator, which pytest 9 no longer takes
@pytest.mark.parametrize(_CHECKS.args[0], list(_CHECKS.args[1]), **_CHECKS.kwargs)
def test_imbalanced_learn_checks(estimator, check):
    check(estimator)


class OracleSigns(ClassifierMixin, BaseEstimator):
    """The exact odds of negative over positive signal events of `make_signed_events`."""

    def __init__(self, truth, negative_fraction):
        self.truth = truth
        self.negative_fraction = negative_fraction

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X):
        f = self.negative_fraction
        odds = self.truth._hole(X) * (1 - f) / f
        return np.stack([1 / (1 + odds), odds / (1 + odds)], axis=1)


def radial_sums(X, weight, edges):
    """Sums of weights and of their squares around the centre of the signal."""
    radius = np.linalg.norm(X - 0.4, axis=1)
    weight = np.broadcast_to(weight, len(X))
    return [np.histogram(radius, edges, weights=w)[0] for w in (weight, weight**2)]


EDGES = [0, 1.2, 1.6, 2.0, 2.6, 5.0]


def signal(n, seed, **options):
    events = make_signed_events(n, 0.25, random_state=seed, **options)
    rows = events.target == 1
    return events.data[rows], events.weight[rows], events.truth


def test_mean_and_error_of_every_region_with_the_oracle():
    """Pulls of the sums are of width 1, by the errors that the new weights show."""
    pulls, refined_pulls, ratio = [], [], []
    expected = expected_sums() * 1500
    for seed in range(40):
        X, weight, truth = signal(1500, seed)
        resampler = NeuralResampler(OracleSigns(truth, 0.25), random_state=seed)
        new_X, _, new = resampler.fit_resample(X, sample_weight=weight)
        sums, squares = radial_sums(new_X, new, EDGES)
        pulls.append((sums - expected) / np.sqrt(squares))
        ratio.append(squares / radial_sums(X, weight, EDGES)[1])
        mean = truth.expected_weight(X, np.ones(len(X)))  # what "refine" aims at
        refined = radial_sums(X, mean, EDGES)
        refined_pulls.append((radial_sums(X, weight, EDGES)[0] - expected) / np.sqrt(refined[1]))
    # 40 experiments know the width to 11%
    np.testing.assert_allclose(np.std(pulls, axis=0), 1, atol=0.35)
    np.testing.assert_allclose(np.mean(pulls, axis=0), 0, atol=0.6)
    np.testing.assert_allclose(np.mean(ratio, axis=0), 1, atol=0.12)
    assert np.std(refined_pulls, axis=0)[0] > 2


@functools.cache
def expected_sums():
    """Sums of regions of one event, by a large sample without weights."""
    truth = make_signed_events(10, 0.25, random_state=0).truth
    X, y = truth.sample_unsigned(200_000, random_state=99)
    return radial_sums(X[y == 1], 1 / np.sum(y == 1), EDGES)[0]


@pytest.mark.parametrize(
    ("estimator", "limit"),
    # trees are too smooth for the hole in four dimensions, which is quadratic in the log odds
    [(None, 4.5), (make_pipeline(PolynomialFeatures(2), LogisticRegression()), 3)],
    ids=["trees", "quadratic"],
)
def test_learned_resampling_closes(estimator, limit):
    events = make_signed_events(10_000, 0.25, random_state=0)
    resampler = NeuralResampler(estimator, n_jobs=1, random_state=0)
    X, y, weight = resampler.fit_resample(
        events.data,
        events.target,
        sample_weight=events.weight,
    )
    assert (weight > 0).all()
    # the background has equal weights: nothing to do
    assert (y == 0).sum() == (events.target == 0).sum()
    np.testing.assert_array_equal(np.unique(weight[y == 0]), [1.0])
    rows = events.target == 1
    sums, squares = radial_sums(X[y == 1], weight[y == 1], EDGES)
    before_squares = radial_sums(events.data[rows], events.weight[rows], EDGES)[1]
    truth = expected_sums() * 10_000
    assert (np.abs(sums - truth) / np.sqrt(squares) < limit).all()
    # few events of large weight where most cancels: the square itself fluctuates there
    np.testing.assert_allclose(squares[1:], before_squares[1:], rtol=0.2)
    np.testing.assert_allclose(squares[0], before_squares[0], rtol=0.5)
    refined = apply_negative_weights(
        events.data[rows], None, events.weight[rows], random_state=0, n_jobs=1
    )
    hidden = radial_sums(events.data[rows], refined, EDGES)[1]
    assert hidden[0] < 0.3 * before_squares[0]
    # what it is worth stays, and refinement pretends more
    worth = effective_sample_size(events.weight[rows])
    assert effective_sample_size(weight[y == 1]) == pytest.approx(worth, rel=0.1)
    assert effective_sample_size(refined) > 1.5 * worth


def test_random_signs_leave_the_shape():
    X, weight, _ = signal(5000, 0, kind="random")
    new_X, labels, new = NeuralResampler(n_jobs=1, random_state=0).fit_resample(
        X, None, sample_weight=weight
    )
    assert labels is None
    # one constant sign: every event is kept with (1 - 2f)^2 of measured f
    sign = weight.sum() / np.abs(weight).sum()
    assert len(new_X) == pytest.approx(len(X) * sign**2, rel=0.1)
    np.testing.assert_allclose(new, np.abs(weight[0]) / sign)


def test_a_few_negative_weights_leave_the_shape():
    X = np.random.default_rng(0).normal(size=(400, 2))
    weight = np.where(np.arange(400) < 3, -1.0, 1.0)
    resampler = NeuralResampler(n_jobs=1, random_state=0)
    assert resampler.fit_resample(X, sample_weight=weight)[2].sum() == pytest.approx(394, abs=15)
    np.testing.assert_allclose(resampler.keep_probability_, (394 / 400) ** 2)


def test_uneven_weights_are_learned():
    """E[w | x] = e^x and E[w^2 | x] = 2 e^2x, all positive."""
    rng = np.random.default_rng(0)
    X = rng.normal(0, 0.5, (8000, 1))
    weight = np.exp(X[:, 0]) * rng.choice([1e-9, 2.0], 8000)
    resampler = NeuralResampler(LogisticRegression(), random_state=0)
    new_X, _, new = resampler.fit_resample(X, sample_weight=weight)
    # ratios of exponentials are exactly logistic
    np.testing.assert_allclose(resampler.keep_probability_, 0.5, atol=0.05)
    np.testing.assert_allclose(resampler.new_weight_, 2 * np.exp(X[:, 0]), rtol=0.1)
    for power in (1, 2):
        before, after = ((w**power).sum() for w in (weight, new))
        assert after == pytest.approx(before, rel=0.08)
    np.testing.assert_array_equal(new_X, X[resampler.sample_indices_])


def test_own_model_of_the_second_moment():
    class Coin(ClassifierMixin, BaseEstimator):
        def fit(self, X, y, sample_weight=None):
            self.classes_ = np.array([0, 1])
            return self

        def predict_proba(self, X):
            return np.full((len(X), 2), 0.5)

    rng = np.random.default_rng(0)
    X = rng.normal(0, 0.5, (4000, 1))
    weight = np.exp(X[:, 0])
    resampler = NeuralResampler(LogisticRegression(), Coin(), random_state=0)
    resampler.fit_resample(X, sample_weight=weight)
    # a constant second moment, never below the square of the mean
    mean = resampler.keep_probability_ * resampler.new_weight_
    square = mean * resampler.new_weight_
    np.testing.assert_allclose(square, np.maximum(np.mean(weight**2), mean**2), rtol=1e-9)


def test_types_labels_weights_and_identifiers():
    events = make_signed_events(600, 0.2, random_state=1)
    frame = pd.DataFrame(events.data, columns=events.feature_names)
    label = pd.Series(events.process)
    weight = np.where(np.arange(1200) < 5, 0.0, events.weight)
    resampler = NeuralResampler(LogisticRegression(), random_state=0)
    X, y, w, event = resampler.fit_resample(
        frame, label, sample_weight=weight, groups=events.event_number
    )
    kept = resampler.sample_indices_
    assert list(X.columns) == events.feature_names
    np.testing.assert_array_equal(X.to_numpy(), events.data[kept])
    np.testing.assert_array_equal(y, events.process[kept])
    np.testing.assert_array_equal(event, events.event_number[kept])
    np.testing.assert_array_equal(w, resampler.new_weight_[kept])
    assert kept.min() >= 5
    again = pickle.loads(pickle.dumps(clone(resampler))).fit_resample(
        events.data, events.target, sample_weight=weight, groups=events.event_number
    )
    np.testing.assert_array_equal(again[2], w)
    everything = resampler.fit_resample(events.data, events.target)
    assert len(everything) == 2
    np.testing.assert_array_equal(everything[0], events.data)


def test_folds_follow_the_identifiers():
    class Spy(LogisticRegression):
        def fit(self, X, y, sample_weight=None):
            self.seen_ = set(X[:, 1].tolist())
            return super().fit(X[:, :1], y, sample_weight)

        def predict_proba(self, X):
            assert not self.seen_ & set(X[:, 1].tolist())
            return super().predict_proba(X[:, :1])

    rng = np.random.default_rng(0)
    event = np.repeat(np.arange(300), 2)  # two variations of each
    X = np.column_stack([rng.normal(size=600), event])
    weight = rng.choice([2.0, 1.0, -1.0], 600, p=[0.4, 0.4, 0.2])
    NeuralResampler(Spy()).fit_resample(X, sample_weight=weight, groups=event)


def test_bad_input():
    X, weight, _ = signal(300, 0)
    with pytest.raises(ValueError, match="weights of class 0 sum to"):
        NeuralResampler().fit_resample(X, sample_weight=-weight)
    with pytest.raises(ValueError, match="sample_weight has 3 entries, but there are 300 events"):
        NeuralResampler().fit_resample(X, sample_weight=weight[:3])
    with pytest.raises(ValueError, match="groups has 3 entries"):
        NeuralResampler().fit_resample(X, sample_weight=weight, groups=[1, 2, 3])
    with pytest.raises(ValueError, match="n_splits must be an integer of at least 2, got 1"):
        NeuralResampler(n_splits=1).fit_resample(X, sample_weight=weight)
    with pytest.raises(ValueError, match=r"clip must lie in \[0, 0.5\), got 0.6"):
        NeuralResampler(clip=0.6).fit_resample(X, sample_weight=weight)
    with pytest.raises(ValueError, match=r"second_moment=LinearSVC\(\) has no predict_proba"):
        NeuralResampler(second_moment=LinearSVC()).fit_resample(X, sample_weight=weight)
