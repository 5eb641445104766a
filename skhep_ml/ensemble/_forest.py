"""Random forests on physics weights: scikit-learn's trees, our weights."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn.ensemble
from joblib import effective_n_jobs
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from skhep_ml._masks import unmasked
from skhep_ml._validation import align_columns, check_event_id, check_event_weight
from skhep_ml.ensemble._objectives import signed_leaf_events
from skhep_ml.exceptions import WeightWarning
from skhep_ml.weights._policies import TrainingWeights, check_policy, prepare_weights

# what a forest of signed trees shares with the estimator it stands in for
_TREE_PARAMETERS = (
    "n_estimators",
    "max_depth",
    "min_samples_split",
    "min_samples_leaf",
    "min_weight_fraction_leaf",
    "max_features",
    "max_leaf_nodes",
    "min_impurity_decrease",
    "bootstrap",
    "oob_score",
    "n_jobs",
    "random_state",
    "verbose",
    "warm_start",
    "ccp_alpha",
    "max_samples",
)


class _WeightedForest:
    """Weights, column names and out-of-bag scores; left of a forest of scikit-learn."""

    __metadata_request__fit = {"sample_weight": True, "groups": True}
    __metadata_request__score = {"sample_weight": True}

    _signed_criterion: str
    _signed: Any

    def _fit_forest(
        self: Any,
        X: NDArray[np.float32],
        y: NDArray[Any],
        codes: NDArray[np.intp],
        classes: NDArray[Any],
        sample_weight: ArrayLike | None,
        groups: Any,
    ) -> Any:
        """Fit on a validated table; ``codes`` number the classes (all 0 in regression)."""
        weight = check_event_weight(sample_weight, len(codes))
        if groups is not None:
            groups = np.column_stack(check_event_id(groups, len(codes)))
        negative = weight is not None and bool((weight < 0).any())
        if negative and self.negative_weights == "keep":
            self._check_signed_params()
        prepared = prepare_weights(
            X,
            codes,
            classes,
            weight,
            target=y,
            negative_weights=self.negative_weights,
            weight_scale=self.weight_scale,
            class_weight=getattr(self, "class_weight", None),
            weight_cap=self.weight_cap,
            groups=groups,
            salt=self.salt,
            random_state=self.random_state,
            n_jobs=effective_n_jobs(self.n_jobs),
        )
        signed = prepared is not None and prepared.signed
        if self.warm_start and hasattr(self, "estimators_") and signed == (self._signed is None):
            msg = (
                "warm_start: the trees so far were grown "
                f"{'without' if signed else 'on'} signed weights, the new ones would not match "
                "them; fit a new forest"
            )
            raise ValueError(msg)
        names = getattr(self, "feature_names_in_", None)
        with warnings.catch_warnings():
            # ours says what share of the weight it is, and what helps
            warnings.filterwarnings("ignore", "Some inputs do not have OOB scores")
            if signed:
                self._fit_signed(X, y, codes, prepared)
            else:
                self._fit_engine(X, y, None if prepared is None else prepared.train)
        if names is not None:  # the engine saw a bare table
            self.feature_names_in_ = names
        if self.oob_score:
            self._score_out_of_bag(y, codes, weight)
        return self

    def _fit_engine(self: Any, X: Any, y: Any, weight: NDArray[np.float64] | None) -> None:
        """scikit-learn's own fit, without what our weights and scores do already."""
        own = {"class_weight": None, "oob_score": bool(self.oob_score)}
        saved = {name: getattr(self, name) for name in own if hasattr(self, name)}
        for name in saved:
            setattr(self, name, own[name])
        try:
            super().fit(X, y, weight)  # type: ignore[misc]
        finally:
            for name, value in saved.items():
                setattr(self, name, value)
        self._signed = None

    def _fit_signed_trees(
        self: Any, X: Any, target: NDArray[np.float64], weight: NDArray[np.float64]
    ) -> None:
        """Grow trees on signed targets under abs(w), and take them over.

        A leaf holds at least the distinct events of `signed_leaf_events`.
        """
        size = np.abs(weight)
        n_events = np.count_nonzero(size)
        events = int(np.ceil(signed_leaf_events(weight, stacklevel=5)))
        params = {name: getattr(self, name) for name in _TREE_PARAMETERS}
        leaf = params["min_samples_leaf"]
        wanted = leaf if leaf >= 1 else int(np.ceil(leaf * len(weight)))
        params["min_samples_leaf"] = max(wanted, events)
        if not self.bootstrap:  # no draw by weight: many light events do not make a leaf either
            share = min(events / n_events, 0.5)
            params["min_weight_fraction_leaf"] = max(self.min_weight_fraction_leaf, share)
        params["oob_score"] = bool(self.oob_score)
        forest = sklearn.ensemble.RandomForestRegressor(**params)
        if self.warm_start and hasattr(self, "estimators_"):
            forest.estimators_ = self.estimators_
        unfitted = vars(clone(forest)).keys()
        forest.fit(X, target, size)
        for name in vars(forest).keys() - unfitted:
            setattr(self, name, getattr(forest, name))
        self._signed = forest

    def _score_out_of_bag(
        self: Any, y: NDArray[Any], codes: NDArray[np.intp], weight: NDArray[np.float64] | None
    ) -> None:
        """Score under the original weights, over events that some tree has not drawn."""
        out = np.zeros(len(codes), dtype=bool)
        for drawn in self._get_estimators_indices():  # estimators_samples_ would hold all at once
            left = np.ones(len(codes), dtype=bool)
            left[drawn] = False
            out |= left
        size = np.ones(len(codes)) if weight is None else np.abs(weight)
        share = 1 - size[out].sum() / size.sum()
        if not out.all():
            msg = (
                f"{np.sum(~out)} events ({share:.1%} of the sum of abs(w)) were drawn by every "
                "tree and do not count in oob_score_: heavy events are drawn often; take more "
                "trees, a smaller max_samples, or a weight_cap"
            )
            warnings.warn(msg, WeightWarning, stacklevel=4)
        if not out.any():
            self.oob_score_ = float("nan")
            return
        self.oob_score_ = self._out_of_bag_score(
            y, codes, out, {} if weight is None else {"sample_weight": weight[out]}
        )

    def _check_signed_params(self: Any) -> None:
        if self.criterion != self._signed_criterion:
            msg = (
                f"negative_weights='keep' grows trees by criterion={self._signed_criterion!r}, "
                f"got {self.criterion!r}: leave it, or choose 'refine'"
            )
            raise ValueError(msg)
        if self.monotonic_cst is not None:
            msg = "monotonic_cst is not defined under negative_weights='keep': choose 'refine'"
            raise ValueError(msg)

    def _validate_X_predict(self, X: Any) -> Any:
        # the one place through which predict, predict_proba, apply and decision_path go
        check_is_fitted(self)
        return super()._validate_X_predict(unmasked(align_columns(self, X)))  # type: ignore[misc]


