"""Interleaved timing: both sides in turn, in one process, so that noise hits both."""

import time
from statistics import median


def interleaved(sides, repeats=5):
    """Median seconds of each callable, and median ratio to the first, over interleaved runs."""
    seconds = {name: [] for name in sides}
    for _ in range(repeats):
        for name, call in sides.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    reference = next(iter(seconds.values()))
    return {
        name: (median(values), median(a / b for a, b in zip(values, reference, strict=True)))
        for name, values in seconds.items()
    }


def table(title, rows):
    print(f"\n{title}\n\n| | seconds | ratio |\n|---|---:|---:|")
    for name, (seconds, ratio) in rows.items():
        print(f"| {name} | {seconds:.3g} | {ratio:.3f} |")
