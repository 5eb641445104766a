import pickle

import awkward as ak
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from skhep_ml.events import Events
from skhep_ml.preprocessing import (
    CloudToImage,
    CloudToTable,
    EventsTransformer,
    JaggedToPadded,
    KinematicsTransformer,
    from_cartesian,
    to_cartesian,
)

CLASSES = [CloudToImage, CloudToTable, KinematicsTransformer]


def make_cloud(n_events=20, n_particles=6, *, extra=0, seed=0, dtype=np.float64):
    """Clouds with 0 to n_particles particles; the absent ones anywhere."""
    rng = np.random.default_rng(seed)
    shape = (n_events, n_particles)
    columns = [
        rng.exponential(50.0, shape) + 0.1,
        rng.normal(0.0, 1.0, shape),
        rng.uniform(-np.pi, np.pi, shape),
        rng.exponential(5.0, shape),
        *rng.normal(size=(extra, *shape)),
    ]
    cloud = np.stack(columns, axis=2).astype(dtype)
    cloud[rng.random(shape) < 0.4] = np.nan
    cloud[0] = np.nan
    return cloud


# these clouds are wider than the images
@pytest.mark.filterwarnings("ignore::skhep_ml.exceptions.TruncationWarning")
@pytest.mark.parametrize("cls", CLASSES)
class TestEveryCloudTransformer:
    def test_clones_pickles_and_refits_to_the_same(self, cls):
        cloud = make_cloud()
        fitted = cls().fit(cloud)
        first = fitted.transform(cloud)
        again = pickle.loads(pickle.dumps(fitted)).transform(cloud)
        np.testing.assert_array_equal(again, first)
        np.testing.assert_array_equal(clone(fitted).fit_transform(cloud), first)
        np.testing.assert_array_equal(fitted.fit(cloud).transform(cloud), first)
        assert fitted.n_features_in_ == 4
        assert cls().fit(cloud).get_params() == cls().get_params()

    def test_leaves_its_input_alone(self, cls):
        cloud = make_cloud()
        before = cloud.copy()
        cls().fit_transform(cloud)
        np.testing.assert_array_equal(cloud, before)

    def test_needs_fit(self, cls):
        with pytest.raises(NotFittedError):
            cls().transform(make_cloud())

    def test_refuses_tables_and_lists(self, cls):
        with pytest.raises(ValueError, match=r"needs clouds.*got ndarray of shape \(5, 4\)"):
            cls().fit(np.zeros((5, 4)))
        with pytest.raises(ValueError, match=r"got list: JaggedToPadded"):
            cls().fit([[1.0, 2.0], [3.0]])

    def test_refuses_another_number_of_features(self, cls):
        fitted = cls().fit(make_cloud())
        with pytest.raises(ValueError, match="expecting 4 features"):
            fitted.transform(make_cloud(extra=1))
        with pytest.raises(ValueError, match="names 2 features, but the clouds have 4"):
            cls(features=["pt", "eta"]).fit(make_cloud())

    @pytest.mark.parametrize("sign", [1, -1])
    def test_refuses_infinity_by_the_name_of_the_feature(self, cls, sign):
        cloud = make_cloud()
        fitted = cls().fit(cloud)
        cloud[3, 2, 1] = sign * np.inf
        for method in (cls().fit, fitted.transform):
            with pytest.raises(ValueError, match="infinity in column 'eta'"):
                method(cloud)

    def test_a_missing_feature_is_named(self, cls):
        keywords = {"system": True} if cls is CloudToTable else {}
        with pytest.raises(ValueError, match="needs the feature 'phi'"):
            cls(features=["pt", "eta", "azimuth", "mass"], **keywords).fit(make_cloud())

    @settings(max_examples=20)
    @given(seed=st.integers(0, 10_000))
    def test_permuting_events_permutes_the_output(self, cls, seed):
        cloud = make_cloud(seed=seed)
        order = np.random.default_rng(seed).permutation(len(cloud))
        step = cls().fit(cloud)
        np.testing.assert_array_equal(step.transform(cloud[order]), step.transform(cloud)[order])

    def test_chunks_give_what_the_whole_gives(self, cls):
        # more than one block of events
        cloud = np.tile(make_cloud(50, extra=1), (800, 1, 1))
        step = cls().fit(cloud)
        whole = step.transform(cloud)
        for start in range(0, len(cloud), 4999):
            part = step.transform(cloud[start : start + 7])
            np.testing.assert_array_equal(part, whole[start : start + 7])

    def test_no_particle_slots_at_all(self, cls):
        empty = np.empty((3, 0, 4))
        assert len(cls().fit_transform(empty)) == 3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cartesian_clouds_are_the_functions_applied(dtype):
    cloud = make_cloud(extra=2, dtype=dtype)
    step = KinematicsTransformer().fit(cloud)
    found = step.transform(cloud)
    assert found.dtype == dtype
    assert step.output_features_ == ["px", "py", "pz", "energy", "x4", "x5"]
    expected = np.stack(to_cartesian(*np.moveaxis(cloud[:, :, :4], 2, 0)), axis=2)
    np.testing.assert_array_equal(found[:, :, :4], expected)
    np.testing.assert_array_equal(found[:, :, 4:], cloud[:, :, 4:])


