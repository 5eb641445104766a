"""Estimators and searches from the tables of a file."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone

from skhep_ml._analysis._catalog import estimator_class, network_module
from skhep_ml._analysis._toml import Key
from skhep_ml.io._syntax import nearest

Report = Callable[[Key, str], None]


def build_estimator(table: Any, report: Report) -> Any:
    """Estimator of a table: its ``class`` and its parameters.

    ``report(path, what)`` takes mistakes in single parameters, of which there can be several.

    Raises
    ------
    ValueError
        No such class, or parameters that it refuses together.
    """
    if not isinstance(table, dict) or "class" not in table:
        msg = 'must be a table with class = "NAME" and parameters'
        raise ValueError(msg)
    try:
        cls = estimator_class(table["class"])
    except ValueError as error:
        report(("class",), str(error))
        return None
    known = _parameters(cls)
    params, right = {}, True
    for name, value in table.items():
        if name == "class":
            continue
        if name not in known and "__" not in name:
            report((name,), f"{cls.__name__} has no parameter {name!r}: {nearest(name, known)}")
            right = False
            continue
        try:
            params[name] = _value(value, known.get(name), (name,), report)
        except ValueError as error:
            report((name,), str(error))
            right = False
        else:
            right &= params[name] is not None
    if not right:
        return None
    if isinstance(params.get("module"), str):
        params["module"] = network_module(params["module"])
    plain = {name: value for name, value in params.items() if name in known}
    made = cls(**plain)
    return made.set_params(**{k: v for k, v in params.items() if k not in plain})


def _parameters(cls: Any) -> dict[str, Any]:
    """Parameters of a class and their defaults, also of a skorch net."""
    known: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base is not object and "__init__" in vars(base):
            for name, parameter in inspect.signature(base.__init__).parameters.items():
                if name != "self" and parameter.kind not in (
                    parameter.VAR_KEYWORD,
                    parameter.VAR_POSITIONAL,
                ):
                    known[name] = parameter.default
    return known


def _value(value: Any, default: Any, path: Key, report: Report) -> Any:
    """Python's value of a parameter: tables with a class are estimators, ranges are tuples."""
    if isinstance(value, dict) and "class" in value:
        return build_estimator(value, lambda below, what: report((*path, *below), what))
    if isinstance(value, list):
        items = [_value(item, None, (*path, k), report) for k, item in enumerate(value)]
        holds_part = any(isinstance(item, BaseEstimator) for item in items)
        return tuple(items) if isinstance(default, tuple) or holds_part else items
    return value


def build_space(model: Any, asked: Any, method: str, report: Report) -> Any:
    """Ranges of the parameters of a search: ``"auto"``, or a table of ranges and lists.

    A range is ``{low = 0.01, high = 1.0, log = true}``, a list holds the values to choose from.

    Raises
    ------
    ValueError
        No table, or a space that the method cannot search.
    """
    from skhep_ml.model_selection import search_space

    if asked == "auto":
        space = search_space(model)
        if method == "grid":
            msg = 'a grid needs a list of values for each parameter, not "auto"'
            raise ValueError(msg)
        return space if method == "bayes" else {k: _drawn(v) for k, v in space.items()}
    if not isinstance(asked, dict) or not asked:
        msg = 'must be "auto" or a table of parameters'
        raise ValueError(msg)
    known = model.get_params()
    space = {}
    for name, range_ in asked.items():
        if name not in known and "module__" not in name:
            report((name,), f"no parameter of the model: {nearest(name, known)}")
            continue
        try:
            space[name] = _dimension(range_, method)
        except ValueError as error:
            report((name,), str(error))
    return space


def _dimension(asked: Any, method: str) -> Any:
    if isinstance(asked, list) and asked:
        return asked
    if method != "grid" and isinstance(asked, dict) and {"low", "high"} <= set(asked):
        extra = set(asked) - {"low", "high", "log"}
        low, high, log = asked["low"], asked["high"], asked.get("log", False)
        numbers = all(type(end) in (int, float) for end in (low, high))
        if not extra and numbers and low < high and type(log) is bool and (low > 0 or not log):
            range_ = (low, high, "log-uniform") if log else (low, high)
            return range_ if method == "bayes" else _drawn(range_)
    form = "" if method == "grid" else " or a range such as {low = 0.01, high = 1.0, log = true}"
    msg = f"must be a list of values{form}, got {asked!r}"
    raise ValueError(msg)


def _drawn(range_: Any) -> Any:
    """Distribution of a range, for a search by draws."""
    from scipy import stats

    if isinstance(range_, list):
        return range_
    low, high, *log = range_
    if isinstance(low, int) and isinstance(high, int):
        if log:  # scipy has no such distribution
            return np.unique(np.geomspace(low, high, 100).round().astype(int)).tolist()
        return stats.randint(low, high + 1)
    return stats.loguniform(low, high) if log else stats.uniform(low, high - low)


def build_search(model: Any, options: dict[str, Any]) -> Any:
    """Search around a model.

    Raises
    ------
    ValueError
        Options that the method does not have.
    """
    from sklearn.model_selection import GridSearchCV, RandomizedSearchCV

    from skhep_ml.model_selection import BayesSearchCV, EventNumberKFold

    method = options.get("method", "bayes")
    common = {
        "cv": EventNumberKFold(options.get("n_splits", 3), salt=1),
        "scoring": options["scoring"],
    }
    own = {name: options[name] for name in ("n_iter", "random_state") if name in options}
    own.setdefault("random_state", 0)
    if method != "bayes" and "time_limit" in options:
        msg = f'time_limit is for method = "bayes", not {method!r}'
        raise ValueError(msg)
    if method == "grid":
        if "n_iter" in options:
            msg = "a grid tries all its points and takes no n_iter"
            raise ValueError(msg)
        return GridSearchCV(clone(model), options["space"], **common)
    own.setdefault("n_iter", 20)
    if method == "random":
        return RandomizedSearchCV(clone(model), options["space"], **own, **common)
    limit = {"time_limit": options["time_limit"]} if "time_limit" in options else {}
    return BayesSearchCV(clone(model), options["space"], **own, **limit, **common)
