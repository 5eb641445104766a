"""Speed of the policies that make weights positive: 1 million events, 6 features, 20% negative.

Once each, in one process; the ratio is to ``"refine"``. Both kinds of signs: drawn at random, and
with a density of their own in the signal class.

python benchmarks/resample_speed.py [--events 1000000]
"""

import argparse

import numpy as np
from _timing import interleaved, table

from skhep_ml.datasets import make_signed_events
from skhep_ml.weights import apply_negative_weights

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=1_000_000)
    size = parser.parse_args().events
    # only the signal class of "shape" has negative events
    for kind, fraction in (("random", 0.2), ("shape", 0.4)):
        events = make_signed_events(
            size // 2, negative_fraction=fraction, kind=kind, n_features=6, random_state=0
        )
        arguments = events.data.astype(np.float32), events.target, events.weight
        sides = {
            policy: lambda policy=policy, arguments=arguments: apply_negative_weights(
                *arguments, policy, random_state=0
            )
            for policy in ("refine", "pair", "cell")
        }
        negative = np.mean(events.weight < 0)
        table(f"{size} events x 6, {negative:.1%} negative, {kind} signs", interleaved(sides, 1))
