"""Gradient-boosted reweighting on the xgboost engine."""

import json
import numbers
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhep_ml._device import resolve_device
from skhep_ml.exceptions import WeightWarning
from skhep_ml.reweighting._base import BaseReweighter, Samples

_GB_ARGS = (
    "subsample",
    "max_features",
    "max_leaf_nodes",
    "min_samples_split",
    "splitter",
    "update_tree",
    "random_state",
)


class GBReweighter(BaseReweighter):
    r"""Reweighting by boosted trees, for many features and their correlations.

    Each tree looks for the regions where the two samples differ most, and multiplies the original's
    weights there by a power of the ratio of the sums of weights.

    Parameters
    ----------
    n_estimators : int, default=40
        Number of trees.
    learning_rate : float, default=0.2
        Exponent of each tree's ratios. Smaller values need more trees and give smoother weights.
    max_depth : int or None, default=3
        Depth of the trees: up to so many features enter a correlation. None is for no limit.
    min_samples_leaf : float, default=200
        Smallest sum of both samples' weights in a leaf, in effective events, see Notes.
    loss_regularization : float, default=5.0
        Effective events of both samples that are added to every leaf.
    gb_args : dict, default=None
        Further settings by the names that ``hep_ml`` gives them: ``subsample``, ``max_features``
        (drawn for every split), ``max_leaf_nodes``, ``random_state``; ``min_samples_split`` up to
        twice ``min_samples_leaf``, ``splitter="best"`` and ``update_tree=True``, which say what
        happens anyway.
    max_bin : int, default=64
        Bins of each feature, by quantiles: splits lie on their edges.
    normalize : {"original", "target"} or None, default="original"
        Sum of weights that the reweighted original of the fit gets: its own, so that the mean ratio
        is 1; the target's; or with None none in particular, as in ``hep_ml``.
    negative_weights : {"refine", "keep", "pair", "cell", "drop", "abs", "raise"}, default="refine"
        What training does with negative weights in either sample, see
        `skhep_ml.weights.apply_negative_weights`. ``"keep"`` takes signed sums, see Notes.
    n_replicas : int, default=0
        Poisson bootstrap replicas of both samples, each with a model of its own, for uncertainties.
    device : str, default="auto"
        "auto", "cpu", "cuda" or "cuda:<number>".
    n_jobs : int, default=None
        Threads; None takes all.
    random_state : int, RandomState instance or None, default=None
        Seed of subsamples, refinement and replicas.
    verbose : int, default=0
        Show progress.

    Attributes
    ----------
    booster_ : xgboost.Booster
        The trees; its margin is the logarithm of the ratio before normalisation.
    max_ratio_ : float
        Largest ratio of the original's events in fit, before normalisation; no event gets more.
    normalization_ : float
        Factor on the ratio.
    effective_size_ : float
        Harmonic mean of the two samples' effective sizes, under the training weights.
    replicas_ : list of GBReweighter
        The bootstrap replicas.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of str
        Their names, if ``original`` was a DataFrame.

    See Also
    --------
    BinsReweighter : Smoothed histograms, for one or two features.

    Notes
    -----
    Both samples are scaled to the same sum of weights, n = 2 / (1/n_o + 1/n_t) with the effective
    sizes :math:`(\sum w)^2 / \sum w^2` of original and target, so that ``min_samples_leaf`` and
    ``loss_regularization`` count effective events. For two unweighted samples of one size these are
    events, as in ``hep_ml``, which counts raw events and gives each sample the sum of the mean
    size.

    In each leaf the original's weights are multiplied by :math:`((W_t + \rho)/(W_o + \rho))^\eta`,
    where W are the sums of the present weights, :math:`\rho` is ``loss_regularization`` and
    :math:`\eta` is ``learning_rate``; then the original is scaled to the sum n again. Trees are
    grown on the gradient :math:`\pm w` with second derivative w and penalty :math:`2\rho`: gains
    are those of a symmetrised chi-squared between the samples, and Newton's step is
    :math:`v = (W_t - W_o)/(W_t + W_o + 2\rho)`, from which the wanted logarithm follows exactly:
    :math:`\ln((W_t + \rho)/(W_o + \rho)) = 2\,\mathrm{artanh}(v)`.

    Where the target has events and the original has none, leaves would raise the ratio with every
    tree, without effect on the fit, until a single new event there outweighs all others. So no
    ratio exceeds the largest one that an event of the original had in fit.

    Under ``"keep"`` the sums W are signed, and a leaf holds ``min_samples_leaf`` of the net sum. A
    negative sum of the target counts as 0, one of the original leaves its leaf as it is.

    Missing values (NaN) are taken: a tree sends them to the side that suits the two samples.

    References
    ----------
    A. Rogozhnikov, Reweighting with boosted decision trees, J. Phys. Conf. Ser. 762 (2016) 012036,
    arXiv:1608.05806.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.reweighting import GBReweighter
    >>> rng = np.random.default_rng(0)
    >>> simulation = rng.normal(0.0, 1.0, size=(5000, 2))
    >>> data = rng.normal(0.2, 1.0, size=(5000, 2))
    >>> reweighter = GBReweighter(device="cpu", random_state=0).fit(simulation, data)
    >>> weights = reweighter.predict_weights(simulation)
    >>> bool(abs(np.average(simulation[:, 0], weights=weights) - data[:, 0].mean()) < 0.02)
    True
    """

    _allow_nan = True

    def __init__(
        self,
        n_estimators: int = 40,
        learning_rate: float = 0.2,
        max_depth: int | None = 3,
        min_samples_leaf: float = 200,
        loss_regularization: float = 5.0,
        gb_args: dict[str, Any] | None = None,
        *,
        max_bin: int = 64,
        normalize: str | None = "original",
        negative_weights: str = "refine",
        n_replicas: int = 0,
        device: str = "auto",
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.max_depth = max_depth
        self.min_samples_leaf = min_samples_leaf
        self.loss_regularization = loss_regularization
        self.gb_args = gb_args
        self.max_bin = max_bin
        self.normalize = normalize
        self.negative_weights = negative_weights
        self.n_replicas = n_replicas
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _check_params(self) -> None:
        for name, least in (("n_estimators", 1), ("max_depth", 1), ("max_bin", 2)):
            value = getattr(self, name)
            if value is None and name == "max_depth":
                continue
            if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < least:
                msg = f"{name} must be an integer of at least {least}, got {value!r}"
                raise ValueError(msg)
        for name in ("learning_rate", "min_samples_leaf", "loss_regularization"):
            value = getattr(self, name)
            if not isinstance(value, numbers.Real) or not 0 < float(value) < np.inf:
                msg = f"{name} must be a positive number, got {value!r}"
                raise ValueError(msg)
        if self.min_samples_leaf < 1:
            msg = (
                f"min_samples_leaf={self.min_samples_leaf!r} counts effective events, and cannot "
                "be a share of them: give at least 1"
            )
            raise ValueError(msg)
        resolve_device(self.device)
        self._check_gb_args()
        self._feature_share((self.gb_args or {}).get("max_features"))

    def _check_gb_args(self) -> None:
        given = self.gb_args or {}
        unknown = sorted(set(given) - set(_GB_ARGS))
        if unknown:
            hint = "; select features by the columns you pass" if "train_features" in given else ""
            msg = f"gb_args has {unknown}, which this engine does not know: it takes {_GB_ARGS}"
            raise ValueError(msg + hint)
        subsample = given.get("subsample", 1.0)
        if not isinstance(subsample, numbers.Real) or not 0 < float(subsample) <= 1:
            msg = f"gb_args['subsample'] must lie in (0, 1], got {subsample!r}"
            raise ValueError(msg)
        leaves = given.get("max_leaf_nodes")
        if leaves is not None and (not isinstance(leaves, numbers.Integral) or leaves < 2):
            msg = f"gb_args['max_leaf_nodes'] must be an integer of at least 2, got {leaves!r}"
            raise ValueError(msg)
        split = given.get("min_samples_split", 2)
        if not isinstance(split, numbers.Integral) or int(split) > 2 * self.min_samples_leaf:
            msg = (
                f"gb_args['min_samples_split']={split!r} is no integer up to twice "
                f"min_samples_leaf={self.min_samples_leaf}, which this engine cannot do: raise "
                "min_samples_leaf"
            )
            raise ValueError(msg)
        for name, fixed in (("splitter", "best"), ("update_tree", True)):
            if given.get(name, fixed) != fixed:
                msg = f"gb_args[{name!r}] can only be {fixed!r} here, got {given[name]!r}"
                raise ValueError(msg)
        if given.get("random_state") is not None and self.random_state is not None:
            msg = "random_state is given twice, in gb_args too: keep one"
            raise ValueError(msg)

    def _given_random_state(self) -> Any:
        in_args = (self.gb_args or {}).get("random_state")
        return self.random_state if in_args is None else in_args

    def _fit(self, samples: Samples, seed: int) -> NDArray[np.float64]:
        from skhep_ml.ensemble._engine import train_booster

        original, target, w_original, w_target, _ = samples
        size = self.effective_size_
        if size < self.min_samples_leaf:
            msg = (
                f"the samples have an effective size of {size:.0f} events each, too few for two "
                f"leaves of min_samples_leaf={self.min_samples_leaf}: all ratios are equal; lower "
                "it, or give more events"
            )
            warnings.warn(msg, WeightWarning, stacklevel=4)
        table = _stack_single(original, target)
        device = resolve_device(self.device)
        objective = _RatioObjective(
            w_original, w_target, size, self.learning_rate, self.loss_regularization
        )
        booster, _ = train_booster(
            table,
            np.zeros(len(table), dtype=np.float32),
            None,
            self._engine_params(device, seed),
            self.n_estimators,
            objective=objective,
            progress=self.verbose > 0,
        )
        self.booster_ = _with_leaves(booster, objective.log_factor)
        self.booster_.set_param({"device": device, "nthread": self.n_jobs or 0})
        ratio = self._tree_ratio(original)
        self.max_ratio_ = float(ratio[w_original != 0].max())
        return np.minimum(ratio, self.max_ratio_)

    def _engine_params(self, device: str, seed: int) -> dict[str, Any]:
        given = self.gb_args or {}
        params = {
            "tree_method": "hist",
            "max_depth": self.max_depth or 0,
            # whole Newton steps: the objective turns them into ratios and applies the rate
            "learning_rate": 1.0,
            "min_child_weight": self.min_samples_leaf,
            "reg_lambda": 2 * self.loss_regularization,
            "max_bin": self.max_bin,
            "subsample": given.get("subsample", 1.0),
            "colsample_bynode": self._feature_share(given.get("max_features")),
            "base_score": 0.0,
            "device": device,
            "nthread": self.n_jobs or 0,
            "seed": seed,
            "verbosity": 1,
            "disable_default_eval_metric": 1,
        }
        if given.get("max_leaf_nodes") is not None:
            params["grow_policy"] = "lossguide"
            params["max_leaves"] = int(given["max_leaf_nodes"])
        return params

    def _feature_share(self, max_features: Any) -> float:
        """Share of features for each split, from scikit-learn's ways to say it."""
        n = self.n_features_in_
        if max_features is None:
            return 1.0
        integer = isinstance(max_features, numbers.Integral) and not isinstance(max_features, bool)
        if max_features in ("sqrt", "log2"):
            count = int(np.sqrt(n) if max_features == "sqrt" else np.log2(n))
        elif integer and 1 <= max_features <= n:
            count = int(max_features)
        elif not integer and isinstance(max_features, float) and 0 < max_features <= 1:
            count = int(max_features * n)
        else:
            msg = (
                'gb_args["max_features"] must be "sqrt", "log2", an integer from 1 to the number '
                f"of features ({n}) or a share in (0, 1], got {max_features!r}"
            )
            raise ValueError(msg)
        # the engine rounds down
        return min(1.0, (max(1, count) + 0.5) / n)

    def _ratio(self, X: NDArray[Any]) -> NDArray[np.float64]:
        return np.minimum(self._tree_ratio(X), self.max_ratio_)

    def _tree_ratio(self, X: NDArray[Any]) -> NDArray[np.float64]:
        margin = self.booster_.inplace_predict(
            X.astype(np.float32, copy=False), predict_type="margin", validate_features=False
        )
        return np.exp(margin, dtype=np.float64)


class _RatioObjective:
    """Gradients of the two samples; keeps the original's log weights between the rounds."""

    def __init__(
        self,
        w_original: NDArray[np.float64],
        w_target: NDArray[np.float64],
        size: float,
        learning_rate: float,
        regularization: float,
    ) -> None:
        self._n = len(w_original)
        self._size = size
        self._rate = np.float32(learning_rate)
        # what steps of sums >= 0 do not exceed
        self._limit = np.float32(size / (size + 2 * regularization))
        self._w_original = w_original.astype(np.float32)
        # the target's part never changes
        self._hessian = np.empty(self._n + len(w_target), dtype=np.float32)
        self._hessian[self._n :] = w_target * (size / w_target.sum())
        self._gradient = -self._hessian
        self._score = np.zeros(self._n, dtype=np.float32)
        self._margin = np.zeros(self._n, dtype=np.float32)

    def log_factor(self, step: NDArray[np.float32]) -> NDArray[np.float32]:
        """What a leaf adds to the log ratio, from Newton's step."""
        # a negative sum of the target counts as 0. One of the original says nothing: to raise
        # weights there would make it more negative still, and so on
        step = np.where(step <= self._limit, np.maximum(step, -self._limit), np.float32(0))
        return self._rate * np.log((1 + step) / (1 - step))

    def __call__(
        self, margin: NDArray[np.float32], _: Any
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        margin = np.asarray(margin, dtype=np.float32)[: self._n]
        self._score += self.log_factor(margin - self._margin)
        self._margin[:] = margin
        weight = self._w_original * np.exp(self._score)
        total = weight.sum(dtype=np.float64)
        if not total > 0:
            msg = (
                "negative_weights='keep': the reweighted original sums to a negative number after "
                "some trees; its negative weights prevail where the target lies. Take 'refine', "
                "more events or a larger min_samples_leaf"
            )
            raise ValueError(msg)
        weight *= self._size / total
        self._hessian[: self._n] = weight
        self._gradient[: self._n] = weight
        return self._gradient, self._hessian


def _stack_single(original: NDArray[Any], target: NDArray[Any]) -> NDArray[np.float32]:
    """Both samples in the engine's precision."""
    table = np.empty((len(original) + len(target), original.shape[1]), dtype=np.float32)
    with np.errstate(over="ignore"):
        table[: len(original)] = original
        table[len(original) :] = target
    large = np.isinf(table).any(axis=0)
    if large.any():
        msg = (
            f"columns {np.flatnonzero(large).tolist()} hold values beyond the range of float32 "
            f"({np.finfo(np.float32).max:.3g}): change their unit"
        )
        raise ValueError(msg)
    return table


def _with_leaves(booster: Any, transform: Any) -> Any:
    """Booster whose leaf values are ``transform`` of the given one's."""
    import xgboost

    model = json.loads(bytes(booster.save_raw("json")))
    for tree in model["learner"]["gradient_booster"]["model"]["trees"]:
        leaf = np.array(tree["left_children"]) < 0
        # where a node does not split, this holds its value
        values = np.array(tree["split_conditions"], dtype=np.float32)
        values[leaf] = transform(values[leaf])
        tree["split_conditions"] = values.tolist()
    return xgboost.Booster(model_file=bytearray(json.dumps(model), "utf-8"))
