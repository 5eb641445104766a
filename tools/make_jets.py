#!/usr/bin/env python3
"""Make the embedded sample of quark and gluon jets.

Z(-> nu nu) + one parton in proton collisions at 14 TeV with Pythia 8, anti-kT jets of R = 0.4: the
set-up of P. T. Komiske, E. M. Metodiev and J. Thaler, arXiv:1810.05165.  Nothing in ``skhep_ml``
needs this script or its dependencies; it is kept so that the sample can be understood and remade
(about ten minutes)::

    pip install pythia8mc==8.317.0 fastjet awkward numpy
    python tools/make_jets.py generate quark parts/quark.npz
    python tools/make_jets.py generate gluon parts/gluon.npz
    python tools/make_jets.py join parts/{quark,gluon}.npz skhep_ml/datasets/_data/jets.npz
    (cd skhep_ml/datasets/_data && sha256sum *.npz > SHA256SUMS)

Physics choices
---------------
* Quarks are u, d and s (q g -> Z q); gluons come from q qbar -> Z g; transverse momentum of the
  hard process above 500 GeV; hadronisation and multiparton interactions on; no pile-up, no
  detector.
* A jet is the leading one of its event, 500 < pT < 550 GeV, |y| < 1.7, of all particles but
  neutrinos.
* Stored: ln(pT) of each particle in steps of 0.001, its distance to the jet axis in pseudorapidity
  and azimuth in steps of 0.00015, and its kind.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

COMMON = [
    "Print:quiet = on",
    "Beams:eCM = 14000.",
    "WeakZ0:gmZmode = 2",
    "23:onMode = off",
    "23:onIfAny = 12 14 16",
    "PhaseSpace:pTHatMin = 500.",
    "Random:setSeed = on",
]
PROCESSES = {
    "quark": "WeakBosonAndParton:qg2gmZq = on",
    "gluon": "WeakBosonAndParton:qqbar2gmZg = on",
}
RUNS = {"quark": 500001, "gluon": 500002}
SEEDS = {"quark": 21, "gluon": 22}
PT_STEP, ANGLE_STEP = 1e-3, 1.5e-4
PT_FLOOR = 1e-3  # GeV
FLAT = ("pt", "delta_eta", "delta_phi", "code")


def particle_code(pdg_id, charge):
    """Sign: charge; size: 1 charged hadron, 3 electron, 4 muon; 0 neutral hadron, 2 photon."""
    identity = np.abs(pdg_id)
    size = np.select([identity == 22, identity == 11, identity == 13, charge != 0], [2, 3, 4, 1], 0)
    return (size * np.where(identity == 22, 1, np.sign(charge))).astype(np.int8)


def delta_phi(a, b):
    return (a - b + np.pi) % (2 * np.pi) - np.pi


def charges(pdg_id, table):
    """Electric charges by particle number; ``table`` is Pythia's particle data."""
    known, index = np.unique(pdg_id, return_inverse=True)
    return np.array([np.sign(table.charge(int(k))) for k in known], dtype=int)[index]


def make_hook():
    """Stop early those events whose leading jet cannot end in the window of transverse momentum."""
    import pythia8mc

    class Hook(pythia8mc.UserHooks):
        def canVetoPT(self):
            return True

        def scaleVetoPT(self):
            return 15.0

        def doVetoPT(self, position, event):
            # what is emitted below this scale changes the sum in a cone of 500 GeV by a few percent
            partons = [p for p in (event[i] for i in range(5, event.size())) if p.isFinal()]
            partons = [(p.pT(), p.eta(), p.phi()) for p in partons if p.id() != 23 and p.pT() > 5]
            if not partons:
                return True
            pt, eta, phi = np.array(partons).T
            lead = np.argmax(pt)
            distance = np.hypot(eta - eta[lead], delta_phi(phi, phi[lead]))
            possible = pt[distance < 0.6].sum() > 460 and pt[distance < 0.4].sum() < 590
            return not (possible and abs(eta[lead]) < 2.2)

    return Hook()


