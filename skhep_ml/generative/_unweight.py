"""Events of equal positive weight from a signed sample, by any generative model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.utils import Tags, _safe_indexing, check_random_state, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _num_samples, check_is_fitted

from skhep_ml._compat import routing_enabled
from skhep_ml._routing import fit_param_path, last_model
from skhep_ml._validation import check_event_id, check_event_weight
from skhep_ml.events import Events
from skhep_ml.generative._score import mean_score
from skhep_ml.weights._base import effective_sample_size
from skhep_ml.weights._policies import check_policy, training_weights
from skhep_ml.weights._request import request_weights


def _model_has(name: str) -> Any:
    def check(self: Any) -> bool:
        model = getattr(self, "estimator_", None)
        # without a model of the user's it is a flow, which has all
        if model is not None or self.estimator is not None:
            getattr(self.estimator if model is None else model, name)
        return True

    return check


class GenerativeUnweighter(MetaEstimatorMixin, BaseEstimator):
    r"""Generate events of equal positive weight that follow a sample with weights of any sign.

    Parameters
    ----------
    estimator : generative model, default=None
        Anything with ``fit(X, y, sample_weight)`` and ``sample``: a model of
        `skhep_ml.generative` or, say, `sklearn.neighbors.KernelDensity`. None is a
        `NormalizingFlow`.
    negative_weights : {"refine", "keep", "pair", "cell", "drop", "abs", "raise"}, default="refine"
        What training does with negative weights, see
        `skhep_ml.weights.apply_negative_weights`. ``"keep"`` hands them to the model, which must
        have a policy for them.
    salt : int, default=0
        Salt of the cross-fit of ``"refine"``.
    n_jobs : int, default=None
        Threads of ``"refine"``, ``"pair"`` and ``"cell"``; None takes all.
    random_state : int, RandomState instance or None, default=None
        Seed of the default model and of refinement.

    Attributes
    ----------
    estimator_ : generative model
        The fitted model.
    effective_size_ : float
        (sum w)^2 / sum w^2 of the sample: how many events of equal weight it is worth.
    sum_weight_ : float
        Its sum of weights: each of n generated events stands for ``sum_weight_ / n``.
    negative_fraction_ : float
        Share of negative weights in the sum of abs(w).
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of str
        Their names, if the model knows them.

    See Also
    --------
    NeuralResampler : Keeps events of the sample itself, with their statistical errors.

    Notes
    -----
    The statistical error of what is generated is that of the sample: ten times as many events are
    smoother, not more precise. A histogram's relative errors are those of ``effective_size_``
    events at best, and they are shared by everything that the model generates, however often.
    Therefore ``sample()`` generates so many events unless told otherwise. Errors of a measurement
    are those of models fitted to bootstrap replicas of the sample. Events to which the policy gives
    weight 0 are left out of training.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.neighbors import KernelDensity
    >>> from skhep_ml.generative import GenerativeUnweighter
    >>> rng = np.random.default_rng(0)
    >>> X, weight = rng.normal(size=(3000, 2)), rng.choice([1.0, -1.0], 3000, p=[0.8, 0.2])
    >>> model = GenerativeUnweighter(KernelDensity(bandwidth=0.2), random_state=0)
    >>> model.fit(X, sample_weight=weight).sample(random_state=0).shape
    (1099, 2)
    """

    __metadata_request__fit = {"sample_weight": True, "groups": True}
    __metadata_request__score = {"sample_weight": True}

    def __init__(
        self,
        estimator: Any = None,
        *,
        negative_weights: str = "refine",
        salt: int = 0,
        n_jobs: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.negative_weights = negative_weights
        self.salt = salt
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Learn the distribution of the signed sample.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_events, n_features), or what the model takes
            Events.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights of any sign and unit; their sum must be positive.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers, for refinement and for models that take them.

        Returns
        -------
        self : GenerativeUnweighter
            The fitted model.

        Raises
        ------
        TypeError
            ``estimator`` cannot sample.
        ValueError
            Weights whose sum is not positive, or what the model refuses.
        """
        check_policy(self.negative_weights)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        model = self._model(seed)
        n_events = _num_samples(X)
        if groups is not None:
            check_event_id(groups, n_events)
        weight = check_event_weight(sample_weight, n_events)
        original = np.ones(n_events) if weight is None else weight
        given: dict[str, Any] = {} if groups is None else {"groups": groups}
        table = X
        if weight is not None:
            given["sample_weight"] = self._trained(X, weight, groups, model, seed)
            used = np.flatnonzero(given["sample_weight"])
            if len(used) < n_events:  # kernel densities know no weight 0
                table = _safe_indexing(X, used)
                given = {name: _safe_indexing(value, used) for name, value in given.items()}
        self.estimator_ = _fit(model, table, given)
        self.effective_size_ = effective_sample_size(original)
        self.sum_weight_ = float(original.sum())
        self.negative_fraction_ = float(-original[original < 0].sum() / np.abs(original).sum())
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
            elif hasattr(self, name):
                delattr(self, name)
        return self

    def sample(self, n: int | None = None, *, context: Any = None, random_state: Any = None) -> Any:
        """Generate events of equal weight.

        Parameters
        ----------
        n : int, default=None
            Number of events; None takes that of ``context``, or else ``effective_size_``, rounded.
        context : object, default=None
            Conditions, for a model with ``context_features``.
        random_state : int, RandomState instance or None, default=None
            Seed.

        Returns
        -------
        array, DataFrame or Events
            What the model generates. Each event stands for the weight ``sum_weight_ / n``.

        Raises
        ------
        ValueError
            What the model refuses.
        """
        check_is_fitted(self)
        options = {"random_state": random_state}
        if context is not None:
            options["context"] = context
        elif n is None:
            n = max(round(self.effective_size_), 1)
        return self.estimator_.sample(n, **options)

    @available_if(_model_has("score_samples"))
    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Log density of each event.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Events.

        Returns
        -------
        ndarray of shape (n_events,)
            The model's log density.
        """
        check_is_fitted(self)
        return np.asarray(self.estimator_.score_samples(X))

    @available_if(_model_has("score_samples"))
    def score(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
        """Weighted mean of the log densities.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Events.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights of any sign.

        Returns
        -------
        float
            The mean, in nats; minus infinity if an event whose weight is not zero is impossible.

        Raises
        ------
        ValueError
            Weights whose sum is not positive.
        """
        return mean_score(self.score_samples(X), sample_weight)

    @property
    def context_features(self) -> Any:
        """Columns of the model that condition, None without any."""
        model = last_model(getattr(self, "estimator_", self.estimator))
        return getattr(model, "context_features", None)

    def _model(self, seed: int) -> Any:
        if self.estimator is None:
            from skhep_ml.generative._flows import NormalizingFlow

            return NormalizingFlow(random_state=seed)
        if isinstance(self.estimator, type) or not hasattr(self.estimator, "sample"):
            msg = (
                f"{self.estimator!r} is no generative model, such as NormalizingFlow(): it has no "
                "sample"
            )
            raise TypeError(msg)
        return clone(self.estimator)

    def _trained(
        self, X: Any, weight: NDArray[np.float64], groups: Any, model: Any, seed: int
    ) -> NDArray[np.float64]:
        """Weights after the policy."""
        trained = training_weights(
            _columns(X) if weight.min() < 0 else X,
            np.zeros(len(weight), dtype=np.intp),
            np.array(["the sample"]),
            weight,
            self.negative_weights,
            groups=groups,
            salt=self.salt,
            random_state=seed,
            n_jobs=self.n_jobs,
        )
        if trained.min() < 0 and not hasattr(last_model(model), "negative_weights"):
            msg = (
                f"{type(last_model(model)).__name__} has no policy for negative weights, which "
                f"negative_weights={self.negative_weights!r} leaves in training: take 'refine', or "
                "a model of skhep_ml"
            )
            raise ValueError(msg)
        return trained

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        if self.estimator is not None:
            inner = get_tags(self.estimator).input_tags
            tags.input_tags.allow_nan = inner.allow_nan
            tags.input_tags.three_d_array = inner.three_d_array
        return tags


def _fit(model: Any, X: Any, given: dict[str, Any]) -> Any:
    """Fit with what the model takes of weights and identifiers; weights must arrive."""
    paths = {name: fit_param_path(model, name) for name in given}
    if "sample_weight" in given and paths["sample_weight"] is None:
        msg = f"{type(model).__name__} takes no sample_weight in fit: use a model that does"
        raise ValueError(msg)
    taken = {name: path for name, path in paths.items() if path is not None}
    if routing_enabled() and taken:
        request_weights(model)
        return model.fit(X, **{name: given[name] for name in taken})
    return model.fit(X, **{str(path): given[name] for name, path in taken.items()})


def _columns(X: Any) -> Any:
    """Events as one table, for the policies."""
    if not isinstance(X, (Events, Mapping)):
        return X
    return np.concatenate([np.asarray(part).reshape(len(part), -1) for part in X.values()], axis=1)
