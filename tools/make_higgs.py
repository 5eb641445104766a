#!/usr/bin/env python3
"""Make the embedded Higgs sample: H -> tau tau against Z -> tau tau, W+jets and ttbar.

Lepton + hadronic-tau channel of proton collisions at 13 TeV, generated with Pythia 8 and a
parametrised detector.  Nothing in ``skhep_ml`` needs this script or its dependencies; it is kept so
that the sample can be understood, remade and extended::

    pip install pythia8mc==8.317.0 fastjet awkward numpy
    python tools/make_higgs.py library parts/taus.npz
    for process in ggH VBF Z W ttbar; do
        python tools/make_higgs.py generate $process parts/$process.npz --library parts/taus.npz
    done
    python tools/make_higgs.py join parts/{ggH,VBF,Z,W,ttbar}.npz skhep_ml/datasets/_data/higgs.npz
    (cd skhep_ml/datasets/_data && sha256sum *.npz > SHA256SUMS)

Physics choices
---------------
* Taus stay undecayed in the event generation.  Their decays come from a library of polarised decays
  that Pythia made (helicity -1 and +1).  Helicities are correlated as the parent demands: opposite
  for the spin-1 Z (left-handed tau- in 57%), equal for the spin-0 Higgs, left-handed tau- from W.
  Transverse spin correlations are lost.
* An event with taus is given ``trials`` independent decays and smearings; one accepted trial is kept
  with weight (accepted / trials).  That is unbiased and lets one shower serve many decays.
* Jets may be taken for hadronic taus with a falling fake rate, as weights.
* Detector: gaussian smearing of each object; missing energy receives the smearing of the objects and
  a resolution of its own.
* Not simulated: QCD multijets, dibosons, Z -> ee/mumu, pile-up; W + 2 jets from the shower alone.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

LUMINOSITY = 140_000.0  # 1/pb
TAU_MASS = 1.77686
LEPTONIC = 0.3521  # branching fraction of tau -> e/mu nu nu
LEPTON_EFFICIENCY, TAU_EFFICIENCY, B_VETO = 0.75, 0.65, 0.3

COMMON = [
    "Print:quiet = on",
    "Beams:eCM = 13000.",
    "Tune:pp = 14",
    "15:mayDecay = off",
]
HIGGS = ["25:m0 = 125.", "25:onMode = off", "25:onIfMatch = 15 -15"]
# cross-section times branching ratio in pb (LHC Higgs Cross Section Working Group; NNLO for Z, W, ttbar)
PROCESSES = {
    "ggH": (["HiggsSM:gg2H = on", *HIGGS], 48.58 * 0.06272, 15_000),
    "VBF": (
        ["HiggsSM:ff2Hff(t:ZZ) = on", "HiggsSM:ff2Hff(t:WW) = on", *HIGGS],
        3.782 * 0.06272,
        10_000,
    ),
    "Z": (
        [
            "WeakSingleBoson:ffbar2gmZ = on",
            "PhaseSpace:mHatMin = 50.",
            "23:onMode = off",
            "23:onIfMatch = 15 -15",
        ],
        6077.22 / 3,
        17_000,
    ),
    "W": (
        ["WeakSingleBoson:ffbar2W = on", "24:onMode = off", "24:onIfAny = 11 13 15"],
        61526.7,
        15_000,
    ),
    "ttbar": (["Top:gg2ttbar = on", "Top:qqbar2ttbar = on", "6:m0 = 172.5"], 831.76, 10_000),
}
RUNS = {"ggH": 345120, "VBF": 345121, "Z": 361108, "W": 361100, "ttbar": 410470}
SEEDS = {"ggH": 11, "VBF": 12, "Z": 13, "W": 14, "ttbar": 15}
FIELDS = [
    "tau_pt",
    "tau_eta",
    "tau_phi",
    "lep_pt",
    "lep_eta",
    "lep_phi",
    "met",
    "met_phi",
    "met_sumet",
    "n_jets",
    "jet1_pt",
    "jet1_eta",
    "jet1_phi",
    "jet2_pt",
    "jet2_eta",
    "jet2_phi",
    "jet_sumpt",
    "ditau_mass",
    "lep_charge",
    "event",
    "weight",
]


# --- polarised tau decays -----------------------------------------------------------------------------


def make_library(path, n=40_000):
    """Decays of tau- with helicity -1 and +1, as momenta in the rest frame, spin axis along z.

    Rows of ``lepton_*``/``hadron_*``: visible px, py, pz, e, then flavour (11, 13 or 15).
    """
    import pythia8mc

    energy = 100.0
    momentum = np.sqrt(energy**2 - TAU_MASS**2)
    out = {}
    for helicity in (-1, 1):
        rows = {"lepton": [], "hadron": []}
        pythia = pythia8mc.Pythia("", False)
        for line in [
            "Print:quiet = on",
            "ProcessLevel:all = off",
            "HadronLevel:Hadronize = off",
            "TauDecays:mode = 3",
            f"TauDecays:tauPolarization = {helicity}",
            f"Random:seed = {500 + helicity}",
            "Random:setSeed = on",
        ]:
            pythia.readString(line)
        pythia.init()
        while min(len(rows["lepton"]), len(rows["hadron"])) < n:
            pythia.event.reset()
            pythia.event.append(
                15, 1, 0, 0, 0.0, 0.0, momentum, energy, TAU_MASS, 0.0, float(helicity)
            )
            if not pythia.next():
                continue
            visible = np.zeros(4)
            flavour = 15
            for particle in pythia.event:
                if not particle.isFinal() or particle.idAbs() in (12, 14, 16):
                    continue
                visible += (particle.px(), particle.py(), particle.pz(), particle.e())
                if particle.idAbs() in (11, 13):
                    flavour = particle.idAbs()
            gamma, beta_gamma = energy / TAU_MASS, momentum / TAU_MASS
            pz = gamma * visible[2] - beta_gamma * visible[3]
            e = gamma * visible[3] - beta_gamma * visible[2]
            kind = "hadron" if flavour == 15 else "lepton"
            if len(rows[kind]) < n:
                rows[kind].append((visible[0], visible[1], pz, e, flavour))
        for kind, values in rows.items():
            out[f"{kind}_{'minus' if helicity < 0 else 'plus'}"] = np.array(
                values, dtype=np.float32
            )
    np.savez_compressed(path, **out)


def check_library(library):
    """Mean visible energy fractions against the lowest-order spectra: 0.40/0.30 for leptons."""
    for name in ("lepton_minus", "lepton_plus", "hadron_minus", "hadron_plus"):
        row = library[name]
        fraction = (row[:, 3] + row[:, 2]) / TAU_MASS
        print(f"  {name}: {len(row)} decays, mean visible fraction {fraction.mean():.3f}")


def decay(p, kind_leptonic, left_like, library, rng):
    """Visible four-momenta and flavours of decays of taus ``p`` (n, 4)."""
    n = len(p)
    rest = np.empty((n, 5))
    for leptonic in (True, False):
        for left in (True, False):
            use = (kind_leptonic == leptonic) & (left_like == left)
            rows = library[f"{'lepton' if leptonic else 'hadron'}_{'minus' if left else 'plus'}"]
            rest[use] = rows[rng.integers(len(rows), size=use.sum())]
    angle = rng.uniform(0, 2 * np.pi, n)
    c, s = np.cos(angle), np.sin(angle)
    x, y, z, e = (
        c * rest[:, 0] - s * rest[:, 1],
        s * rest[:, 0] + c * rest[:, 1],
        rest[:, 2],
        rest[:, 3],
    )
    mod = np.sqrt((p[:, :3] ** 2).sum(1))
    gamma, beta_gamma = np.sqrt(mod**2 + TAU_MASS**2) / TAU_MASS, mod / TAU_MASS
    z, e = gamma * z + beta_gamma * e, gamma * e + beta_gamma * z
    axis = p[:, :3] / mod[:, None]
    helper = np.where(np.abs(axis[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
    first = np.cross(axis, helper)
    first /= np.sqrt((first**2).sum(1))[:, None]
    second = np.cross(axis, first)
    vector = x[:, None] * first + y[:, None] * second + z[:, None] * axis
    return np.column_stack([vector, e]), rest[:, 4].astype(int)


# --- generation ---------------------------------------------------------------------------------------


def make_hook(process):
    """Count events, and stop early those W events that cannot pass the selection."""
    import pythia8mc

    class Hook(pythia8mc.UserHooks):
        def __init__(self):
            super().__init__()
            self.tried = 0

        def canVetoProcessLevel(self):
            return True

        def doVetoProcessLevel(self, event):
            self.tried += 1
            if process != "W":
                return False
            leptons = (event[i] for i in range(5, event.size()))
            return not any(p.idAbs() in (11, 13, 15) and abs(p.eta()) < 3.5 for p in leptons)

        def canVetoPT(self):
            return process == "W"

        def scaleVetoPT(self):
            return 12.0

        def doVetoPT(self, position, event):
            # the W is undecayed here; a jet above 20 GeV needs an emission, from any source, by now
            partons = (event[i] for i in range(5, event.size()))
            return not any(
                p.isFinal()
                and (p.idAbs() < 6 or p.idAbs() == 21)
                and p.pT() > 11.0
                and abs(p.eta()) < 3.0
                for p in partons
            )

    return Hook()


def truth(batch):
    """What the detector model needs of a batch of generated events, as padded arrays."""
    import awkward as ak
    import fastjet

    particles = batch.prt
    counts = ak.to_numpy(ak.num(particles.id))
    offsets = np.concatenate([[0], np.cumsum(counts)])
    flat = {
        f: ak.to_numpy(ak.flatten(particles[f]))
        for f in ("id", "status", "mother1", "daughter1", "daughter2")
    }
    p4 = np.column_stack([ak.to_numpy(ak.flatten(particles.p[c])) for c in ("px", "py", "pz", "e")])
    identity = np.abs(flat["id"])
    final = flat["status"] > 0
    n = len(counts)
    taus, leptons, bottoms = (
        np.full((n, 4, 5), np.nan),
        np.full((n, 4, 6), np.nan),
        np.zeros((n, 2, 3)),
    )
    bottoms[:] = np.nan
    prompt = np.zeros(len(final), dtype=bool)
    for i in range(n):
        lo, hi = offsets[i], offsets[i + 1]
        local = {f: v[lo:hi] for f, v in flat.items()}
        ids = identity[lo:hi]
        found = [0, 0, 0]
        for j in np.flatnonzero(final[lo:hi] & ((ids == 11) | (ids == 13) | (ids == 15))):
            k = local["mother1"][j]
            while k > 0 and ids[k] in (11, 13, 15) and ids[k] == ids[j]:
                k = local["mother1"][k]
            if ids[k] not in (23, 24, 25, 15) and not (k <= 4 and ids[j] == 15):
                continue
            prompt[lo + j] = True
            row = p4[lo + j]
            if ids[j] == 15 and found[0] < 4:
                taus[i, found[0]] = (*row, -np.sign(local["id"][j]))
                found[0] += 1
            elif ids[j] != 15 and found[1] < 4:
                leptons[i, found[1]] = (*row, -np.sign(local["id"][j]), ids[j])
                found[1] += 1
        tops = np.flatnonzero((ids == 5) & (ids[local["mother1"]] == 6))
        for j in tops[:2]:
            px, py, pz, _ = p4[lo + j]
            bottoms[i, found[2]] = (
                np.hypot(px, py),
                np.arcsinh(pz / np.hypot(px, py)),
                np.arctan2(py, px),
            )
            found[2] += 1
    neutrino = final & np.isin(identity, (12, 14, 16))
    pt = np.hypot(p4[:, 0], p4[:, 1])
    with np.errstate(divide="ignore", invalid="ignore"):
        eta = np.arcsinh(p4[:, 2] / pt)
    visible = final & ~neutrino & ~prompt & (np.abs(eta) < 5.0) & (pt > 0.01)
    event = np.repeat(np.arange(n), counts)
    sums = lambda mask, values: np.bincount(event[mask], values[mask], n)  # noqa: E731
    kept = np.bincount(event[visible], minlength=n)
    constituents = ak.unflatten(
        ak.zip(
            dict(zip(("px", "py", "pz", "E"), p4[visible].T, strict=True)), with_name="Momentum4D"
        ),
        kept,
    )
    sequence = fastjet.ClusterSequence(
        constituents, fastjet.JetDefinition(fastjet.antikt_algorithm, 0.4)
    )
    found = sequence.inclusive_jets(min_pt=12.0)
    pad = lambda values: ak.to_numpy(ak.fill_none(ak.pad_none(values, 14, clip=True), np.nan))  # noqa: E731
    jx, jy, jz = (pad(found[c]) for c in ("px", "py", "pz"))
    jet_pt = np.hypot(jx, jy)
    return {
        "taus": taus,
        "leptons": leptons,
        "bottoms": bottoms,
        "nu": np.column_stack([sums(neutrino, p4[:, 0]), sums(neutrino, p4[:, 1])]),
        "sumet": sums(visible, pt),
        "jets": np.stack([jet_pt, np.arcsinh(jz / jet_pt), np.arctan2(jy, jx)], axis=2),
    }


def delta_phi(a, b):
    return (a - b + np.pi) % (2 * np.pi) - np.pi


def pt_eta_phi(p):
    pt = np.hypot(p[..., 0], p[..., 1])
    return pt, np.arcsinh(p[..., 2] / pt), np.arctan2(p[..., 1], p[..., 0])


def trial(process, ev, library, rng):
    """One set of tau decays, one detector smearing, one choice of the hadronic tau: weights and columns."""
    n = len(ev["jets"])
    taus, leptons = ev["taus"], ev["leptons"]
    lep = [leptons[:, k, :4].copy() for k in range(2)]
    lep_charge = [leptons[:, k, 4] for k in range(2)]
    lep_flavour = [leptons[:, k, 5] for k in range(2)]
    had, had_charge = [], []
    invisible = ev["nu"].copy()
    weight = np.ones(n)
    forced = process in ("ggH", "VBF", "Z")
    first_leptonic = rng.random(n) < 0.5
    if process == "Z":
        left = rng.random(n) < 0.5735
        left_like = [left, left]
    elif forced:
        left = rng.random(n) < 0.5
        left_like = [left, ~left]
    else:
        left_like = [np.ones(n, dtype=bool)] * 2
    for k in range(2):
        there = np.isfinite(taus[:, k, 0])
        leptonic = (first_leptonic == (k == 0)) if forced else rng.random(n) < LEPTONIC
        p = np.where(there[:, None], taus[:, k, :4], [[1.0, 0.0, 0.0, np.hypot(1.0, TAU_MASS)]])
        vis, flavour = decay(p, leptonic, left_like[k], library, rng)
        invisible += np.where(there[:, None], p[:, :2] - vis[:, :2], 0.0)
        as_lepton = np.where((there & leptonic)[:, None], vis, np.nan)
        lep.append(as_lepton)
        lep_charge.append(taus[:, k, 4])
        lep_flavour.append(np.where(leptonic, flavour, np.nan))
        had.append(np.where((there & ~leptonic)[:, None], vis, np.nan))
        had_charge.append(taus[:, k, 4])
    if forced:
        weight *= 2 * LEPTONIC * (1 - LEPTONIC)

    # leptons, smeared
    pt, eta, phi = (np.stack(v, axis=1) for v in zip(*(pt_eta_phi(p) for p in lep), strict=True))
    charge, flavour = np.stack(lep_charge, axis=1), np.stack(lep_flavour, axis=1)
    sigma = np.where(flavour == 11, 0.02, np.hypot(0.015, 1e-4 * pt))
    reco = pt * np.clip(1 + sigma * rng.normal(size=pt.shape), 0.1, None)
    good = (reco > 15) & (np.abs(eta) < 2.5)
    chosen = np.argmax(np.where(good, reco, -1), axis=1)
    row = np.arange(n)
    lep_pt, lep_eta, lep_phi, lep_q = (v[row, chosen] for v in (reco, eta, phi, charge))
    accepted = (good.sum(1) == 1) & (lep_pt > 26)
    shift_x = (reco - pt)[row, chosen] * np.cos(lep_phi)
    shift_y = (reco - pt)[row, chosen] * np.sin(lep_phi)
    weight *= LEPTON_EFFICIENCY

    # jets, smeared
    jet = ev["jets"]
    sigma = np.sqrt((4 / jet[..., 0]) ** 2 + 0.49 / jet[..., 0] + 0.045**2)
    jet_pt = jet[..., 0] * np.clip(1 + sigma * rng.normal(size=sigma.shape), 0.05, None)
    jet_eta, jet_phi = jet[..., 1], jet[..., 2]
    away = np.hypot(jet_eta - lep_eta[:, None], delta_phi(jet_phi, lep_phi[:, None])) > 0.5

    # candidates for the hadronic tau: true ones with their efficiency, jets with a fake rate
    t_pt, t_eta, t_phi = (
        np.stack(v, axis=1) for v in zip(*(pt_eta_phi(p) for p in had), strict=True)
    )
    t_reco = t_pt * np.clip(1 + 0.10 * rng.normal(size=t_pt.shape), 0.1, None)
    opposite = np.stack(had_charge, axis=1) == -lep_q[:, None]
    true_weight = TAU_EFFICIENCY * opposite
    f_pt = jet_pt * np.clip(rng.normal(0.8, 0.12, size=jet_pt.shape), 0.4, 1.0)
    rate = 0.004 + 0.016 * np.exp(-(np.maximum(jet_pt, 20) - 20) / 25)
    true_near = (
        np.hypot(
            jet_eta[:, :, None] - t_eta[:, None, :],
            delta_phi(jet_phi[:, :, None], t_phi[:, None, :]),
        )
        < 0.5
    ).any(2)
    fake_weight = rate * (0.65 if process == "W" else 0.5) * (jet_pt > 20) * away * ~true_near
    c_pt, c_eta, c_phi = (
        np.concatenate(v, axis=1) for v in ((t_reco, f_pt), (t_eta, jet_eta), (t_phi, jet_phi))
    )
    distance = np.hypot(c_eta - lep_eta[:, None], delta_phi(c_phi, lep_phi[:, None]))
    c_weight = np.concatenate([true_weight, fake_weight], axis=1)
    c_weight = np.where((c_pt > 20) & (np.abs(c_eta) < 2.4) & (distance > 0.5), c_weight, 0.0)
    total = c_weight.sum(1)
    accepted &= total > 0
    weight *= total
    pick = (np.cumsum(c_weight, axis=1) < (rng.random(n) * total)[:, None]).sum(1)
    pick = np.minimum(pick, c_weight.shape[1] - 1)
    tau_pt, tau_eta, tau_phi = (v[row, pick] for v in (c_pt, c_eta, c_phi))
    is_true = pick < 2
    true_shift = np.where(is_true, (t_reco - t_pt)[row, np.minimum(pick, 1)], 0.0)
    shift_x += np.nan_to_num(true_shift) * np.cos(np.nan_to_num(tau_phi))
    shift_y += np.nan_to_num(true_shift) * np.sin(np.nan_to_num(tau_phi))
    # the part of a fake's jet that is not called tau stays in the event as soft energy
    away &= np.hypot(jet_eta - tau_eta[:, None], delta_phi(jet_phi, tau_phi[:, None])) > 0.5
    used = (jet_pt > 30) & (np.abs(jet_eta) < 4.7) & away
    hard = np.where(jet_pt > 20, jet_pt - jet[..., 0], 0.0)
    shift_x += np.nansum(hard * np.cos(jet_phi), axis=1)
    shift_y += np.nansum(hard * np.sin(jet_phi), axis=1)

    order = np.argsort(-np.where(used, jet_pt, -1), axis=1, kind="stable")
    ranked = np.take_along_axis(used, order, 1)

    def take(v):
        return np.where(ranked, np.take_along_axis(v, order, 1), np.nan)[:, :2]

    j_pt, j_eta, j_phi = take(jet_pt), take(jet_eta), take(jet_phi)

    sigma = np.sqrt(144 + 0.16 * ev["sumet"])
    met_x = invisible[:, 0] - shift_x + sigma * rng.normal(size=n)
    met_y = invisible[:, 1] - shift_y + sigma * rng.normal(size=n)

    # b veto on jets (or the fake tau) that carry a b quark from a top
    b = ev["bottoms"]
    n_b = ((b[..., 0] > 25) & (np.abs(b[..., 1]) < 2.5)).sum(1)
    weight *= B_VETO**n_b

    columns = {
        "tau_pt": tau_pt, "tau_eta": tau_eta, "tau_phi": tau_phi,
        "lep_pt": lep_pt, "lep_eta": lep_eta, "lep_phi": lep_phi,
        "met": np.hypot(met_x, met_y), "met_phi": np.arctan2(met_y, met_x), "met_sumet": ev["sumet"],
        "n_jets": used.sum(1).astype(float),
        "jet1_pt": j_pt[:, 0], "jet1_eta": j_eta[:, 0], "jet1_phi": j_phi[:, 0],
        "jet2_pt": j_pt[:, 1], "jet2_eta": j_eta[:, 1], "jet2_phi": j_phi[:, 1],
        "jet_sumpt": np.where(used, jet_pt, 0.0).sum(1),
        "lep_charge": lep_q,
    }  # fmt: skip
    return np.where(accepted, weight, 0.0), columns


def ditau_mass(c, step=0.04):
    """Di-tau mass estimate: mean over the visible energy fractions (x1, x2).

    Neutrinos are taken collinear with the visible products.  Weight of a point: gaussian in the
    missing momentum (resolution of `trial`), times the leptonic decay spectrum for x1, flat for x2,
    times m^-5, a falling spectrum of masses that brings the peaks of Z and Higgs boson near their
    masses.  NaN where no point of the grid is within five standard deviations.
    """
    x1, x2 = np.meshgrid(np.arange(0.06, 1.0, step), np.arange(0.06, 1.0, step), indexing="ij")
    x1, x2 = x1.ravel(), x2.ravel()
    deta, dphi = c["lep_eta"] - c["tau_eta"], delta_phi(c["lep_phi"], c["tau_phi"])
    m_vis = np.sqrt(2 * c["lep_pt"] * c["tau_pt"] * (np.cosh(deta) - np.cos(dphi)))
    out = np.empty(len(m_vis))
    for lo in range(0, len(out), 2000):
        s = slice(lo, lo + 2000)
        k1, k2 = (1 / x1 - 1)[None], (1 / x2 - 1)[None]
        px = c["lep_pt"][s, None] * np.cos(c["lep_phi"][s, None]) * k1
        px = px + c["tau_pt"][s, None] * np.cos(c["tau_phi"][s, None]) * k2
        py = c["lep_pt"][s, None] * np.sin(c["lep_phi"][s, None]) * k1
        py = py + c["tau_pt"][s, None] * np.sin(c["tau_phi"][s, None]) * k2
        dx = px - (c["met"] * np.cos(c["met_phi"]))[s, None]
        dy = py - (c["met"] * np.sin(c["met_phi"]))[s, None]
        variance = (144 + 0.16 * c["met_sumet"] + (0.1 * c["tau_pt"]) ** 2 / 2)[s, None]
        chi2 = (dx**2 + dy**2) / variance
        mass = m_vis[s, None] / np.sqrt(x1 * x2)[None]
        spectrum = (5 / 3 - 3 * x1**2 + 4 / 3 * x1**3)[None]
        weight = np.exp(-0.5 * chi2) * spectrum / mass**5
        with np.errstate(invalid="ignore", divide="ignore"):
            out[s] = np.where(chi2.min(1) < 25, (weight * mass).sum(1) / weight.sum(1), np.nan)
    return out


def generate(process, path, library_path, trials=None, target=None, batch=400, seed=None):
    """Generate until ``target`` events are selected; write the columns and the number of events tried."""
    import pythia8mc

    settings, sigma, default_target = PROCESSES[process]
    target = target or default_target
    trials = trials or {"ttbar": 2, "W": 2}.get(process, 20)
    library = dict(np.load(library_path))
    seed = seed or SEEDS[process]
    rng = np.random.default_rng(seed)
    pythia = pythia8mc.Pythia("", False)
    hook = make_hook(process)
    pythia.setUserHooksPtr(hook)
    for line in [*COMMON, *settings, "Random:setSeed = on", f"Random:seed = {seed}"]:
        pythia.readString(line)
    pythia.init()
    parts, selected, made, start = [], 0, 0, time.time()
    while selected < target:
        ev = truth(pythia.nextBatch(batch))
        n = len(ev["jets"])
        with np.errstate(invalid="ignore", divide="ignore"):
            results = [trial(process, ev, library, rng) for _ in range(trials)]
        weights = np.stack([w for w, _ in results])
        total = weights.sum(0)
        keep = np.flatnonzero(total > 0)
        pick = (np.cumsum(weights, 0) < rng.random(n) * total).sum(0)
        pick = np.minimum(pick, trials - 1)
        columns = {
            f: np.stack([c[f] for _, c in results])[pick, np.arange(n)][keep] for f in results[0][1]
        }
        columns["weight"] = (total / trials)[keep]
        columns["event"] = made + keep + 1
        made += n
        selected += len(keep)
        parts.append(columns)
        if len(parts) % 5 == 0:
            spent = time.time() - start
            print(
                f"{process}: {selected}/{target} selected, {hook.tried} tried, {spent:.0f} s",
                flush=True,
            )
            write_part(path, process, parts, sigma, hook.tried)
    write_part(path, process, parts, sigma, hook.tried)


def write_part(path, process, parts, sigma, tried):
    columns = {f: np.concatenate([p[f] for p in parts]) for f in parts[0]}
    columns["weight"] = columns["weight"] * sigma * LUMINOSITY / tried
    temporary = Path(path).with_suffix(".tmp.npz")
    np.savez_compressed(temporary, process=process, tried=tried, **columns)
    temporary.replace(path)


# --- joining ------------------------------------------------------------------------------------------


def round_mantissa(values, bits):
    """float32 with only ``bits`` bits of mantissa (rounded), so that it compresses."""
    raw = np.asarray(values, dtype=np.float32).view(np.uint32)
    drop = 23 - bits
    rounded = ((raw.astype(np.uint64) + (1 << (drop - 1))) >> drop << drop).astype(np.uint32)
    return np.where(np.isnan(values), np.float32(np.nan), rounded.view(np.float32))


def signed_probability(n_jets):
    """P(w < 0) of the signed variant: fractions seen in FxFx-merged Z + 0, 1, 2 jets."""
    return np.array([0.06, 0.22, 0.45])[np.minimum(n_jets, 2).astype(int)]


def join(paths, out):
    """Shuffle all processes into one file of byte planes; ``skhep_ml.datasets._higgs`` reads it."""
    names = list(PROCESSES)
    parts = []
    for path in paths:
        with np.load(path) as part:
            process = str(part["process"])
            columns = {f: part[f] for f in FIELDS if f != "ditau_mass"}
        columns["ditau_mass"] = ditau_mass(columns)
        columns["process"] = np.full(len(columns["event"]), names.index(process), dtype=np.uint8)
        columns["run"] = np.full(len(columns["event"]), RUNS[process])
        parts.append(columns)
    table = {f: np.concatenate([p[f] for p in parts]) for f in parts[0]}
    rng = np.random.default_rng(2026)
    order = rng.permutation(len(table["event"]))
    table = {f: v[order] for f, v in table.items()}
    background = np.isin(table["process"], [names.index(p) for p in ("Z", "W", "ttbar")])
    negative = background & (rng.random(len(order)) < signed_probability(table["n_jets"]))
    columns = {}
    for field, values in table.items():
        if field in ("process", "lep_charge", "n_jets"):
            columns[field] = values.astype(np.int8)
        elif field in ("event", "run"):
            columns[field] = values.astype(np.uint32)
        else:
            columns[field] = round_mantissa(values, 16 if field == "weight" else 11)
    arrays = {
        f: np.ascontiguousarray(v).view(np.uint8).reshape(len(order), -1).T
        for f, v in columns.items()
    }
    arrays["negative"] = np.packbits(negative)[None]
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out, **{f: np.ascontiguousarray(v) for f, v in arrays.items()})
    for k, name in enumerate(names):
        use = table["process"] == k
        w = table["weight"][use]
        effective = w.sum() ** 2 / (w**2).sum()
        print(f"{name}: {use.sum()} events, yield {w.sum():.1f}, effective {effective:.0f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    sub = parser.add_subparsers(dest="command", required=True)
    lib = sub.add_parser("library")
    lib.add_argument("path")
    lib.add_argument("-n", type=int, default=40_000)
    gen = sub.add_parser("generate")
    gen.add_argument("process", choices=PROCESSES)
    gen.add_argument("path")
    gen.add_argument("--library", required=True)
    gen.add_argument("--target", type=int)
    gen.add_argument("--seed", type=int)
    gen.add_argument("--batch", type=int, default=400)
    joiner = sub.add_parser("join")
    joiner.add_argument("parts", nargs="+")
    joiner.add_argument("out")
    args = parser.parse_args()
    if args.command == "library":
        make_library(args.path, args.n)
        check_library(np.load(args.path))
    elif args.command == "generate":
        generate(
            args.process,
            args.path,
            args.library,
            target=args.target,
            seed=args.seed,
            batch=args.batch,
        )
    else:
        join(args.parts, args.out)


if __name__ == "__main__":
    main()
