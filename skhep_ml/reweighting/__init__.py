"""Density-ratio reweighters of one sample to another."""

from skhep_ml.reweighting._bins import BinsReweighter
from skhep_ml.reweighting._classifier import ClassifierReweighter
from skhep_ml.reweighting._diagnostics import ReweightingReport, reweighting_report
from skhep_ml.reweighting._folding import FoldingReweighter
from skhep_ml.reweighting._gb import GBReweighter
from skhep_ml.reweighting._morph import QuantileMorpher
from skhep_ml.reweighting._rotating import RotatingReweighter

__all__ = [
    "BinsReweighter",
    "ClassifierReweighter",
    "FoldingReweighter",
    "GBReweighter",
    "QuantileMorpher",
    "ReweightingReport",
    "RotatingReweighter",
    "reweighting_report",
]
