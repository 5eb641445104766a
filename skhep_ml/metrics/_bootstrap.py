"""Statistical errors of any metric, by resampling events."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import poisson
from sklearn.utils import check_random_state
from sklearn.utils.parallel import Parallel, delayed

from skhep_ml._frames import take_rows
from skhep_ml._hashing import event_fraction
from skhep_ml._validation import check_event_id, check_event_weight

#: P(count <= k) of a Poisson distribution of mean 1, as far as 32 bits resolve it.
_POISSON = poisson.cdf(np.arange(13), 1.0) * 2**32


class BootstrapResult(NamedTuple):
    """A metric with its statistical error.

    Attributes
    ----------
    value : float or ndarray
        The metric of all events.
    std : float or ndarray
        Standard deviation of the replicas.
    replicas : ndarray of shape (n_replicas, ...)
        The metric of every replica.
    """

    value: Any
    std: Any
    replicas: NDArray[np.float64]

    def interval(self, level: float = 0.6827) -> tuple[Any, Any]:
        """Central interval of the replicas.

        Parameters
        ----------
        level : float, default=0.6827
            Probability content.

        Returns
        -------
        tuple of float or ndarray
            Lower and upper end.
        """
        ends = np.quantile(self.replicas, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return ends[0], ends[1]


def bootstrap(
    metric: Callable[..., Any],
    *arrays: Any,
    sample_weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    n_replicas: int = 200,
    random_state: Any = None,
    n_jobs: int | None = None,
    **options: Any,
) -> BootstrapResult:
    """Statistical error of a metric by the Poisson bootstrap.

    Every replica counts each event a Poisson number of times, of mean 1. That holds for weights of
    any sign and for any metric that takes ``sample_weight``, and keeps the fluctuation of the
    number of events.

    Parameters
    ----------
    metric : callable
        Called as ``metric(*arrays, sample_weight=..., **options)``; returns a number or an array
        of fixed shape.
    *arrays : array-like of shape (n_events, ...)
        Arrays or tables with one entry an event, such as ``y_true`` and ``y_score``.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights, of any sign.
    groups : array-like of int, shape (n_events,) or (n_events, k), default=None
        Event identifiers. The counts are then a function of identifier, replica and seed: entries
        of one event are counted together, and so are those of an event and its variations in
        different samples, whose replicas can be subtracted one by one.
    n_replicas : int, default=200
        Number of replicas. The error itself is known to about ``1 / sqrt(2 n_replicas)``.
    random_state : int, RandomState instance or None, default=None
        Seed; replica k is the same however many there are.
    n_jobs : int, default=None
        Replicas in parallel.
    **options : dict
        Further arguments of the metric.

    Returns
    -------
    BootstrapResult
        Named tuple ``(value, std, replicas)`` with a method ``interval``.

    Raises
    ------
    ValueError
        Arrays of unequal length, fewer than two replicas, or what the metric raises.

    References
    ----------
    B. Efron, R. Tibshirani, An Introduction to the Bootstrap, Chapman & Hall, 1993.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.metrics import bootstrap, roc_auc_score
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=1000)
    >>> auc = bootstrap(roc_auc_score, y, rng.normal(y), n_replicas=50, random_state=0)
    >>> round(float(auc.value), 3), round(float(auc.std), 3)
    (0.79, 0.012)
    """
    if n_replicas < 2:
        msg = f"n_replicas must be at least 2, got {n_replicas}"
        raise ValueError(msg)
    if not arrays:
        msg = "give the arrays of the metric after it, such as y_true and y_score"
        raise ValueError(msg)
    tables = [array if hasattr(array, "shape") else np.asarray(array) for array in arrays]
    lengths = [table.shape[0] for table in tables]
    if len(set(lengths)) != 1:
        msg = f"the arrays have different lengths: {lengths}"
        raise ValueError(msg)
    n_events = lengths[0]
    weight = check_event_weight(sample_weight, n_events)
    event = None if groups is None else np.column_stack(check_event_id(groups, n_events))
    given = {} if weight is None else {"sample_weight": weight}
    value = _number(metric(*tables, **given, **options))
    seed = check_random_state(random_state).randint(2**31 - 1)

    def replica(k: int) -> NDArray[np.float64]:
        if event is None:
            count = np.random.default_rng([seed, k]).poisson(1.0, n_events)
        else:
            count = poisson_counts(event, k, seed)
        rows = np.flatnonzero(count)
        factor = count[rows] if weight is None else count[rows] * weight[rows]
        parts = [take_rows(table, rows) for table in tables]
        return _number(metric(*parts, sample_weight=factor.astype(np.float64), **options))

    jobs = Parallel(n_jobs=n_jobs)(delayed(replica)(k) for k in range(n_replicas))
    replicas = np.stack(jobs)
    std = replicas.std(axis=0, ddof=1)
    if value.ndim == 0:
        return BootstrapResult(float(value), float(std), replicas)
    return BootstrapResult(value, std, replicas)


def poisson_counts(event: Any, replica: int, seed: int) -> NDArray[np.intp]:
    """How often each event counts in a replica: a function of identifier, replica and seed."""
    uniform = event_fraction(event, "bootstrap", salt=(replica << 32) | seed)
    return np.searchsorted(_POISSON, uniform, side="right")


def _number(value: Any) -> NDArray[np.float64]:
    return np.asarray(value, dtype=np.float64)
