"""Best score after 30 and 60 trials: ours, optuna's TPE and random search, on three tasks.

python benchmarks/search_quality.py [--tasks bdt mlp svc] [--seeds 5] [--trials 30 60]
    [--events 4000]

All sides search the same space with the same split, half of the events each to train and to score.
The score is the area under the ROC curve for load_higgs, the accuracy for the digits.
"""

import argparse

import numpy as np
import optuna
from sklearn.datasets import load_digits
from sklearn.model_selection import ShuffleSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from skhep_ml.datasets import load_higgs
from skhep_ml.ensemble import BDTClassifier
from skhep_ml.impute import MissingValueImputer
from skhep_ml.metrics import roc_auc_scorer
from skhep_ml.model_selection import BayesSearchCV
from skhep_ml.neural_network import NetClassifier
from skhep_ml.preprocessing import AutoScaler

SPLIT = ShuffleSplit(1, test_size=0.5, random_state=0)
SAMPLERS = {"optuna TPE": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}


def higgs(n):
    events = load_higgs()
    some = np.random.default_rng(0).permutation(len(events.target))[:n]
    return np.asarray(events.data, dtype=np.float32)[some], events.target[some]


def tasks(n):
    net = NetClassifier(max_epochs=5, device="cpu", random_state=0)
    return {
        "bdt": (
            BDTClassifier(n_jobs=1, random_state=0),
            {
                "learning_rate": (0.02, 0.5, "log-uniform"),
                "max_depth": (2, 9),
                "min_child_weight": (0.5, 100.0, "log-uniform"),
                "n_estimators": (20, 150, "log-uniform"),
                "reg_lambda": (0.1, 50.0, "log-uniform"),
                "subsample": (0.5, 1.0),
            },
            *higgs(n),
            roc_auc_scorer(),
        ),
        "mlp": (
            make_pipeline(MissingValueImputer(), AutoScaler(), net),
            {
                "netclassifier__lr": (1e-4, 1e-1, "log-uniform"),
                "netclassifier__weight_decay": (1e-6, 1e-1, "log-uniform"),
                "netclassifier__batch_size": [64, 128, 256, 512],
                "netclassifier__module__dropout": (0.0, 0.4),
                "netclassifier__schedule": ["constant", "cosine", "one_cycle"],
            },
            *higgs(n),
            roc_auc_scorer(),
        ),
        "svc": (
            SVC(),
            {"C": (1e-2, 1e3, "log-uniform"), "gamma": (1e-5, 1e1, "log-uniform")},
            *load_digits(return_X_y=True),
            "accuracy",
        ),
    }


def suggest(trial, name, given):
    if isinstance(given, list):
        return trial.suggest_categorical(name, given)
    low, high = given[:2]
    kind = trial.suggest_int if isinstance(low, int) else trial.suggest_float
    return kind(name, low, high, log=len(given) == 3)


def by_optuna(sampler, task, n, seed):
    model, space, X, y, scoring = task

    def objective(trial):
        params = {name: suggest(trial, name, given) for name, given in space.items()}
        model.set_params(**params)
        return cross_val_score(model, X, y, cv=SPLIT, scoring=scoring).mean()

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=sampler(seed=seed))
    study.optimize(objective, n_trials=n)
    return [trial.value for trial in study.trials]


def by_us(task, n, seed):
    model, space, X, y, scoring = task
    search = BayesSearchCV(
        model, space, n_iter=n, cv=SPLIT, scoring=scoring, random_state=seed, refit=False
    )
    return search.fit(X, y).cv_results_["mean_test_score"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", nargs="*", default=["bdt", "mlp", "svc"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, nargs=2, default=[30, 60])
    parser.add_argument("--events", type=int, default=4000)
    args = parser.parse_args()
    some, more = args.trials
    print(f"mean and standard error of {args.seeds} seeds\n")
    print(f"| task | search | best of {some} | best of {more} | against ours, best of {more} |")
    print("|---|---|---:|---:|---:|")
    for name in args.tasks:
        task = tasks(args.events)[name]
        best = {side: [] for side in ["`BayesSearchCV`", *SAMPLERS]}
        for seed in range(args.seeds):
            for side, row in best.items():
                if side in SAMPLERS:
                    scores = by_optuna(SAMPLERS[side], task, more, seed)
                else:
                    scores = by_us(task, more, seed)
                row.append([np.max(scores[:some]), np.max(scores)])
        ours = np.array(best["`BayesSearchCV`"])
        for side, row in best.items():
            values = np.array(row)
            cells = [spread(column) for column in values.T]
            cells.append(spread(values[:, 1] - ours[:, 1], "+") if side in SAMPLERS else "")
            print(f"| {name} | {side} | {' | '.join(cells)} |", flush=True)


def spread(values, sign=""):
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{np.mean(values):{sign}.4f} ± {error:.4f}"


if __name__ == "__main__":
    main()