def generate(process, path, target, batch=250):
    """Generate until ``target`` jets are selected; write them as flat arrays."""
    import awkward as ak
    import fastjet
    import pythia8mc

    pythia = pythia8mc.Pythia("", False)
    hook = make_hook()
    pythia.setUserHooksPtr(hook)
    for line in [*COMMON, PROCESSES[process], f"Random:seed = {SEEDS[process]}"]:
        pythia.readString(line)
    pythia.init()
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, 0.4)
    rows, made = [], 0
    while len(rows) < target:
        particles = pythia.nextBatch(batch).prt
        n = len(particles)
        # the parton that recoils against the Z: an outgoing particle of the hard process
        outgoing = particles[(particles.status == -23) & (particles.id != 23)]
        flavour = np.abs(ak.to_numpy(ak.firsts(outgoing.id)))
        wanted = flavour == 21 if process == "gluon" else flavour <= 3
        identity = np.abs(particles.id)
        visible = (particles.status > 0) & (identity != 12) & (identity != 14) & (identity != 16)
        use = particles[visible]
        p4 = ak.zip(
            {"px": use.p.px, "py": use.p.py, "pz": use.p.pz, "E": use.p.e}, with_name="Momentum4D"
        )
        sequence = fastjet.ClusterSequence(p4, definition)
        jets = sequence.inclusive_jets(min_pt=100.0)
        members = sequence.constituent_index(min_pt=100.0)
        for i in np.flatnonzero(wanted):
            px, py, pz, e = (ak.to_numpy(jets[i][c]) for c in ("px", "py", "pz", "E"))
            if not len(px):
                continue
            lead = int(np.argmax(np.hypot(px, py)))
            px, py, pz, e = px[lead], py[lead], pz[lead], e[lead]
            pt, rapidity = np.hypot(px, py), np.arctanh(pz / e)
            if not (500 < pt < 550 and abs(rapidity) < 1.7):
                continue
            index = ak.to_numpy(members[i][lead])
            part = use[i][index]
            qx, qy, qz = (ak.to_numpy(part.p[c]) for c in ("px", "py", "pz"))
            q = np.hypot(qx, qy)
            order = np.argsort(-q, kind="stable")
            eta, phi = np.arcsinh(pz / pt), np.arctan2(py, px)
            pdg_id = ak.to_numpy(part.id)
            rows.append(
                {
                    "jet": np.array([pt, eta, phi, np.sqrt(max(e**2 - pt**2 - pz**2, 0.0))]),
                    "event": made + i + 1,
                    "pt": q[order],
                    "delta_eta": (np.arcsinh(qz / q) - eta)[order],
                    "delta_phi": delta_phi(np.arctan2(qy, qx), phi)[order],
                    "code": particle_code(pdg_id, charges(pdg_id, pythia.particleData))[order],
                }
            )
        made += n
        print(f"{process}: {len(rows)}/{target} jets from {made} events", flush=True)
    rows = rows[:target]
    out = {f: np.concatenate([r[f] for r in rows]) for f in FLAT}
    out["jet"] = np.stack([r["jet"] for r in rows])
    out["event"] = np.array([r["event"] for r in rows])
    out["count"] = np.array([len(r["pt"]) for r in rows])
    np.savez_compressed(path, process=process, **out)


def planes(values):
    """Bytes of equal significance side by side: they compress better."""
    values = np.ascontiguousarray(values)
    return np.ascontiguousarray(values.view(np.uint8).reshape(len(values), -1).T)


def join(paths, out):
    """Shuffle both kinds into one file; ``skhep_ml.datasets._jets`` reads it."""
    jets = []
    for path in paths:
        with np.load(path) as part:
            process = str(part["process"])
            arrays = {f: part[f] for f in (*FLAT, "jet", "event", "count")}
        stop = np.cumsum(arrays["count"])
        for i, (lo, hi) in enumerate(zip(stop - arrays["count"], stop, strict=True)):
            cloud = {f: arrays[f][lo:hi] for f in FLAT}
            jets.append((process, arrays["jet"][i], arrays["event"][i], cloud))
    order = np.random.default_rng(2027).permutation(len(jets))
    jets = [jets[i] for i in order]
    flat = {f: np.concatenate([j[3][f] for j in jets]) for f in FLAT}
    steps = {f: np.rint(flat[f] / ANGLE_STEP) for f in ("delta_eta", "delta_phi")}
    if max(np.abs(v).max() for v in steps.values()) > 32767:
        msg = "an angle does not fit into 16 bits: raise ANGLE_STEP, here and in the reader"
        raise ValueError(msg)
    log_pt = np.log(np.maximum(flat["pt"], PT_FLOOR) / PT_FLOOR) / PT_STEP
    log_pt = np.rint(log_pt).astype(np.uint16)
    arrays = {
        # differences modulo 2^16: small inside a jet, since particles are sorted
        "log_pt": planes(np.diff(log_pt, prepend=np.uint16(0))),
        "delta_eta": planes(steps["delta_eta"].astype(np.int16)),
        "delta_phi": planes(steps["delta_phi"].astype(np.int16)),
        "code": flat["code"],
        "count": np.array([len(j[3]["pt"]) for j in jets], dtype=np.uint16),
        "jet": planes(np.stack([j[1] for j in jets]).astype(np.float32)),
        "run": planes(np.array([RUNS[j[0]] for j in jets], dtype=np.uint32)),
        "event": planes(np.array([j[2] for j in jets], dtype=np.uint32)),
        "quark": np.packbits([j[0] == "quark" for j in jets]),
    }
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out, **arrays)
    for kind in PROCESSES:
        count = [len(j[3]["pt"]) for j in jets if j[0] == kind]
        print(f"{kind}: {len(count)} jets, {np.mean(count):.1f} particles a jet")
    print(f"{Path(out).stat().st_size / 1e6:.2f} MB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    sub = parser.add_subparsers(dest="command", required=True)
    gen = sub.add_parser("generate")
    gen.add_argument("process", choices=PROCESSES)
    gen.add_argument("path")
    gen.add_argument("--target", type=int, default=8000)
    joiner = sub.add_parser("join")
    joiner.add_argument("parts", nargs="+")
    joiner.add_argument("out")
    args = parser.parse_args()
    if args.command == "generate":
        generate(args.process, args.path, args.target)
    else:
        join(args.parts, args.out)


if __name__ == "__main__":
    main()
