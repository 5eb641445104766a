"""Negative-weight policies against an unsigned oracle: toys A, B and random flips.

Prints one markdown table a toy, of boosted trees or of random forests. Recovery is (AUC - AUC of
"drop") / (AUC of the oracle - AUC of "drop"), the oracle being an unsigned sample of the same raw
size; an unsigned sample of the same effective size is listed too, since no policy can beat the
information in the weights by much.

python benchmarks/signed_weights.py [--seeds 3] [--scale 1.0] [--model bdt|forest]
"""

import argparse
import warnings

import numpy as np

from skhep_ml.ensemble import BDTClassifier, RandomForestClassifier
from skhep_ml.exceptions import WeightWarning
from skhep_ml.metrics import roc_auc_score


def gauss(rng, n, mean, var, dim):
    return rng.normal(mean, np.sqrt(var), size=(n, dim))


def density(x, mean, var):
    dim = x.shape[1]
    return np.exp(-((x - np.asarray(mean)) ** 2).sum(1) / (2 * var)) / (2 * np.pi * var) ** (
        dim / 2
    )


class SignedToy:
    """A class of density (sum_k a_k N_k - f N_minus) / (1 - 2f) against a gaussian one.

    ``positive`` lists (a_k, mean, variance) with sum a_k = 1 - f; events of N_minus have w < 0.
    """

    def __init__(self, dim, positive, negative, other, signed_is_signal):
        self.dim, self.positive, self.negative, self.other = dim, positive, negative, other
        self.fraction = 1 - sum(a for a, _, _ in positive)
        self.signed_is_signal = signed_is_signal

    def positive_density(self, x):
        return sum(a * density(x, mean, var) for a, mean, var in self.positive)

    def signed_density(self, x):
        net = self.positive_density(x) - self.fraction * density(x, *self.negative)
        return net / (1 - 2 * self.fraction)

    def positive_events(self, rng, n):
        share = np.array([a for a, _, _ in self.positive])
        which = rng.choice(len(share), n, p=share / share.sum())
        mean = np.array([np.broadcast_to(m, self.dim) for _, m, _ in self.positive])
        var = np.array([v for _, _, v in self.positive])
        return rng.normal(mean[which], np.sqrt(var[which, None]), size=(n, self.dim))

    def signed(self, rng, n):
        negative = rng.random(n) < self.fraction
        hole = gauss(rng, n, *self.negative, self.dim)
        x = np.where(negative[:, None], hole, self.positive_events(rng, n))
        return x, np.where(negative, -1.0, 1.0)

    def unsigned(self, rng, n):
        parts, have = [], 0
        while have < n:
            x = self.positive_events(rng, 2 * n)
            keep = (1 - 2 * self.fraction) * self.signed_density(x) / self.positive_density(x)
            parts.append(x[rng.random(len(x)) < keep])
            have += len(parts[-1])
        return np.concatenate(parts)[:n]

    def sample(self, rng, n, kind):
        """Features, labels and weights; the signed class has sum of weights n."""
        if kind == "signed":
            first, w = self.signed(rng, n)
            w = w / (1 - 2 * self.fraction)
        else:
            size = n if kind == "oracle" else int(n * (1 - 2 * self.fraction) ** 2)
            first = self.unsigned(rng, size)
            w = np.full(size, n / size)
        second = gauss(rng, n, *self.other, self.dim)
        y = np.r_[np.full(len(first), self.signed_is_signal), np.full(n, 1 - self.signed_is_signal)]
        return np.vstack([first, second]).astype(np.float32), y, np.r_[w, np.ones(n)]

    def posterior(self, x):
        p = self.signed_density(x)
        return p / (p + density(x, *self.other))


SIDE = (1.0, 1.0, 1.0, 0.0, 0.0, 0.0)
TOYS = {
    # signal (0.8 N(0.4, 1) - 0.2 N(0.4, 0.5)) / 0.6, background N(0, 1.2), 4 dimensions
    "A": (SignedToy(4, [(0.8, 0.4, 1.0)], (0.4, 0.5), (0.0, 1.2), 1), 200_000, 5),
    # background: 1/3 of its events negative, almost cancelling a component beside the signal
    "B": (
        SignedToy(6, [(0.3, 0.0, 1.0), (1.1 / 3, SIDE, 0.5)], (SIDE, 0.5), (0.57, 0.9), 0),
        300_000,
        4,
    ),
}


def boosted(policy, seed, depth, n_trees):
    return BDTClassifier(
        n_trees, max_depth=depth, negative_weights=policy, random_state=seed, device="cpu"
    )


