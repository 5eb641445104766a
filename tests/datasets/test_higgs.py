"""The Higgs sample: contents, weights, and physics."""

import numpy as np
import pytest
from scipy.stats import chi2

from skhep_ml.datasets import load_higgs
from skhep_ml.weights import effective_sample_size

# cross-sections in pb
SIGMA = {
    "ggH": 48.58 * 0.06272,
    "VBF": 3.782 * 0.06272,
    "Z": 6077.22 / 3,
    "W": 61526.7,
    "ttbar": 831.76,
}


@pytest.fixture(scope="module")
def higgs():
    return load_higgs()


@pytest.fixture(scope="module")
def signed():
    return load_higgs(weights="signed")


@pytest.fixture(scope="module")
def column(higgs):
    return dict(zip(higgs.feature_names, higgs.data.T.astype(np.float64), strict=True))


def weighted_quantile(values, weight, q):
    use = np.isfinite(values)
    order = np.argsort(values[use])
    cumulated = np.cumsum(weight[use][order])
    return values[use][order][np.searchsorted(cumulated, q * cumulated[-1])]


def weighted_mean(values, weight):
    mean = np.average(values, weights=weight)
    return mean, np.sqrt((weight**2 * (values - mean) ** 2).sum()) / weight.sum()


def test_contents(higgs):
    n = len(higgs.target)
    assert n >= 50_000
    assert higgs.data.shape == (n, 30)
    assert higgs.data.dtype == np.float32
    assert len(set(higgs.feature_names)) == 30
    assert set(higgs.process) == set(SIGMA)
    np.testing.assert_array_equal(higgs.target == 1, np.isin(higgs.process, ["ggH", "VBF"]))
    assert higgs.event_number.shape == (n, 2)
    assert higgs.event_number.dtype == np.int64
    assert len(np.unique(higgs.event_number, axis=0)) == n
    for run in np.unique(higgs.event_number[:, 0]):
        assert len(set(higgs.process[higgs.event_number[:, 0] == run])) == 1
    assert higgs.luminosity == 140
    for label in (0, 1):
        yields = higgs.weight[higgs.target == label].sum()
        assert higgs.class_yields[label] == pytest.approx(yields, rel=1e-12)
    assert "weight_truth" not in higgs
    for name in (*higgs.feature_names, *SIGMA):
        assert name in higgs.DESCR
    # processes are spread over the file
    assert abs(higgs.target[: n // 2].mean() - higgs.target[n // 2 :].mean()) < 0.02


def test_absent_exactly_where_there_are_too_few_jets(higgs, column):
    for name, values in column.items():
        if name.startswith("jet1_"):
            expected = column["n_jets"] < 1
        elif name.startswith("jet2_") or name.endswith("jj") or name == "lep_eta_centrality":
            expected = column["n_jets"] < 2
        elif name == "ditau_mass":
            # no Higgs boson or Z escapes the estimate, now and then a W or a top does
            resonant = np.isin(higgs.process, ["ggH", "VBF", "Z"])
            assert np.isnan(values[resonant]).mean() < 0.01
            assert 0 < np.isnan(values[~resonant]).mean() < 0.2
            continue
        else:
            expected = np.zeros(len(values), dtype=bool)
        np.testing.assert_array_equal(np.isnan(values), expected, err_msg=name)
    assert column["jet_sumpt"][column["n_jets"] == 0].max() == 0


def test_selection(column):
    tolerance = 1 - 1e-3
    assert column["lep_pt"].min() >= 26 * tolerance
    assert column["tau_pt"].min() >= 20 * tolerance
    assert np.abs(column["lep_eta"]).max() <= 2.5 / tolerance
    assert np.abs(column["tau_eta"]).max() <= 2.4 / tolerance
    assert column["delta_r_tau_lep"].min() >= 0.5 - 2e-3
    jets = column["n_jets"] >= 2
    assert column["jet2_pt"][jets].min() >= 30 * tolerance
    assert np.all(column["jet1_pt"][jets] >= column["jet2_pt"][jets])
    pair = column["jet1_pt"] + column["jet2_pt"]
    assert np.all((column["jet_sumpt"] >= pair * tolerance)[jets])
    two = column["n_jets"] == 2
    np.testing.assert_allclose(column["jet_sumpt"][two], pair[two], rtol=2e-3)


def test_mass_peaks(higgs, column):
    def window(name, process, quantiles=(0.16, 0.5, 0.84)):
        use = higgs.process == process
        return [weighted_quantile(column[name][use], higgs.weight[use], q) for q in quantiles]

    z, ggh, vbf = (window("ditau_mass", process) for process in ("Z", "ggH", "VBF"))
    # the cut on the lepton favours boosted Z, whose median lies above the peak
    assert 88 < z[1] < 102
    for higgs_boson in (ggh, vbf):
        assert 115 < higgs_boson[1] < 132
        # the Higgs boson lies more than one standard deviation above the Z
        assert higgs_boson[1] > z[2]
        assert (higgs_boson[2] - higgs_boson[0]) / 2 / higgs_boson[1] < 0.22
    visible = {process: window("visible_mass", process)[1] for process in ("Z", "ggH")}
    assert visible["Z"] < 91 < 125
    assert visible["Z"] + 8 < visible["ggH"] < 125
    use = (higgs.process == "Z") & np.isfinite(column["ditau_mass"])
    edges = np.arange(50, 150, 10)
    peak = np.argmax(np.histogram(column["ditau_mass"][use], edges, weights=higgs.weight[use])[0])
    assert edges[peak] in (80, 90)
    # without a resonance the estimate is wide
    w = window("ditau_mass", "W")
    assert w[2] - w[0] > 2 * (z[2] - z[0])
    # the W gives the transverse mass its edge
    assert 60 < window("lep_met_mt", "W")[1] < 90
    assert window("lep_met_mt", "Z")[1] < 40


def test_jets_of_the_processes(higgs, column):
    mean = {
        p: weighted_mean(column["n_jets"][higgs.process == p], higgs.weight[higgs.process == p])[0]
        for p in SIGMA
    }
    assert mean["VBF"] > mean["ggH"] + 0.5
    assert mean["ttbar"] > mean["Z"] + 0.5
    two = column["n_jets"] >= 2
    gap = {
        p: weighted_quantile(
            column["delta_eta_jj"][two & (higgs.process == p)],
            higgs.weight[two & (higgs.process == p)],
            0.5,
        )
        for p in SIGMA
    }
    assert gap["VBF"] > 1.5 * max(gap[p] for p in SIGMA if p != "VBF")


def test_charges(higgs):
    for process in SIGMA:
        use = higgs.process == process
        assert set(np.unique(higgs.lepton_charge[use])) == {-1, 1}
        mean, error = weighted_mean(higgs.lepton_charge[use], higgs.weight[use])
        if process == "W":
            # protons hold more u than d quarks
            assert mean > 0.05
            assert mean > 4 * error
        else:
            assert abs(mean) < 4.5 * error


def test_azimuth_is_uniform(higgs, column):
    for name in ("tau_phi", "lep_phi", "met_phi"):
        for wave in (np.cos, np.sin):
            values = wave(column[name])
            mean = values.mean()
            assert abs(mean) < 4.5 * values.std() / np.sqrt(len(values)), name


def test_weights_follow_the_cross_sections(higgs):
    yields = {p: higgs.weight[higgs.process == p].sum() for p in SIGMA}
    acceptance = {p: yields[p] / (SIGMA[p] * 1000 * higgs.luminosity) for p in SIGMA}
    assert yields["W"] > yields["ttbar"] > yields["ggH"] > yields["VBF"]
    assert yields["Z"] > yields["ttbar"]
    # selection, branching fractions and efficiencies of one lepton and one tau
    for process, low, high in (
        ("ggH", 0.02, 0.06),
        ("VBF", 0.025, 0.08),
        ("Z", 0.005, 0.02),
        ("W", 1e-4, 1e-3),
        ("ttbar", 5e-4, 3e-3),
    ):
        assert low < acceptance[process] < high, process
    assert higgs.weight.min() > 0
    assert higgs.weight.max() / higgs.weight.min() > 1e3
    for process in SIGMA:
        assert effective_sample_size(higgs.weight[higgs.process == process]) > 300


def test_signed_weights(higgs, signed, column):
    np.testing.assert_array_equal(signed.weight_truth, higgs.weight)
    np.testing.assert_array_equal(signed.data, higgs.data)
    background = signed.target == 0
    np.testing.assert_array_equal(signed.weight[~background], higgs.weight[~background])
    assert signed.class_yields == higgs.class_yields
    for jets, q in enumerate([0.06, 0.22, 0.45]):
        use = background & (np.minimum(column["n_jets"], 2) == jets)
        w = signed.weight[use]
        assert abs((w < 0).mean() - q) < 4.5 * np.sqrt(q * (1 - q) / len(w))
        np.testing.assert_allclose(np.abs(w), higgs.weight[use] / (1 - 2 * q), rtol=1e-12)


@pytest.mark.parametrize("process", [None, "Z", "W", "ttbar"])
def test_signed_histograms_agree_with_the_truth(higgs, signed, column, process):
    use = higgs.target == 0 if process is None else higgs.process == process
    difference = (signed.weight - signed.weight_truth)[use]
    for name, values in column.items():
        edges = np.unique(np.nanquantile(values[use], np.linspace(0, 1, 11)))
        cells = np.digitize(values[use], edges[1:-1])
        cells[np.isnan(values[use])] = len(edges)
        pull = np.bincount(cells, difference)
        variance = np.bincount(cells, difference**2)
        filled = variance > 0
        statistic = (pull[filled] ** 2 / variance[filled]).sum()
        assert chi2.sf(statistic, filled.sum()) > 1e-5, name


def test_missing_values_and_frame(higgs):
    pd = pytest.importorskip("pandas")
    frame = load_higgs(missing_values=-999.0, as_frame=True).data
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == higgs.feature_names
    filled = frame.to_numpy()
    assert filled.dtype == np.float32
    np.testing.assert_array_equal(filled == -999, np.isnan(higgs.data))
    np.testing.assert_array_equal(filled[filled != -999], higgs.data[~np.isnan(higgs.data)])


def test_calls_share_nothing(higgs):
    other = load_higgs()
    other.data[:] = 0
    other.weight[:] = 0
    again = load_higgs()
    np.testing.assert_array_equal(again.data, higgs.data)
    np.testing.assert_array_equal(again.weight, higgs.weight)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights": "unsigned"}, "'nominal' or 'signed', got 'unsigned'"),
        ({"missing_values": "nan?"}, "missing_values must be NaN or a finite number"),
        ({"missing_values": None}, "got None"),
        ({"missing_values": np.inf}, "got inf"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        load_higgs(**arguments)