class RandomForestClassifier(_WeightedForest, sklearn.ensemble.RandomForestClassifier):
    r"""Random forest for classification, with signed event weights.

    scikit-learn's `RandomForestClassifier` with the weight handling of this package; all its
    methods and attributes are there.

    Parameters
    ----------
    n_estimators : int, default=100
        Trees.
    criterion : {"gini", "entropy", "log_loss"}, default="gini"
        What splits minimise; "gini" where signed weights are kept.
    max_depth : int, default=None
        Depth of a tree; None grows until leaves are pure. Leaves of a few dozen events
        (``min_samples_leaf``) make overlapping classes quicker and better.
    min_samples_split, min_samples_leaf, min_weight_fraction_leaf, max_features :
        As in scikit-learn. Under ``negative_weights="keep"`` a leaf holds at least 64 / r^2
        events, r = sum w / sum abs(w).
    max_leaf_nodes, min_impurity_decrease, bootstrap, n_jobs, verbose, warm_start :
        As in scikit-learn.
    ccp_alpha, max_samples, monotonic_cst :
        As in scikit-learn; ``negative_weights="keep"`` refuses ``monotonic_cst``.
    oob_score : bool or callable, default=False
        Estimate the score with the trees that have not drawn an event; True for the accuracy, or a
        metric ``(y_true, y_pred, sample_weight=)`` on class numbers. It gets the original signed
        weights; without weights, two arguments.
    random_state : int, RandomState instance or None, default=None
        Seed of the trees and of refinement.
    negative_weights : {"refine", "keep", "pair", "cell", "drop", "abs", "raise"}, default="refine"
        What training does with negative weights, see `skhep_ml.weights.apply_negative_weights`.
    weight_scale : {"mean", None}, default="mean"
        Divide weights by their mean abs(w), so that a ``max_samples`` below 1 is a fraction of the
        events; None passes them.
    class_weight : "balanced" or dict, default=None
        "balanced" gives all classes the same signed weight sum in training; a dict multiplies
        the weights of the classes it names.
    weight_cap : float, default=None
        Quantile of abs(w) at which training limits abs(w); a warning says what that takes away.
    salt : int, default=0
        Salt of refinement's split by event identifiers.

    Attributes
    ----------
    classes_, n_classes_, n_features_in_, feature_names_in_, feature_importances_ :
        As in scikit-learn.
    estimators_, oob_decision_function_, estimators_samples_ :
        As in scikit-learn; where signed weights were kept, ``estimators_`` are regression trees.
    oob_score_ : float
        Score over the events that at least one tree has not drawn, under the original weights.

    Notes
    -----
    With weights >= 0 the result is scikit-learn's own on w / mean(w). Since version 1.9 it draws
    bootstrap events with a probability proportional to their weight and gives them weight one, so
    events that weigh more than about ten times the mean are hardly ever out of bag. A warning says
    what share of the weight that is; a smaller ``max_samples`` and more trees lower it.

    Under ``"keep"`` each tree regresses :math:`\mathrm{sign}(w)\,1[y=k]` under abs(w). For
    weights >= 0 that is a classification tree by the Gini index. With signs its leaves hold

    .. math:: v_k(x) = \frac{\sum_{y=k} w}{\sum |w|}

    and the forest averages them: :math:`p_k = \max(v_k, 0)/\sum_j \max(v_j, 0)`, and the class
    fractions where no class has a positive mean.

    References
    ----------
    L. Breiman, Random forests, Machine Learning 45 (2001) 5, doi:10.1023/A:1010933404324.

    Examples
    --------
    >>> from skhep_ml.datasets import make_signed_events
    >>> from skhep_ml.ensemble import RandomForestClassifier
    >>> events = make_signed_events(1000, negative_fraction=0.2, random_state=0)
    >>> model = RandomForestClassifier(20, min_samples_leaf=10, random_state=0)
    >>> p = model.fit(events.data, events.target, sample_weight=events.weight).predict_proba(
    ...     events.data
    ... )
    >>> bool((p >= 0).all() and (p <= 1).all())
    True
    """

    _signed_criterion = "gini"

    def __init__(
        self,
        n_estimators: int = 100,
        *,
        criterion: str = "gini",
        max_depth: int | None = None,
        min_samples_split: Any = 2,
        min_samples_leaf: Any = 1,
        min_weight_fraction_leaf: float = 0.0,
        max_features: Any = "sqrt",
        max_leaf_nodes: int | None = None,
        min_impurity_decrease: float = 0.0,
        bootstrap: bool = True,
        oob_score: bool | Callable[..., float] = False,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
        warm_start: bool = False,
        class_weight: Any = None,
        ccp_alpha: float = 0.0,
        max_samples: Any = None,
        monotonic_cst: Any = None,
        negative_weights: str = "refine",
        weight_scale: str | None = "mean",
        weight_cap: float | None = None,
        salt: int = 0,
    ) -> None:
        super().__init__(
            n_estimators,
            criterion=criterion,
            max_depth=max_depth,
            min_samples_split=min_samples_split,
            min_samples_leaf=min_samples_leaf,
            min_weight_fraction_leaf=min_weight_fraction_leaf,
            max_features=max_features,
            max_leaf_nodes=max_leaf_nodes,
            min_impurity_decrease=min_impurity_decrease,
            bootstrap=bootstrap,
            oob_score=oob_score,
            n_jobs=n_jobs,
            random_state=random_state,
            verbose=verbose,
            warm_start=warm_start,
            class_weight=class_weight,
            ccp_alpha=ccp_alpha,
            max_samples=max_samples,
            monotonic_cst=monotonic_cst,
        )
        self.negative_weights = negative_weights
        self.weight_scale = weight_scale
        self.weight_cap = weight_cap
        self.salt = salt

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> "RandomForestClassifier":
        """Fit the forest.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features; NaN marks missing values.
        y : array-like of shape (n_events,)
            Class labels.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign and unit.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers; refinement then splits by event.

        Returns
        -------
        self : RandomForestClassifier
            The fitted forest.

        Raises
        ------
        ValueError
            Wrong weights, identifiers, lengths or parameters; a single class or one whose weights
            do not sum to something positive.

        Warns
        -----
        WeightWarning
            Weights under ``"keep"`` that cancel to so little that the events do not fill two
            leaves; events that have no out-of-bag estimate, with their share of the weight.
        """
        check_policy(self.negative_weights)
        self._validate_params()
        table, label = validate_data(
            self,
            unmasked(X),
            y,
            accept_sparse="csc",
            dtype=np.float32,
            ensure_all_finite="allow-nan",
        )
        check_classification_targets(label)
        classes, codes = np.unique(label, return_inverse=True)
        if len(classes) < 2:
            msg = f"only one class in y: {classes.tolist()}; a classifier needs two"
            raise ValueError(msg)
        return self._fit_forest(table, label, codes, classes, sample_weight, groups)

    def _fit_signed(
        self, X: Any, y: NDArray[Any], codes: NDArray[np.intp], prepared: TrainingWeights
    ) -> None:
        weight = prepared.train
        self.classes_ = np.unique(y)
        self.n_classes_ = len(self.classes_)
        target = np.zeros((len(codes), self.n_classes_))
        # impurities are means over the targets: with the root their sum, the Gini index
        target[np.arange(len(codes)), codes] = np.sign(weight) * np.sqrt(self.n_classes_)
        sums = np.bincount(codes, weight)
        self._class_share = sums / sums.sum()
        self._fit_signed_trees(X, target, weight)
        self.n_outputs_ = 1
        if self.oob_score:
            del self.oob_prediction_
            self.oob_decision_function_ = self._probabilities(self._signed.oob_prediction_)

    def _probabilities(self, mean: NDArray[np.float64]) -> NDArray[np.float64]:
        p = np.maximum(mean, 0.0)
        total = p.sum(axis=1, keepdims=True)
        return np.where(total > 0, p / np.where(total > 0, total, 1.0), self._class_share)

    def _out_of_bag_score(
        self, y: Any, codes: NDArray[np.intp], out: NDArray[np.bool_], weight: dict[str, Any]
    ) -> float:
        metric = self.oob_score if callable(self.oob_score) else accuracy_score
        return float(metric(codes[out], self.oob_decision_function_[out].argmax(axis=1), **weight))

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Predict class probabilities.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features; a DataFrame's columns are used by name.

        Returns
        -------
        ndarray of shape (n_events, n_classes)
            Probabilities, in the order of ``classes_``.
        """
        check_is_fitted(self)
        if self._signed is None:
            return super().predict_proba(X)
        return self._probabilities(self._signed.predict(self._validate_X_predict(X)))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = False
        tags.target_tags.multi_output = False
        return tags


class RandomForestRegressor(_WeightedForest, sklearn.ensemble.RandomForestRegressor):
    r"""Random forest for regression, with signed event weights.

    scikit-learn's `RandomForestRegressor` with the weight handling of this package; all its
    methods and attributes are there.

    Parameters
    ----------
    n_estimators : int, default=100
        Trees.
    criterion : {"squared_error", "absolute_error", "poisson"}, default="squared_error"
        What splits minimise; "squared_error" where signed weights are kept.
    max_depth : int, default=None
        Depth of a tree; None grows until leaves are pure. Leaves of a few dozen events
        (``min_samples_leaf``) make noisy targets quicker and better.
    min_samples_split, min_samples_leaf, min_weight_fraction_leaf, max_features :
        As in scikit-learn. Under ``negative_weights="keep"`` a leaf holds at least 64 / r^2
        events, r = sum w / sum abs(w).
    max_leaf_nodes, min_impurity_decrease, bootstrap, n_jobs, verbose, warm_start :
        As in scikit-learn.
    ccp_alpha, max_samples, monotonic_cst :
        As in scikit-learn; ``negative_weights="keep"`` refuses ``monotonic_cst``.
    oob_score : bool or callable, default=False
        Estimate the score with the trees that have not drawn an event; True for R^2, or a metric
        ``(y_true, y_pred, sample_weight=)``. It gets the original signed weights; without weights,
        two arguments.
    random_state : int, RandomState instance or None, default=None
        Seed of the trees and of refinement.
    negative_weights : {"refine", "keep", "pair", "cell", "drop", "abs", "raise"}, default="refine"
        What training does with negative weights, see `skhep_ml.weights.apply_negative_weights`.
    weight_scale : {"mean", None}, default="mean"
        Divide weights by their mean abs(w), so that a ``max_samples`` below 1 is a fraction of the
        events; None passes them.
    weight_cap : float, default=None
        Quantile of abs(w) at which training limits abs(w); a warning says what that takes away.
    salt : int, default=0
        Salt of refinement's split by event identifiers.

    Attributes
    ----------
    n_outputs_, n_features_in_, feature_names_in_, feature_importances_ :
        As in scikit-learn.
    estimators_, oob_prediction_, estimators_samples_ :
        As in scikit-learn; where signed weights were kept, the trees in ``estimators_`` predict
        the numerators and the denominator of Notes.
    oob_score_ : float
        Score over the events that at least one tree has not drawn, under the original weights.

    Notes
    -----
    With weights >= 0 the result is scikit-learn's own on w / mean(w).

    What policies for negative weights have to keep is the density of features and target: they get
    the target as one more feature, so that refinement's g depends on x and y.

    Under ``"keep"`` each tree regresses :math:`\mathrm{sign}(w)\,(y-\bar y)` and
    :math:`\mathrm{sign}(w)` under abs(w), and the forest averages the numerators N and
    denominators D of the leaves: :math:`f(x) = \bar y + N(x)/D(x)`, limited to the range of y,
    with the weighted mean :math:`\bar y` where D is not positive.

    References
    ----------
    L. Breiman, Random forests, Machine Learning 45 (2001) 5, doi:10.1023/A:1010933404324.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.ensemble import RandomForestRegressor
    >>> rng = np.random.default_rng(0)
    >>> X, w = rng.uniform(size=(4000, 1)), np.where(rng.random(4000) < 0.2, -1.0, 1.0)
    >>> model = RandomForestRegressor(50, min_samples_leaf=20, random_state=0)
    >>> model = model.fit(X, X[:, 0] ** 2, sample_weight=w)
    >>> bool(abs(model.predict([[0.5]])[0] - 0.25) < 0.02)
    True
    """

    _signed_criterion = "squared_error"

    def __init__(
        self,
        n_estimators: int = 100,
        *,
        criterion: str = "squared_error",
        max_depth: int | None = None,
        min_samples_split: Any = 2,
        min_samples_leaf: Any = 1,
        min_weight_fraction_leaf: float = 0.0,
        max_features: Any = 1.0,
        max_leaf_nodes: int | None = None,
        min_impurity_decrease: float = 0.0,
        bootstrap: bool = True,
        oob_score: bool | Callable[..., float] = False,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
        warm_start: bool = False,
        ccp_alpha: float = 0.0,
        max_samples: Any = None,
        monotonic_cst: Any = None,
        negative_weights: str = "refine",
        weight_scale: str | None = "mean",
        weight_cap: float | None = None,
        salt: int = 0,
    ) -> None:
        super().__init__(
            n_estimators,
            criterion=criterion,
            max_depth=max_depth,
            min_samples_split=min_samples_split,
            min_samples_leaf=min_samples_leaf,
            min_weight_fraction_leaf=min_weight_fraction_leaf,
            max_features=max_features,
            max_leaf_nodes=max_leaf_nodes,
            min_impurity_decrease=min_impurity_decrease,
            bootstrap=bootstrap,
            oob_score=oob_score,
            n_jobs=n_jobs,
            random_state=random_state,
            verbose=verbose,
            warm_start=warm_start,
            ccp_alpha=ccp_alpha,
            max_samples=max_samples,
            monotonic_cst=monotonic_cst,
        )
        self.negative_weights = negative_weights
        self.weight_scale = weight_scale
        self.weight_cap = weight_cap
        self.salt = salt

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> "RandomForestRegressor":
        """Fit the forest.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features; NaN marks missing values.
        y : array-like of shape (n_events,) or (n_events, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign and unit.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers; refinement then splits by event.

        Returns
        -------
        self : RandomForestRegressor
            The fitted forest.

        Raises
        ------
        ValueError
            Wrong weights, identifiers, lengths or parameters; weights that do not sum to something
            positive.

        Warns
        -----
        WeightWarning
            Weights under ``"keep"`` that cancel to so little that the events do not fill two
            leaves; events that have no out-of-bag estimate, with their share of the weight.
        """
        check_policy(self.negative_weights)
        self._validate_params()
        table, target = validate_data(
            self,
            unmasked(X),
            y,
            accept_sparse="csc",
            dtype=np.float32,
            ensure_all_finite="allow-nan",
            multi_output=True,
            y_numeric=True,
        )
        codes = np.zeros(len(target), dtype=np.intp)
        return self._fit_forest(table, target, codes, np.array(["all"]), sample_weight, groups)

    def _fit_signed(
        self, X: Any, y: NDArray[Any], codes: NDArray[np.intp], prepared: TrainingWeights
    ) -> None:
        weight = prepared.train
        columns = y.reshape(len(y), -1).astype(np.float64)
        size = np.abs(weight)
        self._mean = weight @ columns / weight.sum()
        self._range = columns.min(axis=0), columns.max(axis=0)
        centred = columns - self._mean
        # the denominator counts as much as the mean target; without signs, impurities are those of
        # scikit-learn, means over the targets
        spread = np.sqrt(size @ (centred**2).mean(axis=1) / size.sum())
        self._spread = float(spread) or 1.0
        stretch = np.sqrt((centred.shape[1] + 1) / centred.shape[1])
        sign = np.sign(weight)[:, None] * stretch
        self._fit_signed_trees(
            X, np.hstack([sign * centred, sign * self._spread]), np.asarray(weight)
        )
        self.n_outputs_ = centred.shape[1]
        if self.oob_score:
            self.oob_prediction_ = self._ratio(self._signed.oob_prediction_)

    def _ratio(self, mean: NDArray[np.float64]) -> NDArray[np.float64]:
        positive = mean[:, -1:] > 0
        denominator = np.where(positive, mean[:, -1:] / self._spread, 1.0)
        value = self._mean + np.where(positive, mean[:, :-1] / denominator, 0.0)
        value = np.clip(value, *self._range)
        return value[:, 0] if value.shape[1] == 1 else value

    def _out_of_bag_score(
        self, y: Any, codes: NDArray[np.intp], out: NDArray[np.bool_], weight: dict[str, Any]
    ) -> float:
        metric = self.oob_score if callable(self.oob_score) else r2_score
        target = y.reshape(self.oob_prediction_.shape)
        return float(metric(target[out], self.oob_prediction_[out], **weight))

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Predict the target.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features; a DataFrame's columns are used by name.

        Returns
        -------
        ndarray of shape (n_events,) or (n_events, n_outputs)
            Predictions.
        """
        check_is_fitted(self)
        if self._signed is None:
            return super().predict(X)
        return self._ratio(self._signed.predict(self._validate_X_predict(X)))
