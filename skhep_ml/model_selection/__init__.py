"""Splits by event number, models that rotate over them, and searches."""

from typing import TYPE_CHECKING, Any

from skhep_ml._hashing import event_hash
from skhep_ml.model_selection._fold_curves import fold_learning_curves
from skhep_ml.model_selection._fold_scores import FoldScore, FoldScores, fold_scores
from skhep_ml.model_selection._rotating import RotatingClassifier, RotatingRegressor
from skhep_ml.model_selection._search_space import search_space
from skhep_ml.model_selection._split import (
    EventNumberKFold,
    EventNumberModuloKFold,
    EventNumberSplit,
    train_val_test_split,
)

if TYPE_CHECKING:
    from skhep_ml.model_selection._bayes import BayesSearchCV

__all__ = [
    "BayesSearchCV",
    "EventNumberKFold",
    "EventNumberModuloKFold",
    "EventNumberSplit",
    "FoldScore",
    "FoldScores",
    "RotatingClassifier",
    "RotatingRegressor",
    "event_hash",
    "fold_learning_curves",
    "fold_scores",
    "search_space",
    "train_val_test_split",
]


def __getattr__(name: str) -> Any:
    if name == "BayesSearchCV":  # scikit-optimize loads only where it is used
        from skhep_ml.model_selection._bayes import BayesSearchCV

        return BayesSearchCV
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
