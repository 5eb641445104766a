"""Methods that give an imputer's output."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike, NDArray

from skhep_ml.preprocessing._base import FeatureTransformer


# as in its base, `set_output` must not wrap these methods again
class ImputerBase(FeatureTransformer, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Base of an imputer: tables come out as `set_output` asks, clouds as arrays."""

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Replace the missing values.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features) or (n_events, n_particles, n_features)
            Features, in the columns of `fit`.

        Returns
        -------
        ndarray of shape (..., n_features + n_indicators)
            Features without missing values, and the indicator columns; in clouds the
            particles that are absent are NaN.

        Raises
        ------
        ValueError
            Infinite values or other columns than in `fit`.
        """
        return super().transform(X)

    def fit_transform(self, X: ArrayLike, y: Any = None, **fit_params: Any) -> NDArray[Any]:
        """Call `fit` and `transform` on the same data.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features) or (n_events, n_particles, n_features)
            Features.
        y : None
            Ignored.
        **fit_params : dict
            Passed on to `fit`: ``sample_weight``.

        Returns
        -------
        ndarray of shape (..., n_features + n_indicators)
            What `transform` returns.
        """
        return super().fit_transform(X, y, **fit_params)
