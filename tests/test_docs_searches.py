"""The code of docs/searches.rst runs, on fewer events, smaller models and fewer trials."""

import re
import textwrap
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import sklearn

import skhep_ml.datasets

PAGE = Path(__file__).parents[1] / "docs" / "searches.rst"
QUICK = {
    "n_iter=20": "n_iter=2",
    "n_iter=60": "n_iter=5",
    'BDTClassifier(class_weight="balanced")': "BDTClassifier(10, max_depth=2, n_jobs=1)",
    "NetClassifier(DeepSets)": 'NetClassifier(DeepSets, max_epochs=1, device="cpu")',
    "}, scoring=roc_auc_scorer())": "}, scoring=roc_auc_scorer(), n_iter=2, cv=2)",
    "BayesSearchCV(model, space)": "BayesSearchCV(model, space, n_iter=2)",
    "BayesSearchCV(model, n_points=4, n_jobs=-1,": "BayesSearchCV(model, n_iter=2, n_points=2,",
    "LocalCluster(n_workers=4,": "LocalCluster(processes=False, dashboard_address=None,",
}


def blocks():
    text = PAGE.read_text()
    for slow, quick in QUICK.items():
        assert slow in text
        text = text.replace(slow, quick)
    pattern = r"^\.\. code-block:: python\n\n((?:(?:   .*)?\n)+)"
    return [textwrap.dedent(block) for block in re.findall(pattern, text, flags=re.MULTILINE)]


def few(load, step):
    """A loader of every step-th event of another."""

    def loaded(**options):
        events = load(**options)
        n_events = len(events.target)
        for key, values in events.items():
            if isinstance(values, np.ndarray) and len(values) == n_events:
                events[key] = values[::step]
        return events

    return loaded


def test_the_page_runs(monkeypatch, tmp_path):
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("skhep_ml.datasets.load_higgs", few(skhep_ml.datasets.load_higgs, 40))
    monkeypatch.setattr("skhep_ml.datasets.load_jets", few(skhep_ml.datasets.load_jets, 100))
    # of the search with few trials that follows, not of the full space
    monkeypatch.setattr("skhep_ml.model_selection.search_space", lambda model: dict(SPACE))
    monkeypatch.setattr("skhep_ml.model_selection._bayes.search_space", lambda model: dict(SPACE))
    matplotlib.use("Agg")
    farm = [block for block in blocks() if "dask_jobqueue" in block]
    scope = {}
    with sklearn.config_context():  # the page switches routing on
        for block in blocks():
            if block in farm:
                compile(block, str(PAGE), "exec")  # there is no farm here
            else:
                exec(compile(block, str(PAGE), "exec"), scope)
    scope["client"].close()
    scope["client"].cluster.close()
    assert [len(search.cv_results_["params"]) for search in scope["searches"]] == [3, 2, 2]
    assert all(search.best_score_ > 0.6 for search in scope["searches"])
    assert (tmp_path / "tuning.trials").exists()
    assert len(farm) == 1
    assert scope["space"]["bdtclassifier__max_depth"] == (2, 5)
    assert len(scope["search"].cv_results_["params"]) == 2


SPACE = {
    "bdtclassifier__learning_rate": (0.02, 0.5, "log-uniform"),
    "bdtclassifier__max_depth": (2, 3),
}
