"""A fitted Gaussian process: what all methods leave behind, and predictions from it."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skhep_ml.gaussian_process._kernels import covariance, variance

# entries of the largest block of covariances held at once
_BLOCK = 2**22


class Data(NamedTuple):
    """Events on the device: features in their own precision, the rest in float64."""

    X: Tensor
    target: Tensor
    alpha: Tensor
    weight: Tensor

    def take(self, rows: Any) -> "Data":
        """The same of some events."""
        return Data(*(part[rows] for part in self))


def blocks(n_rows: int, n_columns: int) -> list[slice]:
    """Slices of rows whose covariances with ``n_columns`` points fit in memory."""
    step = max(1, _BLOCK // max(n_columns, 1))
    return [slice(start, start + step) for start in range(0, n_rows, step)]


def cholesky(matrix: Tensor, what: str) -> Tensor:
    """Lower factor, or a ValueError that says what to do."""
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if failed:
        msg = (
            f"{what} is not positive within rounding: add noise (alpha=, or WhiteKernel), or take "
            "away repeated or constant parts of the kernel"
        )
        raise NotPositiveError(msg)
    return factor


class NotPositiveError(ValueError):
    """A covariance matrix without Cholesky factor."""


@dataclass
class Posterior:
    r"""Mean :math:`k(x,Z)\beta` and covariance :math:`k(x,x) - v^Tv + (Rv)^TRv`, v = L^-1 k(Z,x).

    Arrays live on the host, so that a model fitted on a GPU loads anywhere.
    """

    kernel: Any
    points: NDArray[np.float64]
    factor: NDArray[np.float64]
    beta: NDArray[np.float64]
    inner: NDArray[np.float64] | None = None

    def moments(
        self, X: NDArray[Any], device: str, *, spread: str | None = None, noise: bool = True
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Mean, and with ``spread`` "variance" or "covariance" that too."""
        on: Any = {"dtype": torch.float64, "device": device}
        theta = torch.as_tensor(self.kernel.theta, **on)
        points, factor = torch.as_tensor(self.points, **on), torch.as_tensor(self.factor, **on)
        beta = torch.as_tensor(self.beta, **on)
        inner = None if self.inner is None else torch.as_tensor(self.inner, **on)

        def part(rows: Any) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
            x = torch.tensor(X[rows], **on)  # a copy: X may be read-only
            cross = covariance(self.kernel, theta, points, x)
            if spread is None:
                return x, cross.T @ beta, cross, None
            v = torch.linalg.solve_triangular(factor, cross, upper=False)
            return x, cross.T @ beta, v, None if inner is None else inner @ v

        means, variances = [], []
        if spread == "covariance":
            x, mean, v, w = part(slice(None))
            full = covariance(self.kernel, theta, x, x) - v.T @ v
            if w is not None:
                full = full + w.T @ w
            full = 0.5 * (full + full.T)
            if noise:
                both = variance(self.kernel, theta, x, noise=True)
                full = full + torch.diag(both - variance(self.kernel, theta, x, noise=False))
            return mean.cpu().numpy(), full.cpu().numpy()
        for rows in blocks(len(X), len(self.points)):
            x, mean, v, w = part(rows)
            means.append(mean)
            if spread is not None:
                single = variance(self.kernel, theta, x, noise=noise) - (v * v).sum(0)
                variances.append(single if w is None else single + (w * w).sum(0))
        joined = torch.cat(means).cpu().numpy()
        if spread is None:
            return joined, None
        return joined, torch.cat(variances).clamp_min(0).cpu().numpy()


def draw(
    mean: NDArray[np.float64], covariance: NDArray[np.float64], n_samples: int, rng: Any
) -> NDArray[np.float64]:
    """Draws of a multivariate normal, shape (len(mean), n_samples)."""
    # a covariance of smooth functions is singular within rounding: eigenvalues may be -1e-16
    values, vectors = np.linalg.eigh(covariance)
    normal = rng.standard_normal((len(mean), n_samples))
    return mean[:, None] + vectors @ (np.sqrt(np.maximum(values, 0))[:, None] * normal)
