"""Time of BDTClassifier over plain xgboost on the same rows.

python benchmarks/bdt_speed.py [--events 400000] [--repeats 5]
"""

import argparse

import numpy as np
import xgboost
from _timing import interleaved, table

from skhep_ml.ensemble import BDTClassifier


def sample(n, features=20, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=n)
    X = rng.normal(size=(n, features)).astype(np.float32)
    X[:, :5] += 0.4 * y[:, None]
    positive = rng.lognormal(0, 1, n)
    # signs that carry shape: more negative weights at large X[:, 0]
    sign = np.where(rng.random(n) < 0.35 / (1 + np.exp(-2 * X[:, 0])), -1.0, 1.0)
    return X, y, positive, positive * sign


def main(n, repeats, trees=60, depth=5):
    X, y, positive, signed = sample(n)
    common = {"n_estimators": trees, "max_depth": depth, "learning_rate": 0.1}

    def ours(weight, policy="refine"):
        return lambda: BDTClassifier(
            **common, negative_weights=policy, random_state=0, device="cpu"
        ).fit(X, y, weight)

    engine = xgboost.XGBClassifier(**common, device="cpu")
    sides = {
        "xgboost, w >= 0": lambda: engine.fit(X, y, sample_weight=positive),
        "BDTClassifier, w >= 0": ours(positive),
        'BDTClassifier, signed, "keep"': ours(signed, "keep"),
        'BDTClassifier, signed, "refine"': ours(signed, "refine"),
    }
    title = f"{n} events x 20 features, {trees} trees of depth {depth}, fit, median of {repeats}"
    table(title, interleaved(sides, repeats))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    main(args.events, args.repeats)
