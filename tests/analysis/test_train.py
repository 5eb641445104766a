import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from skhep_ml import model_selection
from skhep_ml.cli import main

pytest.importorskip("skops", reason="needs skops (extra save)")
uproot = pytest.importorskip("uproot", reason="needs uproot (extra root)")
DATA = Path(__file__).parents[3] / "shared" / "data"

FILE = """
[input]
event_number = ["run", "event"]
weight = "w"
selection = "x > -2.5"

[features]
x = "x"
ratio = "y / (1 + abs(x))"

[processes.signal]
files = "signal.root"
label = 1

[processes.background]
files = "background*.root"
label = 0

[[pipeline]]
class = "AutoScaler"

[[pipeline]]
class = "LogisticRegression"

[folds]
n_splits = 3

[output]
folder = "out"
report = false
scores = "copy"
"""


def write_events(path, n, shift, seed):
    rng = np.random.default_rng(seed)
    events = {
        "run": np.full(n, seed),
        "event": np.arange(n),
        "w": np.where(rng.random(n) < 0.1, -1.0, 1.0),
        "x": rng.normal(shift, size=n),
        "y": rng.normal(shift, size=n),
    }
    with uproot.recreate(path) as file:
        file.mktree("events", {name: values.dtype for name, values in events.items()})
        file["events"].extend(events)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    few = functools.partial(model_selection.fold_scores, n_replicas=10)  # to be quick
    monkeypatch.setattr(model_selection, "fold_scores", few)
    write_events(tmp_path / "signal.root", 200, 1.0, 1)
    write_events(tmp_path / "background1.root", 150, -0.5, 2)
    write_events(tmp_path / "background2.root", 100, -0.5, 3)
    (tmp_path / "a.toml").write_text(FILE)
    return tmp_path


def scores(path):
    with uproot.open(path) as file:
        return file["events"]["score"].array(library="np")


def test_train_writes_scores_of_models_that_did_not_see_the_events(folder, capsys):
    assert main(["train", str(folder / "a.toml")]) == 0
    printed = capsys.readouterr()
    assert "pooled" in printed.out
    assert "[2/4] rotating cross-validation, 3 folds" in printed.err
    found = json.loads((folder / "out" / "scores.json").read_text())
    assert found["roc_auc"]["pooled"] > 0.8
    assert ".made_from" not in printed.out
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        ".made_from.json", "folds", "model.skml", "scored", "scores.json",
    ]  # fmt: skip

    from skhep_ml.export import load

    model = load(folder / "out" / "model.skml")
    with uproot.open(folder / "background2.root") as file:
        tree = file["events"].arrays(library="np")
    X = np.column_stack([tree["x"], tree["y"] / (1 + abs(tree["x"]))])
    names = model.feature_names_in_.tolist()
    assert names == ["x", "ratio"]
    import pandas as pd

    expected = model.predict_proba(
        pd.DataFrame(X, columns=names), groups=np.column_stack([tree["run"], tree["event"]])
    )[:, 1]
    written = scores(folder / "out" / "scored" / "background" / "background2.root")
    np.testing.assert_allclose(written, expected, rtol=1e-6)


def test_again_takes_over_what_is_there_and_a_change_does_not(folder, monkeypatch):
    from skhep_ml.linear_model import LogisticRegression

    assert main(["train", str(folder / "a.toml")]) == 0
    first = {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("*.*")}
    fits = []
    fit = LogisticRegression.fit
    monkeypatch.setattr(
        LogisticRegression,
        "fit",
        lambda self, *args, **kw: fits.append(1) or fit(self, *args, **kw),
    )
    assert main(["train", str(folder / "a.toml")]) == 0
    assert fits == []
    for path, when in first.items():
        if path.parent.name in ("signal", "background"):
            assert path.stat().st_mtime_ns == when
    text = FILE.replace('"LogisticRegression"', '"LogisticRegression"\nC = 0.1')
    (folder / "a.toml").write_text(text)
    assert main(["train", str(folder / "a.toml")]) == 0
    assert len(fits) == 3
    assert len(list((folder / "out" / "folds").iterdir())) == 3


