"""Over-sampling and augmentation with event weights, as imbalanced-learn samplers."""

from skhep_ml.over_sampling._jets import CollinearSplit, JetRotation, JetTranslation, SoftSmearing
from skhep_ml.over_sampling._resampled import ResampledClassifier, ResampledRegressor
from skhep_ml.over_sampling._smote import WeightedSMOTE
from skhep_ml.over_sampling._symmetry import EtaReflection, PhiReflection, PhiRotation, Smearing

__all__ = [
    "CollinearSplit",
    "EtaReflection",
    "JetRotation",
    "JetTranslation",
    "PhiReflection",
    "PhiRotation",
    "ResampledClassifier",
    "ResampledRegressor",
    "Smearing",
    "SoftSmearing",
    "WeightedSMOTE",
]
