"""Event weights: negative-weight policies, balance, effective size, metadata requests."""

from skhep_ml.weights._base import balance_classes, balance_weights, effective_sample_size
from skhep_ml.weights._policies import apply_negative_weights
from skhep_ml.weights._request import request_weights

__all__ = [
    "apply_negative_weights",
    "balance_classes",
    "balance_weights",
    "effective_sample_size",
    "request_weights",
]
