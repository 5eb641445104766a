"""Models of the score for Bayesian search: scikit-optimize's, without their overhead."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.utils import check_random_state
from skopt.learning import GaussianProcessRegressor
from skopt.space import Categorical
from skopt.utils import cook_estimator


class QuantileBoosting(RegressorMixin, BaseEstimator):
    """Boosted 16, 50 and 84% quantiles as mean and standard deviation.

    scikit-optimize's own uses functions that numpy 2 no longer has.
    """

    def __init__(self, random_state: Any = None) -> None:
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Any:
        """Fit the three quantiles."""
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        self.quantiles_ = [
            GradientBoostingRegressor(
                loss="quantile", alpha=alpha, n_estimators=30, random_state=seed
            ).fit(X, y)
            for alpha in (0.16, 0.5, 0.84)
        ]
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Return the median, and half of the 68% interval on request."""
        low, middle, high = (model.predict(X) for model in self.quantiles_)
        return (middle, np.maximum(high - low, 0) / 2) if return_std else middle


def without_tail(losses: Any) -> NDArray[np.float64]:
    """Losses further above the median than the least is below it, brought to that distance.

    A few hopeless points would otherwise set the scale on which all good ones look alike.
    """
    losses = np.asarray(losses, dtype=np.float64)
    middle = np.median(losses)
    return np.minimum(losses, 2 * middle - losses.min())


class MaternProcess(GaussianProcessRegressor):
    r"""scikit-optimize's Gaussian process for one kernel, in closed form.

    The kernel is :math:`c\,(1 + r + r^2/3)\,e^{-r} + s\,\delta_{ij}` with
    :math:`r^2 = 5\sum_k (x_{ik} - x_{jk})^2/l_k^2`, the one that scikit-optimize searches with.
    Same likelihood, predictions and gradients; most of the time that tens of points take there
    goes into kernel objects. It is fitted to losses `without_tail`.
    """

    def log_marginal_likelihood(
        self, theta: Any = None, eval_gradient: bool = False, clone_kernel: bool = True
    ) -> Any:
        """Return the log-likelihood of log(c, l, s), and its gradient on request."""
        if theta is None:
            return super().log_marginal_likelihood(theta, eval_gradient, clone_kernel)
        X, y = self.X_train_, self.y_train_
        constant, lengths, noise = _unpacked(np.exp(theta))
        scaled = X / lengths
        r = _distances(scaled, scaled)
        np.fill_diagonal(r, 0.0)
        decay = constant * np.exp(-r)
        signal = (1 + r + r**2 / 3) * decay
        kernel = signal.copy()
        kernel[np.diag_indices_from(kernel)] += noise + self.alpha
        try:
            lower = cholesky(kernel, lower=True, check_finite=False)
        except np.linalg.LinAlgError:
            return (-np.inf, np.zeros_like(theta)) if eval_gradient else -np.inf
        solved = cho_solve((lower, True), y, check_finite=False)
        value = -0.5 * y @ solved - np.log(np.diag(lower)).sum() - len(y) / 2 * np.log(2 * np.pi)
        if not eval_gradient:
            return float(value)
        inverse = cho_solve((lower, True), np.eye(len(y)), check_finite=False)
        inner = np.outer(solved, solved) - inverse
        weight = inner * (5 / 3) * (1 + r) * decay
        by_length = weight.sum(axis=0) @ scaled**2 - (scaled * (weight @ scaled)).sum(axis=0)
        by_constant = 0.5 * np.vdot(inner, signal)
        return float(value), np.r_[by_constant, by_length, 0.5 * noise * np.trace(inner)]

    def fit(self, X: Any, y: Any) -> Any:
        """Fit the kernel's parameters to points and losses."""
        super().fit(X, without_tail(y))
        product = self.kernel_.k1
        self._constant, self._lengths = product.k1.constant_value, product.k2.length_scale
        self._scaled = self.X_train_ / self._lengths
        return self

    def predict(
        self,
        X: Any,
        return_std: bool = False,
        return_cov: bool = False,
        return_mean_grad: bool = False,
        return_std_grad: bool = False,
    ) -> Any:
        """Return the mean and, as asked for, standard deviation and both gradients."""
        if return_cov or not hasattr(self, "X_train_"):
            return super().predict(X, return_std, return_cov, return_mean_grad, return_std_grad)
        scaled = np.asarray(X) / self._lengths
        r = _distances(scaled, self._scaled)
        decay = self._constant * np.exp(-r)
        kernel = (1 + r + r**2 / 3) * decay
        scale = self.y_train_std_
        results = [scale * (kernel @ self.alpha_) + self.y_train_mean_]
        if return_std:
            explained = kernel @ self.K_inv_
            variance = self._constant - np.einsum("ij,ij->i", explained, kernel)
            std = np.sqrt(np.maximum(variance, 0)) * scale
            results.append(std)
        if return_mean_grad:
            slope = ((5 / 3) * (1 + r) * decay)[0][:, None] * (self._scaled - scaled)
            gradient = slope / self._lengths
            results.append(scale * (self.alpha_ @ gradient))
            if return_std_grad:
                rising = std[0] > 0
                by_std = (
                    -(scale**2) * (explained[0] @ gradient) / std[0] if rising else 0 * scaled[0]
                )
                results.append(by_std)
        return results[0] if len(results) == 1 else tuple(results)


def gaussian_process(dimensions: list[Any], random_state: Any) -> Any:
    """Return scikit-optimize's Gaussian process for a space, in closed form where it has one."""
    seed = random_state.randint(0, np.iinfo(np.int32).max)
    process = cook_estimator("GP", space=dimensions, random_state=seed)
    if all(isinstance(dimension, Categorical) for dimension in dimensions):
        return process
    return MaternProcess(**process.set_params(n_restarts_optimizer=1).get_params(deep=False))


def _unpacked(params: NDArray[np.float64]) -> Any:
    return params[0], params[1:-1], params[-1]


def _distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Euclidean distances times the square root of 5."""
    square = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.sqrt(5 * np.maximum(square, 0))
