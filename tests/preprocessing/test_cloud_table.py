import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skhep_ml.datasets import load_jets
from skhep_ml.ensemble import BDTClassifier
from skhep_ml.metrics import roc_auc_score, roc_auc_scorer
from skhep_ml.preprocessing import CloudToTable, delta_phi, invariant_mass, to_cartesian


def make_cloud(n_events=40, n_particles=6, *, extra=0, seed=0, dtype=np.float64):
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
    cloud[rng.random(shape) < 0.5] = np.nan
    cloud[0] = np.nan
    return cloud


def table_of(cloud, **parameters):
    step = CloudToTable(**parameters).fit(cloud)
    return dict(zip(step.get_feature_names_out(), step.transform(cloud).T, strict=True))


def test_every_column_is_that_of_an_obvious_loop():
    cloud = make_cloud(extra=1)
    found = table_of(
        cloud, n_leading=3, count={"pt": [30, 50.5]}, sums=["pt", "x4"], extrema=["eta"]
    )
    for row, event in enumerate(cloud):
        particles = event[~np.isnan(event).all(axis=1)]
        particles = particles[np.argsort(-particles[:, 0])]
        n = len(particles)
        expected = {}
        for i in range(3):
            values = particles[i] if i < n else [np.nan] * 5
            names = ("pt", "eta", "phi", "mass", "x4")
            expected |= {f"{name}_{i + 1}": v for name, v in zip(names, values, strict=True)}
        pt, eta, phi, mass, x4 = particles.T
        expected |= {
            "n": n,
            "n_pt_above_30": sum(pt > 30),
            "n_pt_above_50.5": sum(pt > 50.5),
            "sum_pt": sum(pt),
            "sum_x4": sum(x4),
            "min_eta": min(eta, default=np.nan),
            "max_eta": max(eta, default=np.nan),
            "mass": invariant_mass(pt, eta, phi, mass),
            "pt_sys": np.nan if n == 0 else abs(np.sum(pt * np.exp(1j * phi))),
        }
        for i, j in ((0, 1), (0, 2), (1, 2)):
            pair = [np.nan] * 4
            if j < n:
                apart = abs(eta[i] - eta[j]), abs(delta_phi(phi[i], phi[j]))
                both = [i, j]
                m = invariant_mass(pt[both], eta[both], phi[both], mass[both])
                pair = [m, np.hypot(*apart), *apart]
            kinds = ("mass", "delta_r", "delta_eta", "delta_phi")
            expected |= {f"{k}_{i + 1}{j + 1}": v for k, v in zip(kinds, pair, strict=True)}
        assert list(expected) == list(found)
        for name, value in expected.items():
            np.testing.assert_allclose(found[name][row], value, rtol=1e-9, err_msg=name)


def test_defaults_on_jets():
    names = list(table_of(make_cloud()))
    assert names == [
        *["pt_1", "eta_1", "phi_1", "mass_1", "pt_2", "eta_2", "phi_2", "mass_2"],
        *["n", "sum_pt", "mass", "pt_sys"],
        *["mass_12", "delta_r_12", "delta_eta_12", "delta_phi_12"],
    ]


def test_clouds_without_mass_are_massless():
    cloud = make_cloud()
    massless = cloud.copy()
    massless[:, :, 3] *= 0
    expected, found = table_of(massless), table_of(cloud[:, :, :3])
    assert "mass_1" not in found
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-9, atol=1e-5)


def test_an_energy_takes_the_place_of_the_mass():
    cloud = make_cloud()
    expected = table_of(cloud)
    cloud[:, :, 3] = to_cartesian(*np.moveaxis(cloud, 2, 0)).energy
    found = table_of(cloud, features=["pt", "eta", "phi", "energy"])
    np.testing.assert_allclose(found["mass"], expected["mass"], rtol=1e-7, atol=1e-5)


def test_any_features_give_what_needs_no_momenta():
    cloud = make_cloud()[:, :, :2]
    found = table_of(cloud, features=["d0", "z0"], n_leading=1)
    assert list(found) == ["d0_1", "z0_1", "n"]
    # without pt and without sort_by, particles keep their order
    first = [next((p[0] for p in event if not np.isnan(p[0])), np.nan) for event in cloud]
    np.testing.assert_array_equal(found["d0_1"], first)
    for parameter in ("pairs", "system"):
        with pytest.raises(ValueError, match=f"{parameter}=True needs the feature 'pt'"):
            CloudToTable(["d0", "z0"], **{parameter: True}).fit(cloud)


