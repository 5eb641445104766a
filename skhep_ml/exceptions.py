"""Warnings of their own category, so that scripts can silence or escalate them by name."""

__all__ = [
    "BiasedWeightsWarning",
    "EmptyColumnWarning",
    "EventFoldWarning",
    "UnidentifiedEventsWarning",
    "WeightWarning",
]


class WeightWarning(UserWarning):
    """Something about event weights that changes what a model learns."""


class BiasedWeightsWarning(WeightWarning):
    """A policy for negative weights that biases the model (``"drop"``, ``"abs"``)."""


class EventFoldWarning(UserWarning):
    """Folds by event number that are far from balanced."""


class UnidentifiedEventsWarning(UserWarning):
    """A rotating model without event identifiers: predictions average over all folds."""


class EmptyColumnWarning(UserWarning):
    """A column without a single value, from which a transformer can learn nothing."""
