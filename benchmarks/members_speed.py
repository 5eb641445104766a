"""Time of n_members nets trained at once over as many fits one after the other.

python benchmarks/members_speed.py [--events 20000] [--members 8] [--threads 1] [--repeats 5]
"""

import argparse

import numpy as np
import torch
from _timing import interleaved, table

from skhep_ml.neural_network import NetClassifier


def sample(n, features=28, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=n)
    X = rng.normal(size=(n, features)).astype(np.float32)
    X[:, :5] += 0.4 * y[:, None]
    return X, y


def main(n, n_members, repeats, device):
    X, y = sample(n)
    for hidden, batch_size in (
        ((32, 32), 128),
        ((32, 32), 1024),
        ((256, 256, 256), 128),
        ((256, 256, 256), 1024),
    ):
        options = {
            "module__hidden": hidden,
            "batch_size": batch_size,
            "max_epochs": 1,
            "device": device,
        }

        def one_by_one(options=options):
            return [
                NetClassifier(random_state=seed, **options).fit(X, y) for seed in range(n_members)
            ]

        def at_once(options=options):
            return [NetClassifier(n_members=n_members, random_state=0, **options).fit(X, y)]

        fits = {"one after the other": one_by_one, "n_members": at_once}
        title = f"{n_members} MLPs {hidden}, batch {batch_size}, {n} events x 28 features"
        table(f"{title}, one epoch, fit", interleaved(fits, repeats))
        nets = {name: fit() for name, fit in fits.items()}
        predictions = {
            name: lambda nets=nets: np.mean([net.predict_proba(X) for net in nets], axis=0)
            for name, nets in nets.items()
        }
        table(f"{title}, predict", interleaved(predictions, repeats))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    main(args.events, args.members, args.repeats, args.device)
