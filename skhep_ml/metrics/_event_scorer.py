"""The scorer object: calls the model, hands on the weights, and evaluates a metric."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import r2_score

from skhep_ml._compat import cached_call
from skhep_ml._frames import column_positions, numeric_columns
from skhep_ml._validation import check_event_weight
from skhep_ml.metrics._auc import average_precision_score, roc_auc_score
from skhep_ml.metrics._base import check_positive_sum, greater_label_mask
from skhep_ml.metrics._binning import optimize_binning
from skhep_ml.metrics._calibration import calibration_error, check_probability
from skhep_ml.metrics._classification import (
    confusion_matrix,
    purity_score,
    sensitivity_score,
    specificity_score,
)
from skhep_ml.metrics._cuts import best_cut
from skhep_ml.metrics._flatness import (
    cvm_flatness,
    ks_flatness,
    sde_flatness,
    theil_flatness,
)
from skhep_ml.metrics._ranking import background_rejection_score, signal_efficiency_score
from skhep_ml.metrics._regression import bias_score, resolution_score
from skhep_ml.metrics._sculpting import jsd_sculpting
from skhep_ml.metrics._significance import ams_score, asimov_significance, selected_yields
from skhep_ml.metrics._significance_improvement import max_significance_improvement
from skhep_ml.metrics._weighted_scorer import WeightedScorer
from skhep_ml.weights._base import effective_sample_size

#: "best" searches the cut, a number fixes it, None takes the model's own decision.
Threshold = Literal["best"] | float | None


class EventScorer(WeightedScorer):
    """A scorer for any scikit-learn search or cross-validation, for weights of any sign.

    The factories of this package (:func:`roc_auc_scorer`, :func:`ams_scorer`, ...) make them.
    Weights are requested by default, so that with metadata routing they arrive by themselves.

    Parameters
    ----------
    metric : str
        Name of the metric.
    response : {"score", "predict"}, default="score"
        What the metric judges: ``"score"`` is the probability of the positive class (one column
        a class beyond two classes), or the decision function of a model without probabilities;
        ``"predict"`` the predicted label.
    pos_label : label, default=None
        The signal label; None takes the second of the model's ``classes_``. Beyond two classes it
        stands against all others together.
    options : dict, default=None
        Further arguments of the metric.

    Attributes
    ----------
    greater_is_better : bool
        Always True: losses and errors are returned with a minus sign.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skhep_ml.metrics import background_rejection_scorer
    >>> X = np.arange(8.0).reshape(-1, 1)
    >>> y = np.array([0, 0, 1, 0, 1, 0, 1, 1])
    >>> scorer = background_rejection_scorer(signal_efficiency=0.75)
    >>> scorer(LogisticRegression().fit(X, y), X, y)
    4.0
    >>> scorer.score_predictions(y, X[:, 0])
    4.0
    """

    def __init__(
        self,
        metric: str,
        *,
        response: Literal["score", "predict"] = "score",
        pos_label: Any = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        self.metric = metric
        self.response = response
        self.pos_label = pos_label
        self.options = options

    def __call__(
        self, estimator: Any, X: Any, y_true: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """Score a fitted model.

        Parameters
        ----------
        estimator : estimator
            Fitted classifier.
        X : array-like
            Its input.
        y_true : array-like of shape (n_events,)
            Labels.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign; None counts events.

        Returns
        -------
        float
            The score; greater is better.
        """
        return self._score(partial(cached_call, None), estimator, X, y_true, sample_weight)

    def score_predictions(
        self,
        y_true: ArrayLike,
        prediction: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        X: Any = None,
    ) -> float:
        """Score predictions already made.

        Parameters
        ----------
        y_true : array-like of shape (n_events,)
            Labels.
        prediction : array-like of shape (n_events,) or (n_events, n_classes)
            What ``response`` names. Without ``pos_label`` the greater of two labels is positive.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign; None counts events.
        X : array-like of shape (n_events, n_features), default=None
            The table, for metrics that look at some of its columns.

        Returns
        -------
        float
            The score; greater is better.

        Raises
        ------
        ValueError
            An unknown metric, or input that the metric refuses.
        """
        return self._evaluate(y_true, prediction, sample_weight, self.pos_label, None, X)

    @property
    def _score_func(self) -> Callable[..., float]:
        return self.score_predictions

    @property
    def _response_method(self) -> str | tuple[str, ...]:
        return "predict" if self.response == "predict" else ("predict_proba", "decision_function")

    def _score(
        self,
        method_caller: Callable[..., Any],
        estimator: Any,
        X: Any,
        y_true: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Score a model whose responses ``method_caller`` may share among scorers."""
        classes = getattr(estimator, "classes_", None)
        pos_label = self.pos_label
        if self.response == "predict":
            method = "predict"
        elif hasattr(estimator, "predict_proba"):
            method = "predict_proba"
        elif hasattr(estimator, "decision_function"):
            method = "decision_function"
        else:
            msg = (
                f"{type(estimator).__name__} has neither predict_proba nor decision_function, "
                f"which the metric {self.metric!r} needs"
            )
            raise AttributeError(msg)
        second = classes[1] if classes is not None and len(classes) == 2 else None
        if pos_label is None or (second is not None and pos_label == second):
            pos_label = second
            prediction = method_caller(estimator, method, X, pos_label=None)
        else:
            # shared responses are of the second class
            prediction = cached_call(None, estimator, method, X, pos_label=pos_label)
        return self._evaluate(y_true, prediction, sample_weight, pos_label, classes, X)

    def _evaluate(
        self,
        y_true: ArrayLike,
        prediction: ArrayLike,
        sample_weight: ArrayLike | None,
        pos_label: Any,
        classes: NDArray[Any] | None,
        X: Any,
    ) -> float:
        if self.metric not in _METRICS:
            msg = f"metric={self.metric!r}: choose one of {sorted(_METRICS)}"
            raise ValueError(msg)
        y, values = np.asarray(y_true), np.asarray(prediction)
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        if len(values) != len(y):
            msg = f"there are {len(values)} predictions, but y_true has {len(y)} entries"
            raise ValueError(msg)
        if pos_label is not None and values.ndim == 2 and values.shape[1] > 2:
            # one label against the rest
            classes = np.unique(y) if classes is None else np.asarray(classes)
            values = values[:, _position(pos_label, classes, values.shape[1])]
        weight = check_event_weight(sample_weight, len(y))
        sample = _Predictions(y, values, weight, pos_label, classes, X)
        return float(_METRICS[self.metric](sample, **(self.options or {})))