def test_order_of_particles_by_another_feature():
    cloud = make_cloud()
    found = table_of(cloud, sort_by="eta")
    highest = [np.nan if np.isnan(e).all() else np.nanmax(e) for e in cloud[:, :, 1]]
    np.testing.assert_array_equal(found["eta_1"], highest)


def test_a_particle_of_unknown_pt_comes_behind_the_known_and_before_the_absent():
    cloud = np.full((1, 4, 4), np.nan)
    cloud[0, 1] = [np.nan, 0.5, 0.5, 0.0]
    cloud[0, 2] = [0.0, 0.1, 0.1, 0.0]
    cloud[0, 3] = [20.0, 0.2, 0.2, 0.0]
    found = table_of(cloud, n_leading=4)
    np.testing.assert_array_equal([found[f"eta_{i}"][0] for i in (1, 2, 3)], [0.2, 0.1, 0.5])
    assert np.isnan(found["eta_4"][0])
    assert found["n"][0] == 3
    assert found["sum_pt"][0] == 20.0
    assert np.isnan(found["mass"][0])


def test_events_without_particles():
    found = table_of(make_cloud(), count={"pt": 30}, extrema=["eta"])
    zero = {"n", "n_pt_above_30", "sum_pt"}
    assert {name for name, column in found.items() if column[0] == 0} == zero
    assert {name for name, column in found.items() if np.isnan(column[0])} == set(found) - zero


def test_more_leading_particles_than_there_are():
    found = table_of(make_cloud(n_particles=2), n_leading=3, pairs=False)
    assert np.isnan(found["pt_3"]).all()
    wide = table_of(make_cloud(), n_leading=11)
    assert "mass_1_11" in wide
    assert len(wide) == len(set(wide))


def test_parts_can_be_left_out_and_names_prefixed():
    cloud = make_cloud()
    found = table_of(
        cloud, n_leading=0, count=False, sums=[], system=False, extrema=["pt"], prefix="jet_"
    )
    assert list(found) == ["jet_min_pt", "jet_max_pt"]
    with pytest.raises(ValueError, match="no column is asked for"):
        CloudToTable(n_leading=0, count=False, sums=[], system=False).fit(cloud)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_the_order_of_particles_does_not_matter(seed):
    cloud = make_cloud(8, seed=seed)
    rng = np.random.default_rng(seed)
    shuffled = np.stack([rng.permutation(event) for event in cloud])
    step = CloudToTable(count={"pt": 30}, extrema=["eta"]).fit(cloud)
    np.testing.assert_allclose(
        step.transform(shuffled), step.transform(cloud), rtol=1e-9, atol=1e-5
    )


def test_float32_stays_float32():
    cloud = make_cloud(dtype=np.float32)
    step = CloudToTable(extrema=["eta"]).fit(cloud)
    found = step.transform(cloud)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, step.transform(cloud.astype(float)), rtol=1e-6)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_leading": -1}, "n_leading=-1 must be an integer"),
        ({"n_leading": True}, "n_leading=True must be an integer"),
        ({"n_leading": 1.5}, "n_leading=1.5 must be an integer"),
        ({"sort_by": "energy"}, "sort_by needs the feature 'energy'"),
        ({"count": {"btag": 0.5}}, "count needs the feature 'btag'"),
        ({"count": "pt"}, "count='pt' must be a bool or a mapping"),
        ({"count": {"pt": "high"}}, "threshold 'high' of 'pt' is no number"),
        ({"count": {"pt": [30, 30]}}, "two columns would be named 'n_pt_above_30'"),
        ({"sums": "pt"}, "sums='pt' must be a list"),
        ({"sums": ["ht"]}, "sums needs the feature 'ht'"),
        ({"extrema": "eta"}, "extrema='eta' must be a list"),
        ({"extrema": ["rapidity"]}, "extrema needs the feature 'rapidity'"),
        ({"system": "yes"}, "system='yes' must be True, False or 'auto'"),
        ({"prefix": None}, "prefix=None must be a string"),
    ],
)
def test_wrong_parameters_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        CloudToTable(**parameters).fit(make_cloud())


def test_sentinels_are_refused_where_momenta_are_made():
    cloud = make_cloud()
    cloud[3, 1] = -999.0
    with pytest.raises(ValueError, match="pt is negative in 1 places, for example -999"):
        CloudToTable().fit_transform(cloud)


