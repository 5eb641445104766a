"""Tables about data and models: what is in a sample, where it is biased, what is missing."""

from skhep_ml.inspection._describe import SampleDescription, describe_events
from skhep_ml.inspection._duplicates import (
    DuplicateEvents,
    EventOverlap,
    duplicate_events,
    event_overlap,
)

__all__ = [
    "DuplicateEvents",
    "EventOverlap",
    "SampleDescription",
    "describe_events",
    "duplicate_events",
    "event_overlap",
]
