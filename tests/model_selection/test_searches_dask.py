"""All three searches on a local Dask cluster: same results as without."""

import warnings

import joblib
import numpy as np
import pytest
from scipy.stats import loguniform
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV

from skhep_ml.linear_model import LogisticRegression
from skhep_ml.metrics import roc_auc_scorer
from skhep_ml.model_selection import BayesSearchCV, EventNumberKFold

distributed = pytest.importorskip("distributed", reason="needs dask.distributed (extra dask)")

X, Y = make_classification(n_samples=90, random_state=0)
WEIGHT = np.where(np.random.default_rng(0).random(90) < 0.1, -1.0, 1.0)
MODEL = LogisticRegression(negative_weights="keep")
OPTIONS = {"cv": EventNumberKFold(2), "scoring": roc_auc_scorer(), "n_jobs": 2}
SEARCHES = {
    "grid": GridSearchCV(MODEL, {"C": [0.01, 1.0]}, **OPTIONS),
    "random": RandomizedSearchCV(
        MODEL, {"C": loguniform(1e-3, 1e3)}, n_iter=3, random_state=0, **OPTIONS
    ),
    "bayes": BayesSearchCV(
        MODEL,
        {"C": (1e-3, 1e3, "log-uniform")},
        n_iter=5,
        n_points=2,
        n_initial_points=2,
        random_state=0,
        **OPTIONS,
    ),
}


@pytest.fixture(scope="module")
def client():
    options = {"processes": False, "n_workers": 2, "threads_per_worker": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of ports in use
        with (
            distributed.LocalCluster(dashboard_address=None, **options) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client


@pytest.mark.parametrize("kind", SEARCHES)
def test_results_on_dask_are_those_without(client, kind):
    search = SEARCHES[kind]
    data = {"sample_weight": WEIGHT, "groups": np.arange(90)}
    expected = search.fit(X, Y, **data).cv_results_
    begun = client.cluster.scheduler.transition_counter
    with joblib.parallel_backend("dask", client=client):
        found = search.fit(X, Y, **data).cv_results_
    assert client.cluster.scheduler.transition_counter > begun
    assert found["params"] == expected["params"]
    np.testing.assert_array_equal(found["mean_test_score"], expected["mean_test_score"])
