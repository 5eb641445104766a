"""Every classic model in all three searches, with signed weights and event numbers by routing."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy.stats import randint
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.metrics import check_scoring
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import make_pipeline

from skhep_ml.cluster import KMeans
from skhep_ml.ensemble import (
    BDTClassifier,
    BDTRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    UniformBDTClassifier,
)
from skhep_ml.gaussian_process import GPClassifier, GPRegressor
from skhep_ml.linear_model import LogisticRegression
from skhep_ml.metrics import roc_auc_scorer
from skhep_ml.model_selection import BayesSearchCV, EventNumberKFold
from skhep_ml.preprocessing import ZScoreScaler

RNG = np.random.default_rng(0)
N = 90
SIGNAL = np.arange(N) % 2
X = pd.DataFrame({"pt": RNG.normal(SIGNAL, 1.0), "eta": RNG.normal(size=N), "mass": RNG.random(N)})
LABEL = np.array(["bkg", "sig"])[SIGNAL]
WEIGHT = 1e-3 * RNG.choice([2.0, 1.0, -0.5], N)
NUMBER = np.stack([np.ones(N, dtype=np.int64), RNG.permutation(N) + 10**12], axis=1)
CV = EventNumberKFold(2)
TREES = {"n_jobs": 1, "device": "cpu", "random_state": 0}
FIXED_KERNEL = RBF(2.0, "fixed") + WhiteKernel(0.5, "fixed")


class Recorder(ZScoreScaler):
    """A first step that remembers what reaches it."""

    seen = []

    def fit(self, X, y=None, sample_weight=None):
        Recorder.seen.append(None if sample_weight is None else np.asarray(sample_weight))
        return super().fit(X, y, sample_weight=sample_weight)


CLASSIFIERS = [
    (BDTClassifier(3, **TREES), "max_depth", 1, 3),
    (UniformBDTClassifier("mass", "bkg", n_estimators=3, **TREES), "max_depth", 1, 3),
    (RandomForestClassifier(4, random_state=0), "min_samples_leaf", 3, 9),
    (GPClassifier(RBF(2.0, "fixed"), device="cpu", random_state=0), "max_iter", 5, 9),
    (LogisticRegression(), "max_iter", 50, 90),
]
REGRESSORS = [
    (BDTRegressor(3, **TREES), "max_depth", 1, 3),
    (RandomForestRegressor(4, random_state=0), "min_samples_leaf", 3, 9),
    (GPRegressor(FIXED_KERNEL, device="cpu", random_state=0), "n_inducing", 5, 9),
    (KMeans(2, negative_weights="refine", random_state=0), "n_clusters", 2, 4),
]
CASES = [(*case, LABEL, roc_auc_scorer(pos_label="sig")) for case in CLASSIFIERS]
CASES += [(*case, X["mass"].to_numpy(), None) for case in REGRESSORS]


def search_of(kind, model, name, low, high, scoring):
    options = {"cv": CV, "scoring": scoring, "error_score": "raise"}
    if kind == "grid":
        return GridSearchCV(model, {name: [low, high]}, **options)
    if kind == "random":
        space = {name: randint(low, high + 1)}
        return RandomizedSearchCV(model, space, n_iter=2, random_state=0, **options)
    return BayesSearchCV(model, {name: (low, high)}, n_iter=2, random_state=0, **options)


@pytest.mark.parametrize("kind", ["grid", "random", "bayes"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: type(case[0]).__name__)
def test_weights_and_event_numbers_reach_fit_split_and_score(case, kind):
    model, name, low, high, y, scoring = case
    step = type(model).__name__.lower()
    scaler = Recorder().set_output(transform="pandas")
    pipeline = make_pipeline(scaler, clone(model))
    search = search_of(kind, pipeline, f"{step}__{name}", low, high, scoring)
    with sklearn.config_context(enable_metadata_routing=True):
        Recorder.seen.clear()
        search.fit(X, y, sample_weight=WEIGHT, groups=NUMBER)
        # the splitter saw the event numbers, and the steps the weights of their events
        folds = list(CV.split(X, y, NUMBER))
        for train, seen in zip([*(train for train, _ in folds)] * 2, Recorder.seen, strict=False):
            np.testing.assert_array_equal(seen, WEIGHT[train])
        scorer = check_scoring(pipeline, scoring=scoring)
        scores = []
        for train, test in folds:
            best = clone(pipeline).set_params(**search.best_params_)
            best.fit(X.iloc[train], y[train], sample_weight=WEIGHT[train], groups=NUMBER[train])
            scores.append(scorer(best, X.iloc[test], y[test], sample_weight=WEIGHT[test]))
    assert len(Recorder.seen) == 2 * 2 + 1 + 2
    assert search.best_score_ == pytest.approx(np.mean(scores), abs=1e-12)


def test_every_model_has_a_case():
    from skhep_ml import cluster, ensemble, gaussian_process

    public = {*cluster.__all__, *ensemble.__all__, *gaussian_process.__all__}
    assert public <= {type(case[0]).__name__ for case in CASES}
