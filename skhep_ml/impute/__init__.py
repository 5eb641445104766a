"""Imputation of missing values."""

from skhep_ml.impute._missing import MissingValueImputer

__all__ = ["MissingValueImputer"]
