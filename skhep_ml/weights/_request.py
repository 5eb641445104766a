"""Metadata requests for scikit-learn's own estimators."""

import importlib.util
from typing import Any

from sklearn.utils.metadata_routing import get_routing_for_object

from skhep_ml._compat import routing_enabled


def request_weights(estimator: Any, *, groups: bool = True) -> Any:
    """Let every part of an estimator that takes weights ask for them.

    scikit-learn's own estimators request no metadata by default, so with metadata routing weights
    stop at a Pipeline's door unless each step asks. This walks estimators, Pipelines, unions,
    column transformers, searches and other meta-estimators, and sets the requests of every part
    whose methods take ``sample_weight`` (and ``groups``) and that has not decided yet.

    Parameters
    ----------
    estimator : estimator
        Any estimator; it is changed in place.
    groups : bool, default=True
        Request event identifiers too, where a method takes them.

    Returns
    -------
    estimator
        The same object, so that the call can stand inside an expression.

    Raises
    ------
    RuntimeError
        Metadata routing is off.

    Examples
    --------
    >>> import sklearn
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skhep_ml.weights import request_weights
    >>> with sklearn.config_context(enable_metadata_routing=True):
    ...     model = request_weights(make_pipeline(StandardScaler(), LogisticRegression()))
    ...     weights = [1.0, 2.0, 1.0]
    ...     _ = model.fit([[0.0], [1.0], [2.0]], [0, 1, 1], sample_weight=weights)
    """
    if not routing_enabled():
        msg = (
            "request_weights needs metadata routing: call "
            "sklearn.set_config(enable_metadata_routing=True) first"
        )
        raise RuntimeError(msg)
    # importing imbalanced-learn adds a method to scikit-learn's global list of routable ones, and
    # requests that were stored before it lack that method and break: so it comes first
    if importlib.util.find_spec("imblearn") is not None:
        importlib.import_module("imblearn")
    names = ["sample_weight", "groups"] if groups else ["sample_weight"]
    seen: set[int] = set()
    stack = [estimator]
    while stack:
        part = stack.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, (list, tuple)):
            stack.extend(part)
        elif isinstance(part, dict):
            stack.extend(part.values())
        elif hasattr(part, "get_params") and not isinstance(part, type):
            _request(part, names)
            stack.extend(part.get_params(deep=False).values())
    return estimator


def _request(part: Any, names: list[str]) -> None:
    requests = get_routing_for_object(part)
    requests = getattr(requests, "_self_request", requests)
    if requests is None or not hasattr(requests, "fit"):
        return
    for method in ("fit", "partial_fit", "score"):
        setter = getattr(part, f"set_{method}_request", None)
        undecided = getattr(requests, method).requests
        wanted = {name: True for name in names if name in undecided and undecided[name] is None}
        if setter is not None and wanted:
            setter(**wanted)
