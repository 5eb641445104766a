"""Reweighters on known ratios: policies for negative weights, and events that a model has seen.

python benchmarks/reweight_quality.py [--events 50000] [--seeds 4] [--jobs 1]
"""

import argparse

import numpy as np
from scipy.stats import norm

from skhep_ml.reweighting import (
    BinsReweighter,
    GBReweighter,
    RotatingReweighter,
    reweighting_report,
)

POLICIES = ("refine", "keep", "pair", "cell", "drop")
SHIFT = 0.3


def density(x):
    return 1.25 * norm.pdf(x) - 0.25 * norm.pdf(x, 0.5, 0.6)


def signed_events(n, rng):
    """Events of weight 1 and -1 whose density is `density`, up to a factor."""
    negative = rng.random(n) < 0.25 / 1.5
    x = np.where(negative, rng.normal(0.5, 0.6, n), rng.normal(size=n))
    return x, np.where(negative, -1.0, 1.0)


def negative_weights(n, seeds, jobs):
    """Root mean square error of the logarithm of the ratio, in the bulk of the original."""
    at = np.linspace(-1.5, 1.5, 301)
    truth = np.log(density(at - SHIFT) / density(at))
    print(f"\nError of the log ratio, {n} + {n} events in one feature, mean of {seeds} seeds\n")
    print(f"| | {' | '.join(POLICIES)} |")
    print("|---|" + "---:|" * len(POLICIES))
    for model in (GBReweighter(device="cpu", n_jobs=jobs), BinsReweighter(n_jobs=jobs)):
        errors = np.empty((seeds, len(POLICIES)))
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            original, w_original = signed_events(n, rng)
            target, w_target = signed_events(n, rng)
            for k, policy in enumerate(POLICIES):
                model.set_params(negative_weights=policy, random_state=seed)
                model.fit(original, target + SHIFT, w_original, w_target)
                difference = np.log(model.predict_weights(at)) - truth
                errors[seed, k] = np.sqrt(np.mean(difference**2))
        cells = " | ".join(f"{error:.3f}" for error in errors.mean(axis=0))
        print(f"| {type(model).__name__} | {cells} |", flush=True)


def seen_events(n, jobs):
    """Residual AUC against new target events, of seen events and with rotation."""
    rng = np.random.default_rng(0)
    simulation, (data, fresh) = rng.normal(size=(n, 6)), rng.normal(0.2, 0.95, size=(2, n, 6))
    event = np.arange(n)
    common = {"device": "cpu", "n_jobs": jobs, "random_state": 0}
    models = {
        "40 trees of depth 3": GBReweighter(**common),
        "200 trees of depth 5, leaves of 50": GBReweighter(
            200, max_depth=5, min_samples_leaf=50, **common
        ),
    }
    print(f"\nAUC left against new events of the target, {n} + {n} events in six features\n")
    print("| | events of the fit | by RotatingReweighter |\n|---|---:|---:|")
    for name, model in models.items():
        cells = []
        for one in (model, RotatingReweighter(model)):
            metadata = {"groups": event} if isinstance(one, RotatingReweighter) else {}
            one.fit(simulation, data, **metadata)
            report = reweighting_report(one, simulation, fresh, groups=event, n_jobs=jobs)
            cells.append(f"{report.auc.after:.3f} ± {report.auc_error.after:.3f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    import warnings

    from skhep_ml.exceptions import BiasedWeightsWarning

    warnings.simplefilter("ignore", BiasedWeightsWarning)  # "drop", on purpose
    negative_weights(arguments.events, arguments.seeds, arguments.jobs)
    seen_events(20_000, arguments.jobs)
