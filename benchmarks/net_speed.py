"""Training and prediction speed of nets: bare PyTorch, ours, and stock skorch, interleaved.

python benchmarks/net_speed.py [--events 200000] [--threads 1] [--repeats 3]

The bare loop holds the events as tensors, shuffles by one permutation an epoch, gathers each batch,
and uses the same fused optimizer. Times are CPU seconds of the process, so that other load counts
less; ratios are medians over interleaved runs.
"""

import argparse
import time
from statistics import median

import numpy as np
import torch
from skorch import NeuralNetClassifier

from skhep_ml.neural_network import NetClassifier
from skhep_ml.neural_network.modules import MLP


def bare_fit(module, X, y, batch_size, epochs, weight=None):
    X, y = torch.from_numpy(X), torch.from_numpy(y)
    weight = None if weight is None else torch.from_numpy(weight)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3, weight_decay=0.0, fused=True)
    module.train()
    for _ in range(epochs):
        order = torch.randperm(len(X))
        total = 0.0
        for rows in order.split(batch_size):
            optimizer.zero_grad()
            output = module(X[rows])
            if weight is None:
                loss = torch.nn.functional.cross_entropy(output, y[rows])
            else:
                each = torch.nn.functional.cross_entropy(output, y[rows], reduction="none")
                loss = (each * weight[rows]).mean()
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(rows)
        float(total)


def bare_predict(module, X):
    module.eval()
    with torch.no_grad():
        parts = [torch.softmax(module(part), 1) for part in torch.from_numpy(X).split(4096)]
    return torch.cat(parts).numpy()


def cpu_seconds(call):
    start = time.process_time()
    call()
    return time.process_time() - start


def compare(sides, repeats):
    seconds = {name: [] for name in sides}
    for _ in range(repeats):
        for name, call in sides.items():
            seconds[name].append(cpu_seconds(call))
    reference = next(iter(seconds.values()))
    return {
        name: median(a / b for a, b in zip(values, reference, strict=True))
        for name, values in seconds.items()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    rng = np.random.default_rng(0)
    X = rng.standard_normal((options.events, 28), dtype=np.float32)
    y = rng.integers(0, 2, options.events)
    w = rng.exponential(size=options.events).astype(np.float32)
    epochs = options.epochs
    print(
        f"{options.events} events x 28, {options.threads} thread(s), CPU time over bare PyTorch\n"
    )
    print("| net | batch | ours | ours, weights | stock skorch |")
    print("|---|---:|---:|---:|---:|")
    fitted = {}
    for name, hidden in (("3x256 MLP", (256,) * 3), ("linear, 28 to 2", ())):
        for batch_size in (1024, 128):
            common = {"max_epochs": epochs, "batch_size": batch_size, "device": "cpu", "lr": 1e-3}

            def ours(weight=None, hidden=hidden, common=common):
                net = NetClassifier(module__hidden=hidden, random_state=0, **common)
                return net.fit(X, y, weight)

            def stock(hidden=hidden, common=common):
                net = NeuralNetClassifier(
                    MLP,
                    module__n_features=28,
                    module__n_outputs=2,
                    module__hidden=hidden,
                    criterion=torch.nn.CrossEntropyLoss,
                    optimizer=torch.optim.AdamW,
                    train_split=None,
                    iterator_train__shuffle=True,
                    verbose=0,
                    **common,
                )
                return net.fit(X, y)

            def bare(weight=None, hidden=hidden, batch_size=batch_size):
                module = MLP(28, 2, hidden)
                bare_fit(module, X, y, batch_size, epochs, weight)
                return module

            ratio = compare(
                {"bare": bare, "ours": ours, "weighted": lambda: ours(w), "skorch": stock},
                options.repeats,
            )
            print(
                f"| {name} | {batch_size} | {ratio['ours']:.2f} | {ratio['weighted']:.2f} "
                f"| {ratio['skorch']:.2f} |",
                flush=True,
            )
            if batch_size == 1024:
                fitted[name] = bare(), ours(), stock()
    print("\n| prediction | ours | stock skorch |\n|---|---:|---:|")
    for name, (module, net, theirs) in fitted.items():
        ratio = compare(
            {
                "bare": lambda module=module: bare_predict(module, X),
                "ours": lambda net=net: net.predict_proba(X),
                "skorch": lambda net=theirs: net.predict_proba(X),
            },
            options.repeats,
        )
        print(f"| {name} | {ratio['ours']:.2f} | {ratio['skorch']:.2f} |", flush=True)


if __name__ == "__main__":
    main()
