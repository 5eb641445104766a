"""A three-body decay whose selection efficiency depends on the place in the Dalitz plane."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import Bunch, check_random_state

from skhep_ml.datasets._toy import check_toy, pack_toy

Array = NDArray[np.float64]

#: Masses of the mother and of a, b, c in GeV: a B meson, a kaon and two pions.
MOTHER, A, B, C = 5.279, 0.494, 0.140, 0.140
UNIFORM_FEATURES = ["m2_ab", "m2_bc"]
# Distance of signal from background in units of their spread at the centre of the plane, and the
# share of it that is left where the softest daughter is at rest.
SEPARATION = {
    "flight_distance": (1.5, 0.2),
    "impact_parameter": (1.6, 0.0),
    "pointing": (1.2, 0.4),
    "vertex_quality": (0.6, 1.0),
    "isolation": (0.4, 1.0),
}


def dalitz_limits(m2_ab: ArrayLike) -> tuple[Array, Array]:
    """Range of m2_bc inside the kinematic boundary, NaN where ``m2_ab`` lies outside its own."""
    s = np.asarray(m2_ab, dtype=np.float64)
    inside = (s >= (A + B) ** 2) & (s <= (MOTHER - C) ** 2)
    m = np.sqrt(np.where(inside, s, np.nan))
    # energies and momenta of b and c where a and b together are at rest
    energy_b = (m**2 - A**2 + B**2) / (2 * m)
    energy_c = (MOTHER**2 - m**2 - C**2) / (2 * m)
    momentum_b = np.sqrt(np.maximum(energy_b**2 - B**2, 0))
    momentum_c = np.sqrt(np.maximum(energy_c**2 - C**2, 0))
    total = (energy_b + energy_c) ** 2
    return total - (momentum_b + momentum_c) ** 2, total - (momentum_b - momentum_c) ** 2


def softest_share(m2_ab: Array, m2_bc: Array) -> Array:
    """Three times the share of the softest daughter in the kinetic energy, in [0, 1]."""
    m2_ac = MOTHER**2 + A**2 + B**2 + C**2 - m2_ab - m2_bc
    kinetic = [
        (MOTHER**2 + mass**2 - pair) / (2 * MOTHER) - mass
        for mass, pair in ((A, m2_bc), (B, m2_ac), (C, m2_ab))
    ]
    share = 3 * np.minimum.reduce(kinetic) / (MOTHER - A - B - C)
    return np.clip(share, 0, 1)


def make_dalitz(
    n_events: int = 20_000,
    *,
    negative_fraction: float = 0.0,
    as_frame: bool = False,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    r"""Make three-body decays whose selection is not flat in the Dalitz plane.

    A toy for uniform selections: a classifier of the training features finds signal at the centre
    of the plane more often than in its corners, where one daughter is soft.

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
        data : float32 array of shape (n_events, 8), or DataFrame
            The training features, then ``m2_ab`` and ``m2_bc`` in GeV^2.
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
            ``m2_ab`` and ``m2_bc``, in which the efficiency should be flat.
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
    The decay is :math:`B^+ \to K^+ \pi^- \pi^+` (a, b, c) with masses 5.279, 0.494 and 0.140 GeV.
    Signal is uniform inside the kinematic boundary, as phase space alone makes it. Let h be three
    times the share of the softest daughter in the kinetic energy: 1 at the centre of the plane, 0
    in its corners. Background, made of random tracks, has the density :math:`\tfrac15 + (1 - h)^2`
    up to a factor. Five features are gaussian with unit width, at 0 for background and for signal
    at

    .. math:: d \left[c + (1 - c)\, \frac{1.2\, h}{h + 0.2}\right]

    ================ === ===
    feature          d   c
    ================ === ===
    flight_distance  1.5 0.2
    impact_parameter 1.6 0
    pointing         1.2 0.4
    vertex_quality   0.6 1
    isolation        0.4 1
    ================ === ===

    The sixth, ``softest_pt``, is :math:`\ln(h + 0.05)` smeared by 0.5, and 0.4 higher for signal:
    it tells a classifier where in the plane an event lies.

    Examples
    --------
    >>> from skhep_ml.datasets import make_dalitz
    >>> events = make_dalitz(1000, random_state=0)
    >>> events.data.shape, events.uniform_features
    ((1000, 8), ['m2_ab', 'm2_bc'])
    >>> make_dalitz(1000, as_frame=True, random_state=0).data.columns[:2].tolist()
    ['flight_distance', 'impact_parameter']
    """
    check_toy(n_events, negative_fraction)
    rng = check_random_state(random_state)
    n_signal = n_events // 2
    return pack_toy(
        _decays(n_signal, 1, rng),
        _decays(n_events - n_signal, 0, rng),
        UNIFORM_FEATURES,
        negative_fraction=negative_fraction,
        as_frame=as_frame,
        rng=rng,
        description=(
            f"{n_events} decays of a B meson to three daughters, half signal; densities: "
            "skhep_ml.datasets.make_dalitz"
        ),
    )


def _decays(n: int, label: int, rng: np.random.RandomState) -> dict[str, Array]:
    """Columns of the events of one class."""
    m2_ab, m2_bc, h = _positions(n, label, rng)
    reach = 1.2 * h / (h + 0.2)
    columns = {
        name: label * d * (c + (1 - c) * reach) + rng.normal(size=n)
        for name, (d, c) in SEPARATION.items()
    }
    columns["softest_pt"] = np.log(h + 0.05) + 0.4 * label + 0.5 * rng.normal(size=n)
    return {**columns, "m2_ab": m2_ab, "m2_bc": m2_bc}


def _positions(n: int, label: int, rng: np.random.RandomState) -> tuple[Array, Array, Array]:
    """Places in the plane, by rejection from a rectangle, and their ``softest_share``."""
    found, missing = [np.empty((3, 0))], n
    while missing > 0:
        tries = 4 * missing + 20
        m2_ab = rng.uniform((A + B) ** 2, (MOTHER - C) ** 2, tries)
        m2_bc = rng.uniform((B + C) ** 2, (MOTHER - A) ** 2, tries)
        low, high = dalitz_limits(m2_ab)
        h = softest_share(m2_ab, m2_bc)
        density = np.ones(tries) if label else (0.2 + (1 - h) ** 2) / 1.2
        accepted = (m2_bc >= low) & (m2_bc <= high) & (rng.uniform(size=tries) < density)
        found.append(np.stack([m2_ab, m2_bc, h])[:, accepted])
        missing -= int(np.count_nonzero(accepted))
    m2_ab, m2_bc, h = np.concatenate(found, axis=1)[:, :n]
    return m2_ab, m2_bc, h
