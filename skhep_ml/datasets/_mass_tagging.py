"""Jets whose substructure knows their mass: a resonance on a falling spectrum."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.utils import Bunch, check_random_state

from skhep_ml.datasets._toy import check_toy, pack_toy

Array = NDArray[np.float64]

#: Range of the mass, slope of the background and peak of the signal, in GeV.
MASS_RANGE = (50.0, 250.0)
MASS_SLOPE = 60.0
PEAK, WIDTH = 125.0, 10.0


def make_mass_tagging(
    n_events: int = 20_000,
    *,
    negative_fraction: float = 0.0,
    as_frame: bool = False,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    r"""Make jets of a resonance on a falling mass spectrum, with features that know the mass.

    A toy for mass-decorrelated taggers: a classifier that never sees the mass still finds it in the
    substructure, and what it selects from the background peaks under the signal.

    Parameters
    ----------
    n_events : int, default=20000
        Raw events, half of them signal.
    negative_fraction : float in [0, 0.5), default=0.0
        Expected fraction of negative weights, drawn at random in both classes.
    as_frame : bool, default=False
        Return ``data`` as a pandas DataFrame.
    random_state : int, RandomState instance or None, default=None
        Makes the sample reproducible.

    Returns
    -------
    Bunch
        data : float32 array of shape (n_events, 7), or DataFrame
            The training features, then ``mass`` in GeV.
        target : int array of shape (n_events,)
            1 signal, 0 background.
        weight : float64 array of shape (n_events,)
            1, or :math:`\pm 1/(1 - 2f)` for a negative fraction f.
        event_number : int64 array of shape (n_events,)
            1 to n_events.
        process : str array of shape (n_events,)
            ``signal`` or ``background``.
        feature_names : list of str
            Names of the columns of ``data``.
        train_features : list of str
            The six columns to learn from.
        uniform_features : list of str
            ``mass``, in which the background should be flat.
        class_yields : dict
            Expected sum of weights by label.
        DESCR : str
            Description of the sample.

    Raises
    ------
    ValueError
        ``n_events`` below two, or a ``negative_fraction`` outside [0, 0.5).

    Notes
    -----
    The mass m of background falls as :math:`e^{-m/60}` between 50 and 250 GeV; that of signal is
    gaussian at 125 GeV with a width of 10. Transverse momenta fall as :math:`e^{-p/120}` from 300
    GeV in both classes. With :math:`\rho = \ln(m^2/p^2)`, y = 1 for signal and 0 for background,
    and N(s) a gaussian of width s,

    * ``jet_width`` :math:`= 1.5\,(m/p)\, e^{N(0.3)}`, which with ``pt`` tells the mass;
    * ``tau21`` :math:`= 1/(1 + e^{-t})`, :math:`t = 0.3 - 0.6\,y - 0.35\,(1 - 0.7\,y)(\rho + 2.5)
      + N(0.6)`;
    * ``d2`` :math:`= e^{d}`, :math:`d = 0.7 - 0.2\,y + 0.4\,(1 - 0.7\,y)\ln(m/125) + N(0.35)`;
    * ``n_tracks``, Poisson of mean :math:`(26 - 4\,y)\,(p/400)^{0.3}`;
    * ``b_tag`` :math:`= 0.8\,y + N(1)`, which knows nothing of the mass.

    Examples
    --------
    >>> from skhep_ml.datasets import make_mass_tagging
    >>> events = make_mass_tagging(1000, as_frame=True, random_state=0)
    >>> events.data.shape, events.uniform_features
    ((1000, 7), ['mass'])
    >>> bool(abs(events.data["mass"][events.target == 1].mean() - 125) < 2)
    True
    """
    check_toy(n_events, negative_fraction)
    rng = check_random_state(random_state)
    n_signal = n_events // 2
    return pack_toy(
        _jets(n_signal, 1, rng),
        _jets(n_events - n_signal, 0, rng),
        ["mass"],
        negative_fraction=negative_fraction,
        as_frame=as_frame,
        rng=rng,
        description=(
            f"{n_events} jets, half of a resonance at {PEAK:.0f} GeV; densities: "
            "skhep_ml.datasets.make_mass_tagging"
        ),
    )


def _jets(n: int, label: int, rng: np.random.RandomState) -> dict[str, Array]:
    """Columns of the events of one class."""
    pt = 300 + rng.exponential(120, n)
    mass = rng.normal(PEAK, WIDTH, n) if label else _falling(n, rng)
    rho = 2 * np.log(mass / pt)
    dependence = 1 - 0.7 * label
    tau = 0.3 - 0.6 * label - 0.35 * dependence * (rho + 2.5) + rng.normal(0, 0.6, n)
    d2 = 0.7 - 0.2 * label + 0.4 * dependence * np.log(mass / PEAK) + rng.normal(0, 0.35, n)
    return {
        "pt": pt,
        "jet_width": 1.5 * mass / pt * np.exp(rng.normal(0, 0.3, n)),
        "tau21": expit(tau),
        "d2": np.exp(d2),
        "n_tracks": rng.poisson((26 - 4 * label) * (pt / 400) ** 0.3).astype(np.float64),
        "b_tag": 0.8 * label + rng.normal(size=n),
        "mass": mass,
    }


def _falling(n: int, rng: np.random.RandomState) -> Array:
    """Masses of background, from the inverse of their distribution function."""
    low, high = MASS_RANGE
    return low - MASS_SLOPE * np.log1p(-rng.uniform(size=n) * -np.expm1((low - high) / MASS_SLOPE))
