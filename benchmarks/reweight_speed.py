"""GBReweighter against hep_ml's: time of fit and prediction, and what a classifier still sees.

python benchmarks/reweight_speed.py [--events 1000000] [--features 6] [--jobs 2]
"""

import argparse
import time

import numpy as np
import xgboost
from _timing import interleaved, table

from skhep_ml.metrics import roc_auc_score
from skhep_ml.reweighting import GBReweighter
from skhep_ml.weights import effective_sample_size


def samples(n, n_features=6, seed=0):
    """Simulation, and data shifted, narrower and correlated; the last feature has a long tail."""
    rng = np.random.default_rng(seed)
    correlation = np.eye(n_features)
    for k, value in zip(range(0, n_features - 1), (0.4, 0.0, -0.3, 0.2), strict=False):
        correlation[k, k + 1] = correlation[k + 1, k] = value
    shift = np.resize([0.3, -0.2, 0.2, 0.0, -0.2, 0.1], n_features)
    width = np.resize([0.9, 0.95, 1.0, 0.9, 0.85, 0.9], n_features)
    simulation = rng.normal(size=(n, n_features))
    data = rng.normal(size=(n, n_features)) @ np.linalg.cholesky(correlation).T * width + shift
    simulation[:, -1], data[:, -1] = np.exp(simulation[:, -1]), np.exp(data[:, -1])
    return simulation.astype(np.float32), data.astype(np.float32)


def residual_auc(simulation, weight, data):
    """AUC of a classifier between reweighted simulation and data, on events of its own."""
    X = np.concatenate([simulation, data])
    y = np.repeat([0, 1], [len(simulation), len(data)])
    w = np.concatenate([weight / weight.mean(), np.ones(len(data))])
    train = np.arange(len(y)) % 2 == 0
    judge = xgboost.XGBClassifier(n_estimators=100, max_depth=4, learning_rate=0.1)
    judge.fit(X[train], y[train], sample_weight=w[train])
    score = judge.predict_proba(X[~train])[:, 1]
    return roc_auc_score(y[~train], score, sample_weight=w[~train])


def speed(n, n_features, repeats, jobs):
    from hep_ml.reweight import GBReweighter as Peer

    simulation, data = samples(n, n_features)
    # events that neither reweighter has seen
    events, like = samples(n, n_features, seed=1)
    common = {"device": "cpu", "n_jobs": jobs, "random_state": 0}
    models = {
        "hep_ml": Peer(gb_args={"random_state": 0}),
        "GBReweighter": GBReweighter(**common),
        "GBReweighter, 200 trees": GBReweighter(200, **common),
    }
    rows = []
    for name, model in models.items():
        start, cpu = time.perf_counter(), time.process_time()
        model.fit(simulation, data)
        seconds = time.perf_counter() - start, time.process_time() - cpu
        weight = model.predict_weights(events)
        auc = residual_auc(events, weight, like)
        rows.append((name, *seconds, auc, effective_sample_size(weight) / n))
        print(f"# {name}: {seconds[0]:.4g} s, {seconds[1]:.4g} CPU s, AUC {auc:.4f}", flush=True)
    before = residual_auc(events, np.ones(n), like)
    print(f"\n{n} + {n} events x {n_features} features; residual AUC on as many events that no")
    print(f"reweighter has seen, {before:.4f} without weights\n")
    print("| | fit s | times faster | fit CPU s | residual AUC | effective size |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, wall, cpu, auc, size in rows:
        print(f"| {name} | {wall:.4g} | {rows[0][1] / wall:.1f} ", end="")
        print(f"| {cpu:.4g} | {auc:.4f} | {size:.3f} |")
    predictions = {
        name: lambda model=model: model.predict_weights(events)
        for name, model in list(models.items())[:2]
    }
    table(f"Prediction on {n} events, median of {repeats}", interleaved(predictions, repeats))


def quality(n, n_features, seeds, jobs):
    """One fit's residual AUC depends on which of two equal splits a tree takes: look at several."""
    from hep_ml.reweight import GBReweighter as Peer

    events, like = samples(2 * n, n_features, seed=101)
    results = {"hep_ml": [], "GBReweighter": []}
    for seed in range(seeds):
        simulation, data = samples(n, n_features, seed)
        ours = GBReweighter(device="cpu", n_jobs=jobs, random_state=0)
        for name, model in zip(results, (Peer(gb_args={"random_state": 0}), ours), strict=True):
            weight = model.fit(simulation, data).predict_weights(events)
            results[name].append(residual_auc(events, weight, like))
    print(f"\nResidual AUC, {seeds} samples of {n} + {n} events\n")
    print("| | mean | standard error |\n|---|---:|---:|")
    for name, values in results.items():
        print(f"| {name} | {np.mean(values):.4f} | {np.std(values, ddof=1) / seeds**0.5:.4f} |")
    difference = np.subtract(*reversed(results.values()))
    error = np.std(difference, ddof=1) / seeds**0.5
    print(f"| difference | {np.mean(difference):+.4f} | {error:.4f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=12, help="0 leaves the second table out")
    parser.add_argument("--seed-events", type=int, default=50_000)
    parser.add_argument("--jobs", type=int, default=None, help="threads of GBReweighter")
    args = parser.parse_args()
    speed(args.events, args.features, args.repeats, args.jobs)
    if args.seeds > 1:
        quality(args.seed_events, args.features, args.seeds, args.jobs)
