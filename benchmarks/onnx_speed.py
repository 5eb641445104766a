"""Prediction by an exported graph in onnxruntime against the model itself, one thread each.

The third column is the time of the graph relative to the model's; below 1 the graph is faster.
Both take the same float32 table and give probabilities.

python benchmarks/onnx_speed.py [--events 100000] [--train 20000] [--trees 300] [--repeats 7]
"""

import argparse
import time
from statistics import median

import numpy as np
import onnxruntime
import torch
from sklearn.pipeline import make_pipeline

from skhep_ml.datasets import make_signed_events
from skhep_ml.ensemble import BDTClassifier, RandomForestClassifier
from skhep_ml.export import to_onnx, verify_onnx
from skhep_ml.impute import MissingValueImputer
from skhep_ml.linear_model import LogisticRegression
from skhep_ml.model_selection import RotatingClassifier
from skhep_ml.neural_network import NetClassifier
from skhep_ml.preprocessing import AutoScaler


def events(n, seed):
    sample = make_signed_events(n // 2, random_state=seed)
    rng = np.random.default_rng(seed)
    X = np.column_stack([sample.data, rng.normal(size=(n, 6))]).astype(np.float32)
    X[rng.random(X.shape) < 0.05] = np.nan
    return X, sample.target, np.arange(n) + n * seed


def session(graph):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def cpu_seconds(call):
    start = time.process_time()
    call()
    return time.process_time() - start


def main(args):
    torch.set_num_threads(1)
    X, y, event = events(args.train, 0)
    test, _, test_event = events(args.events, 1)
    bdt = BDTClassifier(args.trees, max_depth=5, n_jobs=1, device="cpu")
    models = {
        f"BDT, {args.trees} trees of depth 5": bdt,
        "forest, 100 trees, leaves of 20": RandomForestClassifier(
            100, min_samples_leaf=20, random_state=0
        ),
        "imputer, scaler, logistic regression": make_pipeline(
            MissingValueImputer(), AutoScaler(), LogisticRegression()
        ),
        f"imputer, scaler, BDT, {args.trees} trees": make_pipeline(
            MissingValueImputer(), AutoScaler(), bdt
        ),
        "imputer, scaler, MLP of 3 x 256": make_pipeline(
            MissingValueImputer(),
            AutoScaler(),
            NetClassifier(max_epochs=1, device="cpu", random_state=0),
        ),
        f"five rotating BDTs, {args.trees} trees": RotatingClassifier(bdt, n_splits=5),
    }
    print(f"\n{args.events} events x {X.shape[1]}, 5% missing, float32, CPU seconds, one thread\n")
    print("| | model | graph | graph / model | largest difference | differing events |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, model in models.items():
        rotating = isinstance(model, RotatingClassifier)
        groups = {"groups": test_event} if rotating else {}
        model.fit(X, y, **({"groups": event} if rotating else {}))
        graph = to_onnx(model)
        run = session(graph)
        feed = {"features": test}
        if rotating:
            feed["event_number"] = test_event[:, None]
        pairs = [
            (
                cpu_seconds(lambda: model.predict_proba(test, **groups)),  # noqa: B023
                cpu_seconds(lambda: run.run(["probabilities"], feed)),  # noqa: B023
            )
            for _ in range(args.repeats)
        ]
        native, onnx = (median(side) for side in zip(*pairs, strict=True))
        ratio = median(b / a for a, b in pairs)
        same = verify_onnx(model, graph, test, **groups)
        print(
            f"| {name} | {native:.3g} | {onnx:.3g} | {ratio:.2f} | "
            f"{same.largest_difference:.1e} | {len(same.differing)} |"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--train", type=int, default=20_000)
    parser.add_argument("--trees", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=7)
    main(parser.parse_args())
