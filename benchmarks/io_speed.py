"""Speed of reading and writing files, and of training on a stream, against plain uproot and fit.

python benchmarks/io_speed.py [--events 2000000] [--stream-events 400000] [--repeats 5]

Reading: 20 float32 branches of a ROOT file, zlib level 1, one core; plain uproot is
``tree.arrays(names, library=...)`` of the same names, stacked to the same float32 table for
numpy ("uproot's arrays": one array a branch, no table). Runs are interleaved; speeds are per second
of CPU time (medians), ratios those of the pairs (median).

Writing: `write_scores` with a model that costs nothing, reading one branch included.

Streaming: boosted trees, each fit in a process of its own that reads the files too. Memory is the
largest anonymous memory (RssAnon, sampled) above that after the imports; the data set is what its
float32 features take.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

import numpy as np
import uproot

from skhep_ml.io import iterate_events, read_events, write_scores

FEATURES = [f"x{k}" for k in range(20)]


def write_sample(path, n_events, n_features, chunk=100_000):
    rng = np.random.default_rng(0)
    types = {**{f"x{k}": "f4" for k in range(n_features)}, "y": "i4", "w": "f4"}
    with uproot.recreate(path) as file:
        tree = file.mktree("Events", types)
        for start in range(0, n_events, chunk):
            X = rng.standard_normal((min(chunk, n_events - start), n_features), dtype=np.float32)
            noise = rng.standard_normal(len(X), dtype=np.float32)
            columns = {f"x{k}": X[:, k] for k in range(n_features)}
            columns["y"] = (X[:, 0] + X[:, 1] * X[:, 2] + noise > 0).astype(np.int32)
            columns["w"] = rng.exponential(size=len(X)).astype(np.float32)
            tree.extend(columns)


def cpu(call):
    start = time.process_time()
    call()
    return time.process_time() - start


def plain(path, library):
    with uproot.open(path) as file:
        return file["Events"].arrays(FEATURES, library=library)


def reading(path, n_events, repeats):
    pairs = {
        "numpy": (
            lambda: np.stack(list(plain(path, "np").values()), axis=1),
            lambda: read_events(path, features=FEATURES, library="numpy"),
        ),
        "numpy, against uproot's arrays": (
            lambda: plain(path, "np"),
            lambda: read_events(path, features=FEATURES, library="numpy"),
        ),
        "pandas": (
            lambda: plain(path, "pd"),
            lambda: read_events(path, features=FEATURES),
        ),
        "pandas, against uproot's arrays": (
            lambda: plain(path, "np"),
            lambda: read_events(path, features=FEATURES),
        ),
        "pandas, in chunks of 20 MB": (
            lambda: plain(path, "np"),
            lambda: list(iterate_events(path, features=FEATURES, step_size="20 MB")),
        ),
        "awkward": (
            lambda: plain(path, "ak"),
            lambda: read_events(path, features=FEATURES, library="awkward"),
        ),
    }
    print(f"\nReading {n_events / 1e6:g} million events x {len(FEATURES)} branches\n")
    print("| library | ours (M events/s) | uproot | ratio of rates |\n|---|---:|---:|---:|")
    for name, (theirs, ours) in pairs.items():
        seconds = [(cpu(theirs), cpu(ours)) for _ in range(repeats)]
        rates = [n_events / 1e6 / median(side) for side in zip(*seconds, strict=True)]
        ratio = median(a / b for a, b in seconds)
        print(f"| {name} | {rates[1]:.2f} | {rates[0]:.2f} | {ratio:.2f} |", flush=True)


class Free:
    """A model whose prediction costs nothing."""

    def predict(self, X):
        return X[:, 0]


def writing(path, n_events, repeats):
    print("\nWriting scores, model excluded\n\n| | M events/s |\n|---|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for name, out, options in (
            ("friend tree", "a.root", {}),
            ("friend tree, chunks of 100,000", "a.root", {"step_size": 100_000}),
            ("Parquet", "a.parquet", {}),
            ("copy of the file (22 branches)", "b.root", {"friend": False}),
        ):
            seconds = median(
                cpu(
                    lambda out=out, options=options: write_scores(
                        Free(), path, Path(folder) / out,
                        features=["x0"], overwrite=True, **options,
                    )
                )
                for _ in range(repeats)
            )  # fmt: skip
            print(f"| {name} | {n_events / seconds / 1e6:.2f} |", flush=True)


def anonymous_memory():
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


class Peak(threading.Thread):
    """Largest anonymous memory while it runs, above that at the start."""

    def __init__(self):
        super().__init__(daemon=True)
        self.start_size = self.size = anonymous_memory()
        self.stop = threading.Event()

    def run(self):
        while not self.stop.wait(0.005):
            self.size = max(self.size, anonymous_memory())


def fit(mode, path, n_features, step, trees):
    """One fit in a process of its own."""
    from skhep_ml.ensemble import BDTClassifier

    model = BDTClassifier(trees, n_jobs=1, device="cpu", random_state=0)
    given = {"features": [f"x{k}" for k in range(n_features)], "label": "y", "weight": "w"}
    import uproot.behaviors.TTree
    import xgboost

    assert uproot.behaviors.TTree
    xgboost.DMatrix(np.zeros((2, 2)))
    peak = Peak()
    peak.start()
    start, cpu_start = time.perf_counter(), time.process_time()
    if mode == "memory":
        events = read_events(path, library="numpy", **given)
        model.fit(events.data, events.target, sample_weight=events.weight)
    else:
        model.fit_iter(iterate_events(path, library="numpy", step_size=step, **given))
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    peak.stop.set()
    peak.join()
    held = read_events(path, library="numpy", max_events=20_000, **given)
    from skhep_ml.metrics import roc_auc_score

    auc = roc_auc_score(held.target, model.predict_proba(held.data)[:, 1])
    print(seconds, cpu_seconds, peak.size - peak.start_size, auc)


def streaming(folder, n_events, n_features, trees, step, repeats):
    path = folder / "wide.root"
    write_sample(path, n_events, n_features, chunk=20_000)
    size = 4 * n_events * n_features
    print(
        f"\nBDTClassifier({trees}), {n_events} events x {n_features} features "
        f"({size / 1e6:.0f} MB), chunks of {step}\n"
    )
    print("| | seconds | CPU s | peak memory (MB) | data set / peak | AUC |")
    print("|---|---:|---:|---:|---:|---:|")
    rows = {"memory": [], "stream": []}
    for _ in range(repeats):
        for mode, results in rows.items():
            call = [
                sys.executable,
                str(Path(__file__).resolve()),
                "--fit",
                mode,
                str(path),
                str(n_features),
                step,
            ]
            out = subprocess.run(
                [*call, str(trees)], check=True, capture_output=True, text=True
            ).stdout
            results.append([float(value) for value in out.split()])
    for mode, results in rows.items():
        seconds, used, peak, auc = (median(values) for values in zip(*results, strict=True))
        name = "fit, in memory" if mode == "memory" else "fit_iter"
        print(
            f"| {name} | {seconds:.1f} | {used:.1f} | {peak / 1e6:.0f} | {size / peak:.1f} "
            f"| {auc:.4f} |"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--stream-events", type=int, default=400_000)
    parser.add_argument("--stream-features", type=int, default=200)
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--fit", nargs=5, help="one fit, for the program itself")
    options = parser.parse_args()
    if options.fit:
        mode, path, n_features, step, trees = options.fit
        fit(mode, path, int(n_features), step, int(trees))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "flat.root"
        write_sample(path, options.events, len(FEATURES))
        reading(path, options.events, options.repeats)
        writing(path, options.events, options.repeats)
        path.unlink()
        streaming(
            Path(folder), options.stream_events, options.stream_features, options.trees,
            "5 MB", max(1, options.repeats // 2),
        )  # fmt: skip


if __name__ == "__main__":
    main()
