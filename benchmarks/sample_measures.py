"""Measures of generated samples: what they see, how long they take, and scipy's time.

python benchmarks/sample_measures.py [--events 20000]
"""

import argparse
import time

import numpy as np
from _timing import interleaved, table
from scipy import stats

from skhep_ml.metrics import (
    frechet_distance,
    kernel_distance,
    separation_power,
    sliced_wasserstein_distance,
    two_sample_auc,
    wasserstein_distance,
)

FEATURES = 8


def truth(n, rng):
    """Correlated gaussians, of which the last two have a long tail and two peaks."""
    mixing = np.eye(FEATURES) + 0.4 * np.eye(FEATURES, k=1)
    events = rng.normal(size=(n, FEATURES)) @ mixing
    events[:, -2] = np.exp(events[:, -2] / 2)
    events[:, -1] += np.where(rng.random(n) < 0.5, -2, 2)
    return events


def distort(events, how, rng):
    """Make a mistake that surrogates make."""
    events = events.copy()
    if how == "shift":
        events[:, 0] += 0.05 * events[:, 0].std()
    elif how == "width":
        events[:, 0] = 0.9 * events[:, 0] + 0.1 * events[:, 0].mean()
    elif how == "correlation":
        events[:, 1] = rng.permutation(events[:, 1])
    elif how == "tail":
        events[:, -2] = np.minimum(events[:, -2], np.quantile(events[:, -2], 0.99))
    elif how == "valley":
        # events between the peaks, where there are few
        some = rng.random(len(events)) < 0.15
        events[some, -1] *= rng.random(some.sum())
    return events


MEASURES = {
    "two_sample_auc": lambda x, y: two_sample_auc(x, y, n_jobs=1, return_std=True),
    "wasserstein_distance, greatest": lambda x, y: _greatest(
        *wasserstein_distance(x, y, scale="std", return_std=True)
    ),
    "sliced_wasserstein_distance": lambda x, y: sliced_wasserstein_distance(x, y, return_std=True),
    "kernel_distance": lambda x, y: kernel_distance(x, y, return_std=True),
    "frechet_distance": lambda x, y: frechet_distance(x, y, return_std=True),
    "separation_power, greatest": lambda x, y: _greatest(*separation_power(x, y, return_std=True)),
}


def _greatest(values, errors):
    k = np.argmax(values)
    return values[k], errors[k]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    n = parser.parse_args().events
    rng = np.random.default_rng(0)
    reference = truth(n, rng)
    mistakes = ["none", "shift", "width", "correlation", "tail", "valley"]
    samples = {how: distort(truth(n, rng), how, rng) for how in mistakes}
    print(f"{n} events of {FEATURES} features\n\n| | " + " | ".join(mistakes) + " | CPU s |")
    print("|---" + "|---:" * (len(mistakes) + 1) + "|")
    for name, measure in MEASURES.items():
        start = time.process_time()
        found = [measure(reference, samples[how]) for how in mistakes]
        seconds = (time.process_time() - start) / len(mistakes)
        cells = " | ".join(f"{value:.4f} ± {error:.4f}" for value, error in found)
        print(f"| {name} | {cells} | {seconds:.2f} |")

    one, two = rng.normal(size=(2, 100_000))
    w, v = rng.uniform(size=(2, 100_000))
    sides = {
        "scipy": lambda: stats.wasserstein_distance(one, two, w, v),
        "skhep_ml": lambda: wasserstein_distance(one, two, weight1=w, weight2=v),
    }
    table("Wasserstein distance of two times 100,000 weighted values", interleaved(sides))


if __name__ == "__main__":
    main()
