"""Public files of the field, each against a reading of its own."""

from pathlib import Path

import numpy as np
import pytest

from skhep_ml.io import read_events, write_scores

ak = pytest.importorskip("awkward")
uproot = pytest.importorskip("uproot")
pd = pytest.importorskip("pandas")

DATA = Path(__file__).parents[2].parent / "shared" / "data"
pytestmark = pytest.mark.skipif(
    not (DATA / "uproot-HZZ.root").is_file(), reason="the public samples shared/data are not here"
)


def test_hzz():
    events = read_events(
        DATA / "uproot-HZZ.root",
        features=["hypot(MET_px, MET_py)", "sum(hypot(Jet_Px, Jet_Py))", "Muon_Px[:, 1]"],
        weight="EventWeight",
        selection="count(Muon_Px) >= 2",
    )
    with uproot.open(DATA / "uproot-HZZ.root") as file:
        tree = file["events"].arrays(
            ["MET_px", "MET_py", "Jet_Px", "Jet_Py", "Muon_Px", "EventWeight"]
        )
    tree = tree[ak.num(tree["Muon_Px"]) >= 2]
    X = events.data.to_numpy()
    np.testing.assert_allclose(X[:, 0], np.hypot(tree["MET_px"], tree["MET_py"]), rtol=1e-5)
    ht = ak.sum(np.hypot(tree["Jet_Px"], tree["Jet_Py"]), axis=1)
    np.testing.assert_allclose(X[:, 1], ht, rtol=1e-5)
    np.testing.assert_allclose(X[:, 2], tree["Muon_Px"][:, 1])
    np.testing.assert_allclose(events.weight, tree["EventWeight"])


@pytest.mark.parametrize("name", ["nanoAOD_2015_CMS_Open_Data_ttbar", "NanoAODv5_sample"])
def test_nanoaod(name):
    events = read_events(
        DATA / f"{name}.root",
        "Events",
        {"event": ["MET_pt", "nJet - 10", "Jet_pt[:, 0]"], "jets": ["Jet_pt", "Jet_eta"]},
        weight="genWeight",
        label="genWeight > 0",
        event_number=["run", "luminosityBlock", "event"],
    )
    with uproot.open(DATA / f"{name}.root") as file:
        tree = file["Events"].arrays(["nJet", "Jet_pt", "Jet_eta", "genWeight", "event"])
    table, cloud = events.data["event"], events.data["jets"]
    np.testing.assert_array_equal(table["nJet - 10"], np.asarray(tree["nJet"]).astype(int) - 10)
    np.testing.assert_array_equal(np.isnan(table["Jet_pt[:, 0]"]), np.asarray(tree["nJet"]) == 0)
    np.testing.assert_array_equal(
        np.sum(~np.isnan(cloud[:, :, 0]), axis=1), np.asarray(tree["nJet"])
    )
    np.testing.assert_allclose(
        np.nansum(cloud[:, :, 0], axis=1), ak.sum(tree["Jet_pt"], axis=1), rtol=1e-5
    )
    np.testing.assert_array_equal(events.event_number[:, 2], np.asarray(tree["event"]))
    assert events.class_yields[0] == pytest.approx(-float(ak.sum(abs(tree["genWeight"][
        tree["genWeight"] < 0]))))  # fmt: skip


def test_luminosity_from_the_runs_tree():
    process = {
        "files": DATA / "coffea_nano_dy.root",
        "label": 0,
        "cross_section": 6077.0,
        "sum_weights": ("Runs", "genEventSumw_"),
    }
    events = read_events(
        tree="Events", features=["MET_pt"], weight="genWeight", luminosity=2.0,
        processes={"dy": process},
    )  # fmt: skip
    with uproot.open(DATA / "coffea_nano_dy.root") as file:
        total = file["Runs/genEventSumw_"].array(library="np").sum()
        raw = file["Events/genWeight"].array(library="np")
    np.testing.assert_allclose(events.weight, raw * 6077.0 * 2 / total, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "group", "n_events"),
    [
        ("spanet_full_hadronic_ttbar_example", "INPUTS/Source", 10_000),
        ("spanet_semi_leptonic_ttH_example", "INPUTS/Momenta", 1000),
    ],
)
def test_spanet(name, group, n_events):
    h5py = pytest.importorskip("h5py")
    events = read_events(DATA / f"{name}.h5", group, {"pt": "pt[MASK]", "eta": "eta[MASK]"})
    with h5py.File(DATA / f"{name}.h5") as file:
        mask, pt = file[f"{group}/MASK"][:], file[f"{group}/pt"][:]
    assert events.data.shape == (n_events, mask.sum(axis=1).max(), 2)
    np.testing.assert_array_equal(np.sum(~np.isnan(events.data[:, :, 0]), axis=1), mask.sum(axis=1))
    np.testing.assert_allclose(
        np.nansum(events.data[:, :, 0], axis=1), np.where(mask, pt, 0).sum(axis=1), rtol=1e-4
    )


def test_tables():
    higgs = read_events(
        DATA / "small_higgs.csv", features=["DER_mass_MMC"], label="Label == 's'",
        weight="Weight", event_number="EventId",
    )  # fmt: skip
    frame = pd.read_csv(DATA / "small_higgs.csv")
    np.testing.assert_array_equal(higgs.target, frame["Label"] == "s")
    np.testing.assert_array_equal(higgs.event_number, frame["EventId"])
    mass = "sqrt(2 * pt1 * pt2 * (cosh(eta1 - eta2) - cos(delta_phi(phi1, phi2))))"
    muons = read_events(
        DATA / "Zmumu_Run2011A.csv", features={"mass": mass}, event_number=["Run", "Event"]
    )
    assert muons.data["mass"].median() == pytest.approx(91, abs=1)
    uci = read_events(DATA / "HIGGS_small.npz", features=["X[:, 27]"], label="y", library="numpy")
    with np.load(DATA / "HIGGS_small.npz") as archive:
        np.testing.assert_array_equal(uci.data[:, 0], archive["X"][:, 27])


def test_jetclass_parquet():
    parquet = pytest.importorskip("pyarrow.parquet")
    path = DATA / "JetClassII_example.parquet"
    events = read_events(path, features=["part_energy", "part_isMuon"], label="jet_label")
    table = parquet.read_table(path, columns=["part_energy", "jet_label", "jet_nparticles"])
    np.testing.assert_array_equal(events.target, table["jet_label"].to_numpy())
    n_particles = np.sum(~np.isnan(events.data[:, :, 0]), axis=1)
    np.testing.assert_array_equal(n_particles, [len(x) for x in table["part_energy"].to_pylist()])


def test_scores_beside_a_nanoaod_file(tmp_path):
    from sklearn.linear_model import LinearRegression

    features = ["MET_pt", "nJet"]
    path = DATA / "nanoAOD_2015_CMS_Open_Data_ttbar.root"
    events = read_events(path, features=features)
    model = LinearRegression().fit(events.data, events.data["MET_pt"])
    (out,) = write_scores(model, path, tmp_path / "scores.root", step_size=70)
    with uproot.open(out) as file:
        score = file["scores/score"].array(library="np")
    np.testing.assert_allclose(score, events.data["MET_pt"], rtol=1e-5)
