"""Every private name of scikit-learn that cannot be avoided, in one place."""

from sklearn.metrics._scorer import _BaseScorer as BaseScorer
from sklearn.metrics._scorer import _cached_call as cached_call
from sklearn.utils._metadata_requests import _routing_enabled as routing_enabled
from sklearn.utils.validation import _check_method_params as index_fit_params

__all__ = ["BaseScorer", "cached_call", "index_fit_params", "routing_enabled"]
