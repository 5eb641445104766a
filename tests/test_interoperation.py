"""The blocks of docs/interoperation.rst run, and what they give agrees with this package."""

import ast
import inspect
import json
import re
import sys
import textwrap
import types
from pathlib import Path

import numpy as np
import pytest
import xgboost
from numpy.testing import assert_allclose
from scipy.special import expit, softmax
from sklearn.pipeline import make_pipeline

from skhep_ml.ensemble import BDTClassifier
from skhep_ml.export import to_onnx, to_xgboost_json
from skhep_ml.impute import MissingValueImputer

PAGE = (Path(__file__).parents[1] / "docs" / "interoperation.rst").read_text()
EXACT = {"atol": 1e-6, "rtol": 0}


def section(title):
    """Text of a section of the page."""
    _, found, text = PAGE.partition(f"\n{title}\n{'-' * len(title)}\n")
    assert found
    return re.split(r"\n[^\n]+\n[-=]{4,}\n", text)[0]


def run(title, scope, number=slice(None)):
    """Run the Python of a section in a scope."""
    pattern = r"^\.\. code-block:: python\n\n((?:(?:   .*)?\n)+)"
    blocks = re.findall(pattern, section(title) + "\n", flags=re.MULTILINE)[number]
    assert blocks
    for block in blocks:
        exec(compile(textwrap.dedent(block), "docs/interoperation.rst", "exec"), scope)
    return scope


