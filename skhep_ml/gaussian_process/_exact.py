"""Exact regression and Laplace classification: matrices of all events."""

import itertools
import math
from typing import Any

import torch
from torch import Tensor

from skhep_ml.gaussian_process._kernels import covariance, white_noise
from skhep_ml.gaussian_process._posterior import Data, Posterior, cholesky

_MAX_NEWTON = 100


class Exact:
    r"""Log marginal likelihood of y = f(X) + noise, noise variance (alpha + white) / weight."""

    def __init__(self, kernel: Any, data: Data) -> None:
        self.kernel, self.data = kernel, data
        self.X = data.X.double()

    def _covariance(self, theta: Tensor) -> Tensor:
        noise = (self.data.alpha + white_noise(self.kernel, theta, self.X)) / self.data.weight
        return covariance(self.kernel, theta, self.X, self.X) + torch.diag(noise)

    def _solve(self, full: Tensor, residual: Tensor) -> tuple[Tensor, Tensor, float]:
        """Factor of the covariance, its inverse times the residuals, and the evidence."""
        factor = cholesky(full, "the covariance of the events")
        beta = torch.cholesky_solve(residual[:, None], factor)[:, 0]
        log_det = (2 * math.pi * factor.diagonal() ** 2).log().sum()
        return factor, beta, -0.5 * float((residual * beta).sum() + log_det)

    def gradients(self, theta: Tensor, residual: Tensor) -> float:
        """Evidence at the hyperparameters; gradients of it are added to both arguments."""
        full = self._covariance(theta)
        with torch.no_grad():
            factor, beta, value = self._solve(full, residual)
            slope = 0.5 * (torch.outer(beta, beta) - torch.cholesky_inverse(factor))
        if full.requires_grad:
            full.backward(slope)
        if residual.requires_grad:
            residual.backward(-beta)
        return value

    @torch.no_grad()
    def finish(self, residual: Tensor) -> tuple[Posterior, float]:
        """What predictions need, and the evidence."""
        theta = torch.as_tensor(self.kernel.theta, device=self.X.device)
        factor, beta, value = self._solve(self._covariance(theta), residual)
        parts = (part.cpu().numpy() for part in (self.X, factor, beta))
        return Posterior(self.kernel, *parts), value


class Laplace:
    r"""Laplace's approximation for two classes, target -1 or 1, with weighted log loss.

    The mode maximises :math:`\sum_i w_i \log\sigma(y_i f_i) - f^TK^{-1}f/2` (Rasmussen and
    Williams, algorithms 3.1 and 5.1).
    """

    def __init__(self, kernel: Any, data: Data) -> None:
        self.kernel, self.data = kernel, data
        self.X = data.X.double()
        self.mode = torch.zeros_like(data.target)

    def _covariance(self, theta: Tensor) -> Tensor:
        noise = white_noise(self.kernel, theta, self.X)
        return covariance(self.kernel, theta, self.X, self.X) + torch.diag(noise)

    def _slopes(self, f: Tensor) -> tuple[Tensor, Tensor]:
        """First derivative and minus the second one of the weighted log likelihood."""
        p = torch.sigmoid(f)
        slope = self.data.weight * (0.5 * (self.data.target + 1) - p)
        return slope, (self.data.weight * p * (1 - p)).clamp_min(1e-12)

    def _newton(self, K: Tensor, f: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One Newton step from f: new f, K^-1 f there, and the factor of 1 + W^1/2 K W^1/2."""
        slope, curvature = self._slopes(f)
        root = curvature.sqrt()
        inner = torch.eye(len(f), dtype=f.dtype, device=f.device) + root[:, None] * K * root
        factor = cholesky(inner, "the covariance of the events")
        b = curvature * f + slope
        a = b - root * torch.cholesky_solve((root * (K @ b))[:, None], factor)[:, 0]
        return K @ a, a, factor

    def _objective(self, f: Tensor, a: Tensor) -> Tensor:
        loss = self.data.weight * torch.nn.functional.softplus(-self.data.target * f)
        return -loss.sum() - 0.5 * (a * f).sum()

    @torch.no_grad()
    def _find_mode(self, K: Tensor) -> Tensor:
        f, a = torch.zeros_like(self.mode), torch.zeros_like(self.mode)
        best = self._objective(f, a)
        for _ in range(_MAX_NEWTON):
            new_f, new_a, _ = self._newton(K, f)
            value = self._objective(new_f, new_a)
            # the objective is concave in f: half the step until it grows
            while value < best - 1e-10 * best.abs() and float((new_f - f).abs().max()) > 1e-8:
                new_f, new_a = 0.5 * (f + new_f), 0.5 * (a + new_a)
                value = self._objective(new_f, new_a)
            f, a, gain = new_f, new_a, value - best
            best = value
            if gain < 1e-10 * best.abs():
                break
        return f

    def _evidence(self, theta: Tensor) -> Tensor:
        K = self._covariance(theta)
        mode = self._find_mode(K.detach())
        # a step from the mode stays there, and its derivative is that of the mode itself
        f, a, _ = self._newton(K, mode)
        root = self._slopes(f)[1].sqrt()
        inner = torch.eye(len(f), dtype=f.dtype, device=f.device) + root[:, None] * K * root
        half_log_det = cholesky(inner, "the covariance of the events").diagonal().log().sum()
        return self._objective(f, a) - half_log_det

    def gradients(self, theta: Tensor, residual: Tensor) -> float:
        """Approximate evidence; its gradient is added to theta's."""
        value = self._evidence(theta)
        value.backward()
        return float(value.detach())

    @torch.no_grad()
    def finish(self, residual: Tensor) -> tuple[Posterior, float]:
        """What predictions need, and the approximate evidence."""
        theta = torch.as_tensor(self.kernel.theta, device=self.X.device)
        K = self._covariance(theta)
        f = self._find_mode(K)
        slope, curvature = self._slopes(f)
        # K + W^-1 = factor factor^T
        factor = self._newton(K, f)[2] / curvature.sqrt()[:, None]
        parts = (part.cpu().numpy() for part in (self.X, factor, slope))
        return Posterior(self.kernel, *parts), float(self._evidence(theta))


class Blocks:
    """Sum of the evidence of blocks of events, each on its own: time linear in the events.

    Hyperparameters only: that blocks know nothing of each other costs precision, not bias.
    """

    def __init__(self, make: Any, kernel: Any, data: Data, size: int) -> None:
        self.kernel, self.data = kernel, data
        n_blocks = max(1, round(len(data.target) / size))
        edges = [len(data.target) * k // n_blocks for k in range(n_blocks + 1)]
        self.rows = [slice(*pair) for pair in itertools.pairwise(edges)]
        self.parts = [make(kernel, data.take(rows)) for rows in self.rows]

    def gradients(self, theta: Tensor, residual: Tensor) -> float:
        """Evidence at the hyperparameters; gradients of it are added to both arguments."""
        pairs = zip(self.parts, self.rows, strict=True)
        return sum(part.gradients(theta, residual[rows]) for part, rows in pairs)
