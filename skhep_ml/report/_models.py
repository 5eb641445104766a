"""The models of a report: their names, parts, scores and settings."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted

from skhep_ml._identifiers import take_id_columns
from skhep_ml._response import positive_score, predicts_by_groups
from skhep_ml.metrics._base import check_score
from skhep_ml.model_selection import RotatingClassifier, RotatingRegressor
from skhep_ml.model_selection._rotating import event_folds
from skhep_ml.plotting._names import by_name, chain
from skhep_ml.report._events import Sample

#: Settings that decide how events are split and what is random.
SEEDS = ("random_state", "salt", "n_splits", "cv", "id_columns", "seed")


@dataclass(frozen=True)
class Scored:
    """A model and its scores of the events of a report."""

    name: str
    model: Any
    score: NDArray[np.float64]
    #: fold of every event, where each is scored by the model of its own fold
    fold: NDArray[np.intp] | None
    probability: bool

    @property
    def n_folds(self) -> int:
        """Number of rotating models; 0 for a single one."""
        return 0 if self.fold is None else len(rotating_part(self.model).estimators_)

    def how(self) -> str:
        """How the events were scored, in words."""
        rotating = rotating_part(self.model)
        if rotating is not None and self.fold is None:
            return f"scored by the mean of {len(rotating.estimators_)} models"
        if rotating is None:
            return "all scored by one model"
        return f"each scored by the one of {self.n_folds} models that did not see it"


def named_models(models: Any) -> dict[str, Any]:
    """Return the models by name: a model alone, a list, or a mapping of names."""
    named = by_name(models)
    if not named:
        msg = "models is empty: give at least one fitted model"
        raise ValueError(msg)
    for name, model in named.items():
        if isinstance(model, type) or not hasattr(model, "fit"):
            msg = f"model {name!r} is no estimator, but {model!r}: give fitted models"
            raise TypeError(msg)
        check_is_fitted(model)
    return named


def rotating_part(model: Any) -> Any:
    """The rotating model, if this is one."""
    return model if isinstance(model, (RotatingClassifier, RotatingRegressor)) else None


def search_part(model: Any) -> Any:
    """The search inside a model, the first one where they are nested; None if there is none."""
    return next((part for part in chain(model) if hasattr(part, "cv_results_")), None)


def searches_by_fold(model: Any) -> list[Any]:
    """The searches inside a rotating model, one a fold; none if there are none."""
    rotating = rotating_part(model)
    found = [] if rotating is None else [search_part(one) for one in rotating.estimators_]
    return [one for one in found if one is not None]


def scores_of(model: Any, X: Any, groups: Any, pos_label: Any) -> NDArray[np.float64]:
    """Score of the signal, greater for it, by the rotating model of each event's fold."""
    known = groups if predicts_by_groups(model) else None
    score, _ = positive_score(model, X, pos_label=pos_label, groups=known)
    return np.asarray(check_score(score), dtype=np.float64)


def folds_of(model: Any, X: Any, groups: Any) -> NDArray[np.intp] | None:
    """Fold of every event under a rotating model that knows it."""
    rotating = rotating_part(model)
    if rotating is None or rotating.n_id_columns_ == 0:
        return None
    if groups is None and rotating.id_columns is None:
        return None
    return event_folds(rotating, X, groups)


def scored(name: str, model: Any, sample: Sample, pos_label: Any) -> Scored:
    """A model with its scores of a sample."""
    return Scored(
        name,
        model,
        scores_of(model, sample.X, sample.groups, pos_label),
        folds_of(model, sample.X, sample.groups),
        hasattr(model, "predict_proba"),
    )


def seen_scores(one: Scored, sample: Sample, pos_label: Any) -> NDArray[np.float64]:
    """Scores of a rotating model's events by the next fold's model, which was trained on them."""
    rotating = rotating_part(one.model)
    X = sample.X
    if rotating.id_columns is not None:
        X, _ = take_id_columns(X, rotating.id_columns)
    out = np.empty(len(sample))
    for k in range(one.n_folds):
        rows = np.flatnonzero(one.fold == k)
        if len(rows):
            model = rotating.estimators_[(k + 1) % one.n_folds]
            out[rows], _ = positive_score(model, _safe_indexing(X, rows), pos_label=pos_label)
    return out


def settings(model: Any) -> dict[str, Any]:
    """All parameters of a model and of what is inside it, without the objects that hold others."""
    found = {
        key: value
        for key, value in sorted(model.get_params(deep=True).items())
        if not hasattr(value, "get_params") and key.rpartition("__")[2] != "steps"
    }
    search = search_part(model)
    if search is not None:
        found.update({f"chosen: {key}": value for key, value in search.best_params_.items()})
    return found
