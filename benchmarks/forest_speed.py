"""Random forests: seconds and AUC against scikit-learn's, and against xgboost's forest mode.

Weights >= 0 first: both sides must give the same forest, in the same time. Then what signed
weights cost, and whether histograms (xgboost with num_parallel_tree, squared error on the label,
leaf means) would be quicker at the same AUC.

python benchmarks/forest_speed.py [--events 200000] [--features 10] [--trees 20] [--leaf 50]
    [--repeats 3] [--jobs 2]
"""

import argparse

import numpy as np
import sklearn.ensemble
import xgboost
from _timing import interleaved

from skhep_ml.ensemble import RandomForestClassifier
from skhep_ml.metrics import roc_auc_score


def sample(rng, n, n_features):
    y = rng.integers(2, size=n)
    X = rng.normal(size=(n, n_features)).astype(np.float32)
    X[:, :4] += 0.3 * y[:, None]
    X[:, 4] *= 1 + 0.3 * y
    X[:, 6] += 0.3 * (2 * y - 1) * X[:, 5]
    return X, y


class HistogramForest:
    def __init__(self, args):
        self.args = args
        self.params = {
            "objective": "reg:squarederror",
            "base_score": 0.0,
            "num_parallel_tree": args.trees,
            "subsample": 0.632,
            "colsample_bynode": np.sqrt(args.features) / args.features,
            "learning_rate": 1,
            "reg_lambda": 0,
            "max_depth": 0,
            "min_child_weight": args.leaf,
            "nthread": args.jobs,
        }

    def fit(self, X, y, w):
        self.booster = xgboost.train(self.params, xgboost.QuantileDMatrix(X, y, weight=w), 1)

    def predict_proba(self, X):
        p = self.booster.inplace_predict(X)
        return np.column_stack([1 - p, p])


def main(args):
    rng = np.random.default_rng(0)
    X, y = sample(rng, args.events, args.features)
    X_test, y_test = sample(rng, 100_000, args.features)
    w = rng.lognormal(sigma=0.5, size=len(y))
    signed = np.where(rng.random(len(y)) < 0.15, -w, w)
    params = {
        "n_estimators": args.trees,
        "min_samples_leaf": args.leaf,
        "n_jobs": args.jobs,
        "random_state": 0,
    }
    models = {
        "scikit-learn, w / mean(w)": (
            sklearn.ensemble.RandomForestClassifier(**params),
            w / w.mean(),
        ),
        "ours, w >= 0": (RandomForestClassifier(**params), 1e-3 * w),
        "ours, signed, refine": (RandomForestClassifier(**params), signed),
        "ours, signed, keep": (RandomForestClassifier(negative_weights="keep", **params), signed),
        "xgboost, forest mode": (HistogramForest(args), w / w.mean()),
    }
    fits = {name: (lambda m=model, w=w: m.fit(X, y, w)) for name, (model, w) in models.items()}
    seconds = interleaved(fits, args.repeats)
    predictions = {
        name: (lambda m=model: m.predict_proba(X_test)) for name, (model, _) in models.items()
    }
    predict = interleaved(predictions, args.repeats)
    print(
        f"\n{args.events} events x {args.features}, {args.trees} trees, leaves of {args.leaf}, "
        f"{args.jobs} threads; prediction of 100000\n"
    )
    print("| | fit, s | ratio | predict, s | ratio | AUC |\n|---|---:|---:|---:|---:|---:|")
    for name, (model, _) in models.items():
        auc = roc_auc_score(y_test, model.predict_proba(X_test)[:, 1])
        (fit, fit_ratio), (use, use_ratio) = seconds[name], predict[name]
        print(f"| {name} | {fit:.3g} | {fit_ratio:.3f} | {use:.3g} | {use_ratio:.3f} | {auc:.4f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--features", type=int, default=10)
    parser.add_argument("--trees", type=int, default=20)
    parser.add_argument("--leaf", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    main(parser.parse_args())
