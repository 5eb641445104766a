"""Scikit-learn estimators that understand high-energy-physics data.

Subpackages load when first used, so that ``import skhep_ml`` stays light::

    from skhep_ml.ensemble import BDTClassifier
"""

import importlib
from typing import Any

from skhep_ml._version import __version__

_SUBPACKAGES = (
    "anomaly",
    "cluster",
    "datasets",
    "ensemble",
    "events",
    "export",
    "gaussian_process",
    "generative",
    "impute",
    "inspection",
    "io",
    "linear_model",
    "metrics",
    "model_selection",
    "neural_network",
    "over_sampling",
    "plotting",
    "preprocessing",
    "report",
    "reweighting",
    "weights",
)

__all__ = ["__version__", *_SUBPACKAGES]


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return importlib.import_module(f"skhep_ml.{name}")
    msg = f"module 'skhep_ml' has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted(__all__)
