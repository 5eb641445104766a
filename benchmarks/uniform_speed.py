"""UniformBDTClassifier against hep_ml's boosting with the same losses, on three-body decays.

python benchmarks/uniform_speed.py [--events 100000] [--trees 150] [--threads 1] [--seed 0]

Both train on the same events, with their default strengths, and are judged on as many others:
SDE and CvM of signal in 10 x 10 bins of equal contents over the Dalitz plane. CPU seconds are
those of the process, which tell more than the clock on a busy machine.
"""

import argparse
import time
import warnings

from hep_ml.gradientboosting import UGradientBoostingClassifier
from hep_ml.losses import (
    AdaLossFunction,
    BinFlatnessLossFunction,
    KnnAdaLossFunction,
    KnnFlatnessLossFunction,
)

from skhep_ml.datasets import make_dalitz
from skhep_ml.ensemble import UniformBDTClassifier
from skhep_ml.metrics import cvm_flatness, roc_auc_score, sde_flatness

PEERS = {
    "none": AdaLossFunction,
    "bins": BinFlatnessLossFunction,
    "knn": KnnFlatnessLossFunction,
    "knn-ada": KnnAdaLossFunction,
}


def judged(model, train, test):
    """Wall and CPU seconds of the fit, AUC, SDE and CvM of the score."""
    wall, cpu = time.perf_counter(), time.process_time()
    model.fit(train.data, train.target)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    score = model.decision_function(test.data)
    plane = test.data[test.uniform_features]
    flat = [
        metric(test.target, score, plane, uniform_label=1)
        for metric in (sde_flatness, cvm_flatness)
    ]
    return wall, cpu, roc_auc_score(test.target, score), *flat


def main(n, trees, threads, seed, losses):
    train = make_dalitz(n, as_frame=True, random_state=seed)
    test = make_dalitz(n, as_frame=True, random_state=seed + 1)
    uniform, features = train.uniform_features, train.train_features
    print(f"{n} events, {trees} trees of depth 4, {threads} thread(s), seed {seed}\n")
    print(
        "| loss | | seconds | CPU seconds | AUC | SDE | CvM |\n|---|---|---:|---:|---:|---:|---:|"
    )
    for loss in losses:
        peer_loss = PEERS[loss]
        peer = UGradientBoostingClassifier(
            peer_loss() if loss == "none" else peer_loss(uniform, uniform_label=1),
            n_estimators=trees,
            max_depth=4,
            train_features=features,
            random_state=seed,
        )
        common = {"n_estimators": trees, "max_depth": 4, "n_jobs": threads, "device": "cpu"}
        ours = UniformBDTClassifier(
            uniform,
            1,
            features,
            **({"strength": 0} if loss == "none" else {"loss": loss}),
            **common,
            random_state=seed,
        )
        times = {}
        for name, model in (("ours", ours), ("hep_ml", peer)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                wall, cpu, auc, sde, cvm = judged(model, train, test)
            times[name] = (wall, cpu)
            print(
                f"| {loss} | {name} | {wall:.1f} | {cpu:.1f} | {auc:.4f} | {sde:.4f} | {cvm:.5f} |",
                flush=True,
            )
        ratio, cpu_ratio = (b / a for a, b in zip(times["ours"], times["hep_ml"], strict=True))
        print(f"| {loss} | ratio | {ratio:.1f} | {cpu_ratio:.1f} | | | |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--trees", type=int, default=150)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--losses", nargs="+", choices=PEERS, default=list(PEERS))
    args = parser.parse_args()
    main(args.events, args.trees, args.threads, args.seed, args.losses)
