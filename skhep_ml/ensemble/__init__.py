"""Boosted decision trees that train on physics weights."""

from skhep_ml.ensemble._bdt import BDTClassifier, BDTRegressor

__all__ = ["BDTClassifier", "BDTRegressor"]
