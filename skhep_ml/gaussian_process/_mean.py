"""Mean functions: the falling spectrum, line or constant that a Gaussian process varies around."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

# step of central differences, in units of the spread of the target
_STEP = 1e-4


def _constant(X: NDArray[Any], value: float) -> NDArray[np.float64]:
    return np.full(len(X), value)


def _linear(X: NDArray[Any], *coefficients: float) -> NDArray[np.float64]:
    return coefficients[0] + X @ np.asarray(coefficients[1:])


class MeanFunction:
    """m(X, parameters), first fitted by least squares, then moved along independent directions.

    Parameters
    ----------
    function : "constant", "linear" or callable
        A callable is called as ``function(X, *parameters)`` and returns one value an event.
    start : array-like
        Where a callable's parameters start.
    n_features : int
        Number of features.
    """

    def __init__(self, function: str | Callable[..., Any], start: Any, n_features: int) -> None:
        if callable(function):
            self.function: Callable[..., Any] = function
            self.parameters = np.asarray([] if start is None else start, dtype=np.float64).ravel()
            self._check_call()
        elif start is not None:
            msg = f"mean_start belongs to a callable mean, but mean={function!r}"
            raise ValueError(msg)
        elif function == "constant":
            self.function, self.parameters = _constant, np.zeros(1)
        elif function == "linear":
            self.function, self.parameters = _linear, np.zeros(n_features + 1)
        else:
            msg = f'mean must be "zero", "constant", "linear" or a callable, got {function!r}'
            raise ValueError(msg)
        self.directions = np.zeros((len(self.parameters), 0))

    @property
    def n_moves(self) -> int:
        """Number of independent directions of the parameters."""
        return self.directions.shape[1]

    def __call__(self, X: NDArray[Any], moves: Any = None) -> NDArray[np.float64]:
        """Values at X, the parameters moved along their directions."""
        parameters = self.parameters
        if moves is not None:
            parameters = parameters + self.directions @ moves
        return self._values(X, parameters)

    def _values(self, X: NDArray[Any], parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        values = np.asarray(self.function(X, *parameters.tolist()), dtype=np.float64)
        if values.shape != (len(X),):
            msg = (
                f"the mean function gives shape {values.shape} for {len(X)} events: it is called "
                "as mean(X, *parameters), X of shape (n_events, n_features), and must return "
                "shape (n_events,)"
            )
            raise ValueError(msg)
        if not np.isfinite(values).all():
            msg = (
                f"the mean function is NaN or infinite in {np.sum(~np.isfinite(values))} events at "
                f"the parameters {parameters.tolist()}: start it elsewhere (mean_start)"
            )
            raise ValueError(msg)
        return values

    def _check_call(self) -> None:
        """Raise a ValueError where the function takes another number of parameters."""
        try:
            inspect.signature(self.function).bind(None, *self.parameters.tolist())
        except TypeError as error:
            msg = (
                f"mean is called as mean(X, *parameters) with {len(self.parameters)} parameters: "
                f"{error}; mean_start gives one starting value for each"
            )
            raise ValueError(msg) from None

    def fit(self, X: NDArray[Any], y: NDArray[np.float64], weight: NDArray[np.float64]) -> None:
        """Set the parameters by weighted least squares, and the directions to move in."""
        self._values(X, self.parameters)
        if not len(self.parameters):
            return
        root = np.sqrt(weight / weight.mean())
        found = least_squares(
            lambda parameters: root * (self._values(X, parameters) - y),
            self.parameters,
            x_scale="jac",
        )
        self.parameters = found.x
        # along these a move of 1 changes the mean by a root mean square of 1; correlated
        # parameters, such as a slope and an intercept far away, become independent
        _, size, right = np.linalg.svd(found.jac, full_matrices=False)
        kept = size > 1e-12 * max(size[0], 1e-300)
        self.directions = right[kept].T / size[kept] * np.sqrt(len(y))

    def move(self, moves: NDArray[np.float64]) -> None:
        """Take the moves into the parameters."""
        self.parameters = self.parameters + self.directions @ moves

    def rescale(self, unit: float) -> None:
        """Measure moves in a unit of the target."""
        self.directions = self.directions * unit
        self.unit = unit

    def change(self, X: NDArray[Any], moves: NDArray[np.float64]) -> NDArray[np.float64]:
        """By how much moves change the mean, in units of the target's spread."""
        return (self(X, moves) - self(X)) / self.unit

    def slopes(self, X: NDArray[Any], moves: NDArray[np.float64]) -> NDArray[np.float64]:
        """Derivative of `change`, shape (n_events, n_moves)."""
        columns = []
        for k in range(self.n_moves):
            step = np.zeros(self.n_moves)
            step[k] = _STEP
            columns.append(self.change(X, moves + step) - self.change(X, moves - step))
        return np.column_stack(columns) / (2 * _STEP)
