"""Silhouettes under event weights, of several labellings in one pass over the distances."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances_chunked

# of one block of distances
_MEGABYTES = 64


def weighted_silhouettes(
    X: Any, weight: NDArray[np.float64] | None, labellings: dict[int, NDArray[np.intp]]
) -> dict[int, float]:
    r"""Mean silhouette of each labelling.

    With a(i) the weighted mean distance of event i to the others of its cluster and b(i) that to
    the nearest other cluster, the silhouette of an event is (b - a) / max(a, b), and 0 for an event
    alone. All is scikit-learn's where weights are equal. A distance to a cluster leaves the
    event's own weight out, so that equal weights of any unit are the same.

    Parameters
    ----------
    X : {ndarray, sparse array} of shape (n_events, n_features)
        Events.
    weight : ndarray of shape (n_events,) or None
        Weights, none of them negative.
    labellings : dict
        Cluster numbers of the events, counted from 0, by a key of one's own.

    Returns
    -------
    dict
        Mean silhouette, in [-1, 1], by the same keys.
    """
    n_events = X.shape[0]
    weight = np.ones(n_events) if weight is None else weight
    members = {}
    for key, labels in labellings.items():
        member = np.zeros((n_events, labels.max() + 1))
        member[np.arange(n_events), labels] = weight
        members[key] = member
    sums = dict.fromkeys(labellings, 0.0)
    start = 0
    for distance in pairwise_distances_chunked(X, working_memory=_MEGABYTES):
        rows = slice(start, start + len(distance))
        start = rows.stop
        local = np.arange(len(distance))
        for key, labels in labellings.items():
            total = distance @ members[key]
            mass = np.tile(members[key].sum(axis=0), (len(distance), 1))
            own = labels[rows]
            mass[local, own] -= weight[rows]
            # the difference of equal sums leaves rounding
            lonely = mass[local, own] <= 1e-12 * weight[rows]
            with np.errstate(divide="ignore", invalid="ignore"):
                mean = total / mass
            inside = mean[local, own].copy()
            mean[local, own] = np.inf
            # an empty cluster is nobody's neighbour
            outside = np.where(np.isnan(mean), np.inf, mean).min(axis=1)
            larger = np.maximum(inside, outside)
            defined = ~lonely & np.isfinite(outside) & (larger > 0)
            value = np.zeros(len(distance))
            np.divide(outside - inside, larger, out=value, where=defined)
            sums[key] += float(weight[rows] @ value)
    return {key: value / float(weight.sum()) for key, value in sums.items()}
