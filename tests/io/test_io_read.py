from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skhep_ml.events import Events
from skhep_ml.io import iterate_events, read_events
from skhep_ml.io._source import compile_all
from skhep_ml.io._tree_sources import RootSource

ak = pytest.importorskip("awkward")
uproot = pytest.importorskip("uproot")
pd = pytest.importorskip("pandas")
pq = pytest.importorskip("pyarrow.parquet")
h5py = pytest.importorskip("h5py")

FORMATS = (".root", ".rntuple.root", ".parquet", ".h5", ".csv", ".npz", ".npy")


def columns(n=50, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "met": rng.exponential(30, n).astype(np.float32),
        "x": rng.normal(size=n),
        "n_jets": rng.integers(0, 4, n).astype(np.int32),
        "w": rng.normal(1, 1, n),
        "run": np.full(n, 7, dtype=np.int64),
        "event": np.arange(n, dtype=np.int64) + 2**60 + 1000 * seed,
        "is_signal": rng.integers(0, 2, n),
    }


def write(path, data, tree="Events", chunk=13):
    """A file of flat columns in the format of the suffix."""
    if path.suffix == ".root":
        with uproot.recreate(path) as file:
            if path.stem.endswith("rntuple"):
                file.mkrntuple(tree, data)
                return path
            made = file.mktree(tree, {name: column.dtype for name, column in data.items()})
            for start in range(0, len(data["met"]), chunk):  # several baskets
                made.extend({name: c[start : start + chunk] for name, c in data.items()})
    elif path.suffix == ".parquet":
        pd.DataFrame(data).to_parquet(path, row_group_size=17)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            for name, column in data.items():
                file[name] = column
    elif path.suffix == ".csv":
        pd.DataFrame(data).to_csv(path, index=False)
    elif path.suffix == ".npz":
        np.savez(path, **data)
    else:
        np.save(path, pd.DataFrame(data).to_records(index=False))
    return path


@pytest.fixture(params=FORMATS)
def flat(request, tmp_path):
    data = columns()
    return write(tmp_path / f"flat{request.param}", data), data


def test_every_format(flat):
    path, data = flat
    events = read_events(
        path,
        features=["met", "log(met) * x", "n_jets"],
        label="is_signal",
        weight=["w", "2"],
        event_number=["run", "event"],
        selection="met > 10",
    )
    passed = data["met"] > 10
    assert list(events.data.columns) == events.feature_names == ["met", "log(met) * x", "n_jets"]
    np.testing.assert_allclose(events.data["met"], data["met"][passed], rtol=1e-6)
    expected = (np.log(data["met"]) * data["x"])[passed]
    np.testing.assert_allclose(events.data["log(met) * x"], expected, rtol=1e-6)
    np.testing.assert_allclose(events.weight, 2 * data["w"][passed])
    np.testing.assert_array_equal(events.target, data["is_signal"][passed])
    ids = np.column_stack([data["run"], data["event"]])[passed]
    np.testing.assert_array_equal(events.event_number, ids)
    assert events.event_number.dtype == np.int64
    assert events.process is None
    total = {k: events.weight[events.target == k].sum() for k in (0, 1)}
    assert events.class_yields == pytest.approx(total)


@pytest.mark.parametrize("library", ["pandas", "numpy", "awkward"])
def test_libraries(flat, library):
    path, data = flat
    X = read_events(path, features={"a": "met", "n": "n_jets"}, library=library).data
    if library == "numpy":
        assert X.dtype == np.float32
        np.testing.assert_allclose(X, np.column_stack([data["met"], data["n_jets"]]), rtol=1e-6)
    else:
        np.testing.assert_allclose(np.asarray(X["a"]), data["met"], rtol=1e-6)
        assert np.asarray(X["n"]).dtype.kind == "i"


