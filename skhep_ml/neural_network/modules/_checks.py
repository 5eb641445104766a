"""What all architectures refuse: inputs of another kind, sizes of layers that make no sense."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

from torch import Tensor, nn

_KINDS = {2: "a table", 3: "clouds", 4: "images"}
_TAKERS = {
    2: "MLP, ResNet, DenseNet and TabM take tables",
    3: "DeepSets, InteractionNetwork, ParticleNet, ParticleTransformer and RNN take clouds",
    4: "CNN takes images",
}


def check_input(module: nn.Module, X: Tensor, n_axes: int, n_features: int) -> None:
    """Refuse inputs of another kind, or of another number of features.

    Parameters
    ----------
    module : nn.Module
        Whom the message is about.
    X : Tensor
        Its input.
    n_axes : int
        2 for tables, 3 for clouds, 4 for images.
    n_features : int
        Columns, features of a particle, or channels.

    Raises
    ------
    ValueError
        Another number of axes or features.
    """
    feature_axis = 1 if n_axes == 4 else n_axes - 1
    if X.ndim == n_axes and X.shape[feature_axis] == n_features:
        return
    wanted = {
        2: f"(n_events, {n_features})",
        3: f"(n_events, n_particles, {n_features})",
        4: f"(n_events, {n_features}, height, width)",
    }
    instead = f"; {_TAKERS[X.ndim]}" if X.ndim != n_axes and X.ndim in _TAKERS else ""
    msg = (
        f"{type(module).__name__} takes {_KINDS[n_axes]} of shape {wanted[n_axes]}, got shape "
        f"{tuple(X.shape)}{instead}"
    )
    raise ValueError(msg)


def check_counts(module: nn.Module, **counts: Any) -> None:
    """Refuse counts, by the name of the parameter, that are not positive integers.

    Raises
    ------
    ValueError
        One of them is something else.
    """
    for name, count in counts.items():
        if not _is_count(count):
            msg = f"{type(module).__name__}: {name}={count!r} must be a positive integer"
            raise ValueError(msg)


def check_widths(module: nn.Module, *, empty: bool = True, **widths: Any) -> None:
    """Refuse widths of layers, by the name of the parameter, that are not positive integers.

    Parameters
    ----------
    module : nn.Module
        Whom the message is about.
    empty : bool, default=True
        Whether there may be no layer at all.
    **widths : dict of sequence of int
        Nodes of each layer.

    Raises
    ------
    ValueError
        Something else than a sequence of positive integers, or no layer where one is needed.
    """
    for name, sizes in widths.items():
        name_value = f"{type(module).__name__}: {name}={sizes!r}"
        try:
            right = all(_is_count(size) for size in sizes)
        except TypeError:
            right = False
        if not right:
            example = f"({sizes},)" if _is_count(sizes) else "(64, 64)"
            msg = (
                f"{name_value} must be a sequence of positive integers, one for each layer, such "
                f"as {example}"
            )
            raise ValueError(msg)
        if not empty and not len(sizes):
            msg = f"{name_value} needs at least one layer"
            raise ValueError(msg)


def _is_count(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1


def check_choice(name: str, value: str, known: Sequence[str]) -> None:
    """Refuse a value that is not known.

    Raises
    ------
    ValueError
        Unknown value.
    """
    if value not in known:
        msg = f"{name}={value!r} must be one of {tuple(known)}"
        raise ValueError(msg)


def check_columns(name: str, columns: Sequence[int], n_features: int, instead: str) -> list[int]:
    """Column numbers as a list.

    Raises
    ------
    ValueError
        A column that particles of ``n_features`` features do not have.
    """
    for column in columns:
        if not -n_features <= column < n_features:
            msg = (
                f"{name}={tuple(columns)} asks for column {column}, but particles have "
                f"{n_features} features; {instead}"
            )
            raise ValueError(msg)
    return [int(column) % n_features for column in columns]
