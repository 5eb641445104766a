"""What all reweighters share: checks of two samples, weights, normalisation, replicas."""

import numbers
import warnings
from typing import Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, clone
from sklearn.utils import Tags, check_array, check_random_state
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted, validate_data

from skhep_ml._frames import is_frame
from skhep_ml._hashing import event_hash
from skhep_ml._masks import unmasked
from skhep_ml._two_sample import row_identifiers
from skhep_ml._validation import align_columns, check_event_id, check_event_weight
from skhep_ml.exceptions import SupportWarning
from skhep_ml.weights._base import effective_sample_size
from skhep_ml.weights._policies import check_policy, prepare_weights

_SAMPLES = np.array(["original", "target"])
# shares of events outside the other sample's range that are worth a warning: no weight makes up
# for a target that is not covered, while an original that reaches further only loses events
TARGET_OUTSIDE, _ORIGINAL_OUTSIDE = 0.01, 0.1


class Samples(NamedTuple):
    """Two checked samples.

    Attributes
    ----------
    original, target : ndarray of shape (n_original, n_features), (n_target, n_features)
        Tables of floats with the same columns in the same order.
    w_original, w_target : ndarray of shape (n_original,), (n_target,)
        Weights as they were given, ones for None.
    groups : ndarray of shape (n_original + n_target,), optional
        Hashed event identifiers of both samples, original first; None where none were given.
    """

    original: NDArray[Any]
    target: NDArray[Any]
    w_original: NDArray[np.float64]
    w_target: NDArray[np.float64]
    groups: NDArray[np.uint64] | None = None


class SampleEstimator(BaseEstimator):
    """Check samples of events that are no X and y."""

    # whether the method takes missing values, and what to do where it does not
    _allow_nan = False
    _missing_remedy = "impute them, or take GBReweighter, which knows missing values"

    def _target_in_order(
        self, original: Any, target: Any, names: tuple[str, str] = ("original", "target")
    ) -> Any:
        """Columns of the target in the original's order."""
        known, given = list(original.columns), list(target.columns)
        missing = [name for name in known if name not in given]
        extra = [name for name in given if name not in known]
        if missing or extra:
            lacking = [
                f"{name} lacks {columns}"
                for name, columns in ((names[1], missing), (names[0], extra))
                if columns
            ]
            msg = (
                f"{names[0]} and {names[1]} have different columns: {' and '.join(lacking)}; "
                "select the same columns in both"
            )
            raise ValueError(msg)
        return target if known == given else target[known]

    def _floats(self, X: Any, name: str) -> NDArray[Any]:
        columns = list(X.columns) if is_frame(X) else None
        table = check_array(
            # scikit-learn does not see that a polars table is in single precision
            X.to_numpy() if hasattr(X, "get_columns") else X,
            dtype=[np.float64, np.float32],
            ensure_all_finite=False,
            estimator=self,
            input_name=name,
        )
        self._check_finite(table, columns, name, allow_nan=self._allow_nan)
        return table

    def _check_finite(
        self, table: NDArray[Any], columns: list[Any] | None, name: str, *, allow_nan: bool
    ) -> None:
        """Locate the first infinite value, or missing one where there may be none."""
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(table.sum()):  # one pass finds any NaN or infinity
                return
        for what, bad, remedy in (
            ("infinity", np.isinf(table), "remove these events, or repair them"),
            ("NaN", np.isnan(table), self._missing_remedy),
        ):
            if (what == "NaN" and allow_nan) or not bad.any():
                continue
            event, k = np.argwhere(bad)[0][[0, -1]].tolist()
            msg = (
                f"Input {name} contains {what} in {bad.sum()} of {bad.size} values, first in event "
                f"{event}, column {k if columns is None else columns[k]!r}; {remedy}"
            )
            raise ValueError(msg)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.allow_nan = self._allow_nan
        return tags


