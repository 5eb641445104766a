"""Rotating models: one a fold, each event predicted by the one that never saw it."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    MetaEstimatorMixin,
    RegressorMixin,
    clone,
)
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.utils import Tags, _safe_indexing, assert_all_finite, get_tags, indexable
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import (
    _num_samples,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
)

from skhep_ml._compat import index_fit_params
from skhep_ml._hashing import check_no_empty_fold, event_fold
from skhep_ml._identifiers import take_id_columns
from skhep_ml._routing import inner_fit_params
from skhep_ml._validation import check_event_id, check_event_weight
from skhep_ml.exceptions import UnidentifiedEventsWarning
from skhep_ml.model_selection._split import check_n_splits
from skhep_ml.model_selection._validation_fold import check_takes_validation, with_validation


def check_unidentified(unidentified: Any) -> None:
    """Raise a ValueError for an unknown treatment of events without identifiers."""
    if unidentified not in ("raise", "mean"):
        msg = f'unidentified must be "raise" or "mean", got {unidentified!r}'
        raise ValueError(msg)


def training_folds(
    groups: Any, n_events: int, n_splits: int, kind: str, salt: int
) -> tuple[NDArray[np.intp], int]:
    """Fold of every event, none of them empty, and the number of identifier columns."""
    columns = check_event_id(groups, n_events)
    fold = event_fold(np.column_stack(columns), n_splits, kind, salt)
    check_no_empty_fold(fold, n_splits)
    return fold, len(columns)


def prediction_folds(
    model: Any, groups: Any, n_events: int, n_splits: int, kind: str
) -> NDArray[np.intp] | None:
    """Fold of every event for a fitted rotating model; None where all its models answer.

    Raises
    ------
    ValueError
        Identifiers are missing, are not integers, or have another number of columns than in fit.
    """
    if model.n_id_columns_ == 0 or (groups is None and model.unidentified == "mean"):
        return None
    if groups is None:
        msg = (
            f"this {type(model).__name__} was fitted with event identifiers and needs them to "
            "predict: pass groups=, or let them ride in X (id_columns=), or set "
            'unidentified="mean" for events that none of its models saw'
        )
        raise ValueError(msg)
    columns = check_event_id(groups, n_events)
    if len(columns) != model.n_id_columns_:
        msg = (
            f"identifiers have {len(columns)} columns, but {model.n_id_columns_} in fit: use "
            "the same (run, lumi, event) everywhere"
        )
        raise ValueError(msg)
    return event_fold(np.column_stack(columns), n_splits, kind, model.salt)


def by_fold(
    fold: NDArray[np.intp], predict: Callable[[int, NDArray[np.intp]], NDArray[Any]]
) -> NDArray[Any] | None:
    """Join ``predict(fold, rows)`` over the folds, in the order of events; None without events."""
    out: NDArray[Any] | None = None
    for k in np.unique(fold).tolist():
        rows = np.flatnonzero(fold == k)
        part = predict(k, rows)
        if out is None:
            out = np.empty((len(fold), *part.shape[1:]), dtype=part.dtype)
        elif part.dtype != out.dtype:  # string labels of different lengths
            out = out.astype(np.promote_types(out.dtype, part.dtype))
        out[rows] = part
    return out


def _estimator_has(name: str) -> Any:
    def check(self: Any) -> bool:
        fitted = getattr(self, "estimators_", None)
        getattr(self.estimator if fitted is None else fitted[0], name)
        return True

    return check


class _Rotating(MetaEstimatorMixin, BaseEstimator):
    __metadata_request__fit = {"sample_weight": True, "groups": True}
    __metadata_request__predict = {"groups": True}
    __metadata_request__score = {"sample_weight": True, "groups": True}

    def __init__(
        self,
        estimator: Any,
        n_splits: int = 5,
        *,
        id_columns: Any = None,
        salt: int = 0,
        unidentified: str = "raise",
        validation_fold: bool = False,
        n_jobs: int | None = None,
    ) -> None:
        self.estimator = estimator
        self.n_splits = n_splits
        self.id_columns = id_columns
        self.salt = salt
        self.unidentified = unidentified
        self.validation_fold = validation_fold
        self.n_jobs = n_jobs

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        **fit_params: Any,
    ) -> Any:
        """Fit one model a fold, each on the events of all other folds.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features, with the identifiers among them where ``id_columns`` says so; or whatever else
            the model takes: clouds, images, Events.
        y : array-like of shape (n_events,)
            Target.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, handed to the model.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers; also handed to the model where it takes them.
        **fit_params : dict
            More arguments for the model's ``fit``; arrays of length n_events follow the folds.

        Returns
        -------
        self : object
            The fitted model.

        Raises
        ------
        ValueError
            An empty fold, wrong lengths, identifiers that are not integers, a class that is
            missing in a training part, or a model that takes no ``eval_set`` where
            ``validation_fold`` asks for it.
        """
        n_splits = check_n_splits(self.n_splits)
        check_unidentified(self.unidentified)
        if self.validation_fold:
            self._check_validation(n_splits, sample_weight, fit_params)
        if y is None:
            msg = f"{type(self).__name__} requires y to be passed, but the target y is None"
            raise ValueError(msg)
        if self.id_columns is not None:
            X, groups = take_id_columns(X, self.id_columns)
        (X,) = indexable(X)
        target = np.asarray(column_or_1d(y, warn=True))
        if target.dtype.kind == "f":
            assert_all_finite(target, input_name="y")
        target = self._check_target(target)
        check_consistent_length(X, target)
        sample_weight = check_event_weight(sample_weight, len(target))
        if groups is None:
            message = (
                f"{type(self).__name__} was fitted without event identifiers (groups= or "
                "id_columns=): folds follow the row order, and every prediction is the mean of "
                "all models, which saw the training events"
            )
            warnings.warn(message, UnidentifiedEventsWarning, stacklevel=2)
            splitter = (StratifiedKFold if hasattr(self, "classes_") else KFold)(n_splits)
            fold = np.empty(len(target), dtype=np.intp)
            for k, (_, test) in enumerate(splitter.split(np.zeros(len(target)), target)):
                fold[test] = k
            self.n_id_columns_ = 0
        else:
            fold, self.n_id_columns_ = training_folds(
                groups, len(target), n_splits, "rotating", self.salt
            )
        rows = [self._rows_of(fold, k, n_splits) for k in range(n_splits)]
        self._check_training_parts(target, [train for train, _ in rows])
        params = inner_fit_params(
            self, self.estimator, fit_params, sample_weight=sample_weight, groups=groups
        )
        self.estimators_ = Parallel(n_jobs=self.n_jobs)(
            delayed(self._fit_one)(self.estimator, X, target, sample_weight, parts, params)
            for parts in rows
        )
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.estimators_[0], name):
                setattr(self, name, getattr(self.estimators_[0], name))
        return self

    def _fit_one(
        self,
        estimator: Any,
        X: Any,
        y: NDArray[Any],
        weight: NDArray[np.float64] | None,
        rows: tuple[NDArray[np.intp], NDArray[np.intp] | None],
        params: dict[str, Any],
    ) -> Any:
        """Fit a clone on the first ``rows``; the second, if any, are its validation events."""
        train, held = rows
        given = index_fit_params(X, params, indices=train)
        if held is None:
            model = clone(estimator)
        else:
            model = with_validation(estimator)
            given["eval_set"] = [(_safe_indexing(X, held), y[held])]
            if weight is not None:
                given["sample_weight_eval_set"] = [weight[held]]
        return model.fit(_safe_indexing(X, train), y[train], **given)

    def _check_validation(
        self, n_splits: int, sample_weight: Any, fit_params: dict[str, Any]
    ) -> None:
        if n_splits < 3:
            msg = (
                f"validation_fold=True with n_splits={n_splits} leaves nothing to train on: each "
                "model has a test fold and a validation fold; use at least 3"
            )
            raise ValueError(msg)
        given = [name for name in fit_params if name.split("__")[-1].endswith("eval_set")]
        if given:
            msg = f"fit was given {given}, but validation_fold=True makes it: leave one of them out"
            raise ValueError(msg)
        check_takes_validation(self.estimator, weighted=sample_weight is not None)

    def _rows_of(
        self, fold: NDArray[np.intp], k: int, n_splits: int
    ) -> tuple[NDArray[np.intp], NDArray[np.intp] | None]:
        """Events that model k trains on, and those that it stops early on."""
        if not self.validation_fold:
            return np.flatnonzero(fold != k), None
        held = fold == (k + 1) % n_splits
        return np.flatnonzero((fold != k) & ~held), np.flatnonzero(held)

    def _check_target(self, y: NDArray[Any]) -> NDArray[Any]:
        return y

    def _check_training_parts(self, y: NDArray[Any], rows: list[NDArray[np.intp]]) -> None:
        """Hook for classifiers: each training part needs all classes."""

    def _by_fold(self, method: str, X: Any, groups: Any) -> NDArray[Any] | list[NDArray[Any]]:
        """Predict each event by the model of its fold; a list of all models' answers if unknown."""
        check_is_fitted(self, "estimators_")
        if self.id_columns is not None:
            X, groups = take_id_columns(X, self.id_columns)
        (X,) = indexable(X)
        fold = prediction_folds(self, groups, _num_samples(X), len(self.estimators_), "rotating")
        if fold is None:
            return [getattr(model, method)(X) for model in self.estimators_]

        def predict(k: int, rows: NDArray[np.intp]) -> NDArray[Any]:
            return np.asarray(getattr(self.estimators_[k], method)(_safe_indexing(X, rows)))

        out = by_fold(fold, predict)
        if out is None:  # no events: let a model say so in its own words
            return [getattr(self.estimators_[0], method)(X)]
        return out

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
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.input_tags.allow_nan = inner.input_tags.allow_nan
        tags.input_tags.sparse = inner.input_tags.sparse
        tags.input_tags.three_d_array = inner.input_tags.three_d_array
        tags.non_deterministic = inner.non_deterministic
        return tags


