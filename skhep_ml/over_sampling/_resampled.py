"""A sampler and a model in one estimator, so that resampled weights reach the model."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    MetaEstimatorMixin,
    RegressorMixin,
    clone,
)
from sklearn.utils import Tags, assert_all_finite, get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d

from skhep_ml._frames import take_rows
from skhep_ml._routing import fit_param_path, inner_fit_params
from skhep_ml._validation import check_event_id, check_event_weight
from skhep_ml.over_sampling._base import WeightedSampler, check_table
from skhep_ml.weights._base import class_sums


class _Sample(NamedTuple):
    X: Any
    y: Any
    weight: NDArray[np.float64] | None
    groups: Any


def _estimator_has(name: str) -> Any:
    def check(self: Any) -> bool:
        getattr(getattr(self, "estimator_", self.estimator), name)
        return True

    return check


class _Resampled(MetaEstimatorMixin, BaseEstimator):
    __metadata_request__fit = {"sample_weight": True, "groups": True}
    __metadata_request__score = {"sample_weight": True}

    def __init__(self, sampler: Any, estimator: Any) -> None:
        self.sampler = sampler
        self.estimator = estimator

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Any:
        """Resample the events, then fit the model on what comes out.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_events, n_features)
            Events; clouds of shape (n_events, n_particles, n_features) where sampler and model are
            about them.
        y : array-like of shape (n_events,)
            Target.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, resampled and handed to the model.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers, resampled and handed to the model where it takes them.

        Returns
        -------
        self : object
            The fitted model.

        Raises
        ------
        TypeError
            A sampler without ``fit_resample``, or a model without ``fit`` and ``predict``.
        ValueError
            Weights, or identifiers that the model takes, with a sampler that cannot carry them.
        """
        if y is None:
            msg = f"{type(self).__name__} requires y to be passed, but the target y is None"
            raise ValueError(msg)
        self._check_parts()
        # the sampler may drop events with NaN: it and the model decide
        table = check_table(self, X, allow_nan=True)
        target = np.asarray(column_or_1d(y, warn=True))
        if target.dtype.kind == "f":
            assert_all_finite(target, input_name="y")
        codes, labels = self._check_target(target)
        check_consistent_length(table, target)
        weight = check_event_weight(sample_weight, len(target))
        if groups is not None:
            check_event_id(groups, len(target))
            if not isinstance(groups, list) and not hasattr(groups, "columns"):
                groups = np.asarray(groups)
        self.sampler_ = clone(self.sampler)
        sample = _Sample(table, target, weight, groups)
        if isinstance(self.sampler_, WeightedSampler):
            sample = _resample(self.sampler_, sample)
        else:
            sample = self._resample_foreign(sample, codes, labels)
        params = inner_fit_params(
            self, self.estimator, {}, sample_weight=sample.weight, groups=sample.groups
        )
        self.estimator_ = clone(self.estimator).fit(sample.X, sample.y, **params)
        return self

    def _check_parts(self) -> None:
        for name, methods in (("sampler", ("fit_resample",)), ("estimator", ("fit", "predict"))):
            part = getattr(self, name)
            if isinstance(part, type) or not all(hasattr(part, method) for method in methods):
                msg = (
                    f"{name}={part!r} must be an object with {' and '.join(methods)}, such as "
                    f"{'WeightedSMOTE()' if name == 'sampler' else 'BDTClassifier()'}"
                )
                raise TypeError(msg)

    def _check_target(self, y: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[Any]]:
        """Class of each event and the classes; all events are one class in regression."""
        return np.zeros(len(y), dtype=np.intp), np.array(["all"])

    def _resample_foreign(
        self, sample: _Sample, codes: NDArray[np.intp], labels: NDArray[Any]
    ) -> _Sample:
        """Resample with a sampler of imbalanced-learn, which knows nothing of weights."""
        sampler = self.sampler_
        X, y = sampler.fit_resample(sample.X, sample.y)
        rows = getattr(sampler, "sample_indices_", None)
        if rows is not None:
            weight = sample.weight
            if weight is not None:
                before = class_sums(codes, labels, weight)
                codes, weight = codes[rows], weight[rows]
                weight = weight * (before / class_sums(codes, labels, weight))[codes]
            groups = None if sample.groups is None else take_rows(sample.groups, rows)
            return _Sample(X, y, weight, groups)
        name = type(sampler).__name__
        if sample.weight is not None:
            msg = (
                f"{name} makes events without weights and does not say from which ones: use "
                "skhep_ml.over_sampling.WeightedSMOTE, or fit without sample_weight"
            )
            raise ValueError(msg)
        if sample.groups is not None and fit_param_path(self.estimator, "groups") is not None:
            msg = (
                f"{name} makes events without identifiers, and {type(self.estimator).__name__} "
                "takes some: use skhep_ml.over_sampling.WeightedSMOTE, or fit without groups"
            )
            raise ValueError(msg)
        return _Sample(X, y, None, None)

    @available_if(_estimator_has("predict"))
    def predict(self, X: Any) -> NDArray[Any]:
        """Predict with the model; nothing is resampled.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_events, n_features)
            Events.

        Returns
        -------
        ndarray of shape (n_events,)
            The model's predictions.
        """
        check_is_fitted(self, "estimator_")
        return self.estimator_.predict(X)

    def get_metadata_routing(self) -> MetadataRouter:
        """Return how metadata is routed to the model.

        Returns
        -------
        MetadataRouter
            Requests of this object and of the model inside.
        """
        mapping = MethodMapping().add(caller="fit", callee="fit")
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(estimator=self.estimator, method_mapping=mapping)
        )

    def __sklearn_tags__(self) -> Tags:
        self._check_parts()
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        sampler = get_tags(self.sampler)
        # in training and prediction; a sampler that drops NaN takes it in training alone
        tags.input_tags.allow_nan = inner.input_tags.allow_nan and sampler.input_tags.allow_nan
        tags.input_tags.three_d_array = inner.input_tags.three_d_array
        tags.non_deterministic = inner.non_deterministic
        return tags


class ResampledClassifier(ClassifierMixin, _Resampled):
    """Classifier that is trained on resampled events, weights included.

    The last step of a Pipeline, or the model of a search: only the training events of each split
    are resampled, with their weights and identifiers; predictions and scores see the events as
    they are.

    Parameters
    ----------
    sampler : sampler
        One of this package, or of imbalanced-learn.
    estimator : estimator
        Classifier, Pipeline or search that is fitted on the resampled events.

    Attributes
    ----------
    sampler_ : sampler
        The sampler that was used.
    estimator_ : estimator
        The fitted model.
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Column names, when fitted on a DataFrame.

    See Also
    --------
    WeightedSMOTE : Sampler of synthetic events.
    skhep_ml.model_selection.RotatingClassifier : Wraps this object to predict all events.

    Notes
    -----
    Samplers of imbalanced-learn know no weights. Without weights they work as they are. With
    weights, one that selects or repeats events (``sample_indices_``) takes their weights along,
    scaled to keep the signed sum of each class; one that makes new events is refused.

    imbalanced-learn's own Pipeline resamples too, but hands the weights of the old events to the
    model.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skhep_ml.over_sampling import ResampledClassifier, WeightedSMOTE
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], [180, 20])
    >>> X = rng.normal(size=(200, 2)) + y[:, None]
    >>> model = ResampledClassifier(WeightedSMOTE(random_state=0), LogisticRegression())
    >>> model.fit(X, y, sample_weight=np.ones(200)).predict_proba(X).shape
    (200, 2)
    """

    def _check_target(self, y: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[Any]]:
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            msg = f"only one class in y: {self.classes_.tolist()}"
            raise ValueError(msg)
        return codes, self.classes_

    @available_if(_estimator_has("predict_proba"))
    def predict_proba(self, X: Any) -> NDArray[np.floating[Any]]:
        """Predict class probabilities.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_events, n_features)
            Events.

        Returns
        -------
        ndarray of shape (n_events, n_classes)
            Probabilities, in the order of ``classes_``; of the resampled mixture of classes, if
            the sampler changed their sums.
        """
        check_is_fitted(self, "estimator_")
        return self.estimator_.predict_proba(X)

    @available_if(_estimator_has("decision_function"))
    def decision_function(self, X: Any) -> NDArray[np.floating[Any]]:
        """Predict decision scores.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_events, n_features)
            Events.

        Returns
        -------
        ndarray of shape (n_events,) or (n_events, n_classes)
            Scores of the model.
        """
        check_is_fitted(self, "estimator_")
        return self.estimator_.decision_function(X)


class ResampledRegressor(RegressorMixin, _Resampled):
    """Regressor that is trained on resampled events, weights included.

    The regression twin of `ResampledClassifier`, for samplers that need no classes: symmetry
    augmentation, smearing, row filters.

    Parameters
    ----------
    sampler : sampler
        One of this package, or of imbalanced-learn, that takes continuous targets.
    estimator : estimator
        Regressor, Pipeline or search that is fitted on the resampled events.

    Attributes
    ----------
    sampler_ : sampler
        The sampler that was used.
    estimator_ : estimator
        The fitted model.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Column names, when fitted on a DataFrame.

    See Also
    --------
    ResampledClassifier : The same for classes, with the rules for weights.

    Examples
    --------
    >>> import numpy as np
    >>> from imblearn import FunctionSampler
    >>> from sklearn.linear_model import LinearRegression
    >>> from skhep_ml.over_sampling import ResampledRegressor
    >>> X = np.arange(10.0)[:, None]
    >>> twice = FunctionSampler(func=lambda X, y: (np.r_[X, -X], np.r_[y, -y]), validate=False)
    >>> model = ResampledRegressor(twice, LinearRegression()).fit(X, 3 * X[:, 0])
    >>> model.predict([[2.0]]).round(6).tolist()
    [6.0]
    """


def _resample(sampler: WeightedSampler, sample: _Sample) -> _Sample:
    given = {"sample_weight": sample.weight, "groups": sample.groups}
    given = {name: value for name, value in given.items() if value is not None}
    X, y, *rest = sampler.fit_resample(sample.X, sample.y, **given)
    returned = dict(zip(given, rest, strict=True))
    return _Sample(X, y, returned.get("sample_weight"), returned.get("groups"))
