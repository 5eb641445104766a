"""Speed of JaggedToPadded against awkward's own padding, field by field, on the same arrays.

python benchmarks/jagged_speed.py [--particles 2000000] [--repeats 5]

Records of four float32 fields, missing values looked for, one core. Awkward: per field
``ak.to_numpy(ak.fill_none(ak.pad_none(field, length, clip=True), nan))``, stacked, after
``array[ak.argsort(array.pt)]`` where sorted; it looks for no sentinels, infinities or absent
particles. Runs are interleaved. Speeds are per second of CPU time, which other load on the machine
disturbs less (medians); the ratio is that of wall times (median). "Copy" only writes a cloud of
that size from a ready one: no method can be faster.
"""

import argparse
import os
import time
from functools import partial
from statistics import median

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

import warnings

import awkward as ak
import numpy as np
from _timing import interleaved

from skhep_ml.exceptions import TruncationWarning
from skhep_ml.preprocessing import JaggedToPadded

FIELDS = ("pt", "eta", "phi", "mass")


class CpuTimed:
    """A call that notes the CPU seconds it takes."""

    def __init__(self, call):
        self.call = call
        self.seconds = []

    def __call__(self):
        start = time.process_time()
        self.call()
        self.seconds.append(time.process_time() - start)


def awkward_padding(array, length, *, sort):
    if sort:
        array = array[ak.argsort(array["pt"], axis=1, ascending=False)]
    columns = []
    for name in FIELDS:
        padded = ak.pad_none(array[name], length, axis=1, clip=True)
        columns.append(ak.to_numpy(ak.fill_none(padded, np.float32(np.nan), axis=1)))
    return np.stack(columns, axis=-1)


def sample(n_particles, mean, rng):
    counts = rng.poisson(mean, n_particles // mean)
    size = counts.sum()
    fields = {name: rng.exponential(size=size).astype(np.float32) for name in FIELDS}
    return ak.unflatten(ak.zip(fields), counts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--particles", type=int, default=2_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    warnings.simplefilter("ignore", TruncationWarning)
    rng = np.random.default_rng(0)

    print(f"{options.particles / 1e6:g} million particles of {len(FIELDS)} features, float32\n")
    print(
        "| particles/event | length | events | order | ours (M/s) | awkward (M/s) | ratio | copy |"
    )
    print("|---:|---:|---|---|---:|---:|---:|---:|")
    for mean, length in ((5, 10), (50, 80), (200, 128)):
        whole = sample(options.particles, mean, rng)
        ordered = whole[ak.argsort(whole["pt"], axis=1, ascending=False)]
        chosen = whole[rng.permutation(len(whole))]
        rows = [
            ("in file order", "kept", whole, False),
            ("in file order", "to sort", whole, True),
            ("in file order", "sorted already", ak.to_packed(ordered), True),
            ("shuffled rows", "kept", chosen, False),
            ("shuffled rows", "to sort", chosen, True),
        ]
        for events, order, array, sort in rows:
            to_padded = JaggedToPadded(length, sort_by=None if sort else False)
            cloud = to_padded.fit_transform(array)
            np.testing.assert_array_equal(cloud, awkward_padding(array, length, sort=sort))
            sides = {
                "ours": partial(to_padded.fit_transform, array),
                "awkward": partial(awkward_padding, array, length, sort=sort),
                "copy": cloud.copy,
            }
            timed = {name: CpuTimed(call) for name, call in sides.items()}
            wall = interleaved(timed, options.repeats)
            million = ak.sum(ak.num(array)) / 1e6
            speed = {name: million / median(call.seconds) for name, call in timed.items()}
            print(
                f"| {mean} | {length} | {events} | {order} | {speed['ours']:.0f} "
                f"| {speed['awkward']:.1f} | {wall['awkward'][1]:.1f} | {speed['copy']:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
