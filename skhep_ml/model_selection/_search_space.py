"""Ranges of hyperparameters worth searching, for every model of the package."""

from typing import Any

from sklearn.base import BaseEstimator

_LOG = "log-uniform"
_TREES: dict[str, Any] = {
    "learning_rate": (0.02, 0.5, _LOG),
    "max_depth": (2, 9),
    "min_child_weight": (0.5, 200.0, _LOG),
    "n_estimators": (50, 800, _LOG),
    "reg_lambda": (0.1, 50.0, _LOG),
    "subsample": (0.5, 1.0),
    "colsample_bytree": (0.4, 1.0),
}
_FOREST: dict[str, Any] = {
    "max_features": (0.2, 1.0),
    "min_samples_leaf": (1, 100, _LOG),
    "n_estimators": (100, 500, _LOG),
}
_NET: dict[str, Any] = {
    "lr": (1e-4, 1e-2, _LOG),
    "weight_decay": (1e-6, 1e-1, _LOG),
    "batch_size": [128, 256, 512, 1024, 2048],
    "ema_decay": [None, 0.99, 0.999],
    "schedule": ["constant", "cosine", "one_cycle"],
}
_MODULES: dict[str, dict[str, Any]] = {
    "MLP": {"module__dropout": (0.0, 0.4)},
    "ResNet": {"module__dropout": (0.0, 0.4)},
    "DenseNet": {"module__dropout": (0.0, 0.4)},
    "TabM": {"module__dropout": (0.0, 0.4)},
}
_SUPPORT_VECTORS: dict[str, Any] = {"C": (1e-2, 1e3, _LOG), "gamma": (1e-4, 1e1, _LOG)}

# keyed by class name; a subclass takes the entry of its nearest base
_SPACES: dict[str, dict[str, Any]] = {
    "BDTClassifier": _TREES,
    "BDTRegressor": _TREES,
    "UniformBDTClassifier": {
        "strength": (0.1, 1.0),
        **{name: _TREES[name] for name in ("learning_rate", "max_depth", "n_estimators")},
    },
    "RandomForestClassifier": _FOREST,
    "RandomForestRegressor": _FOREST,
    "LogisticRegression": {"C": (1e-4, 1e3, _LOG)},
    "Ridge": {"alpha": (1e-4, 1e4, _LOG)},
    "KMeans": {"n_clusters": (2, 20)},
    "SVC": _SUPPORT_VECTORS,
    "SVR": _SUPPORT_VECTORS,
    "AutoScaler": {},
    "WeightedSMOTE": {"k_neighbors": (2, 15)},
    "MissingValueImputer": {"strategy": ["mean", "median"]},
}


def search_space(estimator: BaseEstimator) -> dict[str, Any]:
    """Return ranges of hyperparameters that are worth searching.

    Parameters
    ----------
    estimator : estimator
        A model of this package, one of scikit-learn's commonest, or a Pipeline or meta-estimator
        that holds such models.

    Returns
    -------
    dict
        Range of each parameter by its full name, as `BayesSearchCV` takes them: ``(low, high)``,
        ``(low, high, "log-uniform")`` where the scale is what matters, or a list of values. Add to
        it or take away from it freely.

    Raises
    ------
    ValueError
        None of the parts has a known space.

    Examples
    --------
    >>> from skhep_ml.linear_model import LogisticRegression
    >>> from skhep_ml.model_selection import search_space
    >>> search_space(LogisticRegression())
    {'C': (0.0001, 1000.0, 'log-uniform')}
    """
    space: dict[str, Any] = {}
    parts = {"": estimator}
    parts |= {
        f"{name}__": part
        for name, part in estimator.get_params().items()
        if hasattr(part, "get_params") and not isinstance(part, type)
    }
    for prefix, part in parts.items():
        space |= {prefix + name: range_ for name, range_ in _own_space(part).items()}
    if not space:
        msg = (
            f"no search space is known for {type(estimator).__name__}: give search_spaces as a "
            "dict of ranges by parameter"
        )
        raise ValueError(msg)
    return space


def _own_space(part: Any) -> dict[str, Any]:
    names = [base.__name__ for base in type(part).__mro__]
    if "EventNet" in names:
        module = getattr(part, "module", None)
        module_name = getattr(module, "__name__", type(module).__name__)
        return {**_NET, **_MODULES.get(module_name, {})}
    for name in names:
        if name in _SPACES:
            known = part.get_params(deep=False)
            return {key: range_ for key, range_ in _SPACES[name].items() if key in known}
    return {}
