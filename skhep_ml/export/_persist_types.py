"""What a saved model may consist of: the one list that both saving and loading look at."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from functools import cache
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np

# subpackages whose public estimators, scorers and splitters can be saved
_OURS = (
    "anomaly",
    "cluster",
    "ensemble",
    "gaussian_process",
    "generative",
    "impute",
    "linear_model",
    "metrics",
    "model_selection",
    "over_sampling",
    "preprocessing",
    "reweighting",
    "weights",
)

# What public estimators hold: plain Python classes, none of which does more in ``__setstate__``
# than to store. Nothing may join this list whose ``__setstate__`` reads a pickle.
_PARTS = {
    "imblearn.pipeline.Pipeline",
    "skhep_ml.anomaly._cathode._CathodeFold",
    "skhep_ml.anomaly._cwola._CWoLaFold",
    "skhep_ml.anomaly._members.MemberClassifier",
    "skhep_ml.anomaly._regions.Regions",
    "skhep_ml.gaussian_process._mean.MeanFunction",
    "skhep_ml.gaussian_process._posterior.Posterior",
    "skhep_ml.generative._domains.Above",
    "skhep_ml.generative._domains.Between",
    "skhep_ml.generative._domains.Columns",
    "skhep_ml.generative._domains.Conditions",
    "skhep_ml.generative._domains.Domain",
    "skhep_ml.generative._domains.Integer",
    "skhep_ml.generative._domains.NonNegative",
    "skhep_ml.generative._domains.Periodic",
    "skhep_ml.generative._layout.Layout",
    "skhep_ml.generative._layout.Spec",
    "skhep_ml.generative._recipe.Recipe",
    "skhep_ml.generative._vae.KLAnnealing",
    "skhep_ml.impute._interpolate.Curve",
    "skhep_ml.neural_network._penalties.Nuisance",
    "skhep_ml.preprocessing._column_map.ColumnMap",
    "skhep_ml.preprocessing._histogram.ValueHistogram",
    "skhep_ml.preprocessing._histogram._Column",
    "skhep_ml.preprocessing._statistics.ColumnStatistics",
    "skhep_ml.reweighting._classifier._Isotonic",
    "skhep_ml.reweighting._classifier._Sigmoid",
    "skhep_ml.reweighting._ratio.Ratio",
    "sklearn._loss.link.HalfLogitLink",
    "sklearn._loss.link.IdentityLink",
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogLink",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.link.MultinomialLogit",
    "sklearn._loss.loss.ExponentialLoss",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn._loss.loss.HalfMultinomialLoss",
    "sklearn._loss.loss.HalfPoissonLoss",
    "sklearn._loss.loss.HalfSquaredError",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    "sklearn.metrics._scorer._CurveScorer",
    "sklearn.metrics._scorer._MultimetricScorer",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.metrics._scorer._Scorer",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.utils._metadata_requests.MetadataRequest",
    "sklearn.utils._metadata_requests.MethodMetadataRequest",
    "xgboost.sklearn.XGBClassifier",
    "xgboost.sklearn.XGBRFClassifier",
    "xgboost.sklearn.XGBRFRegressor",
    "xgboost.sklearn.XGBRegressor",
    *(
        f"skorch.callbacks.{module}.{name}"
        for module, names in {
            "lr_scheduler": ("LRScheduler",),
            "regularization": ("GradientNormClipping",),
            "scoring": ("EpochScoring", "PassthroughScoring"),
            "training": ("EarlyStopping",),
        }.items()
        for name in names
    ),
}

# mappings that are stored with their class
MAPPINGS = {
    "builtins.dict": dict,
    "collections.OrderedDict": None,
    "sklearn.utils._bunch.Bunch": None,
}

# Where functions and classes that a model refers to may come from. They are found by name in these
# modules only, and must be public there.
_FUNCTION_HOMES = (
    "numpy",
    "scipy.special",
    "sklearn.feature_selection",
    "sklearn.metrics",
    "skhep_ml.metrics",
)
_CLASS_HOMES = (
    "skhep_ml.neural_network.modules",
    "torch.optim",
    "torch.optim.lr_scheduler",
    "torch.nn",
)
_BUILTIN_TYPES = {"bool": bool, "float": float, "int": int, "str": str}
# what nets, their callbacks and Gaussian processes hold
_PRIVATE_HOMES = {
    "skhep_ml.gaussian_process._mean": ("_constant", "_linear"),
    "skhep_ml.generative._autoencoder_net": ("AutoencoderNet",),
    "skhep_ml.generative._engine": ("GivenLoss",),
    "skhep_ml.neural_network._dataset": ("BatchIterator",),
    "skorch.dataset": ("Dataset",),
    "skorch.utils": ("noop", "to_numpy"),
}
# kinds of nets, and the modules that have them
NETS = {
    "NetClassifier": "skhep_ml.neural_network",
    "NetRegressor": "skhep_ml.neural_network",
    "AdversarialNet": "skhep_ml.generative._adversarial",
    "GenerativeNet": "skhep_ml.generative._engine",
}


def type_name(cls: Any) -> str:
    """Name of a class or function with its module, as a file records it."""
    return f"{cls.__module__}.{cls.__name__}"


@cache
def _of_scikit_learn() -> frozenset[str]:
    from sklearn import model_selection
    from sklearn.gaussian_process import kernels
    from sklearn.utils import all_estimators

    classes = [cls for _, cls in all_estimators()]
    for module in (kernels, model_selection):
        classes += [thing for thing in vars(module).values() if isinstance(thing, type)]
    return frozenset(n for n in map(type_name, classes) if n.startswith("sklearn."))


def _ours(name: str) -> bool:
    """Whether a name is that of a public class of this package that is not a net."""
    package, _, cls_name = name.rpartition(".")
    parts = package.split(".")
    if parts[0] != "skhep_ml" or len(parts) < 2 or parts[1] not in _OURS:
        return False
    home = importlib.import_module(f"skhep_ml.{parts[1]}")
    cls = getattr(home, cls_name, None) if cls_name in home.__all__ else None
    return isinstance(cls, type) and type_name(cls) == name


def is_known_object(name: str) -> bool:
    """Whether instances of a class can be saved attribute by attribute; imports nothing foreign."""
    return name in _PARTS or _ours(name) or name in _of_scikit_learn()


def find_reference(home: str, name: str) -> Any:
    """Public function or class of a module that models may refer to.

    Raises
    ------
    ValueError
        No such module or name, or not a function or class that can be referred to.
    """
    if home == "builtins" and name in _BUILTIN_TYPES:
        return _BUILTIN_TYPES[name]
    thing = None
    if home in (*_FUNCTION_HOMES, *_CLASS_HOMES, *_PRIVATE_HOMES):
        module = importlib.import_module(home)
        named = _PRIVATE_HOMES.get(home) or _public(module)
        thing = getattr(module, name, None) if name in named else None
    if not _may_be_referred_to(home, thing):
        msg = f"it refers to {home}.{name}, which models may not hold"
        raise ValueError(msg)
    return thing


def reference_home(thing: Any) -> tuple[str, str] | None:
    """Module and name under which `find_reference` finds a thing; None if it does not."""
    name = getattr(thing, "__name__", "")
    for home in ("builtins", *_FUNCTION_HOMES, *_CLASS_HOMES, *_PRIVATE_HOMES):
        # what is not imported yet cannot have made it
        if home != "builtins" and home not in sys.modules:
            continue
        try:
            if find_reference(home, name) is thing:
                return home, name
        except ValueError:
            continue
    return None


def _public(module: Any) -> Iterable[str]:
    return getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]


def _may_be_referred_to(home: str, thing: Any) -> bool:
    if home in _PRIVATE_HOMES:
        return thing is not None
    if home in ("numpy", "scipy.special"):
        return isinstance(thing, np.ufunc) or (home == "numpy" and _is_number_type(thing))
    if home in _FUNCTION_HOMES:
        return isinstance(thing, (FunctionType, BuiltinFunctionType))
    return isinstance(thing, type)


def _is_number_type(thing: Any) -> bool:
    return isinstance(thing, type) and issubclass(thing, np.generic)
