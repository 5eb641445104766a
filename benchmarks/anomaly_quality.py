"""Maximum significance improvement of searches without labels on the resonance toy.

python benchmarks/anomaly_quality.py [--events 100000] [--seeds 4] [--dependence 0] [--epochs 30]

The detectors, which hardly see this signal, run on the first seed alone.
"""

import argparse
import time
import warnings

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.ensemble import IsolationForest

from skhep_ml.anomaly import (
    AutoencoderDetector,
    CathodeClassifier,
    CWoLaClassifier,
    DensityDetector,
)
from skhep_ml.datasets import make_resonance_search
from skhep_ml.ensemble import BDTClassifier
from skhep_ml.generative import Autoencoder, NormalizingFlow
from skhep_ml.metrics import max_significance_improvement, roc_auc_score

DOMAINS = {
    "m_j1": "positive",
    "delta_m_j": "positive",
    "tau21_j1": (0, 1),
    "tau21_j2": (0, 1),
}


class TrueBackground(BaseEstimator):
    """Stands for a perfect density: fresh background in the signal region."""

    def __init__(self, signal_region, dependence, *, context_features=None):
        self.signal_region = signal_region
        self.dependence = dependence
        self.context_features = context_features

    def fit(self, X):
        return self

    def sample(self, *, context, random_state):
        return make_resonance_search(
            len(context),
            signal_fraction=0.0,
            mass_range=self.signal_region,
            mass_dependence=self.dependence,
            as_frame=True,
            random_state=random_state,
        ).data


def flow(epochs, seed):
    return NormalizingFlow(
        "realnvp",
        n_transforms=6,
        hidden=(64,),
        domains=DOMAINS,
        max_epochs=epochs,
        device="cpu",
        random_state=seed,
    )


def scores_of(seed, first, n, fraction, dependence, epochs):
    """Score of the test events by every method, one after the other."""
    common = {"mass_dependence": dependence, "as_frame": True}
    data = make_resonance_search(n, signal_fraction=fraction, random_state=seed, **common)
    region = data.signal_region
    test, labelled = (
        make_resonance_search(
            size,
            signal_fraction=share,
            mass_range=region,
            random_state=1000 * (k + 1) + seed,
            **common,
        )
        for k, (size, share) in enumerate([(500_000, 0.1), (100_000, 0.5)])
    )
    yield "likelihood ratio", test, lambda: test.log_likelihood_ratio
    features = data.train_features

    def supervised():
        model = BDTClassifier(500, early_stopping_rounds=20, n_jobs=1, random_state=seed)
        model.fit(labelled.data[features], labelled.target)
        return model.predict_proba(test.data[features])[:, 1]

    yield "supervised", test, supervised
    weak = {"mass": "m_jj", "n_splits": 2, "unidentified": "mean", "random_state": seed}
    density = flow(epochs, None)
    searches = {
        "idealised": CathodeClassifier(region, density=TrueBackground(region, dependence), **weak),
        "CATHODE": CathodeClassifier(region, density=density, **weak),
        "CWoLa": CWoLaClassifier(region, **weak),
    }
    for name, model in searches.items():

        def search(model=model):
            model.fit(data.data, groups=data.event_number)
            return model.decision_function(test.data)

        yield name, test, search
    if seed != first:
        return
    detectors = {
        "density": DensityDetector(flow(epochs, seed)),
        "autoencoder": AutoencoderDetector(
            Autoencoder(2, batch_size=1024, device="cpu", random_state=seed)
        ),
        "isolation forest": IsolationForest(random_state=seed),
    }
    for name, model in detectors.items():

        def detect(model=model):
            # what is rare is known from a part of the data
            model.fit(data.data[features][:30_000])
            return -model.score_samples(test.data[features])

        yield name, test, detect


def run(n, first, seeds, fraction, dependence, epochs):
    found = {}
    for seed in range(first, first + seeds):
        for name, test, score in scores_of(seed, first, n, fraction, dependence, epochs):
            start = time.process_time()
            s = score()
            seconds = time.process_time() - start
            best = max_significance_improvement(test.target, s).value
            area = roc_auc_score(test.target, s)
            found.setdefault(name, []).append((best, area, seconds))
            print(f"  seed {seed} {name}: {best:.2f}, AUC {area:.4f}, {seconds:.0f} s", flush=True)
    sample = f"{n} events, {100 * fraction:g}% signal, mass dependence {dependence:g}"
    print(f"\n{sample}, {seeds} seeds\n")
    print("| | maximum SIC | AUC | CPU s |\n|---|---:|---:|---:|")
    for name, values in found.items():
        best, area, seconds = np.transpose(values)
        error = f" ± {best.std(ddof=1) / np.sqrt(len(best)):.1f}" if len(best) > 1 else ""
        cells = [f"{best.mean():.1f}{error}", f"{area.mean():.3f}", f"{np.median(seconds):.0f}"]
        print(f"| {name} | {' | '.join(cells)} |")
    ratio = np.array([one[0] for one in found["CATHODE"]]) / [one[0] for one in found["idealised"]]
    print(f"\nCATHODE over idealised: {ratio.mean():.2f}, by seed {np.round(ratio, 2)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--fraction", type=float, default=0.003)
    parser.add_argument("--dependence", type=float, default=0.0)
    parser.add_argument("--epochs", type=int, default=30, help="of the flows")
    arguments = parser.parse_args()
    from skhep_ml.exceptions import UnidentifiedEventsWarning

    warnings.simplefilter("ignore", UnidentifiedEventsWarning)
    run(*vars(arguments).values())