@settings(max_examples=25)
@given(
    st.sampled_from(FORMATS), st.integers(1, 60), st.one_of(st.none(), st.integers(1, 110)),
    st.floats(0, 40),
)  # fmt: skip
def test_chunks_join_to_the_whole(tmp_path_factory, suffix, step, max_events, cut):
    folder = tmp_path_factory.getbasetemp() / f"chunks{suffix}"
    if not folder.exists():
        folder.mkdir()
        for k in range(2):
            write(folder / f"{k}{suffix}", columns(40 + 10 * k, seed=k))
    options = {
        "features": ["met", "x * n_jets"],
        "label": "is_signal",
        "weight": "w",
        "event_number": "event",
        "selection": f"met > {cut}",
        "max_events": max_events,
        "processes": {
            "one": {"files": folder / f"0{suffix}", "cross_section": 2.0},
            "two": {"files": str(folder / f"[1]*{suffix}"), "scale": 3.0},
        },
        "luminosity": 5.0,
    }
    met = [columns(40 + 10 * k, seed=k)["met"][:max_events] for k in (0, 1)]
    if not any((part > cut).any() for part in met):
        with pytest.raises(ValueError, match="passes no event"):
            read_events(**options)
        return
    whole = read_events(**options)
    chunks = list(iterate_events(**options, step_size=step))
    assert max(len(chunk.data) for chunk in chunks) <= step
    for key in ("weight", "target", "event_number", "process"):
        np.testing.assert_array_equal(np.concatenate([c[key] for c in chunks]), whole[key])
    joined = pd.concat([chunk.data for chunk in chunks], ignore_index=True)
    pd.testing.assert_frame_equal(joined, whole.data)


def test_stream_can_be_read_again_and_bounds_its_steps(tmp_path):
    path = write(tmp_path / "a.h5", columns(100))
    stream = iterate_events(path, features=["met", "x"], step_size="0.12 kB")
    lengths = [[len(chunk.data) for chunk in stream] for _ in range(2)]
    assert lengths[0] == lengths[1] == [10] * 10
    assert "1 files" in repr(stream)


def test_processes_are_scaled_to_the_luminosity(tmp_path):
    data = columns(60)
    path = write(tmp_path / "a.csv", data)
    one = {"files": path, "label": 1, "cross_section": 3.0, "sum_weights": 120.0}
    events = read_events(
        features=["met"],
        weight="w",
        selection="met > 20",
        luminosity=10.0,
        processes={
            "given": one,
            "own": {"files": path, "label": 0, "cross_section": 3.0},
            "plain": {"files": path, "label": 0, "weight": None, "scale": 0.5, "selection": None},
        },
    )
    passed = data["met"] > 20
    part = {name: events.weight[events.process == name] for name in ("given", "own", "plain")}
    np.testing.assert_allclose(part["given"], 10 * 3 / 120 * data["w"][passed])
    np.testing.assert_allclose(part["own"], 10 * 3 / data["w"].sum() * data["w"][passed])
    np.testing.assert_allclose(part["plain"], np.full(60, 0.5))
    assert events.luminosity == 10.0
    np.testing.assert_array_equal(events.target, (events.process == "given").astype(int))


def test_generated_weights_of_another_tree(tmp_path):
    path = tmp_path / "a.root"
    with uproot.recreate(path) as file:
        file.mktree("Events", {"x": "f4"}).extend({"x": np.arange(4, dtype=np.float32)})
        file.mktree("Runs", {"sumw": "f8"}).extend({"sumw": np.array([30.0, 10.0])})
    process = {"files": path, "cross_section": 2.0, "sum_weights": ("Runs", "sumw")}
    given = {"features": ["x"], "processes": {"p": process}, "luminosity": 4.0}
    np.testing.assert_allclose(read_events(tree="Events", **given).weight, np.full(4, 0.2))
    with pytest.raises(ValueError, match="has the trees Events, Runs: give tree="):
        read_events(**given)


@pytest.fixture
def jets(tmp_path):
    pt = ak.Array([[20.0, 50.0], [], [40.0], [10.0, 30.0, 60.0]])
    eta = ak.Array([[0.1, 0.2], [], [0.3], [0.4, 0.5, 0.6]])
    path = tmp_path / "jets.root"
    with uproot.recreate(path) as file:
        records = ak.zip({"pt": pt, "eta": eta})
        made = file.mktree("t", {"Jet": "var * {pt: float64, eta: float64}", "met": "f4"})
        for rows in (slice(0, 2), slice(2, 4)):
            made.extend({"Jet": records[rows], "met": np.arange(4, dtype=np.float32)[rows]})
    return path