def test_the_inverse_gives_the_clouds_back():
    cloud = make_cloud(extra=1)
    there = KinematicsTransformer().fit(cloud)
    cartesian = there.transform(cloud)
    np.testing.assert_allclose(there.inverse_transform(cartesian), cloud, rtol=1e-8, atol=1e-8)
    back = KinematicsTransformer("cylindrical").fit(cartesian)
    assert back.features_ == ["px", "py", "pz", "energy", "x4"]
    assert back.output_features_ == ["pt", "eta", "phi", "mass", "x4"]
    np.testing.assert_allclose(back.transform(cartesian), cloud, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(back.inverse_transform(cloud), cartesian, rtol=1e-12, atol=1e-12)


def test_float32_clouds_come_back_to_float32_rounding():
    cloud = make_cloud(200, dtype=np.float32)
    step = KinematicsTransformer().fit(cloud)
    cartesian = step.transform(cloud)
    back = step.inverse_transform(cartesian)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back[:, :, :3], cloud[:, :, :3], rtol=1e-5, atol=1e-6)
    difference = np.abs(back[:, :, 3] ** 2 - cloud[:, :, 3] ** 2)
    assert np.nanmax(difference / cartesian[:, :, 3] ** 2) < 1e-6


@pytest.mark.parametrize("fourth", ["mass", "energy", None])
def test_features_are_found_by_name_in_any_order(fourth):
    cloud = make_cloud()
    pt, eta, phi, mass = np.moveaxis(cloud, 2, 0)
    cartesian = to_cartesian(pt, eta, phi, 0.0 if fourth is None else mass)
    charge = np.where(np.isnan(pt), np.nan, 1.0)
    columns = {"phi": phi, "charge": charge, "pt": pt, "eta": eta}
    if fourth is not None:
        columns[fourth] = mass if fourth == "mass" else cartesian.energy
    mixed = np.stack(list(columns.values()), axis=2)
    step = KinematicsTransformer(features=list(columns)).fit(mixed)
    assert step.output_features_ == ["px", "py", "pz", "energy", "charge"]
    found = step.transform(mixed)
    np.testing.assert_allclose(found[:, :, :4], np.stack(cartesian, axis=2), rtol=1e-12)
    np.testing.assert_array_equal(found[:, :, 4], charge)
    np.testing.assert_allclose(step.inverse_transform(found), mixed, rtol=1e-8, atol=1e-8)


def test_relative_features_are_those_of_an_obvious_loop():
    cloud = make_cloud(30, extra=1)
    step = KinematicsTransformer(to="relative").fit(cloud)
    found = step.transform(cloud)
    names = step.output_features_
    assert names[-1] == "x4"
    for event, rows in zip(cloud, found, strict=True):
        present = ~np.isnan(event[:, 0])
        assert np.isnan(rows[~present]).all()
        pt, eta, phi, mass, x4 = event[present].T
        px, py, pz, energy = to_cartesian(pt, eta, phi, mass)
        jet = from_cartesian(px.sum(), py.sum(), pz.sum(), energy.sum())
        delta = np.angle(np.exp(1j * (phi - jet.phi)))
        expected = {
            "log_pt": np.log(pt),
            "log_energy": np.log(energy),
            "log_pt_rel": np.log(pt / jet.pt),
            "log_energy_rel": np.log(energy / energy.sum()),
            "delta_r": np.sqrt((eta - jet.eta) ** 2 + delta**2),
            "delta_eta": eta - jet.eta,
            "delta_phi": delta,
            "x4": x4,
        }
        assert list(expected) == names
        for column, name in zip(rows[present].T, names, strict=True):
            np.testing.assert_allclose(column, expected[name], rtol=1e-9, atol=1e-9)
    assert not hasattr(step, "inverse_transform")


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), to=st.sampled_from(["cartesian", "relative"]))
def test_permuting_particles_permutes_the_output(seed, to):
    cloud = make_cloud(seed=seed)
    order = np.random.default_rng(seed).permutation(cloud.shape[1])
    step = KinematicsTransformer(to).fit(cloud)
    np.testing.assert_allclose(
        step.transform(cloud[:, order]), step.transform(cloud)[:, order], rtol=1e-9, atol=1e-9
    )


