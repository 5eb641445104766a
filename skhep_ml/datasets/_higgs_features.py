r"""Derived features of lepton + hadronic-tau events.

Definitions of the Higgs boson machine learning challenge (C. Adam-Bourdarios et al., Learning to
discover, CERN Open Data record 329, appendix B), for arrays of events:

====================  ==============================================================================
feature               definition
====================  ==============================================================================
lep_met_mt            :math:`\sqrt{2\, p_T^\ell E_T^{miss} (1 - \cos\Delta\phi(\ell, miss))}`
visible_mass          invariant mass of lepton and hadronic tau
ditau_pt              length of the vector sum of lepton, tau and missing transverse momentum
delta_r_tau_lep       :math:`\sqrt{\Delta\eta^2 + \Delta\phi^2}` between tau and lepton
pt_ratio_lep_tau      :math:`p_T^\ell / p_T^\tau`
total_pt              length of the vector sum of lepton, tau, missing momentum and the leading
                      two jets
sum_pt                scalar sum over lepton, tau and all jets
met_phi_centrality    :math:`(A + B)/\sqrt{A^2 + B^2}` with
                      :math:`A = \sin(\phi_{miss} - \phi_\tau)\,s`,
                      :math:`B = \sin(\phi_\ell - \phi_{miss})\,s`, s the sign of
                      :math:`\sin(\phi_\ell - \phi_\tau)`: :math:`\sqrt 2` in the middle
                      between lepton and tau, above 1 between them
delta_eta_jj          :math:`|\eta_1 - \eta_2|` of the leading jets
m_jj                  their invariant mass, jets taken as massless
prod_eta_jj           :math:`\eta_1 \eta_2`
lep_eta_centrality    :math:`\exp(-4/(\eta_1 - \eta_2)^2\, (\eta_\ell - (\eta_1 + \eta_2)/2)^2)`
====================  ==============================================================================
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def delta_phi(a: Array, b: Array) -> Array:
    """Difference of azimuths in [-pi, pi)."""
    return (a - b + np.pi) % (2 * np.pi) - np.pi


def invariant_mass(
    pt1: Array, eta1: Array, phi1: Array, pt2: Array, eta2: Array, phi2: Array
) -> Array:
    """Mass of two massless objects."""
    return np.sqrt(2 * pt1 * pt2 * (np.cosh(eta1 - eta2) - np.cos(phi1 - phi2)))


def met_phi_centrality(phi: Array, phi_tau: Array, phi_lep: Array) -> Array:
    """Where ``phi`` lies between tau and lepton; 0 where these are exactly (anti)parallel."""
    sign = np.sign(np.sin(phi_lep - phi_tau))
    a = np.sin(phi - phi_tau) * sign
    b = np.sin(phi_lep - phi) * sign
    norm = np.hypot(a, b)
    return np.divide(a + b, norm, out=np.zeros_like(norm), where=norm > 0)


def derived_features(c: Mapping[str, Array]) -> dict[str, Array]:
    """Derived features, in the order of the module's table.

    Parameters
    ----------
    c : mapping of arrays of shape (n_events,)
        ``{tau,lep,jet1,jet2}_{pt,eta,phi}``, ``met``, ``met_phi``, ``jet_sumpt``; GeV; NaN where a
        jet does not exist.

    Returns
    -------
    dict of arrays of shape (n_events,)
        NaN where a jet that the feature needs does not exist.
    """
    x = c["lep_pt"] * np.cos(c["lep_phi"]) + c["tau_pt"] * np.cos(c["tau_phi"])
    y = c["lep_pt"] * np.sin(c["lep_phi"]) + c["tau_pt"] * np.sin(c["tau_phi"])
    x = x + c["met"] * np.cos(c["met_phi"])
    y = y + c["met"] * np.sin(c["met_phi"])
    total_x, total_y = x, y
    for jet in ("jet1", "jet2"):
        total_x = total_x + np.nan_to_num(c[f"{jet}_pt"] * np.cos(c[f"{jet}_phi"]))
        total_y = total_y + np.nan_to_num(c[f"{jet}_pt"] * np.sin(c[f"{jet}_phi"]))
    gap = c["jet1_eta"] - c["jet2_eta"]
    offset = c["lep_eta"] - (c["jet1_eta"] + c["jet2_eta"]) / 2
    # two jets at the same rapidity leave no room between them: the limit is 0
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        centrality = np.where(gap == 0, 0.0, np.exp(-4 * (offset / gap) ** 2))
    lep, tau, jet1, jet2 = (
        (c[f"{thing}_pt"], c[f"{thing}_eta"], c[f"{thing}_phi"])
        for thing in ("lep", "tau", "jet1", "jet2")
    )
    cosine = np.cos(c["lep_phi"] - c["met_phi"])
    return {
        "lep_met_mt": np.sqrt(2 * c["lep_pt"] * c["met"] * (1 - cosine)),
        "visible_mass": invariant_mass(*lep, *tau),
        "ditau_pt": np.hypot(x, y),
        "delta_r_tau_lep": np.hypot(tau[1] - lep[1], delta_phi(tau[2], lep[2])),
        "pt_ratio_lep_tau": lep[0] / tau[0],
        "total_pt": np.hypot(total_x, total_y),
        "sum_pt": lep[0] + tau[0] + c["jet_sumpt"],
        "met_phi_centrality": met_phi_centrality(c["met_phi"], c["tau_phi"], c["lep_phi"]),
        "delta_eta_jj": np.abs(gap),
        "m_jj": invariant_mass(*jet1, *jet2),
        "prod_eta_jj": c["jet1_eta"] * c["jet2_eta"],
        "lep_eta_centrality": centrality,
    }
