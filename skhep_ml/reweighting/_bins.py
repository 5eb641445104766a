"""Reweighting by smoothed histograms."""

import numbers
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from skhep_ml.reweighting._base import BaseReweighter, Samples

# a table of doubles, of which a fit holds about three: 1.2 GB
_MAX_BINS = 50_000_000
# standard deviations at which the kernel ends
_TRUNCATE = 2.5


class BinsReweighter(BaseReweighter):
    r"""Reweighting by the ratio of smoothed histograms, for one or two features.

    Parameters
    ----------
    n_bins : int, default=200
        Bins of each feature, which hold equal shares of the two samples together. There are
        ``n_bins ** n_features`` in all.
    n_neighs : float, default=3.0
        Standard deviation of the Gaussian that smooths the histograms, in bins; 0 for none. Larger
        is more stable and follows narrow structures less.
    min_events : float, default=1.0
        Effective events under the kernel below which a sample counts as this many: empty regions
        get finite ratios, and 1 where both samples are empty.
    normalize : {"original", "target"} or None, default="original"
        Sum of weights that the reweighted original of the fit gets: its own, so that the mean ratio
        is 1; the target's; or with None none in particular.
    negative_weights : {"refine", "keep", "pair", "cell", "drop", "abs", "raise"}, default="refine"
        What training does with negative weights in either sample, see
        `skhep_ml.weights.apply_negative_weights`. ``"keep"`` fills the histograms with signed
        weights, as ``hep_ml`` does.
    n_replicas : int, default=0
        Poisson bootstrap replicas of both samples, each with histograms of its own, for
        uncertainties.
    n_jobs : int, default=None
        Threads of refinement; None takes all.
    random_state : int, RandomState instance or None, default=None
        Seed of refinement and replicas.
    verbose : int, default=0
        Show the progress of replicas.

    Attributes
    ----------
    edges_ : ndarray of shape (n_features, n_bins - 1)
        Inner edges of the bins; the outer bins are open. Infinite where the largest value of both
        samples fills more than one bin.
    ratio_ : ndarray of shape (n_bins,) * n_features
        Ratio target over original in each bin, before normalisation.
    normalization_ : float
        Factor on the ratio.
    effective_size_ : float
        Harmonic mean of the two samples' effective sizes, under the training weights.
    replicas_ : list of BinsReweighter
        The bootstrap replicas.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of str
        Their names, if ``original`` was a DataFrame.

    See Also
    --------
    GBReweighter : Boosted trees, for more than two features.

    Notes
    -----
    The ratio in a bin is

    .. math:: r = \frac{\max(S_t, \epsilon)}{\max(S_o, \epsilon)},

    where S are the smoothed sums of weights of both samples, each scaled to
    n = 2 / (1/n_o + 1/n_t) with the effective sizes :math:`(\sum w)^2 / \sum w^2`. The kernel k
    covers :math:`1/\sum k^2` bins, and :math:`\epsilon` is ``min_events`` over this number.

    Edges are quantiles of the equal mixture of the two samples under abs(w). A value that many
    events share, such as a number of jets, fills one bin and leaves those beside it empty, so the
    kernel hardly mixes it with the next value. Events beyond the outermost edges belong to the
    outer bins.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.reweighting import BinsReweighter
    >>> rng = np.random.default_rng(0)
    >>> simulation, data = rng.normal(0.0, 1.0, 5000), rng.normal(0.2, 1.0, 5000)
    >>> weights = BinsReweighter(n_bins=50).fit(simulation, data).predict_weights(simulation)
    >>> bool(abs(np.average(simulation, weights=weights) - data.mean()) < 0.02)
    True
    """

    def __init__(
        self,
        n_bins: int = 200,
        n_neighs: float = 3.0,
        *,
        min_events: float = 1.0,
        normalize: str | None = "original",
        negative_weights: str = "refine",
        n_replicas: int = 0,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_bins = n_bins
        self.n_neighs = n_neighs
        self.min_events = min_events
        self.normalize = normalize
        self.negative_weights = negative_weights
        self.n_replicas = n_replicas
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _check_params(self) -> None:
        bins = self.n_bins
        if not isinstance(bins, numbers.Integral) or isinstance(bins, bool) or bins < 2:
            msg = f"n_bins must be an integer of at least 2, got {bins!r}"
            raise ValueError(msg)
        width = self.n_neighs
        if not isinstance(width, numbers.Real) or not 0 <= float(width) < np.inf:
            msg = f"n_neighs must be a number >= 0, got {width!r}"
            raise ValueError(msg)
        least = self.min_events
        if not isinstance(least, numbers.Real) or not 0 < float(least) < np.inf:
            msg = f"min_events must be a positive number, got {least!r}"
            raise ValueError(msg)
        n_features = self.n_features_in_
        count = int(self.n_bins) ** n_features
        if count > _MAX_BINS:
            fitting = int(_MAX_BINS ** (1 / n_features))
            msg = (
                f"n_bins={self.n_bins} in {n_features} features are {count:.3g} bins, more than "
                f"{_MAX_BINS:.3g}: lower n_bins (to {fitting} at most), use fewer features, or "
                "GBReweighter"
            )
            raise ValueError(msg)

    def _fit(self, samples: Samples, seed: int) -> None:
        original, target, w_original, w_target, _ = samples
        size = self.effective_size_
        mixture = np.concatenate([np.abs(w) / np.abs(w).sum() for w in (w_original, w_target)])
        fractions = np.linspace(0, 1, self.n_bins + 1)[1:-1]
        self.edges_ = np.stack(
            [
                _quantiles(np.concatenate(columns), mixture, fractions)
                for columns in zip(original.T, target.T, strict=True)
            ]
        )
        least = self.min_events * _kernel_power(self.n_neighs) ** original.shape[1]
        smooth_original, smooth_target = (
            np.maximum(self._smooth(table, weight * (size / weight.sum())), least)
            for table, weight in ((original, w_original), (target, w_target))
        )
        self.ratio_ = smooth_target / smooth_original

    def _smooth(self, table: NDArray[Any], weight: NDArray[np.float64]) -> NDArray[np.float64]:
        shape = (self.n_bins,) * table.shape[1]
        histogram = np.bincount(self._bin(table), weight, self.n_bins ** len(shape)).reshape(shape)
        return gaussian_filter(histogram, self.n_neighs, truncate=_TRUNCATE)

    def _bin(self, table: NDArray[Any]) -> NDArray[np.intp]:
        """Number of each event's bin in the flattened table."""
        number = np.zeros(len(table), dtype=np.intp)
        for edges, column in zip(self.edges_, table.T, strict=True):
            number *= self.n_bins
            number += np.searchsorted(edges, column)
        return number

    def _ratio(self, X: NDArray[Any]) -> NDArray[np.float64]:
        return self.ratio_.reshape(-1)[self._bin(X)]


def _quantiles(
    values: NDArray[Any], weight: NDArray[np.float64], fractions: NDArray[np.float64]
) -> NDArray[Any]:
    """Smallest values up to which the given fractions of the weight lie.

    Infinity in place of the largest value: what is beyond then shares its bin.
    """
    order = np.argsort(values)
    below = np.cumsum(weight[order])
    # rounding must not push the last ones behind the end
    position = np.searchsorted(below, fractions * below[-1]).clip(max=len(values) - 1)
    edges = values[order[position]]
    return np.where(edges < values[order[-1]], edges, np.array(np.inf, dtype=edges.dtype))


def _kernel_power(width: float) -> float:
    """Sum of the squared smoothing kernel: one over the number of bins it covers."""
    radius = int(_TRUNCATE * width + 0.5)
    impulse = np.zeros(2 * radius + 1)
    impulse[radius] = 1.0
    kernel = gaussian_filter1d(impulse, width, truncate=_TRUNCATE) if width > 0 else impulse
    return float(np.dot(kernel, kernel))
