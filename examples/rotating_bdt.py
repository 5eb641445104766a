"""Search a BDT on signed weights, then score every event with a model that never saw it.

Weights and event numbers are given once and travel by themselves: to the scaler, the BDT, the
splitter and the scorer.
"""

import sklearn
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skhep_ml.datasets import load_higgs
from skhep_ml.ensemble import BDTClassifier
from skhep_ml.impute import MissingValueImputer
from skhep_ml.metrics import (
    background_rejection_score,
    background_rejection_scorer,
    roc_auc_score,
)
from skhep_ml.model_selection import EventNumberKFold, RotatingClassifier
from skhep_ml.preprocessing import AutoScaler

sklearn.set_config(enable_metadata_routing=True)

events = load_higgs(weights="signed")
bdt = BDTClassifier(n_estimators=30, class_weight="balanced", random_state=0)
search = GridSearchCV(
    make_pipeline(MissingValueImputer(), AutoScaler(), bdt),
    {"bdtclassifier__max_depth": [2, 4]},
    cv=EventNumberKFold(2),
    scoring=background_rejection_scorer(signal_efficiency=0.5),
)
search.fit(events.data, events.target, sample_weight=events.weight, groups=events.event_number)
print("best:", search.best_params_, f"rejection {search.best_score_:.1f}")

model = RotatingClassifier(search.best_estimator_, n_splits=3)
model.fit(events.data, events.target, sample_weight=events.weight, groups=events.event_number)
score = model.predict_proba(events.data, groups=events.event_number)[:, 1]

args = {"sample_weight": events.weight, "return_std": True}
auc, auc_std = roc_auc_score(events.target, score, **args)
rejection, std = background_rejection_score(events.target, score, signal_efficiency=0.5, **args)
print(f"every event by a model that never saw it: AUC {auc:.3f} +- {auc_std:.3f}")
print(f"background rejection at 50% signal efficiency {rejection:.1f} +- {std:.1f}")