@pytest.fixture(scope="module")
def table():
    """Events whose classes are not balanced, so that the base score matters."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=2000), rng.poisson(3, 2000), rng.exponential(size=2000)])
    y = (X[:, 0] + 0.3 * X[:, 1] + rng.normal(size=2000) > 2).astype(int)
    return X.astype(np.float32), y


# --- arrays -------------------------------------------------------------------------------------


def test_awkward_vector_polars():
    ak = pytest.importorskip("awkward")
    pl = pytest.importorskip("polars")
    pytest.importorskip("vector")
    rng = np.random.default_rng(0)
    counts = rng.poisson(2, 300)
    pt, eta, phi, mass = (
        ak.unflatten(values, counts)
        for values in (
            rng.exponential(30, counts.sum()),
            rng.normal(size=counts.sum()),
            rng.uniform(-np.pi, np.pi, counts.sum()),
            rng.exponential(5, counts.sum()),
        )
    )
    target = ak.to_numpy(ak.sum(pt, axis=1) > 50)
    scope = run(
        "awkward, vector, polars",
        {"pt": pt, "eta": eta, "phi": phi, "mass": mass, "target": target},
    )
    cloud, momenta, jets = scope["cloud"], scope["momenta"], scope["jets"]
    np.testing.assert_array_equal((~np.isnan(cloud[:, :, 0])).sum(axis=1), counts)
    ordered = jets[ak.argsort(jets.pt, ascending=False)]  # the behaviours of vector
    for column, values in enumerate((ordered.px, ordered.py, ordered.pz, ordered.energy)):
        padded = ak.fill_none(ak.pad_none(values, cloud.shape[1]), np.nan)
        assert_allclose(momenta[:, :, column], ak.to_numpy(padded), rtol=1e-4, atol=1e-4)
    assert scope["model"].score(jets, target) > 0.9
    frame, bdt = scope["frame"], scope["bdt"]
    assert isinstance(frame, pl.DataFrame)
    reverse = frame.select(reversed(frame.columns))
    assert list(reverse.columns) != list(frame.columns)
    np.testing.assert_array_equal(bdt.predict_proba(reverse), bdt.predict_proba(frame))


# --- coffea -------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")  # coffea warns of branches that the made-up file lacks
def test_coffea_processor(tmp_path, monkeypatch):
    ak = pytest.importorskip("awkward")
    uproot = pytest.importorskip("uproot")
    pytest.importorskip("hist")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("coffea")
    from skhep_ml.io import read_events

    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    counts = rng.poisson(2, 250)
    names = ("pt", "eta", "phi", "mass")
    jets = {name: rng.exponential(40, counts.sum()).astype(np.float32) for name in names}
    with uproot.recreate("nano.root") as file:
        types = {
            "run": "uint32",
            "luminosityBlock": "uint32",
            "event": "uint64",
            "genWeight": "float32",
            "MET_pt": "float32",
            "MET_phi": "float32",
            "Jet": "var * {pt: float32, eta: float32, phi: float32, mass: float32}",
        }
        file.mktree("Events", types).extend(
            {
                "run": np.ones(250, np.uint32),
                "luminosityBlock": np.ones(250, np.uint32),
                "event": np.arange(250, dtype=np.uint64),
                "genWeight": rng.choice([-1, 1], 250, p=[0.2, 0.8]).astype(np.float32),
                "MET_pt": rng.exponential(30, 250).astype(np.float32),
                "MET_phi": rng.uniform(-3, 3, 250).astype(np.float32),
                "Jet": ak.unflatten(ak.zip(jets), counts),
            }
        )
    events = read_events(
        "nano.root",
        "Events",
        ["MET_pt", "Jet_pt[:, 0]", "sum(Jet_pt)"],
        label="MET_pt + sum(Jet_pt) > 100",
        weight="genWeight",
    )
    model = make_pipeline(MissingValueImputer(), BDTClassifier(20, n_jobs=1))
    model.fit(events.data, events.target)
    to_onnx(model, "model.onnx", X=events.data)
    result = run("coffea", {"nanoaod": "nano.root", "__name__": "page"})["result"]
    template = result["score"]
    score = model.predict_proba(events.data)[:, 1]
    expected, _ = np.histogram(score, np.linspace(0, 1, 11), weights=events.weight)
    squares, _ = np.histogram(score, np.linspace(0, 1, 11), weights=events.weight**2)
    assert np.any(events.weight < 0)
    assert_allclose(template.values(), expected)
    assert_allclose(template.variances(), squares)


# --- templates ----------------------------------------------------------------------------------


def templates():
    rng = np.random.default_rng(0)
    process = rng.choice(["signal", "Z", "top"], 3000)
    return {
        "process": process,
        "score": rng.beta(2, np.where(process == "signal", 1, 3)),
        "weight": rng.choice([-0.5, 1.0], 3000, p=[0.1, 0.9]),
        "edges": np.array([0, 0.2, 0.5, 0.8, 1.0]),
    }


def test_templates_of_hist(monkeypatch):
    hist = pytest.importorskip("hist")
    boost_histogram = pytest.importorskip("boost_histogram")
    known = templates()
    # the block is run whole: pyhf itself is tested below
    stand_in = types.SimpleNamespace(Model=lambda specification: specification)
    monkeypatch.setitem(sys.modules, "pyhf", stand_in)
    scope = run("hist, boost-histogram, pyhf", dict(known))
    samples = {one["name"]: one for one in scope["specification"]["channels"][0]["samples"]}
    assert set(samples) == {"signal", "Z", "top"}
    assert isinstance(scope["templates"], hist.Hist)
    for name, sample in samples.items():
        own = known["process"] == name
        args = (known["score"][own], known["edges"])
        w = known["weight"][own]
        assert_allclose(sample["data"], np.histogram(*args, weights=w)[0])
        staterror = sample["modifiers"][0]["data"]
        assert_allclose(np.square(staterror), np.histogram(*args, weights=w**2)[0])
        plain = boost_histogram.Histogram(
            boost_histogram.axis.Variable(known["edges"]), storage=boost_histogram.storage.Weight()
        )
        plain.fill(known["score"][own], weight=w)
        assert_allclose(sample["data"], plain.view().value)
    assert [m["type"] for m in samples["signal"]["modifiers"]] == ["staterror", "normfactor"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what pyhf itself uses
def test_pyhf_model_of_the_templates():
    pytest.importorskip("hist")
    pytest.importorskip("pyhf")
    known = templates()
    model = run("hist, boost-histogram, pyhf", dict(known))["model"]
    parameters = np.array(model.config.suggested_init())
    signal = known["process"] == "signal"
    for mu in (0.0, 1.0, 2.0):
        parameters[model.config.par_slice("mu")] = mu
        weight = known["weight"] * np.where(signal, mu, 1.0)
        expected, _ = np.histogram(known["score"], known["edges"], weights=weight)
        assert_allclose(model.expected_actualdata(parameters), expected)


# --- hardware -----------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")  # the converter's own
@pytest.mark.parametrize("depth", [3, 8])
def test_conifer(table, tmp_path, monkeypatch, depth):
    conifer = pytest.importorskip("conifer")
    monkeypatch.chdir(tmp_path)
    X, y = table
    bdt = BDTClassifier(20, max_depth=depth, n_jobs=1).fit(X, y)
    hardware = run("FPGAs: conifer and hls4ml", {"bdt": bdt}, slice(0, 1))["hardware"]
    assert isinstance(hardware, conifer.model.ModelBase)
    try:
        hardware.compile()
    except Exception as error:
        if "compile" not in str(error):
            raise
        pytest.skip("conifer's C++ does not compile here: it needs nlohmann/json.hpp")
    score = expit(np.ravel(hardware.decision_function(X)))
    assert_allclose(score, bdt.predict_proba(X)[:, 1], **EXACT)


@pytest.mark.filterwarnings("ignore")  # the converter's own
def test_hls4ml(table, tmp_path, monkeypatch):
    pytest.importorskip("hls4ml")
    from skhep_ml.neural_network import NetClassifier

    monkeypatch.chdir(tmp_path)
    X, y = table
    net = NetClassifier(module__hidden=(16, 8), max_epochs=3, device="cpu", random_state=0)
    net.fit(X, y)
    scope = {"net": net, "n_features": 3}
    firmware = run("FPGAs: conifer and hls4ml", scope, slice(1, 2))["firmware"]
    firmware.compile()
    logits = np.reshape(firmware.predict(np.ascontiguousarray(X)), (-1, 2))
    assert_allclose(softmax(logits, axis=1), net.predict_proba(X), atol=1e-3)


# --- C++ readers of xgboost's text --------------------------------------------------------------


def read_text(path):
    """Trees of xgboost's text: node -> (feature, threshold, yes, no), or the value of a leaf."""
    trees = []
    for line in Path(path).read_text().splitlines():
        if line.startswith("booster["):
            trees.append({})
            continue
        node = int(re.match(r"\s*(\d+):", line)[1])
        leaf = re.search(r"leaf=([^,\s]+)", line)
        if leaf:
            trees[-1][node] = float(leaf[1])
        else:
            pattern = r"\[(\w+)<([^\]]+)\] yes=(\d+),no=(\d+)"
            feature, threshold, yes, no = re.search(pattern, line).groups()
            trees[-1][node] = (feature, np.float32(threshold), int(yes), int(no))
    return trees


