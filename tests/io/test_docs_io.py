"""The page on files runs as it is written."""

import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
import sklearn

from skhep_ml.io import read_events

ak = pytest.importorskip("awkward")
uproot = pytest.importorskip("uproot")
pytest.importorskip("pandas")
PAGE = Path(__file__).parents[2] / "docs" / "io.rst"
N = 400


def write(path, seed):
    """A NanoAOD-like file."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, N)
    n_jets = rng.integers(2, 6, N)
    events = {
        "run": np.full(N, 1, "u4"),
        "luminosityBlock": np.full(N, seed, "u4"),
        "event": np.arange(N, dtype="u8"),
        "genWeight": rng.choice([-1.0, 1.0, 1.0, 1.0], N).astype("f4"),
        "puWeight": np.ones(N, "f4"),
        "w": rng.choice([-1.0, 1.0, 1.0, 1.0], N),
        "is_signal": label,
        "MET_pt": (60 + rng.exponential(30 + 20 * label, N)).astype("f4"),
        "Jet": ak.zip(
            {
                name: ak.unflatten(rng.exponential(40, n_jets.sum()).astype("f4"), n_jets)
                for name in ("pt", "eta", "phi")
            }
        ),
    }
    with uproot.recreate(path) as file:
        types = {k: v.dtype if isinstance(v, np.ndarray) else v.type.content
                 for k, v in events.items()}  # fmt: skip
        file.mktree("Events", types)
        file["Events"].extend(events)
        file.mktree("Runs", {"genEventSumw": "f8"})
        file["Runs"].extend({"genEventSumw": [2.0 * N]})


def test_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ("signal_1", "tt_1", "tt_2", "data", "nano", "big_1", "big_2")
    for seed, name in enumerate(names):
        write(f"{name}.root", seed)
    blocks = re.findall(
        r"^\.\. code-block:: python\n\n((?:(?:   .*)?\n)+)", PAGE.read_text(), flags=re.MULTILINE
    )
    assert len(blocks) == 3
    scope = {}
    with sklearn.config_context(enable_metadata_routing=True):
        for block in blocks:
            code = textwrap.dedent(block).replace("range(10)", "range(2)")
            code = code.replace("NetClassifier(", 'NetClassifier(verbose=0, device="cpu", ')
            exec(compile(code, str(PAGE), "exec"), scope)
    events = scope["events"]
    with uproot.open("signal_1.root") as file:
        signal = file["Events"].arrays(["genWeight", "MET_pt"], library="np")
    passed = signal["genWeight"][signal["MET_pt"] > 50]
    expected = 59.8 * 48.6 / (2 * N) * passed.sum(dtype=float)
    assert events.weight[events.target == 1].sum() == pytest.approx(expected)
    written = read_events("scores.root", features=["score"])
    assert len(written.data) == N
    assert written.data["score"].between(0, 1).all()
