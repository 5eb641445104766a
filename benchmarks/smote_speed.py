"""Time of WeightedSMOTE against imbalanced-learn's SMOTE at equal neighbours.

python benchmarks/smote_speed.py [--events 100000] [--features 28] [--repeats 3]

One float32 sample with as many minority events as asked for; the majority decides how many events
are made. Both sides run in turn in one process, threads as the libraries choose. Ratios are the
median of the runs' own, imbalanced-learn's time over ours.
"""

import argparse
from functools import partial

import numpy as np
from _timing import interleaved
from imblearn.over_sampling import SMOTE

from skhep_ml.over_sampling import WeightedSMOTE


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--features", type=int, default=28)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()

    n = options.events
    rng = np.random.default_rng(0)
    print(f"{n} minority events x {options.features} features, float32, 5 neighbours\n")
    print("| events made | ours (s) | ours, weights (s) | imbalanced-learn (s) | ratio |")
    print("|---:|---:|---:|---:|---:|")
    ours = WeightedSMOTE(standardize=False, random_state=0)
    weighted = WeightedSMOTE(random_state=0)
    theirs = SMOTE(random_state=0)
    for n_new in (n // 4, n, 4 * n):
        y = np.repeat([0, 1], [n + n_new, n])
        X = rng.standard_normal((len(y), options.features), dtype=np.float32)
        weight = rng.exponential(size=len(y))
        sides = {
            "ours": partial(ours.fit_resample, X, y),
            "weighted": partial(weighted.fit_resample, X, y, sample_weight=weight),
            "theirs": partial(theirs.fit_resample, X, y),
        }
        result = interleaved(sides, options.repeats)
        print(
            f"| {n_new} | {result['ours'][0]:.1f} | {result['weighted'][0]:.1f} "
            f"| {result['theirs'][0]:.1f} | {result['theirs'][1]:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
