import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import BaseEstimator

from skhep_ml._clouds import (
    cloud_feature_names,
    feature_position,
    find_feature,
    is_cloud,
    known_first,
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


def test_masked_entries_are_missing():
    for shape in ((2, 2), (1, 2, 2)):
        masked = np.ma.masked_equal(np.array([1.0, -999.0, 3.0, 4.0]).reshape(shape), -999.0)
        found = validate_floats(BaseEstimator(), masked, reset=True)
        np.testing.assert_array_equal(found.ravel(), [1, np.nan, 3, 4])
    counts = np.ma.masked_equal([[1, -999]], -999)
    np.testing.assert_array_equal(
        validate_floats(BaseEstimator(), counts, reset=True), [[1, np.nan]]
    )


@pytest.mark.parametrize("container", [pd.DataFrame, pl.DataFrame])
def test_a_column_of_text_is_named(container):
    table = container({"pt": [1.0, 2.0], "lepton": ["e", "mu"]})
    with pytest.raises(ValueError, match=r"column 'lepton'.* holds more than numbers"):
        validate_floats(BaseEstimator(), table, reset=True)


def test_a_column_of_text_without_names_has_its_number():
    table = np.array([[1.0, "e"], [2.0, "mu"]], dtype=object)
    with pytest.raises(ValueError, match="column 1 holds more than numbers"):
        validate_floats(BaseEstimator(), table, reset=True)


@pytest.mark.parametrize(
    ("names", "name", "position"),
    [
        (["eta", "PT"], "pt", 1),
        (["jet_pt", "pt"], "pt", 1),
        (["log_pt", "jet_pt", "jet_log_pt"], "pt", 1),
        (["log_pt"], "pt", None),
        (["pt", "M"], "mass", 1),
        (["Jet_mass", "pt"], "mass", 0),
        (["is_e", "part_E"], "energy", 1),
        (["pt", "delta_eta", "delta_phi"], "phi", 2),
        (["Jet_Px"], "px", 0),
        (["my_charge"], "charge", None),
        (["deta", "mpt"], "pt", None),
    ],
)
def test_other_names_of_a_quantity(names, name, position):
    assert find_feature(names, name, "a mass") == position


def test_ambiguous_names_are_refused():
    with pytest.raises(ValueError, match=r"a mass cannot tell which of \['jet_pt', 'raw_pt'\]"):
        find_feature(["jet_pt", "raw_pt"], "pt", "a mass")


def test_known_features_go_first():
    fields = ["jet_charge", "jet_m", "jet_phi", "jet_eta", "jet_pt", "jet_e"]
    expected = ["jet_pt", "jet_eta", "jet_phi", "jet_m", "jet_charge", "jet_e"]
    assert known_first(fields, "a test") == expected
    assert known_first(["Jet_Px", "Jet_Py"], "a test") == ["Jet_Px", "Jet_Py"]
    assert known_first(["E", "phi", "pt"], "a test") == ["pt", "phi", "E"]
