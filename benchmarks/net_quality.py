"""Physics quality of nets: tables, jets as clouds, signed weights.

python benchmarks/net_quality.py [--tasks higgs,uci,jets,signed] [--seeds 1] [--threads 2]

higgs, uci: MLP, ResNet and TabM against a hand-written PyTorch loop (same network, Adam, one-cycle
rate, best epoch on a held-out part) and the BDT. jets: clouds against the BDT on summary features.
signed: toys A and B of signed_weights.py, AUC on unsigned truth for the policies and an unsigned
oracle of the same raw size; --scale 1 takes their full numbers of events. Differences are means
over seeds with the error of the mean.
"""

import argparse
import copy
import time
from pathlib import Path

import numpy as np
import torch
from signed_weights import TOYS
from sklearn.pipeline import make_pipeline

from skhep_ml.datasets import load_higgs, load_jets
from skhep_ml.ensemble import BDTClassifier
from skhep_ml.impute import MissingValueImputer
from skhep_ml.metrics import background_rejection_score, roc_auc_score
from skhep_ml.model_selection import EventNumberSplit
from skhep_ml.neural_network import NetClassifier
from skhep_ml.neural_network.modules import (
    MLP,
    DeepSets,
    ParticleNet,
    ParticleTransformer,
    ResNet,
    TabM,
)
from skhep_ml.preprocessing import AutoScaler, KinematicsTransformer
from skhep_ml.weights import balance_classes

DATA = Path(__file__).parents[2] / "shared" / "data"


