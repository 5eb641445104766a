"""Classes and scorers that a file may name: looked up in lists, never imported by its strings."""

import importlib
import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from skhep_ml.io._syntax import nearest

# in the order of the search; the engines of the last ones take longest to load
_OWN = (
    "preprocessing",
    "impute",
    "linear_model",
    "over_sampling",
    "ensemble",
    "cluster",
    "gaussian_process",
    "neural_network",
)
_SCIKIT_LEARN = (
    "calibration",
    "cluster",
    "compose",
    "decomposition",
    "discriminant_analysis",
    "ensemble",
    "feature_selection",
    "impute",
    "kernel_approximation",
    "linear_model",
    "naive_bayes",
    "neighbors",
    "neural_network",
    "pipeline",
    "preprocessing",
    "random_projection",
    "svm",
    "tree",
)
_PREFIX = "sklearn."


def estimator_class(name: Any) -> type:
    """Class of an estimator by its public name.

    Names are this package's first, then scikit-learn's; ``"sklearn.NAME"`` skips this package.

    Raises
    ------
    ValueError
        There is none of this name.
    """
    if isinstance(name, str):
        own = not name.startswith(_PREFIX)
        bare = name.removeprefix(_PREFIX)
        for module in _modules(own):
            if bare in _estimators(module):
                return getattr(module, bare)
    known = {n for module in _modules(True) for n in _estimators(module)}
    msg = f"no estimator is called {name!r}: {nearest(str(name), known)}"
    raise ValueError(msg)


def _modules(own: bool) -> Iterator[Any]:
    if own:
        yield from (importlib.import_module(f"skhep_ml.{name}") for name in _OWN)
    yield from (importlib.import_module(f"sklearn.{name}") for name in _SCIKIT_LEARN)


def _estimators(module: Any) -> list[str]:
    """Public estimators of a module."""
    public = getattr(module, "__all__", [name for name in vars(module) if name[0] != "_"])
    values = {name: getattr(module, name) for name in public}
    return [
        name
        for name, value in values.items()
        if isinstance(value, type) and issubclass(value, BaseEstimator) and hasattr(value, "fit")
    ]


def network_module(name: Any) -> type:
    """Architecture of a network by its public name."""
    from skhep_ml.neural_network import modules

    if name in modules.__all__:
        return getattr(modules, name)
    msg = f"no network module is called {name!r}: {nearest(str(name), modules.__all__)}"
    raise ValueError(msg)


def scorer(asked: Any, n_labels: int = 2) -> tuple[str, Any]:
    """Name and scorer: ``"roc_auc"``, or a table with ``name`` and the options of the scorer.

    Areas of more than two labels are those of each label against the rest, averaged.

    Raises
    ------
    ValueError
        Unknown scorer or option, or one for two labels where there are more.
    """
    from skhep_ml import metrics

    known = [name.removesuffix("_scorer") for name in metrics.__all__ if name.endswith("_scorer")]
    options = dict(asked) if isinstance(asked, dict) else {"name": asked}
    name = options.pop("name", None)
    if name not in known:
        msg = f"no scorer is called {name!r}: {nearest(str(name), known)}"
        raise ValueError(msg)
    factory = getattr(metrics, f"{name}_scorer")
    allowed = inspect.signature(factory).parameters
    for option in options:
        if option not in allowed:
            msg = f"scorer {name!r} has no option {option!r}: {nearest(option, allowed)}"
            raise ValueError(msg)
    label = name if len(options) == 0 else f"{name}({_written(options)})"
    if n_labels > 2 and "multi_class" in allowed:
        options.setdefault("multi_class", "ovr")
    made = factory(**options)
    if n_labels > 2:
        _check_labels(name, made, n_labels)
    return label, made


def _check_labels(name: str, made: Any, n_labels: int) -> None:
    """Whether a scorer takes so many labels: found before the training, not after it."""
    y = np.arange(2 * n_labels) % n_labels
    try:
        made.score_predictions(y, y if made.response == "predict" else np.eye(n_labels)[y])
    except ValueError as error:
        msg = f"scorer {name!r} cannot be used with {n_labels} labels: {error}"
        raise ValueError(msg) from error


def _written(options: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in options.items())
