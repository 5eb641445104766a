"""Time skhep_ml's metrics against scikit-learn's on the same arrays.

Calls of both are interleaved, and the ratio is the median over pairs, so that other load on the
machine touches both alike::

python benchmarks/metrics_speed.py --n 10000000 --repeats 3
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn.metrics as reference

import skhep_ml.metrics as ours


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=10_000_000, help="number of scores")
    parser.add_argument("--repeats", type=int, default=3, help="pairs of calls a row")
    args = parser.parse_args()

    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, args.n)
    score = rng.normal(y, 1.0)
    weight = rng.lognormal(size=args.n)
    selected = (score > 0.5).astype(np.int64)
    coarse = np.round(score, 2)
    cases: list[tuple[str, str, dict[str, Any], Any]] = [
        ("roc_auc_score", "float64", {}, score),
        ("roc_auc_score", "float32", {}, score.astype(np.float32)),
        ("roc_auc_score", "float64, many ties", {}, coarse),
        ("roc_auc_score", "float64, weighted", {"sample_weight": weight}, score),
        (
            "roc_auc_score",
            "float32, weighted",
            {"sample_weight": weight},
            score.astype(np.float32),
        ),
        ("roc_curve", "float64, weighted", {"sample_weight": weight}, score),
        ("average_precision_score", "float64, weighted", {"sample_weight": weight}, score),
        ("confusion_matrix", "weighted", {"sample_weight": weight}, selected),
    ]
    print(f"{args.n:,} events, median of {args.repeats} interleaved pairs of calls\n")
    print("| metric | input | skhep_ml (s) | scikit-learn (s) | ratio |")
    print("|---|---|---|---|---|")
    for name, kind, options, prediction in cases:
        mine, theirs = [], []
        for _ in range(args.repeats):
            mine.append(seconds(getattr(ours, name), y, prediction, options))
            theirs.append(seconds(getattr(reference, name), y, prediction, options))
        ratio = statistics.median(a / b for a, b in zip(mine, theirs, strict=True))
        row = (name, kind, f"{statistics.median(mine):.2f}", f"{statistics.median(theirs):.2f}")
        print("| " + " | ".join(row) + f" | {ratio:.2f} |", flush=True)


def seconds(
    function: Callable[..., Any], y: Any, prediction: Any, options: dict[str, Any]
) -> float:
    start = time.perf_counter()
    function(y, prediction, **options)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
