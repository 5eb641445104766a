"""Stochastic variational Gaussian process in minibatches, by gpytorch."""

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skhep_ml._extras import import_extra
from skhep_ml.gaussian_process._kernels import covariance, variance, white_noise
from skhep_ml.gaussian_process._posterior import Data, Posterior, blocks, cholesky

_JITTER = 1e-6
# expectations under a normal, by quadrature
_NODES, _NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(20)


def _import_gpytorch() -> Any:
    with warnings.catch_warnings():
        # its own compiled parts use what torch is about to replace
        warnings.simplefilter("ignore", DeprecationWarning)
        return import_extra("gpytorch", "gp")


def _variational(gpytorch: Any, kernel: Any, points: Tensor) -> Any:
    """Inducing points, free to move, with a Gaussian of free mean and covariance."""

    class TorchKernel(gpytorch.kernels.Kernel):
        def __init__(self) -> None:
            super().__init__()
            self.theta = torch.nn.Parameter(torch.as_tensor(kernel.theta))

        def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **_: Any) -> Tensor:
            if diag:
                return variance(kernel, self.theta, x1, noise=False)
            return covariance(kernel, self.theta, x1, x2)

    class Variational(gpytorch.models.ApproximateGP):
        def __init__(self) -> None:
            distribution = gpytorch.variational.NaturalVariationalDistribution(
                len(points), mean_init_std=0
            )
            strategy = gpytorch.variational.VariationalStrategy(
                self, points, distribution, learn_inducing_locations=True, jitter_val=_JITTER
            )
            super().__init__(strategy)
            self.covariance = TorchKernel()

        def forward(self, x: Tensor) -> Any:
            zero = x.new_zeros(len(x))
            return gpytorch.distributions.MultivariateNormal(zero, self.covariance(x))

    return Variational().to(points)


class Svgp:
    """Natural gradients for the distribution, Adam for hyperparameters and inducing points."""

    def __init__(self, kernel: Any, data: Data, points: NDArray[np.float64], binary: bool) -> None:
        self.kernel, self.data = kernel, data
        start = torch.as_tensor(points, dtype=torch.float64, device=data.X.device)
        self.gpytorch = _import_gpytorch()
        self.model = _variational(self.gpytorch, kernel, start)
        self.binary = binary
        self.bounds = torch.as_tensor(kernel.bounds, device=data.X.device)

    def _expected(
        self, X: Tensor, mean: Tensor, spread: Tensor, rows: Any, target: Tensor
    ) -> Tensor:
        """Expected log likelihood of each event under a normal of the function there."""
        theta = self.model.covariance.theta
        noise = white_noise(self.kernel, theta, X)
        weight = self.data.weight[rows]
        if self.binary:
            nodes, shares = mean.new_tensor(_NODES), mean.new_tensor(_NODE_WEIGHTS)
            f = mean[:, None] + (spread + noise).sqrt()[:, None] * nodes
            log_loss = torch.nn.functional.logsigmoid(target[rows, None] * f)
            return weight * (log_loss @ shares / shares.sum())
        noise = (self.data.alpha[rows] + noise) / weight
        squared = (target[rows] - mean) ** 2 + spread
        return -0.5 * ((2 * torch.pi * noise).log() + squared / noise)

    def learn(
        self,
        target: Tensor,
        *,
        batch_size: int,
        max_epochs: int,
        learning_rate: float,
        fixed: bool,
        seed: int,
        verbose: bool,
    ) -> None:
        """Minibatch steps; ``fixed`` leaves the kernel as it is."""
        n = len(target)
        natural = self.gpytorch.optim.NGD(self.model.variational_parameters(), num_data=n, lr=0.1)
        moving = [p for p in self.model.hyperparameters() if p.numel()]
        if fixed:
            moving = [p for p in moving if p is not self.model.covariance.theta]
        adam = torch.optim.Adam(moving, lr=learning_rate)
        generator = torch.Generator().manual_seed(seed)
        epochs: Any = range(max_epochs)
        if verbose:
            from tqdm.auto import tqdm

            epochs = tqdm(epochs, desc="epochs", leave=False)
        self.model.train()
        for _ in epochs:
            order = torch.randperm(n, generator=generator).to(target.device)
            for rows in order.split(batch_size):
                natural.zero_grad()
                adam.zero_grad()
                X = self.data.X[rows].double()
                q = self.model(X)
                likelihood = self._expected(X, q.mean, q.variance, rows, target).mean()
                divergence = self.model.variational_strategy.kl_divergence() / n
                (divergence - likelihood).backward()
                natural.step()
                adam.step()
                with torch.no_grad():
                    theta = self.model.covariance.theta
                    if len(theta):
                        theta.clamp_(self.bounds[:, 0], self.bounds[:, 1])

    @torch.no_grad()
    def finish(self, target: Tensor) -> tuple[Posterior, float]:
        """What predictions need, and the bound on all events."""
        self.model.eval()
        theta = self.model.covariance.theta
        points = self.model.variational_strategy.inducing_points
        q = self.model.variational_strategy.variational_distribution
        identity = torch.eye(len(points), dtype=points.dtype, device=points.device)
        prior = covariance(self.kernel, theta, points, points) + _JITTER * identity
        factor = cholesky(prior, "the covariance of the inducing points")
        beta = torch.linalg.solve_triangular(factor.T, q.mean[:, None], upper=True)[:, 0]
        inner = cholesky(q.covariance_matrix, "the variational covariance").T
        kernel = self.kernel.clone_with_theta(theta.cpu().numpy())
        parts = (part.cpu().numpy() for part in (points, factor, beta, inner))
        posterior = Posterior(kernel, *parts)
        value = -float(self.model.variational_strategy.kl_divergence())
        for rows in blocks(len(target), len(points)):
            X = self.data.X[rows].double()
            v = torch.linalg.solve_triangular(
                factor, covariance(self.kernel, theta, points, X), upper=False
            )
            spread = variance(self.kernel, theta, X, noise=False) - (v * v).sum(0)
            spread = (spread + ((inner @ v) ** 2).sum(0)).clamp_min(1e-12)
            value += float(self._expected(X, v.T @ q.mean, spread, rows, target).sum())
        return posterior, value
