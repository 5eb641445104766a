"""OmniFold against D'Agostini's binned method, for data like simulation and for other data.

python benchmarks/unfolding_quality.py [--events 30000] [--seeds 4] [--jobs 1]
"""

import argparse
import time

import numpy as np

from skhep_ml.datasets import make_unfolding_toy
from skhep_ml.reweighting import OmniFold

EDGES = {
    0: np.array([100, 110, 120, 135, 150, 170, 200, 240, 320]),
    1: np.array([4, 8, 11, 14, 17, 20, 25, 32, 50]),
}
ITERATIONS = (1, 2, 4, 8)


def dagostini(toy, feature, n_iterations):
    """Iterative Bayesian unfolding in bins, with overflow on both sides; one spectrum for each."""
    edges = np.r_[-np.inf, EDGES[feature], np.inf]
    n_bins = len(edges) - 1
    both, truth = toy.pass_truth & toy.pass_reco, toy.truth_sim[:, feature]
    reco = toy.reco_sim[:, feature]
    joint = np.histogram2d(truth[both], reco[both], (edges, edges))[0]
    total = np.histogram(truth[toy.pass_truth], edges)[0].astype(float)
    seen = np.histogram(reco[toy.pass_reco], edges)[0]
    purity = joint.sum(axis=0) / np.maximum(seen, 1)
    measured = np.histogram(toy.reco_data[:, feature], edges)[0] * purity
    response = joint / np.maximum(total, 1)[:, None]
    efficiency = np.maximum(response.sum(axis=1), 1e-9)
    unfolded, out = total.copy(), []
    for _ in range(n_iterations):
        folded = np.maximum(unfolded @ response, 1e-9)
        unfolded = unfolded * (response @ (measured / folded)) / efficiency
        out.append(unfolded[1 : n_bins - 1])
    return out


def omnifold(toy, jobs):
    """All features at once, without bins; one set of weights for each iteration."""
    model = OmniFold(n_iterations=max(ITERATIONS), n_jobs=jobs, random_state=0)
    model.fit(
        toy.truth_sim,
        toy.reco_sim,
        toy.reco_data,
        pass_truth=toy.pass_truth,
        pass_reco=toy.pass_reco,
        sim_groups=toy.event_number,
        data_groups=toy.event_number_data,
    )
    return model


def deviations(toy, spectra, feature):
    """Unfolded over true jets less 1; the data's own fluctuation in the truth is no error."""
    true = np.histogram(toy.truth_data[:, feature], EDGES[feature])[0]
    return np.array([spectra[n - 1] / true - 1 for n in ITERATIONS])


def run(strength, n, seeds, jobs):
    """Print mean and root mean square deviation over bins and seeds."""
    found = {"simulation as it is": [], "D'Agostini, each feature alone": [], "OmniFold": []}
    away, auc, seconds = [], [], []
    for seed in range(seeds):
        toy = make_unfolding_toy(n, n, strength=strength, random_state=seed)
        inside = toy.pass_truth
        start = time.process_time()
        model = omnifold(toy, jobs)
        seconds.append(time.process_time() - start)
        rows = {name: [] for name in found}
        scale = len(toy.truth_data) / inside.sum()
        for feature, edges in EDGES.items():
            truth = toy.truth_sim[inside, feature]
            weights = model.weights_per_iteration_[:, inside]
            spectra = [np.histogram(truth, edges, weights=w)[0] for w in weights]
            rows["OmniFold"].append(deviations(toy, spectra, feature))
            binned = dagostini(toy, feature, max(ITERATIONS))
            rows["D'Agostini, each feature alone"].append(deviations(toy, binned, feature))
            flat = [scale * np.histogram(truth, edges)[0]] * max(ITERATIONS)
            rows["simulation as it is"].append(deviations(toy, flat, feature))
        for name, parts in rows.items():
            found[name].append(np.concatenate(parts, axis=1))
        true_ratio = toy.weight_truth[inside]
        ratio = model.weights_per_iteration_[:, inside] / true_ratio
        away.append(np.sqrt(np.average((ratio - 1) ** 2, axis=1, weights=true_ratio)))
        auc.append(model.summary().auc)
    title = "Closure" if strength == 0 else "Stress"
    print(f"\n{title}: rms (bias) of the spectra of pt and mass, {n} + {n} jets, {seeds} seeds\n")
    print("| iterations | " + " | ".join(map(str, ITERATIONS)) + " |")
    print("|---|" + "---:|" * len(ITERATIONS))
    for name, parts in found.items():
        every = np.array(parts)
        rms = np.sqrt(np.mean(every**2, axis=(0, 2)))
        bias = np.sqrt(np.mean(every.mean(axis=0) ** 2, axis=1))
        cells = " | ".join(f"{r:.1%} ({b:.1%})" for r, b in zip(rms, bias, strict=True))
        print(f"| {name} | {cells} |")
    chosen = np.array(ITERATIONS) - 1
    weights = " | ".join(f"{w:.3f}" for w in np.mean(away, axis=0)[chosen])
    print(f"| OmniFold: rms error of a jet's weight | {weights} |")
    areas = " | ".join(f"{a:.3f}" for a in np.mean(auc, axis=0)[chosen])
    print(f"| AUC of data against simulation before | {areas} |")
    each = np.mean(seconds) / max(ITERATIONS)
    print(f"\n{each:.2f} CPU seconds an iteration", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=30_000)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    for strength in (0.0, 1.0):
        run(strength, arguments.events, arguments.seeds, arguments.jobs)
