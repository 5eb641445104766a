"""Time and memory of scalers against scikit-learn's, on the same float32 table.

python benchmarks/scaler_speed.py [--events 5000000] [--features 28] [--repeats 3]

Runs are interleaved; times are medians, the ratio is the median of the pairwise ratios, so that
load from elsewhere cancels; one process, threads as the libraries choose. Memory is the peak of
what numpy allocates during fit + transform, over the size of the table (1.0 is the result
itself).
"""

import argparse
import tracemalloc

import numpy as np
from _timing import interleaved
from sklearn import preprocessing as theirs
from sklearn.pipeline import make_pipeline

from skhep_ml import preprocessing as ours


def fit_transform(estimator, X, weight=None):
    return estimator.fit(X, **({} if weight is None else {"sample_weight": weight})).transform(X)


def peak(estimator, X):
    tracemalloc.start()
    fit_transform(estimator, X)
    size = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return size / X.nbytes


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--features", type=int, default=28)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()

    rng = np.random.default_rng(0)
    X = rng.standard_normal((options.events, options.features), dtype=np.float32)
    holes = X.copy()
    holes[rng.random(X.shape, dtype=np.float32) < 0.1] = np.nan
    weight = rng.uniform(0.5, 1.5, options.events)
    positive = np.exp(X)
    log_then_scale = make_pipeline(theirs.FunctionTransformer(np.log), theirs.StandardScaler())
    robust = theirs.RobustScaler()

    rows = [
        ("MinMaxScaler", X, None, ours.MinMaxScaler(), theirs.MinMaxScaler((-1, 1))),
        ("ZScoreScaler", X, None, ours.ZScoreScaler(), theirs.StandardScaler()),
        ("ZScoreScaler, weights", X, weight, ours.ZScoreScaler(), theirs.StandardScaler()),
        ("ZScoreScaler, 10% NaN", holes, None, ours.ZScoreScaler(), theirs.StandardScaler()),
        ("LogScaler", positive, None, ours.LogScaler(), log_then_scale),
        ("AutoScaler", X, None, ours.AutoScaler(), theirs.StandardScaler()),
        ("ZScoreScaler(robust=True)", X, None, ours.ZScoreScaler(robust=True), robust),
    ]
    print(f"{options.events} events x {options.features} features, float32, fit + transform\n")
    print("| ours | against | time (s) | theirs (s) | ratio | memory | theirs |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for label, table, table_weight, mine, other in rows:
        against = type(other).__name__ if other is not log_then_scale else "log, StandardScaler"
        sides = {
            "ours": lambda: fit_transform(mine, table, table_weight),  # noqa: B023
            "theirs": lambda: fit_transform(other, table, table_weight),  # noqa: B023
        }
        times = interleaved(sides, options.repeats)
        (fast, _), (slow, ratio) = times["ours"], times["theirs"]
        print(
            f"| {label} | {against} | {fast:.2f} | {slow:.2f} | {ratio:.1f} "
            f"| {peak(mine, table):.2f} | {peak(other, table):.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