def test_clouds_and_named_inputs(jets):
    events = read_events(jets, features={"e": ["met"], "jets": ["Jet_pt", "Jet_eta"]})
    assert isinstance(events.data, Events)
    assert events.feature_names == {"e": ["met"], "jets": ["Jet_pt", "Jet_eta"]}
    cloud = events.data["jets"]
    assert cloud.shape == (4, 3, 2)
    np.testing.assert_allclose(cloud[3, :, 0], [60, 30, 10])
    np.testing.assert_allclose(cloud[0, :, 1], [0.2, 0.1, np.nan])
    assert list(events.data["e"].columns) == ["met"]
    central = read_events(jets, features={"pt": "Jet_pt[Jet_eta < 0.35]"}, max_particles=2)
    np.testing.assert_allclose(
        central.data[:, :, 0], [[50, 20], [np.nan] * 2, [40, np.nan], [np.nan] * 2]
    )
    stream = iterate_events(
        jets, features={"j": ["Jet_pt"]}, max_particles={"j": 3}, step_size=1, selection="met != 1"
    )
    parts = [chunk.data["j"] for chunk in stream]
    whole = read_events(jets, features={"j": ["Jet_pt"]}, selection="met != 1").data["j"]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_awkward_library_keeps_jagged_columns(jets):
    data = read_events(jets, features=["met", "Jet_pt"], library="awkward").data
    assert data["Jet_pt"].to_list()[0] == [20.0, 50.0]
    particles = read_events(jets, features=["Jet_pt", "Jet_eta"], library="awkward").data
    assert particles.to_list()[2] == [{"Jet_pt": 40.0, "Jet_eta": 0.3}]


def test_jagged_parquet_with_missing_lists(tmp_path):
    path = tmp_path / "a.parquet"
    frame = pd.DataFrame({"x": [1.0, None, 3.0], "j": [[1.0, None], None, [4.0]], "k": [1, 2, 3]})
    frame.to_parquet(path)
    X = read_events(path, features=["x", "count(j)", "j[:, 0]", "k"]).data
    np.testing.assert_array_equal(X["x"], [1, np.nan, 3])
    np.testing.assert_array_equal(X["count(j)"], [2, 0, 1])
    np.testing.assert_array_equal(X["j[:, 0]"], [1, np.nan, 4])


def test_hdf5_groups_compound_sets_and_texts(tmp_path):
    path = tmp_path / "a.h5"
    table = np.array([(1.0, 5), (2.0, 6)], dtype=[("x", "f4"), ("n", "i8")])
    with h5py.File(path, "w") as file:
        file["in/met"] = [10.0, 20.0]
        file["in/pt"] = [[1.0, 2.0], [3.0, 4.0]]
        file["in/mask"] = [[True, False], [True, True]]
        file["in/kind"] = [b"s", b"b"]
        file["table"] = table
        lists = file.create_dataset("lists", 2, dtype=h5py.vlen_dtype(np.float32))
        lists[0], lists[1] = [1.0, 2.0, 3.0], []
    events = read_events(path, "in", ["met", "sum(pt[mask])"], label="kind")
    np.testing.assert_array_equal(events.data.to_numpy(), [[10, 1], [20, 7]])
    assert events.target.tolist() == ["s", "b"]
    assert events.class_yields == {"b": 1.0, "s": 1.0}
    assert read_events(path, "table", ["x"], event_number="n").event_number.tolist() == [5, 6]
    assert read_events(path, features=["in/met", "count(lists)"]).data.shape == (2, 2)
    with pytest.raises(ValueError, match=r"no group 'inn'.*'in'"):
        read_events(path, "inn", ["met"])
    with h5py.File(path, "a") as file:
        file["in/short"] = [1.0]
    with pytest.raises(ValueError, match="'met' has 2 entries, 'short' 1"):
        read_events(path, "in", ["met", "short"])


def test_unsigned_identifiers(tmp_path):
    event = np.array([2**63 + 5, 3], dtype=np.uint64)
    path = tmp_path / "a.npz"
    np.savez(path, run=np.array([1, 2], dtype=np.uint32), event=event, x=np.zeros(2))
    ids = read_events(path, features=["x"], event_number=["run", "event"]).event_number
    assert ids.dtype == np.uint64
    assert ids.tolist() == [[1, 2**63 + 5], [2, 3]]


def test_progress(tmp_path, capsys):
    path = write(tmp_path / "a.npz", columns())
    read_events(path, features=["met"], verbose=1)
    assert "files" in capsys.readouterr().err


