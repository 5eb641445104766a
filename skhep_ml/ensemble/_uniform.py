"""Boosted trees whose scores are distributed alike over chosen variables."""

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit
from sklearn.utils import Tags
from sklearn.utils.multiclass import type_of_target

from skhep_ml._frames import column_positions
from skhep_ml.ensemble._bdt import BDTClassifier
from skhep_ml.ensemble._flatness_loss import (
    BinDeviation,
    NeighbourDeviation,
    NeighbourMargin,
    Term,
    flatness_loss,
    flatness_objective,
    neighbour_loss,
    neighbour_objective,
    staggered_edges,
)
from skhep_ml.ensemble._objectives import signed_logistic
from skhep_ml.weights._policies import TrainingWeights

# strength and neighbours of each loss where None is given
_STRENGTH = {"bins": 1.25, "knn": 1.25, "knn-ada": 0.8}
_NEIGHBORS = {"bins": 100, "knn": 100, "knn-ada": 10}


class UniformBDTClassifier(BDTClassifier):
    r"""Boosted decision trees whose efficiency is flat in chosen variables.

    A cut on the score of an ordinary classifier shapes the mass or the Dalitz plane of what
    passes. Here the loss also asks that, inside the classes named, neighbours in these variables
    have the score distribution of the whole class.

    Parameters
    ----------
    uniform_features : name, position, or list of them
        Columns of X in which the score should be flat.
    uniform_label : label or list of labels, default=None
        Classes in which it should be flat; None for both.
    train_features : list of names or positions, default=None
        Columns that the trees see; None for all but the uniform ones.
    loss : {"bins", "knn", "knn-ada"}, default="bins"
        What flatness means:

        - ``"bins"``: the score distributions of bins are compared with that of the class, in two
          grids that are half a bin apart;
        - ``"knn"``: those of the nearest events of the class;
        - ``"knn-ada"``: the log loss of an event is that of the mean margin of its nearest events
          of the class, so that a region of low efficiency gains weight.
    strength : float, default=None
        Trade-off between separation, at 0 the one of `BDTClassifier`, and flatness. For
        ``"bins"`` and ``"knn"`` a factor of the flatness term, 1.25 by default; for ``"knn-ada"``
        the share of the neighbours in the margin, at most 1 and 0.8 by default.
    n_bins : int, default=15
        Bins along each variable, of equal numbers of events; for the held-out loss of ``"knn"``
        too.
    n_neighbors : int, default=None
        Nearest events, itself included: 100 for ``"knn"``, 10 for ``"knn-ada"``.
    n_estimators : int, default=200
        Trees (rounds); an upper limit under early stopping.
    learning_rate : float, default=0.1
        Shrinkage of each tree.
    max_depth : int, default=5
        Depth of a tree; 0 for no limit.
    max_leaves : int, default=0
        Leaves of a tree; 0 for no limit.
    min_child_weight : float, default=1.0
        Smallest sum of second derivatives in a leaf, in units of the mean abs(w). Under
        ``negative_weights="keep"`` at least that of 64 / r^2 average events, r = sum w / sum
        abs(w).
    gamma : float, default=0.0
        Smallest loss reduction for a split.
    subsample : float, default=1.0
        Fraction of events drawn for each tree.
    colsample_bytree : float, default=1.0
        Fraction of features drawn for each tree.
    reg_alpha : float, default=0.0
        L1 penalty on leaf values.
    reg_lambda : float, default=1.0
        L2 penalty on leaf values, in units of the mean abs(w).
    max_bin : int, default=256
        Bins a feature is cut into.
    monotone_constraints : dict or sequence, default=None
        -1, 0 or 1 a column of X, by name (DataFrame) or number.
    negative_weights : {"refine", "keep", "pair", "cell", "drop", "abs", "raise"}, default="refine"
        What training does with negative weights, see `skhep_ml.weights.apply_negative_weights`;
        the policies that read features read all of X.
    weight_scale : {"mean", None}, default="mean"
        Divide weights by their mean abs(w), so that their unit does not matter; None passes them.
    class_weight : "balanced" or dict, default=None
        "balanced" gives all classes the same signed weight sum in training; a dict multiplies
        the weights of the classes it names.
    weight_cap : float, default=None
        Quantile of abs(w) at which training limits abs(w); a warning says what that takes away.
    early_stopping_rounds : int, default=None
        Stop when the metric on held-out events has not improved for this many rounds, and keep the
        best number of trees.
    validation_fraction : float, default=0.2
        Fraction of events held out for early stopping, by ``groups`` where given.
    eval_metric : scorer or callable, default=None
        What early stopping looks at: None for the loss with its flatness term, a scorer of
        `skhep_ml.metrics`, or a function (y_true, y_score, sample_weight) whose larger values are
        better.
    refit : bool, default=False
        After early stopping, fit again on all events with the best number of trees.
    salt : int, default=0
        Salt of the splits by event identifiers (early stopping, refinement).
    engine_params : dict, default=None
        More parameters for xgboost.
    device : str, default="auto"
        "cpu", "cuda", "cuda:1", ...; "auto" takes a GPU where one is. The loss is computed on the
        CPU.
    n_jobs : int, default=None
        Threads; None takes all cores.
    random_state : int, RandomState instance or None, default=None
        Seed of subsampling, splits and refinement.
    verbose : int, default=0
        Above 0: a progress bar.

    Attributes
    ----------
    uniform_columns_ : ndarray of int
        Positions of the uniform features in X.
    train_columns_ : ndarray of int
        Positions of the columns that the trees see.
    booster_ : xgboost.Booster
        The engine's model, of the train features alone.
    n_estimators_ : int
        Trees in it.
    best_iteration_, best_score_ : int, float
        With early stopping: the best round, counted from 0, and its metric.
    evals_result_ : dict
        Metric of every round, by evaluation set.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Columns, if fitted on a DataFrame; later DataFrames are read by these names.
    classes_ : ndarray of shape (2,)
        Class labels.

    See Also
    --------
    skhep_ml.weights.planing_weights : Flat training distributions by weights alone.

    Notes
    -----
    With weights w in units of their mean, margin s, strength c and p = 1 / (1 + exp(-s)), the loss
    of ``"bins"`` is

    .. math:: \sum_i w_i \ln\!\left(1 + e^{-y_i s_i}\right)
        + c \sum_u \kappa_u \sum_{b} W_{ub} \int \left(F_{ub}(s) - F_u(s)\right)^2 ds

    over the uniform classes u and bins b, averaged over the two grids; F are distribution
    functions of the score, and :math:`\kappa_u = 2 (1 - W_u / W)` gives c the same meaning
    whatever the ratio of the classes. An event of class u has the negative gradient

    .. math:: 2 c\, \kappa_u w_i \left(F_{ub}(s_i) - F_u(s_i)\right) + w_i (t_i - p_i)

    and the second derivative :math:`|w_i| (p_i(1 - p_i) + 0.1\, c\, \kappa_u)`, where t is 1 for
    the second class and 0 for the first, and 0.1 stands for twice a typical density of scores,
    which only sets the length of a step. ``"knn"`` puts the nearest events in the place of the bin.

    A bin or neighbourhood worth fewer than nine events, :math:`(\sum w)^2 < 9 \sum w^2`, counts in
    proportion: with signed weights (``negative_weights="keep"``) the gradient stays finite.

    ``"knn-ada"`` takes the log loss at :math:`(1 - c) s_i + c\, \overline{s}_i`, the last term the
    mean over the nearest events. It leaves more of the shape than the other two.

    Early stopping looks at the loss of held-out events, for ``"knn"`` with bins in its second
    term. From that term the expectation of a flat score is subtracted: without, it would grow with
    the range of the scores and the smallness of the bins.

    The probabilities are those of the penalised loss; calibrate them where the values matter.
    Distances are in units of the spread of each variable. ``"knn"`` holds 4 ``n_neighbors`` bytes
    for each event of the uniform classes.

    References
    ----------
    A. Rogozhnikov et al., New approaches for boosting to uniformity, JINST 10 (2015) T03002,
    arXiv:1410.4140.

    J. Stevens, M. Williams, uBoost: a boosting method for producing uniform selection efficiencies
    from multivariate classifiers, JINST 8 (2013) P12013, arXiv:1305.7248.

    Examples
    --------
    >>> from skhep_ml.datasets import make_dalitz
    >>> from skhep_ml.ensemble import UniformBDTClassifier
    >>> from skhep_ml.metrics import sde_flatness
    >>> events = make_dalitz(4000, as_frame=True, random_state=0)
    >>> def sde(strength):
    ...     model = UniformBDTClassifier(["m2_ab", "m2_bc"], 1, strength=strength, n_bins=5)
    ...     score = model.fit(events.data, events.target).decision_function(events.data)
    ...     plane = events.data[["m2_ab", "m2_bc"]]
    ...     return sde_flatness(events.target, score, plane, uniform_label=1, n_bins=5)
    >>> bool(sde(5.0) < 0.8 * sde(0.0))
    True
    """

    def __init__(
        self,
        uniform_features: Any,
        uniform_label: Any = None,
        train_features: Sequence[Any] | None = None,
        *,
        loss: str = "bins",
        strength: float | None = None,
        n_bins: int = 15,
        n_neighbors: int | None = None,
        n_estimators: int = 200,
        learning_rate: float = 0.1,
        max_depth: int = 5,
        max_leaves: int = 0,
        min_child_weight: float = 1.0,
        gamma: float = 0.0,
        subsample: float = 1.0,
        colsample_bytree: float = 1.0,
        reg_alpha: float = 0.0,
        reg_lambda: float = 1.0,
        max_bin: int = 256,
        monotone_constraints: Any = None,
        negative_weights: str = "refine",
        weight_scale: str | None = "mean",
        class_weight: Any = None,
        weight_cap: float | None = None,
        early_stopping_rounds: int | None = None,
        validation_fraction: float = 0.2,
        eval_metric: Any = None,
        refit: bool = False,
        salt: int = 0,
        engine_params: dict[str, Any] | None = None,
        device: str = "auto",
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            n_estimators,
            learning_rate=learning_rate,
            max_depth=max_depth,
            max_leaves=max_leaves,
            min_child_weight=min_child_weight,
            gamma=gamma,
            subsample=subsample,
            colsample_bytree=colsample_bytree,
            reg_alpha=reg_alpha,
            reg_lambda=reg_lambda,
            max_bin=max_bin,
            monotone_constraints=monotone_constraints,
            negative_weights=negative_weights,
            weight_scale=weight_scale,
            class_weight=class_weight,
            weight_cap=weight_cap,
            early_stopping_rounds=early_stopping_rounds,
            validation_fraction=validation_fraction,
            eval_metric=eval_metric,
            refit=refit,
            salt=salt,
            engine_params=engine_params,
            device=device,
            n_jobs=n_jobs,
            random_state=random_state,
            verbose=verbose,
        )
        self.uniform_features = uniform_features
        self.uniform_label = uniform_label
        self.train_features = train_features
        self.loss = loss
        self.strength = strength
        self.n_bins = n_bins
        self.n_neighbors = n_neighbors

    # --- checks ---------------------------------------------------------------------------------

    def _fit(
        self,
        X: NDArray[np.float32],
        target: NDArray[Any],
        codes: NDArray[np.intp],
        classes: NDArray[Any],
        sample_weight: ArrayLike | None,
        groups: Any,
        eval_set: Any,
        sample_weight_eval_set: Any,
    ) -> Any:
        if len(classes) > 2:
            kind = type_of_target(classes[codes])
            msg = (
                f"Only binary classification is supported. The type of the target is {kind}: y has "
                f"the classes {classes.tolist()}; BDTClassifier takes more than two"
            )
            raise ValueError(msg)
        self._find_columns(X)
        self._uniform_codes = self._find_labels()
        self._check_uniform(X, codes, "X")
        for code in self._uniform_codes:
            values = X[codes == code][:, self.uniform_columns_]
            constant = np.flatnonzero(np.ptp(values, axis=0) == 0)
            if len(constant):
                name = self._column_name(self.uniform_columns_[constant[0]])
                msg = (
                    f"uniform feature {name} is {values[0, constant[0]]:.6g} in every event of "
                    f"class {classes.tolist()[code]!r}: leave it out of uniform_features"
                )
                raise ValueError(msg)
        return super()._fit(
            X, target, codes, classes, sample_weight, groups, eval_set, sample_weight_eval_set
        )

    def _find_columns(self, X: NDArray[np.float32]) -> None:
        names = getattr(self, "feature_names_in_", None)
        names = None if names is None else list(names)

        def positions(columns: Any, argument: str) -> NDArray[np.intp]:
            if isinstance(columns, (str, numbers.Integral)):
                columns = [columns]
            found = column_positions(X, list(columns), names=names, argument=argument)
            return np.array(found, dtype=np.intp)

        self.uniform_columns_ = positions(self.uniform_features, "uniform_features")
        if not len(self.uniform_columns_):
            msg = "uniform_features is empty: name the columns in which the score should be flat"
            raise ValueError(msg)
        if self.train_features is None:
            everything = np.arange(self.n_features_in_)
            self.train_columns_ = np.setdiff1d(everything, self.uniform_columns_)
        else:
            self.train_columns_ = positions(self.train_features, "train_features")
        if not len(self.train_columns_):
            msg = (
                f"no features to train on: X has n_features = {self.n_features_in_}, and "
                f"uniform_features takes {len(self.uniform_columns_)} of them"
            )
            raise ValueError(msg)

    def _find_labels(self) -> list[int]:
        classes = self.classes_.tolist()
        if self.uniform_label is None:
            return [0, 1]
        given = self.uniform_label
        labels = list(given) if isinstance(given, (list, tuple, set, np.ndarray)) else [given]
        for label in labels:
            if label not in classes:
                msg = f"uniform_label names {label!r}, but the classes are {classes}"
                raise ValueError(msg)
        if not labels:
            msg = "uniform_label is empty: give a label, or None for both classes"
            raise ValueError(msg)
        return sorted({classes.index(label) for label in labels})

    def _check_uniform(self, X: NDArray[np.float32], codes: NDArray[np.intp], where: str) -> None:
        """Refuse missing values of the uniform features in the classes that should be flat."""
        rows = np.flatnonzero(np.isin(codes, self._uniform_codes))
        for column in self.uniform_columns_:
            missing = rows[~np.isfinite(X[rows, column])]
            if len(missing):
                msg = (
                    f"uniform feature {self._column_name(column)} is missing in {len(missing)} "
                    f"events of {where} that should be flat in it, first in event {missing[0]}: "
                    "leave these events out, or impute"
                )
                raise ValueError(msg)

    def _column_name(self, column: int) -> str:
        names = getattr(self, "feature_names_in_", None)
        return f"number {column}" if names is None else repr(str(names[column]))

    def _check_params(self) -> None:
        super()._check_params()
        if self.loss not in _STRENGTH:
            msg = f"loss must be one of {tuple(_STRENGTH)}, got {self.loss!r}"
            raise ValueError(msg)
        strength, share = self._strength(), self.loss == "knn-ada"
        if not (
            isinstance(strength, numbers.Real)
            and np.isfinite(float(strength))
            and 0 <= float(strength) <= (1 if share else np.inf)
        ):
            allowed = "between 0 and 1 (a share)" if share else "at least 0"
            msg = f"strength must be {allowed} for loss={self.loss!r}, got {self.strength!r}"
            raise ValueError(msg)
        for name in ("n_bins", "n_neighbors"):
            value = getattr(self, name)
            if value is None and name == "n_neighbors":
                continue
            if not isinstance(value, numbers.Integral) or value < 2:
                msg = f"{name} must be an integer of at least 2, got {value!r}"
                raise ValueError(msg)

    def _strength(self) -> Any:
        return _STRENGTH[self.loss] if self.strength is None else self.strength

    def _evaluation_sets(self, eval_set: Any, sample_weight_eval_set: Any) -> list[Any]:
        sets = super()._evaluation_sets(eval_set, sample_weight_eval_set)
        for k, (_, table, target, _) in enumerate(sets):
            self._check_uniform(table, target, f"eval_set[{k}]")
        return sets

    # --- training -------------------------------------------------------------------------------

    def _tree_columns(self) -> Any:
        return self.train_columns_

    def _own_training(
        self,
        X: NDArray[np.float32],
        target: NDArray[Any],
        prepared: TrainingWeights | None,
        sets: list[Any],
    ) -> tuple[Any, float, float, list[Any]] | None:
        strength = float(self._strength())
        if strength == 0:
            return super()._own_training(X, target, prepared, sets)
        weight = np.ones(len(target)) if prepared is None else prepared.train
        share = float(weight[target == 1].sum() / weight.sum())
        factors = [2 * strength * (share if code == 0 else 1 - share) for code in (0, 1)]
        size = _NEIGHBORS[self.loss] if self.n_neighbors is None else self.n_neighbors
        table = X[:, self.uniform_columns_]
        members = [np.flatnonzero(target == code) for code in self._uniform_codes]
        edges = [staggered_edges(table[rows], self.n_bins) for rows in members]
        classify = signed_logistic(target, weight)

        def mixed(table: NDArray[Any], target: NDArray[Any]) -> NeighbourMargin:
            parts = [np.flatnonzero(target == code) for code in self._uniform_codes]
            return NeighbourMargin(
                len(table), [(rows, table[rows]) for rows in parts if len(rows)], size, strength
            )

        def held_out(part: Any) -> Any:
            held = part.X[:, self.uniform_columns_]
            if self.loss == "knn-ada":
                return neighbour_loss(part.target, part.weight, mixed(held, part.target))
            terms = []
            for code, inner in zip(self._uniform_codes, edges, strict=True):
                rows = np.flatnonzero(part.target == code)
                w = part.weight[rows]
                if not w.sum() > 0:
                    msg = (
                        f"the weights of class {self.classes_.tolist()[code]!r} in {part.name} sum "
                        f"to {w.sum():.6g}: its flatness needs a positive sum; give more events"
                    )
                    raise ValueError(msg)
                terms.append(Term(rows, w, factors[code], BinDeviation(held[rows], w, inner)))
            return flatness_loss(part.target, part.weight, terms)

        if self.loss == "knn-ada":
            objective = neighbour_objective(classify, mixed(table, target))
        else:
            terms = []
            for code, rows, inner in zip(self._uniform_codes, members, edges, strict=True):
                values, w = table[rows], weight[rows]
                deviation: Any = (
                    BinDeviation(values, w, inner)
                    if self.loss == "bins"
                    else NeighbourDeviation(values, w, size)
                )
                terms.append(Term(rows, w, factors[code], deviation))
            objective = flatness_objective(classify, terms)
        if self.eval_metric in (None, "loss"):
            sets = [part._replace(loss=held_out(part)) for part in sets]
        start = np.full(len(target), logit(share), dtype=np.float32)
        curvature = float(objective(start, None)[1].sum() / np.abs(weight).sum())
        return objective, share, curvature, sets

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags
