"""Tune a Deep Sets network on jets: Bayesian search that survives being killed, and its plot."""

import numpy as np
from sklearn.pipeline import make_pipeline

from skhep_ml.datasets import load_jets
from skhep_ml.metrics import roc_auc_scorer
from skhep_ml.model_selection import BayesSearchCV
from skhep_ml.neural_network import NetClassifier
from skhep_ml.neural_network.modules import DeepSets
from skhep_ml.plotting import SearchDisplay
from skhep_ml.preprocessing import KinematicsTransformer

jets = load_jets(max_particles=20)
some = np.arange(0, len(jets.target), 8)
momenta = jets.data[some][:, :, :3]  # pt, eta, phi of each particle, NaN where there is none
net = NetClassifier(
    DeepSets,
    module__event_hidden=(32,),
    max_epochs=4,
    schedule="one_cycle",
    device="cpu",
    random_state=0,
)
relative = KinematicsTransformer(to="relative", features=["pt", "eta", "phi"])
search = BayesSearchCV(
    make_pipeline(relative, net),
    {
        "netclassifier__lr": (3e-4, 3e-2, "log-uniform"),
        "netclassifier__batch_size": [32, 64, 128],
        "netclassifier__module__particle_hidden": [(16,), (32,), (32, 32)],
    },
    n_iter=8,
    n_initial_points=4,
    cv=2,
    scoring=roc_auc_scorer(),
    random_state=1,
    checkpoint="tune_net.trials",  # run again after a crash, it goes on from there
)
search.fit(momenta, jets.target[some])

results = search.cv_results_
print("AUC              lr       batch  particle_hidden")
for k in np.argsort(-results["mean_test_score"]):
    lr, batch, hidden = (
        results["params"][k][f"netclassifier__{name}"]
        for name in ("lr", "batch_size", "module__particle_hidden")
    )
    auc = f"{results['mean_test_score'][k]:.3f} +- {results['std_test_score'][k]:.3f}"
    print(f"{auc}  {lr:.5f}  {batch:5}  {hidden}")
SearchDisplay.from_estimator(search).figure_.savefig("tune_net.png")
