"""Point clouds: validation beside tables, presence of particles, names of the last axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_array, validate_data

from skhep_ml._validation import align_columns

DEFAULT_FEATURES = ("pt", "eta", "phi", "mass")


def present_particles(cloud: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which particles are present: those with at least one feature that is not NaN.

    Returns an array of shape (n_events, n_particles).
    """
    mask = cloud[..., 0] == cloud[..., 0]
    for index in range(1, cloud.shape[-1]):
        mask |= cloud[..., index] == cloud[..., index]
    return mask


def is_cloud(X: Any) -> bool:
    """Tell whether X is an array of shape (n_events, n_particles, n_features)."""
    return len(getattr(X, "shape", ())) == 3


def validate_floats(estimator: Any, X: Any, *, reset: bool) -> NDArray[np.floating[Any]]:
    """Check a table or a cloud as `validate_data` does; NaN and infinity pass.

    Columns of a DataFrame are brought in the order of fit. The number of features is that of the
    last axis.
    """
    dtype = [np.float64, np.float32]
    if not is_cloud(X):
        if not reset:
            X = align_columns(estimator, X)
        return validate_data(estimator, X, reset=reset, dtype=dtype, ensure_all_finite=False)
    cloud = check_array(
        X, dtype=dtype, allow_nd=True, ensure_all_finite=False, estimator=estimator, input_name="X"
    )
    if cloud.shape[2] == 0:
        msg = f"X has shape {cloud.shape}: a cloud needs at least one feature on its last axis"
        raise ValueError(msg)
    if reset:
        estimator.n_features_in_ = cloud.shape[2]
        if hasattr(estimator, "feature_names_in_"):
            del estimator.feature_names_in_
    elif cloud.shape[2] != estimator.n_features_in_:
        msg = (
            f"X has {cloud.shape[2]} features on its last axis, but {type(estimator).__name__} is "
            f"expecting {estimator.n_features_in_} features as input"
        )
        raise ValueError(msg)
    return cloud


def cloud_feature_names(features: Sequence[str] | None, n_features: int) -> list[str]:
    """Names of the last axis: those given, or pt, eta, phi, mass, then x4, x5, ...

    Raises
    ------
    ValueError
        Another number of names than features, or a name twice.
    """
    if features is None:
        extra = (f"x{index}" for index in range(len(DEFAULT_FEATURES), n_features))
        return [*DEFAULT_FEATURES[:n_features], *extra]
    names = [str(name) for name in features]
    if len(names) != n_features:
        msg = f"features={names} names {len(names)} features, but the clouds have {n_features}"
        raise ValueError(msg)
    if len(set(names)) < len(names):
        msg = f"features={names} has the same name twice"
        raise ValueError(msg)
    return names


def feature_position(names: Sequence[str], name: str, purpose: str) -> int:
    """Position of a feature on the last axis, or an error that says what needs it."""
    if name not in names:
        msg = f"{purpose} needs the feature {name!r}, but the clouds have {list(names)}"
        raise ValueError(msg)
    return list(names).index(name)


class ArrayOutputMixin:
    """Transformer whose output is no table: it stays an array whatever `set_output` asks.

    Stands left of `TransformerMixin`.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # scikit-learn then wraps no output, and no global setting can ask for it
        super().__init_subclass__(auto_wrap_output_keys=None, **kwargs)  # type: ignore[call-arg]

    def set_output(self, *, transform: str | None = None) -> Self:
        """Do nothing, so that a Pipeline can set the output of its other steps.

        Parameters
        ----------
        transform : str, default=None
            Ignored: this output has no columns.

        Returns
        -------
        self : object
            The transformer.
        """
        return self
