"""Particle showers sorted without labels: k-means with weights, the number of clusters chosen.

Toy showers in a calorimeter: photons start early and stay narrow, hadrons are late, wide and leave
little in the electromagnetic part, muons lose the same energy everywhere. The beam was simulated
with equal numbers of each; weights bring it to its real composition and flatten the energy.

python examples/clustering.py [plot.png]
"""

import sys

import matplotlib.pyplot as plt
import numpy as np
import sklearn
from sklearn.pipeline import make_pipeline

from skhep_ml.cluster import KMeans
from skhep_ml.preprocessing import ZScoreScaler
from skhep_ml.weights import effective_sample_size

sklearn.set_config(enable_metadata_routing=True)
rng = np.random.default_rng(0)
n = 4000
particles = {  # depth and width in cm, logit of the electromagnetic fraction; share of the beam
    "photon": ((8.0, 2.5, 2.5), (2.0, 0.4, 0.6), 0.25),
    "hadron": ((45.0, 9.0, -0.5), (11.0, 2.2, 0.9), 0.60),
    "muon": ((60.0, 0.8, -1.4), (3.0, 0.2, 0.4), 0.15),
}
feature_names = ["depth [cm]", "width [cm]", "logit of EM fraction"]
X, kind, weight = [], [], []
for number, (mean, spread, share) in enumerate(particles.values()):
    energy = rng.uniform(10, 100, n)
    shower = rng.normal(mean, spread, size=(n, 3))
    shower[:, 0] *= 1 + 0.05 * np.log(energy / 50)  # showers grow with the logarithm of the energy
    X.append(shower)
    kind.append(np.full(n, number))
    w = 1 / energy  # the beam's spectrum
    weight.append(share * w / w.sum())
X, kind, weight = np.concatenate(X), np.concatenate(kind), np.concatenate(weight)

model = make_pipeline(ZScoreScaler(), KMeans("auto", n_init=4, random_state=0))
cluster = model.fit_predict(X, sample_weight=weight)
kmeans = model[-1]
print(f"{len(X)} showers, effective {effective_sample_size(weight):.0f}\n")
print("clusters    " + " ".join(f"{k:6d}" for k in kmeans.silhouettes_))
print("silhouette  " + " ".join(f"{s:6.3f}" for s in kmeans.silhouettes_.values()))

# share of the beam by particle and cluster, clusters in the order of what they hold
content = np.zeros((len(particles), kmeans.n_clusters_))
np.add.at(content, (kind, cluster), weight)
order = np.argsort(content.argmax(axis=0))
content = content[:, order]
print(f"\n{'share of beam':>14}" + "".join(f"{f'cluster {c}':>11}" for c in range(len(order))))
for name, row in zip(particles, content, strict=True):
    print(f"{name:>14}" + "".join(f"{value:11.3f}" for value in row))
purity = content.max(axis=0) / content.sum(axis=0)
print(f"{'purity':>14}" + "".join(f"{value:11.3f}" for value in purity))

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
for c, old in enumerate(order):
    some = np.flatnonzero(cluster == old)[::4]
    size = 1 + 60 * weight[some] / weight.max()
    left.scatter(X[some, 0], X[some, 1], s=size, alpha=0.3, lw=0, label=f"cluster {c}")
centres = model[0].inverse_transform(kmeans.cluster_centers_[order])
left.scatter(centres[:, 0], centres[:, 1], marker="X", s=120, color="black", label="centres")
left.set(xlabel=feature_names[0], ylabel=feature_names[1])
left.legend()
right.plot(list(kmeans.silhouettes_), list(kmeans.silhouettes_.values()), "o-")
right.axvline(kmeans.n_clusters_, color="black", linestyle=":")
right.set(xlabel="number of clusters", ylabel="weighted mean silhouette")
if len(sys.argv) > 1:
    figure.savefig(sys.argv[1])
