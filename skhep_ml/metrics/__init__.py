"""Metrics and scorers for weighted events, with statistical errors; weights of any sign."""

from skhep_ml.metrics._auc import average_precision_score, roc_auc_score
from skhep_ml.metrics._calibration import calibration_error
from skhep_ml.metrics._classification import (
    confusion_matrix,
    purity_score,
    sensitivity_score,
    specificity_score,
)
from skhep_ml.metrics._correlation import distance_correlation
from skhep_ml.metrics._cuts import AMSCurve, BestCut, ams_curve, best_cut
from skhep_ml.metrics._event_scorer import EventScorer
from skhep_ml.metrics._ranking import (
    background_rejection_score,
    precision_recall_curve,
    roc_curve,
    signal_efficiency_score,
)
from skhep_ml.metrics._scorers import (
    ams_scorer,
    average_precision_scorer,
    background_rejection_scorer,
    calibration_scorer,
    confusion_scorer,
    log_loss_scorer,
    roc_auc_scorer,
    signal_efficiency_scorer,
    significance_scorer,
)
from skhep_ml.metrics._significance import (
    SelectedYields,
    ams_score,
    asimov_significance,
    punzi_fom,
    selected_yields,
)
from skhep_ml.metrics._two_sample import KSResult, ks_2samp_weighted
from skhep_ml.weights._base import effective_sample_size

__all__ = [
    "AMSCurve",
    "BestCut",
    "EventScorer",
    "KSResult",
    "SelectedYields",
    "ams_curve",
    "ams_score",
    "ams_scorer",
    "asimov_significance",
    "average_precision_score",
    "average_precision_scorer",
    "background_rejection_score",
    "background_rejection_scorer",
    "best_cut",
    "calibration_error",
    "calibration_scorer",
    "confusion_matrix",
    "confusion_scorer",
    "distance_correlation",
    "effective_sample_size",
    "ks_2samp_weighted",
    "log_loss_scorer",
    "precision_recall_curve",
    "punzi_fom",
    "purity_score",
    "roc_auc_score",
    "roc_auc_scorer",
    "roc_curve",
    "selected_yields",
    "sensitivity_score",
    "signal_efficiency_score",
    "signal_efficiency_scorer",
    "significance_scorer",
    "specificity_score",
]
