"""Energy scale, weights and an alternative sample: what they do to a rotating BDT.

Varied events are scored by the model of their own fold, and errors of shifts know which events the
nominal and the varied sample share.
"""

import numpy as np
import sklearn

from skhep_ml.datasets import load_higgs
from skhep_ml.ensemble import BDTClassifier
from skhep_ml.inspection import evaluate_systematics, shift_test
from skhep_ml.model_selection import RotatingClassifier

sklearn.set_config(enable_metadata_routing=True)

events = load_higgs(as_frame=True)
features = ["tau_pt", "lep_pt", "met", "ditau_mass", "visible_mass", "lep_met_mt", "n_jets"]
angles = ["tau_eta", "lep_eta", "tau_phi", "lep_phi", "met_phi"]
events.data = events.data[features + angles]
bdt = BDTClassifier(n_estimators=40, class_weight="balanced", n_jobs=1, random_state=0)
model = RotatingClassifier(bdt, n_splits=2)
model.fit(events.data, events.target, sample_weight=events.weight, groups=events.event_number)


def tau_energy_scale(factor):
    """Scale the hadronic tau, and balance it by the missing momentum."""

    def vary(X):
        lost = (factor - 1) * X["tau_pt"]
        x = X["met"] * np.cos(X["met_phi"]) - lost * np.cos(X["tau_phi"])
        y = X["met"] * np.sin(X["met_phi"]) - lost * np.sin(X["tau_phi"])
        X["met"], X["met_phi"] = np.hypot(x, y), np.arctan2(y, x)
        X["tau_pt"] *= factor
        X["ditau_mass"] *= np.sqrt(factor)
        return X

    return vary


def derived(X):
    """Masses follow from the momenta."""
    opening = np.cosh(X["tau_eta"] - X["lep_eta"]) - np.cos(X["tau_phi"] - X["lep_phi"])
    X["visible_mass"] = np.sqrt(2 * X["tau_pt"] * X["lep_pt"] * opening)
    angle = np.cos(X["lep_phi"] - X["met_phi"])
    X["lep_met_mt"] = np.sqrt(2 * X["lep_pt"] * X["met"] * (1 - angle))
    return X


weight = events.weight
fakes = np.where(events.process == "W", 1 + 0.004 * (events.data["tau_pt"] - 40), 1.0)
top = np.where(events.process == "ttbar", 1.06, 1.0)
# another simulation of Z, with half of the events and a wider mass
alternative = (events.process == "Z") & (events.event_number[:, 1] % 2 == 0)
other = {name: events[name][alternative] for name in ("data", "event_number", "process")}
other["data"] = other["data"].assign(ditau_mass=1.02 * other["data"]["ditau_mass"])
other["weight"] = 2 * weight[alternative]

result = evaluate_systematics(
    model,
    events,
    {
        "tau energy": (tau_energy_scale(1.03), tau_energy_scale(0.97)),
        "W fakes": weight * fakes,
        "top cross section": (weight * top, weight / top),
        "Z simulation": other,
    },
    derive=derived,
    selection=lambda X: X["tau_pt"] > 25,
    symmetrize=["W fakes"],
    n_replicas=30,
)
print(result)
modifiers = [
    f"{modifier['name']} ({modifier['type']})"
    for modifier in result.to_pyhf()["channels"][0]["samples"][3]["modifiers"]
]
print(f"\n{result.processes[3]} in the fit:", ", ".join(modifiers))
result.plot().figure_.savefig("systematics.png")

# does the alternative Z look like the nominal one?
nominal = (events.process == "Z") & ~alternative
print("\nZ simulation:", end=" ")
small = BDTClassifier(30, max_depth=2, n_jobs=1, random_state=0)
print(shift_test(events.data[nominal], other["data"], estimator=small, n_repeats=1))
