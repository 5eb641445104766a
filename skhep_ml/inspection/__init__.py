"""Tables about data and models: what is in a sample, where it is biased, what is missing."""

from skhep_ml.inspection._describe import SampleDescription, describe_events
from skhep_ml.inspection._duplicates import (
    DuplicateEvents,
    EventOverlap,
    duplicate_events,
    event_overlap,
)
from skhep_ml.inspection._importance import PermutationImportances, permutation_importances
from skhep_ml.inspection._learning import BiasVariance, bias_variance
from skhep_ml.inspection._shift_test import ShiftTestResult, shift_test
from skhep_ml.inspection._systematics import evaluate_systematics
from skhep_ml.inspection._systematics_result import (
    Matching,
    SystematicsResult,
    Variation,
    VariedSide,
)

__all__ = [
    "BiasVariance",
    "DuplicateEvents",
    "EventOverlap",
    "Matching",
    "PermutationImportances",
    "SampleDescription",
    "ShiftTestResult",
    "SystematicsResult",
    "Variation",
    "VariedSide",
    "bias_variance",
    "describe_events",
    "duplicate_events",
    "evaluate_systematics",
    "event_overlap",
    "permutation_importances",
    "shift_test",
]
