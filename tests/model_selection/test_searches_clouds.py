"""All three searches on clouds of particles, with signed weights and event numbers."""

import numpy as np
import pytest
import sklearn
from scipy.stats import randint
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import make_pipeline

from skhep_ml.impute import MissingValueImputer
from skhep_ml.linear_model import LogisticRegression
from skhep_ml.metrics import roc_auc_scorer
from skhep_ml.model_selection import BayesSearchCV, EventNumberKFold
from skhep_ml.neural_network import NetClassifier
from skhep_ml.neural_network.modules import DeepSets
from skhep_ml.preprocessing import AutoScaler, CloudToTable

RNG = np.random.default_rng(0)
Y = np.arange(120) % 2
CLOUD = np.stack(
    [RNG.exponential(30.0 + 20 * Y[:, None], (120, 4)), *RNG.normal(size=(2, 120, 4))], axis=2
)
CLOUD[RNG.random(120) < 0.3, 2:] = np.nan  # two particles only
WEIGHT = np.where(RNG.random(120) < 0.1, -1.0, 1.0)
NUMBER = RNG.integers(0, 10**12, 120)
OPTIONS = {"cv": EventNumberKFold(2), "scoring": roc_auc_scorer(), "error_score": "raise"}
TABLE = make_pipeline(
    CloudToTable(["pt", "eta", "phi"]),
    MissingValueImputer(),
    AutoScaler(),
    LogisticRegression(negative_weights="keep"),
)
NET = NetClassifier(
    DeepSets,
    module__particle_hidden=(4,),
    module__event_hidden=(4,),
    max_epochs=1,
    device="cpu",
    random_state=0,
)


def searches(model, name, low, high):
    return [
        GridSearchCV(model, {name: [low, high]}, **OPTIONS),
        RandomizedSearchCV(
            model, {name: randint(low, high + 1)}, n_iter=2, random_state=0, **OPTIONS
        ),
        BayesSearchCV(model, {name: (low, high)}, n_iter=2, random_state=0, **OPTIONS),
    ]


@pytest.mark.parametrize(
    "search",
    [*searches(TABLE, "cloudtotable__n_leading", 1, 3), *searches(NET, "batch_size", 20, 40)],
    ids=lambda search: f"{type(search).__name__}-{type(search.estimator).__name__}",
)
def test_clouds_weights_and_event_numbers_travel(search):
    with sklearn.config_context(enable_metadata_routing=True):
        search.fit(CLOUD, Y, sample_weight=WEIGHT, groups=NUMBER)
        scores = []
        for train, test in OPTIONS["cv"].split(CLOUD, Y, NUMBER):
            model = clone(search.estimator).set_params(**search.best_params_)
            model.fit(CLOUD[train], Y[train], sample_weight=WEIGHT[train])
            scores.append(OPTIONS["scoring"](model, CLOUD[test], Y[test], WEIGHT[test]))
    assert search.best_score_ == pytest.approx(np.mean(scores), abs=1e-6)