def _position(label: Any, classes: NDArray[Any], n_columns: int) -> int:
    if len(classes) != n_columns:
        msg = f"{n_columns} columns of predictions meet {len(classes)} labels"
        raise ValueError(msg)
    found = np.flatnonzero(classes == label)
    if len(found) == 0:
        msg = f"pos_label={label!r} is none of the classes {classes.tolist()}"
        raise ValueError(msg)
    return int(found[0])


class _Predictions(NamedTuple):
    """What a metric of a scorer is given."""

    y: NDArray[Any]
    values: NDArray[Any]
    weight: NDArray[np.float64] | None
    pos_label: Any
    classes: NDArray[Any] | None
    X: Any = None

    def positive(self) -> NDArray[np.bool_]:
        if self.pos_label is not None and self.classes is not None and len(self.classes) > 2:
            return self.y == self.pos_label
        return greater_label_mask(self.y, self.pos_label)

    def positive_label(self) -> Any:
        return self.y[np.argmax(self.positive())] if self.pos_label is None else self.pos_label

    def columns(self, columns: Sequence[Any]) -> NDArray[Any]:
        """Columns of X by name or position."""
        if self.X is None:
            msg = (
                f"the metric looks at the columns {list(columns)} of X, and was given predictions "
                "alone: pass the table as X=. It cannot steer early stopping (eval_metric), which "
                "has no table; use it in a search or cross-validation"
            )
            raise ValueError(msg)
        X = self.X if hasattr(self.X, "shape") else np.asarray(self.X)
        return numeric_columns(X, column_positions(X, columns))


def _roc_auc(sample: _Predictions, **options: Any) -> Any:
    several = sample.values.ndim == 2
    return roc_auc_score(
        sample.y if several else sample.positive(),
        sample.values,
        sample_weight=sample.weight,
        labels=sample.classes if several else None,
        **options,
    )


def _average_precision(sample: _Predictions, **options: Any) -> Any:
    y = sample.y if sample.values.ndim == 2 else sample.positive()
    return average_precision_score(y, sample.values, sample_weight=sample.weight, **options)


def _background_rejection(sample: _Predictions, **options: Any) -> Any:
    positive = sample.positive()
    rejection = background_rejection_score(
        positive, sample.values, sample_weight=sample.weight, **options
    )
    weight = np.ones(len(positive)) if sample.weight is None else sample.weight
    return min(rejection, effective_sample_size(weight[~positive]))


def _signal_efficiency(sample: _Predictions, **options: Any) -> Any:
    return signal_efficiency_score(
        sample.positive(), sample.values, sample_weight=sample.weight, **options
    )


def _significance(
    sample: _Predictions,
    *,
    metric: Literal["ams", "asimov"],
    threshold: Threshold,
    class_yields: Mapping[Any, float] | None,
    b_reg: float = 10.0,
    background_uncertainty: float = 0.0,
) -> float:
    pos_label = sample.positive_label()
    common: dict[str, Any] = {
        "sample_weight": sample.weight,
        "class_yields": class_yields,
        "pos_label": pos_label,
    }
    if threshold == "best":
        return best_cut(
            sample.y,
            sample.values,
            metric=metric,
            b_reg=b_reg,
            background_uncertainty=background_uncertainty,
            **common,
        ).value
    selected = sample.values == pos_label if threshold is None else sample.values >= threshold
    if metric == "ams":
        value = ams_score(sample.y, selected, b_reg=b_reg, **common)
    else:
        yields = selected_yields(sample.y, selected, **common)
        sigma = background_uncertainty * max(yields.b, 0.0)
        value = asimov_significance(yields.s, yields.b, sigma)
    # searches cannot rank what is undefined: a negative background is no achievement
    return 0.0 if np.isnan(value) else value


