"""Factories of scorers that ask for the event weights by themselves."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from skhep_ml.metrics._auc import Average
from skhep_ml.metrics._event_scorer import EventScorer, Threshold


def roc_auc_scorer(
    *,
    average: Average = "macro",
    max_fpr: float | None = None,
    multi_class: Literal["raise", "ovr", "ovo"] = "raise",
    pos_label: Any = None,
) -> EventScorer:
    """Make a scorer of the area under the ROC curve.

    Parameters
    ----------
    average : {"macro", "weighted", "micro"}, default="macro"
        How areas of several classes are joined.
    max_fpr : float, default=None
        Background efficiency up to which to integrate.
    multi_class : {"raise", "ovr", "ovo"}, default="raise"
        Treatment of more than two classes.
    pos_label : label, default=None
        The signal label; None takes the second of the model's ``classes_``.

    Returns
    -------
    EventScorer
        Scorer of :func:`roc_auc_score`.

    Examples
    --------
    >>> from skhep_ml.metrics import roc_auc_scorer
    >>> roc_auc_scorer().score_predictions([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    options = {"average": average, "max_fpr": max_fpr, "multi_class": multi_class}
    return EventScorer("roc_auc", pos_label=pos_label, options=options)


def average_precision_scorer(*, average: Average = "macro", pos_label: Any = None) -> EventScorer:
    """Make a scorer of the average precision.

    Parameters
    ----------
    average : {"macro", "weighted", "micro"}, default="macro"
        How values of several classes are joined.
    pos_label : label, default=None
        The signal label; None takes the second of the model's ``classes_``.

    Returns
    -------
    EventScorer
        Scorer of :func:`average_precision_score`.

    Examples
    --------
    >>> from skhep_ml.metrics import average_precision_scorer
    >>> average_precision_scorer().score_predictions(["b", "s"], [0.1, 0.4])
    1.0
    """
    return EventScorer("average_precision", pos_label=pos_label, options={"average": average})


def background_rejection_scorer(
    signal_efficiency: float = 0.5, *, pos_label: Any = None
) -> EventScorer:
    """Make a scorer of the background rejection at a signal efficiency.

    Parameters
    ----------
    signal_efficiency : float, default=0.5
        Signal efficiency in (0, 1].
    pos_label : label, default=None
        The signal label; None takes the second of the model's ``classes_``.

    Returns
    -------
    EventScorer
        Scorer of :func:`background_rejection_score`. The background efficiency counts as at least
        one over the effective number of background events, so that the score is finite.

    Examples
    --------
    >>> from skhep_ml.metrics import background_rejection_scorer
    >>> background_rejection_scorer().score_predictions([0, 0, 0, 1], [0.1, 0.2, 0.3, 0.4])
    3.0
    """
    options = {"signal_efficiency": signal_efficiency}
    return EventScorer("background_rejection", pos_label=pos_label, options=options)


def signal_efficiency_scorer(background_efficiency: float, *, pos_label: Any = None) -> EventScorer:
    """Make a scorer of the signal efficiency at a background efficiency.

    Parameters
    ----------
    background_efficiency : float
        Background efficiency in [0, 1].
    pos_label : label, default=None
        The signal label; None takes the second of the model's ``classes_``.

    Returns
    -------
    EventScorer
        Scorer of :func:`signal_efficiency_score`.

    Examples
    --------
    >>> from skhep_ml.metrics import signal_efficiency_scorer
    >>> scorer = signal_efficiency_scorer(background_efficiency=0.5)
    >>> scorer.score_predictions([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    1.0
    """
    options = {"background_efficiency": background_efficiency}
    return EventScorer("signal_efficiency", pos_label=pos_label, options=options)


def significance_improvement_scorer(
    *, min_background_events: float = 25, pos_label: Any = None
) -> EventScorer:
    """Make a scorer of the highest significance improvement.

    Parameters
    ----------
    min_background_events : float, default=25
        Least number of background events, raw and effective, that a cut must leave.
    pos_label : label, default=None
        The signal label; None takes the second of the model's ``classes_``.

    Returns
    -------
    EventScorer
        Scorer of :func:`max_significance_improvement`.

    Examples
    --------
    >>> from skhep_ml.metrics import significance_improvement_scorer
    >>> scorer = significance_improvement_scorer(min_background_events=1)
    >>> scorer.score_predictions([0, 0, 0, 0, 1, 1], [0.1, 0.2, 0.3, 0.6, 0.5, 0.9])
    2.0
    """
    options = {"min_background_events": min_background_events}
    return EventScorer("significance_improvement", pos_label=pos_label, options=options)


def ams_scorer(
    class_yields: Mapping[Any, float] | None = None,
    *,
    b_reg: float = 10.0,
    threshold: Threshold = "best",
    pos_label: Any = None,
) -> EventScorer:
    """Make a scorer of the approximate median significance.

    Parameters
    ----------
    class_yields : mapping of label to float, default=None
        Expected yield of each class, to which the events of every fold are scaled; None takes
        the weights as they are.
    b_reg : float, default=10.0
        Background added as regularisation.
    threshold : "best", float or None, default="best"
        The cut on the score: the best that leaves 10 raw and 10 effective background events
        (:func:`best_cut`), a fixed one, or None for the labels of ``predict``.
    pos_label : label, default=None
        The signal label; None takes the second of the model's ``classes_``.

    Returns
    -------
    EventScorer
        Scorer of :func:`ams_score`; 0 where the selected background is negative.

    Examples
    --------
    >>> from skhep_ml.metrics import ams_scorer
    >>> scorer = ams_scorer({0: 200.0, 1: 10.0}, threshold=0.5)
    >>> round(scorer.score_predictions([1, 0, 0], [0.9, 0.6, 0.3]), 5)
    0.93954
    """
    options = {
        "metric": "ams",
        "threshold": threshold,
        "class_yields": class_yields,
        "b_reg": b_reg,
    }
    response: Literal["score", "predict"] = "predict" if threshold is None else "score"
    return EventScorer("significance", response=response, pos_label=pos_label, options=options)


def significance_scorer(
    class_yields: Mapping[Any, float] | None = None,
    *,
    background_uncertainty: float = 0.0,
    threshold: Threshold = "best",
    pos_label: Any = None,
) -> EventScorer:
    """Make a scorer of the Asimov significance with a background uncertainty.

    Parameters
    ----------
    class_yields : mapping of label to float, default=None
        Expected yield of each class, to which the events of every fold are scaled; None takes
        the weights as they are.
    background_uncertainty : float, default=0.0
        Relative uncertainty of the background.
    threshold : "best", float or None, default="best"
        The cut on the score: the best that leaves 10 raw and 10 effective background events
        (:func:`best_cut`), a fixed one, or None for the labels of ``predict``.
    pos_label : label, default=None
        The signal label; None takes the second of the model's ``classes_``.

    Returns
    -------
    EventScorer
        Scorer of :func:`asimov_significance`; 0 where the selected background is negative.

    Examples
    --------
    >>> from skhep_ml.metrics import significance_scorer
    >>> scorer = significance_scorer({0: 200.0, 1: 10.0}, threshold=0.5, background_uncertainty=0.1)
    >>> round(scorer.score_predictions([1, 0, 0], [0.9, 0.6, 0.3]), 5)
    0.6902
    """
    options = {
        "metric": "asimov",
        "threshold": threshold,
        "class_yields": class_yields,
        "background_uncertainty": background_uncertainty,
    }
    response: Literal["score", "predict"] = "predict" if threshold is None else "score"
    return EventScorer("significance", response=response, pos_label=pos_label, options=options)


def confusion_scorer(
    metric: Literal[
        "sensitivity", "specificity", "purity", "accuracy", "balanced_accuracy"
    ] = "sensitivity",
    *,
    pos_label: Any = None,
) -> EventScorer:
    """Make a scorer of class decisions.

    Parameters
    ----------
    metric : {"sensitivity", "specificity", "purity", "accuracy", "balanced_accuracy"}, \
            default="sensitivity"
        Quantity of the confusion matrix; the accuracies take any number of classes.
    pos_label : label, default=None
        The signal label; None takes the second of the model's ``classes_``.

    Returns
    -------
    EventScorer
        Scorer of ``predict``; 0 where the quantity is undefined.

    Raises
    ------
    ValueError
        An unknown metric.

    Examples
    --------
    >>> from skhep_ml.metrics import confusion_scorer
    >>> confusion_scorer("purity").score_predictions([0, 1, 1, 0], [1, 1, 1, 1])
    0.5
    """
    known = ("sensitivity", "specificity", "purity", "accuracy", "balanced_accuracy")
    if metric not in known:
        msg = f"metric={metric!r}: choose one of {known}"
        raise ValueError(msg)
    return EventScorer(
        "confusion", response="predict", pos_label=pos_label, options={"metric": metric}
    )


def log_loss_scorer(*, pos_label: Any = None) -> EventScorer:
    r"""Make a scorer of the negative cross-entropy.

    Parameters
    ----------
    pos_label : label, default=None
        The signal label; None takes the second of the model's ``classes_``.

    Returns
    -------
    EventScorer
        Scorer of :math:`\sum w \ln p_y / \sum w`, with the probability of the true class clipped
        below at the resolution of its type; for any number of classes.

    Examples
    --------
    >>> from skhep_ml.metrics import log_loss_scorer
    >>> round(log_loss_scorer().score_predictions([0, 1], [0.5, 0.5]), 5)
    -0.69315
    """
    return EventScorer("log_loss", pos_label=pos_label)


def calibration_scorer(
    *,
    n_bins: int = 10,
    strategy: Literal["uniform", "quantile"] = "uniform",
    pos_label: Any = None,
) -> EventScorer:
    """Make a scorer of the negative calibration error.

    Parameters
    ----------
    n_bins : int, default=10
        Number of bins in the probability.
    strategy : {"uniform", "quantile"}, default="uniform"
        Bins of equal width, or with equal raw numbers of events.
    pos_label : label, default=None
        The signal label; None takes the second of the model's ``classes_``.

    Returns
    -------
    EventScorer
        Scorer of minus :func:`calibration_error`.

    Examples
    --------
    >>> from skhep_ml.metrics import calibration_scorer
    >>> calibration_scorer(n_bins=2).score_predictions([0, 1, 0, 1], [0.25, 0.25, 0.75, 0.75])
    -0.25
    """
    options = {"n_bins": n_bins, "strategy": strategy}
    return EventScorer("calibration", pos_label=pos_label, options=options)


def flatness_scorer(
    columns: Sequence[Any],
    *,
    uniform_label: Any,
    metric: Literal["sde", "theil", "cvm", "ks"] = "sde",
    pos_label: Any = None,
    **options: Any,
) -> EventScorer:
    """Make a scorer of flatness in columns of X.

    Parameters
    ----------
    columns : sequence of str or int
        The columns of X, by name or position, in which the efficiency should be flat; the model
        need not learn from them.
    uniform_label : label or None
        The label whose events are judged; None judges all.
    metric : {"sde", "theil", "cvm", "ks"}, default="sde"
        Measure of flatness.
    pos_label : label, default=None
        The label whose probability is cut on; None takes the second of the model's ``classes_``.
    **options : dict
        Further arguments of the metric, such as ``method`` or ``efficiencies``.

    Returns
    -------
    EventScorer
        Scorer of minus :func:`sde_flatness`, :func:`theil_flatness`, :func:`cvm_flatness` or
        :func:`ks_flatness`. The best score alone is that of a model that knows nothing: use it
        beside another in ``scoring={...}``, with a ``refit`` that weighs both.

    Raises
    ------
    ValueError
        An unknown metric, or columns that are not a list.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.metrics import flatness_scorer
    >>> scorer = flatness_scorer([0], uniform_label=0, efficiencies=[0.5], n_bins=2)
    >>> mass = np.array([[80.0], [90.0], [100.0], [110.0]])
    >>> scorer.score_predictions([0, 0, 0, 0], [0.1, 0.2, 0.3, 0.4], X=mass)
    -0.5
    """
    known = ("sde", "theil", "cvm", "ks")
    if metric not in known:
        msg = f"metric={metric!r}: choose one of {known}"
        raise ValueError(msg)
    if isinstance(columns, str) or not len(columns):
        msg = f"columns must be a list of names or positions, got {columns!r}"
        raise ValueError(msg)
    given = {"metric": metric, "columns": list(columns), "uniform_label": uniform_label, **options}
    return EventScorer("flatness", pos_label=pos_label, options=given)


def sculpting_scorer(column: Any, *, pos_label: Any = None, **options: Any) -> EventScorer:
    """Make a scorer of mass sculpting.

    Parameters
    ----------
    column : str or int
        The column of X that holds the mass, by name or position; the model need not learn from it.
    pos_label : label, default=None
        The signal label; None takes the second of the model's ``classes_``.
    **options : dict
        Further arguments of :func:`jsd_sculpting`, such as ``signal_efficiency`` or ``bins``.

    Returns
    -------
    EventScorer
        Scorer of minus :func:`jsd_sculpting`, less its bias: a model that rejects more background
        is not blamed for the larger fluctuation of what is left.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.metrics import sculpting_scorer
    >>> mass = np.tile(np.arange(100.0), 20)[:, None]
    >>> y, score = np.repeat([0, 1], 1000), np.random.default_rng(0).normal(size=2000)
    >>> abs(sculpting_scorer(0, bins=5).score_predictions(y, score, X=mass)) < 0.003
    True
    """
    return EventScorer("sculpting", pos_label=pos_label, options={"column": column, **options})


def regression_scorer(
    metric: Literal["resolution", "bias", "mae", "r2"] = "resolution", *, relative: bool = False
) -> EventScorer:
    """Make a scorer of predictions of a quantity.

    Parameters
    ----------
    metric : {"resolution", "bias", "mae", "r2"}, default="resolution"
        Minus :func:`resolution_score`, minus the absolute value of :func:`bias_score`, minus the
        mean absolute error, or the coefficient of determination.
    relative : bool, default=False
        Whether resolution, bias and mean absolute error are fractions of the true value.

    Returns
    -------
    EventScorer
        Scorer of ``predict``.

    Raises
    ------
    ValueError
        An unknown metric.

    Examples
    --------
    >>> from skhep_ml.metrics import regression_scorer
    >>> regression_scorer("mae").score_predictions([1.0, 2.0], [1.5, 2.5])
    -0.5
    """
    known = ("resolution", "bias", "mae", "r2")
    if metric not in known or (relative and metric == "r2"):
        msg = f"metric={metric!r}, relative={relative}: choose one of {known}, 'r2' not relative"
        raise ValueError(msg)
    options = {"metric": metric, "relative": relative}
    return EventScorer("regression", response="predict", options=options)


def binned_significance_scorer(
    class_yields: Mapping[Any, float] | None = None, *, pos_label: Any = None, **options: Any
) -> EventScorer:
    """Make a scorer of the expected significance of the best-binned score.

    Parameters
    ----------
    class_yields : mapping of label to float, default=None
        Expected yield of each class, to which the events of every fold are scaled; None takes
        the weights as they are.
    pos_label : label, default=None
        The signal label; None takes the second of the model's ``classes_``.
    **options : dict
        Further arguments of :func:`optimize_binning`, such as ``max_bins``.

    Returns
    -------
    EventScorer
        Scorer of the significance of :func:`optimize_binning`.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.metrics import binned_significance_scorer
    >>> scorer = binned_significance_scorer({0: 100.0, 1: 10.0}, max_bins=1)
    >>> y = np.repeat([0, 1], 1000)
    >>> round(scorer.score_predictions(y, np.arange(2000.0)), 2)
    0.94
    """
    given = {"class_yields": class_yields, **options}
    return EventScorer("binned_significance", pos_label=pos_label, options=given)
