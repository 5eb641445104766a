"""Pictures of weighted events and of models, with statistical errors."""

from skhep_ml.plotting._blind import Blind
from skhep_ml.plotting._bump_hunt import BumpHuntDisplay
from skhep_ml.plotting._calibration import CalibrationDisplay
from skhep_ml.plotting._comparison import ComparisonDisplay
from skhep_ml.plotting._confusion import ConfusionDisplay
from skhep_ml.plotting._correlation import CorrelationDisplay
from skhep_ml.plotting._curves import PrecisionRecallDisplay, RejectionDisplay, RocDisplay
from skhep_ml.plotting._feature import FeatureDisplay
from skhep_ml.plotting._flatness import FlatnessDisplay
from skhep_ml.plotting._importance import ImportanceDisplay
from skhep_ml.plotting._learning import LearningCurveDisplay
from skhep_ml.plotting._missing import MissingDisplay
from skhep_ml.plotting._overtraining import OvertrainingDisplay
from skhep_ml.plotting._parity import ParityDisplay
from skhep_ml.plotting._reweighting import ReweightingDisplay
from skhep_ml.plotting._score import ScoreDisplay
from skhep_ml.plotting._sculpting import SculptingDisplay
from skhep_ml.plotting._search import SearchDisplay
from skhep_ml.plotting._significance import SignificanceDisplay
from skhep_ml.plotting._significance_improvement import SignificanceImprovementDisplay
from skhep_ml.plotting._systematics import SystematicsDisplay
from skhep_ml.plotting._trend import TrendDisplay

__all__ = [
    "Blind",
    "BumpHuntDisplay",
    "CalibrationDisplay",
    "ComparisonDisplay",
    "ConfusionDisplay",
    "CorrelationDisplay",
    "FeatureDisplay",
    "FlatnessDisplay",
    "ImportanceDisplay",
    "LearningCurveDisplay",
    "MissingDisplay",
    "OvertrainingDisplay",
    "ParityDisplay",
    "PrecisionRecallDisplay",
    "RejectionDisplay",
    "ReweightingDisplay",
    "RocDisplay",
    "ScoreDisplay",
    "SculptingDisplay",
    "SearchDisplay",
    "SignificanceDisplay",
    "SignificanceImprovementDisplay",
    "SystematicsDisplay",
    "TrendDisplay",
]