def forest(policy, seed, leaf, n_trees):
    return RandomForestClassifier(
        n_trees, min_samples_leaf=leaf, negative_weights=policy, random_state=seed, n_jobs=-1
    )


def run_toy(name, seeds, scale, policies, model_name):
    toy, n, depth = TOYS[name]
    n = int(n * scale)
    rows = {}
    for seed in range(seeds):
        rng = np.random.default_rng(100 + seed)
        x_test, y_test, _ = toy.sample(rng, 200_000, "oracle")
        truth = toy.posterior(x_test)
        if toy.signed_is_signal == 0:
            truth = 1 - truth
        rows.setdefault("optimal", []).append((roc_auc_score(y_test, truth), 0, 0))
        samples = {k: toy.sample(rng, n, k) for k in ("signed", "oracle", "effective")}
        for label in (*policies, "oracle", "effective"):
            x, y, w = samples[label if label in samples else "signed"]
            policy = label if label in policies else "raise"
            if model_name == "bdt":
                model = boosted(policy, seed, depth, 200)
            else:
                model = forest(policy, seed, 100, 50)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", WeightWarning)
                model.fit(x, y, sample_weight=w)
            p = model.predict_proba(x_test)[:, 1].astype(float)
            entry = (
                roc_auc_score(y_test, p),
                np.sqrt(np.mean((p - truth) ** 2)),
                abs(p - truth).max(),
            )
            rows.setdefault(label, []).append(entry)
    mean = {k: np.mean(v, axis=0) for k, v in rows.items()}
    kind = (
        f"200 trees of depth {depth}" if model_name == "bdt" else "50 trees, leaves of 100 events"
    )
    print(f"\nToy {name}, {n} raw events a class, {seeds} seeds, {kind}\n")
    print("| training | AUC | rms(p - p_true) | max deviation | recovery mean | by seed |")
    print("|---|---|---|---|---|---|")
    for label, value in mean.items():
        drop, oracle = (np.array(rows[k])[:, 0] for k in ("drop", "oracle"))
        recovery = (np.array(rows[label])[:, 0] - drop) / (oracle - drop)
        by_seed = ", ".join(f"{r:.3f}" for r in recovery)
        print(
            f"| {label} | {value[0]:.4f} | {value[1]:.3f} | {value[2]:.2f} "
            f"| {recovery.mean():.3f} | {by_seed} |"
        )


def run_flips(seeds, model_name, n=1000):
    rows = {}
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        draw = lambda size: (  # noqa: E731
            np.vstack([gauss(rng, size, 0.0, 1.0, 6), gauss(rng, size, 0.3, 1.0, 6)]),  # noqa: B023
            np.repeat([0, 1], size),
        )
        x, y = draw(n)
        x_test, y_test = draw(50_000)
        sign = np.where(rng.random(2 * n) < 0.3, -1.0, 1.0)
        x_eff, y_eff = draw(int(n * 0.16))
        fits = {"unsigned": (x, y, np.ones(2 * n), "raise")}
        fits |= {p: (x, y, sign, p) for p in ("refine", "keep", "pair", "cell", "drop")}
        fits["effective"] = (x_eff, y_eff, np.ones(len(y_eff)), "raise")
        for label, (xx, yy, ww, policy) in fits.items():
            if model_name == "bdt":
                model = boosted(policy, seed, 4, 150)
            else:
                model = forest(policy, seed, 10, 100)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", WeightWarning)
                model.fit(xx, yy, sample_weight=ww)
            rows.setdefault(label, []).append(
                roc_auc_score(y_test, model.predict_proba(x_test)[:, 1])
            )
    print(f"\nRandom flips, 30% negative, {n} events a class, {seeds} seeds\n")
    print("| training | AUC | AUC lost to the unsigned fit, mean | worst |")
    print("|---|---|---|---|")
    for label, values in rows.items():
        lost = np.array(rows["unsigned"]) - values
        print(f"| {label} | {np.mean(values):.4f} | {lost.mean():.4f} | {lost.max():.4f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--scale", type=float, default=1.0, help="fraction of the full sample sizes"
    )
    parser.add_argument("--toys", default="A,B,flips")
    parser.add_argument("--policies", default="refine,keep,pair,cell,drop,abs")
    parser.add_argument("--model", choices=["bdt", "forest"], default="bdt")
    args = parser.parse_args()
    for toy_name in args.toys.split(","):
        if toy_name == "flips":
            run_flips(max(args.seeds, 5), args.model)
        else:
            run_toy(toy_name, args.seeds, args.scale, args.policies.split(","), args.model)
