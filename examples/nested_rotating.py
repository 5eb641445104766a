"""A nested rotating search: every event is scored by a search that never saw it.

Each of two searches chooses its BDT on the other fold, by cross-validation in event numbers, and
predicts the fold it did not see. Then the same with a rotating validation fold for early stopping.
"""

import sklearn
from scipy.stats import loguniform
from sklearn.model_selection import RandomizedSearchCV
from sklearn.pipeline import make_pipeline

from skhep_ml.datasets import load_higgs
from skhep_ml.ensemble import BDTClassifier
from skhep_ml.impute import MissingValueImputer
from skhep_ml.metrics import background_rejection_scorer, roc_auc_scorer
from skhep_ml.model_selection import (
    EventNumberKFold,
    RotatingClassifier,
    fold_learning_curves,
    fold_scores,
)
from skhep_ml.preprocessing import AutoScaler
from skhep_ml.report import make_report

sklearn.set_config(enable_metadata_routing=True)

events = load_higgs(weights="signed")
given = {"sample_weight": events.weight, "groups": events.event_number}
scoring = {
    "AUC": roc_auc_scorer(),
    "rejection at 50%": background_rejection_scorer(signal_efficiency=0.5),
}

# --- a search in every fold -----------------------------------------------------------------------
bdt = BDTClassifier(n_estimators=20, class_weight="balanced", random_state=0)
search = RandomizedSearchCV(
    make_pipeline(MissingValueImputer(), AutoScaler(), bdt),
    {
        "bdtclassifier__max_depth": [2, 3, 4],
        "bdtclassifier__learning_rate": loguniform(0.05, 0.4),
    },
    n_iter=2,
    cv=EventNumberKFold(2),
    scoring=scoring["AUC"],
    random_state=0,
)
searched = RotatingClassifier(search, n_splits=2).fit(events.data, events.target, **given)
for k, fitted in enumerate(searched.estimators_):
    best = {name.split("__")[1]: value for name, value in fitted.best_params_.items()}
    print(f"fold {k}: depth {best['max_depth']}, learning rate {best['learning_rate']:.2f}")
print(fold_scores(searched, events.data, events.target, scoring=scoring, n_replicas=30, **given))

# --- train, validation and test rotate ------------------------------------------------------------
print("\nwith early stopping on a rotating validation fold")
bdt = BDTClassifier(
    n_estimators=200,
    learning_rate=0.4,
    max_depth=3,
    early_stopping_rounds=10,
    class_weight="balanced",
    random_state=0,
)
stopped = RotatingClassifier(
    make_pipeline(MissingValueImputer(), AutoScaler(), bdt), n_splits=3, validation_fold=True
)
stopped.fit(events.data, events.target, **given)
for k, curve in enumerate(fold_learning_curves(stopped)["validation_0 loss"]):
    print(f"fold {k}: lowest loss {curve.min():.3f} at tree {curve.argmin() + 1} of {len(curve)}")
print(fold_scores(stopped, events.data, events.target, scoring=scoring, n_replicas=30, **given))

# --- the report -----------------------------------------------------------------------------------
make_report(
    {"nested search": searched},
    events.data,
    events.target,
    process=events.process,
    class_yields=events.class_yields,
    feature_names=events.feature_names,
    path="nested_rotating.html",
    skip=["Inputs of the model", "Score by process", "Data summary"],  # to be quick
    **given,
)
print("\nwrote nested_rotating.html")
