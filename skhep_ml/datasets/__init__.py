"""Embedded samples, generators with known truth, and public data."""

from skhep_ml.datasets._challenge import fetch_higgs_challenge
from skhep_ml.datasets._higgs import load_higgs
from skhep_ml.datasets._jets import load_jets
from skhep_ml.datasets._signed import make_signed_events

__all__ = ["fetch_higgs_challenge", "load_higgs", "load_jets", "make_signed_events"]