class TwoSampleEstimator(SampleEstimator):
    """Take an original and a target sample: columns by name, weights of any sign."""

    # original and target are data, which scikit-learn would take for metadata by their names
    __metadata_request__fit = {
        "original": UNUSED,
        "target": UNUSED,
        "original_weight": True,
        "target_weight": True,
    }

    def _check_samples(
        self,
        original: Any,
        target: Any,
        original_weight: ArrayLike | None,
        target_weight: ArrayLike | None,
    ) -> Samples:
        """Check both samples and remember the columns."""
        original = unmasked(as_columns(original))
        target = unmasked(as_columns(target))
        for name, sample in zip(_SAMPLES, (original, target), strict=True):
            if not len(sample):
                msg = f"{name} is empty: events are needed in both samples"
                raise ValueError(msg)
        validate_data(self, original, skip_check_array=True, reset=True)
        if is_frame(original) and is_frame(target):
            target = self._target_in_order(original, target)
        tables = [self._floats(original, "original"), self._floats(target, "target")]
        if tables[0].shape[1] != tables[1].shape[1]:
            msg = (
                f"original has {tables[0].shape[1]} features and target {tables[1].shape[1]}: both "
                "need the same columns"
            )
            raise ValueError(msg)
        warn_of_positions(original, target)
        given = zip(_SAMPLES, tables, (original_weight, target_weight), strict=True)
        weights = [_sample_weight(weight, len(table), name) for name, table, weight in given]
        return Samples(*tables, *weights)

    def _table(self, X: Any) -> NDArray[Any]:
        """Check events against the columns of fit."""
        X = unmasked(align_columns(self, as_columns(X)))
        validate_data(self, X, skip_check_array=True, reset=False)
        return self._floats(X, "original")


