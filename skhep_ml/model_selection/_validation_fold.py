"""A validation fold on its way into a model: straight, through a Pipeline, or into a search."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import get_routing_for_object

from skhep_ml._routing import fit_param_path, is_search, last_model


class _LastStep(BaseEstimator):
    """Stand-in for the last step of a Pipeline that keeps what its ``fit`` is given."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def fit(self, X: Any, y: Any = None, **params: Any) -> Any:
        self.X_, self.y_, self.params_ = X, y, params
        return self

    def get_metadata_routing(self) -> Any:
        return get_routing_for_object(self.estimator)


class ValidationPipeline(Pipeline):
    """A Pipeline whose ``eval_set`` passes the earlier steps, fitted on training events alone."""

    steps: list[Any]

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        eval_set: Any = (),
        sample_weight_eval_set: Any = None,
        **params: Any,
    ) -> Any:
        """Fit all steps; the last is given the transformed ``eval_set`` too.

        Parameters
        ----------
        X : array-like
            Events.
        y : array-like of shape (n_events,), default=None
            Target.
        eval_set : sequence of (X, y) pairs, default=()
            Held-out events.
        sample_weight_eval_set : list of array-like, default=None
            Weights of each pair.
        **params : dict
            As in scikit-learn's Pipeline.

        Returns
        -------
        self : ValidationPipeline
            The fitted Pipeline.
        """
        *steps, (name, last) = self.steps
        front = Pipeline(
            [*steps, (name, _LastStep(last))],
            transform_input=self.transform_input,
            memory=self.memory,
            verbose=self.verbose,
        )
        # routes metadata, and caches, as any Pipeline
        kept = front.fit(X, y, **params).steps[-1][1]
        held = [(front[:-1].transform(X_k) if steps else X_k, y_k) for X_k, y_k in eval_set]
        given = {} if not held else {"eval_set": held}
        if sample_weight_eval_set is not None:
            given["sample_weight_eval_set"] = sample_weight_eval_set
        last.fit(kept.X_, kept.y_, **kept.params_, **given)
        self.steps = [*front.steps[:-1], (name, last)]
        return self


def check_takes_validation(estimator: Any, *, weighted: bool) -> None:
    """Raise a ValueError for a model that cannot be given a validation fold."""
    for name in ("eval_set", *(("sample_weight_eval_set",) if weighted else ())):
        if fit_param_path(estimator, name) is None:
            msg = (
                f"{type(last_model(estimator)).__name__}.fit takes no {name}: use a model "
                "that stops early on events it is given, such as BDTClassifier or NetClassifier, "
                "or validation_fold=False"
            )
            raise ValueError(msg)


def with_validation(estimator: Any) -> Any:
    """Clone whose ``fit`` takes ``eval_set``, wherever in Pipelines and searches the model is."""
    if is_search(estimator):
        return clone(estimator).set_params(estimator=with_validation(estimator.estimator))
    if not isinstance(estimator, Pipeline):
        return clone(estimator)
    if type(estimator) not in (Pipeline, ValidationPipeline):
        msg = (
            f"{type(estimator).__module__}.{type(estimator).__name__} cannot send a validation "
            "fold through its steps: use sklearn.pipeline.Pipeline (with ResampledClassifier or "
            "ResampledRegressor for samplers)"
        )
        raise ValueError(msg)
    *steps, (name, last) = clone(estimator).steps
    return ValidationPipeline(
        [*steps, (name, with_validation(last))],
        transform_input=estimator.transform_input,
        memory=estimator.memory,
        verbose=estimator.verbose,
    )
