"""Metrics and scorers for weighted events, with statistical errors; weights of any sign."""

from skhep_ml.metrics._auc import average_precision_score, roc_auc_score
from skhep_ml.metrics._binning import Binning, optimize_binning
from skhep_ml.metrics._bootstrap import BootstrapResult, bootstrap
from skhep_ml.metrics._calibration import calibration_error
from skhep_ml.metrics._classification import (
    confusion_matrix,
    purity_score,
    sensitivity_score,
    specificity_score,
)
from skhep_ml.metrics._classifier_test import two_sample_auc
from skhep_ml.metrics._correlation import distance_correlation
from skhep_ml.metrics._cuts import AMSCurve, BestCut, ams_curve, best_cut
from skhep_ml.metrics._event_scorer import EventScorer
from skhep_ml.metrics._flatness import (
    cvm_flatness,
    ks_flatness,
    sde_flatness,
    theil_flatness,
)
from skhep_ml.metrics._moment_distances import frechet_distance, kernel_distance
from skhep_ml.metrics._ranking import (
    background_rejection_score,
    precision_recall_curve,
    roc_curve,
    signal_efficiency_score,
)
from skhep_ml.metrics._regression import (
    PullSummary,
    ResponseProfile,
    bias_score,
    pull_summary,
    resolution_score,
    response_profile,
)
from skhep_ml.metrics._sample_scorer import (
    SampleScorer,
    frechet_distance_scorer,
    kernel_distance_scorer,
    separation_power_scorer,
    sliced_wasserstein_scorer,
    two_sample_auc_scorer,
    wasserstein_scorer,
)
from skhep_ml.metrics._scorers import (
    ams_scorer,
    average_precision_scorer,
    background_rejection_scorer,
    binned_significance_scorer,
    calibration_scorer,
    confusion_scorer,
    flatness_scorer,
    log_loss_scorer,
    regression_scorer,
    roc_auc_scorer,
    sculpting_scorer,
    signal_efficiency_scorer,
    significance_improvement_scorer,
    significance_scorer,
)
from skhep_ml.metrics._sculpting import SculptingResult, jsd_sculpting
from skhep_ml.metrics._significance import (
    SelectedYields,
    ams_score,
    asimov_significance,
    punzi_fom,
    selected_yields,
)
from skhep_ml.metrics._significance_improvement import (
    MaximumImprovement,
    SignificanceImprovement,
    max_significance_improvement,
    significance_improvement,
)
from skhep_ml.metrics._two_sample import KSResult, ks_2samp_weighted
from skhep_ml.metrics._wasserstein import (
    separation_power,
    sliced_wasserstein_distance,
    wasserstein_distance,
)
from skhep_ml.metrics._working_points import (
    ScaleFactor,
    WorkingPoints,
    scale_factors,
    working_points,
)
from skhep_ml.weights._base import effective_sample_size

__all__ = [
    "AMSCurve",
    "BestCut",
    "Binning",
    "BootstrapResult",
    "EventScorer",
    "KSResult",
    "MaximumImprovement",
    "PullSummary",
    "ResponseProfile",
    "SampleScorer",
    "ScaleFactor",
    "SculptingResult",
    "SelectedYields",
    "SignificanceImprovement",
    "WorkingPoints",
    "ams_curve",
    "ams_score",
    "ams_scorer",
    "asimov_significance",
    "average_precision_score",
    "average_precision_scorer",
    "background_rejection_score",
    "background_rejection_scorer",
    "best_cut",
    "bias_score",
    "binned_significance_scorer",
    "bootstrap",
    "calibration_error",
    "calibration_scorer",
    "confusion_matrix",
    "confusion_scorer",
    "cvm_flatness",
    "distance_correlation",
    "effective_sample_size",
    "flatness_scorer",
    "frechet_distance",
    "frechet_distance_scorer",
    "jsd_sculpting",
    "kernel_distance",
    "kernel_distance_scorer",
    "ks_2samp_weighted",
    "ks_flatness",
    "log_loss_scorer",
    "max_significance_improvement",
    "optimize_binning",
    "precision_recall_curve",
    "pull_summary",
    "punzi_fom",
    "purity_score",
    "regression_scorer",
    "resolution_score",
    "response_profile",
    "roc_auc_score",
    "roc_auc_scorer",
    "roc_curve",
    "scale_factors",
    "sculpting_scorer",
    "sde_flatness",
    "selected_yields",
    "sensitivity_score",
    "separation_power",
    "separation_power_scorer",
    "signal_efficiency_score",
    "signal_efficiency_scorer",
    "significance_improvement",
    "significance_improvement_scorer",
    "significance_scorer",
    "sliced_wasserstein_distance",
    "sliced_wasserstein_scorer",
    "specificity_score",
    "theil_flatness",
    "two_sample_auc",
    "two_sample_auc_scorer",
    "wasserstein_distance",
    "wasserstein_scorer",
    "working_points",
]
