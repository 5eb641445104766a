"""Linear models that train on physics weights."""

from skhep_ml.linear_model._logistic import LogisticRegression

__all__ = ["LogisticRegression"]
