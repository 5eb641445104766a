"""Searches without labels: detectors of what is rare, and of what is too frequent in a window."""

from skhep_ml.anomaly._bump_hunt import BumpHunt, FittedSpectrum, bump_hunt
from skhep_ml.anomaly._cathode import CathodeClassifier
from skhep_ml.anomaly._cwola import CWoLaClassifier
from skhep_ml.anomaly._detectors import AutoencoderDetector, DensityDetector

__all__ = [
    "AutoencoderDetector",
    "BumpHunt",
    "CWoLaClassifier",
    "CathodeClassifier",
    "DensityDetector",
    "FittedSpectrum",
    "bump_hunt",
]
