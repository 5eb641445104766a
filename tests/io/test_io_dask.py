"""Scores written file by file, side by side, on one machine and on Dask workers."""

import os
import signal
import threading
import time
import warnings

import joblib
import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression

from skhep_ml.cli import main
from skhep_ml.io import read_events, write_scores

distributed = pytest.importorskip("distributed", reason="needs dask.distributed (extra dask)")
dask = pytest.importorskip("dask")
pytest.importorskip("pyarrow")

N_FILES, N = 6, 50


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"events_{k}.npz" for k in range(N_FILES)]
    rng = np.random.default_rng(0)
    for path in paths:
        x = rng.normal(size=N)
        np.savez(path, x=x, y=2 * x)
    return paths


@pytest.fixture
def model(files):
    events = read_events(files, features=["x"], label="y")
    return LinearRegression().fit(events.data, events.target)


@pytest.fixture
def client():
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of ports in use
        with (
            distributed.LocalCluster(**options) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client


def check(files, written, folder):
    assert written == [folder / path.with_suffix(".parquet").name for path in files]
    for path, out in zip(files, written, strict=True):
        score = read_events(out, features=["score"]).data["score"]
        np.testing.assert_allclose(score, np.load(path)["y"], rtol=1e-5)


def test_files_side_by_side(files, model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = [path.name for path in files]  # seen from here
    with joblib.parallel_config("threading"):
        written = write_scores(model, names, "out", n_jobs=2, verbose=1)
    check(files, written, type(tmp_path)("out"))
    assert f"{N_FILES}/{N_FILES}" in capsys.readouterr().err
    assert len(os.listdir("out")) == N_FILES


def test_an_error_in_a_file_is_raised_and_leaves_nothing_of_it(files, model, tmp_path):
    np.savez(files[3], x=np.append(np.zeros(20), np.nan))  # LinearRegression refuses NaN
    out = tmp_path / "out"
    with (
        joblib.parallel_config("threading"),
        pytest.raises(ValueError, match="Input X contains NaN"),
    ):
        write_scores(model, files, out, n_jobs=2, step_size=10)
    left = os.listdir(out)
    assert "events_0.parquet" in left
    assert not [name for name in left if "events_3" in name]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills a process")
def test_a_killed_worker_loses_nothing(client, files, model, tmp_path):
    folder = tmp_path / "out"

    class Slow(RegressorMixin, BaseEstimator):
        feature_names_in_ = model.feature_names_in_

        def predict(self, X):
            time.sleep(0.1)
            return model.predict(X)

    victim, _ = client.run(os.getpid).values()

    def kill():
        for _ in range(3000):
            if folder.is_dir() and any(folder.glob("*.parquet")):
                os.kill(victim, signal.SIGKILL)
                return
            time.sleep(0.02)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    with joblib.parallel_config("dask", client=client):
        written = write_scores(Slow(), files, folder, step_size=10)
    thread.join()
    assert victim not in client.run(os.getpid).values()
    check(files, written, folder)


def test_apply_on_workers(files, model, tmp_path, monkeypatch, capsys):
    how = {"tree": None, "features": ["x"], "event_number": []}
    monkeypatch.setattr("skhep_ml.cli._trained", lambda path: (model, how))
    command = ["apply", "model.skml", *map(str, files), "--out", str(tmp_path / "scored")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of ports in use
        assert main([*command, "--dask", "local"]) == 0
    written = capsys.readouterr().out.split()
    check(files, [type(tmp_path)(path) for path in written], tmp_path / "scored")
    with dask.config.set({"distributed.comm.timeouts.connect": "0.1s"}):
        assert main([*command, "--overwrite", "--dask", "tcp://127.0.0.1:1"]) == 2
    assert "connect" in capsys.readouterr().err
