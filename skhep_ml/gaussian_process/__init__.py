"""Gaussian processes, exact for few events and with inducing points beyond."""

from skhep_ml.gaussian_process._classifier import GPClassifier
from skhep_ml.gaussian_process._regressor import GPRegressor

__all__ = ["GPClassifier", "GPRegressor"]
