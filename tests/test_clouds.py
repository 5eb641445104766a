import numpy as np
import pytest
from sklearn.base import BaseEstimator

from skhep_ml._clouds import (
    cloud_feature_names,
    feature_position,
    is_cloud,
    present_particles,
    validate_floats,
)


def test_a_partly_missing_particle_is_present():
    cloud = np.array([[[1.0, np.nan], [np.nan, np.nan], [np.nan, 2.0]]])
    assert present_particles(cloud).tolist() == [[True, False, True]]


def test_presence_is_the_obvious_definition():
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(20, 5, 3)).astype(np.float32)
    cloud[rng.random(cloud.shape) < 0.5] = np.nan
    np.testing.assert_array_equal(present_particles(cloud), ~np.isnan(cloud).all(axis=2))


def test_clouds_are_known_by_their_three_axes():
    assert is_cloud(np.zeros((2, 3, 4)))
    assert not is_cloud(np.zeros((2, 3)))
    assert not is_cloud([[[1.0]]])


def test_features_of_a_cloud_are_counted_on_the_last_axis():
    estimator = BaseEstimator()
    cloud = np.zeros((4, 7, 3), np.float32)
    assert validate_floats(estimator, cloud, reset=True).dtype == np.float32
    assert estimator.n_features_in_ == 3
    validate_floats(estimator, cloud[:, :2], reset=False)
    with pytest.raises(ValueError, match="2 features on its last axis"):
        validate_floats(estimator, cloud[:, :, :2], reset=False)
    with pytest.raises(ValueError, match="at least one feature"):
        validate_floats(estimator, cloud[:, :, :0], reset=True)


def test_default_names_follow_the_usual_order():
    assert cloud_feature_names(None, 2) == ["pt", "eta"]
    assert cloud_feature_names(None, 5) == ["pt", "eta", "phi", "mass", "x4"]
    assert cloud_feature_names(["a", "b"], 2) == ["a", "b"]


def test_wrong_names_are_refused():
    with pytest.raises(ValueError, match="names 1 features, but the clouds have 2"):
        cloud_feature_names(["pt"], 2)
    with pytest.raises(ValueError, match="twice"):
        cloud_feature_names(["pt", "pt"], 2)
    assert feature_position(["pt", "eta"], "eta", "a mass") == 1
    with pytest.raises(ValueError, match="a mass needs the feature 'phi'"):
        feature_position(["pt", "eta"], "phi", "a mass")
