"""Scorers of generative models: how like the test events their samples are."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skhep_ml._frames import column_positions, is_frame
from skhep_ml._hashing import content_identifiers
from skhep_ml._routing import is_search, last_model
from skhep_ml._validation import check_event_weight
from skhep_ml.events import Events
from skhep_ml.metrics._classifier_test import two_sample_auc
from skhep_ml.metrics._moment_distances import frechet_distance, kernel_distance
from skhep_ml.metrics._samples import as_input, event_features
from skhep_ml.metrics._wasserstein import (
    separation_power,
    sliced_wasserstein_distance,
    wasserstein_distance,
)
from skhep_ml.metrics._weighted_scorer import WeightedScorer


class SampleScorer(WeightedScorer):
    """A scorer of generative models for any scikit-learn search or cross-validation.

    The factories of this package (:func:`two_sample_auc_scorer`, :func:`wasserstein_scorer`, ...)
    make them. The model draws as many events as there are to test, under their own context where it
    has any, and the metric compares. Weights are requested by default.

    Parameters
    ----------
    metric : str
        Name of the metric.
    features : callable, default=None
        Called with events, returns the table of physics features that are compared. None compares
        tables as they are, and event features of clouds and images (:func:`two_sample_auc`).
    random_state : int, default=0
        Seed of the drawn events and of the metric.
    options : dict, default=None
        Further arguments of the metric.

    Attributes
    ----------
    greater_is_better : bool
        Always True: distances are returned with a minus sign.

    Notes
    -----
    The model has ``sample(n, random_state=...)``, as all of `skhep_ml.generative` and
    scikit-learn's densities have, and ``context=`` where its ``context_features`` are not None;
    the last step of a Pipeline is sampled with `skhep_ml.generative.sample_pipeline`. Drawn events
    carry the weights of the test events whose context they have, and 1 without context. Context is
    the same in both samples: the classifier sees it, and the folds keep an event and the one drawn
    under its conditions together; distances of single features leave it out.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.neighbors import KernelDensity
    >>> from skhep_ml.metrics import wasserstein_scorer
    >>> X = np.random.default_rng(0).normal(size=(500, 2))
    >>> widths = {"bandwidth": [0.2, 3.0]}
    >>> GridSearchCV(KernelDensity(), widths, scoring=wasserstein_scorer()).fit(X).best_params_
    {'bandwidth': 0.2}
    """

    # multi-metric scorers ask for a method of the model whose responses they could share
    _response_method = "fit"

    def __init__(
        self,
        metric: str,
        *,
        features: Callable[[Any], Any] | None = None,
        random_state: Any = 0,
        options: dict[str, Any] | None = None,
    ) -> None:
        self.metric = metric
        self.features = features
        self.random_state = random_state
        self.options = options

    def __call__(
        self, estimator: Any, X: Any, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Score a fitted model.

        Parameters
        ----------
        estimator : estimator
            Fitted generative model, or a Pipeline that ends with one.
        X : array-like
            Test events, with all columns of `fit`.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_events,), default=None
            Their weights, of any sign; None counts events.

        Returns
        -------
        float
            The score; greater is better.

        Raises
        ------
        ValueError
            An unknown metric, or input that the metric refuses.
        TypeError
            The model cannot be sampled.
        """
        if self.metric not in _METRICS:
            msg = f"metric={self.metric!r}: choose one of {sorted(_METRICS)}"
            raise ValueError(msg)
        X = as_input(X)
        while is_search(estimator):
            estimator = estimator.best_estimator_
        context = getattr(last_model(estimator), "context_features", None)
        conditional = context is not None and not (np.ndim(context) and not len(context))
        drawn = _draw(estimator, X, conditional, self.random_state)
        weight = check_event_weight(sample_weight, len(X))
        groups = content_identifiers(event_features(X)[0]) if conditional else None
        if conditional and self.metric in _OF_FEATURES and self.features is None:
            X, drawn = _without(X, context), _without(drawn, context)
        if self.features is not None:
            X, drawn = self.features(X), self.features(drawn)
        given = {
            "weight1": weight,
            "weight2": weight if conditional else None,
            "random_state": self.random_state,
            **(self.options or {}),
        }
        if self.metric == "two_sample_auc":
            given.update(groups1=groups, groups2=groups)
        return -float(np.mean(_METRICS[self.metric](X, drawn, **given)))

    def _score(
        self,
        method_caller: Callable[..., Any],
        estimator: Any,
        X: Any,
        y_true: Any = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Score inside a multi-metric scorer, which has no responses to share."""
        return self(estimator, X, y_true, sample_weight)


_METRICS: dict[str, Callable[..., Any]] = {
    "frechet_distance": frechet_distance,
    "kernel_distance": kernel_distance,
    "separation_power": separation_power,
    "sliced_wasserstein": sliced_wasserstein_distance,
    "two_sample_auc": two_sample_auc,
    "wasserstein": wasserstein_distance,
}
_OF_FEATURES = ("separation_power", "wasserstein")


def _draw(estimator: Any, X: Any, conditional: bool, seed: Any) -> Any:
    """Draw as many events as X holds, under its context."""
    given = {"context": X} if conditional else {}
    if not hasattr(estimator, "sample"):
        if not hasattr(last_model(estimator), "sample") or not hasattr(estimator, "steps"):
            msg = (
                f"{type(estimator).__name__} has no method sample: score a generative model, or a "
                "Pipeline that ends with one"
            )
            raise TypeError(msg)
        from skhep_ml.generative import sample_pipeline

        return as_input(sample_pipeline(estimator, len(X), random_state=seed, **given))
    if "random_state" in signature(estimator.sample).parameters:
        given["random_state"] = seed
    drawn = estimator.sample(len(X), **given)
    # scikit-learn's mixtures return the component of each event too
    return as_input(drawn[0] if isinstance(drawn, tuple) else drawn)


def _without(X: Any, context: Any) -> Any:
    """Events without the columns or arrays of the context."""
    names = list(context) if isinstance(context, (list, tuple, np.ndarray)) else [context]
    if isinstance(X, Events):
        return Events({name: X[name] for name in X if name not in names})
    positions = column_positions(X, names, argument="context_features")
    kept = [k for k in range(X.shape[1]) if k not in positions]
    return X[[X.columns[k] for k in kept]] if is_frame(X) else X[:, kept]


def two_sample_auc_scorer(
    *,
    features: Callable[[Any], Any] | None = None,
    random_state: Any = 0,
    **options: Any,
) -> SampleScorer:
    """Make a scorer of what a classifier finds between test events and drawn ones.

    Parameters
    ----------
    features : callable, default=None
        Called with events, returns the table of features that are compared.
    random_state : int, default=0
        Seed of the drawn events and of the classifier.
    **options : dict
        Further arguments of :func:`two_sample_auc`, such as ``estimator`` or ``n_splits``.

    Returns
    -------
    SampleScorer
        Scorer of minus :func:`two_sample_auc`: -0.5 where the classifier finds nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.mixture import GaussianMixture
    >>> from skhep_ml.metrics import two_sample_auc_scorer
    >>> X = np.random.default_rng(0).normal(size=(1000, 2))
    >>> scorer = two_sample_auc_scorer(estimator=LogisticRegression())
    >>> bool(scorer(GaussianMixture(random_state=0).fit(X), X) > -0.55)
    True
    """
    return SampleScorer(
        "two_sample_auc", features=features, random_state=random_state, options=options
    )


def wasserstein_scorer(
    *,
    features: Callable[[Any], Any] | None = None,
    random_state: Any = 0,
    **options: Any,
) -> SampleScorer:
    """Make a scorer of the Wasserstein distances of the features.

    Parameters
    ----------
    features : callable, default=None
        Called with events, returns the table of features that are compared.
    random_state : int, default=0
        Seed of the drawn events.
    **options : dict
        Further arguments of :func:`wasserstein_distance`; ``scale`` is ``"std"`` unless given.

    Returns
    -------
    SampleScorer
        Scorer of minus the mean of :func:`wasserstein_distance` over the features.

    Examples
    --------
    >>> from skhep_ml.metrics import wasserstein_scorer
    >>> wasserstein_scorer().metric
    'wasserstein'
    """
    return SampleScorer(
        "wasserstein",
        features=features,
        random_state=random_state,
        options={"scale": "std", **options},
    )


def sliced_wasserstein_scorer(
    *,
    features: Callable[[Any], Any] | None = None,
    random_state: Any = 0,
    **options: Any,
) -> SampleScorer:
    """Make a scorer of the sliced Wasserstein distance.

    Parameters
    ----------
    features : callable, default=None
        Called with events, returns the table of features that are compared.
    random_state : int, default=0
        Seed of the drawn events and of the directions.
    **options : dict
        Further arguments of :func:`sliced_wasserstein_distance`.

    Returns
    -------
    SampleScorer
        Scorer of minus :func:`sliced_wasserstein_distance`.

    Examples
    --------
    >>> from skhep_ml.metrics import sliced_wasserstein_scorer
    >>> sliced_wasserstein_scorer(n_projections=20).options
    {'n_projections': 20}
    """
    return SampleScorer(
        "sliced_wasserstein", features=features, random_state=random_state, options=options
    )


def kernel_distance_scorer(
    *,
    features: Callable[[Any], Any] | None = None,
    random_state: Any = 0,
    **options: Any,
) -> SampleScorer:
    """Make a scorer of the kernel distance.

    Parameters
    ----------
    features : callable, default=None
        Called with events, returns the table of features that are compared.
    random_state : int, default=0
        Seed of the drawn events and of the batches.
    **options : dict
        Further arguments of :func:`kernel_distance`.

    Returns
    -------
    SampleScorer
        Scorer of minus :func:`kernel_distance`.

    Examples
    --------
    >>> from skhep_ml.metrics import kernel_distance_scorer
    >>> kernel_distance_scorer(degree=2).options
    {'degree': 2}
    """
    return SampleScorer(
        "kernel_distance", features=features, random_state=random_state, options=options
    )


def frechet_distance_scorer(
    *,
    features: Callable[[Any], Any] | None = None,
    random_state: Any = 0,
    **options: Any,
) -> SampleScorer:
    """Make a scorer of the Frechet distance.

    Parameters
    ----------
    features : callable, default=None
        Called with events, returns the table of features that are compared.
    random_state : int, default=0
        Seed of the drawn events and of the parts of the extrapolation.
    **options : dict
        Further arguments of :func:`frechet_distance`.

    Returns
    -------
    SampleScorer
        Scorer of minus :func:`frechet_distance`.

    Examples
    --------
    >>> from skhep_ml.metrics import frechet_distance_scorer
    >>> frechet_distance_scorer(extrapolate=False).options
    {'extrapolate': False}
    """
    return SampleScorer(
        "frechet_distance", features=features, random_state=random_state, options=options
    )


def separation_power_scorer(
    *,
    features: Callable[[Any], Any] | None = None,
    random_state: Any = 0,
    **options: Any,
) -> SampleScorer:
    """Make a scorer of the separation powers of the features.

    Parameters
    ----------
    features : callable, default=None
        Called with events, returns the table of features that are compared.
    random_state : int, default=0
        Seed of the drawn events.
    **options : dict
        Further arguments of :func:`separation_power`, such as ``bins``.

    Returns
    -------
    SampleScorer
        Scorer of minus the mean of :func:`separation_power` over the features.

    Examples
    --------
    >>> from skhep_ml.metrics import separation_power_scorer
    >>> separation_power_scorer(bins=20).options
    {'bins': 20}
    """
    return SampleScorer(
        "separation_power", features=features, random_state=random_state, options=options
    )
