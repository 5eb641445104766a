"""Density-ratio reweighters of one sample to another, and unfolding by reweighting."""

from skhep_ml.reweighting._bins import BinsReweighter
from skhep_ml.reweighting._classifier import ClassifierReweighter
from skhep_ml.reweighting._diagnostics import ReweightingReport, reweighting_report
from skhep_ml.reweighting._folding import FoldingReweighter
from skhep_ml.reweighting._gb import GBReweighter
from skhep_ml.reweighting._morph import QuantileMorpher
from skhep_ml.reweighting._omnifold import OmniFold
from skhep_ml.reweighting._rotating import RotatingReweighter
from skhep_ml.reweighting._unfolding_results import UnfoldedHistogram, UnfoldingSummary

__all__ = [
    "BinsReweighter",
    "ClassifierReweighter",
    "FoldingReweighter",
    "GBReweighter",
    "OmniFold",
    "QuantileMorpher",
    "ReweightingReport",
    "RotatingReweighter",
    "UnfoldedHistogram",
    "UnfoldingSummary",
    "reweighting_report",
]
