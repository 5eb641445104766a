"""A network on a table with signed weights, in a pipeline, stopped early by event number."""

import sklearn
from sklearn.pipeline import make_pipeline

from skhep_ml.datasets import load_higgs
from skhep_ml.impute import MissingValueImputer
from skhep_ml.metrics import roc_auc_score
from skhep_ml.model_selection import EventNumberSplit
from skhep_ml.neural_network import NetClassifier
from skhep_ml.preprocessing import AutoScaler

sklearn.set_config(enable_metadata_routing=True)
events = load_higgs(weights="signed")
X, y, w, event = events.data, events.target, events.weight, events.event_number
train, test = next(EventNumberSplit(0.7).split(X, groups=event))
net = NetClassifier(
    class_weight="balanced",
    early_stopping=True,
    patience=3,
    max_epochs=12,
    batch_size=256,
    module__dropout=0.1,
    device="cpu",
    random_state=0,
)
model = make_pipeline(MissingValueImputer(add_indicator=True), AutoScaler(), net)
model.fit(X[train], y[train], sample_weight=w[train], groups=event[train])
score = model.predict_proba(X[test])[:, 1]
auc, error = roc_auc_score(y[test], score, sample_weight=w[test], return_std=True)
print(f"best epoch {model[-1].best_epoch_}, AUC {auc:.3f} +- {error:.3f}")
