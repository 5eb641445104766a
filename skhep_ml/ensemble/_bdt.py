"""Boosted decision trees on the xgboost engine, with signed weights and early stopping by event."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, softmax
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from skhep_ml._early_stopping import call_metric
from skhep_ml._masks import unmasked
from skhep_ml.ensemble._bdt_base import BaseBDT
from skhep_ml.ensemble._dask import fit_dask, is_dask, predict_dask
from skhep_ml.ensemble._objectives import (
    log_loss_from_margin,
    root_mean_squared_error,
    signed_logistic,
    signed_softmax,
    signed_squared_error,
)


class BDTClassifier(ClassifierMixin, BaseBDT):
    """Boosted decision trees for classification, with physics weights.

    The engine is xgboost; any labels, two classes or more.

    Parameters
    ----------
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
        -1, 0 or 1 a feature, by name (DataFrame) or number.
    negative_weights : {"refine", "keep", "pair", "cell", "drop", "abs", "raise"}, default="refine"
        What training does with negative weights, see `skhep_ml.weights.apply_negative_weights`.
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
        What early stopping looks at: None for the loss, a scorer of `skhep_ml.metrics`, or a
        function (y_true, y_score, sample_weight) whose larger values are better.
    refit : bool, default=False
        After early stopping, fit again on all events with the best number of trees.
    salt : int, default=0
        Salt of the splits by event identifiers (early stopping, refinement).
    engine_params : dict, default=None
        More parameters for xgboost.
    device : str, default="auto"
        "cpu", "cuda", "cuda:1", ...; "auto" takes a GPU where one is.
    n_jobs : int, default=None
        Threads; None takes all cores.
    random_state : int, RandomState instance or None, default=None
        Seed of subsampling, splits and refinement.
    verbose : int, default=0
        Above 0: a progress bar.

    Attributes
    ----------
    booster_ : xgboost.Booster
        The engine's model.
    n_estimators_ : int
        Trees in it.
    best_iteration_, best_score_ : int, float
        With early stopping: the best round, counted from 0, and its metric.
    evals_result_ : dict
        Metric of every round, by evaluation set.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of str
        Columns, if fitted on a DataFrame; later DataFrames are read by these names.
    classes_ : ndarray of shape (n_classes,)
        Class labels.

    Notes
    -----
    With weights >= 0 the result is xgboost's own on w / mean(w). Under ``"keep"`` the gradient is
    w (p - y) and the second derivative abs(w) p (1 - p); the base score is the logit of the signed
    class sums. Held-out losses always use the original signed weights.

    References
    ----------
    T. Chen, C. Guestrin, XGBoost: a scalable tree boosting system, KDD 2016, arXiv:1603.02754.

    Examples
    --------
    >>> from skhep_ml.datasets import make_signed_events
    >>> from skhep_ml.ensemble import BDTClassifier
    >>> events = make_signed_events(2000, negative_fraction=0.2, random_state=0)
    >>> model = BDTClassifier(n_estimators=50, class_weight="balanced", random_state=0)
    >>> model.fit(events.data, events.target, sample_weight=events.weight).n_estimators_
    50
    """

    def __init__(
        self,
        n_estimators: int = 200,
        *,
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
        self.class_weight = class_weight

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        *,
        eval_set: Any = None,
        sample_weight_eval_set: Any = None,
    ) -> "BDTClassifier":
        """Fit the boosted trees.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features; NaN marks missing values. A Dask array or DataFrame is trained on where it
            is, see Notes; the other arguments then are Dask collections or arrays, in its order.
        y : array-like of shape (n_events,)
            Class labels.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign and unit.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers; early stopping and refinement then split by event.
        eval_set : list of (X, y) pairs, default=None
            Held-out events; early stopping looks at the last pair instead of splitting.
        sample_weight_eval_set : list of array-like, default=None
            Weights of each pair.

        Returns
        -------
        self : BDTClassifier
            The fitted model.

        Raises
        ------
        ValueError
            Wrong weights, identifiers, lengths or parameters; a single class or one whose weights
            do not sum to something positive; a class missing in the early-stopping part.

        Notes
        -----
        Dask collections (extra ``dask``) are trained on by ``xgboost.dask`` with the current
        client, or without one in threads of this process. Features stay on the workers, as
        float32; targets, weights and identifiers come to this process, some 100 bytes an event, so
        that weights, balance and the early-stopping part are those of a fit in memory. The trees
        are too where no feature takes more than ``max_bin`` values, else they differ slightly: the
        edges of the bins come from sketches of each worker. Negative weights are trained on under
        ``"keep"``, ``"drop"`` and ``"abs"``. A worker that dies during training ends the fit with
        an error.
        """
        if is_dask(X):
            return fit_dask(self, X, y, sample_weight, groups, eval_set, sample_weight_eval_set)
        X, y = validate_data(self, unmasked(X), y, dtype=np.float32, ensure_all_finite="allow-nan")
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            msg = f"only one class in y: {self.classes_.tolist()}; a classifier needs two"
            raise ValueError(msg)
        return self._fit(
            X, codes, codes, self.classes_, sample_weight, groups, eval_set, sample_weight_eval_set
        )

    def _encode(self, y: ArrayLike) -> NDArray[np.intp]:
        y = np.asarray(y)
        unseen = np.setdiff1d(y, self.classes_)
        if len(unseen):
            msg = f"label {unseen.tolist()[0]!r} was not seen in fit, which had {self.classes_}"
            raise ValueError(msg)
        return np.searchsorted(self.classes_, y)

    def _objective_params(self) -> dict[str, Any]:
        if len(self.classes_) == 2:
            return {"objective": "binary:logistic"}
        return {"objective": "multi:softprob", "num_class": len(self.classes_)}

    def _signed_training(self, target: NDArray[Any], weight: NDArray[np.float64]) -> Any:
        if len(self.classes_) > 2:
            share = 1 / len(self.classes_)
            objective = signed_softmax(target, weight, len(self.classes_))
            return objective, 0.5, 2 * share * (1 - share)
        share = float(weight[target == 1].sum() / weight.sum())
        return signed_logistic(target, weight), share, share * (1 - share)

    def _metric(self, *, transformed: bool) -> tuple[str, Any, bool]:
        """Name, function of (engine output, target, weight), and whether larger is better."""
        binary = len(self.classes_) == 2
        scorer = self.eval_metric

        def loss(output: NDArray[Any], target: NDArray[Any], weight: Any) -> float:
            output = np.asarray(output, dtype=np.float64)
            if transformed:  # back to margins, whose loss has no cut-off
                output = logit(output) if binary else np.log(np.maximum(output, 1e-300))
            return log_loss_from_margin(output, target, weight)

        def score(output: NDArray[Any], target: NDArray[Any], weight: Any) -> float:
            output = np.asarray(output, dtype=np.float64)
            if not transformed:
                output = expit(output) if binary else softmax(output, axis=1)
            return float(call_metric(scorer, target, self.classes_, output, weight))

        if scorer is None or scorer == "loss":
            return "loss", loss, False
        return getattr(scorer, "__name__", "score"), score, True

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """Predict class probabilities.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features; for a Dask array or DataFrame, the result is a lazy Dask array.

        Returns
        -------
        ndarray of shape (n_events, n_classes)
            Probabilities, in the order of ``classes_``.
        """
        if is_dask(X):
            return predict_dask(self, X, "predict_proba")
        p = self._output(X, margin=False)
        return p if p.ndim == 2 else np.column_stack([1 - p, p])

    def decision_function(self, X: Any) -> NDArray[np.float32]:
        """Predict margins: log odds for two classes, one margin a class for more.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features; for a Dask array or DataFrame, the result is a lazy Dask array.

        Returns
        -------
        ndarray of shape (n_events,) or (n_events, n_classes)
            Margins.
        """
        if is_dask(X):
            return predict_dask(self, X, "decision_function")
        return self._output(X, margin=True)

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict the most probable class.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features; for a Dask array or DataFrame, the result is a lazy Dask array.

        Returns
        -------
        ndarray of shape (n_events,)
            Labels.
        """
        if is_dask(X):
            return predict_dask(self, X, "predict")
        p = self.predict_proba(X)
        return self.classes_[p.argmax(axis=1)]


