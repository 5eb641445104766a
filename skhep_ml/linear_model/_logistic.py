"""Logistic regression: scikit-learn's solver under our weights."""

from typing import Any

import numpy as np
import sklearn.linear_model
from numpy.typing import ArrayLike
from sklearn.utils import Tags, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from skhep_ml._masks import unmasked
from skhep_ml._validation import align_columns, check_event_id, check_event_weight
from skhep_ml.weights._policies import check_policy, prepare_weights


class LogisticRegression(sklearn.linear_model.LogisticRegression):
    """Logistic regression with signed event weights.

    scikit-learn's `LogisticRegression` with the weight handling of this package; all its methods
    and attributes are there.

    Parameters
    ----------
    C : float, default=1.0
        Inverse of the penalty's strength, for weights of mean abs(w) 1: the unit of the weights
        does not change it.
    l1_ratio : float, default=0.0
        Share of L1 in the penalty.
    dual, tol, fit_intercept, intercept_scaling, solver, max_iter, warm_start
        As in scikit-learn.
    negative_weights : {"refine", "keep", "pair", "cell", "drop", "abs", "raise"}, default="refine"
        What training does with negative weights, see `skhep_ml.weights.apply_negative_weights`.
        Under ``"keep"`` the loss is not convex; the solver goes downhill from zero.
    weight_scale : {"mean", None}, default="mean"
        Divide weights by their mean abs(w); None passes them.
    class_weight : "balanced" or dict, default=None
        "balanced" gives all classes the same signed weight sum in training.
    weight_cap : float, default=None
        Quantile of abs(w) at which training limits abs(w); a warning says what that takes away.
    salt : int, default=0
        Salt of refinement's split by event identifiers.
    random_state : int, RandomState instance or None, default=None
        Seed of the solver and of refinement.
    verbose : int, default=0
        Messages of the solver.

    Attributes
    ----------
    classes_, coef_, intercept_, n_iter_, n_features_in_, feature_names_in_
        As in scikit-learn.

    Examples
    --------
    >>> from skhep_ml.datasets import make_signed_events
    >>> from skhep_ml.linear_model import LogisticRegression
    >>> events = make_signed_events(1000, negative_fraction=0.2, random_state=0)
    >>> model = LogisticRegression(random_state=0)
    >>> model.fit(events.data, events.target, sample_weight=events.weight).coef_.shape
    (1, 4)
    """

    __metadata_request__fit = {"sample_weight": True, "groups": True}
    __metadata_request__score = {"sample_weight": True}

    def __init__(
        self,
        *,
        C: float = 1.0,
        l1_ratio: float = 0.0,
        dual: bool = False,
        tol: float = 1e-4,
        fit_intercept: bool = True,
        intercept_scaling: float = 1.0,
        solver: str = "lbfgs",
        max_iter: int = 1000,
        warm_start: bool = False,
        negative_weights: str = "refine",
        weight_scale: str | None = "mean",
        class_weight: Any = None,
        weight_cap: float | None = None,
        salt: int = 0,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            C=C,
            l1_ratio=l1_ratio,
            dual=dual,
            tol=tol,
            fit_intercept=fit_intercept,
            intercept_scaling=intercept_scaling,
            class_weight=class_weight,
            random_state=random_state,
            solver=solver,
            max_iter=max_iter,
            verbose=verbose,
            warm_start=warm_start,
        )
        self.class_weight: Any = class_weight
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
    ) -> "LogisticRegression":
        """Fit the model.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features, without missing values.
        y : array-like of shape (n_events,)
            Class labels.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign and unit.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers; refinement then splits by event.

        Returns
        -------
        self : LogisticRegression
            The fitted model.

        Raises
        ------
        ValueError
            Wrong weights, identifiers, lengths or parameters; a single class or one whose weights
            do not sum to something positive.
        """
        check_policy(self.negative_weights)
        X = unmasked(X)
        table, label = validate_data(
            self, X, y, accept_sparse="csr", dtype=[np.float64, np.float32], multi_output=False
        )
        check_classification_targets(label)
        classes, codes = np.unique(label, return_inverse=True)
        if len(classes) < 2:
            msg = f"only one class in y: {classes.tolist()}; a classifier needs two"
            raise ValueError(msg)
        weight = check_event_weight(sample_weight, len(codes))
        if groups is not None:
            groups = np.column_stack(check_event_id(groups, len(codes)))
        prepared = prepare_weights(
            table,
            codes,
            classes,
            weight,
            negative_weights=self.negative_weights,
            weight_scale=self.weight_scale,
            class_weight=self.class_weight,
            weight_cap=self.weight_cap,
            groups=groups,
            salt=self.salt,
            random_state=int(check_random_state(self.random_state).randint(2**31 - 1)),
        )
        # the class balance is in the weights by now; scikit-learn's would count it twice
        class_weight, self.class_weight = self.class_weight, None
        try:
            super().fit(X, y, None if prepared is None else prepared.train)
        finally:
            self.class_weight = class_weight
        return self

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.array_api_support = False  # weights are prepared in numpy
        return tags

    def decision_function(self, X: Any) -> Any:
        """Predict log odds.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features; a DataFrame's columns are used by name.

        Returns
        -------
        ndarray of shape (n_events,) or (n_events, n_classes)
            Log odds for two classes, one score a class for more.
        """
        return super().decision_function(unmasked(align_columns(self, X)))
