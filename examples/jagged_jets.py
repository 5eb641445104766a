"""From a jagged awkward array with -999 in it to a BDT scored by event number."""

import awkward as ak
import numpy as np
import sklearn
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from skhep_ml.datasets import load_jets
from skhep_ml.ensemble import BDTClassifier
from skhep_ml.events import Events
from skhep_ml.impute import MissingValueImputer
from skhep_ml.metrics import roc_auc_scorer
from skhep_ml.model_selection import EventNumberKFold
from skhep_ml.preprocessing import CloudToTable, JaggedToPadded

sklearn.set_config(enable_metadata_routing=True)
jets = load_jets(max_particles=40)
present = ~np.isnan(jets.data[:, :, 0])
pt, eta, phi = jets.data[present][:, :3].T
eta[::50] = -999  # as files mark what was not measured
particles = ak.unflatten(ak.zip({"pt": pt, "eta": eta, "phi": phi}), present.sum(axis=1))

table = CloudToTable(features=["pt", "eta", "phi"], n_leading=4)
bdt = BDTClassifier(n_estimators=50)
model = make_pipeline(JaggedToPadded(40), table, MissingValueImputer(), bdt)
metadata = {"sample_weight": jets.weight, "groups": jets.event_number}
options = {"cv": EventNumberKFold(3), "scoring": roc_auc_scorer(), "params": metadata}
print(cross_val_score(model, Events(particles=particles), jets.target, **options))
