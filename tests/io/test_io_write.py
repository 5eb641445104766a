import signal
import subprocess
import sys

import numpy as np
import pytest
import sklearn
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skhep_ml.io import read_events, write_scores
from skhep_ml.model_selection import RotatingClassifier

ak = pytest.importorskip("awkward")
uproot = pytest.importorskip("uproot")
pd = pytest.importorskip("pandas")
pq = pytest.importorskip("pyarrow.parquet")

N = 60
FEATURES = ["met", "sum(Jet_pt)"]
IDS = ["run", "event"]


@pytest.fixture
def root(tmp_path):
    """A tree with flat, fixed-size and jagged branches, and other objects beside it."""
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 4, N)
    jets = ak.unflatten(
        ak.zip({"pt": rng.exponential(40, counts.sum()), "eta": rng.normal(size=counts.sum())}),
        counts,
    )
    types = {
        "Jet": "var * {pt: float64, eta: float64}", "met": "f4", "run": "u4", "event": "u8",
        "vector": np.dtype(("f4", (3,))), "passed": "?", "tags": "var * int32",
    }  # fmt: skip
    data = {
        "Jet": jets,
        "met": rng.exponential(30, N).astype(np.float32),
        "run": np.full(N, 1, dtype=np.uint32),
        "event": np.arange(N, dtype=np.uint64) + 2**60,
        "vector": rng.normal(size=(N, 3)).astype(np.float32),
        "passed": rng.random(N) < 0.5,
        "tags": ak.values_astype(ak.unflatten(np.arange(counts.sum()), counts), np.int32),
    }
    path = tmp_path / "in.root"
    with uproot.recreate(path) as file:
        file["h"] = np.histogram(np.arange(10.0))
        file["plots/h2"] = np.histogram(np.arange(5.0))
        tree = file.mktree("Events", types)
        for start in range(0, N, 25):
            tree.extend({name: column[start : start + 25] for name, column in data.items()})
        file.mktree("Runs", {"n": "i8", "w": "var * float32"}).extend(
            {"n": [3, 4], "w": ak.Array([[1.0], []])}
        )
    return path


def events_of(path):
    return read_events(
        path, "Events", FEATURES, label="met > 25", event_number=IDS if path.suffix else None
    )


@pytest.fixture
def rotating(root):
    events = events_of(root)
    model = RotatingClassifier(LogisticRegression(), n_splits=3)
    return model.fit(events.data, events.target, groups=events.event_number)


@pytest.mark.parametrize("step_size", [7, "100 MB"])
@pytest.mark.parametrize("suffix", [".root", ".parquet"])
def test_friend_of_a_rotating_model(root, rotating, tmp_path, suffix, step_size):
    events = events_of(root)
    (out,) = write_scores(
        rotating, root, tmp_path / f"out{suffix}",
        tree="Events", features=FEATURES, event_number=IDS, step_size=step_size,
    )  # fmt: skip
    expected = rotating.predict_proba(events.data, groups=events.event_number)[:, 1]
    written = read_events(out, features=["score"], event_number=IDS)
    np.testing.assert_array_equal(written.event_number, events.event_number)
    np.testing.assert_array_equal(written.data["score"], expected.astype(np.float32))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.root", out.name]


@pytest.mark.parametrize("step_size", [7, "100 MB"])
def test_copy_keeps_everything(root, rotating, tmp_path, step_size):
    (out,) = write_scores(
        rotating, root, tmp_path / "copy" / "out.root", tree="Events", features=FEATURES,
        event_number=IDS, friend=False, branch="bdt", step_size=step_size,
    )  # fmt: skip
    with uproot.open(root) as old, uproot.open(out) as new:
        assert new.classnames() == old.classnames()
        assert set(new["Events"].keys()) == {*old["Events"].keys(), "bdt"}
        for tree in ("Events", "Runs"):
            for name in old[tree].keys():  # noqa: SIM118
                assert ak.array_equal(new[tree][name].array(), old[tree][name].array()), name
                assert new[tree][name].typename == old[tree][name].typename
        assert new["plots/h2"].values().sum() == 5
    events = events_of(root)
    again = read_events(out, "Events", ["bdt"]).data["bdt"]
    expected = rotating.predict_proba(events.data, groups=events.event_number)[:, 1]
    np.testing.assert_array_equal(again, expected.astype(np.float32))


