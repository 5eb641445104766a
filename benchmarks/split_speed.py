"""Speed of event_hash and EventNumberKFold.

python benchmarks/split_speed.py [--events 10000000] [--repeats 5]
"""

import argparse

import numpy as np
from _timing import interleaved, table
from sklearn.model_selection import GroupKFold, KFold

from skhep_ml._hashing import splitmix64
from skhep_ml.model_selection import EventNumberKFold, event_hash


def naive(event):
    """The same hash, written plainly in numpy."""
    z = event.astype(np.uint64) ^ np.uint64(splitmix64(0))
    z = z + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def main(n, repeats):
    event = np.arange(n) * 10
    assert np.array_equal(naive(event), event_hash(event))
    rows = interleaved(
        {"plain numpy": lambda: naive(event), "event_hash": lambda: event_hash(event)}, repeats
    )
    table(f"Hash of {n} identifiers, median of {repeats}", rows)
    print(f"\nevent_hash: {n / rows['event_hash'][0] / 1e6:.0f} million identifiers a second")
    small = event[: n // 10]
    sides = {
        "GroupKFold": lambda: list(GroupKFold(5).split(small, groups=small)),
        "KFold, shuffled": lambda: list(KFold(5, shuffle=True, random_state=0).split(small)),
        "EventNumberKFold": lambda: list(EventNumberKFold(5).split(small, groups=small)),
    }
    table(f"5 folds of {len(small)} events, median of {repeats}", interleaved(sides, repeats))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    main(args.events, args.repeats)
