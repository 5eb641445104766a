"""Memory and CPU time of boosted trees on a stream that is made chunk by chunk, and in memory.

python benchmarks/stream_memory.py stream --events 5000000 --trees 5

Memory is the largest anonymous memory (RssAnon, sampled) above that after the imports. CPU seconds
are without those of making the events, measured on some chunks before.
"""

import argparse
import os
import threading
import time

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

import numpy as np
import xgboost

from skhep_ml.ensemble import BDTClassifier
from skhep_ml.metrics import roc_auc_score

CHUNK = 6250


def make_chunk(number, n_events, n_features):
    rng = np.random.default_rng(number)
    X = rng.standard_normal((n_events, n_features), dtype=np.float32)
    noise = rng.standard_normal(n_events, dtype=np.float32)
    y = (X[:, 0] + X[:, 1] * X[:, 2] + noise > 0).astype(np.int32)
    return X, y, rng.exponential(size=n_events).astype(np.float32)


def chunks(n_events, n_features):
    for number, start in enumerate(range(0, n_events, CHUNK)):
        yield make_chunk(number, min(CHUNK, n_events - start), n_features)


def anonymous_memory():
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


class Peak(threading.Thread):
    """Largest anonymous memory while it runs."""

    def __init__(self):
        super().__init__(daemon=True)
        self.size = 0
        self.stop = threading.Event()

    def run(self):
        while not self.stop.wait(0.005):
            self.size = max(self.size, anonymous_memory())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mode", choices=["stream", "memory"])
    parser.add_argument("--events", type=int, default=2_500_000)
    parser.add_argument("--features", type=int, default=200)
    parser.add_argument("--trees", type=int, default=20)
    parser.add_argument("--cache-dir")
    options = parser.parse_args()
    shape = (options.events, options.features)
    model = BDTClassifier(options.trees, n_jobs=1, device="cpu", random_state=0)
    xgboost.DMatrix(np.zeros((2, 2)))
    before = anonymous_memory()
    start = time.process_time()
    for number in range(20):
        make_chunk(number, CHUNK, options.features)
    making = (time.process_time() - start) / 20 * options.events / CHUNK
    peak = Peak()
    peak.start()
    start = time.process_time()
    if options.mode == "stream":
        model.fit_iter(chunks(*shape), cache_dir=options.cache_dir)
    else:
        X, y, w = (np.empty(size, np.float32) for size in (shape, options.events, options.events))
        for k, part in enumerate(chunks(*shape)):
            rows = slice(k * CHUNK, k * CHUNK + len(part[0]))
            X[rows], y[rows], w[rows] = part
        model.fit(X, y.astype(np.int32), sample_weight=w)
    seconds = time.process_time() - start - making
    peak.stop.set()
    peak.join()
    size, held = peak.size - before, make_chunk(10**6, 20_000, options.features)
    auc = roc_auc_score(held[1], model.predict_proba(held[0])[:, 1])
    data = 4 * options.events * options.features
    print(
        f"{options.mode}: {seconds:.0f} CPU s, peak {size / 1e6:.0f} MB of {data / 1e6:.0f} MB "
        f"({data / size:.1f} x), AUC {auc:.4f}"
    )


if __name__ == "__main__":
    main()
