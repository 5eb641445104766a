"""k-means against scikit-learn's: seconds and inertia, both sides in turn.

The first table fits and predicts all events with the same seed on both sides. The second fits
more events: scikit-learn's KMeans and MiniBatchKMeans against the default of ours, each with its
own seeds; inertias are relative to the best of the table, since each may end in another minimum.

python benchmarks/kmeans_speed.py [--events 1000000] [--large 10000000] [--clusters 8]
    [--repeats 5] [--seeds 2]
"""

import argparse
import time

import numpy as np
import sklearn.cluster
from _timing import interleaved, table

from skhep_ml.cluster import KMeans


def blobs(n, n_features=6, n_groups=12, seed=0):
    rng = np.random.default_rng(seed)
    centres = 2 * rng.normal(size=(n_groups, n_features)).astype(np.float32)
    X = rng.normal(size=(n, n_features)).astype(np.float32)
    X += centres[rng.integers(n_groups, size=n)]
    return X, rng.lognormal(size=n)


def same(args):
    X, w = blobs(args.events)
    scaled = w / w.mean()
    sides = {
        "scikit-learn": sklearn.cluster.KMeans(args.clusters, random_state=0),
        "ours": KMeans(args.clusters, method="full", random_state=0),
    }
    fits = {
        name: (lambda model=model, w=w: model.fit(X, sample_weight=w))
        for (name, model), w in zip(sides.items(), (scaled, w), strict=True)
    }
    shape = f"{args.events} events x {X.shape[1]}, {args.clusters} clusters, float32"
    table(f"k-means fit, {shape}", interleaved(fits, args.repeats))
    predictions = {name: (lambda model=model: model.predict(X)) for name, model in sides.items()}
    table("k-means predict, same events", interleaved(predictions, args.repeats))
    inertia = sides["ours"].inertia_ / (sides["scikit-learn"].inertia_ * w.mean())
    same_type = sides["ours"].cluster_centers_.dtype == np.float32
    print(f"\ninertia / scikit-learn's - 1 = {inertia - 1:.1e}; float32 kept: {same_type}")


def large(args):
    X, w = blobs(args.large)
    w /= w.mean()
    entries = {}
    for seed in range(args.seeds):
        sides = {
            "scikit-learn KMeans": sklearn.cluster.KMeans(args.clusters, random_state=seed),
            "scikit-learn MiniBatchKMeans": sklearn.cluster.MiniBatchKMeans(
                args.clusters, random_state=seed
            ),
            "ours, default": KMeans(args.clusters, random_state=seed),
        }
        for name, model in sides.items():
            start = time.perf_counter()
            model.fit(X, sample_weight=w)
            seconds = time.perf_counter() - start
            entries.setdefault(name, []).append((seconds, model.inertia_))
    best = min(inertia for values in entries.values() for _, inertia in values)
    print(f"\nk-means fit, {args.large} events x {X.shape[1]}, {args.clusters} clusters, float32\n")
    print("| | seconds, median | inertia / best - 1, by seed |\n|---|---:|---|")
    for name, values in entries.items():
        excess = ", ".join(f"{inertia / best - 1:.5f}" for _, inertia in values)
        print(f"| {name} | {np.median([s for s, _ in values]):.3g} | {excess} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--large", type=int, default=10_000_000, help="0 leaves it out")
    parser.add_argument("--clusters", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=2)
    args = parser.parse_args()
    same(args)
    if args.large:
        large(args)
