"""How weights and identifiers reach the model inside a meta-estimator."""

from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import get_routing_for_object, process_routing
from sklearn.utils.validation import has_fit_parameter

from skhep_ml._compat import routing_enabled


def inner_fit_params(
    owner: Any, estimator: Any, fit_params: dict[str, Any], **metadata: Any
) -> dict[str, Any]:
    """Keyword arguments for ``estimator.fit`` inside the meta-estimator ``owner``.

    With metadata routing, scikit-learn's router decides. Without it, ``sample_weight`` goes to the
    model itself, the last step of a Pipeline or the estimator of a search, and ``groups`` to
    whatever takes it.

    Raises
    ------
    ValueError
        Weights were given and the model cannot take any.
    """
    given = {name: value for name, value in metadata.items() if value is not None}
    if routing_enabled():
        routed = process_routing(owner, "fit", **given, **fit_params)
        return dict(routed.estimator.fit)
    params = dict(fit_params)
    for name, value in given.items():
        path = fit_param_path(estimator, name)
        if path is not None:
            params[path] = value
        elif name == "sample_weight" and not _named_by_user(params, name):
            msg = (
                f"{type(estimator).__name__} takes no sample_weight in fit: use a model that does, "
                "or fit without weights"
            )
            raise ValueError(msg)
    return params


def _named_by_user(params: dict[str, Any], name: str) -> bool:
    return any(key.endswith(f"__{name}") for key in params)


def fit_param_path(estimator: Any, name: str) -> str | None:
    """Name by which ``estimator.fit`` takes an argument without routing; None if it cannot."""
    if isinstance(estimator, Pipeline):
        last_name, last = estimator.steps[-1]
        path = fit_param_path(last, name) if last is not None else None
        return None if path is None else f"{last_name}__{path}"
    if has_fit_parameter(estimator, name):
        return name
    if is_search(estimator):
        return name if name == "groups" else fit_param_path(estimator.estimator, name)
    return None


def is_search(estimator: Any) -> bool:
    """Whether this is a search over hyperparameters, of scikit-learn's or its kind."""
    return all(hasattr(estimator, name) for name in ("cv", "scoring", "estimator"))


def splits_without_groups(model: Any) -> bool:
    """Whether this ends with a search whose splitter takes no identifiers."""
    while isinstance(model, Pipeline):
        model = model.steps[-1][1]
    return is_search(model) and not get_routing_for_object(model.cv).consumes("split", {"groups"})


def last_model(model: Any) -> Any:
    """Model at the end of Pipelines and searches; of a fitted search, the best one."""
    while True:
        if isinstance(model, Pipeline):
            model = model.steps[-1][1]
        elif is_search(model):
            model = getattr(model, "best_estimator_", model.estimator)
        else:
            return model
