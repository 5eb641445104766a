"""Embedded samples, generators with known truth, and public data."""

from skhep_ml.datasets._challenge import fetch_higgs_challenge
from skhep_ml.datasets._dalitz import make_dalitz
from skhep_ml.datasets._densities import make_density_toy
from skhep_ml.datasets._higgs import load_higgs
from skhep_ml.datasets._jets import load_jets
from skhep_ml.datasets._mass_tagging import make_mass_tagging
from skhep_ml.datasets._resonance import make_resonance_search
from skhep_ml.datasets._showers import make_showers
from skhep_ml.datasets._signed import make_signed_events
from skhep_ml.datasets._unfolding import make_unfolding_toy

__all__ = [
    "fetch_higgs_challenge",
    "load_higgs",
    "load_jets",
    "make_dalitz",
    "make_density_toy",
    "make_mass_tagging",
    "make_resonance_search",
    "make_showers",
    "make_signed_events",
    "make_unfolding_toy",
]
