"""Jets before and after a detector, and data whose truth is known: a toy for unfolding."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.polynomial.laguerre import laggauss
from numpy.typing import NDArray
from sklearn.utils import Bunch, check_random_state

from skhep_ml.datasets._files import to_frame

Array = NDArray[np.float64]

FEATURES = ("pt", "mass", "width")
# generated from PT_START on, selected above PT_CUT in truth as in reconstruction, in GeV
PT_START, PT_SLOPE, PT_CUT = 80.0, 50.0, 100.0
MASS_FRACTION, MASS_SPREAD = 0.12, 0.35
_PT_MIDDLE, _PT_SPREAD = 150.0, 60.0


class TruthRatio:
    """Ratio of data to simulation as a function of the truth, behind `make_unfolding_toy`.

    Parameters
    ----------
    strength : float
        How far data are from simulation; 0 for not at all.
    scale : float
        Mean of the ratio over all simulated jets.
    """

    def __init__(self, strength: float, scale: float) -> None:
        self.strength = strength
        self.scale = scale
        nodes, weights = laggauss(64)
        # the factor of the mass is 1 on average, by symmetry
        self._mean = float(weights @ self._pt_factor(PT_START + PT_SLOPE * nodes))

    def __call__(self, truth: Any) -> Array:
        """Expected number of data jets for each simulated jet.

        Parameters
        ----------
        truth : array-like of shape (n_jets, 3)
            True transverse momentum, mass and width.

        Returns
        -------
        ndarray of shape (n_jets,)
            At least 0.
        """
        pt, mass, _ = np.asarray(truth, dtype=np.float64).T
        return self.scale / self._mean * self._pt_factor(pt) * self._mass_factor(pt, mass)

    def accept(self, truth: Array, rng: np.random.RandomState) -> NDArray[np.bool_]:
        """Draw which simulated jets are data."""
        pt, mass, _ = truth.T
        largest = (1 + 0.5 * self.strength) * (1 + 0.4 * self.strength)
        ratio = self._pt_factor(pt) * self._mass_factor(pt, mass)
        return rng.uniform(size=len(truth)) * largest < ratio

    def _pt_factor(self, pt: Array) -> Array:
        return 1 + 0.5 * self.strength * np.tanh((pt - _PT_MIDDLE) / _PT_SPREAD)

    def _mass_factor(self, pt: Array, mass: Array) -> Array:
        return 1 + 0.4 * self.strength * np.tanh(np.log(mass / pt / MASS_FRACTION) / MASS_SPREAD)


def make_unfolding_toy(
    n_sim: int = 50_000,
    n_data: int = 50_000,
    *,
    strength: float = 1.0,
    resolution: float = 1.0,
    as_frame: bool = False,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    r"""Make simulated jets with truth and reconstruction, and data from a known other truth.

    Parameters
    ----------
    n_sim, n_data : int, default=50000
        Jets generated for simulation and for data, before any selection.
    strength : float in [0, 1], default=1.0
        How far the truth of data is from that of simulation; 0 is a closure test.
    resolution : float, default=1.0
        Factor on the widths of the smearing.
    as_frame : bool, default=False
        Return the tables as pandas DataFrames.
    random_state : int, RandomState instance or None, default=None
        Makes the sample reproducible.

    Returns
    -------
    Bunch
        truth_sim : float64 array of shape (n, 3), or DataFrame
            ``pt`` and ``mass`` in GeV and ``width`` of simulated jets; NaN where the truth is
            outside the selection. Jets outside both selections are left out, so n < n_sim.
        reco_sim : float64 array of shape (n, 3), or DataFrame
            The same as reconstructed; NaN where the jet is not selected.
        pass_truth, pass_reco : bool arrays of shape (n,)
            Which selections a jet passes: fakes pass the second only, jets lost by the detector the
            first only.
        weight_truth : float64 array of shape (n,)
            What unfolding should find: the expected number of data jets for each simulated one; 0
            for fakes.
        event_number : int64 array of shape (n,)
            Identifiers of the simulated jets.
        reco_data : float64 array of shape (m, 3), or DataFrame
            Data as reconstructed, selected jets only.
        event_number_data : int64 array of shape (m,)
            Identifiers of these.
        truth_data : float64 array of shape (l, 3), or DataFrame
            True jets of the data inside the selection, detected or not.
        truth_ratio : callable
            ``weight_truth`` as a function of the truth.
        feature_names : list of str
            Names of the columns.
        DESCR : str
            Description of the sample.

    Raises
    ------
    ValueError
        Numbers of events below one, a ``strength`` outside [0, 1], a ``resolution`` that is not
        positive.

    Notes
    -----
    In simulation p = pt - 80 GeV falls as :math:`e^{-p/50}`; with N(s) a gaussian of width s,

    * ``mass`` :math:`= 0.12\,\mathrm{pt}\,e^{N(0.35)}`,
    * ``width`` :math:`= 1.2\,(\mathrm{mass}/\mathrm{pt})\,e^{N(0.3)}`.

    The detector multiplies pt by :math:`0.98 + N(\sqrt{0.64/\mathrm{pt} + 0.05^2})`, mass by
    :math:`e^{N(0.12)}`, width by :math:`e^{N(0.1)}`, and finds a jet with a probability of
    :math:`0.95 - 0.25\,e^{-p/60}`. Both selections are pt > 100 GeV. The truth of data has the
    density of simulation times

    .. math:: \left(1 + 0.5\,s \tanh\frac{\mathrm{pt} - 150}{60}\right)
              \left(1 + 0.4\,s \tanh\frac{\ln(\mathrm{mass}/0.12\,\mathrm{pt})}{0.35}\right),

    s being ``strength``, also below the selection, so that the share of fakes differs a little.

    Examples
    --------
    >>> from skhep_ml.datasets import make_unfolding_toy
    >>> toy = make_unfolding_toy(10_000, 10_000, random_state=0)
    >>> toy.truth_sim.shape[1], toy.reco_sim.shape == toy.truth_sim.shape
    (3, True)
    >>> bool(abs(toy.weight_truth.sum() / len(toy.truth_data) - 1) < 0.05)
    True
    """
    for name, value in (("n_sim", n_sim), ("n_data", n_data)):
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
            msg = f"{name} must be an integer of at least 1, got {value!r}"
            raise ValueError(msg)
    if not 0 <= strength <= 1:
        msg = f"strength must lie in [0, 1], got {strength!r}"
        raise ValueError(msg)
    if not resolution > 0:
        msg = f"resolution must be positive, got {resolution!r}"
        raise ValueError(msg)
    rng = check_random_state(random_state)
    ratio = TruthRatio(float(strength), n_data / n_sim)
    truth = _jets(n_sim, rng)
    reco, found = _detect(truth, resolution, rng)
    inside = truth[:, 0] > PT_CUT
    weight_truth = np.where(inside, ratio(truth), 0.0)
    truth[~inside], reco[~found] = np.nan, np.nan
    kept = inside | found
    truth_data = _accepted(n_data, ratio, rng)
    reco_data, found_data = _detect(truth_data, resolution, rng)
    pack: Callable[[Array], Any] = (
        (lambda table: to_frame(table, list(FEATURES))) if as_frame else (lambda table: table)
    )
    return Bunch(
        truth_sim=pack(truth[kept]),
        reco_sim=pack(reco[kept]),
        pass_truth=inside[kept],
        pass_reco=found[kept],
        weight_truth=weight_truth[kept],
        event_number=np.flatnonzero(kept) + 1,
        reco_data=pack(reco_data[found_data]),
        event_number_data=np.flatnonzero(found_data) + 1,
        truth_data=pack(truth_data[truth_data[:, 0] > PT_CUT]),
        truth_ratio=ratio,
        feature_names=list(FEATURES),
        DESCR=(
            f"{n_sim} simulated jets and {n_data} of data, strength {strength}; densities: "
            "skhep_ml.datasets.make_unfolding_toy"
        ),
    )


def _jets(n: int, rng: np.random.RandomState) -> Array:
    """True jets of simulation."""
    pt = PT_START + rng.exponential(PT_SLOPE, n)
    mass = MASS_FRACTION * pt * np.exp(rng.normal(0, MASS_SPREAD, n))
    width = 1.2 * mass / pt * np.exp(rng.normal(0, 0.3, n))
    return np.column_stack([pt, mass, width])


def _accepted(n: int, ratio: TruthRatio, rng: np.random.RandomState) -> Array:
    """Exactly n true jets of data, by rejection."""
    parts, missing = [], n
    while missing > 0:
        tries = _jets(2 * missing + 20, rng)
        parts.append(tries[ratio.accept(tries, rng)][:missing])
        missing -= len(parts[-1])
    return np.concatenate(parts)


def _detect(
    truth: Array, resolution: float, rng: np.random.RandomState
) -> tuple[Array, NDArray[np.bool_]]:
    """Reconstructed jets, and which of them are found and selected."""
    pt = truth[:, 0]
    noise = rng.normal(size=truth.shape) * resolution
    reco = truth * np.column_stack(
        [
            0.98 + noise[:, 0] * np.sqrt(0.64 / pt + 0.05**2),
            np.exp(0.12 * noise[:, 1]),
            np.exp(0.1 * noise[:, 2]),
        ]
    )
    efficiency = 0.95 - 0.25 * np.exp(-(pt - PT_START) / 60)
    return reco, (rng.uniform(size=len(pt)) < efficiency) & (reco[:, 0] > PT_CUT)
