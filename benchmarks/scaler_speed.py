"""Time and memory of scalers and imputer against scikit-learn's, on the same float32 table.

python benchmarks/scaler_speed.py [--events 1000000] [--features 28] [--repeats 3]

Runs are interleaved and the best of each is compared, so that load from elsewhere cancels; one
process, threads as the libraries choose. Memory is the peak of what numpy allocates during
fit + transform, over the size of the table (1.0 is the result itself).
"""

import argparse
import time
import tracemalloc

import numpy as np
from sklearn import preprocessing as theirs
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline

from skhep_ml import preprocessing as ours
from skhep_ml.impute import MissingValueImputer


def fit_transform(estimator, X, weight=None):
    return estimator.fit(X, **({} if weight is None else {"sample_weight": weight})).transform(X)


def peak(estimator, X):
    tracemalloc.start()
    fit_transform(estimator, X)
    size = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return size / X.nbytes


def seconds(estimators, X, weight, repeats):
    best = [np.inf] * len(estimators)
    for _ in range(repeats):
        for index, estimator in enumerate(estimators):
            start = time.perf_counter()
            fit_transform(estimator, X, weight)
            best[index] = min(best[index], time.perf_counter() - start)
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
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

    nan_only = {"missing_values": np.nan}
    rows = [
        ("MinMaxScaler", X, None, ours.MinMaxScaler(), theirs.MinMaxScaler((-1, 1))),
        ("ZScoreScaler", X, None, ours.ZScoreScaler(), theirs.StandardScaler()),
        ("ZScoreScaler, weights", X, weight, ours.ZScoreScaler(), theirs.StandardScaler()),
        ("ZScoreScaler, 10% NaN", holes, None, ours.ZScoreScaler(), theirs.StandardScaler()),
        ("LogScaler", positive, None, ours.LogScaler(), log_then_scale),
        ("AutoScaler", X, None, ours.AutoScaler(), theirs.StandardScaler()),
    ]
    rows += [
        (
            f"MissingValueImputer, {name}",
            holes,
            None,
            MissingValueImputer(name, **nan_only),
            SimpleImputer(strategy=name),
        )
        for name in ("mean", "median")
    ]
    rows.append(
        (
            "MissingValueImputer, median, NaN and -999",
            holes,
            None,
            MissingValueImputer("median"),
            SimpleImputer(strategy="median"),
        )
    )
    print(f"{options.events} events x {options.features} features, float32, fit + transform\n")
    print("| ours | against | time (s) | theirs (s) | ratio | memory | theirs |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for label, table, table_weight, mine, other in rows:
        against = type(other).__name__ if other is not log_then_scale else "log, StandardScaler"
        fast, slow = seconds((mine, other), table, table_weight, options.repeats)
        print(
            f"| {label} | {against} | {fast:.2f} | {slow:.2f} | {slow / fast:.1f} "
            f"| {peak(mine, table):.2f} | {peak(other, table):.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
