import pickle

import numpy as np
import pytest
from scipy import stats

from skhep_ml.datasets import make_density_toy


def test_the_bunch_holds_what_it_says():
    toy = make_density_toy(500, random_state=0)
    assert toy.data.shape == (500, 8)
    assert toy.feature_names[-2:] == ["energy", "fraction"]
    assert set(toy.target) == {0, 1, 2, 3}
    assert toy.data[:, -2].min() > 0
    assert ((toy.data[:, -1] >= 0) & (toy.data[:, -1] <= 1)).all()
    np.testing.assert_array_equal(toy.data, make_density_toy(500, random_state=0).data)
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(toy.truth)).log_density(toy.data), toy.log_density
    )
    other = make_density_toy(10, random_state=1)
    np.testing.assert_array_equal(other.truth.means, toy.truth.means)


def test_the_log_density_is_that_of_the_formula():
    toy = make_density_toy(50, n_features=4, n_modes=3, random_state=0)
    truth = toy.truth
    for x, value in zip(toy.data, toy.log_density, strict=True):
        scale = np.exp(0.3 * x[0])
        total = sum(
            share
            * stats.multivariate_normal(mean, covariance).pdf(x[:2])
            * (1 + slope * (2 * x[3] - 1))
            for share, mean, covariance, slope in zip(
                truth.shares, truth.means, truth.covariances, truth.slopes, strict=True
            )
        )
        assert value == pytest.approx(np.log(total * np.exp(-x[2] / scale) / scale))


def test_events_follow_the_density():
    toy = make_density_toy(40000, n_features=3, n_modes=2, random_state=0)
    x = np.arange(-90, 90) * 0.1 + 0.05
    e = (np.arange(320) + 0.5) * 0.125
    f = (np.arange(10) + 0.5) / 10
    grid = np.stack(np.meshgrid(x, e, f, indexing="ij"), axis=-1).reshape(-1, 3)
    density = np.exp(toy.truth.log_density(grid)) * (0.1 * 0.125 * 0.1)
    assert density.sum() == pytest.approx(1, abs=0.005)
    for column, edges in ((0, [-1.0, 0.0, 1.0]), (1, [0.25, 1.0, 3.0]), (2, [0.2, 0.5, 0.8])):
        for edge in edges:
            expected = density[grid[:, column] < edge].sum()
            seen = (toy.data[:, column] < edge).mean()
            assert seen == pytest.approx(expected, abs=0.012)


def test_beyond_a_boundary_there_is_nothing():
    toy = make_density_toy(3, random_state=0)
    X = toy.data.copy()
    X[0, -2], X[1, -1], X[2, -1] = -1e-9, 1.1, -0.1
    assert np.isneginf(toy.truth.log_density(X)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_samples": 0}, "n_samples must be an integer of at least 1, got 0"),
        ({"n_features": 2}, "n_features must be an integer of at least 3"),
        ({"n_modes": 1.5}, "n_modes must be an integer of at least 1"),
    ],
)
def test_bad_numbers_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_density_toy(**options)
    with pytest.raises(ValueError, match=r"X must have shape \(n_events, 8\), got \(2, 3\)"):
        make_density_toy(5).truth.log_density(np.zeros((2, 3)))
