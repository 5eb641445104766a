"""Jets on a falling spectrum: the stated densities, and features that know the mass."""

import numpy as np
import pytest
from scipy.stats import kstest, norm, spearmanr, truncexpon

from skhep_ml.datasets import make_dalitz, make_mass_tagging


@pytest.fixture(scope="module")
def events():
    return make_mass_tagging(20_000, random_state=0, as_frame=True)


def test_bunch_has_the_keys_of_the_other_toy(events):
    assert set(events) == set(make_dalitz(10, random_state=0))
    assert events.data.shape == (20_000, 7)
    assert list(events.data.columns) == events.feature_names
    assert events.uniform_features == ["mass"]
    assert events.train_features == events.feature_names[:-1]
    assert np.bincount(events.target).tolist() == [10_000, 10_000]


def test_spectra(events):
    mass, signal = events.data["mass"].to_numpy(), events.target == 1
    falling = truncexpon(b=200 / 60, loc=50, scale=60)
    assert kstest(mass[~signal], falling.cdf).pvalue > 0.01
    assert kstest(mass[signal], norm(125, 10).cdf).pvalue > 0.01
    for label in (0, 1):
        pt = events.data["pt"][events.target == label]
        assert pt.min() > 300
        assert pt.mean() == pytest.approx(420, abs=5)


def test_features_know_the_mass_of_background_except_one(events):
    background = events.data[events.target == 0]
    correlation = {
        name: spearmanr(background[name], background["mass"]).statistic
        for name in ("jet_width", "tau21", "d2", "b_tag")
    }
    assert correlation["jet_width"] > 0.5
    assert correlation["tau21"] < -0.2
    assert correlation["d2"] > 0.2
    assert abs(correlation["b_tag"]) < 0.04
    assert events.data["tau21"].between(0, 1).all()
    tracks = events.data["n_tracks"]
    assert (tracks == tracks.round()).all()


def test_negative_weights_and_bad_input():
    events = make_mass_tagging(5000, negative_fraction=0.1, random_state=1)
    assert (events.weight < 0).mean() == pytest.approx(0.1, abs=0.02)
    with pytest.raises(ValueError, match="n_events must be an integer of at least 2"):
        make_mass_tagging(0)
    with pytest.raises(ValueError, match="negative_fraction must lie in"):
        make_mass_tagging(10, negative_fraction=0.7)