class RotatingClassifier(ClassifierMixin, _Rotating):
    """Classifier that predicts each event with the model that never saw it.

    Events fall into ``n_splits`` folds by a hash of their identifiers. Model k is trained on all
    other folds and predicts fold k, so that the whole simulation keeps its statistics and no
    training event is ever predicted by its own model. Recorded and new events take the model of
    their own fold, as simulation does. The prediction of an event depends on neither row order,
    chunk nor subset.

    Parameters
    ----------
    estimator : estimator
        Classifier to clone for every fold: a model, a Pipeline, or a search.
    n_splits : int, default=5
        Number of folds and models.
    id_columns : str, int or sequence of them, default=None
        Integer columns of X that identify events; the model does not see them. They survive scorers
        and displays, which know nothing of ``groups``.
    salt : int, default=0
        Another salt gives independent folds.
    unidentified : {"raise", "mean"}, default="raise"
        What to do where a model fitted with identifiers is asked to predict without: refuse, or
        average all models. The mean is unbiased for events that no model saw, such as the held-out
        rows of a search around this object.
    validation_fold : bool, default=False
        Rotate a validation fold too: model k is tested on fold k, is given fold k + 1 (the first
        after the last) as ``eval_set`` for its early stopping, and trains on the rest. For models
        that take one, also as last step of a Pipeline or inside a search.
    n_jobs : int, default=None
        Folds fitted in parallel.

    Attributes
    ----------
    estimators_ : list of estimators
        ``estimators_[k]`` never saw the events of fold k.
    n_id_columns_ : int
        Number of identifier columns; 0 if fitted without.
    classes_ : ndarray of shape (n_classes,)
        Class labels.

    See Also
    --------
    fold_scores : Out-of-fold scores, a fold and pooled, with errors.
    fold_learning_curves : Loss against trees or epochs in every fold.
    EventNumberKFold : The splitter for `cross_validate` and searches.

    Notes
    -----
    ``fold = ((h >> 32) * n_splits) >> 32``, h the `event_hash` with a salt of its own kind.
    Without identifiers the folds follow the rows (stratified), a warning says so, and predictions
    are always the mean of all models.

    With a validation fold the early steps of a Pipeline are fitted on training events alone, and
    the validation events pass through them. A model whose early stopping is off trains to its end
    and only records its loss on them. Without a validation fold, models that stop early hold out a
    share of their training events by identifier.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skhep_ml.model_selection import RotatingClassifier
    >>> rng = np.random.default_rng(0)
    >>> X, y, event = rng.normal(size=(200, 2)), rng.integers(2, size=200), np.arange(200)
    >>> model = RotatingClassifier(LogisticRegression(), n_splits=3).fit(X, y, groups=event)
    >>> model.predict_proba(X, groups=event).shape
    (200, 2)
    """

    __metadata_request__predict_proba = {"groups": True}
    __metadata_request__decision_function = {"groups": True}

    def _check_target(self, y: NDArray[Any]) -> NDArray[Any]:
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        if len(self.classes_) < 2:
            msg = f"only one class in y: {self.classes_.tolist()}"
            raise ValueError(msg)
        return y

    def _check_training_parts(self, y: NDArray[Any], rows: list[NDArray[np.intp]]) -> None:
        for k, index in enumerate(rows):
            missing = np.setdiff1d(self.classes_, y[index])
            if len(missing):
                held = f"s {k} and {(k + 1) % len(rows)}" if self.validation_fold else f" {k}"
                msg = (
                    f"class {missing[0]!r} has no events outside fold{held}: use fewer folds or "
                    "another salt"
                )
                raise ValueError(msg)

    def predict(self, X: Any, groups: ArrayLike | None = None) -> NDArray[Any]:
        """Predict class labels.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers.

        Returns
        -------
        ndarray of shape (n_events,)
            Labels.
        """
        check_is_fitted(self, "estimators_")
        labels = self._by_fold("predict", X, groups)
        if isinstance(labels, np.ndarray):
            return labels
        for method in ("predict_proba", "decision_function"):
            if hasattr(self.estimators_[0], method):
                score = np.mean(self._by_fold(method, X, groups), axis=0)
                index = (score > 0).astype(int) if score.ndim == 1 else score.argmax(axis=1)
                return self.classes_[index]
        votes = np.stack([np.stack(labels) == label for label in self.classes_]).sum(axis=1)
        return self.classes_[votes.argmax(axis=0)]

    @available_if(_estimator_has("predict_proba"))
    def predict_proba(self, X: Any, groups: ArrayLike | None = None) -> NDArray[np.floating]:
        """Predict class probabilities.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers.

        Returns
        -------
        ndarray of shape (n_events, n_classes)
            Probabilities, in the order of ``classes_``.
        """
        return _mean(self._by_fold("predict_proba", X, groups))

    @available_if(_estimator_has("decision_function"))
    def decision_function(self, X: Any, groups: ArrayLike | None = None) -> NDArray[np.floating]:
        """Predict decision scores.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers.

        Returns
        -------
        ndarray of shape (n_events,) or (n_events, n_classes)
            Scores of the models; where they are averaged, the log odds (log probabilities for more
            classes) of the mean probability if there is one.
        """
        score = self._by_fold("decision_function", X, groups)
        if isinstance(score, list) and hasattr(self.estimators_[0], "predict_proba"):
            p = np.maximum(self.predict_proba(X, groups), np.finfo(np.float64).tiny)
            return np.log(p) if score[0].ndim == 2 else np.log(p[:, 1]) - np.log(p[:, 0])
        return _mean(score)

    def score(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> float:
        """Weighted accuracy.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features.
        y : array-like of shape (n_events,)
            True labels.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers.

        Returns
        -------
        float
            Weight fraction of correctly classified events.
        """
        return float(accuracy_score(y, self.predict(X, groups), sample_weight=sample_weight))


class RotatingRegressor(RegressorMixin, _Rotating):
    """Regressor that predicts each event with the model that never saw it.

    The regression twin of `RotatingClassifier`: same folds, same rules for identifiers.

    Parameters
    ----------
    estimator : estimator
        Regressor to clone for every fold: a model, a Pipeline, or a search.
    n_splits : int, default=5
        Number of folds and models.
    id_columns : str, int or sequence of them, default=None
        Integer columns of X that identify events; the model does not see them. They survive scorers
        and displays, which know nothing of ``groups``.
    salt : int, default=0
        Another salt gives independent folds.
    unidentified : {"raise", "mean"}, default="raise"
        What to do where a model fitted with identifiers is asked to predict without: refuse, or
        average all models. The mean is unbiased for events that no model saw, such as the held-out
        rows of a search around this object.
    validation_fold : bool, default=False
        Rotate a validation fold too: model k is tested on fold k, is given fold k + 1 (the first
        after the last) as ``eval_set`` for its early stopping, and trains on the rest. For models
        that take one, also as last step of a Pipeline or inside a search.
    n_jobs : int, default=None
        Folds fitted in parallel.

    Attributes
    ----------
    estimators_ : list of estimators
        ``estimators_[k]`` never saw the events of fold k.
    n_id_columns_ : int
        Number of identifier columns; 0 if fitted without.

    See Also
    --------
    RotatingClassifier : The same for classifiers.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from skhep_ml.model_selection import RotatingRegressor
    >>> X, event = np.arange(100.0).reshape(-1, 1), np.arange(100)
    >>> model = RotatingRegressor(Ridge()).fit(X, 2 * X[:, 0], groups=event)
    >>> model.predict(X, groups=event).shape
    (100,)
    """

    def predict(self, X: Any, groups: ArrayLike | None = None) -> NDArray[np.floating]:
        """Predict the target.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers.

        Returns
        -------
        ndarray of shape (n_events,)
            Predictions.
        """
        return _mean(self._by_fold("predict", X, groups))

    def score(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> float:
        """Coefficient of determination R^2.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features.
        y : array-like of shape (n_events,)
            True values.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers.

        Returns
        -------
        float
            R^2, at most 1.
        """
        return float(r2_score(y, self.predict(X, groups), sample_weight=sample_weight))


def event_folds(model: Any, X: Any, groups: Any = None) -> NDArray[np.intp]:
    """Fold of every event, by which a fitted rotating model chooses its model.

    Raises
    ------
    ValueError
        Missing or wrong identifiers, or a model that was fitted without.
    """
    check_is_fitted(model, "estimators_")
    if model.id_columns is not None:
        X, groups = take_id_columns(X, model.id_columns)
    fold = prediction_folds(model, groups, _num_samples(X), len(model.estimators_), "rotating")
    if fold is None:
        reason = "was fitted without" if model.n_id_columns_ == 0 else "is asked without"
        msg = (
            f"this {type(model).__name__} {reason} event identifiers, so it is not known which of "
            "its models has not seen an event: pass groups= to fit and here"
        )
        raise ValueError(msg)
    return fold


def _mean(prediction: NDArray[Any] | list[NDArray[Any]]) -> NDArray[Any]:
    if isinstance(prediction, list):
        return np.mean(prediction, axis=0)
    return prediction
