"""Reweighting of each event by a model that never saw it, by event identifiers."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin
from sklearn.utils import Tags, get_tags
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _num_samples, check_is_fitted

from skhep_ml._identifiers import take_id_columns
from skhep_ml.exceptions import UnidentifiedEventsWarning
from skhep_ml.model_selection._rotating import (
    check_unidentified,
    prediction_folds,
    training_folds,
)
from skhep_ml.model_selection._split import check_n_splits
from skhep_ml.reweighting._base import as_columns, weights_before
from skhep_ml.reweighting._folds import (
    KIND,
    check_reweighter,
    fit_folds,
    fold_normalization,
    fold_ratio,
)


def _has_replicas(self: Any) -> bool:
    fitted = getattr(self, "reweighters_", None)
    getattr(self.reweighter if fitted is None else fitted[0], "replica_weights")  # noqa: B009
    return True


class RotatingReweighter(MetaEstimatorMixin, BaseEstimator):
    """Reweighter that weights each event with a model that never saw it.

    Events of the original fall into ``n_splits`` folds by a hash of their identifiers; model k is
    trained on all other folds and weights fold k. The whole simulation keeps its statistics, and no
    weight follows the fluctuations of its own event. New events take the model of their own fold.
    The weight of an event depends on neither row order, chunk nor subset.

    Parameters
    ----------
    reweighter : reweighter
        Reweighter to clone for every fold.
    n_splits : int, default=2
        Number of folds and models.
    id_columns : str, int or sequence of them, default=None
        Integer columns of both samples that identify events; the reweighter does not see them.
    salt : int, default=0
        Another salt gives independent folds.
    unidentified : {"raise", "mean"}, default="raise"
        What to do where a model fitted with identifiers is asked for weights without: refuse, or
        average all models. The mean is unbiased for events that no model saw.
    n_jobs : int, default=None
        Folds fitted in parallel.

    Attributes
    ----------
    reweighters_ : list of reweighters
        ``reweighters_[k]`` never saw the events of fold k.
    normalization_ : ndarray of shape (n_models,)
        Factor on the ratio of each of them.
    n_id_columns_ : int
        Number of identifier columns; 0 if fitted without.
    n_features_in_ : int
        Number of features, where the reweighter knows it.
    feature_names_in_ : ndarray of str
        Their names, if ``original`` was a DataFrame.

    See Also
    --------
    FoldingReweighter : Folds by the content of events, with the interface of ``hep_ml``.
    skhep_ml.model_selection.RotatingClassifier : The same for classifiers.

    Notes
    -----
    ``fold = ((h >> 32) * n_splits) >> 32``, h the `event_hash` with a salt of its own kind. With
    ``target_groups`` (or ``id_columns``) the target is split in the same way, which a comparison of
    the reweighted original with the very same target needs: fold by fold, neither side was seen.
    Otherwise all models see the whole target, which makes the weights no worse.

    A reweighter's ``normalize`` applies to the whole: the events of each fold get the sum they
    should have under the model that did not see them. Normalised on its own training events, a
    model would be too large on others.

    Fitted without identifiers, the folds follow the rows, a warning says so, and weights are always
    the mean of all models.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.reweighting import GBReweighter, RotatingReweighter
    >>> rng = np.random.default_rng(0)
    >>> simulation, data = rng.normal(size=(2000, 2)), rng.normal(0.2, size=(2000, 2))
    >>> event = np.arange(2000)
    >>> model = RotatingReweighter(GBReweighter(device="cpu"))
    >>> model.fit(simulation, data, groups=event).predict_weights(simulation, groups=event).shape
    (2000,)
    """

    # original and target are data, which scikit-learn would take for metadata by their names
    __metadata_request__fit = {
        "original": UNUSED,
        "target": UNUSED,
        "original_weight": True,
        "target_weight": True,
        "groups": True,
        "target_groups": True,
    }

    def __init__(
        self,
        reweighter: Any,
        n_splits: int = 2,
        *,
        id_columns: Any = None,
        salt: int = 0,
        unidentified: str = "raise",
        n_jobs: int | None = None,
    ) -> None:
        self.reweighter = reweighter
        self.n_splits = n_splits
        self.id_columns = id_columns
        self.salt = salt
        self.unidentified = unidentified
        self.n_jobs = n_jobs

    def fit(
        self,
        original: Any,
        target: Any,
        original_weight: ArrayLike | None = None,
        target_weight: ArrayLike | None = None,
        *,
        groups: Any = None,
        target_groups: Any = None,
    ) -> Self:
        """Fit one reweighter a fold, each on the events of all other folds.

        Parameters
        ----------
        original : array-like of shape (n_original, n_features) or (n_original,)
            Events to reweight, with the identifiers among them where ``id_columns`` says so.
        target : array-like of shape (n_target, n_features) or (n_target,)
            Events to imitate, with the same columns.
        original_weight : array-like of shape (n_original,), default=None
            Event weights, handed to the reweighter.
        target_weight : array-like of shape (n_target,), default=None
            Event weights, handed to the reweighter.
        groups : array-like of int, shape (n_original,) or (n_original, k), default=None
            Identifiers of the original's events; also handed to a reweighter that takes them.
        target_groups : array-like of int, shape (n_target,) or (n_target, k), default=None
            Identifiers of the target's events; None lets all models see the whole target.

        Returns
        -------
        self : RotatingReweighter
            The fitted model.

        Raises
        ------
        TypeError
            ``reweighter`` is none.
        ValueError
            An empty fold, wrong lengths, identifiers that are not integers, or what the reweighter
            refuses.

        Warns
        -----
        UnidentifiedEventsWarning
            Neither ``groups`` nor ``id_columns``.
        """
        check_reweighter(self.reweighter)
        n_splits = check_n_splits(self.n_splits)
        check_unidentified(self.unidentified)
        if self.id_columns is not None:
            original, groups = take_id_columns(original, self.id_columns)
            target, target_groups = take_id_columns(target, self.id_columns)
        original, target = as_columns(original), as_columns(target)
        lengths = _num_samples(original), _num_samples(target)
        if groups is None:
            message = (
                f"{type(self).__name__} was fitted without event identifiers (groups= or "
                "id_columns=): folds follow the row order, and all weights are the mean of all "
                "models, which saw the training events; FoldingReweighter makes folds of what "
                "events contain"
            )
            warnings.warn(message, UnidentifiedEventsWarning, stacklevel=2)
            fold = np.arange(lengths[0]) % n_splits
            self.n_id_columns_ = 0
        else:
            fold, self.n_id_columns_ = training_folds(groups, lengths[0], n_splits, KIND, self.salt)
        if target_groups is None:
            target_fold = np.full(lengths[1], -1)
        else:
            target_fold, _ = training_folds(target_groups, lengths[1], n_splits, KIND, self.salt)
        self.reweighters_ = fit_folds(
            self.reweighter,
            (original, target),
            (original_weight, target_weight),
            (fold, target_fold),
            n_splits,
            groups=(groups, target_groups),
            n_jobs=self.n_jobs,
        )
        self.normalization_ = fold_normalization(
            self.reweighters_, original, (original_weight, target_weight), fold, lengths[1]
        )
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.reweighters_[0], name):
                setattr(self, name, getattr(self.reweighters_[0], name))
        return self

    def predict_weights(
        self,
        original: Any,
        original_weight: ArrayLike | None = None,
        *,
        groups: Any = None,
        return_std: bool = False,
    ) -> Any:
        """Weights under which the events look like the target.

        Parameters
        ----------
        original : array-like of shape (n_events, n_features) or (n_events,)
            Events, with the identifiers among them where ``id_columns`` says so.
        original_weight : array-like of shape (n_events,), default=None
            Weights before, of any sign; None means 1.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers.
        return_std : bool, default=False
            Return the standard deviation over the reweighter's replicas too.

        Returns
        -------
        weights : ndarray of shape (n_events,)
            ``original_weight`` times the ratio from the model of each event's fold.
        std : ndarray of shape (n_events,)
            Statistical uncertainty; only with ``return_std=True``.

        Raises
        ------
        ValueError
            Missing or wrong identifiers, columns other than in fit, weights of wrong length, or
            ``return_std`` without replicas.
        """
        if not return_std:
            ratio, weight = self._weighted(
                original, original_weight, groups, lambda model, X: model.predict_weights(X)
            )
            return weight * ratio
        if self._averages(groups):
            replicas = self.replica_weights(original, original_weight, groups=groups)
            weights = self.predict_weights(original, original_weight, groups=groups)
            return weights, replicas.std(axis=0, ddof=1)
        ratio, weight = self._weighted(
            original,
            original_weight,
            groups,
            lambda model, X: np.column_stack(model.predict_weights(X, return_std=True)),
        )
        return weight * ratio[:, 0], np.abs(weight) * ratio[:, 1]

    @available_if(_has_replicas)
    def replica_weights(
        self, original: Any, original_weight: ArrayLike | None = None, *, groups: Any = None
    ) -> NDArray[np.float64]:
        """Weights of every bootstrap replica, for uncertainties of whatever is made with them.

        Parameters
        ----------
        original : array-like of shape (n_events, n_features) or (n_events,)
            Events, with the identifiers among them where ``id_columns`` says so.
        original_weight : array-like of shape (n_events,), default=None
            Weights before, of any sign; None means 1.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers.

        Returns
        -------
        ndarray of shape (n_replicas, n_events)
            One set of weights a replica; replica j of each fold's model.

        Raises
        ------
        ValueError
            As for `predict_weights`, or no replicas.
        """
        ratio, weight = self._weighted(
            original, original_weight, groups, lambda model, X: model.replica_weights(X).T
        )
        return weight * ratio.T

    def _averages(self, groups: Any) -> bool:
        check_is_fitted(self)
        known = groups is not None or self.id_columns is not None
        return self.n_id_columns_ == 0 or not known

    def _weighted(
        self,
        original: Any,
        original_weight: ArrayLike | None,
        groups: Any,
        ratio_of: Callable[[Any, Any], NDArray[np.float64]],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Ratios by fold, or their mean, and the weights before."""
        check_is_fitted(self)
        if self.id_columns is not None:
            original, groups = take_id_columns(original, self.id_columns)
        original = as_columns(original)
        n_events = _num_samples(original)
        fold = prediction_folds(self, groups, n_events, len(self.reweighters_), KIND)
        weight = weights_before(original_weight, n_events)
        return fold_ratio(self, original, fold, ratio_of), weight

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.allow_nan = get_tags(self.reweighter).input_tags.allow_nan
        return tags