def test_scores_are_those_of_the_model_also_after_a_change_and_back(folder):
    background = folder / "out" / "scored" / "background"
    files = {"a": FILE, "b": FILE.replace('"LogisticRegression"', '"LogisticRegression"\nC = 1e-4')}
    files["b"] = files["b"].replace("background*", "background1")
    written = {}
    for name in ("a", "b"):
        (folder / f"{name}.toml").write_text(files[name])
        assert main(["train", str(folder / f"{name}.toml")]) == 0
        written[name] = scores(background / "background1.root")
    # what the second did not make is gone, and not left to be taken for its own
    assert not (background / "background2.root").exists()
    assert not np.array_equal(written["a"], written["b"])
    assert main(["train", str(folder / "a.toml")]) == 0
    np.testing.assert_array_equal(scores(background / "background1.root"), written["a"])
    assert (background / "background2.root").exists()


def test_a_record_that_names_other_folders_is_not_followed(tmp_path):
    from skhep_ml._analysis._outputs import keep_only

    (tmp_path / "out").mkdir()
    (tmp_path / "mine").write_text("x")
    record = tmp_path / "out" / ".made_from.json"
    for text in ('{"outputs": ["../mine"]}', "[]", '{"outputs": 3}', "{", '{"outputs": [3]}'):
        record.write_text(text)
        keep_only(tmp_path / "out", [1], ["model.skml"])
        assert json.loads(record.read_text()) == {"made_from": [1], "outputs": ["model.skml"]}
    assert (tmp_path / "mine").exists()


def test_files_of_one_name_in_several_folders(folder):
    for name in ("background1", "background2"):
        (folder / name).mkdir()
        (folder / f"{name}.root").rename(folder / name / "part.root")
    (folder / "a.toml").write_text(FILE.replace("background*.root", "background*/part.root"))
    assert main(["train", str(folder / "a.toml")]) == 0
    scored = folder / "out" / "scored" / "background"
    assert len(scores(scored / "background1" / "part.root")) == 150
    assert len(scores(scored / "background2" / "part.root")) == 100


def test_three_labels_and_steps_of_scikit_learn(folder):
    text = FILE.replace("AutoScaler", "StandardScaler").replace("n_splits = 3", "n_splits = 2")
    text = text.replace('"LogisticRegression"', '"sklearn.LogisticRegression"')
    text = text.replace("background*", "background1").replace('"w"', '"abs(w)"')
    text += '[processes.third]\nfiles = "background2.root"\nlabel = 2\n'
    (folder / "a.toml").write_text(text.replace('scores = "copy"', 'scores = "friend"'))
    assert main(["train", str(folder / "a.toml")]) == 0
    found = json.loads((folder / "out" / "scores.json").read_text())
    assert 0.5 < found["roc_auc"]["pooled"] < 1
    with uproot.open(folder / "out" / "scored" / "third" / "background2.root") as file:
        parts = file["scores"].arrays(["score_0", "score_1", "score_2"], library="np")
    np.testing.assert_allclose(sum(parts.values()), 1, rtol=1e-5)


SLOW = """
import sys, time
from skhep_ml.cli import main
from skhep_ml.linear_model import LogisticRegression

fit = LogisticRegression.fit
def slow(self, *args, **params):
    time.sleep(float(sys.argv[2]))
    return fit(self, *args, **params)
LogisticRegression.fit = slow
sys.exit(main(["train", sys.argv[1]]))
"""
SEARCH = """
[search]
n_iter = 3
n_splits = 2
space.logisticregression__C = {low = 0.01, high = 10.0, log = true}
"""


@pytest.mark.parametrize(
    ("pattern", "text", "seconds"),
    [("out/folds/*.trials", FILE + SEARCH, "0.05"), ("out/folds/*.skml", FILE, "0.5")],
)
def test_killed_it_goes_on(folder, pattern, text, seconds):
    text = text.replace("n_splits = 3", "n_splits = 2")
    (folder / "a.toml").write_text(text)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = [sys.executable, "-c", SLOW, str(folder / "a.toml"), seconds]
    process = subprocess.Popen(run, env=environment, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 100
    while not list(folder.glob(pattern)):
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "out" / "model.skml").exists()
    assert not (folder / "out" / "scored").exists()
    assert main(["train", str(folder / "a.toml")]) == 0
    resumed = json.loads((folder / "out" / "scores.json").read_text())
    from skhep_ml.export import load

    # where the trials were kept is no part of the model
    assert getattr(load(folder / "out" / "model.skml").estimator, "checkpoint", None) is None
    (folder / "a.toml").write_text(text.replace('"out"', '"whole"'))
    assert main(["train", str(folder / "a.toml")]) == 0
    assert json.loads((folder / "whole" / "scores.json").read_text()) == resumed


