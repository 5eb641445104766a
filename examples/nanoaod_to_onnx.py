"""From a NanoAOD file to a copy of it with scores, and to an ONNX model that gives the same scores.

The model looks for prompt leptons. Run it with the path of a NanoAOD file, or without.
"""

import sys
from pathlib import Path

import awkward as ak
import numpy as np
import sklearn
import uproot
from sklearn.pipeline import make_pipeline

from skhep_ml.ensemble import BDTClassifier
from skhep_ml.export import to_onnx, verify_onnx
from skhep_ml.impute import MissingValueImputer
from skhep_ml.io import read_events, write_scores
from skhep_ml.metrics import roc_auc_score
from skhep_ml.model_selection import RotatingClassifier


def nanoaod():
    """Path of the file: the one given, the public sample, or one that is made up."""
    data = Path(__file__).resolve().parents[2] / "shared" / "data"
    public = data / "nanoAOD_2015_CMS_Open_Data_ttbar.root"
    if sys.argv[1:]:
        return Path(sys.argv[1])
    return public if public.is_file() else made_up(Path("made_up_nano.root"), 1000)


def made_up(path, n_events):
    """Write a file with the branches that are read below, and no physics in them."""
    print(f"no NanoAOD file is here: {path} is made up")
    rng = np.random.default_rng(0)
    leptons, jets = rng.integers(0, 2, n_events), rng.poisson(3, n_events)
    muons = leptons * rng.integers(0, 2, n_events)
    events = {name: np.ones(n_events, dtype="u4") for name in ("run", "luminosityBlock")}
    events["event"] = np.arange(n_events, dtype="u8")
    events["nGenDressedLepton"] = leptons.astype("u4")
    events["genWeight"] = np.where(rng.random(n_events) < 0.1, -1.0, 1.0)
    events["MET_pt"] = rng.exponential(20.0 + 20.0 * leptons)
    types = {name: values.dtype for name, values in events.items()}
    for name, counts, mean in (("Muon", muons, 40), ("Electron", jets, 9), ("Jet", jets, 50)):
        pt = rng.exponential(mean, counts.sum())
        events[name] = ak.zip({"pt": ak.unflatten(pt, counts)})
        types[name] = "var * {pt: float64}"
    with uproot.recreate(path) as file:
        file.mktree("Events", types).extend(events)
    return path


sklearn.set_config(enable_metadata_routing=True)
path, identifier = nanoaod(), ["run", "luminosityBlock", "event"]
features = {
    "met": "MET_pt",
    "muon_pt": "Muon_pt[:, 0]",  # missing where there is no muon
    "electron_pt": "Electron_pt[:, 0]",
    "ht": "sum(Jet_pt[Jet_pt > 30])",
}
label = "nGenDressedLepton > 0"
events = read_events(
    path, "Events", features, label=label, weight="genWeight", event_number=identifier
)
X, y, weight, number = events.data, events.target, events.weight, events.event_number
print(f"{path.name}: {len(X)} events, {np.mean(weight < 0):.1%} of them with negative weight")

bdt = BDTClassifier(60, max_depth=3, class_weight="balanced", n_jobs=1, random_state=0)
model = RotatingClassifier(make_pipeline(MissingValueImputer(), bdt), n_splits=3)
model.fit(X, y, sample_weight=weight, groups=number)
score = model.predict_proba(X, groups=number)[:, 1]  # by the model that has not seen the event
auc, std = roc_auc_score(y, score, sample_weight=weight, return_std=True)
print(f"{label}: area under the ROC curve {auc:.3f} +- {std:.3f}")

options = {"tree": "Events", "features": features, "event_number": identifier}
(copy,) = write_scores(model, path, "scored.root", friend=False, overwrite=True, **options)
with uproot.open(copy) as file:
    tree = file["Events"]
    print(f"{copy}: {len(tree.keys())} branches, 'score' is", tree["score"].array()[:3], "...")
to_onnx(model, "model.onnx", X=X, groups=number)
print("model.onnx:", verify_onnx(model, "model.onnx", X, groups=number))