class BDTRegressor(RegressorMixin, BaseBDT):
    """Boosted decision trees for regression by squared error, with physics weights.

    Parameters
    ----------
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
        -1, 0 or 1 a feature, by name (DataFrame) or number.
    negative_weights : {"refine", "keep", "pair", "cell", "drop", "abs", "raise"}, default="refine"
        What training does with negative weights, see `skhep_ml.weights.apply_negative_weights`.
    weight_scale : {"mean", None}, default="mean"
        Divide weights by their mean abs(w), so that their unit does not matter; None passes them.
    weight_cap : float, default=None
        Quantile of abs(w) at which training limits abs(w); a warning says what that takes away.
    early_stopping_rounds : int, default=None
        Stop when the metric on held-out events has not improved for this many rounds, and keep the
        best number of trees.
    validation_fraction : float, default=0.2
        Fraction of events held out for early stopping, by ``groups`` where given.
    eval_metric : scorer or callable, default=None
        What early stopping looks at: None for the loss, a scorer of `skhep_ml.metrics`, or a
        function (y_true, y_score, sample_weight) whose larger values are better.
    refit : bool, default=False
        After early stopping, fit again on all events with the best number of trees.
    salt : int, default=0
        Salt of the splits by event identifiers (early stopping, refinement).
    engine_params : dict, default=None
        More parameters for xgboost.
    device : str, default="auto"
        "cpu", "cuda", "cuda:1", ...; "auto" takes a GPU where one is.
    n_jobs : int, default=None
        Threads; None takes all cores.
    random_state : int, RandomState instance or None, default=None
        Seed of subsampling, splits and refinement.
    verbose : int, default=0
        Above 0: a progress bar.

    Attributes
    ----------
    booster_ : xgboost.Booster
        The engine's model.
    n_estimators_ : int
        Trees in it.
    best_iteration_, best_score_ : int, float
        With early stopping: the best round, counted from 0, and its metric.
    evals_result_ : dict
        Metric of every round, by evaluation set.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of str
        Columns, if fitted on a DataFrame; later DataFrames are read by these names.

    Notes
    -----
    With weights >= 0 the result is xgboost's own on w / mean(w). Under ``"keep"`` the gradient is
    w (f - y) and the second derivative abs(w).

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.ensemble import BDTRegressor
    >>> X = np.linspace(0, 1, 500).reshape(-1, 1)
    >>> model = BDTRegressor(n_estimators=100).fit(X, X[:, 0] ** 2)
    >>> bool(abs(model.predict([[0.5]])[0] - 0.25) < 0.01)
    True
    """

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        *,
        eval_set: Any = None,
        sample_weight_eval_set: Any = None,
    ) -> "BDTRegressor":
        """Fit the boosted trees.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features; NaN marks missing values. A Dask array or DataFrame is trained on where it
            is, see Notes; the other arguments then are Dask collections or arrays, in its order.
        y : array-like of shape (n_events,)
            Target.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign and unit.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers; early stopping and refinement then split by event.
        eval_set : list of (X, y) pairs, default=None
            Held-out events; early stopping looks at the last pair instead of splitting.
        sample_weight_eval_set : list of array-like, default=None
            Weights of each pair.

        Returns
        -------
        self : BDTRegressor
            The fitted model.

        Raises
        ------
        ValueError
            Wrong weights, identifiers, lengths or parameters.

        Notes
        -----
        Dask collections (extra ``dask``) are trained on as in `BDTClassifier.fit`.
        """
        if is_dask(X):
            return fit_dask(self, X, y, sample_weight, groups, eval_set, sample_weight_eval_set)
        table, target = validate_data(
            self, unmasked(X), y, dtype=np.float32, ensure_all_finite="allow-nan", y_numeric=True
        )
        codes = np.zeros(len(target), dtype=np.intp)
        single = np.array(["all"])
        return self._fit(
            table, target, codes, single, sample_weight, groups, eval_set, sample_weight_eval_set
        )

    def _encode(self, y: ArrayLike) -> NDArray[np.float64]:
        return np.asarray(y, dtype=np.float64)

    def _objective_params(self) -> dict[str, Any]:
        return {"objective": "reg:squarederror"}

    def _signed_training(self, target: NDArray[Any], weight: NDArray[np.float64]) -> Any:
        mean = float(np.dot(weight, target) / weight.sum())
        return signed_squared_error(target, weight), mean, 1.0

    def _metric(self, *, transformed: bool) -> tuple[str, Any, bool]:
        metric = self.eval_metric
        if metric is None or metric == "loss":
            return "loss", root_mean_squared_error, False

        def score(output: NDArray[Any], target: NDArray[Any], weight: Any) -> float:
            call = getattr(metric, "score_predictions", metric)
            return float(call(target, output, weight))

        return getattr(metric, "__name__", "score"), score, True

    def predict(self, X: Any) -> NDArray[np.float32]:
        """Predict the target.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features; for a Dask array or DataFrame, the result is a lazy Dask array.

        Returns
        -------
        ndarray of shape (n_events,)
            Predictions.
        """
        if is_dask(X):
            return predict_dask(self, X, "predict")
        return self._output(X, margin=False)