def test_copy_of_parquet(tmp_path):
    frame = pd.DataFrame({"x": np.arange(50.0), "j": [[1.0] * (k % 3) for k in range(50)]})
    frame.to_parquet(tmp_path / "a.parquet", row_group_size=20)
    model = LinearRegression().fit(frame[["x"]], 3 * frame["x"])
    (out,) = write_scores(
        model, tmp_path / "a.parquet", tmp_path / "b.parquet", friend=False, step_size=8
    )
    table = pq.read_table(out)
    assert table.drop(["score"]).equals(pq.read_table(tmp_path / "a.parquet"))
    np.testing.assert_allclose(table["score"].to_numpy(), 3 * np.arange(50.0), atol=1e-4)


def test_pipeline_with_a_rotating_model_and_routing(root, tmp_path):
    events = events_of(root)
    with sklearn.config_context(enable_metadata_routing=True):
        model = make_pipeline(StandardScaler(), RotatingClassifier(LogisticRegression(), 3))
        model.fit(events.data, events.target, groups=events.event_number)
        expected = model.predict_proba(events.data, groups=events.event_number)[:, 1]
        (out,) = write_scores(
            model, root, tmp_path / "o.root", tree="Events", features=FEATURES, event_number=IDS
        )
    np.testing.assert_array_equal(
        read_events(out, features=["score"]).data["score"], expected.astype(np.float32)
    )


@pytest.mark.parametrize("suffix", [".csv", ".npz"])
def test_classes_folders_and_other_formats(tmp_path, suffix):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(90, 2))
    label = np.array(["W+jets", "Z", "tt"])[np.arange(90) % 3]
    model = LogisticRegression().fit(X, label)
    paths = [tmp_path / f"{k}{suffix}" for k in range(2)]
    for k, path in enumerate(paths):
        part = X[k::2]
        if suffix == ".csv":
            pd.DataFrame({"a": part[:, 0], "b": part[:, 1]}).to_csv(path, index=False)
        else:
            np.savez(path, a=part[:, 0], b=part[:, 1])
    out = write_scores(model, paths, tmp_path / "scores", features=["a", "b"], verbose=1)
    assert out == [tmp_path / "scores" / f"{k}.parquet" for k in range(2)]
    names = ["score_W_jets", "score_Z", "score_tt"]
    for k, path in enumerate(out):
        written = read_events(path, features=names, library="numpy").data
        expected = model.predict_proba(X[k::2].astype(np.float32))
        np.testing.assert_allclose(written, expected, atol=1e-6)


def test_empty_trees_get_empty_friends(rotating, tmp_path):
    types = {"met": "f4", "Jet_pt": "var * float64", "run": "u4", "event": "u8"}
    with uproot.recreate(tmp_path / "none.root") as file:
        file.mktree("Events", types)
    given = {"tree": "Events", "features": FEATURES, "event_number": IDS}
    for friend in (True, False):
        (out,) = write_scores(
            rotating, tmp_path / "none.root", tmp_path / f"{friend}.root", friend=friend, **given
        )
        with uproot.open(out) as file:
            tree = file["scores" if friend else "Events"]
            assert tree.num_entries == 0
            assert "score" in tree


def test_overwriting_has_to_be_asked_for(root, rotating, tmp_path):
    given = {"tree": "Events", "features": FEATURES, "event_number": IDS}
    (out,) = write_scores(rotating, root, tmp_path / "o.root", **given)
    before = out.read_bytes()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        write_scores(rotating, root, out, **given)
    assert out.read_bytes() == before
    write_scores(rotating, root, out, overwrite=True, branch="other", **given)
    assert read_events(out, features=["other"]).data.shape == (N, 1)
    with pytest.raises(ValueError, match="is an input"):
        write_scores(rotating, root, root, overwrite=True, **given)


