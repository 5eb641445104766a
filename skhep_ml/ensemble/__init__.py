"""Boosted trees and forests that train on physics weights."""

from skhep_ml.ensemble._bdt import BDTClassifier, BDTRegressor
from skhep_ml.ensemble._forest import RandomForestClassifier, RandomForestRegressor
from skhep_ml.ensemble._uniform import UniformBDTClassifier

__all__ = [
    "BDTClassifier",
    "BDTRegressor",
    "RandomForestClassifier",
    "RandomForestRegressor",
    "UniformBDTClassifier",
]