# --- wrong input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": ["mett"]}, "did you mean 'met'"),
        ({"features": None}, "features= is needed"),
        ({"features": []}, "features= is needed"),
        ({"features": ["met", "met"]}, "'met' twice"),
        ({"features": [3]}, "expected the name"),
        ({"features": {"a": []}}, "is empty"),
        ({"features": ["1 + 1"]}, "name no branch"),
        ({"library": "polars"}, "library must be one of"),
        ({"selection": "met > 1e9"}, "selection='met > 1e9' passes no event"),
        ({"selection": "met"}, "a condition is needed"),
        ({"selection": "met > 1 & x < 2"}, "parentheses"),
        ({"weight": "w * 0"}, "are zero"),
        ({"weight": "w / (x - x)"}, "weight .* is (nan|inf|-inf)"),
        ({"event_number": "x"}, "must be an integer"),
        ({"label": "lambel"}, "unknown branch"),
        ({"label": [1]}, "label must be"),
        ({"max_events": 0}, "max_events"),
        ({"max_events": True}, "max_events"),
        ({"max_particles": -1}, "max_particles"),
        ({"max_particles": {"jets": 3}}, "max_particles names 'jets'"),
        ({"luminosity": 0}, "luminosity"),
        ({"tree": "Event"}, "no tree 'Event': did you mean 'Events'"),
        ({"files": None}, "either files= or processes="),
        ({"files": []}, "names no file"),
    ],
)
def test_wrong_arguments(tmp_path, options, message):
    path = write(tmp_path / "a.root", columns())
    given = {"files": path, "features": ["met"], **options}
    if options.get("max_events") is True:
        given["max_events"] = "ten"
    with pytest.raises(ValueError, match=message):
        read_events(**given)


@pytest.mark.parametrize(
    ("process", "message"),
    [
        ({"label": 1}, "with files"),
        ({"files": "a.root", "lable": 1}, "unknown key 'lable': did you mean 'label'"),
        ({"files": "a.root", "cross_section": 1.0}, "give luminosity"),
        ({"files": "a.root", "sum_weights": 1.0}, "no cross_section"),
        ({"files": "a.root", "scale": "two"}, "scale must be a number"),
        ({"files": "a.root"}, "'p' has no label"),
    ],
)
def test_wrong_processes(tmp_path, monkeypatch, process, message):
    monkeypatch.chdir(tmp_path)
    write(Path("a.root"), columns())
    both = {"p": process, "q": {"files": "a.root", "label": 0}}
    with pytest.raises(ValueError, match=message):
        read_events(features=["met"], processes=both)
    with pytest.raises(ValueError, match="sum to"):
        read_events(
            features=["met"], weight="w - w", luminosity=1.0,
            processes={"p": {"files": "a.root", "cross_section": 1.0}},
        )  # fmt: skip


@pytest.mark.parametrize("step_size", [0, -1, True, "10", "10 apples", "0 MB", None, 1.5])
def test_wrong_steps(tmp_path, step_size):
    path = write(tmp_path / "a.npz", columns())
    with pytest.raises(ValueError, match="step_size"):
        iterate_events(path, features=["met"], step_size=step_size)


def test_wrong_files(tmp_path, jets):
    write(tmp_path / "a.npz", columns())
    with pytest.raises(FileNotFoundError, match=r"did you mean 'a.npz'"):
        read_events(tmp_path / "b.npz", features=["met"])
    with pytest.raises(FileNotFoundError, match="give the tree apart, as tree='t'"):
        read_events(f"{jets}:t", features=["met"])
    with pytest.raises(FileNotFoundError, match="no file matches"):
        read_events(str(tmp_path / "*.txt"), features=["met"])
    with pytest.raises(ValueError, match="twice"):
        read_events([tmp_path / "a.npz", str(tmp_path / "*.npz")], features=["met"])
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ValueError, match=r"format '.txt'"):
        read_events(tmp_path / "a.txt", features=["met"])
    with pytest.raises(ValueError, match="has no trees"):
        read_events(tmp_path / "a.npz", "Events", ["met"])
    with pytest.raises(ValueError, match="is jagged and 'met' has one value"):
        read_events(jets, features=["met", "Jet_pt"])
    with pytest.raises(ValueError, match="give max_particles"):
        list(iterate_events(jets, features=["Jet_pt"]))
    with pytest.raises(ValueError, match="is jagged, one value an event"):
        read_events(jets, features=["met"], weight="Jet_pt")
    with pytest.raises(ValueError, match="beyond float32"):
        read_events(jets, features=["met + 1e300 * Jet_pt[:, 0]"], library="numpy")