def test_apply_and_export(folder, capsys, monkeypatch):
    pytest.importorskip("skl2onnx", reason="needs skl2onnx (extra onnx)")
    monkeypatch.chdir(folder)
    assert main(["train", "a.toml"]) == 0
    assert main(["apply", "out/model.skml", "signal.root", "--branch", "p", "--copy"]) == 0
    with uproot.open("scored/signal.root") as file:
        again = file["events"]["p"].array(library="np")
    np.testing.assert_array_equal(again, scores("out/scored/signal/signal.root"))
    assert main(["apply", "out/model.skml", "signal.root"]) == 2
    assert "exists" in capsys.readouterr().err
    assert main(["export", "out/model.skml", "model.onnx"]) == 0
    assert Path("model.onnx").stat().st_size > 1000


def test_report_alone(folder, capsys, monkeypatch):
    called = {}
    monkeypatch.setattr(
        "skhep_ml.report.make_report", lambda *args, **options: called.update(options, args=args)
    )
    assert main(["report", str(folder / "a.toml")]) == 2
    assert "model.skml" in capsys.readouterr().err
    assert main(["train", str(folder / "a.toml")]) == 0
    assert not called
    assert main(["report", str(folder / "a.toml")]) == 0
    assert called["path"] == [folder / "out" / "report.html", folder / "out" / "report.json"]
    model, X, y = called["args"]
    assert len(X) == len(y) == len(called["groups"])
    assert model.predict_proba(X, groups=called["groups"]).shape == (len(y), 2)


def test_a_report_on_other_events_is_refused(folder, capsys, monkeypatch):
    monkeypatch.setattr("skhep_ml.report.make_report", lambda *args, **options: None)
    assert main(["train", str(folder / "a.toml")]) == 0
    write_events(folder / "background1.root", 150, -0.5, 9)
    assert main(["report", str(folder / "a.toml")]) == 2
    assert "are not those that" in capsys.readouterr().err
    assert main(["train", str(folder / "a.toml")]) == 0
    assert main(["report", str(folder / "a.toml")]) == 0


def test_a_file_that_is_older_than_the_scores_but_another(folder):
    place = folder / "background1.csv"
    header = "run,event,w,x,y"
    rng = np.random.default_rng(0)
    (folder / "background1.root").unlink()
    text = FILE.replace('"background*.root"', '"background*"').replace('"copy"', '"friend"')
    (folder / "a.toml").write_text(text)
    written = []
    for shift in (0.0, 0.5):
        values = np.column_stack([np.full(50, 2), np.arange(50), np.ones(50)])
        table = np.hstack([values, rng.normal(shift, size=(50, 2))])
        np.savetxt(place, table, delimiter=",", header=header, comments="", fmt="%.6g")
        os.utime(place, (10**9, 10**9))
        assert main(["train", str(folder / "a.toml")]) == 0
        import pandas as pd

        out = folder / "out" / "scored" / "background" / "background1.parquet"
        written.append(pd.read_parquet(out)["score"].to_numpy())
    assert np.abs(written[0] - written[1]).max() > 0.01


