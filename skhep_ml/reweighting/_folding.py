"""Reweighting of each event by a model that never saw it, by the content of events."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import MetaEstimatorMixin
from sklearn.utils import Tags, check_random_state, get_tags
from sklearn.utils.validation import check_is_fitted

from skhep_ml._hashing import content_identifiers, event_fold, event_hash, mostly_repeated
from skhep_ml.exceptions import UnidentifiedEventsWarning
from skhep_ml.model_selection._rotating import training_folds
from skhep_ml.model_selection._split import check_n_splits
from skhep_ml.reweighting._base import TwoSampleEstimator, as_columns, weights_before
from skhep_ml.reweighting._folds import (
    KIND,
    check_reweighter,
    fit_folds,
    fold_normalization,
    fold_ratio,
)


class FoldingReweighter(MetaEstimatorMixin, TwoSampleEstimator):
    """Reweighter in folds with the interface of ``hep_ml``, for events without identifiers.

    Each event is weighted by a model that never saw it. ``hep_ml`` recognises events by their row
    number, so that reordered or selected events silently meet the model that was trained on them;
    here they are recognised by what they contain. A script written for ``hep_ml`` changes its
    import only. Where there are event numbers, `RotatingReweighter` is better: folds then survive
    recalibration, and variations of an event share its fold.

    Parameters
    ----------
    base_reweighter : reweighter
        Reweighter to clone for every fold.
    n_folds : int, default=2
        Number of folds and models.
    random_state : int, RandomState instance or None, default=None
        Seed of the folds; None always gives the same ones.
    verbose : bool, default=True
        Print which way weights are predicted.

    Attributes
    ----------
    reweighters_ : list of reweighters
        ``reweighters_[k]`` never saw the events of fold k.
    normalization_ : ndarray of shape (n_models,)
        Factor on the ratio of each of them.
    salt_ : int
        Salt of the folds, from ``random_state``.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of str
        Their names, if ``original`` was a DataFrame.

    See Also
    --------
    RotatingReweighter : Folds by event identifiers.

    Notes
    -----
    An event's fold is a hash of its features in single precision, so that a float32 copy of a
    sample has the same folds. Equal events share a fold, and an event with one feature changed
    falls into another one at random: leave out no feature between fit and prediction. Events that
    no model saw get the model of their own fold. The normalisation is that of `RotatingReweighter`.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.reweighting import FoldingReweighter, GBReweighter
    >>> rng = np.random.default_rng(0)
    >>> simulation, data = rng.normal(size=(2000, 2)), rng.normal(0.2, size=(2000, 2))
    >>> model = FoldingReweighter(GBReweighter(device="cpu"), verbose=False).fit(simulation, data)
    >>> weights = model.predict_weights(simulation)
    >>> np.array_equal(model.predict_weights(simulation[::-1]), weights[::-1])
    True
    """

    # the reweighter inside decides
    _allow_nan = True

    def __init__(
        self,
        base_reweighter: Any,
        n_folds: int = 2,
        random_state: Any = None,
        verbose: bool = True,
    ) -> None:
        self.base_reweighter = base_reweighter
        self.n_folds = n_folds
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self,
        original: Any,
        target: Any,
        original_weight: ArrayLike | None = None,
        target_weight: ArrayLike | None = None,
    ) -> Self:
        """Fit one reweighter a fold, each on the events of all other folds.

        Parameters
        ----------
        original : array-like of shape (n_original, n_features) or (n_original,)
            Events to reweight.
        target : array-like of shape (n_target, n_features) or (n_target,)
            Events to imitate, split in the same way.
        original_weight : array-like of shape (n_original,), default=None
            Event weights, handed to the reweighter.
        target_weight : array-like of shape (n_target,), default=None
            Event weights, handed to the reweighter.

        Returns
        -------
        self : FoldingReweighter
            The fitted model.

        Raises
        ------
        TypeError
            ``base_reweighter`` is no reweighter.
        ValueError
            An empty fold, or what the reweighter refuses.

        Warns
        -----
        UnidentifiedEventsWarning
            Most events equal others in all features: their content does not tell them apart.
        """
        check_reweighter(self.base_reweighter)
        n_folds = check_n_splits(self.n_folds)
        samples = self._check_samples(original, target, original_weight, target_weight)
        random = self.random_state
        self.salt_ = 0 if random is None else int(check_random_state(random).randint(2**31 - 1))
        original, target = as_columns(original), as_columns(target)
        folds = []
        for name, table in zip(("original", "target"), samples[:2], strict=True):
            content = content_identifiers(table)
            fold, _ = training_folds(content, len(table), n_folds, KIND, self.salt_)
            folds.append(fold)
            if mostly_repeated(np.unique(event_hash(content), return_counts=True)[1]):
                message = (
                    f"more than half of the events of {name} equal another one in all features: "
                    "folds by content hold values of their own, and a model knows nothing of "
                    "those in its own fold; use RotatingReweighter with event identifiers"
                )
                warnings.warn(message, UnidentifiedEventsWarning, stacklevel=2)
        self.reweighters_ = fit_folds(
            self.base_reweighter,
            (original, target),
            (original_weight, target_weight),
            (folds[0], folds[1]),
            n_folds,
        )
        self.normalization_ = fold_normalization(
            self.reweighters_,
            original,
            (original_weight, target_weight),
            folds[0],
            len(samples.target),
        )
        return self

    def predict_weights(
        self,
        original: Any,
        original_weight: ArrayLike | None = None,
        vote_function: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = None,
    ) -> NDArray[np.float64]:
        """Weights under which the events look like the target.

        Parameters
        ----------
        original : array-like of shape (n_events, n_features) or (n_events,)
            Events, in any order and number.
        original_weight : array-like of shape (n_events,), default=None
            Weights before, of any sign; None means 1.
        vote_function : callable, default=None
            Function that joins the weights of all models, shape (n_folds, n_events), such as
            ``lambda w: numpy.mean(w, axis=0)``: for events that no model saw.

        Returns
        -------
        ndarray of shape (n_events,)
            Weights from the model of each event's fold, or what ``vote_function`` returns.

        Raises
        ------
        ValueError
            Columns other than in fit, or weights of wrong length.
        """
        check_is_fitted(self)
        table = self._table(original)
        weight = weights_before(original_weight, len(table))
        original = as_columns(original)
        if vote_function is not None:
            if self.verbose:
                print("weights by a vote of all folds' reweighters")
            pairs = zip(self.reweighters_, self.normalization_, strict=True)
            votes = [weight * factor * model.predict_weights(original) for model, factor in pairs]
            return vote_function(np.stack(votes))
        if self.verbose:
            print("weights by the reweighter of each event's fold, found by its content")
        fold = event_fold(content_identifiers(table), len(self.reweighters_), KIND, self.salt_)
        return weight * fold_ratio(self, original, fold, lambda model, X: model.predict_weights(X))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = get_tags(self.base_reweighter).input_tags.allow_nan
        return tags
