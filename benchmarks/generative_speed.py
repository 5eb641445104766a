"""Speed of generative models: flows against zuko by hand, flow matching by itself.

Run with ``python benchmarks/generative_speed.py [threads]``. The same neural spline flow of 8
columns on both sides, interleaved: a training step, log densities and samples of arrays; by hand
means zuko on standardised tensors in a bare loop, with batches of the size that suits it best.
Ratios are of CPU seconds, medians over the pairs, zuko's over ours: 0.95 or more is the aim. Flow
matching then samples 100000 events of 8 columns with its default network and steps.
"""

import sys
import time
from statistics import median

import numpy as np
import torch
import zuko

from skhep_ml.generative import FlowMatching, NormalizingFlow

N_FEATURES = 8
OPTIONS = {"n_transforms": 4, "hidden": (128, 128), "batch_size": 512}


def train_by_hand(X, epochs, seed=0):
    """zuko's flow, trained by maximum likelihood in a plain loop."""
    torch.manual_seed(seed)
    flow = zuko.flows.NSF(X.shape[1], transforms=4, hidden_features=(128, 128))
    optimizer = torch.optim.AdamW(flow.parameters(), lr=1e-3, weight_decay=0.0, fused=True)
    for _ in range(epochs):
        for rows in torch.randperm(len(X)).split(512):
            optimizer.zero_grad()
            loss = -flow().log_prob(X[rows]).mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(flow.parameters(), 5.0)
            optimizer.step()
    return flow


def density_by_hand(flow, X, size):
    """Log densities of standardised events, in batches."""
    with torch.no_grad():
        return torch.cat([flow().log_prob(part) for part in X.split(size)]).numpy()


def sample_by_hand(flow, n, size):
    """Standardised events, in batches."""
    with torch.no_grad():
        return torch.cat([flow().sample((size,)) for _ in range(n // size)]).numpy()


def paired(ours, theirs, repeats):
    """Median CPU seconds of ours and of theirs, and median ratio theirs over ours."""
    seconds = []
    for _ in range(repeats):
        pair = []
        for call in (ours, theirs):
            start = time.process_time()
            call()
            pair.append(time.process_time() - start)
        seconds.append(pair)
    a, b = (median(column) for column in zip(*seconds, strict=True))
    return a, b, median(second / first for first, second in seconds)


def main(threads=1):
    """Print the table."""
    torch.set_num_threads(threads)
    X = np.random.default_rng(0).normal(size=(32768, N_FEATURES)).astype(np.float32)
    tensor = torch.from_numpy(X)
    few = X[:8192]
    flow = NormalizingFlow(max_epochs=1, device="cpu", random_state=0, **OPTIONS).fit(few)
    by_hand = train_by_hand(tensor[:8192], 1)
    rows = {
        "training, 2 epochs of 8192 events": (
            lambda: NormalizingFlow(max_epochs=2, device="cpu", random_state=0, **OPTIONS).fit(few),
            lambda: train_by_hand(tensor[:8192], 2),
        )
    }
    for size in (2048, 16384):
        rows[f"log density of 32768 events, by hand in batches of {size}"] = (
            lambda: flow.score_samples(X),
            lambda size=size: density_by_hand(by_hand, tensor, size),
        )
        rows[f"16384 samples, by hand in batches of {size}"] = (
            lambda: flow.sample(16384, random_state=0),
            lambda size=size: sample_by_hand(by_hand, 16384, size),
        )
    print("| | ours, CPU s | zuko, CPU s | ratio |\n|---|---:|---:|---:|")
    for name, (ours, theirs) in rows.items():
        a, b, ratio = paired(ours, theirs, 5)
        print(f"| {name} | {a:.2f} | {b:.2f} | {ratio:.3f} |", flush=True)
    model = FlowMatching(max_epochs=1, device="cpu", random_state=0).fit(few)
    seconds = []
    for _ in range(3):
        start = time.perf_counter(), time.process_time()
        model.sample(100_000, random_state=0)
        seconds.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    wall, cpu = min(seconds)
    print(f"\nFlowMatching: 100000 samples in {wall:.2f} s on {threads} threads, {cpu:.2f} CPU s")


if __name__ == "__main__":
    main(*(int(value) for value in sys.argv[1:]))
