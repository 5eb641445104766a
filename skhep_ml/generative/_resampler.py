"""Positive weights from signed ones, with the mean and the statistical error of every region."""

from __future__ import annotations

import numbers
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from skhep_ml._frames import take_rows
from skhep_ml._masks import unmasked
from skhep_ml._two_sample import cross_fit_folds, default_classifier, row_identifiers
from skhep_ml._validation import check_event_id
from skhep_ml.model_selection import event_hash
from skhep_ml.model_selection._split import check_n_splits
from skhep_ml.over_sampling._base import Resampling, WeightedSampler
from skhep_ml.reweighting._ratio import Ratio, Sample, fit_ratio
from skhep_ml.weights._base import class_sums
from skhep_ml.weights._refine import _project, _significantly_better

#: Events of either sign for each fold, from which a classifier can learn where they are.
_LEAST = 10


class NeuralResampler(WeightedSampler):
    r"""Turn signed or uneven weights into positive ones and keep their statistical errors.

    Fewer events are kept, each with a larger weight, so that in every region the expected sum of
    weights *and* of squared weights stays what it was. The result can be used wherever negative
    weights cannot, in evaluation too.

    Parameters
    ----------
    estimator : classifier, default=None
        Any classifier with ``predict_proba`` that takes ``sample_weight`` in fit; it learns the
        mean weight. None is a `BDTClassifier` that is stopped early.
    second_moment : classifier, default=None
        The same for the mean squared weight; None takes a clone of ``estimator``.
    n_splits : int, default=5
        Folds of the cross-fit: each event is judged by classifiers that did not see it. They learn
        from all others, so that more folds mean sharper classifiers.
    clip : float, default=0.001
        Probabilities are kept between ``clip`` and ``1 - clip``.
    n_jobs : int, default=None
        Threads of the default classifier; None takes all.
    random_state : int, RandomState instance or None, default=None
        Seed of the draw and of the default classifier.

    Attributes
    ----------
    keep_probability_ : ndarray of shape (n_events,)
        Probability with which each event of the input was kept.
    new_weight_ : ndarray of shape (n_events,)
        Weight that it has, or would have had, after.
    sample_indices_ : ndarray of shape (n_kept,)
        Rows of the input that were kept.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of str
        Their names, if X was a DataFrame.

    See Also
    --------
    GenerativeUnweighter : Events of equal weight from a generative model.
    skhep_ml.weights.apply_negative_weights : Weights for training only.

    Notes
    -----
    With :math:`W(x) = E[w|x]` and :math:`V(x) = E[w^2|x]` of a class, an event is kept with
    probability :math:`W^2 / V \le 1` and has the weight :math:`V / W`. Then
    :math:`E[w'|x] = W` and :math:`E[w'^2|x] = V`, the variance of a sum of weights. Where W is
    small, that is few events of large weight: the errors of cancellations stay visible, which
    weights such as :math:`|w|\,(2g - 1)` of ``"refine"`` hide.

    Both are learned from weights that are never negative. :math:`E[|w| | x]` and V are ratios of
    the sample weighted with abs(w), or w squared, to the same sample counted, and constants where
    abs(w) is one; :math:`W = E[|w| | x] (1 - q)/(1 + q)` with q(x) the ratio of negative to
    positive events, a constant where there are fewer than ten of either for each fold, or
    unless the classifier does better by three standard errors on events it did not see. W is
    shifted and clipped so that it is nowhere negative and the sum of each class is kept. The
    sums after differ by the fluctuation of the draw, which is part of the statistical error.
    Events of weight 0 are dropped. A classifier too smooth for the region where weights cancel
    moves weight into it, by a few standard deviations in large samples: compare sums of regions
    with those of the signed weights, and take a classifier that fits the sample.

    References
    ----------
    B. Nachman, J. Thaler, Neural resampler for Monte Carlo reweighting with preserved
    uncertainties, arXiv:2007.11586. There a network is trained on the signed weights directly.

    Examples
    --------
    >>> from skhep_ml.datasets import make_signed_events
    >>> from skhep_ml.generative import NeuralResampler
    >>> events = make_signed_events(4000, 0.2, random_state=0)
    >>> resampler = NeuralResampler(n_jobs=1, random_state=0)
    >>> X, y, weight = resampler.fit_resample(
    ...     events.data, events.target, sample_weight=events.weight)
    >>> bool((weight > 0).all()), len(X) < len(events.data)
    (True, True)
    """

    _needs_classes: ClassVar[bool] = True

    def __init__(
        self,
        estimator: Any = None,
        second_moment: Any = None,
        *,
        n_splits: int = 5,
        clip: float = 0.001,
        n_jobs: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.second_moment = second_moment
        self.n_splits = n_splits
        self.clip = clip
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit_resample(
        self,
        X: Any,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> tuple[Any, ...]:
        """Resample a data set.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_events, n_features)
            Events; clouds where the classifiers take them.
        y : array-like of shape (n_events,), default=None
            Classes, each of which is resampled on its own; None for a single one.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights of any sign; None keeps all events.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers: variations of an event share a fold. None goes by content.

        Returns
        -------
        X_resampled : array-like or DataFrame
            The events that were kept, in the type of X.
        y_resampled : array-like or None
            Their classes, in the type of y.
        sample_weight_resampled : ndarray of shape (n_kept,)
            Their weights, all positive; only if weights were given.
        groups_resampled : array-like
            Their identifiers; only if identifiers were given.

        Raises
        ------
        ValueError
            A class whose weights do not sum to a positive number, wrong lengths or parameters.
        """
        self._check_params()
        given = np.zeros(len(X), dtype=np.intp) if y is None else y
        table, labels, weight = self._check(X, given, sample_weight, groups)
        result = self._resample(table, labels, weight, groups)
        self.sample_indices_ = result.parents
        rows: list[Any] = [result.X.tolist() if isinstance(X, list) else result.X]
        for values in (y, groups):
            if values is not None and not isinstance(values, list) and not hasattr(values, "iloc"):
                values = np.asarray(values)
            rows.append(None if values is None else take_rows(values, result.parents))
        out = [rows[0], rows[1]]
        if sample_weight is not None:
            out.append(result.weight)
        if groups is not None:
            out.append(rows[2])
        return tuple(out)

    def _resample(
        self, X: Any, labels: NDArray[Any], weight: NDArray[np.float64] | None, groups: Any
    ) -> Resampling:
        """Keep some events with new weights; with equal weights all of them with their own."""
        n_events = len(labels)
        self.keep_probability_ = np.ones(n_events)
        self.new_weight_ = np.ones(n_events) if weight is None else weight.copy()
        if weight is None:
            return Resampling(X, np.arange(n_events), None)
        rng = check_random_state(self.random_state)
        seed = int(rng.randint(2**31 - 1))
        classes, codes = np.unique(labels, return_inverse=True)
        class_sums(codes, classes, weight)
        array = np.asarray(unmasked(X.to_numpy() if hasattr(X, "get_columns") else X))
        array = array if array.dtype.kind == "f" else array.astype(np.float64)
        identifiers = (
            row_identifiers(array.reshape(n_events, -1))
            if groups is None
            else np.column_stack(check_event_id(groups, n_events))
        )
        event = event_hash(identifiers)
        for k in range(len(classes)):
            rows = np.flatnonzero((codes == k) & (weight != 0))
            if np.ptp(weight[rows]) == 0:
                continue
            mean, square = self._moments(array[rows], weight[rows], event[rows], seed)
            self.keep_probability_[rows] = mean**2 / square
            self.new_weight_[rows] = square / np.where(mean > 0, mean, np.inf)
        self.keep_probability_[weight == 0] = 0.0
        kept = np.flatnonzero(rng.uniform(size=n_events) < self.keep_probability_)
        return Resampling(take_rows(X, kept), kept, self.new_weight_[kept])

    def _moments(
        self,
        X: NDArray[Any],
        weight: NDArray[np.float64],
        event: NDArray[np.uint64],
        seed: int,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean of w >= 0 and of w^2 >= its square, at each event of one class."""
        first = self.estimator
        if first is None:
            first = default_classifier(seed, n_jobs=self.n_jobs)
        second = first if self.second_moment is None else self.second_moment
        fold = cross_fit_folds(X.reshape(len(X), -1), self.n_splits, "refine", groups=event)
        size = np.abs(weight)
        counted = Sample(X, np.ones(len(X)), fold, event)
        uneven = np.ptp(size) > 1e-12 * size.max()
        mean, square = size, size**2
        if uneven:
            mean = self._ratio(first, counted, counted._replace(weight=mean))(X, fold)
            square = self._ratio(second, counted, counted._replace(weight=square))(X, fold)
        if weight.min() < 0:
            mean = mean * self._sign(first, counted._replace(weight=weight), mean)
        return mean, np.maximum(square, mean**2)

    def _sign(
        self, estimator: Any, sample: Sample, mean_size: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Mean sign under abs(w), at least 0, such that the sum of the class is kept."""
        weight, size = sample.weight, np.abs(sample.weight)
        positive = weight > 0
        constant = np.full(len(weight), size[positive].sum() / size.sum())
        if min(np.count_nonzero(positive), np.count_nonzero(~positive)) < _LEAST * self.n_splits:
            return _project(2 * constant - 1, mean_size, float(weight.sum()))
        sides = (
            Sample(sample.X[side], size[side], sample.fold[side], sample.event[side])
            for side in (positive, ~positive)
        )
        odds = self._ratio(estimator, *sides)(sample.X, sample.fold)
        g = 1 / (1 + odds)
        if not _significantly_better(g, constant, positive, size):
            g = constant
        return _project(2 * g - 1, mean_size, float(weight.sum()))

    def _ratio(self, estimator: Any, first: Sample, second: Sample) -> Ratio:
        return fit_ratio(estimator, first, second, self.n_splits, clip=self.clip)

    def _check_params(self) -> None:
        check_n_splits(self.n_splits)
        for name in ("estimator", "second_moment"):
            model = getattr(self, name)
            if model is not None and not hasattr(model, "predict_proba"):
                msg = f"{name}={model!r} has no predict_proba: take a probabilistic classifier"
                raise ValueError(msg)
        if not isinstance(self.clip, numbers.Real) or not 0 <= float(self.clip) < 0.5:
            msg = f"clip must lie in [0, 0.5), got {self.clip!r}"
            raise ValueError(msg)
