"""Event weights: negative-weight policies, balance, planing, effective size, requests."""

from skhep_ml.weights._base import balance_classes, balance_weights, effective_sample_size
from skhep_ml.weights._planing import planing_weights
from skhep_ml.weights._policies import apply_negative_weights
from skhep_ml.weights._request import request_weights

__all__ = [
    "apply_negative_weights",
    "balance_classes",
    "balance_weights",
    "effective_sample_size",
    "planing_weights",
    "request_weights",
]