def hand_written(X, y, w, X_test, seed, epochs=30, batch_size=256):
    """A careful plain loop: Adam, one cycle, the best of its epochs on 20% held out."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    held = rng.random(len(X)) < 0.2
    tensors = [torch.from_numpy(np.ascontiguousarray(a)) for a in (X, y, w.astype(np.float32))]
    train = [t[torch.from_numpy(~held)] for t in tensors]
    check = [t[torch.from_numpy(held)] for t in tensors]
    module = MLP(X.shape[1], 2, dropout=0.1)
    optimizer = torch.optim.Adam(module.parameters(), lr=2e-3)
    steps = -(-len(train[0]) // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 2e-3, epochs=epochs, steps_per_epoch=steps
    )
    best, state = np.inf, None
    for _ in range(epochs):
        module.train()
        for rows in torch.randperm(len(train[0])).split(batch_size):
            x, target, weight = (t[rows] for t in train)
            loss = torch.nn.functional.cross_entropy(module(x), target, reduction="none")
            optimizer.zero_grad()
            (loss * weight).mean().backward()
            optimizer.step()
            schedule.step()
        module.eval()
        with torch.no_grad():
            loss = torch.nn.functional.cross_entropy(module(check[0]), check[1], reduction="none")
            value = float((loss * check[2]).sum() / check[2].sum())
        if value < best:
            best, state = value, copy.deepcopy(module.state_dict())
    module.load_state_dict(state)
    module.eval()
    with torch.no_grad():
        return torch.softmax(module(torch.from_numpy(X_test)), 1)[:, 1].numpy()


def table(name, X, y, w, event, seeds, X_bdt):
    train, test = next(EventNumberSplit(0.3).split(X, groups=event))
    w_train = balance_classes(y[train], w[train])
    w_train = w_train / w_train.mean()
    rows = {}
    options = {
        "class_weight": "balanced",
        "early_stopping": True,
        "patience": 30,
        "max_epochs": 30,
        "batch_size": 256,
        "schedule": "one_cycle",
        "lr": 2e-3,
        "optimizer": "adam",
        "device": "cpu",
    }
    for seed in range(seeds):
        models = {
            "MLP": NetClassifier(module__dropout=0.1, random_state=seed, **options),
            "ResNet": NetClassifier(ResNet, random_state=seed, **options),
            "TabM": NetClassifier(
                TabM,
                module__n_blocks=2,
                module__d_block=256,
                module__n_members=8,
                module__embedding="periodic",
                random_state=seed,
                **options,
            ),
        }
        predictions = {
            "hand-written loop": hand_written(X[train], y[train], w_train, X[test], seed)
        }
        for label, net in models.items():
            start = time.perf_counter()
            net.fit(X[train], y[train], w[train], groups=event[train])
            predictions[label] = net.predict_proba(X[test])[:, 1]
            print(f"# {name} {label} {seed}: {time.perf_counter() - start:.0f} s", flush=True)
        bdt = BDTClassifier(class_weight="balanced", random_state=seed, device="cpu")
        bdt.fit(X_bdt[train], y[train], w[train])
        predictions["BDT"] = bdt.predict_proba(X_bdt[test])[:, 1]
        for label, p in predictions.items():
            rows.setdefault(label, []).append(roc_auc_score(y[test], p, sample_weight=w[test]))
    title = f"{name}: AUC on {len(test)} held-out events, mean and range of {seeds} seeds"
    report(title, rows, "hand-written loop")


def report(title, rows, reference):
    print(f"\n{title}\n\n| model | AUC | from | to | less {reference} |")
    print("|---|---:|---:|---:|---:|")
    for label, values in rows.items():
        difference = np.subtract(values, rows[reference])
        text = f"{difference.mean():+.4f}"
        if len(values) > 1:
            text += f" +- {difference.std(ddof=1) / len(values) ** 0.5:.4f}"
        print(
            f"| {label} | {np.mean(values):.4f} | {min(values):.4f} | {max(values):.4f} | {text} |"
        )
    print(flush=True)


def higgs(seeds):
    events = load_higgs()
    scaled = make_pipeline(MissingValueImputer(add_indicator=True), AutoScaler())
    X = scaled.fit_transform(events.data).astype(np.float32)
    table("load_higgs", X, events.target, events.weight, events.event_number, seeds, events.data)


def uci(seeds):
    file = DATA / "HIGGS_small.npz"
    if not file.exists():
        print(f"# {file.name} is not here: skipped")
        return
    content = np.load(file)
    raw, y = content["X"].astype(np.float32), content["y"].astype(int)
    X = AutoScaler().fit_transform(raw).astype(np.float32)
    table("HIGGS, 10,000 rows", X, y, np.ones(len(y)), np.arange(len(y)), seeds, raw)


def jets(seeds, n_particles=50, epochs=12):
    sample = load_jets(max_particles=n_particles)
    y, event = sample.target, sample.event_number
    train, test = next(EventNumberSplit(0.3).split(y, groups=event))
    momenta = sample.data[:, :, :3]
    relative = KinematicsTransformer(to="relative", features=["pt", "eta", "phi"]).fit_transform(
        momenta
    )
    kinds = sample.data[:, :, 3:]
    cloud = np.concatenate([momenta, relative, kinds], axis=2).astype(np.float32)
    scaled = cloud.copy()
    scaled[:, :, 0] /= 100  # pT in units that a network likes; the angles are small already
    common = {
        "max_epochs": epochs,
        "batch_size": 128,
        "schedule": "one_cycle",
        "optimizer": "adamw",
        "device": "cpu",
    }
    rows, rejection = {}, {}
    for seed in range(seeds):
        nets = {
            "DeepSets (PFN)": NetClassifier(DeepSets, lr=2e-3, random_state=seed, **common),
            "ParticleNet-Lite": NetClassifier(
                ParticleNet.lite, lr=3e-3, random_state=seed, **common
            ),
            "ParticleTransformer, light": NetClassifier(
                ParticleTransformer.lite, lr=2e-3, random_state=seed, **common
            ),
        }
        bdt = BDTClassifier(random_state=seed, device="cpu")
        bdt.fit(sample.jet_features[train], y[train])
        predictions = {
            "BDT on summary features": bdt.predict_proba(sample.jet_features[test])[:, 1]
        }
        for label, net in nets.items():
            data = cloud if "Transformer" in label else scaled
            start = time.perf_counter()
            net.fit(data[train], y[train])
            predictions[label] = net.predict_proba(data[test])[:, 1]
            seconds = time.perf_counter() - start
            auc = roc_auc_score(y[test], predictions[label])
            print(f"# {label} {seed}: {seconds:.0f} s, AUC {auc:.4f}", flush=True)
        for label, p in predictions.items():
            rows.setdefault(label, []).append(roc_auc_score(y[test], p))
            rejection.setdefault(label, []).append(
                background_rejection_score(y[test], p, signal_efficiency=0.5)
            )
    title = f"load_jets, {len(train)} jets, {n_particles} particles, {epochs} epochs"
    report(title, rows, "BDT on summary features")
    for label, values in rejection.items():
        print(f"# {label}: rejection at 50% {np.mean(values):.1f}")


def signed(seeds, scale):
    for name in TOYS:
        signed_toy(name, seeds, scale)


def signed_toy(name, seeds, scale):
    toy, n, _ = TOYS[name]
    rows = {}
    for seed in range(seeds):
        rng = np.random.default_rng(100 + seed)
        x_test, y_test, _ = toy.sample(rng, 200_000, "oracle")
        # the posterior is that of the class with negative weights
        truth = toy.posterior(x_test) * (1 if toy.signed_is_signal else -1)
        rows.setdefault("optimal", []).append(roc_auc_score(y_test, truth))
        samples = {kind: toy.sample(rng, int(n * scale), kind) for kind in ("signed", "oracle")}
        for label in ("refine", "keep", "drop", "oracle"):
            x, y, w = samples["oracle" if label == "oracle" else "signed"]
            net = NetClassifier(
                negative_weights="refine" if label == "oracle" else label,
                max_epochs=8,
                batch_size=1024,
                schedule="one_cycle",
                lr=2e-3,
                random_state=seed,
                device="cpu",
            )
            net.fit(x, y, w)
            rows.setdefault(label, []).append(
                roc_auc_score(y_test, net.predict_proba(x_test)[:, 1])
            )
            print(f"# toy {name} {label} {seed}: {rows[label][-1]:.4f}", flush=True)
    title = f"Toy {name}, {int(n * scale)} raw events a class, MLP, {seeds} seeds"
    report(title, rows, "oracle")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", default="higgs,uci,jets,signed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--scale", type=float, default=0.25, help="of the toys of signed weights")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tasks = {
        "higgs": higgs,
        "uci": uci,
        "jets": jets,
        "signed": lambda seeds: signed(seeds, options.scale),
    }
    for task in options.tasks.split(","):
        tasks[task](options.seeds)
