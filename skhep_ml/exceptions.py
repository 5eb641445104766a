"""Warnings of their own category, so that scripts can silence or escalate them by name."""

__all__ = [
    "BiasedWeightsWarning",
    "DivergenceWarning",
    "EmptyColumnWarning",
    "EventFoldWarning",
    "NetWarning",
    "SupportWarning",
    "SystematicsWarning",
    "TruncationWarning",
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


class TruncationWarning(UserWarning):
    """Particles that do not fit into a padded cloud or an image and are lost."""


class NetWarning(UserWarning):
    """Something about the training of a network that the user should know."""


class DivergenceWarning(NetWarning):
    """A training loss that became infinite or NaN."""


class SupportWarning(UserWarning):
    """Two samples of which one has events where the other has none."""


class SystematicsWarning(UserWarning):
    """A systematic variation that looks like a mistake in its definition."""
