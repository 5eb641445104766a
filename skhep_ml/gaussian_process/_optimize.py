"""Hyperparameters by maximal evidence."""

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from skhep_ml.gaussian_process._mean import MeanFunction
from skhep_ml.gaussian_process._posterior import NotPositiveError


class Learned(NamedTuple):
    """Result of `maximise_evidence`: logarithms of kernel parameters, and moves of the mean."""

    theta: NDArray[np.float64]
    moves: NDArray[np.float64]
    n_iter: int


def maximise_evidence(
    engine: Any,
    residual: NDArray[np.float64],
    mean: MeanFunction | None,
    X: NDArray[Any],
    *,
    n_restarts: int,
    max_iter: int,
    rng: Any,
    verbose: bool,
) -> Learned:
    """L-BFGS over the kernel's free parameters and those of the mean function, with bounds.

    ``engine.gradients`` gives the evidence, ``residual`` is what the mean function as it starts
    leaves over.
    """
    kernel = engine.kernel
    n_theta = kernel.n_dims
    n_moves = 0 if mean is None else mean.n_moves
    start = np.concatenate([kernel.theta, np.zeros(n_moves)])
    if not len(start):
        return Learned(kernel.theta, start, 0)
    bounds = np.tile([-np.inf, np.inf], (len(start), 1))
    with np.errstate(divide="ignore"):  # bounds may be 0
        bounds[:n_theta] = np.reshape(kernel.bounds, (n_theta, 2))
    device = engine.data.X.device

    def loss(vector: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        theta = torch.tensor(vector[:n_theta], device=device, requires_grad=True)
        r = residual
        if n_moves:
            assert mean is not None
            r = residual - mean.change(X, vector[n_theta:])
        left = torch.tensor(r, device=device, requires_grad=n_moves > 0)
        value = engine.gradients(theta, left)
        slope = np.zeros(n_theta) if theta.grad is None else theta.grad.cpu().numpy()
        if n_moves:
            assert mean is not None
            assert left.grad is not None
            slope_moves = -mean.slopes(X, vector[n_theta:]).T @ left.grad.cpu().numpy()
            slope = np.concatenate([slope, slope_moves])
        return -value, -slope

    def careful(vector: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        try:
            return loss(vector)
        except NotPositiveError:
            # a step went where rounding spoils the matrix: the line search turns back
            return np.inf, np.zeros(len(vector))

    loss(start)  # raises where the kernel as given does not work
    starts = [start]
    for _ in range(n_restarts):
        if not np.isfinite(bounds[:n_theta]).all():
            msg = "n_restarts_optimizer needs finite bounds of all kernel parameters"
            raise ValueError(msg)
        drawn = rng.uniform(bounds[:n_theta, 0], bounds[:n_theta, 1])
        starts.append(np.concatenate([drawn, np.zeros(n_moves)]))
    best: Any = None
    for point in starts:
        found = _lbfgs(careful, point, bounds, max_iter, verbose)
        if best is None or found.fun < best.fun:
            best = found
    if best.status == 1:
        msg = (
            f"the hyperparameters still moved after max_iter={max_iter} iterations: raise "
            "max_iter, or start the kernel nearer to the answer"
        )
        warnings.warn(msg, ConvergenceWarning, stacklevel=2)
    shortest = _length_scales_at_lower_bound(kernel, best.x[:n_theta], bounds)
    if shortest:
        msg = (
            f"{' and '.join(shortest)} ended at the lower bound: neighbouring events look "
            "independent, and the mean hardly leaves the mean function; add noise (WhiteKernel or "
            "alpha), start the kernel elsewhere, or lower the bound if such structure is wanted"
        )
        warnings.warn(msg, ConvergenceWarning, stacklevel=4)
    return Learned(best.x[:n_theta], best.x[n_theta:], int(best.nit))


def _length_scales_at_lower_bound(
    kernel: Any, theta: NDArray[np.float64], bounds: NDArray[np.float64]
) -> list[str]:
    """Names and values of the length scales that a fit has made as short as it may."""
    found, start = [], 0
    for parameter in kernel.hyperparameters:
        if parameter.fixed:
            continue
        part = slice(start, start + parameter.n_elements)
        start = part.stop
        least = np.exp(bounds[part, 0])
        at_bound = np.exp(theta[part]) <= least * (1 + 1e-6)
        if parameter.name.endswith("length_scale") and at_bound.any():
            found.append(f"{parameter.name}={least[at_bound][0]:.3g}")
    return found


def _lbfgs(loss: Any, start: Any, bounds: Any, max_iter: int, verbose: bool) -> Any:
    options = {"maxiter": max_iter}
    if not verbose:
        return minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    from tqdm.auto import tqdm

    with tqdm(total=max_iter, desc="hyperparameters", leave=False) as bar:
        return minimize(
            loss,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options=options,
            callback=lambda intermediate_result: bar.update(),
        )
