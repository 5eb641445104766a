"""Point clouds: validation beside tables, presence of particles, names of the last axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_array, validate_data

from skhep_ml._masks import unmasked
from skhep_ml._validation import align_columns

DEFAULT_FEATURES = ("pt", "eta", "phi", "mass")
# other names of a quantity, in any case and also behind a prefix: "jet_m"
_ALIASES = {"mass": ("mass", "m"), "energy": ("energy", "e")}
# words before the last that make another quantity of it: "log_pt", "is_e"
_OTHER_QUANTITY = {"err", "has", "inv", "is", "ln", "log", "log10", "log1p", "n", "rel", "sigma"}


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

    Masked entries become NaN. Columns of a DataFrame are brought in the order of fit. The number
    of features is that of the last axis.
    """
    dtype = [np.float64, np.float32]
    X = unmasked(X)
    if not is_cloud(X):
        if not reset:
            X = align_columns(estimator, X)
        try:
            return validate_data(estimator, X, reset=reset, dtype=dtype, ensure_all_finite=False)
        except (TypeError, ValueError) as error:
            label = _text_column(X)
            if label is None:
                raise
            msg = f"{label} holds more than numbers ({error}): leave it out, or encode it"
            raise (TypeError if isinstance(error, TypeError) else ValueError)(msg) from error
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


def _text_column(X: Any) -> str | None:
    """Label of the first column of a table that is not made of numbers."""
    names = list(getattr(X, "columns", ()))
    if not names and not (isinstance(X, np.ndarray) and X.ndim == 2):
        return None
    for index in range(X.shape[1]):
        column = np.asarray(X[names[index]] if names else X[:, index])
        try:
            column.astype(np.float64 if column.dtype.kind in "OUS" else column.dtype)
        except (TypeError, ValueError):
            return f"column {names[index]!r}" if names else f"column {index}"
    return None


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


def find_feature(names: Sequence[str], name: str, purpose: str) -> int | None:
    """Position of a feature on the last axis; None where there is none.

    The exact name goes first. For pt, eta, phi, mass, energy, px, py and pz the same in another
    case follows, with "m" and "e" for mass and energy, and then one behind a prefix: "jet_pt",
    "delta_eta". Names with a word such as "log" or "is" before it mean something else.

    Raises
    ------
    ValueError
        Several features that may be meant.
    """
    if name in names:
        return list(names).index(name)
    if name not in (*DEFAULT_FEATURES, "energy", "px", "py", "pz"):
        return None
    aliases = _ALIASES.get(name, (name,))
    words = [str(known).lower().split("_") for known in names]
    whole = [index for index, parts in enumerate(words) if len(parts) == 1 and parts[0] in aliases]
    prefixed = [
        index
        for index, (*prefix, last) in enumerate(words)
        if prefix and last in aliases and not _OTHER_QUANTITY.intersection(prefix)
    ]
    found = whole or prefixed
    if len(found) > 1:
        msg = (
            f"{purpose} cannot tell which of {[names[index] for index in found]} is meant by "
            f"{name!r}: give the exact name, or leave the others out of features"
        )
        raise ValueError(msg)
    return found[0] if found else None


def feature_position(names: Sequence[str], name: str, purpose: str) -> int:
    """Position that `find_feature` gives, or an error that says what needs the feature."""
    found = find_feature(names, name, purpose)
    if found is None:
        msg = f"{purpose} needs the feature {name!r}, but the clouds have {list(names)}"
        raise ValueError(msg)
    return found


def known_first(names: Sequence[str], purpose: str) -> list[str]:
    """Names with pt, eta, phi and the mass, or without it the energy, before the others."""
    places = [find_feature(names, name, purpose) for name in DEFAULT_FEATURES]
    if places[-1] is None:
        places[-1] = find_feature(names, "energy", purpose)
    known = [names[place] for place in places if place is not None]
    return [*known, *(name for name in names if name not in known)]


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
