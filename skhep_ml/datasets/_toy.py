"""Checks and packing that the generators of two weighted classes share."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from skhep_ml.datasets._files import to_frame


def check_toy(n_events: Any, negative_fraction: float) -> None:
    """Refuse a number of events or a fraction of negative weights that no sample can have.

    Raises
    ------
    ValueError
        ``n_events`` below two, or ``negative_fraction`` outside [0, 0.5).
    """
    integer = isinstance(n_events, (int, np.integer)) and not isinstance(n_events, bool)
    if not integer or n_events < 2:
        msg = f"n_events must be an integer of at least 2, got {n_events!r}"
        raise ValueError(msg)
    if not 0 <= negative_fraction < 0.5:
        msg = (
            f"negative_fraction must lie in [0, 0.5), got {negative_fraction!r}: from one half on "
            "the weights of a class do not sum to a positive number"
        )
        raise ValueError(msg)


def pack_toy(
    signal: dict[str, NDArray[Any]],
    background: dict[str, NDArray[Any]],
    uniform_features: list[str],
    *,
    negative_fraction: float,
    as_frame: bool,
    rng: np.random.RandomState,
    description: str,
) -> Bunch:
    """Shuffle two classes of columns together and give them weights, numbers and names.

    Signs are drawn at random: a negative fraction costs statistics and leaves the densities.
    """
    names = list(signal)
    n_signal, n_background = (len(columns[names[0]]) for columns in (signal, background))
    table = np.column_stack([np.concatenate([signal[k], background[k]]) for k in names])
    target = np.repeat([1, 0], [n_signal, n_background])
    n_events = len(target)
    order = rng.permutation(n_events)
    data, target = table[order].astype(np.float32), target[order]
    negative = rng.uniform(size=n_events) < negative_fraction
    size = 1 / (1 - 2 * negative_fraction)
    return Bunch(
        data=to_frame(data, names) if as_frame else data,
        target=target,
        weight=np.where(negative, -size, size),
        event_number=np.arange(1, n_events + 1),
        process=np.array(["background", "signal"])[target],
        feature_names=names,
        uniform_features=list(uniform_features),
        train_features=[name for name in names if name not in uniform_features],
        class_yields={0: float(n_background), 1: float(n_signal)},
        DESCR=description,
    )
