"""Reweighting by any probabilistic classifier."""

from __future__ import annotations

import numbers
import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.base import MetaEstimatorMixin, clone
from sklearn.isotonic import isotonic_regression
from sklearn.utils import get_tags

from skhep_ml._two_sample import (
    SMALLEST_PROBABILITY,
    cross_fit_folds,
    default_classifier,
    fit_weighted,
    log_odds,
)
from skhep_ml.exceptions import WeightWarning
from skhep_ml.model_selection._split import check_n_splits
from skhep_ml.reweighting._base import BaseReweighter, Samples
from skhep_ml.reweighting._ratio import named_table

# log odds a standard deviation of the score beyond which a calibration is not believed
_STEEPEST = 20.0
# bins of the isotonic calibration: at most so many, of at least so many events
_N_BINS, _EVENTS_A_BIN = 200, 100


class _Sigmoid(NamedTuple):
    """Calibrated log odds as a straight line of the log odds."""

    slope: float
    offset: float

    def __call__(self, score: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.slope * score + self.offset


class _Isotonic(NamedTuple):
    """Calibrated log odds as a rising function, linear between the bins' mean log odds."""

    score: NDArray[np.float64]
    calibrated: NDArray[np.float64]

    def __call__(self, score: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.interp(score, self.score, self.calibrated)


class ClassifierReweighter(MetaEstimatorMixin, BaseReweighter):
    r"""Reweighting by the odds of a classifier that tells original and target apart.

    Parameters
    ----------
    estimator : classifier, default=None
        Any classifier with ``predict_proba`` that takes ``sample_weight`` in fit: a model, a
        Pipeline or a search. None is a `BDTClassifier` that is stopped early.
    calibrate : {"sigmoid", "isotonic"} or None, default="sigmoid"
        Calibration of the log odds on events that were held out: a straight line, for models that
        are too sure or not sure enough; any rising function, for models whose probabilities are
        mere ranks; or none.
    n_splits : int, default=3
        Folds of the calibration.
    clip : float, default=0.001
        Probabilities are kept between ``clip`` and ``1 - clip``, ratios between their odds.
    normalize : {"original", "target"} or None, default="original"
        Sum of weights that the reweighted original of the fit gets: its own, so that the mean ratio
        is 1; the target's; or with None none in particular.
    negative_weights : {"refine", "keep", "pair", "cell", "drop", "abs", "raise"}, default="refine"
        What training does with negative weights in either sample, see
        `skhep_ml.weights.apply_negative_weights`. ``"keep"`` hands them to the classifier, which
        then has to know what to do.
    n_replicas : int, default=0
        Poisson bootstrap replicas of both samples, each with a model of its own, for uncertainties.
    n_jobs : int, default=None
        Threads of the default classifier and of ``"refine"``; None takes all.
    random_state : int, RandomState instance or None, default=None
        Seed of the default classifier, of refinement and of replicas.
    verbose : int, default=0
        Show progress.

    Attributes
    ----------
    estimator_ : classifier
        The classifier, fitted on all events: 0 is the original, 1 the target.
    calibration_ : callable or None
        Calibrated log odds as a function of the classifier's.
    normalization_ : float
        Factor on the ratio.
    replicas_ : list of ClassifierReweighter
        The bootstrap replicas.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of str
        Their names, if ``original`` was a DataFrame.

    See Also
    --------
    GBReweighter : Boosted trees made for the purpose, faster.

    Notes
    -----
    Both samples enter with equal sums of weights, so that the probability p of the target gives the
    density ratio :math:`r = p / (1 - p)`. A ratio is only as good as the probability is calibrated:
    ``n_splits`` models, each without one fold, predict the events of that fold, and one calibration
    is learned from all of these; the classifier itself is fitted once more on all events.
    The same held-out ratios fix the normalisation: on the events of the fit, which the classifier
    knows, the mean ratio may differ from 1. Folds follow the identifiers (``groups``,
    ``target_groups``) or else the content of events, not their order.

    scikit-learn's calibrators do not take negative weights (isotonic regression returns NaN). Here
    weights are made non-negative by the policy first. Under ``"keep"`` the straight line minimises
    the signed log loss within bounds, and the rising function is that of bins of the log
    odds which are joined until both samples have a positive sum in each, after which isotonic
    regression is defined.

    Where column names are known, the classifier gets a pandas DataFrame if pandas is installed, so
    that a Pipeline can select by name. With metadata routing, steps of a Pipeline that have not
    decided are asked to take weights.

    References
    ----------
    K. Cranmer, J. Pavez, G. Louppe, Approximating likelihood ratios with calibrated discriminative
    classifiers, arXiv:1506.02169.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skhep_ml.reweighting import ClassifierReweighter
    >>> rng = np.random.default_rng(0)
    >>> simulation, data = rng.normal(size=(5000, 1)), rng.normal(0.5, size=(5000, 1))
    >>> reweighter = ClassifierReweighter(LogisticRegression()).fit(simulation, data)
    >>> weights = reweighter.predict_weights(simulation)
    >>> bool(abs(np.average(simulation[:, 0], weights=weights) - 0.5) < 0.05)
    True
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        calibrate: str | None = "sigmoid",
        n_splits: int = 3,
        clip: float = 0.001,
        normalize: str | None = "original",
        negative_weights: str = "refine",
        n_replicas: int = 0,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.calibrate = calibrate
        self.n_splits = n_splits
        self.clip = clip
        self.normalize = normalize
        self.negative_weights = negative_weights
        self.n_replicas = n_replicas
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @property
    def _allow_nan(self) -> bool:  # type: ignore[override]
        return self.estimator is None or get_tags(self.estimator).input_tags.allow_nan

    def _check_params(self) -> None:
        if self.estimator is not None and not hasattr(self.estimator, "predict_proba"):
            msg = (
                f"estimator={self.estimator!r} has no predict_proba: take a probabilistic "
                "classifier, or wrap it in sklearn.calibration.CalibratedClassifierCV"
            )
            raise ValueError(msg)
        if self.calibrate not in ("sigmoid", "isotonic", None):
            msg = f'calibrate must be "sigmoid", "isotonic" or None, got {self.calibrate!r}'
            raise ValueError(msg)
        check_n_splits(self.n_splits)
        if not isinstance(self.clip, numbers.Real) or not 0 <= float(self.clip) < 0.5:
            msg = f"clip must lie in [0, 0.5), got {self.clip!r}"
            raise ValueError(msg)

    def _classifier(self, seed: int) -> Any:
        if self.estimator is not None:
            return clone(self.estimator)
        return default_classifier(seed, n_jobs=self.n_jobs, negative_weights=self.negative_weights)

    def _fit(self, samples: Samples, seed: int) -> NDArray[np.float64] | None:
        original, target, w_original, w_target, groups = samples
        weight = np.concatenate([w_original / w_original.sum(), w_target / w_target.sum()])
        label = np.repeat([0, 1], [len(original), len(target)])
        used = weight != 0
        table = np.concatenate([original, target])[used]
        label, weight = label[used], weight[used] * (np.count_nonzero(used) / 2)
        estimator = self._classifier(seed)
        self.calibration_: Any = None
        held_out = None
        if self.calibrate is not None:
            known = None if groups is None else groups[used]
            fold = cross_fit_folds(table, self.n_splits, "calibration", groups=known)
            score = np.empty(len(table))
            for k in range(self.n_splits):
                train, rest = fold != k, fold == k
                if len(np.unique(label[train])) < 2:
                    msg = f"one sample lies in fold {k} of n_splits={self.n_splits} as a whole"
                    raise ValueError(msg)
                model = fit_weighted(
                    estimator, self._named(table[train]), label[train], weight[train]
                )
                score[rest] = log_odds(model, self._named(table[rest]))
            learn = _fit_sigmoid if self.calibrate == "sigmoid" else _fit_isotonic
            self.calibration_ = learn(score, label, weight)
            # events of weight 0 do not matter for the sum that fixes the normalisation
            held_out = np.zeros(len(original))
            held_out[used[: len(original)]] = self._odds(score[label == 0])
        self.estimator_ = fit_weighted(estimator, self._named(table), label, weight)
        return held_out

    def _ratio(self, X: NDArray[Any]) -> NDArray[np.float64]:
        return self._odds(log_odds(self.estimator_, self._named(X)))

    def _odds(self, score: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.calibration_ is not None:
            score = self.calibration_(score)
        limit = -logit(self.clip)
        return np.exp(np.clip(score, -limit, limit))

    def _named(self, table: NDArray[Any]) -> Any:
        return named_table(table, getattr(self, "feature_names_in_", None))


def _fit_sigmoid(
    score: NDArray[np.float64], label: NDArray[np.intp], weight: NDArray[np.float64]
) -> _Sigmoid | None:
    """Straight line with the smallest signed log loss; None where there is none."""
    total = np.abs(weight).sum()
    middle, spread = float(score.mean()), float(score.std()) or 1.0
    unit = (score - middle) / spread

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = parameters[0] * unit + parameters[1]
        residual = weight * (expit(z) - label)
        value = np.dot(weight, np.logaddexp(0, z) - label * z)
        return float(value / total), np.array([residual @ unit, residual.sum()]) / total

    found = minimize(
        loss,
        (min(spread, 1.0), 0.0),
        jac=True,
        method="L-BFGS-B",
        bounds=((0.0, _STEEPEST), (-_STEEPEST, _STEEPEST)),
        options={"ftol": 1e-13, "gtol": 1e-8},
    )
    steepness, offset = found.x.tolist()
    if max(steepness, abs(offset)) > 0.9 * _STEEPEST:
        msg = (
            f"the {len(score)} events determine no calibration: ratios stay as they are; the "
            "classifier separates the samples, or the weights are too signed"
        )
        warnings.warn(msg, WeightWarning, stacklevel=6)
        return None
    return _Sigmoid(steepness / spread, offset - steepness * middle / spread)


def _fit_isotonic(
    score: NDArray[np.float64], label: NDArray[np.intp], weight: NDArray[np.float64]
) -> _Isotonic:
    """Isotonic regression of the target's share in bins where both samples have positive sums."""
    order = np.argsort(score, kind="stable")
    score, label, size = score[order], label[order], np.abs(weight[order])
    n_bins = int(np.clip(len(score) // _EVENTS_A_BIN, 1, _N_BINS))
    place = np.cumsum(size)
    bins = np.minimum((place * (n_bins / place[-1])).astype(np.intp), n_bins - 1)
    # equal scores share a bin
    _, first, inverse = np.unique(score, return_index=True, return_inverse=True)
    bins = bins[first][inverse]
    sums = np.stack([np.bincount(bins, weight[order] * (label == k), n_bins) for k in (0, 1)])
    cells: list[list[int]] = [[]]
    for k in range(n_bins):
        cells[-1].append(k)
        if (sums[:, cells[-1]].sum(axis=1) > 0).all():
            cells.append([])
    rest = cells.pop()
    if cells:  # both samples have a positive sum: at least one cell is full
        cells[-1] += rest
    else:
        cells = [rest]
    joined = np.stack([sums[:, cell].sum(axis=1) for cell in cells])
    total = joined.sum(axis=1)
    share = isotonic_regression(joined[:, 1] / total, sample_weight=total, y_min=0, y_max=1)
    of_cell = np.repeat(np.arange(len(cells)), [len(cell) for cell in cells])[bins]
    mean = np.bincount(of_cell, size * score) / np.bincount(of_cell, size)
    return _Isotonic(mean, logit(np.clip(share, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)))
