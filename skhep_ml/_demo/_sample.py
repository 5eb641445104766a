"""Events, models and fits of the demo."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline

from skhep_ml.datasets import load_higgs
from skhep_ml.ensemble import BDTClassifier
from skhep_ml.impute import MissingValueImputer
from skhep_ml.linear_model import LogisticRegression
from skhep_ml.metrics import background_rejection_scorer
from skhep_ml.model_selection import EventNumberKFold, RotatingClassifier, train_val_test_split
from skhep_ml.preprocessing import AutoScaler

SEED = 0
SEARCH_FOLDS = 3
ROTATING_FOLDS = 5
FRACTIONS = (0.6, 0.2, 0.2)
GRID = {"bdtclassifier__max_depth": [3, 4], "bdtclassifier__min_child_weight": [10.0, 100.0]}


@dataclass(frozen=True)
class Sample:
    """Events with everything that travels with them; ``truth`` are the unsigned weights."""

    X: NDArray[np.float32]
    y: NDArray[np.int64]
    weight: NDArray[np.float64]
    truth: NDArray[np.float64]
    groups: NDArray[np.int64]
    process: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: Any) -> "Sample":
        """Some of the events."""
        return Sample(**{part.name: getattr(self, part.name)[rows] for part in fields(self)})

    def split(self) -> list["Sample"]:
        """Training, validation and test part, by event number."""
        rows = train_val_test_split(
            np.arange(len(self)), groups=self.groups, fractions=FRACTIONS, salt=0
        )
        return [self.take(part) for part in rows]

    def processes(self) -> list[str]:
        """Names, signal first, the greatest expected yield first in each class."""
        signal = set(self.process[self.y == 1].tolist())
        names = {str(name): self.truth[self.process == name].sum() for name in set(self.process)}
        return sorted(names, key=lambda name: (name not in signal, -names[name]))


def load_sample(max_events: int | None = None) -> tuple[Sample, Any]:
    """The embedded events with signed weights, and the Bunch they come from.

    A reduced sample keeps the luminosity: the weights grow.
    """
    events = load_higgs(weights="signed")
    sample = Sample(
        events.data,
        events.target,
        events.weight,
        events.weight_truth,
        events.event_number,
        events.process,
    )
    n_all = len(sample)
    if max_events is not None and max_events < n_all:
        rows = np.sort(np.random.default_rng(SEED).permutation(n_all)[:max_events])
        sample = sample.take(rows)
        sample.weight[:] *= n_all / max_events
        sample.truth[:] *= n_all / max_events
    return sample, events


def bdt_pipeline(n_estimators: int, n_threads: int) -> Pipeline:
    """Impute, scale, boosted trees, as in the documentation's first example."""
    bdt = BDTClassifier(
        n_estimators, class_weight="balanced", random_state=SEED, device="cpu", n_jobs=n_threads
    )
    return make_pipeline(MissingValueImputer(), AutoScaler(), bdt)


def logistic_pipeline() -> Pipeline:
    """Impute, scale, logistic regression."""
    model = LogisticRegression(class_weight="balanced", random_state=SEED)
    return make_pipeline(MissingValueImputer(), AutoScaler(), model)


def fit(model: Pipeline, sample: Sample, weight: NDArray[np.float64] | None = None) -> Pipeline:
    """Fit a copy of a model on a sample with its signed weights or with others."""
    weight = sample.weight if weight is None else weight
    return clone(model).fit(sample.X, sample.y, sample_weight=weight, groups=sample.groups)


def score(model: Any, sample: Sample) -> NDArray[np.float64]:
    """Signal probability of every event."""
    return np.asarray(model.predict_proba(sample.X)[:, 1], dtype=np.float64)


def search(model: Pipeline, sample: Sample, n_jobs: int) -> GridSearchCV:
    """Search the grid for the best rejection at 50% signal efficiency."""
    found = GridSearchCV(
        model,
        GRID,
        cv=EventNumberKFold(SEARCH_FOLDS),
        scoring=background_rejection_scorer(signal_efficiency=0.5),
        n_jobs=n_jobs,
    )
    return found.fit(sample.X, sample.y, sample_weight=sample.weight, groups=sample.groups)


def rotate(model: Pipeline, sample: Sample, n_jobs: int) -> RotatingClassifier:
    """Fit the model in rotation, so that every event is scored by one that did not see it."""
    rotating = RotatingClassifier(clone(model), n_splits=ROTATING_FOLDS, n_jobs=n_jobs)
    return rotating.fit(sample.X, sample.y, sample_weight=sample.weight, groups=sample.groups)