def test_a_partly_missing_particle_keeps_what_it_has():
    cloud = make_cloud(extra=1)
    cloud[1, 0] = [np.nan, 0.5, 1.0, 0.0, 7.0]
    found = KinematicsTransformer().fit_transform(cloud)
    assert np.isnan(found[1, 0, :4]).all()
    assert found[1, 0, 4] == 7.0


def test_padding_with_zeros_is_refused_where_logarithms_are_taken():
    with pytest.raises(ValueError, match="a particle has pt 0"):
        KinematicsTransformer("relative").fit_transform(np.zeros((2, 3, 4)))


def test_wrong_parameters_are_refused():
    with pytest.raises(ValueError, match="to='polar' must be one of"):
        KinematicsTransformer("polar").fit(make_cloud())
    features = ["pt", "eta", "phi", "mass", "energy"]
    with pytest.raises(ValueError, match="two features of one name"):
        KinematicsTransformer(features=features).fit(make_cloud(extra=1))
    with pytest.raises(ValueError, match="needs the feature 'energy'"):
        KinematicsTransformer("cylindrical").fit(make_cloud()[:, :, :3])
    step = KinematicsTransformer().fit(make_cloud())
    with pytest.raises(ValueError, match=r"the features \['px', .* got ndarray of shape"):
        step.inverse_transform(np.zeros((2, 4)))
    with pytest.raises(ValueError, match="pt is negative"):
        step.transform(np.full((1, 1, 4), -999.0))


def test_clouds_stay_arrays_whatever_set_output_asks():
    pipe = make_pipeline(KinematicsTransformer(), KinematicsTransformer("cylindrical"))
    out = pipe.set_output(transform="pandas").fit_transform(make_cloud())
    assert type(out) is np.ndarray
    assert out.ndim == 3


@pytest.mark.parametrize("last", ["Jet_m", "Jet_E"])
def test_prefixed_names_go_both_ways(last):
    cloud = make_cloud(extra=1)
    if last == "Jet_E":
        cloud[:, :, 3] = to_cartesian(*np.moveaxis(cloud[:, :, :4], 2, 0)).energy
    step = KinematicsTransformer(features=["Jet_PT", "Jet_eta", "Jet_phi", last, "charge"])
    plain = ["pt", "eta", "phi", "mass" if last == "Jet_m" else "energy", "charge"]
    out = step.fit_transform(cloud)
    np.testing.assert_array_equal(out, KinematicsTransformer(features=plain).fit_transform(cloud))
    np.testing.assert_allclose(step.inverse_transform(out), cloud, rtol=1e-6)
    assert step.output_features_ == ["px", "py", "pz", "energy", "charge"]
    back = KinematicsTransformer("cylindrical", features=["a_Px", "a_Py", "a_Pz", "a_E", "charge"])
    found = back.fit_transform(out)
    np.testing.assert_allclose(found[:, :, :3], cloud[:, :, :3], rtol=1e-6)
    np.testing.assert_allclose(back.inverse_transform(found), out, rtol=1e-6)


def test_names_pass_through_a_pipeline_of_clouds():
    events = [[{"pt": 50.0, "eta": 0.0, "phi": 1.0, "mass": 0.0}], []]
    steps = make_pipeline(
        JaggedToPadded(),
        KinematicsTransformer(),
        CloudToTable(["px", "py", "pz", "energy"], n_leading=1, system=False, pairs=False),
    )
    joined = EventsTransformer({"jets": steps}, concatenate=True)
    data = Events(jets=ak.Array(events), met=np.array([1.0, 2.0]))
    table = joined.set_output(transform="pandas").fit_transform(data)
    assert list(table.columns) == [
        "jets__px_1", "jets__py_1", "jets__pz_1", "jets__energy_1", "jets__n", "met",
    ]  # fmt: skip
    assert steps[1].set_output(transform="pandas").fit_transform(make_cloud()).ndim == 3
    step = KinematicsTransformer().fit(make_cloud())
    assert step.get_feature_names_out().tolist() == ["px", "py", "pz", "energy"]
