"""Taggers that leave the mass spectrum alone: separation against sculpting.

A classifier that never sees the mass finds it in the substructure, and the background that it
selects peaks where the signal is. Three remedies are compared: planing (training on a flat
background spectrum, or on that of signal), boosting to uniformity, and a network with a penalty on
the distance correlation of score and mass (DisCo).

Run it with a path to save the picture there: ``python decorrelated_tagger.py tagger.png``.
"""

import sys
import warnings

import numpy as np
from matplotlib import pyplot

from skhep_ml.datasets import make_mass_tagging
from skhep_ml.ensemble import BDTClassifier, UniformBDTClassifier
from skhep_ml.exceptions import SupportWarning
from skhep_ml.metrics import background_rejection_score, jsd_sculpting, roc_auc_score, sde_flatness
from skhep_ml.model_selection import EventNumberSplit
from skhep_ml.neural_network import NetClassifier
from skhep_ml.plotting import FlatnessDisplay
from skhep_ml.preprocessing import AutoScaler
from skhep_ml.weights import planing_weights

events = make_mass_tagging(50_000, as_frame=True, random_state=0)
X, y = events.data, events.target
train, test = next(EventNumberSplit(0.7).split(X, groups=events.event_number))
X_train, y_train, X_test, y_test = X.iloc[train], y[train], X.iloc[test], y[test]
mass = X_test["mass"]
trees = {"n_estimators": 100, "max_depth": 4, "n_jobs": 1, "random_state": 0}

scores = {}
features = events.train_features
plain = BDTClassifier(**trees).fit(X_train[features], y_train)
scores["plain BDT"] = plain.predict_proba(X_test[features])[:, 1]
# to the signal's spectrum, background far from it counts for nothing, which planing warns of
warnings.simplefilter("ignore", SupportWarning)
for goal, reference in (("flat", None), ("as signal", 1)):
    w = planing_weights(X_train["mass"], y_train, uniform_label=0, reference_label=reference)
    planed = BDTClassifier(**trees).fit(X_train[features], y_train, sample_weight=w)
    scores[f"planed BDT, {goal}"] = planed.predict_proba(X_test[features])[:, 1]
for strength in (1, 10, 100):
    # the mass rides in X; the trees do not see it
    uniform = UniformBDTClassifier(["mass"], 0, strength=strength, **trees).fit(X_train, y_train)
    scores[f"uniform BDT, strength {strength}"] = uniform.predict_proba(X_test)[:, 1]
scaler = AutoScaler().set_output(transform="pandas").fit(X_train)
for strength in (0, 2, 10):
    net = NetClassifier(
        module__hidden=(64, 64),
        max_epochs=4,
        batch_size=512,
        decorrelate="mass",
        decorrelation_strength=strength,
        device="cpu",
        random_state=0,
    ).fit(scaler.transform(X_train), y_train)
    name = f"DisCo net, strength {strength}" if strength else "plain net"
    scores[name] = net.predict_proba(scaler.transform(X_test))[:, 1]

points, limit = {}, np.inf
print(f"{'tagger':<26}   AUC     R50       1/JSD          SDE at 10%")
for name, score in scores.items():
    auc = roc_auc_score(y_test, score)
    rejection = background_rejection_score(y_test, score)
    jsd = jsd_sculpting(y_test, score, mass, bins=12, return_std=True)
    sde = sde_flatness(y_test, score, mass, uniform_label=0, efficiencies=[0.1])
    points[name] = (auc, 1 / jsd.value, jsd.std / jsd.value**2)
    limit = min(limit, 1 / jsd.bias)
    inverse = f"{points[name][1]:6.1f} +- {points[name][2]:5.1f}"
    print(f"{name:<26}  {auc:.3f}  {rejection:5.1f}  {inverse}  {sde:.3f}")
print(f"without any sculpting, fluctuation alone gives 1/JSD near {limit:.0f}")
background = y_test == 0
high = background & (mass.to_numpy() > 170)
for name in ("plain BDT", "planed BDT, as signal", "uniform BDT, strength 10"):
    selected = scores[name] > np.quantile(scores[name][background], 0.9)
    print(f"efficiency above 170 GeV over its mean, {name}: {10 * selected[high].mean():.2f}")

figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
for family, marker in (("BDT", "o"), ("net", "s")):
    for kind in ("plain", "planed", "uniform", "DisCo"):
        chosen = [value for name, value in points.items() if name.startswith(f"{kind} {family}")]
        if chosen:
            auc, inverse, error = np.transpose(chosen)
            style = marker + "-" * (kind in ("uniform", "DisCo"))
            left.errorbar(auc, inverse, error, fmt=style, label=f"{kind} {family}")
left.axhline(limit, color="0.5", ls="--", label="no sculpting, this sample")
left.set(xlabel="AUC", ylabel="1 / JSD at 50% signal efficiency", yscale="log")
left.legend()
for name in ("plain BDT", "planed BDT, as signal", "uniform BDT, strength 10"):
    FlatnessDisplay.from_predictions(
        y_test, scores[name], mass, uniform_label=0, efficiencies=[0.1], name=name, ax=right
    )
if len(sys.argv) > 1:
    figure.savefig(sys.argv[1])
