"""What training does with negative weights, and how weights enter an engine."""

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse

from skhep_ml._masks import unmasked
from skhep_ml._validation import check_event_weight, check_labels
from skhep_ml.exceptions import BiasedWeightsWarning, WeightWarning
from skhep_ml.weights._base import class_sums
from skhep_ml.weights._cell import cell_weights
from skhep_ml.weights._pair import pair_weights
from skhep_ml.weights._refine import refine_weights

# what most programs write for a missing value, and the share of events that looks like it
_SENTINEL, _SENTINEL_SHARE = -999.0, 0.01

NEGATIVE_WEIGHT_POLICIES = ("refine", "keep", "pair", "cell", "drop", "abs", "raise")


def check_policy(policy: Any) -> str:
    """Return the policy, or name the ones there are."""
    if policy not in NEGATIVE_WEIGHT_POLICIES:
        msg = f"negative_weights must be one of {NEGATIVE_WEIGHT_POLICIES}, got {policy!r}"
        raise ValueError(msg)
    return policy


def apply_negative_weights(
    X: ArrayLike,
    y: ArrayLike | None,
    sample_weight: ArrayLike,
    policy: str = "refine",
    *,
    groups: ArrayLike | None = None,
    salt: int = 0,
    random_state: Any = None,
    n_jobs: int | None = None,
    device: str = "cpu",
    cell_radius: float | None = None,
) -> NDArray[np.float64]:
    r"""Apply one policy for negative weights and return the weights to train with.

    Weights without negatives come back unchanged under every policy.

    Parameters
    ----------
    X : array-like of shape (n_events, n_features)
        Features; ``"refine"``, ``"pair"`` and ``"cell"`` read them. What is missing must be NaN:
        a sentinel such as -999 is taken as a number, see Notes.
    y : array-like of shape (n_events,) or None
        Class labels; None treats all events as one class (regression, densities).
    sample_weight : array-like of shape (n_events,)
        Signed event weights.
    policy : {"refine", "keep", "pair", "cell", "drop", "abs", "raise"}, default="refine"
        - ``"refine"``: :math:`|w|(2g(x) - 1)` with g(x) = P(w > 0 given x and class), cross-fitted,
          clipped at 0, the signed sum of each class kept;
        - ``"keep"``: the weights as they are, for engines that take signed gradients;
        - ``"pair"``: each negative event is annihilated against the nearest positive events of its
          class: the larger weight survives with the sum, the other becomes 0;
        - ``"cell"``: the events of the smallest cell around a negative one whose sum is not
          negative all get its mean weight;
        - ``"drop"``: negative weights become 0 (biased);
        - ``"abs"``: their absolute value (biased);
        - ``"raise"``: a ValueError.
    groups : array-like of int, shape (n_events,) or (n_events, k), default=None
        Event identifiers: copies of an event stay on one side of the cross-fit.
    salt : int, default=0
        Salt of the cross-fit's split by event identifiers.
    random_state : int, RandomState instance or None, default=None
        Seed of the cross-fit.
    n_jobs : int, default=None
        Threads of the sign classifier and of the search for neighbours; None takes all.
    device : str, default="cpu"
        Where the sign classifier is trained.
    cell_radius : float, default=None
        Largest radius of a cell under ``"cell"``, in standard deviations; None for no limit. Cells
        that would exceed it are not resampled: their events stay negative, and a warning counts
        them.

    Returns
    -------
    ndarray of shape (n_events,)
        Weights for training only: they understate statistical errors, so evaluate with the original
        ones.

    Raises
    ------
    ValueError
        Unknown policy, negative weights under ``"raise"``, a class with non-positive sum, NaN or
        infinite weights, missing labels; a sparse X, one that is no table of numbers, infinite
        values or a wrong number of rows where the policy reads it.

    Warns
    -----
    BiasedWeightsWarning
        Under ``"drop"`` and ``"abs"``, with the fraction of events concerned.
    WeightWarning
        Events that stay negative because of ``cell_radius``; features that are -999 in more than
        1% of the events under ``"pair"`` and ``"cell"``.

    Notes
    -----
    Refinement is unbiased: E[w given x] = E[abs(w) given x](2g(x) - 1). The sign classifier is a
    boosted tree of depth 4, stopped early on a held-out part; where it finds nothing better than
    the overall fraction of positive weights, that fraction is used, so randomly flipped signs cost
    almost nothing.

    ``"pair"`` and ``"cell"`` keep the sum of each class, move weight between neighbours only, and
    do not depend on the order of events. Distance is :math:`\sqrt{(x-x')^T C^{-1} (x-x')}`, C the
    covariance of the class under abs(w); constant features and directions that others determine
    count for nothing. A missing value lies at the feature's mean; for every set of features that
    are missing together, events with and without it are 10 standard deviations apart. Events with
    identical features share one weight; those of weight 0 keep it. Under ``"pair"`` the negative
    events closest to a positive one go first, under ``"cell"`` the most negative ones. The
    neighbours come from k-d trees: near n log n for up to about ten features. With more, distances
    say little and take long, so give the few features that matter.

    Sentinels such as -999 are numbers here: under ``"pair"`` and ``"cell"`` they dominate the
    covariance, and thereby all distances. `skhep_ml.impute.MissingValueImputer` replaces them, and
    `skhep_ml.preprocessing.JaggedToPadded` pads with NaN; or make them NaN yourself.

    References
    ----------
    B. Nachman, J. Thaler, Neural resampler for Monte Carlo reweighting with preserved
    uncertainties, arXiv:2007.11586; the idea of refinement also in arXiv:2510.16217.

    J. R. Andersen, A. Maier, Unbiased elimination of negative weights in Monte Carlo samples,
    arXiv:2109.07851; J. R. Andersen, A. Maier, D. Maitre, Efficient negative-weight elimination in
    large high-multiplicity Monte Carlo event samples, arXiv:2303.15246.

    Examples
    --------
    >>> from skhep_ml.weights import apply_negative_weights
    >>> apply_negative_weights([[0.], [1.], [2.]], [0, 0, 1], [2., -1., 1.], "keep").tolist()
    [2.0, -1.0, 1.0]
    >>> apply_negative_weights([[0.], [1.], [2.]], [0, 0, 1], [2., -1., 1.], "pair").tolist()
    [1.0, 0.0, 1.0]
    >>> apply_negative_weights([[0.], [1.], [2.]], [0, 0, 1], [2., -1., 1.], "cell").tolist()
    [0.5, 0.5, 1.0]
    """
    if cell_radius is not None and not (policy == "cell" and cell_radius > 0):
        msg = (
            f"cell_radius must be a positive number, for policy 'cell', or None; got "
            f"{cell_radius!r} with policy {policy!r}"
        )
        raise ValueError(msg)
    if y is None:
        codes, classes = np.zeros(len(np.asarray(sample_weight)), dtype=np.intp), np.array(["all"])
    else:
        classes, codes = check_labels(y, len(np.asarray(y)))
    weight = check_event_weight(sample_weight, len(codes))
    if weight is None:
        check_policy(policy)
        return np.ones(len(codes))
    return training_weights(
        X,
        codes,
        classes,
        weight,
        policy,
        groups=groups,
        salt=salt,
        random_state=random_state,
        n_jobs=n_jobs,
        device=device,
        cell_radius=cell_radius,
    )


