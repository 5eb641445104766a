import subprocess
import sys

import numpy as np
import pytest
import sklearn
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skhep_ml._hashing import event_fold
from skhep_ml.metrics import roc_auc_scorer
from skhep_ml.model_selection import EventNumberKFold, RotatingClassifier
from skhep_ml.preprocessing import EventsTransformer
from skhep_ml.weights import request_weights

rng = np.random.default_rng(0)
X, y, event = rng.normal(size=(120, 2)), np.tile([0, 1], 60), np.arange(120)
w = np.where(X[:, 0] > 0, 5.0, 1.0)


def test_needs_routing():
    with pytest.raises(RuntimeError, match="enable_metadata_routing"):
        request_weights(LogisticRegression())


def test_weights_reach_every_step():
    with sklearn.config_context(enable_metadata_routing=True):
        model = request_weights(make_pipeline(StandardScaler(), LogisticRegression()))
        model.fit(X, y, sample_weight=w)
        assert model[0].mean_[0] == pytest.approx(np.average(X[:, 0], weights=w))
        by_hand = LogisticRegression().fit(model[0].transform(X), y, w)
        assert np.allclose(model[1].coef_, by_hand.coef_)


def test_walks_meta_estimators_and_keeps_decisions():
    with sklearn.config_context(enable_metadata_routing=True):
        silent = StandardScaler().set_fit_request(sample_weight=False)
        columns = ColumnTransformer([("a", silent, [0]), ("b", StandardScaler(), [1])])
        pipe = make_pipeline(columns, LogisticRegression())
        search = GridSearchCV(
            RotatingClassifier(pipe, 2, unidentified="mean"),
            {"estimator__logisticregression__C": [0.1, 1.0]},
            cv=EventNumberKFold(2),
            scoring=roc_auc_scorer(),
        )
        request_weights(search).fit(X, y, sample_weight=w, groups=event)
        fitted = search.best_estimator_.estimators_[0][0]
        rows = event_fold(event, 2, "rotating") != 0
        assert fitted.named_transformers_["a"].n_samples_seen_ == rows.sum()
        # scikit-learn counts the sum of weights where it gets any
        assert fitted.named_transformers_["b"].n_samples_seen_ == w[rows].sum()
        scores = cross_validate(
            search.best_estimator_, X, y, cv=EventNumberKFold(2), scoring=roc_auc_scorer(),
            params={"sample_weight": w, "groups": event},
        )  # fmt: skip
        assert np.isfinite(scores["test_score"]).all()


def test_imbalanced_learn_may_be_imported_later():
    code = """
import numpy as np, sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from skhep_ml.metrics import roc_auc_scorer
from skhep_ml.model_selection import EventNumberKFold
from skhep_ml.preprocessing import ZScoreScaler
from skhep_ml.preprocessing import EventsTransformer
from skhep_ml.weights import request_weights
sklearn.set_config(enable_metadata_routing=True)
model = request_weights(make_pipeline(ZScoreScaler(), LogisticRegression()))
import imblearn.over_sampling
X, y = np.random.default_rng(0).normal(size=(60, 2)), np.tile([0, 1], 30)
params = {"sample_weight": np.ones(60), "groups": np.arange(60)}
scores = cross_validate(
    model, X, y, cv=EventNumberKFold(2), scoring=roc_auc_scorer(), params=params
)
assert np.isfinite(scores["test_score"]).all()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_steps_in_a_dict_are_reached():
    with sklearn.config_context(enable_metadata_routing=True):
        steps = EventsTransformer({"event": StandardScaler()})
        request_weights(steps)
        assert steps.transformers["event"].get_metadata_routing().fit.requests == {
            "sample_weight": True
        }
