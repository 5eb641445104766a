"""Flow matching: a velocity field that carries noise to events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from skhep_ml.generative._layout import Spec
from skhep_ml.generative._networks import draw, make_network, per_event, squared_distance
from skhep_ml.generative._noise_to_events import NoiseToEvents
from skhep_ml.generative._ode import SOLVERS, even_times, integrate
from skhep_ml.neural_network.modules._checks import check_choice


class VelocityModule(nn.Module):
    """Loss of conditional flow matching with straight paths.

    Parameters
    ----------
    network : nn.Module
        Velocity (x, t, context).
    transport : bool
        Whether each batch is paired with its noise by optimal transport.
    """

    def __init__(self, network: nn.Module, transport: bool) -> None:
        super().__init__()
        self.network = network
        self.transport = transport

    def forward(self, X: Tensor, context: Tensor | None = None) -> Tensor:
        """Squared distance between the velocity and that of a straight path, for each event."""
        noise, t = draw(X, self.training)
        if self.transport:
            noise = noise[_partners(noise, X)]
        x = torch.lerp(noise, X, per_event(t, X))
        return squared_distance(self.network(x, t, context), X - noise)


def _partners(noise: Tensor, X: Tensor) -> Tensor:
    """Row of the noise for each event, so that the sum of squared distances is least."""
    cost = torch.cdist(X.flatten(1), noise.flatten(1)).square()
    _, columns = linear_sum_assignment(cost.cpu().numpy())
    return torch.from_numpy(columns).to(X.device)


class FlowMatching(NoiseToEvents):
    r"""Flow matching: a velocity field that carries normal noise to events along straight paths.

    Parameters
    ----------
    method : {"net", "bdt"}, default="net"
        A network, or boosted trees: a model for each of a few times. Trees generate tables without
        a density, and ignore the parameters of training from ``lr`` to ``max_grad_norm``, and
        ``checkpoint``.
    hidden : tuple of int, default=None
        Widths: a table takes residual blocks of one width (default 128, 128, 128), a cloud blocks
        of attention of one width (64, 64, 64), an image the channels of its resolutions (16, 32).
    n_steps : int, default=8
        Steps of sampling with a network.
    solver : {"euler", "midpoint", "heun", "rk4"}, default="midpoint"
        Method of a step, with 1, 2, 2 and 4 evaluations. Trees step from level to level, with
        "midpoint" and "rk4" over two of them.
    minibatch_transport : bool, default=False
        Pair events and noise of every batch by optimal transport, for straighter paths. For tables
        and images without context, and equal weights.
    density_steps : int, default=20
        Steps of ``score_samples``, of the method of Runge and Kutta of order 4.
    n_levels : int, default=21
        Times at which trees are trained, for ``method="bdt"``; an odd number for "midpoint" and
        "rk4".
    n_noise : int, default=10
        Copies of every event, each with noise of its own, that trees are trained on.
    bdt_params : dict, default=None
        Parameters of xgboost in the place of 100 ``n_estimators`` of ``max_depth`` 6 with
        ``learning_rate`` 0.3 and ``max_bin`` 128, "nthread" among them.
    context_features : str, int or list, default=None
        Columns that condition and are not generated, by name or position; of Events the names of
        arrays.
    domains : dict, default=None
        Boundaries of columns, by name or position: "positive"; "nonnegative" where there are exact
        zeros; (low, high) with None for an open end; "periodic" or ("periodic", period) for angles;
        "integer" for counts, or ("integer", low, high). See the user guide for the maps behind
        them.
    lr : float, default=1e-3
        Learning rate, the largest one where a schedule changes it.
    weight_decay : float, default=0.0
        Decoupled weight decay.
    schedule : str, default="cosine"
        Learning rate by epoch, as in `skhep_ml.neural_network.NetRegressor`.
    max_epochs : int, default=100
        Passes over the events; an upper limit under early stopping.
    batch_size : int or "auto", default=512
        Events in a training step; small batches take longer. "auto" is a power of two near n / 128.
    early_stopping : bool, default=False
        Stop when the loss of held-out events no longer improves, and restore the best weights.
    validation_fraction : float, default=0.2
        Fraction of events held out for it, by ``groups`` where given.
    patience : int, default=10
        Epochs without improvement before the end.
    ema_decay : float, default=0.999
        Decay of the moving average of the weights that samples and densities come from; None for
        the last weights.
    max_grad_norm : float, default=None
        Length to which longer gradients are cut.
    negative_weights : {"refine", "keep", "pair", "cell", "drop", "abs", "raise"}, default="refine"
        What training does with negative weights, see `skhep_ml.weights.apply_negative_weights`.
        Trees take none of it under "keep".
    weight_scale : {"mean", None}, default="mean"
        Divide weights by their mean abs(w), so that their unit does not matter; None passes them.
    weight_cap : float, default=None
        Quantile of abs(w) at which training limits abs(w); a warning says what that takes away.
    checkpoint : path, default=None
        File that holds the state of training; a fit that finds it there continues. Needs an integer
        ``random_state``.
    salt : int, default=0
        Salt of the splits by event identifiers (early stopping, refinement).
    device : str, default="auto"
        "cpu", "cuda", "cuda:1", ...; "auto" takes a GPU where one is.
    random_state : int, RandomState instance or None, default=None
        Seed of training.
    verbose : int, default=0
        Above 0: a line an epoch.

    Attributes
    ----------
    net_ : EventNet
        The trained net, a skorch net; ``net_.module_`` is the torch module, with ``method="net"``.
    history_ : skorch.history.History
        Losses, rates, durations of every epoch, with ``method="net"``.
    boosters_ : list of xgboost.Booster
        With ``method="bdt"``: trees of every level.
    generated_indices_, context_indices_ : ndarray of int
        Positions of the columns that are generated, and of those that condition.
    spec_ : Spec
        Kind and shape of what is generated, and the number of conditions.
    n_features_in_ : int
        Columns of a table, features of a particle, channels of an image, or number of arrays.
    feature_names_in_ : ndarray of str
        Columns, if fitted on a DataFrame with names.

    See Also
    --------
    NormalizingFlow : Exact densities in a single pass.
    Diffusion : Denoising in small steps.
    sample_pipeline : Samples of a Pipeline.

    Notes
    -----
    With noise :math:`x_0`, an event :math:`x_1` and :math:`x_t = (1 - t) x_0 + t x_1`, the network
    v minimises

    .. math:: E \left| v(x_t, t, c) - (x_1 - x_0) \right|^2 ,

    and an event is the solution of dx/dt = v(x, t, c) at t = 1 that begins with noise. The density
    follows from

    .. math:: \ln p(x_1) = \ln N(x_0; 0, 1) - \int_0^1 \nabla \cdot v(x_t, t, c) \, dt ,

    with the divergence summed over all columns, on tables. Trees learn the same target at fixed
    times, from events that are repeated with different noise.

    References
    ----------
    Y. Lipman, R. T. Q. Chen, H. Ben-Hamu, M. Nickel, M. Le, Flow matching for generative modeling,
    arXiv:2210.02747.

    A. Tong et al., Improving and generalizing flow-based generative models with minibatch optimal
    transport, arXiv:2302.00482.

    A. Jolicoeur-Martineau, K. Fatras, T. Kachman, Generating and imputing tabular data via
    diffusion and flow-based gradient-boosted trees, arXiv:2309.09968.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.generative import FlowMatching
    >>> X = np.random.default_rng(0).normal(5.0, 2.0, (500, 2))
    >>> model = FlowMatching(hidden=(16,), max_epochs=5, device="cpu", random_state=0).fit(X)
    >>> model.sample(3, random_state=0).shape
    (3, 2)
    >>> model.score_samples(X[:3]).shape
    (3,)

    Energies at given angles:

    >>> model.set_params(context_features=[0]).fit(X).sample(context=[[4.0], [6.0]])[:, 0].tolist()
    [4.0, 6.0]
    """

    def __init__(
        self,
        *,
        method: str = "net",
        hidden: Sequence[int] | None = None,
        n_steps: int = 8,
        solver: str = "midpoint",
        minibatch_transport: bool = False,
        density_steps: int = 20,
        n_levels: int = 21,
        n_noise: int = 10,
        bdt_params: Any = None,
        context_features: Any = None,
        domains: Any = None,
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        schedule: str = "cosine",
        max_epochs: int = 100,
        batch_size: int | str = 512,
        early_stopping: bool = False,
        validation_fraction: float = 0.2,
        patience: int = 10,
        ema_decay: float | None = 0.999,
        max_grad_norm: float | None = None,
        negative_weights: str = "refine",
        weight_scale: str | None = "mean",
        weight_cap: float | None = None,
        checkpoint: Any = None,
        salt: int = 0,
        device: str = "auto",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            context_features=context_features,
            domains=domains,
            lr=lr,
            weight_decay=weight_decay,
            schedule=schedule,
            max_epochs=max_epochs,
            batch_size=batch_size,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            patience=patience,
            ema_decay=ema_decay,
            max_grad_norm=max_grad_norm,
            negative_weights=negative_weights,
            weight_scale=weight_scale,
            weight_cap=weight_cap,
            checkpoint=checkpoint,
            salt=salt,
            device=device,
            random_state=random_state,
            verbose=verbose,
        )
        self.method = method
        self.hidden = hidden
        self.n_steps = n_steps
        self.solver = solver
        self.minibatch_transport = minibatch_transport
        self.density_steps = density_steps
        self.n_levels = n_levels
        self.n_noise = n_noise
        self.bdt_params = bdt_params

    def _check_params(self) -> None:
        super()._check_params()
        check_choice("solver", self.solver, SOLVERS)
        if not isinstance(self.minibatch_transport, (bool, np.bool_)):
            msg = f"minibatch_transport must be True or False, got {self.minibatch_transport!r}"
            raise ValueError(msg)
        if self.method == "bdt" and self.solver in ("midpoint", "rk4") and self.n_levels % 2 == 0:
            msg = (
                f"n_levels={self.n_levels}: solver={self.solver!r} needs the middle of its steps, "
                "so an odd number of levels"
            )
            raise ValueError(msg)

    def _train(
        self,
        latent: NDArray[np.float32],
        context: NDArray[np.float32] | None,
        weight: NDArray[np.float64] | None,
        groups: Any,
        seed: int,
    ) -> None:
        if self.minibatch_transport:
            self._check_transport(context, weight)
        super()._train(latent, context, weight, groups, seed)

    def _check_transport(self, context: Any, weight: Any) -> None:
        """Refuse what would make the noise of an event depend on its context or weight."""
        what = ""
        if self.method != "net" or self.spec_.kind == "cloud":
            what = "pairs the rows of batches of tables and images, for method='net'"
        elif context is not None:
            what = "pairs events with noise whatever their context_features, which biases it"
        elif weight is not None and (weight != weight[0]).any():
            what = "pairs events with noise whatever their weights, which biases it"
        if what:
            msg = f"minibatch_transport=True {what}: use minibatch_transport=False"
            raise ValueError(msg)

    def _make_module(self, spec: Spec) -> nn.Module:
        return VelocityModule(make_network(spec, self.hidden), self.minibatch_transport)

    def _levels(self) -> list[float]:
        return even_times(0.0, 1.0, self.n_levels - 1)

    def _noisy(self, x: Any, noise: Any, level: float) -> tuple[Any, Any]:
        return noise + np.float32(level) * (x - noise), x - noise

    def _move(self, field: Any, x: Tensor, generator: torch.Generator) -> Tensor:
        if self.method == "net":
            return integrate(field, x, even_times(0.0, 1.0, self.n_steps), self.solver)
        # trees know the times that they were trained at, and no others
        step = 2 if self.solver in ("midpoint", "rk4") else 1
        return integrate(field, x, self._levels()[::step], self.solver)

    def _log_prob_latent(self, z: Tensor, context: Tensor | None) -> Tensor:
        # backwards in time, where volumes change by minus the integral
        return self._integrated(self._field(context), z, 1.0, 0.0)
