"""Splits by event number, and models that rotate over them."""

from skhep_ml._hashing import event_hash
from skhep_ml.model_selection._rotating import RotatingClassifier, RotatingRegressor
from skhep_ml.model_selection._split import (
    EventNumberKFold,
    EventNumberModuloKFold,
    EventNumberSplit,
    train_val_test_split,
)

__all__ = [
    "EventNumberKFold",
    "EventNumberModuloKFold",
    "EventNumberSplit",
    "RotatingClassifier",
    "RotatingRegressor",
    "event_hash",
    "train_val_test_split",
]