def training_weights(
    X: Any,
    codes: NDArray[np.intp],
    classes: NDArray[Any],
    weight: NDArray[np.float64],
    policy: str,
    *,
    n_jobs: int | None = None,
    cell_radius: float | None = None,
    **refine_options: Any,
) -> NDArray[np.float64]:
    """`apply_negative_weights` on checked weights and classes numbered from 0."""
    check_policy(policy)
    class_sums(codes, classes, weight)
    negative = weight < 0
    if not negative.any() or policy == "keep":
        return weight
    if policy == "raise":
        first = int(np.flatnonzero(negative)[0])
        msg = (
            f"{negative.sum()} of {len(weight)} weights are negative, first in event {first} "
            f"({weight[first]:.6g}), and negative_weights='raise'; 'refine' or 'keep' train on them"
        )
        raise ValueError(msg)
    if policy == "refine":
        return refine_weights(
            _features(X, len(weight)), codes, weight, n_jobs=n_jobs, **refine_options
        )
    if policy == "pair":
        return pair_weights(_positions(X, len(weight)), codes, weight, n_jobs=n_jobs)
    if policy == "cell":
        return cell_weights(
            _positions(X, len(weight)), codes, weight, n_jobs=n_jobs, cell_radius=cell_radius
        )
    share = -weight[negative].sum() / np.abs(weight).sum()
    msg = (
        f"negative_weights={policy!r} changes {negative.mean():.1%} of the events "
        f"({share:.1%} of the sum of abs(w)) and biases the model; 'refine' and 'keep' do not"
    )
    warnings.warn(msg, BiasedWeightsWarning, stacklevel=2)
    return np.where(negative, 0.0, weight) if policy == "drop" else np.abs(weight)


def _features(X: Any, n_events: int) -> NDArray[Any]:
    """X as a table of finite or missing floats, one row an event."""
    if issparse(X):
        msg = "negative_weights='refine', 'pair' and 'cell' need dense features, got a sparse X"
        raise ValueError(msg)
    array = np.asarray(unmasked(X))
    if array.ndim < 2:
        msg = (
            f"X has shape {array.shape}, a table is needed: reshape a single feature to (-1, 1), "
            "a single event to (1, -1)"
        )
        raise ValueError(msg)
    if len(array) != n_events:
        msg = f"X has {len(array)} events, but there are {n_events} weights"
        raise ValueError(msg)
    array = array.reshape(n_events, -1)
    if array.dtype.kind != "f":
        array = np.column_stack([_floats(column, k) for k, column in enumerate(array.T)])
    infinite = np.isinf(array)
    if infinite.any():
        row, column = np.argwhere(infinite)[0]
        msg = (
            f"X has {infinite.sum()} infinite values, first in event {row}, column {column}: "
            "make them NaN (missing) or remove the events"
        )
        raise ValueError(msg)
    return array


