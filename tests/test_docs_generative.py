"""The code of docs/generative.rst runs, on few events and with small models."""

import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skhep_ml.generative import FlowMatching, NormalizingFlow, sample_pipeline
from skhep_ml.metrics import two_sample_auc_scorer
from skhep_ml.preprocessing import AutoScaler

pd = pytest.importorskip("pandas")
pytest.importorskip("zuko", reason="the extra generative is not installed")

PAGE = Path(__file__).parents[1] / "docs" / "generative.rst"
QUICK = 'device="cpu", max_epochs=1'
SMALL = {
    "NormalizingFlow(": f"NormalizingFlow({QUICK}, n_transforms=1, hidden=(8,), ",
    "FlowMatching(": f"FlowMatching({QUICK}, n_steps=1, hidden=(8,), ",
    "Autoencoder(": f"Autoencoder({QUICK}, ",
    "GenerativeUnweighter(": "GenerativeUnweighter(n_jobs=1, estimator=",
    "NeuralResampler(": "NeuralResampler(n_jobs=1, n_splits=2, ",
    "two_sample_auc_scorer()": "two_sample_auc_scorer(n_jobs=1)",
    "[8, 16]": "[8]",
    "[1e-3, 3e-3]": "[1e-3]",
    ").fit(events)": ", cv=2).fit(events)",
}


def blocks():
    text = PAGE.read_text()
    found = re.findall(
        r"^\.\. code-block:: python\n\n((?:(?:   .*)?\n)+)", text, flags=re.MULTILINE
    )
    assert len(found) == text.count("code-block:: python") == 9
    return [textwrap.dedent(block) for block in found]


def make_events(n=200):
    rng = np.random.default_rng(0)
    mass = rng.uniform(100, 150, n)
    return pd.DataFrame(
        {
            "mass": mass,
            "pt": rng.gamma(3.0, mass / 3),
            "phi": rng.uniform(-np.pi, np.pi, n),
            "n_jets": rng.poisson(2.0, n),
        }
    )


def test_the_page_runs():
    rng = np.random.default_rng(0)
    events, energy = make_events(), rng.uniform(10, 100, 200)
    clouds = rng.gamma(2.0, 1.0, (200, 4, 2))
    clouds[rng.random((200, 4)) < 0.3] = np.nan
    weight = np.where(rng.random(200) < 0.1, -1.0, 1.0)
    X = events.to_numpy()
    scope = {
        "AutoScaler": AutoScaler,
        "FlowMatching": FlowMatching,
        "GridSearchCV": GridSearchCV,
        "NormalizingFlow": NormalizingFlow,
        "make_pipeline": make_pipeline,
        "sample_pipeline": sample_pipeline,
        "two_sample_auc_scorer": two_sample_auc_scorer,
        "events": events,
        "weight": weight,
        "w": np.abs(weight),
        "masses": np.array([110.0, 120.0]),
        "images": rng.poisson(1.0, (200, 1, 4, 4)) * rng.random((200, 1, 4, 4)),
        "energy": energy,
        "clouds": clouds,
        "jet_pt": energy,
        "X": X,
        "cut": -1.0,
        "label": rng.integers(0, 2, 200),
    }
    for block in blocks():
        for large, small in SMALL.items():
            block = block.replace(large, small)
        exec(compile(block, str(PAGE), "exec"), scope)
    assert list(scope["flow"].feature_names_in_) == list(events.columns)
    assert scope["showers"].shape == (200, 1, 4, 4)
    assert (scope["showers"] >= 0).all()
    assert scope["latent"].shape == (200, 4)
    assert scope["unusual"].dtype == bool
    assert scope["each"] * len(scope["unweighted"]) == pytest.approx(weight.sum())
    assert (scope["positive"] > 0).all()
    assert len(scope["kept"]) == len(scope["labels"]) == len(scope["positive"]) < 200
