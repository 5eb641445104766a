"""The embedded Higgs sample; ``tools/make_higgs.py`` makes its file."""

import math

import numpy as np
from sklearn.utils import Bunch

from skhep_ml.datasets._files import (
    check_missing_values,
    description,
    from_planes,
    read_arrays,
    to_frame,
)
from skhep_ml.datasets._higgs_features import derived_features

PROCESSES = ("ggH", "VBF", "Z", "W", "ttbar")
SIGNAL = ("ggH", "VBF")
LUMINOSITY = 140.0
PRIMITIVES = [
    *(f"{thing}_{value}" for thing in ("tau", "lep") for value in ("pt", "eta", "phi")),
    *("met", "met_phi", "met_sumet", "n_jets"),
    *(f"{thing}_{value}" for thing in ("jet1", "jet2") for value in ("pt", "eta", "phi")),
    *("jet_sumpt", "ditau_mass"),
]
# P(w < 0) for 0, 1, 2 or more jets in the signed variant
NEGATIVE_PROBABILITY = np.array([0.06, 0.22, 0.45])


def load_higgs(
    *, weights: str = "nominal", missing_values: float = math.nan, as_frame: bool = False
) -> Bunch:
    r"""Load simulated Higgs decays to tau pairs and their backgrounds.

    Lepton + hadronic-tau events at 13 TeV, generated with Pythia 8 and a parametrised detector:
    gluon fusion (``ggH``) and vector-boson fusion (``VBF``) against Z decays to tau pairs, W + jets
    and top pairs.

    Parameters
    ----------
    weights : {"nominal", "signed"}, default="nominal"
        ``"nominal"``: all weights positive. ``"signed"``: part of the background has negative
        weights, as from a next-to-leading-order generator.
    missing_values : float, default=nan
        What stands where an object does not exist, for example -999.0.
    as_frame : bool, default=False
        Return ``data`` as a pandas DataFrame.

    Returns
    -------
    Bunch
        data : float32 array of shape (n_events, 30), or DataFrame
            GeV and radians; ``DESCR`` explains every column.
        target : int array of shape (n_events,)
            1 signal, 0 background.
        weight : float64 array of shape (n_events,)
            Expected events in data.
        weight_truth : float64 array of shape (n_events,)
            With ``weights="signed"`` only: the nominal weights, for closure tests.
        event_number : int64 array of shape (n_events, 2)
            Run and event.
        process : str array of shape (n_events,)
            ``ggH``, ``VBF``, ``Z``, ``W`` or ``ttbar``.
        lepton_charge : int array of shape (n_events,)
            -1 or 1. Not among the features: the generator, not the Higgs boson, decides on it.
        feature_names : list of str
            Names of the columns of ``data``.
        class_yields : dict
            Sum of the nominal weights by label.
        luminosity : float
            Integrated luminosity the weights are normalised to, in 1/fb.
        DESCR : str
            Generator, selection, columns, limits.

    Raises
    ------
    ValueError
        An unknown ``weights``, a ``missing_values`` that is no number, or a damaged data file.

    Notes
    -----
    In the signed variant a background event with :math:`n` jets is negative with probability
    :math:`q_n` = 0.06, 0.22, 0.45 for 0, 1, 2 or more jets, the fractions seen in Z + jets merged
    at next-to-leading order. Its weight is :math:`\pm w / (1 - 2 q_n)`, so that the expectation
    given the features is the nominal :math:`w` exactly. The signs are fixed in the file.

    Examples
    --------
    >>> from skhep_ml.datasets import load_higgs
    >>> events = load_higgs(weights="signed")
    >>> events.data.shape[1], sorted(set(events.process.tolist()))
    (30, ['VBF', 'W', 'Z', 'ggH', 'ttbar'])
    >>> bool((events.weight[events.target == 0] < 0).any()), events.luminosity
    (True, 140.0)
    """
    if weights not in ("nominal", "signed"):
        msg = f"weights must be 'nominal' or 'signed', got {weights!r}"
        raise ValueError(msg)
    missing = check_missing_values(missing_values)
    planes = read_arrays("higgs.npz")
    primitive = {
        name: from_planes(planes[name], "<i1" if name == "n_jets" else "<f4").astype(np.float64)
        for name in PRIMITIVES
    }
    columns = {**primitive, **derived_features(primitive)}
    feature_names = list(columns)
    data = np.empty((len(primitive["met"]), len(columns)), dtype=np.float32)
    for k, values in enumerate(columns.values()):
        data[:, k] = values
    if not math.isnan(missing):
        data[np.isnan(data)] = missing

    process = np.array(PROCESSES)[from_planes(planes["process"], "<i1")]
    target = np.isin(process, SIGNAL).astype(np.int64)
    nominal = from_planes(planes["weight"], "<f4").astype(np.float64)
    bunch = Bunch(
        data=to_frame(data, feature_names) if as_frame else data,
        target=target,
        weight=nominal,
        event_number=np.column_stack(
            [from_planes(planes[name], "<u4").astype(np.int64) for name in ("run", "event")]
        ),
        process=process,
        feature_names=feature_names,
        lepton_charge=from_planes(planes["lep_charge"], "<i1").astype(np.int64),
        class_yields={k: float(nominal[target == k].sum()) for k in (0, 1)},
        luminosity=LUMINOSITY,
        DESCR=description("higgs"),
    )
    if weights == "signed":
        negative = np.unpackbits(planes["negative"][0], count=len(nominal)).astype(bool)
        q = NEGATIVE_PROBABILITY[np.minimum(primitive["n_jets"], 2).astype(int)]
        magnitude = np.where(target == 0, nominal / (1 - 2 * q), nominal)
        bunch.weight_truth = nominal
        bunch.weight = np.where(negative, -magnitude, magnitude)
    return bunch