def test_dataframes_come_out_by_set_output():
    cloud = make_cloud()
    step = CloudToTable(prefix="jet_").set_output(transform="pandas")
    frame = step.fit_transform(cloud)
    assert isinstance(frame, pd.DataFrame)
    np.testing.assert_array_equal(frame["jet_n"], (~np.isnan(cloud[:, :, 0])).sum(axis=1))
    polars = step.set_output(transform="polars").transform(cloud)
    assert polars.columns == list(frame.columns)


def test_a_search_over_its_parameters_with_signed_weights():
    rng = np.random.default_rng(0)
    y = np.arange(600) % 2
    cloud = make_cloud(600)
    cloud[y == 1, :, 0] *= 2
    weight = np.where(rng.random(600) < 0.05, -1.0, 1.0)
    model = BDTClassifier(n_estimators=5, max_depth=2, n_jobs=1, negative_weights="keep")
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            make_pipeline(CloudToTable(), model).set_output(transform="pandas"),
            {"cloudtotable__n_leading": [1, 2]},
            cv=2,
            scoring=roc_auc_scorer(),
            error_score="raise",
        ).fit(cloud, y, sample_weight=weight)
    assert search.best_score_ > 0.6
    names = search.best_estimator_[-1].feature_names_in_
    np.testing.assert_array_equal(names, search.best_estimator_[0].get_feature_names_out())


def test_the_embedded_jets_have_their_multiplicity_and_are_told_apart():
    jets = load_jets()
    features = ["pt", "eta", "phi", "charge", "type"]
    step = CloudToTable(features).set_output(transform="pandas")
    frame = step.fit_transform(jets.data)
    multiplicity = jets.jet_features[:, jets.jet_feature_names.index("multiplicity")]
    np.testing.assert_array_equal(frame["n"], multiplicity)
    # gluon jets hold more particles and are broader
    for name in ("n", "mass"):
        assert roc_auc_score(1 - jets.target, frame[name]) > 0.7


@pytest.mark.parametrize("feature", ["eta", "phi"])
def test_sentinels_of_directions_are_refused(feature):
    cloud = make_cloud()
    place = tuple(np.argwhere(~np.isnan(cloud[..., 0]))[0])
    cloud[place][["pt", "eta", "phi"].index(feature)] = -999.0
    with pytest.raises(ValueError, match=f"{feature} is beyond 50.* example -999: a sentinel"):
        CloudToTable().fit_transform(cloud)


def test_prefixed_names_mean_the_same():
    cloud = make_cloud()
    plain = CloudToTable()
    named = CloudToTable(["jet_PT", "jet_Eta", "delta_phi", "jet_m"])
    np.testing.assert_array_equal(named.fit_transform(cloud), plain.fit_transform(cloud))
    assert "sum_jet_PT" in named.get_feature_names_out()
    with pytest.raises(ValueError, match="cannot tell which of"):
        CloudToTable(["a_pt", "b_pt", "eta", "phi"]).fit(cloud)


def test_an_energy_in_the_place_of_the_mass_is_refused():
    cloud = make_cloud()
    momenta = to_cartesian(*np.moveaxis(cloud, 2, 0))
    energies = cloud.copy()
    energies[:, :, 3] = momenta.energy
    with pytest.raises(ValueError, match="if it is the energy"):
        CloudToTable().fit(energies)
    found = CloudToTable(["pt", "eta", "phi", "energy"], n_leading=0).fit_transform(energies)
    np.testing.assert_allclose(found, CloudToTable(n_leading=0).fit_transform(cloud), rtol=1e-6)


def test_a_charge_in_the_place_of_the_mass_is_refused():
    cloud = make_cloud()
    cloud[:, :, 3] = np.sign(cloud[:, :, 1])
    with pytest.raises(ValueError, match=r"of its values are negative: name the features"):
        CloudToTable().fit(cloud)
    found = CloudToTable(["pt", "eta", "phi", "charge"]).fit(cloud).get_feature_names_out()
    assert "mass_12" in found


def test_masked_particles_are_absent():
    cloud = make_cloud()
    masked = np.ma.masked_equal(np.nan_to_num(cloud, nan=-999.0), -999.0)
    expected = CloudToTable().fit_transform(cloud)
    np.testing.assert_array_equal(CloudToTable().fit_transform(masked), expected)