def test_a_metric_that_fails_leaves_the_model(folder, capsys, monkeypatch):
    def fail(*args, **options):
        msg = "fold 2 has no signal"
        raise ValueError(msg)

    monkeypatch.setattr(model_selection, "fold_scores", fail)
    assert main(["train", str(folder / "a.toml")]) == 2
    assert capsys.readouterr().err.endswith("skhep-ml: error: fold 2 has no signal\n")
    assert not (folder / "out" / "scores.json").exists()
    assert main(["apply", str(folder / "out" / "model.skml"), str(folder / "signal.root"),
                 "--out", str(folder / "applied")]) == 0  # fmt: skip
    assert (folder / "applied" / "signal.root").exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('x = "x"', 'x = "xx"', "'xx'"),
        ('"w"', '"weight"', "'weight'"),
        ("x > -2.5", "x > 1e9", "no event"),
        ('files = "signal.root"', 'files = "a.toml"', "a.toml"),
    ],
)
def test_files_that_do_not_hold_what_is_asked_for(folder, capsys, old, new, said):
    assert old in FILE
    (folder / "a.toml").write_text(FILE.replace(old, new))
    assert main(["train", str(folder / "a.toml")]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("skhep-ml: error: ")
    assert said in last
    assert not (folder / "out" / "model.skml").exists()


def test_mistakes_are_listed(folder, capsys):
    (folder / "a.toml").write_text(FILE.replace("n_splits", "splits").replace("[output]", "[out]"))
    assert main(["train", str(folder / "a.toml")]) == 2
    first, second, last = capsys.readouterr().err.splitlines()
    assert first.endswith(
        "a.toml:26: folds.splits: unknown key: did you mean 'n_splits' or 'salt'?"
    )
    assert "a.toml:28: out: unknown key" in second
    assert last == f"skhep-ml: error: 2 mistakes in {folder / 'a.toml'}"


def test_init_and_check(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["init"]) == 0
    assert "analysis.toml" in capsys.readouterr().out
    assert main(["init"]) == 2
    assert "exists" in capsys.readouterr().err
    for name in ("signal", "background"):
        Path(name).mkdir()
        Path(name, "a.root").write_bytes(b"")
    assert main(["train", "--check", "analysis.toml"]) == 0
    assert "no mistakes" in capsys.readouterr().out


@pytest.mark.skipif(not DATA.exists(), reason="needs the folder of real data beside the project")
def test_the_file_of_the_documentation_on_nanoaod(tmp_path, monkeypatch, capsys):
    for package in ("matplotlib", "jinja2", "skl2onnx"):
        pytest.importorskip(package)
    page = (Path(__file__).parents[2] / "docs" / "command_line.rst").read_text()
    block = page.split(".. code-block:: toml\n\n")[1].split("\n\nThe")[0]
    text = "\n".join(line.removeprefix("   ") for line in block.split("\n"))
    for name in ("nanoAOD_2015_CMS_Open_Data_ttbar.root", "NanoAODv5_sample.root"):
        (tmp_path / name).symlink_to(DATA / name)
    monkeypatch.chdir(tmp_path)
    Path("analysis.toml").write_text(text)
    assert main(["train", "analysis.toml"]) == 0
    assert json.loads(Path("results/scores.json").read_text())["roc_auc"]["pooled"] > 0.9
    for name in ("report.html", "model.skml", "model.onnx", "scored/ttbar", "scored/other"):
        assert Path("results", name).exists(), name
    with uproot.open("results/scored/ttbar/nanoAOD_2015_CMS_Open_Data_ttbar.root") as file:
        assert file["scores"].num_entries == 200
        assert file["scores"]["score"].array(library="np").min() >= 0


def with_model(step, search=""):
    text = FILE.replace('class = "LogisticRegression"', step).replace(
        "n_splits = 3", "n_splits = 2"
    )
    return text.replace('scores = "copy"', 'scores = "none"') + search


def test_random_search_over_the_own_space(folder):
    step = 'class = "RandomForestClassifier"\nn_estimators = 5\nn_jobs = 1'
    search = '\n[search]\nmethod = "random"\nn_iter = 2\nn_splits = 2\n'
    search += "space.randomforestclassifier__min_samples_leaf = {low = 2, high = 60, log = true}\n"
    (folder / "a.toml").write_text(with_model(step, search))
    assert main(["train", str(folder / "a.toml")]) == 0

    from skhep_ml.export import load

    model = load(folder / "out" / "model.skml")
    chosen = [
        one.best_params_["randomforestclassifier__min_samples_leaf"] for one in model.estimators_
    ]
    assert all(2 <= leaf <= 60 for leaf in chosen)


def test_a_model_that_cannot_be_kept_is_one_line(folder, capsys):
    step = 'class = "KNeighborsClassifier"\nalgorithm = "ball_tree"\nmetric = "canberra"'
    (folder / "a.toml").write_text(with_model(step))
    assert main(["train", str(folder / "a.toml")]) == 2
    assert "this model cannot be kept in a file" in capsys.readouterr().err.splitlines()[-1]


def test_one_signal_among_three_labels_in_the_scores(folder):
    text = with_model('class = "LogisticRegression"')
    text += '[processes.other]\nfiles = "other.root"\nlabel = 2\n[evaluation]\n'
    text += 'scoring = [{ name = "background_rejection", pos_label = 1 }]\n'
    write_events(folder / "other.root", 120, -3.0, 4)
    (folder / "a.toml").write_text(text.replace("x > -2.5", "x > -25"))
    assert main(["train", str(folder / "a.toml")]) == 0
    (found,) = json.loads((folder / "out" / "scores.json").read_text()).values()
    assert found["pooled"] > 2