def sum_of_leaves(trees, row, names):
    total = 0.0
    for tree in trees:
        node = tree[0]
        while isinstance(node, tuple):
            feature, threshold, yes, no = node
            node = tree[yes if row[names.index(feature)] < threshold else no]
        total += node
    return total


def test_text_for_rbdt_and_fastforest(table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, y = table
    bdt = BDTClassifier(20, n_jobs=1).fit(X, y)
    offset = run("C++: ROOT and FastForest", {"bdt": bdt})["offset"]
    assert abs(offset) > 0.1  # it matters
    trees = read_text("bdt.txt")
    assert len(trees) == 20
    names = ["f0", "f1", "f2"]
    score = [expit(sum_of_leaves(trees, row, names) + offset) for row in X[:200]]
    assert_allclose(score, bdt.predict_proba(X[:200])[:, 1], **EXACT)


def test_text_of_three_classes_needs_no_base_score(table, tmp_path):
    X, _ = table
    y = np.digitize(X[:, 0], [0.5, 1.2])
    bdt = BDTClassifier(5, n_jobs=1).fit(X, y)
    to_xgboost_json(bdt, tmp_path / "bdt.json")
    learner = json.loads((tmp_path / "bdt.json").read_text())["learner"]
    assert float(learner["learner_model_param"]["base_score"]) == 0
    xgboost.Booster(model_file=tmp_path / "bdt.json").dump_model(tmp_path / "bdt.txt")
    trees = read_text(tmp_path / "bdt.txt")
    assert len(trees) == 15
    names = ["f0", "f1", "f2"]
    margins = [[sum_of_leaves(trees[k::3], row, names) for k in range(3)] for row in X[:200]]
    assert_allclose(softmax(margins, axis=1), bdt.predict_proba(X[:200]), **EXACT)


def test_thresholds_are_values_of_training_events(table, tmp_path):
    X, y = table
    bdt = BDTClassifier(20, n_jobs=1).fit(X, y)
    to_xgboost_json(bdt, tmp_path / "bdt.json")
    bdt.booster_.dump_model(tmp_path / "bdt.txt")
    trees = read_text(tmp_path / "bdt.txt")
    nodes = [node for tree in trees for node in tree.values() if isinstance(node, tuple)]
    counts = {threshold for name, threshold, _, _ in nodes if name == "f1"}
    assert counts
    assert counts <= set(X[:, 1])  # so that a reader with <= instead of < goes wrong on counts


# --- the dictionary for TMVA --------------------------------------------------------------------


def tmva_leaf(y, weight, shrinkage):
    """Score, between -1 and 1, of all events in one leaf after one tree of TMVA."""
    r = y - 0.5
    step = shrinkage / 2 * np.sum(weight * r) / np.sum(weight * np.abs(r) * (1 - np.abs(r)))
    return 2 / (1 + np.exp(-2 * step)) - 1


@pytest.mark.parametrize("shrinkage", [0.1, 1.0])
def test_shrinkage_is_the_learning_rate(shrinkage):
    X = np.repeat([[0.0], [1.0]], 100, axis=0)
    y = np.r_[np.arange(100) < 30, np.arange(100) < 70].astype(int)  # balanced in total
    model = BDTClassifier(1, learning_rate=shrinkage, max_depth=1, reg_lambda=0, n_jobs=1)
    score = 2 * model.fit(X, y).predict_proba([[0.0], [1.0]])[:, 1] - 1
    expected = [tmva_leaf(y[X[:, 0] == x], np.ones(100), shrinkage) for x in (0.0, 1.0)]
    assert_allclose(score, expected, rtol=1e-5)


@pytest.mark.filterwarnings("ignore::skhep_ml.exceptions.WeightWarning")
@pytest.mark.parametrize("treatment", ["keep", "pair", "drop", "refine"])
def test_treatments_of_negative_weights_exist(table, treatment):
    X, y = table
    w = np.where(np.arange(len(y)) % 10 == 0, -1.0, 1.0)
    assert f'negative_weights="{treatment}"' in section("Boosted trees: BDT")
    model = BDTClassifier(5, n_jobs=1, negative_weights=treatment, random_state=0)
    assert model.fit(X, y, sample_weight=w).score(X, y, sample_weight=w) > 0.7


@pytest.mark.parametrize("node", ["colsample_bynode"])
def test_parameters_of_the_engine(table, node):
    X, y = table
    assert f'engine_params={{"{node}": 0.5}}' in section("Boosted trees: BDT")
    fits = [
        BDTClassifier(5, n_jobs=1, random_state=0, engine_params=more).fit(X, y)
        for more in (None, {node: 0.5})
    ]
    assert not np.array_equal(fits[0].predict_proba(X), fits[1].predict_proba(X))


def settings(title):
    """Parameters that the table of a section names on its right, with their values."""
    table = section(title).partition(".. list-table::")[2].partition("\n\n   * - ")[2]
    rows = re.split(r"\n   \* - ", table.partition("\n\n")[0])
    right = " ".join(row.partition("\n     - ")[2] for row in rows)
    found = re.findall(r"``([a-z]\w*)=(\([^)]*\)|\"\w*\"|[\w.]*)", right)
    assert len(found) > 8
    return found


def check_defaults(title, known, shown_as_default):
    found = settings(title)
    assert {name for name, _ in found} <= set(known)
    values = dict(reversed(found))
    for name in shown_as_default:
        assert ast.literal_eval(values[name]) == known[name], name


def defaults(function):
    return {name: one.default for name, one in inspect.signature(function).parameters.items()}


def test_parameters_of_trees():
    shown = ["n_estimators", "max_depth", "min_child_weight", "learning_rate", "subsample"]
    shown += ["colsample_bytree", "max_bin", "gamma"]
    check_defaults("Boosted trees: BDT", defaults(BDTClassifier), shown)


def test_parameters_of_nets():
    from skhep_ml.neural_network import NetClassifier, modules

    known = defaults(NetClassifier) | {"optimizer__momentum": None}
    known |= {f"module__{name}": value for name, value in defaults(modules.MLP).items()}
    shown = ["module__hidden", "module__activation", "max_epochs", "lr", "schedule", "optimizer"]
    shown += ["batch_size", "patience", "validation_fraction", "weight_decay", "l1", "criterion"]
    shown += ["module__dropout", "module__input_dropout", "device"]
    check_defaults("Networks: MLP, DL", known, shown)