class Fails:
    """Predicts twice, then no more."""

    calls = 0

    def predict(self, X):
        self.calls += 1
        if self.calls > 2:
            msg = "out of order"
            raise RuntimeError(msg)
        return X[:, 0]


def test_an_error_leaves_nothing_behind(root, tmp_path):
    out = tmp_path / "out" / "o.root"
    with pytest.raises(RuntimeError, match="out of order"):
        write_scores(Fails(), root, out, tree="Events", features=["met"], step_size=10)
    assert list(out.parent.iterdir()) == []
    assert root.exists()


def test_a_killed_run_leaves_nothing_under_the_name(root, tmp_path):
    out = tmp_path / "out" / "o.root"
    code = f"""
import time
from skhep_ml.io import write_scores

class Slow:
    calls = 0
    def predict(self, X):
        self.calls += 1
        if self.calls > 2:
            print("writing", flush=True)
            time.sleep(60)
        return X[:, 0]

write_scores(Slow(), {str(root)!r}, {str(out)!r}, tree="Events", features=["met"], step_size=10)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    assert not out.exists()
    write_scores(LinearModel(), root, out, tree="Events", features=["met"])
    assert read_events(out, features=["score"]).data.shape == (N, 1)


class LinearModel:
    def predict(self, X):
        return 2 * X[:, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"event_number": None}, "give event_number="),
        ({"event_number": "event"}, "columns"),
        ({"features": ["mett"]}, "did you mean 'met'"),
        ({"tree": "Event"}, "did you mean 'Events'"),
        ({"branch": "my score"}, "branch must be a name"),
        ({"branch": "met", "friend": False}, "has a branch 'met' already"),
        ({"out": "o.parquet", "friend": False}, "a copy is made of ROOT"),
        ({"out": "o.h5"}, "must end in one of"),
        ({"features": None}, "did you mean|unknown branch"),
        ({"step_size": 0}, "step_size"),
    ],
)
def test_wrong_arguments(root, rotating, tmp_path, options, message):
    given = {"tree": "Events", "features": FEATURES, "event_number": IDS, "out": "o.root"}
    given.update(options)
    if given["features"] is None:
        given["event_number"] = None
        model = LinearRegression().fit(pd.DataFrame({"nothing": [1.0, 2.0]}), [1.0, 2.0])
    else:
        model = rotating
    out = tmp_path / "out" / given.pop("out")
    with pytest.raises(ValueError, match=message):
        write_scores(model, root, out, **given)
    assert not out.exists()


def test_wrong_models(root, tmp_path):
    given = {"files": root, "out": tmp_path / "o.root", "tree": "Events"}
    with pytest.raises(ValueError, match="without names of columns: give features="):
        write_scores(LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0]), **given)
    with pytest.raises(ValueError, match="cannot predict"):
        write_scores(StandardScaler(), features=["met"], **given)
    texts = LogisticRegression().fit([[0.0], [1.0]], ["a", "b"])
    labels = type("Labels", (), {"predict": texts.predict})()
    with pytest.raises(ValueError, match="only numbers can be written"):
        write_scores(labels, features=["met"], **given)
    other = tmp_path / "more" / "in.root"
    other.parent.mkdir()
    other.write_bytes(root.read_bytes())
    with pytest.raises(ValueError, match="several files would be written"):
        write_scores(
            LinearModel(), [root, other], tmp_path / "all", tree="Events", features=["met"]
        )
    with pytest.raises(ValueError, match="give a folder"):
        write_scores(LinearModel(), [root, other], tmp_path / "o.root", features=["met"])
    with uproot.recreate(tmp_path / "s.root") as file:
        file.mktree("t", {"x": "f4", "s": "string"}).extend(
            {"x": np.zeros(1, dtype=np.float32), "s": ak.Array(["a"])}
        )
    with pytest.raises(ValueError, match=r"'s' of type .* cannot be copied.*friend=True"):
        write_scores(
            LinearModel(), tmp_path / "s.root", tmp_path / "o.root", features=["x"], friend=False
        )


def test_folders_that_cannot_be_written_to(root, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match="cannot write to the output directory"):
        write_scores(
            LinearModel(), root, tmp_path / "file" / "o.root", tree="Events", features=["met"]
        )
