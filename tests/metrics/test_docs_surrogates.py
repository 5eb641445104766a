"""The code of docs/surrogates.rst runs, on fewer events."""

import re
import textwrap
from pathlib import Path

import numpy as np
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity
from sklearn.tree import DecisionTreeClassifier

from skhep_ml import datasets, metrics
from skhep_ml.neural_network import NetClassifier
from skhep_ml.neural_network.modules import CNN

PAGE = Path(__file__).parents[2] / "docs" / "surrogates.rst"
QUICK = {
    "make_showers(1000,": "make_showers(200,",
    "make_showers(8000,": "make_showers(300,",
    "[:6000]": "[:200]",
    "[6000:]": "[200:]",
    "max_epochs=8,": 'max_epochs=1, device="cpu",',
}


def test_the_page_runs():
    text = PAGE.read_text(encoding="utf-8")
    for slow, quick in QUICK.items():
        assert slow in text
        text = text.replace(slow, quick)
    pattern = r"^\.\. code-block:: python\n\n((?:(?:   .*)?\n)+)"
    blocks = [textwrap.dedent(block) for block in re.findall(pattern, text, flags=re.MULTILINE)]
    assert len(blocks) == 4
    rng = np.random.default_rng(0)
    scope = {
        **{name: getattr(metrics, name) for name in metrics.__all__},
        "make_showers": datasets.make_showers,
        "np": np,
        "GridSearchCV": GridSearchCV,
        "KernelDensity": KernelDensity,
        "NetClassifier": NetClassifier,
        "CNN": CNN,
        "X": rng.normal(size=(300, 2)),
        "X_test": rng.normal(size=(400, 2)),
        "drawn": rng.normal(1.0, size=(400, 2)),
        "w_test": rng.choice([1.0, 1.0, -0.5], 400),
        "trees": DecisionTreeClassifier(max_depth=3),
    }
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), scope)
    assert scope["auc"] > 0.6
    assert (scope["distances"] > 0.5).all()
    assert scope["search"].best_params_["bandwidth"] in (0.1, 0.3, 1.0)
    assert abs(scope["response"].mean() - 0.9) < 0.2
    assert scope["score"].shape == (100,)
