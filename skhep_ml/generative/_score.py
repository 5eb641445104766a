"""The mean of what `score_samples` gives, by which searches select."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhep_ml._validation import check_event_weight


def mean_score(values: NDArray[np.float64], sample_weight: Any) -> float:
    """Weighted mean over events; minus infinity where one that counts is impossible.

    Raises
    ------
    ValueError
        Weights whose sum is not positive.
    """
    weight = check_event_weight(sample_weight, len(values))
    if weight is None:
        return float(values.mean())
    if weight.sum() <= 0:
        msg = f"sample_weight has the sum {weight.sum():.6g}: a mean needs a positive sum"
        raise ValueError(msg)
    # impossible events are not made up for by a negative or vanishing weight
    counted = weight != 0
    if np.isneginf(values[counted]).any():
        return -math.inf
    return float(np.average(values[counted], weights=weight[counted]))
