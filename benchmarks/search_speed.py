"""Overhead of a search: trials per minute of a model that trains in a millisecond.

python benchmarks/search_speed.py [--trials 60] [--repeats 3] [--skip skopt ...]

Every side searches the same four parameters of a decision tree with two folds, in turn, with the
threads that it takes by itself. The overhead is the time of a search without that of as many
trials by scikit-learn's RandomizedSearchCV. CPU seconds are those of all threads.
"""

import argparse
import time
import warnings
from statistics import median

import optuna
import skopt
from scipy.stats import loguniform, randint, uniform
from sklearn.datasets import make_classification
from sklearn.model_selection import RandomizedSearchCV, cross_val_score
from sklearn.tree import DecisionTreeClassifier

from skhep_ml.model_selection import BayesSearchCV

X, Y = make_classification(300, random_state=0)
TREE = DecisionTreeClassifier(random_state=0)
SPACE = {
    "max_depth": (1, 20),
    "min_samples_leaf": (1, 50, "log-uniform"),
    "max_features": (0.1, 1.0),
    "criterion": ["gini", "entropy"],
}
DISTRIBUTIONS = {
    "max_depth": randint(1, 21),
    "min_samples_leaf": [int(value) for value in loguniform(1, 50).rvs(50, random_state=0)],
    "max_features": uniform(0.1, 0.9),
    "criterion": ["gini", "entropy"],
}


def by_random(n, seed):
    search = RandomizedSearchCV(TREE, DISTRIBUTIONS, n_iter=n, cv=2, random_state=seed)
    return search.fit(X, Y).best_score_


def by_us(n, seed, surrogate="GP"):
    search = BayesSearchCV(TREE, SPACE, n_iter=n, cv=2, random_state=seed, surrogate=surrogate)
    return search.fit(X, Y).best_score_


def by_trees(n, seed):
    return by_us(n, seed, "ET")


def by_skopt(n, seed):
    search = skopt.BayesSearchCV(TREE, SPACE, n_iter=n, cv=2, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return search.fit(X, Y).best_score_


def by_optuna(n, seed):
    def objective(trial):
        params = {
            "max_depth": trial.suggest_int("max_depth", 1, 20),
            "min_samples_leaf": trial.suggest_int("min_samples_leaf", 1, 50, log=True),
            "max_features": trial.suggest_float("max_features", 0.1, 1.0),
            "criterion": trial.suggest_categorical("criterion", ["gini", "entropy"]),
        }
        tree = DecisionTreeClassifier(random_state=0, **params)
        return cross_val_score(tree, X, Y, cv=2).mean()

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=n)
    return study.best_value


SIDES = {
    "random": ("RandomizedSearchCV", by_random),
    "ours": ("`BayesSearchCV`, GP", by_us),
    "trees": ('`BayesSearchCV`, `surrogate="ET"`', by_trees),
    "skopt": ("scikit-optimize's BayesSearchCV, GP", by_skopt),
    "optuna": ("optuna TPE, loop by hand", by_optuna),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--skip", nargs="*", default=[])
    args = parser.parse_args()
    sides = {name: side for name, side in SIDES.items() if name not in args.skip}
    walls = {name: [] for name in sides}
    cpus = {name: [] for name in sides}
    for _, search in sides.values():  # imports and threads
        search(11, 0)
    for seed in range(args.repeats):
        for name, (_, search) in sides.items():
            wall, cpu = time.perf_counter(), time.process_time()
            search(args.trials, seed)
            walls[name].append(time.perf_counter() - wall)
            cpus[name].append(time.process_time() - cpu)
    print(f"{args.trials} trials, median of {args.repeats}\n")
    print("| | seconds | trials per minute | overhead / trial, ms | CPU overhead / trial, ms |")
    print("|---|---:|---:|---:|---:|")
    for name, (title, _) in sides.items():
        seconds = median(walls[name])
        over = [
            1e3 * median(a - b for a, b in zip(times[name], times["random"], strict=True))
            for times in (walls, cpus)
        ]
        cells = ["", ""] if name == "random" else [f"{value / args.trials:.0f}" for value in over]
        rate = 60 * args.trials / seconds
        print(f"| {title} | {seconds:.1f} | {rate:.0f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
