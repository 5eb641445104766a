"""Events with negative weights whose density ratio is known exactly."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import Bunch, check_random_state

SHIFT = 0.4
BACKGROUND_VARIANCE = 1.2

Array = NDArray[np.float64]


class SignedEventDensity:
    """Exact densities behind `make_signed_events`.

    Parameters
    ----------
    negative_fraction : float
        Fraction of negative events.
    kind : {"shape", "random"}
        Whether negative events have a density of their own.
    n_features : int
        Dimensions.

    Attributes
    ----------
    hole_variance : float
        Variance of the gaussian that the negative signal events take away.
    """

    def __init__(self, negative_fraction: float, kind: str, n_features: int) -> None:
        self.negative_fraction = negative_fraction
        self.kind = kind
        self.n_features = n_features
        odds = negative_fraction / (1 - negative_fraction)
        self.hole_variance = max(0.5, odds ** (2 / n_features))
        # of the unsigned signal density; random signs leave it as that of the "shape" kind
        self._odds = odds

    def _hole(self, X: Array) -> Array:
        """Density of negative over density of positive signal events, of the "shape" kind."""
        square = ((X - SHIFT) ** 2).sum(axis=1)
        v = self.hole_variance
        return self._odds * v ** (-self.n_features / 2) * np.exp(-0.5 * square * (1 / v - 1))

    def likelihood_ratio(self, X: ArrayLike) -> Array:
        """Density of signal over density of background.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Events.

        Returns
        -------
        ndarray of shape (n_events,)
            At least 0.
        """
        X = self._check(X)
        f = self.negative_fraction
        narrow = -0.5 * ((X - SHIFT) ** 2).sum(axis=1)
        wide = -0.5 * (X**2).sum(axis=1) / BACKGROUND_VARIANCE
        ratio = BACKGROUND_VARIANCE ** (self.n_features / 2) * np.exp(narrow - wide)
        # rounding must not make it negative where the density touches zero
        return ratio * np.maximum(1 - self._hole(X), 0) * (1 - f) / (1 - 2 * f)

    def posterior(self, X: ArrayLike) -> Array:
        """Probability of signal where both classes have the same sum of weights.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Events.

        Returns
        -------
        ndarray of shape (n_events,)
            r / (1 + r), r the likelihood ratio.
        """
        ratio = self.likelihood_ratio(X)
        return ratio / (1 + ratio)

    def expected_weight(self, X: ArrayLike, y: ArrayLike) -> Array:
        """Mean weight of the events of class ``y`` at ``X``.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Events.
        y : array-like of shape (n_events,)
            Classes.

        Returns
        -------
        ndarray of shape (n_events,)
            At least 0.
        """
        X = self._check(X)
        if self.kind == "random":
            return np.ones(len(X))
        hole = self._hole(X)
        signal = np.maximum(1 - hole, 0) / (1 + hole) / (1 - 2 * self.negative_fraction)
        return np.where(np.asarray(y) == 1, signal, 1.0)

    def sample_unsigned(
        self, n: int, *, random_state: int | np.random.RandomState | None = None
    ) -> tuple[Array, NDArray[np.int64]]:
        """Draw events of weight one from the same densities.

        Parameters
        ----------
        n : int
            Events of each class.
        random_state : int, RandomState instance or None, default=None
            Makes the sample reproducible.

        Returns
        -------
        X : ndarray of shape (2 n, n_features)
            Events in random order.
        y : ndarray of shape (2 n,)
            1 signal, 0 background.
        """
        rng = check_random_state(random_state)
        X = np.concatenate([self._signal(n, rng), self._background(n, rng)])
        y = np.repeat([1, 0], n)
        order = rng.permutation(2 * n)
        return X[order], y[order]

    def _background(self, n: int, rng: np.random.RandomState) -> Array:
        return rng.normal(0, np.sqrt(BACKGROUND_VARIANCE), (n, self.n_features))

    def _signal(self, n: int, rng: np.random.RandomState) -> Array:
        """Rejection: the positive density, less what the negative one takes away."""
        f = self.negative_fraction
        found, missing = [np.empty((0, self.n_features))], n
        while missing > 0:
            tries = int(1.1 * missing * (1 - f) / (1 - 2 * f)) + 20
            proposed = rng.normal(SHIFT, 1, (tries, self.n_features))
            accepted = proposed[rng.uniform(size=len(proposed)) > self._hole(proposed)]
            found.append(accepted)
            missing -= len(accepted)
        return np.concatenate(found)[:n]

    def _check(self, X: ArrayLike) -> Array:
        X = np.asarray(X, dtype=np.float64)
        if X.ndim != 2 or X.shape[1] != self.n_features:
            msg = f"X must have shape (n_events, {self.n_features}), got {X.shape}"
            raise ValueError(msg)
        return X


def make_signed_events(
    n: int,
    negative_fraction: float = 0.2,
    kind: str = "shape",
    *,
    n_features: int = 4,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    r"""Make signal and background with negative weights and a known density ratio.

    Parameters
    ----------
    n : int
        Raw events of each class.
    negative_fraction : float in [0, 0.5), default=0.2
        Expected fraction of negative events: of the signal for ``"shape"``, of each class for
        ``"random"``.
    kind : {"shape", "random"}, default="shape"
        ``"shape"``: negative signal events have a density of their own, and who ignores their sign
        learns a wrong shape; all background is positive. ``"random"``: the same unsigned densities
        with signs drawn at random in both classes, which costs statistics only.
    n_features : int, default=4
        Dimensions.
    random_state : int, RandomState instance or None, default=None
        Makes the sample reproducible.

    Returns
    -------
    Bunch
        data : float64 array of shape (2 n, n_features)
            Events, classes in random order.
        target : int array of shape (2 n,)
            1 signal, 0 background.
        weight : float64 array of shape (2 n,)
            Signed weights; each class sums to n in expectation.
        weight_truth : float64 array of shape (2 n,)
            Mean weight at the event's place in its class: positive weights with the same density.
        likelihood_ratio : float64 array of shape (2 n,)
            Density of signal over density of background at each event.
        posterior : float64 array of shape (2 n,)
            Probability of signal at each event, for classes of equal weight.
        truth : object
            Evaluates the same anywhere: ``truth.likelihood_ratio(X)``, ``truth.posterior(X)``,
            ``truth.expected_weight(X, y)``; draws events without weights from the same densities:
            ``X, y = truth.sample_unsigned(n, random_state=...)``. Can be pickled.
        event_number : int64 array of shape (2 n,)
            1 to 2 n.
        process : str array of shape (2 n,)
            ``signal`` or ``background``.
        feature_names : list of str
            Names of the columns of ``data``.
        class_yields : dict
            Expected sum of weights by label: n for each.
        DESCR : str
            Description of the sample.

    Raises
    ------
    ValueError
        An unknown ``kind``, ``n`` or ``n_features`` below one, a ``negative_fraction`` outside [0,
        0.5).

    Notes
    -----
    With f the negative fraction and d dimensions, the background is :math:`N(0, 1.2)` in each and
    the signal has the density

    .. math:: p_S = \frac{(1 - f)\, N(0.4, 1) - f\, N(0.4, v)}{1 - 2 f},
              \qquad v = \max\left(\tfrac12, \left(\frac{f}{1 - f}\right)^{2/d}\right)

    (means and variances), which is nowhere negative and, where the second term of the maximum
    rules, touches zero at the centre. Kind ``"shape"`` draws from the two terms with weights
    :math:`\pm 1/(1 - 2f)`; kind ``"random"`` draws from :math:`p_S` by exact rejection and gives
    each event the weight :math:`\pm 1/(1 - 2f)`, negative with probability f.

    Examples
    --------
    >>> from skhep_ml.datasets import make_signed_events
    >>> events = make_signed_events(1000, random_state=0)
    >>> events.data.shape, bool((events.weight < 0).any())
    ((2000, 4), True)
    >>> events.truth.likelihood_ratio([[2.0, 2.0, 2.0, 2.0]]).round(3).tolist()
    [8.962]
    """
    for name, value in (("n", n), ("n_features", n_features)):
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
            msg = f"{name} must be an integer of at least 1, got {value!r}"
            raise ValueError(msg)
    if not 0 <= negative_fraction < 0.5:
        msg = (
            f"negative_fraction must lie in [0, 0.5), got {negative_fraction!r}: from one half on "
            "the weights of a class do not sum to a positive number"
        )
        raise ValueError(msg)
    if kind not in ("shape", "random"):
        msg = f"kind must be 'shape' or 'random', got {kind!r}"
        raise ValueError(msg)
    rng = check_random_state(random_state)
    truth = SignedEventDensity(float(negative_fraction), kind, int(n_features))
    y = np.repeat([1, 0], n)
    negative = rng.uniform(size=2 * n) < negative_fraction
    if kind == "shape":
        negative[n:] = False
        width = np.where(negative[:n], np.sqrt(truth.hole_variance), 1.0)
        signal = SHIFT + width[:, None] * rng.normal(size=(n, n_features))
        size = np.where(y == 1, 1 / (1 - 2 * negative_fraction), 1.0)
        X = np.concatenate([signal, truth._background(n, rng)])
    else:
        size = np.full(2 * n, 1 / (1 - 2 * negative_fraction))
        X = np.concatenate([truth._signal(n, rng), truth._background(n, rng)])
    order = rng.permutation(2 * n)
    X, y = X[order], y[order]
    ratio = truth.likelihood_ratio(X)
    return Bunch(
        data=X,
        target=y,
        weight=np.where(negative, -size, size)[order],
        weight_truth=truth.expected_weight(X, y),
        likelihood_ratio=ratio,
        posterior=ratio / (1 + ratio),
        truth=truth,
        event_number=np.arange(1, 2 * n + 1),
        process=np.array(["background", "signal"])[y],
        feature_names=[f"x{k}" for k in range(n_features)],
        class_yields={0: float(n), 1: float(n)},
        DESCR=(
            f"{n} events a class in {n_features} dimensions, negative fraction "
            f"{negative_fraction}, kind {kind!r}; densities: skhep_ml.datasets.make_signed_events"
        ),
    )
