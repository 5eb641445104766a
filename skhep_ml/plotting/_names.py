"""Names of models that are shown together."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sklearn.pipeline import Pipeline


def chain(model: Any) -> Iterator[Any]:
    """A model and what is inside it, fitted where it is, down to the one that learns."""
    while model is not None:
        yield model
        if isinstance(model, Pipeline):
            model = model.steps[-1][1]
        elif hasattr(model, "n_id_columns_"):
            model = model.estimators_[0]
        elif hasattr(model, "best_estimator_"):
            model = model.best_estimator_
        else:
            model = None


def by_name(models: Any) -> dict[str, Any]:
    """Return models by name: one alone, a list, or a mapping of names.

    Those without a name take that of the class that learns, and a number where several share it.
    """
    if isinstance(models, Mapping):
        return {str(name): model for name, model in models.items()}
    given = list(models) if isinstance(models, Sequence) else [models]
    names = [type(list(chain(model))[-1]).__name__ for model in given]
    named: dict[str, Any] = {}
    for name, model in zip(names, given, strict=True):
        number = sum(key.startswith(f"{name} ") for key in named) + 1
        named[name if names.count(name) == 1 else f"{name} {number}"] = model
    return named