class BaseReweighter(TwoSampleEstimator):
    """Fit and apply a density ratio between two samples.

    A subclass has at least the constructor parameters ``normalize``, ``negative_weights``,
    ``n_replicas``, ``random_state``, ``n_jobs`` and ``verbose``, and implements `_fit` and
    `_ratio`; `_check_params` is for its own parameters.
    """

    __metadata_request__fit = {"groups": True, "target_groups": True}

    normalize: str | None
    negative_weights: str
    n_replicas: int
    random_state: Any
    n_jobs: int | None
    verbose: int

    # --- what subclasses implement --------------------------------------------------------------

    def _fit(self, samples: Samples, seed: int) -> NDArray[np.float64] | None:
        """Learn the ratio from weights of mean abs(w) 1 in each sample, policy already applied.

        Weights are negative under ``negative_weights="keep"`` only. May return the ratio at the
        original, where it is at hand anyway. ``effective_size_``, the harmonic mean of the
        samples' effective sizes, is the number of events that sums of weights stand for.
        """
        raise NotImplementedError

    def _ratio(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Density ratio target over original, >= 0, up to a constant factor."""
        raise NotImplementedError

    def _check_params(self) -> None:
        """Raise a ValueError for parameters of the subclass that are wrong; columns are known."""

    def _given_random_state(self) -> Any:
        return self.random_state

    # --- fit ------------------------------------------------------------------------------------

    def fit(
        self,
        original: Any,
        target: Any,
        original_weight: ArrayLike | None = None,
        target_weight: ArrayLike | None = None,
        *,
        groups: Any = None,
        target_groups: Any = None,
    ) -> Any:
        """Learn the weights that turn ``original`` into ``target``.

        Parameters
        ----------
        original : array-like of shape (n_original, n_features) or (n_original,)
            Events to reweight, usually simulation.
        target : array-like of shape (n_target, n_features) or (n_target,)
            Events to imitate, usually data. Columns of DataFrames are matched by name.
        original_weight : array-like of shape (n_original,), default=None
            Event weights, of any sign and unit; None counts events.
        target_weight : array-like of shape (n_target,), default=None
            Event weights, of any sign and unit, such as sWeights; None counts events.
        groups : array-like of int, shape (n_original,) or (n_original, k), default=None
            Identifiers of the original's events: refinement and calibration then split by event,
            so that variations of one event stay together. None splits by what events contain.
        target_groups : array-like of int, shape (n_target,) or (n_target, k), default=None
            Those of the target's events.

        Returns
        -------
        self : estimator
            The fitted reweighter.

        Raises
        ------
        ValueError
            An empty sample, columns that differ, infinite values (or missing ones, where the method
            does not take them), weights of wrong length or with a sum that is not positive,
            identifiers that are not integers or of wrong length.

        Warns
        -----
        UserWarning
            One sample has column names and the other none: columns go by position.
        SupportWarning
            More than 1% of the target's events outside the original's range of a feature, or more
            than 10% of the original's outside the target's.
        """
        self._check_common_params()
        samples = self._check_samples(original, target, original_weight, target_weight)
        samples = samples._replace(groups=_identifiers(samples, groups, target_groups))
        self._check_params()
        self._warn_about_support(samples)
        random = check_random_state(self._given_random_state())
        seed = int(random.randint(2**31 - 1))
        self._fit_weighted(samples, seed)
        self.replicas_ = self._fit_replicas(samples, seed, int(random.randint(2**31 - 1)))
        return self

    def _fit_weighted(
        self, samples: Samples, seed: int, effective_size: float | None = None
    ) -> None:
        """Apply the policy for negative weights, fit, and fix the normalisation."""
        original, _, w_original, w_target, _ = samples
        weights = self._train_weights(samples, seed)
        self.effective_size_ = effective_size or _common_size(*weights)
        training = samples._replace(w_original=weights[0], w_target=weights[1])
        ratio = self._fit(training, seed)
        self.normalization_ = 1.0
        if self.normalize is None:
            return
        if ratio is None:
            ratio = self._ratio(original)
        reweighted = float(np.dot(w_original, ratio))
        wanted = float((w_original if self.normalize == "original" else w_target).sum())
        if not reweighted > 0:
            msg = (
                f"the reweighted original sums to {reweighted:.6g}, so it cannot be normalised: "
                "the negative weights of original prevail where the target lies; choose "
                "normalize=None, or merge more events"
            )
            raise ValueError(msg)
        self.normalization_ = wanted / reweighted

    def _train_weights(
        self, samples: Samples, seed: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weights after the policy, each sample with mean abs(w) 1 over w != 0."""
        original, target, w_original, w_target, groups = samples
        n_original = len(w_original)
        weights = w_original, w_target
        if w_original.min() < 0 or w_target.min() < 0:
            prepared = prepare_weights(
                np.concatenate([original, target]),
                np.repeat([0, 1], [n_original, len(w_target)]),
                _SAMPLES,
                # samples of different units balanced: "refine" takes each on its own anyway
                np.concatenate([w_original / w_original.sum(), w_target / w_target.sum()]),
                negative_weights=self.negative_weights,
                weight_scale=None,
                groups=groups,
                random_state=seed,
                n_jobs=self.n_jobs,
            )
            assert prepared is not None
            weights = prepared.train[:n_original], prepared.train[n_original:]
        first, second = (w * (np.count_nonzero(w) / np.abs(w).sum()) for w in weights)
        return first, second

    def _fit_replicas(self, samples: Samples, seed: int, bootstrap_seed: int) -> list[Any]:
        """Fit the same reweighter on Poisson replicas of both samples."""
        w_original, w_target = samples.w_original, samples.w_target
        rng = np.random.default_rng(bootstrap_seed)
        numbers_of = range(self.n_replicas)
        if self.verbose and self.n_replicas:
            from tqdm.auto import tqdm

            numbers_of = tqdm(numbers_of, desc="replicas", leave=False)
        replicas = []
        for k in numbers_of:
            drawn = samples._replace(
                w_original=w_original * rng.poisson(1.0, len(w_original)),
                w_target=w_target * rng.poisson(1.0, len(w_target)),
            )
            for name, weight in (("original", drawn.w_original), ("target", drawn.w_target)):
                if not weight.sum() > 0:
                    msg = (
                        f"the weights of {name} sum to {weight.sum():.6g} in replica {k}: the "
                        "sample is too small, or its signs cancel too much, for n_replicas="
                        f"{self.n_replicas}; set n_replicas=0 or give more events"
                    )
                    raise ValueError(msg)
            replica = clone(self).set_params(n_replicas=0, verbose=0)
            replica.n_features_in_ = self.n_features_in_
            if hasattr(self, "feature_names_in_"):
                replica.feature_names_in_ = self.feature_names_in_
            # an event drawn twice stands for two: the scale is that of the samples
            replica._fit_weighted(drawn, seed, self.effective_size_)
            replicas.append(replica)
        return replicas

    # --- checks ---------------------------------------------------------------------------------

    def _check_common_params(self) -> None:
        check_policy(self.negative_weights)
        if self.normalize not in ("original", "target", None):
            msg = f'normalize must be "original", "target" or None, got {self.normalize!r}'
            raise ValueError(msg)
        count = self.n_replicas
        if (
            not isinstance(count, numbers.Integral)
            or isinstance(count, bool)
            or count < 0
            or count == 1
        ):
            msg = f"n_replicas must be 0 or an integer of at least 2, got {count!r}"
            raise ValueError(msg)

    def _warn_about_support(self, samples: Samples) -> None:
        original = samples.original[samples.w_original != 0]
        target = samples.target[samples.w_target != 0]
        columns = getattr(self, "feature_names_in_", np.arange(self.n_features_in_)).tolist()
        warn_of_outside(
            (target, "target", TARGET_OUTSIDE),
            (original, "original"),
            "no weight makes up for events that the original does not have",
            columns,
        )
        warn_of_outside(
            (original, "original", _ORIGINAL_OUTSIDE),
            (target, "target"),
            "their weights come from the nearest region that the target has",
            columns,
        )

    # --- predict --------------------------------------------------------------------------------

    @overload
    def predict_weights(
        self,
        original: Any,
        original_weight: ArrayLike | None = ...,
        *,
        return_std: Literal[False] = ...,
    ) -> NDArray[np.float64]: ...
    @overload
    def predict_weights(
        self, original: Any, original_weight: ArrayLike | None = ..., *, return_std: Literal[True]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
    def predict_weights(
        self, original: Any, original_weight: ArrayLike | None = None, *, return_std: bool = False
    ) -> Any:
        """Weights under which the events look like the target.

        Parameters
        ----------
        original : array-like of shape (n_events, n_features) or (n_events,)
            Events; a DataFrame's columns are used by name.
        original_weight : array-like of shape (n_events,), default=None
            Weights before, of any sign; None means 1.
        return_std : bool, default=False
            Return the standard deviation over the replicas too.

        Returns
        -------
        weights : ndarray of shape (n_events,)
            ``original_weight`` times the density ratio, so that signs stay. The normalisation is
            fixed in fit: an event's weight does not depend on the others it comes with.
        std : ndarray of shape (n_events,)
            Statistical uncertainty of the ratio times abs(original_weight); only with
            ``return_std=True``. It is strongly correlated between events: for a histogram, take the
            spread of the histograms under `replica_weights`.

        Raises
        ------
        ValueError
            Columns other than in fit, weights of wrong length, or ``return_std`` without replicas.
        """
        check_is_fitted(self)
        if return_std:
            self._check_replicas()
        table, weight = self._check_events(original, original_weight)
        weights = weight * self._normalized_ratio(table)
        if not return_std:
            return weights
        mean = np.zeros(len(table))
        square = np.zeros(len(table))
        # Welford's update: one replica in memory at a time
        for k, replica in enumerate(self.replicas_, start=1):
            ratio = replica._normalized_ratio(table)
            step = ratio - mean
            mean += step / k
            square += step * (ratio - mean)
        return weights, np.abs(weight) * np.sqrt(square / (len(self.replicas_) - 1))

    def replica_weights(
        self, original: Any, original_weight: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        """Weights of every bootstrap replica, for uncertainties of whatever is made with them.

        Parameters
        ----------
        original : array-like of shape (n_events, n_features) or (n_events,)
            Events; a DataFrame's columns are used by name.
        original_weight : array-like of shape (n_events,), default=None
            Weights before, of any sign; None means 1.

        Returns
        -------
        ndarray of shape (n_replicas, n_events)
            One set of weights a replica.

        Raises
        ------
        ValueError
            Columns other than in fit, weights of wrong length, or no replicas.
        """
        check_is_fitted(self)
        self._check_replicas()
        table, weight = self._check_events(original, original_weight)
        return np.stack([weight * replica._normalized_ratio(table) for replica in self.replicas_])

    def _normalized_ratio(self, table: NDArray[Any]) -> NDArray[np.float64]:
        return self._ratio(table) * self.normalization_

    def _check_events(
        self, original: Any, original_weight: ArrayLike | None
    ) -> tuple[NDArray[Any], NDArray[np.float64]]:
        table = self._table(original)
        return table, weights_before(original_weight, len(table))

    def _check_replicas(self) -> None:
        if not self.replicas_:
            msg = f"{type(self).__name__} was fitted without replicas: set n_replicas, such as 20"
            raise ValueError(msg)


def warn_of_positions(
    original: Any, target: Any, names: tuple[str, str] = ("original", "target")
) -> None:
    """Warn where one sample names its columns and the other does not, and order may matter."""
    named = [is_frame(sample) for sample in (original, target)]
    if named[0] == named[1] or getattr(original, "shape", (0, 1))[1:] == (1,):
        return
    with_names, without = names if named[0] else names[::-1]
    msg = (
        f"{with_names} has column names and {without} has none: columns are matched by position; "
        "give both as DataFrames to match them by name"
    )
    warnings.warn(msg, UserWarning, stacklevel=4)


def warn_of_outside(
    outside: tuple[NDArray[Any], str, float],
    inside: tuple[NDArray[Any], str],
    consequence: str,
    columns: list[Any],
    stacklevel: int = 4,
) -> None:
    """Warn of features in which more than a share of one sample leaves the other's range."""
    sample, name, limit = outside
    share = _share_outside(sample, inside[0])
    # two events lie outside by chance where both have one distribution
    bad = np.flatnonzero(share > limit + 10 / max(len(inside[0]), 1))
    if len(bad):
        shown = ", ".join(f"{columns[k]!r} ({share[k]:.1%})" for k in bad[:8])
        msg = (
            f"events of {name} lie outside the range of {inside[1]} in {len(bad)} features: "
            f"{shown}; {consequence}"
        )
        warnings.warn(msg, SupportWarning, stacklevel=stacklevel)


def _identifiers(samples: Samples, groups: Any, target_groups: Any) -> NDArray[np.uint64] | None:
    """One hashed identifier an event; a sample without identifiers goes by its content."""
    if groups is None and target_groups is None:
        return None
    return np.concatenate(
        [
            hashed_identifiers(groups, samples.original, "groups"),
            hashed_identifiers(target_groups, samples.target, "target_groups"),
        ]
    )


def hashed_identifiers(groups: Any, table: NDArray[Any], name: str) -> NDArray[np.uint64]:
    """One hashed identifier an event, by its content where none are given."""
    if groups is None:
        return event_hash(row_identifiers(table))
    columns = check_event_id(groups)
    if len(columns[0]) != len(table):
        msg = f"{name} has {len(columns[0])} entries, but there are {len(table)} events"
        raise ValueError(msg)
    return event_hash(np.column_stack(columns))


def weights_before(
    given: ArrayLike | None, n_events: int, name: str = "original_weight"
) -> NDArray[np.float64]:
    """Weights of events to reweight, ones for None; a chunk may hold events of weight 0 only."""
    if given is not None and np.shape(given) == (n_events,) and not np.any(given):
        return np.zeros(n_events)
    weight = check_event_weight(given, n_events, name=name)
    return np.ones(n_events) if weight is None else weight


def _common_size(w_original: NDArray[np.float64], w_target: NDArray[np.float64]) -> float:
    """Effective size of two samples: the harmonic mean, as the variances of a ratio add up."""
    sizes = effective_sample_size(w_original), effective_sample_size(w_target)
    return 2 / (1 / sizes[0] + 1 / sizes[1])


def as_columns(sample: Any) -> Any:
    """Return a table; one feature may come as a one-dimensional array or a named series."""
    if is_frame(sample):
        return sample
    name = getattr(sample, "name", None)
    if hasattr(sample, "to_frame") and isinstance(name, str) and name:
        return sample.to_frame()
    array = sample if isinstance(sample, np.ndarray) else np.asarray(sample)
    if issparse(sample) or array.ndim == 0:
        msg = f"a table of events is needed, got {type(sample).__name__}: pass a dense array"
        raise ValueError(msg)
    return array[:, np.newaxis] if array.ndim == 1 else array


def _sample_weight(weight: ArrayLike | None, n_events: int, sample: str) -> NDArray[np.float64]:
    checked = check_event_weight(weight, n_events, name=f"{sample}_weight")
    if checked is None:
        return np.ones(n_events)
    if not checked.sum() > 0:
        msg = (
            f"{sample}_weight sums to {checked.sum():.6g} over {n_events} events: a density needs "
            "a positive sum; merge samples, or check the signs"
        )
        raise ValueError(msg)
    return checked


def _share_outside(sample: NDArray[Any], other: NDArray[Any]) -> NDArray[np.float64]:
    """Share of events outside the other sample's range, for each feature.

    Missing values are outside where the other sample has none.
    """
    share = np.empty(sample.shape[1])
    for k, (column, reference) in enumerate(zip(sample.T, other.T, strict=True)):
        missing = np.isnan(column)
        missing_reference = np.isnan(reference)
        outside = missing & ~missing_reference.any()
        if missing_reference.all():
            outside |= ~missing
        else:
            outside |= (column < np.nanmin(reference)) | (column > np.nanmax(reference))
        share[k] = outside.mean()
    return share