def _significance_improvement(sample: _Predictions, **options: Any) -> float:
    return max_significance_improvement(
        sample.positive(), sample.values, sample_weight=sample.weight, **options
    ).value


def _confusion(sample: _Predictions, *, metric: str) -> float:
    if metric in ("accuracy", "balanced_accuracy"):
        normalize: Any = "all" if metric == "accuracy" else "true"
        matrix = confusion_matrix(
            sample.y, sample.values, sample_weight=sample.weight, normalize=normalize
        )
        if metric == "accuracy":
            return float(np.trace(matrix))
        present = np.isin(np.union1d(sample.y, sample.values), sample.y)
        return float(np.diag(matrix)[present].mean())
    score = {
        "sensitivity": sensitivity_score,
        "specificity": specificity_score,
        "purity": purity_score,
    }[metric]
    return score(
        sample.positive(),
        sample.values == sample.positive_label(),
        pos_label=True,
        sample_weight=sample.weight,
        zero_division=0.0,
    )


def _log_loss(sample: _Predictions) -> float:
    if sample.values.ndim == 2:
        classes = np.unique(sample.y) if sample.classes is None else np.asarray(sample.classes)
        if len(classes) != sample.values.shape[1]:
            msg = f"{sample.values.shape[1]} columns of predictions meet {len(classes)} labels"
            raise ValueError(msg)
        column = np.minimum(np.searchsorted(classes, sample.y), len(classes) - 1)
        if not np.array_equal(classes[column], sample.y):
            msg = f"y_true holds labels that are not among {classes[:5].tolist()}"
            raise ValueError(msg)
        prob = check_probability(sample.values[np.arange(len(column)), column])
    else:
        prob = check_probability(sample.values)
        prob = np.where(sample.positive(), prob, 1 - prob)
    loss = -np.log(np.maximum(prob, np.finfo(prob.dtype).eps))
    if sample.weight is None:
        return -float(np.mean(loss))
    return -float(np.dot(sample.weight, loss) / check_positive_sum(sample.weight, "given"))


def _calibration(sample: _Predictions, **options: Any) -> float:
    error = calibration_error(
        sample.positive(), sample.values, sample_weight=sample.weight, **options
    )
    return -error


def _flatness(
    sample: _Predictions, *, metric: str, columns: Sequence[Any], **options: Any
) -> float:
    score = sample.values
    if score.ndim == 2 and score.shape[1] > 1:
        msg = "predictions of several classes: pass pos_label= to choose the one that is cut on"
        raise ValueError(msg)
    distance: Callable[..., Any] = {
        "sde": sde_flatness,
        "theil": theil_flatness,
        "cvm": cvm_flatness,
        "ks": ks_flatness,
    }[metric]
    return -distance(
        sample.y, score, sample.columns(columns), sample_weight=sample.weight, **options
    )


def _sculpting(sample: _Predictions, *, column: Any, **options: Any) -> float:
    divergence = jsd_sculpting(
        sample.positive(),
        sample.values,
        sample.columns([column])[:, 0],
        sample_weight=sample.weight,
        return_std=True,
        **options,
    )
    return divergence.bias - divergence.value


def _regression(sample: _Predictions, *, metric: str, relative: bool) -> float:
    truth, weight = sample.y, sample.weight
    if metric in ("resolution", "bias"):
        score = resolution_score if metric == "resolution" else bias_score
        return -abs(score(truth, sample.values, sample_weight=weight, relative=relative))
    if metric == "r2":
        return r2_score(truth, sample.values, sample_weight=weight)
    residual = np.abs(sample.values - truth) / (np.abs(truth) if relative else 1.0)
    return -float(np.average(residual, weights=weight))


def _binned_significance(sample: _Predictions, **options: Any) -> float:
    pos_label = sample.positive_label()
    return optimize_binning(
        sample.y, sample.values, sample_weight=sample.weight, pos_label=pos_label, **options
    ).significance


_METRICS: dict[str, Callable[..., float]] = {
    "average_precision": _average_precision,
    "background_rejection": _background_rejection,
    "binned_significance": _binned_significance,
    "calibration": _calibration,
    "confusion": _confusion,
    "flatness": _flatness,
    "log_loss": _log_loss,
    "regression": _regression,
    "roc_auc": _roc_auc,
    "signal_efficiency": _signal_efficiency,
    "sculpting": _sculpting,
    "significance": _significance,
    "significance_improvement": _significance_improvement,
}
