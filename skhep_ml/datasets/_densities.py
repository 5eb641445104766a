"""Events whose density is known: modes, correlations, and columns with boundaries."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp
from sklearn.utils import Bunch, check_random_state

Array = NDArray[np.float64]

# the density is the same for everybody: only the events are drawn by random_state
_STRUCTURE = 20


class DensityToy:
    """Exact density behind `make_density_toy`.

    Parameters
    ----------
    n_features : int
        Columns, the last two with boundaries.
    n_modes : int
        Modes.

    Attributes
    ----------
    means : ndarray of shape (n_modes, n_features - 2)
        Centres of the modes.
    covariances : ndarray of shape (n_modes, n_features - 2, n_features - 2)
        Their covariances.
    shares : ndarray of shape (n_modes,)
        Their probabilities, of sum 1.
    slopes : ndarray of shape (n_modes,)
        Slopes of the density of ``fraction``.
    """

    def __init__(self, n_features: int, n_modes: int) -> None:
        rng = np.random.RandomState(_STRUCTURE)
        n_free = n_features - 2
        self.n_features = n_features
        self.n_modes = n_modes
        self.means = rng.uniform(-3, 3, (n_modes, n_free))
        bases = rng.normal(size=(n_modes, n_free, n_free))
        turns, _ = np.linalg.qr(bases)
        widths = rng.uniform(0.3, 1.0, (n_modes, n_free))
        self.covariances = np.einsum("kij,kj,klj->kil", turns, widths**2, turns)
        self.shares = np.arange(n_modes, 0, -1) / (n_modes * (n_modes + 1) / 2)
        self.slopes = np.linspace(-0.9, 0.9, n_modes)
        self._roots = np.linalg.cholesky(self.covariances)

    def log_density(self, X: ArrayLike) -> Array:
        """Logarithm of the density.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Events.

        Returns
        -------
        ndarray of shape (n_events,)
            Minus infinity beyond a boundary.

        Raises
        ------
        ValueError
            Another number of columns.
        """
        table = np.asarray(X, dtype=np.float64)
        if table.ndim != 2 or table.shape[1] != self.n_features:
            msg = f"X must have shape (n_events, {self.n_features}), got {table.shape}"
            raise ValueError(msg)
        free, energy, fraction = table[:, :-2], table[:, -2], table[:, -1]
        inside = (energy >= 0) & (fraction >= 0) & (fraction <= 1)
        logs = np.empty((self.n_modes, len(table)))
        for mode in range(self.n_modes):
            root = self._roots[mode]
            pull = np.linalg.solve(root, (free - self.means[mode]).T)
            logs[mode] = math.log(self.shares[mode]) - 0.5 * (pull**2).sum(axis=0)
            logs[mode] -= np.log(np.diag(root)).sum() + 0.5 * free.shape[1] * math.log(2 * math.pi)
            slope = self.slopes[mode] * (2 * fraction - 1)
            logs[mode] += np.log1p(np.where(inside, slope, 0.0))
        scale = self._scale(free)
        result = logsumexp(logs, axis=0) - np.log(scale) - energy / scale
        return np.where(inside, result, -np.inf)

    def sample(
        self, n: int, *, random_state: int | np.random.RandomState | None = None
    ) -> tuple[Array, NDArray[np.int64]]:
        """Draw events.

        Parameters
        ----------
        n : int
            How many.
        random_state : int, RandomState instance or None, default=None
            Makes the sample reproducible.

        Returns
        -------
        X : ndarray of shape (n, n_features)
            Events.
        mode : ndarray of shape (n,)
            Mode of each event, from 0.
        """
        rng = check_random_state(random_state)
        mode = rng.choice(self.n_modes, n, p=self.shares)
        normal = rng.normal(size=(n, self.n_features - 2))
        free = self.means[mode] + np.einsum("nij,nj->ni", self._roots[mode], normal)
        energy = rng.exponential(self._scale(free))
        # 1 + a (2 f - 1) = 1 + a x with x from -1 to 1: the root of its quadratic integral
        u, a = rng.uniform(size=n), self.slopes[mode]
        root = np.sqrt(np.maximum((1 - a) ** 2 + 4 * a * u, 0.0))
        flat = np.abs(a) < 1e-9
        fraction = np.where(flat, u, (root - (1 - a)) / np.where(flat, 1.0, 2 * a))
        return np.column_stack([free, energy, fraction.clip(0, 1)]), mode

    @staticmethod
    def _scale(free: Array) -> Array:
        """Mean of ``energy``, which the first column sets."""
        return np.exp(0.3 * free[:, 0])


def make_density_toy(
    n_samples: int = 10_000,
    *,
    n_features: int = 8,
    n_modes: int = 4,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    r"""Make events with modes, correlations and boundaries, and a density in closed form.

    Parameters
    ----------
    n_samples : int, default=10000
        Events.
    n_features : int, default=8
        Columns, at least 3: the last but one is ``energy`` above 0, the last one ``fraction`` from
        0 to 1.
    n_modes : int, default=4
        Modes, each with a mean and correlations of its own. The density is the same in every call.
    random_state : int, RandomState instance or None, default=None
        Makes the sample reproducible.

    Returns
    -------
    Bunch
        data : float64 array of shape (n_samples, n_features)
            Events.
        log_density : float64 array of shape (n_samples,)
            Logarithm of the density at each event.
        target : int array of shape (n_samples,)
            Mode of each event, from 0.
        truth : object
            ``truth.log_density(X)`` anywhere, ``truth.sample(n, random_state=...)`` other events
            and their modes. Can be pickled.
        domains : dict
            Boundaries, as generative models take them.
        weight : float64 array of shape (n_samples,)
            Ones.
        event_number : int64 array of shape (n_samples,)
            1 to n_samples.
        feature_names : list of str
            x1, x2, ..., energy, fraction.
        DESCR : str
            Description of the sample.

    Raises
    ------
    ValueError
        Numbers that are too small.

    Notes
    -----
    .. math::

        p(x, E, f) = \sum_k s_k \, N(x; \mu_k, \Sigma_k) \, (1 + a_k (2f - 1)) \;
        \frac{1}{\lambda(x)} e^{-E / \lambda(x)}, \qquad \lambda(x) = e^{0.3 x_1}

    with shares :math:`s_k` that fall linearly and slopes :math:`a_k` from -0.9 to 0.9. The density
    does not vanish at the boundaries, which is what smooth models find difficult.

    Examples
    --------
    >>> from skhep_ml.datasets import make_density_toy
    >>> toy = make_density_toy(1000, random_state=0)
    >>> toy.data.shape, bool(toy.data[:, -2].min() > 0)
    ((1000, 8), True)
    >>> bool((toy.truth.log_density(toy.data) == toy.log_density).all())
    True
    """
    for name, value, least in (
        ("n_samples", n_samples, 1),
        ("n_features", n_features, 3),
        ("n_modes", n_modes, 1),
    ):
        if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < least:
            msg = f"{name} must be an integer of at least {least}, got {value!r}"
            raise ValueError(msg)
    truth: Any = DensityToy(int(n_features), int(n_modes))
    data, mode = truth.sample(int(n_samples), random_state=random_state)
    n_free = n_features - 2
    return Bunch(
        data=data,
        log_density=truth.log_density(data),
        target=mode,
        truth=truth,
        domains={n_free: "positive", n_free + 1: (0.0, 1.0)},
        weight=np.ones(len(data)),
        event_number=np.arange(1, len(data) + 1),
        feature_names=[*(f"x{index + 1}" for index in range(n_free)), "energy", "fraction"],
        DESCR=(
            f"{len(data)} events in {n_features} dimensions with {n_modes} modes; density: "
            "skhep_ml.datasets.make_density_toy"
        ),
    )
