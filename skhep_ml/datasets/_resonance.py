"""A resonance on a falling dijet spectrum, with substructure whose likelihood ratio is known."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit, logit, ndtr, ndtri
from scipy.stats import gamma, norm
from sklearn.utils import Bunch, check_random_state

from skhep_ml.datasets._toy import check_toy, pack_toy

Array = NDArray[np.float64]

#: Centre-of-mass energy in GeV, and the powers of the spectrum (1 - x)^P1 x^-P2, x = m / E.
ENERGY, P1, P2 = 13_000.0, 8.0, 4.0
#: Width of the resonance relative to its mass; the signal region is two widths on each side.
WIDTH = 1 / 35
#: Mass in GeV at which the mass dependence of the jets is 1.
REFERENCE = 3500.0
#: Background: logarithm of the lighter jet's mass, scale of the difference, logit of tau21.
JET_MEDIAN, JET_SPREAD, DIFFERENCE_SCALE = 130.0, 0.55, 120.0
TAU_MEAN, TAU_SLOPE, TAU_WIDTH = 0.6, 0.3, 0.6
#: Signal: mass of the lighter jet and difference (mean, width), mean of the logit of tau21.
SIGNAL_JET, SIGNAL_DIFFERENCE, SIGNAL_TAU = (100.0, 20.0), (400.0, 60.0), -0.3
MASS = "m_jj"


def make_resonance_search(
    n_events: int = 100_000,
    *,
    signal_fraction: float = 0.003,
    signal_mass: float = 3500.0,
    mass_range: tuple[float, float] = (2700.0, 5500.0),
    mass_dependence: float = 0.0,
    negative_fraction: float = 0.0,
    as_frame: bool = False,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    r"""Make dijet events with a few of a resonance among them, for searches without labels.

    A toy in the manner of the LHC Olympics: a smoothly falling mass, four substructure variables,
    and a small signal that is localised in all of them. The ideal score is known.

    Parameters
    ----------
    n_events : int, default=100000
        Raw events.
    signal_fraction : float in [0, 1], default=0.003
        Fraction of signal among them.
    signal_mass : float, default=3500.0
        Mass of the resonance in GeV; its width is a thirty-fifth of it.
    mass_range : pair of float, default=(2700.0, 5500.0)
        Range of the dijet mass in GeV, of both classes. With the ``signal_region`` of another
        sample and ``signal_fraction=0`` the events are the background that an idealised search
        would be given as reference.
    mass_dependence : float, default=0.0
        Power of the dijet mass with which the background's jet masses grow. Above 0 the features
        tell signal region and sidebands apart without any signal.
    negative_fraction : float in [0, 0.5), default=0.0
        Expected fraction of negative weights, drawn at random in both classes.
    as_frame : bool, default=False
        Return ``data`` as a pandas DataFrame.
    random_state : int, RandomState instance or None, default=None
        Makes the sample reproducible.

    Returns
    -------
    Bunch
        data : float32 array of shape (n_events, 5), or DataFrame
            The four features ``m_j1``, ``delta_m_j``, ``tau21_j1``, ``tau21_j2``, then the dijet
            mass ``m_jj``; masses in GeV.
        target : int array of shape (n_events,)
            1 signal, 0 background: the truth, which a search does not know.
        log_likelihood_ratio : float64 array of shape (n_events,)
            Logarithm of signal over background density of the features, given the dijet mass: the
            ideal score.
        signal_region : tuple of float
            ``signal_mass`` and two widths on each side.
        mass : str
            ``m_jj``.
        weight : float64 array of shape (n_events,)
            1, or :math:`\pm 1/(1 - 2f)` for a negative fraction f.
        event_number : int64 array of shape (n_events,)
            1 to n_events.
        process : str array of shape (n_events,)
            ``signal`` or ``background``.
        feature_names : list of str
            Names of the columns of ``data``.
        train_features : list of str
            The four features.
        uniform_features : list of str
            ``m_jj``.
        class_yields : dict
            Expected sum of weights by label.
        DESCR : str
            Description of the sample.

    Raises
    ------
    ValueError
        ``n_events`` below two, a fraction or a mass outside its range, a ``mass_range`` that does
        not rise within (0, 13000).

    Notes
    -----
    With :math:`x = m_{jj}/13\,\mathrm{TeV}` the background's mass follows
    :math:`(1 - x)^8 x^{-4}`, that of signal a gaussian. With the jet masses
    :math:`m_2 = m_1 + \Delta`, :math:`r = (m_{jj}/3500)^{d}`, d the mass dependence, and N(a, s) a
    gaussian of mean a and width s,

    ======================== ======================================== ===============
    feature                  background                               signal
    ======================== ======================================== ===============
    ``m_j1`` :math:`= m_1`   :math:`130\,r\, e^{N(0,\,0.55)}`         N(100, 20)
    ``delta_m_j``            gamma of shape 2 and scale 120 r         N(400, 60)
    logit of ``tau21_j1``    :math:`N(0.6 - 0.3\ln(m_1/130),\, 0.6)`  N(-0.3, 0.6)
    logit of ``tau21_j2``    :math:`N(0.6 - 0.3\ln(m_2/370),\, 0.6)`  N(-0.3, 0.6)
    ======================== ======================================== ===============

    References
    ----------
    G. Kasieczka et al., The LHC Olympics 2020, Rept. Prog. Phys. 84 (2021) 124201.

    Examples
    --------
    >>> from skhep_ml.datasets import make_resonance_search
    >>> events = make_resonance_search(10_000, as_frame=True, random_state=0)
    >>> events.data.shape, int(events.target.sum()), events.signal_region
    ((10000, 5), 30, (3300.0, 3700.0))
    >>> background = make_resonance_search(
    ...     5000, signal_fraction=0.0, mass_range=events.signal_region, random_state=1)
    >>> bool(background.data[:, -1].min() > 3300)
    True
    """
    check_toy(n_events, negative_fraction)
    low, high = _check_masses(signal_mass, mass_range)
    if not 0 <= signal_fraction <= 1:
        msg = f"signal_fraction must lie in [0, 1], got {signal_fraction!r}"
        raise ValueError(msg)
    if not np.isfinite(mass_dependence):
        msg = f"mass_dependence must be finite, got {mass_dependence!r}"
        raise ValueError(msg)
    rng = check_random_state(random_state)
    n_signal = round(signal_fraction * n_events)
    width = WIDTH * signal_mass
    events = pack_toy(
        _signal(n_signal, signal_mass, (low, high), rng),
        _background(n_events - n_signal, mass_dependence, (low, high), rng),
        [MASS],
        negative_fraction=negative_fraction,
        as_frame=as_frame,
        rng=rng,
        description=(
            f"{n_events} dijet events, {n_signal} of a resonance at {signal_mass:g} GeV; "
            "densities: skhep_ml.datasets.make_resonance_search"
        ),
    )
    columns = np.asarray(events.data, dtype=np.float64).T
    events.log_likelihood_ratio = _log_signal(*columns) - _log_background(mass_dependence, *columns)
    events.signal_region = (float(signal_mass - 2 * width), float(signal_mass + 2 * width))
    events.mass = MASS
    return events


def _check_masses(signal_mass: Any, mass_range: Any) -> tuple[float, float]:
    try:
        low, high = (float(edge) for edge in mass_range)
    except (TypeError, ValueError):
        low = high = np.nan
    if not 0 < low < high < ENERGY:
        msg = f"mass_range must be two rising masses in (0, {ENERGY:g}) GeV, got {mass_range!r}"
        raise ValueError(msg)
    # farther outside, rounding would leave no signal to draw
    if not low - 5 * WIDTH * signal_mass < signal_mass < high + 5 * WIDTH * signal_mass:
        msg = f"signal_mass={signal_mass!r} is far outside of mass_range=({low:g}, {high:g})"
        raise ValueError(msg)
    return low, high


def _signal(
    n: int, mass: float, mass_range: tuple[float, float], rng: np.random.RandomState
) -> dict[str, Array]:
    """Columns of signal events."""
    ends = ndtr((np.array(mass_range) - mass) / (WIDTH * mass))
    m = mass * (1 + WIDTH * ndtri(rng.uniform(ends[0], ends[1], size=n)))
    return {
        # five widths above 0: the few below come back, which no density would notice
        "m_j1": np.abs(rng.normal(*SIGNAL_JET, n)),
        "delta_m_j": rng.normal(*SIGNAL_DIFFERENCE, n),
        "tau21_j1": expit(rng.normal(SIGNAL_TAU, TAU_WIDTH, n)),
        "tau21_j2": expit(rng.normal(SIGNAL_TAU, TAU_WIDTH, n)),
        MASS: np.clip(m, *mass_range),
    }


def _background(
    n: int, dependence: float, mass_range: tuple[float, float], rng: np.random.RandomState
) -> dict[str, Array]:
    """Columns of background events."""
    grid = np.linspace(*mass_range, 20_001)
    density = (1 - grid / ENERGY) ** P1 * (grid / ENERGY) ** -P2
    cumulative = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    m = np.interp(rng.uniform(size=n) * cumulative[-1], cumulative, grid)
    growth = (m / REFERENCE) ** dependence
    jet = JET_MEDIAN * growth * np.exp(rng.normal(0, JET_SPREAD, n))
    difference = DIFFERENCE_SCALE * growth * rng.gamma(2.0, size=n)
    means = _tau_means(jet, difference)
    tau = [expit(rng.normal(mean, TAU_WIDTH)) for mean in means]
    return {"m_j1": jet, "delta_m_j": difference, "tau21_j1": tau[0], "tau21_j2": tau[1], MASS: m}


def _tau_means(jet: Array, difference: Array) -> tuple[Array, Array]:
    """Mean logit of tau21 of both jets of background."""
    heavy = (jet + difference) / (JET_MEDIAN + 2 * DIFFERENCE_SCALE)
    return TAU_MEAN - TAU_SLOPE * np.log(jet / JET_MEDIAN), TAU_MEAN - TAU_SLOPE * np.log(heavy)


def _log_signal(jet: Array, difference: Array, tau1: Array, tau2: Array, _: Array) -> Array:
    """Log density of the features of signal."""
    return (
        norm.logpdf(jet, *SIGNAL_JET)
        + norm.logpdf(difference, *SIGNAL_DIFFERENCE)
        + _log_tau(tau1, SIGNAL_TAU)
        + _log_tau(tau2, SIGNAL_TAU)
    )


def _log_background(
    dependence: float, jet: Array, difference: Array, tau1: Array, tau2: Array, m: Array
) -> Array:
    """Log density of the features of background, given the dijet mass."""
    growth = (m / REFERENCE) ** dependence
    means = _tau_means(jet, difference)
    return (
        norm.logpdf(np.log(jet / (JET_MEDIAN * growth)), 0, JET_SPREAD)
        - np.log(jet)
        + gamma.logpdf(difference, 2, scale=DIFFERENCE_SCALE * growth)
        + _log_tau(tau1, means[0])
        + _log_tau(tau2, means[1])
    )


def _log_tau(tau: Array, mean: Any) -> Array:
    """Log density of a value whose logit is gaussian."""
    t = logit(tau)
    return norm.logpdf(t, mean, TAU_WIDTH) - log_expit(t) - log_expit(-t)
