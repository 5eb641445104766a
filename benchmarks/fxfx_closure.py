"""Closure of negative-weight policies on MadGraph5_aMC@NLO FxFx Z + jets.

A BDT separates events with one from events with two partons by their kinematics. Its probability
closes if, in every bin of every feature, the signed sum of w p(2 partons | x) equals the signed sum
of w over the events with two partons, within sqrt(sum w^2 (y - p)^2). Predictions are out-of-fold
by event number.

python benchmarks/fxfx_closure.py [--data ../shared/data]
"""

import argparse
import gzip
import warnings
from pathlib import Path

import numpy as np
from scipy.stats import chi2

from skhep_ml.ensemble import BDTClassifier
from skhep_ml.exceptions import WeightWarning
from skhep_ml.model_selection import RotatingClassifier

FILE = "pylhe-testfile-madgraph-2.2.1-Z-fxfx.lhe.gz"
FEATURES = ("Z pT", "Z rapidity", "Z mass", "lepton pT", "leading parton pT", "leading parton eta")


def read_lhe(path):
    """Weights, numbers of partons, and kinematics of the Z, a lepton and the leading parton."""
    weights, partons, rows = [], [], []
    with gzip.open(path, "rt") as file:
        block = None
        for line in file:
            if line.lstrip().startswith("<event"):
                block = []
            elif line.lstrip().startswith("</event"):
                header, *particles = block
                number, _, weight = header.split()[:3]
                table = np.array([p.split()[:11] for p in particles[: int(number)]], dtype=float)
                final = table[table[:, 1] == 1]
                identity = np.abs(final[:, 0])
                momenta = final[:, 6:10]
                jets = momenta[(identity < 6) | (identity == 21)]
                leptons = momenta[(identity > 10) & (identity < 17)]
                weights.append(float(weight))
                partons.append(len(jets))
                rows.append(kinematics(leptons, jets))
                block = None
            elif block is not None:
                block.append(line)
    return np.array(weights), np.array(partons), np.array(rows, dtype=np.float32)


def kinematics(leptons, jets):
    z = leptons.sum(0)
    lead = jets[np.argmax(np.hypot(jets[:, 0], jets[:, 1]))] if len(jets) else np.full(4, np.nan)
    pt = np.hypot(lead[0], lead[1])
    return (
        np.hypot(z[0], z[1]),
        0.5 * np.log((z[3] + z[2]) / (z[3] - z[2])),
        np.sqrt(max(z[3] ** 2 - (z[:3] ** 2).sum(), 0)),
        np.hypot(leptons[:, 0], leptons[:, 1]).max(),
        pt,
        np.arcsinh(lead[2] / pt),
    )


def closure(X, y, w, p, bins=8):
    """chi2 and p-value of every feature, and of the score itself."""
    out = {}
    for name, x in [*zip(FEATURES, X.T, strict=True), ("score", p)]:
        edges = np.quantile(x, np.linspace(0, 1, bins + 1)[1:-1])
        index = np.searchsorted(edges, x)
        difference = np.bincount(index, w * (y - p), bins)
        variance = np.bincount(index, (w * (y - p)) ** 2, bins)
        value = np.sum(difference**2 / variance)
        out[name] = value / bins, chi2.sf(value, bins)
    return out


def run(path, policies=("refine", "keep", "pair", "cell", "drop", "abs"), n_splits=5):
    w, n, X = read_lhe(path)
    use = n >= 1
    event = np.flatnonzero(use)
    X, y, w = X[use], (n[use] == 2).astype(int), w[use] / np.abs(w).mean()
    results = {}
    for policy in policies:
        bdt = BDTClassifier(
            n_estimators=60,
            max_depth=3,
            negative_weights=policy,
            random_state=0,
            n_jobs=1,
            device="cpu",
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", WeightWarning)
            model = RotatingClassifier(bdt, n_splits).fit(X, y, w, groups=event)
        p = model.predict_proba(X, groups=event)[:, 1].astype(float)
        results[policy] = closure(X, y, w, p), float(np.dot(w, p)), p
    return results, y, w


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default=Path(__file__).parents[2] / "shared" / "data", type=Path)
    results, y, w = run(parser.parse_args().data / FILE)
    total, error = w[y == 1].sum(), np.sqrt((w[y == 1] ** 2).sum())
    print(
        f"{len(y)} events with one or two partons, negative {np.mean(w[y == 0] < 0):.1%} and "
        f"{np.mean(w[y == 1] < 0):.1%}; signed sum of two partons {total:.0f} +- {error:.0f}\n"
    )
    print("| policy | sum of w p | " + " | ".join(next(iter(results.values()))[0]) + " |")
    print("|---|---|" + "---|" * 7)
    for policy, (values, total, _) in results.items():
        cells = " | ".join(f"{c:.2f} ({p:.2g})" for c, p in values.values())
        print(f"| {policy} | {total:.0f} | {cells} |")
    print("\nCells: chi2/bin (p-value), 8 bins each.")
