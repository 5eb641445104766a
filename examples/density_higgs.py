"""Density and samples of collision events: a conditional flow, trained with signed weights.

python examples/density_higgs.py [density_higgs.png]

One flow learns signal and background, with the class as context; both count alike in training. Its
samples are compared with other events, and its densities give the likelihood ratio.
"""

import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skhep_ml.datasets import load_higgs
from skhep_ml.ensemble import BDTClassifier
from skhep_ml.generative import NormalizingFlow
from skhep_ml.metrics import roc_auc_score, two_sample_auc
from skhep_ml.model_selection import EventNumberSplit
from skhep_ml.weights import balance_classes

columns = ["tau_pt", "lep_pt", "met", "lep_met_mt", "visible_mass", "delta_r_tau_lep", "n_jets"]
events = load_higgs(weights="signed")
frame = pd.DataFrame(events.data, columns=events.feature_names)[[*columns, "met_phi"]]
frame["signal"] = events.target
train, test = next(EventNumberSplit(0.5).split(frame, groups=events.event_number))
train, test = train[::2], test[::4]  # a short run: all events and more epochs do better

# thresholds of the selection, a transverse mass from 0, counts and angles
flow = NormalizingFlow(
    n_transforms=2,
    hidden=(64, 64),
    context_features=["signal"],
    domains={
        "tau_pt": (19.9, None),
        "lep_pt": (25.9, None),
        "met": "positive",
        "lep_met_mt": (-0.1, None),
        "visible_mass": "positive",
        "delta_r_tau_lep": (0.4, None),
        "n_jets": "integer",
        "met_phi": "periodic",
    },
    lr=1e-2,
    max_epochs=5,
    device="cpu",
    random_state=0,
)
weight = balance_classes(events.target[train], events.weight[train])
flow.fit(frame.iloc[train], sample_weight=weight)

data, weight = frame.iloc[test], events.weight[test]
sample = flow.sample(context=data, random_state=1)  # events of weight one, for each its class
judge = BDTClassifier(40, n_jobs=1, random_state=0)
for label, kind in ((1, "signal"), (0, "background")):
    rows = (data["signal"] == label).to_numpy()
    auc, error = two_sample_auc(
        data[rows],
        sample[rows],
        weight1=weight[rows],
        estimator=judge,
        n_jobs=1,
        return_std=True,
    )
    print(f"two-sample AUC of {kind} and flow {auc:.3f} +- {error:.3f}")
some = slice(0, 2000)
ratio = np.subtract(*(flow.score_samples(data[some].assign(signal=label)) for label in (1, 0)))
auc, error = roc_auc_score(data["signal"][some], ratio, sample_weight=weight[some], return_std=True)
print(f"AUC of the likelihood ratio, signal against background: {auc:.3f} +- {error:.3f}")

figure, axes = plt.subplots(2, 5, figsize=(16, 6), layout="constrained")
for ax, name in zip(axes.flat, [*columns, "met_phi"], strict=False):
    low, high = np.quantile(data[name], [0.0, 0.99])
    bins = np.arange(-0.5, 7) if name == "n_jets" else np.linspace(low, high, 31)
    for label, kind, color in ((1, "signal", "tab:red"), (0, "background", "tab:blue")):
        rows = (data["signal"] == label).to_numpy()
        total = weight[rows].sum() * np.diff(bins)
        values, centre = data[name][rows], (bins[1:] + bins[:-1]) / 2
        counts = np.histogram(values, bins, weights=weight[rows])[0]
        errors = np.sqrt(np.histogram(values, bins, weights=weight[rows] ** 2)[0])
        ax.errorbar(
            centre, counts / total, errors / total, fmt=".", color=color, label=f"{kind}, events"
        )
        counts = np.histogram(sample[name][rows], bins)[0]
        ax.stairs(counts / (rows.sum() * np.diff(bins)), bins, color=color, label=f"{kind}, flow")
    ax.set(xlabel=name, yticks=[], ylim=(0, None))
axes[0, 0].legend(fontsize=8, frameon=False)
rows = (data["signal"] == 1).to_numpy()
for ax, table, w, title in (
    (axes[1, 3], data, weight[rows], "events"),
    (axes[1, 4], sample, None, "flow"),
):
    covariance = np.cov(table[[*columns, "met_phi"]][rows].rank().T, aweights=w)
    width = np.sqrt(np.diag(covariance))
    image = ax.imshow(covariance / np.outer(width, width), vmin=-1, vmax=1, cmap="RdBu_r")
    ax.set(xticks=range(8), yticks=range(8), title=f"rank correlations, signal, {title}")
    ax.set_xticklabels([*columns, "met_phi"], rotation=90, fontsize=7)
    ax.set_yticklabels([*columns, "met_phi"] if title == "events" else [], fontsize=7)
figure.colorbar(image, ax=axes[1, 3:])
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "density_higgs.png", dpi=100)
