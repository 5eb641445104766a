"""Pictures of weighted events and of models, with statistical errors."""

from skhep_ml.plotting._calibration import CalibrationDisplay
from skhep_ml.plotting._confusion import ConfusionDisplay
from skhep_ml.plotting._curves import RejectionDisplay, RocDisplay
from skhep_ml.plotting._feature import FeatureDisplay
from skhep_ml.plotting._importance import ImportanceDisplay
from skhep_ml.plotting._overtraining import OvertrainingDisplay
from skhep_ml.plotting._score import ScoreDisplay
from skhep_ml.plotting._significance import SignificanceDisplay

__all__ = [
    "CalibrationDisplay",
    "ConfusionDisplay",
    "FeatureDisplay",
    "ImportanceDisplay",
    "OvertrainingDisplay",
    "RejectionDisplay",
    "RocDisplay",
    "ScoreDisplay",
    "SignificanceDisplay",
]
