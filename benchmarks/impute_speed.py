"""Time of MissingValueImputer against SimpleImputer, fit + transform, on the same float32 table.

python benchmarks/impute_speed.py [--events 5000000] [--features 28] [--repeats 5]

Runs are interleaved in one process; the ratio is the median over the pairs. Memory is the peak of
what numpy allocates during fit + transform, over the size of the table (1.0 is the result itself),
on a tenth of the events.
"""

import argparse
import tracemalloc

import numpy as np
from _timing import interleaved
from sklearn.impute import SimpleImputer

from skhep_ml.impute import MissingValueImputer

STRATEGIES = ("mean", "median", "most_frequent", "constant")


def peak(call, size):
    tracemalloc.start()
    call()
    memory = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return memory / size


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--features", type=int, default=28)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()

    rng = np.random.default_rng(0)
    X = rng.standard_normal((options.events, options.features), dtype=np.float32)
    for start in range(0, len(X), 100_000):
        block = X[start : start + 100_000]
        block[rng.random(block.shape, dtype=np.float32) < 0.1] = np.nan
    small = X[: len(X) // 10]
    weight = rng.normal(1, 1, len(X))

    def theirs(strategy, table):
        imputer = SimpleImputer(strategy=strategy)
        return lambda: imputer.fit(table).transform(table)

    def ours(strategy, table, table_weight=None, **parameters):
        imputer = MissingValueImputer(strategy, **parameters)
        return lambda: imputer.fit(table, sample_weight=table_weight).transform(table)

    print(f"{options.events} events x {options.features} features, float32, 10% NaN\n")
    print("| strategy | ours (s) | theirs (s) | ratio | memory | theirs |")
    print("|---|---:|---:|---:|---:|---:|")
    nan_only = {"missing_values": np.nan}
    rows = [(strategy, strategy, {}, nan_only) for strategy in STRATEGIES]
    rows.append(("median, NaN and -999", "median", {}, {}))
    rows.append(("mean, signed weights", "mean", {"table_weight": weight}, nan_only))
    for label, strategy, weights, parameters in rows:
        seconds = interleaved(
            {
                "ours": ours(strategy, X, **weights, **parameters),
                "theirs": theirs(strategy, X),
            },
            options.repeats,
        )
        sizes = [
            peak(call, small.nbytes)
            for call in (ours(strategy, small, **parameters), theirs(strategy, small))
        ]
        print(
            f"| {label} | {seconds['ours'][0]:.2f} | {seconds['theirs'][0]:.2f} "
            f"| {seconds['theirs'][1]:.1f} | {sizes[0]:.2f} | {sizes[1]:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
