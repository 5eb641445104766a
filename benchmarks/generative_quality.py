"""Quality of generative models on a toy with modes, correlations, boundaries and known density.

Run with ``python benchmarks/generative_quality.py [n_events [model ...]]``. Every model is fitted
on the same events (50000 by default) with boundaries given as domains. Shown are the area under the
ROC curve of boosted trees that tell 50000 samples from 50000 other events of the toy (cross-fitted;
one half for a perfect sample), the mean log density of these events less that of the truth, which
an overtrained or wrong density lowers, and CPU seconds. The first rows are the truth itself and
scikit-learn's mixture of Gaussians, which knows no boundaries.
"""

import sys
import time

import torch
from sklearn.mixture import GaussianMixture

from skhep_ml.datasets import make_density_toy
from skhep_ml.ensemble import BDTClassifier
from skhep_ml.generative import GAN, VAE, Diffusion, FlowMatching, NormalizingFlow
from skhep_ml.metrics import two_sample_auc

N_TEST = 50_000


class Truth:
    """The toy's own generator."""

    def __init__(self, truth):
        self.truth = truth

    def fit(self, X):
        return self

    def sample(self, n, random_state=None):
        return self.truth.sample(n, random_state=random_state)[0]

    def score_samples(self, X):
        return self.truth.log_density(X)


class Mixture(GaussianMixture):
    """scikit-learn's mixture with the signature of a generative model."""

    def sample(self, n, random_state=None):
        return super().sample(n)[0]


def models(toy):
    """Models by name."""
    common = {"domains": toy.domains, "device": "cpu", "random_state": 0}
    trees = {"method": "bdt", "n_levels": 11, "n_noise": 3, "bdt_params": {"nthread": 1}}
    return {
        "truth": Truth(toy.truth),
        "GaussianMixture(20)": Mixture(20, random_state=0),
        "NormalizingFlow()": NormalizingFlow(lr=2e-3, max_epochs=15, **common),
        "NormalizingFlow(coupling=True)": NormalizingFlow(
            coupling=True, n_transforms=6, lr=2e-3, max_epochs=20, **common
        ),
        "NormalizingFlow('maf')": NormalizingFlow(
            "maf", n_transforms=8, hidden=(128, 128), lr=2e-3, max_epochs=20, **common
        ),
        "NormalizingFlow('realnvp')": NormalizingFlow(
            "realnvp", n_transforms=12, lr=2e-3, max_epochs=20, **common
        ),
        "FlowMatching()": FlowMatching(max_epochs=60, **common),
        "FlowMatching(method='bdt', n_levels=11, n_noise=3)": FlowMatching(**trees, **common),
        "Diffusion()": Diffusion(max_epochs=60, **common),
        "Diffusion(method='bdt', n_levels=11, n_noise=3)": Diffusion(**trees, **common),
        "VAE()": VAE(hidden=(256, 256), batch_size=512, **common),
        "GAN()": GAN(hidden=(256, 256), batch_size=512, **common),
        "GAN('classic')": GAN("classic", hidden=(256, 256), batch_size=512, **common),
    }


def main(n_events=50_000, *asked):
    """Print the table."""
    torch.set_num_threads(1)
    toy = make_density_toy(n_events, random_state=0)
    test = make_density_toy(N_TEST, random_state=1)
    judge = BDTClassifier(200, learning_rate=0.1, n_jobs=1, random_state=0)
    print("| model | two-sample AUC | log density - truth | fit, CPU s | 50000 samples, CPU s |")
    print("|---|---:|---:|---:|---:|")
    for name, model in models(toy).items():
        if asked and name not in asked:
            continue
        start = time.process_time()
        model.fit(toy.data)
        fitted = time.process_time()
        sample = model.sample(N_TEST, random_state=2)
        sampled = time.process_time()
        auc, error = two_sample_auc(
            test.data, sample, estimator=judge, return_std=True, n_jobs=1, random_state=0
        )
        density = ""
        if hasattr(model, "score_samples"):
            rows = slice(None) if name.startswith(("truth", "Norm", "Gauss")) else slice(5_000)
            gap = (model.score_samples(test.data[rows]) - test.log_density[rows]).mean()
            density = f"{gap:+.3f}"
        print(
            f"| {name} | {auc:.4f} ± {error:.4f} | {density} | {fitted - start:.0f} "
            f"| {sampled - fitted:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main(*(int(sys.argv[1]),) if len(sys.argv) > 1 else (), *sys.argv[2:])