def _floats(column: NDArray[Any], position: int) -> NDArray[np.float64]:
    try:
        return column.astype(np.float64)
    except (TypeError, ValueError) as error:
        msg = (
            f"column {position} of X holds more than numbers ({error}): leave it out, or encode it"
        )
        raise ValueError(msg) from error


def _positions(X: Any, n_events: int) -> NDArray[Any]:
    """`_features`, with a warning about numbers that look like missing values."""
    array = _features(X, n_events)
    share = np.array([np.mean(column == _SENTINEL) for column in array.T])
    suspect = np.flatnonzero(share > _SENTINEL_SHARE)
    if len(suspect):
        names = list(getattr(X, "columns", range(array.shape[1])))
        shown = ", ".join(f"{names[k]!r} ({share[k]:.1%})" for k in suspect[:5])
        msg = (
            f"X is {_SENTINEL:g} in many events of {len(suspect)} columns, which distances take as "
            f"a number: {shown}; make missing values NaN before"
        )
        warnings.warn(msg, WeightWarning, stacklevel=2)
    return array


class TrainingWeights(NamedTuple):
    """Weights as an engine gets them.

    Attributes
    ----------
    train : ndarray of shape (n_events,)
        After policy, cap, class balance and scale.
    class_factor : ndarray of shape (n_classes,)
        What class balance multiplies the original signed weights of each class with: held-out
        losses use the original weights times this.
    signed : bool
        Whether ``train`` has negative entries (policy ``"keep"``).
    """

    train: NDArray[np.float64]
    class_factor: NDArray[np.float64]
    signed: bool


def prepare_weights(
    X: Any,
    codes: NDArray[np.intp],
    classes: NDArray[Any],
    sample_weight: NDArray[np.float64] | None,
    *,
    target: NDArray[Any] | None = None,
    negative_weights: str = "refine",
    weight_scale: str | None = "mean",
    class_weight: Any = None,
    weight_cap: float | None = None,
    **refine_options: Any,
) -> TrainingWeights | None:
    """Policy, cap, class balance and scale, in this order; None if there is nothing to weight.

    ``codes`` number the classes from 0; regression passes zeros, a single class, and its target,
    which policies then see beside X: else they would keep E[w | x], but not E[w y | x].
    """
    check_policy(negative_weights)
    if weight_scale not in ("mean", None):
        msg = f'weight_scale must be "mean" or None, got {weight_scale!r}'
        raise ValueError(msg)
    if weight_cap is not None and not 0 < weight_cap < 1:
        msg = f"weight_cap is a quantile of abs(w) between 0 and 1, got {weight_cap!r}"
        raise ValueError(msg)
    if not (class_weight is None or class_weight == "balanced" or isinstance(class_weight, dict)):
        msg = f'class_weight must be "balanced", a dict or None, got {class_weight!r}'
        raise ValueError(msg)
    if sample_weight is None:
        if class_weight is None:
            return None
        train = original = np.ones(len(codes))
    else:
        original = sample_weight
        if target is not None and len(classes) == 1 and original.min() < 0 and not issparse(X):
            X = np.column_stack([X, target.astype(X.dtype)])
        train = training_weights(X, codes, classes, original, negative_weights, **refine_options)
    if weight_cap is not None:
        train = _cap(train, weight_cap)
    factor = _class_factor(codes, classes, original, class_weight)
    if class_weight is not None:
        # drop, abs and the cap change the sums: training is balanced in what it sees
        train = train * _class_factor(codes, classes, train, class_weight)[codes]
    if weight_scale == "mean":
        size = np.abs(train)
        train = train * (np.count_nonzero(size) / size.sum())
    return TrainingWeights(train, factor, bool((train < 0).any()))


def _cap(weight: NDArray[np.float64], quantile: float) -> NDArray[np.float64]:
    size = np.abs(weight)
    limit = float(np.quantile(size[size > 0], quantile))
    over = size > limit
    lost = (size[over] - limit).sum() / size.sum()
    msg = (
        f"weight_cap={quantile} limits abs(w) to {limit:.6g} in {over.sum()} events, which takes "
        f"{lost:.1%} of the sum of abs(w) out of training"
    )
    warnings.warn(msg, WeightWarning, stacklevel=2)
    return np.clip(weight, -limit, limit)


def _class_factor(
    codes: NDArray[np.intp],
    classes: NDArray[Any],
    weight: NDArray[np.float64],
    class_weight: Any,
) -> NDArray[np.float64]:
    factor = np.ones(len(classes))
    if class_weight is None:
        return factor
    if class_weight == "balanced":
        sums = class_sums(codes, classes, weight)
        return sums.sum() / len(classes) / sums
    labels = classes.tolist()
    for label, value in class_weight.items():
        if label not in labels:
            msg = f"class_weight names {label!r}, but the classes are {labels}"
            raise ValueError(msg)
        factor[labels.index(label)] = value
    return factor
