"""Inducing points with the best possible distribution over them, in blocks of events.

The bounds are collapsed: given the hyperparameters, the optimal distribution of the function at the
inducing points follows in closed form from sums over events, so that there are no steps, rates and
minibatches to choose. Hyperparameters come in as they are: maximising these bounds over them would
explain structure as noise where the points are too few, which exact evidence of blocks does not.
Cost: n_events * n_inducing**2, memory: n_inducing**2 and one block.
"""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor

from skhep_ml.gaussian_process._kernels import covariance, spread, variance, white_noise
from skhep_ml.gaussian_process._posterior import Data, Posterior, blocks, cholesky

# added to the diagonal of the inducing points' covariance, in units of its mean
_JITTER = 1e-8
# k-means sees so many events for each centre
_EVENTS_A_CENTRE = 40
# move of a feature, in units of its spread, that shows how fast the function varies with it
_MOVE = 0.05
_MOVED_EVENTS = 200


def inducing_points(X: NDArray[Any], kernel: Any, n_points: int, rng: Any) -> NDArray[np.float64]:
    """Where to follow the function: centres of k-means, dense along features that matter.

    All different events if these are few.
    """
    n_sample = min(len(X), _EVENTS_A_CENTRE * n_points)
    sample = X if n_sample == len(X) else X[rng.choice(len(X), n_sample, replace=False)]
    sample = np.unique(np.asarray(sample, dtype=np.float64), axis=0)
    seed = int(rng.randint(2**31 - 1))
    if len(sample) <= n_points:
        return sample
    rate = _variation(kernel, sample)
    means = MiniBatchKMeans(n_points, random_state=seed, n_init=1, batch_size=4096, max_iter=20)
    return means.fit(sample * rate).cluster_centers_ / rate


@torch.no_grad()
def _variation(kernel: Any, X: NDArray[np.float64]) -> NDArray[np.float64]:
    """How fast the function varies with each feature: 1 / length scale where there is one."""
    rows = np.linspace(0, len(X) - 1, min(len(X), _MOVED_EVENTS)).astype(np.intp)
    theta, here, width = torch.as_tensor(kernel.theta), torch.as_tensor(X[rows]), spread(X)
    rates = []
    for k in range(X.shape[1]):
        there = here.clone()
        there[:, k] += _MOVE * width[k]
        both = variance(kernel, theta, here, noise=False)
        both = both * variance(kernel, theta, there, noise=False)
        correlation = covariance(kernel, theta, here, there).diagonal() / both.sqrt()
        change = (2 * (1 - correlation.nan_to_num(1.0))).clamp_min(0).sqrt().mean()
        rates.append(float(change) / (_MOVE * width[k]))
    rate = np.array(rates) * width
    # features that do not matter must not vanish: the centres are divided by this again
    return np.maximum(rate, 1e-3 * max(rate.max(), 1e-6)) / width


