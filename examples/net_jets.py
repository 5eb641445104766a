"""Quark and gluon jets as clouds of particles: Deep Sets on relative momenta."""

import numpy as np
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from skhep_ml.datasets import load_jets
from skhep_ml.metrics import roc_auc_scorer
from skhep_ml.neural_network import NetClassifier
from skhep_ml.neural_network.modules import DeepSets
from skhep_ml.preprocessing import KinematicsTransformer

jets = load_jets(max_particles=30)
some = np.arange(0, len(jets.target), 4)
momenta = jets.data[some][:, :, :3]  # pt, eta, phi of each particle, NaN where there is none
net = NetClassifier(
    DeepSets,
    module__particle_hidden=(64, 64),
    module__event_hidden=(64,),
    max_epochs=8,
    batch_size=64,
    lr=2e-3,
    schedule="one_cycle",
    device="cpu",
    random_state=0,
)
relative = KinematicsTransformer(to="relative", features=["pt", "eta", "phi"])
model = make_pipeline(relative, net)
auc = cross_val_score(model, momenta, jets.target[some], cv=3, scoring=roc_auc_scorer())
print(f"AUC {auc.mean():.3f} +- {auc.std():.3f}")
