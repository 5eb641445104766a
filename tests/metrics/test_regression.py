"""Bias, resolution, response and pulls against Gaussians of known width."""

import numpy as np
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.metrics import mean_absolute_error, r2_score

from skhep_ml.metrics import (
    bias_score,
    bootstrap,
    pull_summary,
    regression_scorer,
    resolution_score,
    response_profile,
)


@pytest.fixture
def gaussian():
    rng = np.random.default_rng(0)
    truth = rng.uniform(20, 100, 40_000)
    return truth, truth + rng.normal(1.5, 3.0, 40_000)


def test_bias_and_resolution_of_a_gaussian(gaussian):
    assert bias_score(*gaussian) == pytest.approx(1.5, abs=0.06)
    assert resolution_score(*gaussian) == pytest.approx(3.0, abs=0.06)
    truth, prediction = gaussian
    relative = truth * (1 + (prediction - truth) / 100)
    assert resolution_score(truth, relative, relative=True) == pytest.approx(0.03, abs=6e-4)


def test_weights_are_repeated_events_and_negative_ones_cancel(gaussian):
    truth, prediction = (values[:2000] for values in gaussian)
    weight = np.random.default_rng(1).integers(1, 4, 2000)
    repeated = (np.repeat(truth, weight), np.repeat(prediction, weight))
    for score in (bias_score, resolution_score):
        weighted = score(truth, prediction, sample_weight=weight)
        assert weighted == pytest.approx(score(*repeated), rel=2e-3)
        # an event and its negative copy are no event
        extra = np.concatenate([weight, np.full(500, 2.0), np.full(500, -2.0)])
        ballast = [np.concatenate([v, v[:500] * 1.3, v[:500] * 1.3]) for v in (truth, prediction)]
        assert score(*ballast, sample_weight=extra) == pytest.approx(weighted, rel=0.02)


def test_profile_and_its_errors():
    rng = np.random.default_rng(0)
    truth = rng.uniform(10, 90, 8000)
    width = np.where(truth < 50, 2.0, 5.0)
    prediction = truth + width * rng.normal(size=8000) + 1
    profile = response_profile(truth, prediction, bins=[10, 50, 90], relative=False)
    np.testing.assert_allclose(profile.resolution, [2, 5], rtol=0.04)
    np.testing.assert_allclose(profile.bias, [1, 1], atol=0.2)
    low = truth < 50
    for score, std in ((bias_score, profile.bias_std), (resolution_score, profile.resolution_std)):
        replicas = bootstrap(score, truth[low], prediction[low], n_replicas=200, random_state=0)
        assert std[0] == pytest.approx(replicas.std, rel=0.2)
    assert profile.n_effective.sum() == 8000
    by_counts = response_profile(truth, prediction, truth**2, bins=4)
    np.testing.assert_allclose(by_counts.n_effective, 2000, atol=1)
    outside = response_profile(truth, prediction, bins=[0, 5, 10, 90])
    assert np.isnan(outside.bias[:2]).all()


def test_pulls():
    rng = np.random.default_rng(0)
    truth, std = np.zeros(20_000), rng.uniform(1, 3, 20_000)
    pulls = pull_summary(truth, std * rng.normal(0.1, 1.2, 20_000), std)
    assert pulls.mean == pytest.approx(0.1, abs=4 * pulls.mean_std)
    assert pulls.width == pytest.approx(1.2, abs=4 * pulls.width_std)
    assert pulls.mean_std == pytest.approx(1.2 / 20_000**0.5, rel=0.02)
    assert pulls.width_std == pytest.approx(1.2 / 40_000**0.5, rel=0.05)
    assert pulls.coverage == pytest.approx(0.59, abs=0.01)


def test_scorers(gaussian):
    truth, prediction = gaussian
    weight = np.where(np.arange(len(truth)) % 5 == 0, -1.0, 1.0)
    score = lambda name: regression_scorer(name).score_predictions(truth, prediction, weight)  # noqa: E731
    assert score("resolution") == -resolution_score(truth, prediction, sample_weight=weight)
    assert score("mae") == pytest.approx(
        -mean_absolute_error(truth, prediction, sample_weight=weight)
    )
    assert score("r2") == r2_score(truth, prediction, sample_weight=weight)
    model = DummyRegressor(strategy="constant", constant=60.0).fit(truth[:, None], truth)
    bias = regression_scorer("bias")(model, truth[:, None], truth)
    assert bias == -abs(bias_score(truth, np.full(len(truth), 60.0)))
    with pytest.raises(ValueError, match="choose one of"):
        regression_scorer("rmse")


def test_wrong_input():
    with pytest.raises(ValueError, match="y_pred has 1 entries"):
        bias_score([1, 2], [1])
    with pytest.raises(ValueError, match="y_true is 0 in event 1"):
        bias_score([1, 0], [1, 1], relative=True)
    with pytest.raises(ValueError, match="positive error"):
        pull_summary([1], [1], [0])
    with pytest.raises(ValueError, match="rising edges"):
        response_profile([1, 2], [1, 2], bins=[2, 1])
    with pytest.raises(ValueError, match="variable has 1"):
        response_profile([1, 2], [1, 2], [1])
    with pytest.raises(ValueError, match="sum to"):
        bias_score([1, 2], [1, 2], sample_weight=[1, -1])