class Sparse:
    r"""Titsias' bound on the log marginal likelihood, with a noise variance for each event.

    With :math:`V = L^{-1}K_{uf}`, :math:`LL^T = K_{uu}`, noise S and residuals r:
    :math:`\Phi = VS^{-1}V^T`, :math:`b = VS^{-1}r`, :math:`B = 1 + \Phi` and
    :math:`2F = b^TB^{-1}b - \log|B| + \mathrm{tr}\Phi
    - \sum_i [\log 2\pi s_i + (r_i^2 + k_{ii}) / s_i]`.
    """

    def __init__(self, kernel: Any, data: Data, points: NDArray[np.float64]) -> None:
        self.kernel, self.data = kernel, data
        self.points = torch.as_tensor(points, dtype=torch.float64, device=data.X.device)
        self.theta = torch.as_tensor(kernel.theta, device=data.X.device)

    def _factor(self) -> Tensor:
        full = covariance(self.kernel, self.theta, self.points, self.points)
        jitter = _JITTER * full.diagonal().mean() * torch.ones_like(full.diagonal())
        return cholesky(full + torch.diag(jitter), "the covariance of the inducing points")

    def _block(self, factor: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
        """Features and whitened covariances V of one block."""
        X = self.data.X[rows].double()
        cross = covariance(self.kernel, self.theta, self.points, X)
        return X, torch.linalg.solve_triangular(factor, cross, upper=False)

    def _noise(self, X: Tensor, rows: slice) -> Tensor:
        white = white_noise(self.kernel, self.theta, X)
        return (self.data.alpha[rows] + white) / self.data.weight[rows]

    def _prior(self, X: Tensor) -> Tensor:
        return variance(self.kernel, self.theta, X, noise=False)

    @torch.no_grad()
    def _sums(self, factor: Tensor, residual: Tensor) -> tuple[Tensor, Tensor, float]:
        """Phi, b and the sum over single events."""
        m = len(self.points)
        phi, b, single = factor.new_zeros(m, m), factor.new_zeros(m), 0.0
        for rows in blocks(len(residual), m):
            X, v = self._block(factor, rows)
            noise, r = self._noise(X, rows), residual[rows]
            scaled = v / noise
            phi += scaled @ v.T
            b += scaled @ r
            per_event = (2 * math.pi * noise).log() + (r * r + self._prior(X)) / noise
            single += float(per_event.sum())
        return phi, b, single

    def _solve(self, phi: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Factor of B, and B's factor^-1 b."""
        inner = cholesky(torch.eye(len(b), dtype=b.dtype, device=b.device) + phi, "1 + Phi")
        return inner, torch.linalg.solve_triangular(inner, b[:, None], upper=False)[:, 0]

    def _collapsed(self, phi: Tensor, b: Tensor) -> Tensor:
        inner, c = self._solve(phi, b)
        return 0.5 * ((c * c).sum() + phi.trace()) - inner.diagonal().log().sum()

    @torch.no_grad()
    def finish(self, residual: Tensor) -> tuple[Posterior, float]:
        """What predictions need, and the bound."""
        factor = self._factor()
        phi, b, single = self._sums(factor, residual)
        inner, c = self._solve(phi, b)
        white = torch.linalg.solve_triangular(inner.T, c[:, None], upper=True)
        beta = torch.linalg.solve_triangular(factor.T, white, upper=True)[:, 0]
        identity = torch.eye(len(c), dtype=c.dtype, device=c.device)
        back = torch.linalg.solve_triangular(inner, identity, upper=False)
        parts = (part.cpu().numpy() for part in (self.points, factor, beta, back))
        return Posterior(self.kernel, *parts), float(self._collapsed(phi, b)) - 0.5 * single


class SparseLogistic(Sparse):
    r"""Bound for two classes, target -1 or 1, with weighted log loss.

    :math:`\log\sigma(yf) \ge \log\sigma(c) + (yf - c)/2 - \lambda(c)(f^2 - c^2)`,
    :math:`\lambda(c) = \tanh(c/2)/4c` (Jaakkola and Jordan), turns each event into a measurement
    of f: :math:`y/4\lambda` with variance :math:`1/2\lambda w`. The best c is
    :math:`\sqrt{E[f^2]}`.
    """

    _MAX_ROUNDS = 100
    # a round that gains less than so much for each event is the last
    _TOLERANCE = 1e-6

    def __init__(self, kernel: Any, data: Data, points: NDArray[np.float64]) -> None:
        super().__init__(kernel, data, points)
        self.tilt = torch.ones_like(data.target)

    def _curvature(self) -> Tensor:
        # tanh(c/2) / 4c, which goes to 1/8 at 0
        c = self.tilt.clamp_min(1e-6)
        return torch.tanh(0.5 * c) / (4 * c)

    def _noise(self, X: Tensor, rows: slice) -> Tensor:
        return 1 / (2 * self._curvature()[rows] * self.data.weight[rows])

    def _prior(self, X: Tensor) -> Tensor:
        return variance(self.kernel, self.theta, X, noise=True)

    def _measured(self) -> Tensor:
        return self.data.target / (4 * self._curvature())

    def _rest(self) -> float:
        """What the bound has beyond that of the measurements."""
        lam, c, w = self._curvature(), self.tilt, self.data.weight
        log_loss = torch.nn.functional.logsigmoid(c) - 0.5 * c + lam * c * c + 1 / (16 * lam)
        return float((w * log_loss).sum() + 0.5 * (math.pi / (lam * w)).log().sum())

    @torch.no_grad()
    def _tighten(self) -> None:
        """Rounds of optimal distribution and optimal c, until the bound stands still."""
        factor, value = self._factor(), -math.inf
        for _ in range(self._MAX_ROUNDS):
            phi, b, single = self._sums(factor, self._measured())
            inner, c = self._solve(phi, b)
            last, value = value, float(self._collapsed(phi, b)) - 0.5 * single + self._rest()
            if value - last < self._TOLERANCE * len(self.tilt):
                return
            for rows in blocks(len(self.tilt), len(self.points)):
                X, v = self._block(factor, rows)
                w = torch.linalg.solve_triangular(inner, v, upper=False)
                left = (self._prior(X) - (v * v).sum(0)).clamp_min(0)
                self.tilt[rows] = ((c @ w) ** 2 + left + (w * w).sum(0)).sqrt()

    @torch.no_grad()
    def finish(self, residual: Tensor) -> tuple[Posterior, float]:
        """What predictions need, and the bound."""
        self._tighten()
        posterior, value = super().finish(self._measured())
        return posterior, value + self._rest()