@pytest.mark.parametrize("suffix", [s for s in FORMATS if s != ".npy"])
def test_truncated_files_are_named(tmp_path, suffix):
    path = write(tmp_path / f"a{suffix}", columns(2000), chunk=500)
    content = path.read_bytes()
    for share in (0.02, 0.5, 0.95):
        path.write_bytes(content[: int(share * len(content)) - (suffix == ".csv")])
        with pytest.raises(OSError, match=rf"a{suffix}' cannot be read.*copy it again"):
            read_events(path, features=["met", "x"], event_number="event")


def test_the_entry_of_a_damaged_basket_is_told(tmp_path):
    good = write(tmp_path / "good.root", columns(400), chunk=100)
    bad = tmp_path / "bad.root"
    content = bytearray(good.read_bytes())
    with uproot.open(good) as file:
        branch = file["Events/met"]
        start = int(branch.member("fBasketSeek")[2])
        size = int(branch.member("fBasketBytes")[2])
    content[start : start + size] = b"\xff" * size
    bad.write_bytes(content)
    with pytest.raises(OSError, match=r"bad.root' cannot be read from entry 200 on"):
        read_events([good, bad], features=["met"])
    assert len(read_events(good, features=["met"]).data) == 400
    stream = iter(iterate_events(bad, features=["met"], step_size=100))
    assert [len(next(stream).data) for _ in range(2)] == [100, 100]
    with pytest.raises(OSError, match="from entry 200 on"):
        next(stream)


def test_pickles_and_headless_tables_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"x": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(OSError, match="cannot be read"):
        read_events(tmp_path / "a.npy", features=["data"])
    (tmp_path / "a.csv").write_text("1.0,2.0\n3.0,4.0\n")
    with pytest.raises(ValueError, match="names of its columns"):
        read_events(tmp_path / "a.csv", features=["1.0"])
    (tmp_path / "b.csv").write_text("x,kind\n1.0,s\n2.0,b\n")
    with pytest.raises(ValueError, match=r"'kind' holds .*a number is needed"):
        read_events(tmp_path / "b.csv", features=["x", "kind"])


def test_one_file_under_two_names(tmp_path):
    path = write(tmp_path / "a.csv", columns())
    (tmp_path / "link.csv").symlink_to(path)
    for other in (tmp_path / "link.csv", tmp_path / ".." / tmp_path.name / "a.csv"):
        with pytest.raises(ValueError, match=r"comes twice in files \(as '.*a\.csv', too\)"):
            read_events([path, other], features=["x"])


def test_collections_that_differ_do_not_mix(tmp_path):
    jagged = {"jet": ak.Array([[1.0, 2.0], []]), "lepton": ak.Array([[1.0], [2.0]])}
    with uproot.recreate(tmp_path / "a.root") as file:
        file.mktree("t", {name: array.type.content for name, array in jagged.items()})
        file["t"].extend(jagged)
    with pytest.raises(ValueError, match=r"'jet \+ lepton': its jagged branches have different"):
        read_events(tmp_path / "a.root", features=["jet + lepton"])
    with pytest.raises(ValueError, match="'jet' and 'lepton' have different numbers of particles"):
        read_events(tmp_path / "a.root", features=["jet", "lepton"], library="awkward")


def test_parts_of_split_branches_are_named(tmp_path):
    path = write(tmp_path / "a.root", columns())
    with RootSource(str(path)) as source:
        # nothing that writes split branches is at hand: one is put below another by hand
        parent, part = source.tree["met"], source.tree["x"]
        part._parent, parent._members["fBranches"] = parent, [part]
        branches = source.tree.member("fBranches")
        source.tree._members["fBranches"] = [one for one in branches if one.name != "x"]
        source.names = source.tree.keys(recursive=False)
        with pytest.raises(ValueError, match=r"unknown branch 'x'.*'met/x' is a part of a split"):
            compile_all(["x / 2"], source)
        with pytest.raises(ValueError, match=r"there are[^/]*$"):
            compile_all(["nothing_like_it"], source)
