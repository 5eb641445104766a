"""The embedded quark and gluon jets; ``tools/make_jets.py`` makes their file."""

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from skhep_ml.datasets._files import description, from_planes, read_arrays

FEATURES = ["pt", "delta_eta", "delta_phi", "charge", "type"]
JET_FEATURES = [
    "jet_pt",
    "jet_eta",
    "jet_phi",
    "jet_mass",
    "multiplicity",
    "n_charged",
    "girth",
    "les_houches_angularity",
    "pt_dispersion",
    "charged_fraction",
]
# steps in which the file keeps ln(pT / PT_FLOOR) and the angles
PT_FLOOR, PT_STEP, ANGLE_STEP = 1e-3, 1e-3, 1.5e-4
RADIUS = 0.4
# the file's kinds carry the charge as their sign; a photon's has none
PHOTON = 2


def load_jets(*, max_particles: int | None = None) -> Bunch:
    r"""Load simulated quark and gluon jets as clouds of particles.

    Leading anti-kT jets of radius 0.4 with 500 < pT < 550 GeV and abs(y) < 1.7 from
    Z(:math:`\to\nu\nu`) + quark and Z(:math:`\to\nu\nu`) + gluon at 14 TeV, generated with Pythia
    8, all particles but neutrinos, no detector.

    Parameters
    ----------
    max_particles : int, default=None
        Keep at most so many particles of a jet, those of largest transverse momentum; None keeps
        all.

    Returns
    -------
    Bunch
        data : float32 array of shape (n_jets, n_particles, 5)
            Particles by falling transverse momentum, then NaN.
        feature_names : list of str
            ``pt`` (GeV), ``delta_eta``, ``delta_phi`` (to the jet axis), ``charge``, ``type`` (0
            neutral hadron, 1 charged hadron, 2 photon, 3 electron, 4 muon).
        target : int array of shape (n_jets,)
            1 quark, 0 gluon.
        weight : float64 array of shape (n_jets,)
            Ones.
        event_number : int64 array of shape (n_jets, 2)
            Run and event.
        process : str array of shape (n_jets,)
            ``quark`` or ``gluon``.
        jet_features : float32 array of shape (n_jets, 10)
            Quantities of the jet, from all its particles whatever ``max_particles``.
        jet_feature_names : list of str
            Names of the columns of ``jet_features``.
        DESCR : str
            Generator, selection, columns, limits.

    Raises
    ------
    ValueError
        A ``max_particles`` below one, or a damaged data file.

    References
    ----------
    P. T. Komiske, E. M. Metodiev, J. Thaler, Energy flow networks, JHEP 01 (2019) 121,
    arXiv:1810.05165: the set-up that this sample follows.

    Examples
    --------
    >>> from skhep_ml.datasets import load_jets
    >>> jets = load_jets(max_particles=30)
    >>> jets.data.shape[1:], jets.feature_names
    ((30, 5), ['pt', 'delta_eta', 'delta_phi', 'charge', 'type'])
    """
    if max_particles is not None and (not isinstance(max_particles, Integral) or max_particles < 1):
        msg = f"max_particles must be an integer of at least 1, or None, got {max_particles!r}"
        raise ValueError(msg)
    arrays = read_arrays("jets.npz")
    count = arrays["count"].astype(np.int64)
    # differences modulo 2^16 over the whole file
    log_pt = np.cumsum(from_planes(arrays["log_pt"], "<u2"), dtype=np.uint16)
    code = arrays["code"]
    particles = np.column_stack(
        [
            PT_FLOOR * np.exp(PT_STEP * log_pt.astype(np.float64)),
            ANGLE_STEP * from_planes(arrays["delta_eta"], "<i2"),
            ANGLE_STEP * from_planes(arrays["delta_phi"], "<i2"),
            np.sign(code) * (code != PHOTON),
            np.abs(code),
        ]
    ).astype(np.float32)

    jet = np.repeat(np.arange(len(count)), count)
    place = np.arange(len(jet)) - np.repeat(np.cumsum(count) - count, count)
    length = int(count.max() if max_particles is None else max_particles)
    data = np.full((len(count), length, len(FEATURES)), np.nan, dtype=np.float32)
    use = place < length
    data[jet[use], place[use]] = particles[use]

    target = np.unpackbits(arrays["quark"], count=len(count)).astype(np.int64)
    return Bunch(
        data=data,
        target=target,
        weight=np.ones(len(count)),
        event_number=np.column_stack(
            [from_planes(arrays[name], "<u4").astype(np.int64) for name in ("run", "event")]
        ),
        process=np.array(["gluon", "quark"])[target],
        feature_names=list(FEATURES),
        jet_features=_jet_features(from_planes(arrays["jet"], "<f4"), particles, jet, count),
        jet_feature_names=list(JET_FEATURES),
        DESCR=description("jets"),
    )


def _jet_features(
    kinematics: NDArray[np.float32],
    particles: NDArray[np.float32],
    jet: NDArray[np.int64],
    count: NDArray[np.int64],
) -> NDArray[np.float32]:
    pt, delta_eta, delta_phi, charge = particles[:, :4].astype(np.float64).T
    distance = np.hypot(delta_eta, delta_phi)

    def total(values: Any) -> NDArray[Any]:
        return np.bincount(jet, values, len(count))

    sum_pt = total(pt)
    columns = [
        count,
        total(charge != 0),
        total(pt * distance) / sum_pt,
        total(pt * np.sqrt(distance / RADIUS)) / sum_pt,
        np.sqrt(total(pt**2)) / sum_pt,
        total(pt * (charge != 0)) / sum_pt,
    ]
    return np.column_stack([kinematics, *columns]).astype(np.float32)
