"""Diffusion: noise is taken away in small steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skhep_ml.generative._checks import check_count, check_number
from skhep_ml.generative._layout import Spec
from skhep_ml.generative._networks import draw, make_network, per_event, squared_distance
from skhep_ml.generative._noise_to_events import NoiseToEvents
from skhep_ml.neural_network.modules._checks import check_choice

SCHEDULES = ("cosine", "linear")
WEIGHTINGS = ("noise", "velocity", "min_snr", "likelihood")

_HALF_TURN = math.pi / 2


def noise_angle(t: Any, schedule: str) -> Any:
    r"""Angle whose cosine multiplies the event, and whose sine the noise, at times from 0 to 1."""
    t = np.asarray(t, dtype=np.float64)
    if schedule == "cosine":
        offset = 0.008
        whole = np.cos((t + offset) / (1 + offset) * _HALF_TURN)
        return np.arccos(np.clip(whole / np.cos(offset / (1 + offset) * _HALF_TURN), 0.0, 1.0))
    # the sum of rates that rise from 0.1 to 20, those of 1000 steps from 1e-4 to 0.02
    return np.arccos(np.exp(-0.5 * (0.1 * t + 9.95 * t**2)))


def loss_factors(angles: Any, weighting: str) -> Any:
    """Factor of the squared error of the velocity at every angle, of mean 1."""
    cosine, sine = np.cos(angles), np.sin(angles)
    if weighting == "noise":
        factor = cosine**2
    elif weighting == "velocity":
        factor = np.ones_like(angles)
    elif weighting == "min_snr":
        factor = np.minimum(cosine**2, 5 * sine**2)
    else:
        factor = cosine / sine * np.gradient(angles)
    return factor / factor.mean()


class DenoisingModule(nn.Module):
    """Loss of denoising diffusion at random times of a grid.

    Parameters
    ----------
    network : nn.Module
        Velocity (x, time, context), the time being the angle in units of a quarter turn.
    angles : array of shape (n_times,)
        Angles of the grid.
    factors : array of shape (n_times,)
        Factors of the loss.
    """

    def __init__(self, network: nn.Module, angles: Any, factors: Any) -> None:
        super().__init__()
        self.network = network
        self.angles: Tensor
        self.factors: Tensor
        self.register_buffer("angles", torch.tensor(angles, dtype=torch.float32))
        self.register_buffer("factors", torch.tensor(factors, dtype=torch.float32))

    def forward(self, X: Tensor, context: Tensor | None = None) -> Tensor:
        """Weighted squared error of the velocity, for each event."""
        noise, t = draw(X, self.training)
        index = (t * len(self.angles)).long().clamp(max=len(self.angles) - 1)
        angle = self.angles[index]
        cosine, sine = per_event(angle.cos(), X), per_event(angle.sin(), X)
        velocity = self.network(cosine * X + sine * noise, angle / _HALF_TURN, context)
        return squared_distance(velocity, cosine * noise - sine * X) * self.factors[index]


class Diffusion(NoiseToEvents):
    r"""Denoising diffusion: noise is taken away from events in steps.

    Parameters
    ----------
    method : {"net", "bdt"}, default="net"
        A network, or boosted trees: a model for each of a few times. Trees generate tables without
        a density, and ignore the parameters of training from ``lr`` to ``max_grad_norm``, and
        ``checkpoint``.
    hidden : tuple of int, default=None
        Widths: a table takes residual blocks of one width (default 128, 128, 128), a cloud blocks
        of attention of one width (64, 64, 64), an image the channels of its resolutions (16, 32).
    n_times : int, default=1000
        Times of the grid that the network is trained at.
    noise_schedule : {"cosine", "linear"}, default="cosine"
        How the noise grows.
    weighting : {"velocity", "noise", "min_snr", "likelihood"}, default="velocity"
        Which error of all times counts alike: that of the velocity, that of the noise (DDPM's
        simple loss), the noise with the signal-to-noise ratio limited to 5, or the terms of the
        bound of the likelihood.
    n_steps : int, default=50
        Steps of sampling with a network.
    eta : float, default=0.0
        Fresh noise of each step: 0 for the deterministic steps of DDIM, 1 for those of DDPM.
    density_steps : int, default=40
        Steps of ``score_samples``, of the method of Runge and Kutta of order 4.
    n_levels : int, default=51
        Times at which trees are trained, for ``method="bdt"``.
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
    FlowMatching : Straight paths, which need fewer steps.
    sample_pipeline : Samples of a Pipeline.

    Notes
    -----
    With an event x, noise e and an angle a that grows with time,
    :math:`x_a = \cos(a) x + \sin(a) e`; the squared cosine is the :math:`\bar\alpha` of DDPM.
    The network predicts the velocity :math:`v = \cos(a) e - \sin(a) x`, which is the noise in other
    words, :math:`e = \sin(a) x_a + \cos(a) v`, and stays well determined at all angles. A step of
    DDIM puts the predicted x and e together at the next angle. Since :math:`dx_a / da = v`, the
    probability flow, the density of tables follows from the divergence of v as in `FlowMatching`.

    References
    ----------
    J. Ho, A. Jain, P. Abbeel, Denoising diffusion probabilistic models, arXiv:2006.11239.

    J. Song, C. Meng, S. Ermon, Denoising diffusion implicit models, arXiv:2010.02502.

    T. Salimans, J. Ho, Progressive distillation for fast sampling of diffusion models,
    arXiv:2202.00512; T. Hang et al., Efficient diffusion training via min-SNR weighting strategy,
    arXiv:2303.09556.

    A. Nichol, P. Dhariwal, Improved denoising diffusion probabilistic models, arXiv:2102.09672.

    A. Jolicoeur-Martineau, K. Fatras, T. Kachman, Generating and imputing tabular data via
    diffusion and flow-based gradient-boosted trees, arXiv:2309.09968.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.generative import Diffusion
    >>> X = np.random.default_rng(0).normal(5.0, 2.0, (500, 2))
    >>> model = Diffusion(hidden=(16,), max_epochs=5, device="cpu", random_state=0).fit(X)
    >>> model.sample(3, random_state=0).shape
    (3, 2)
    """

    def __init__(
        self,
        *,
        method: str = "net",
        hidden: Sequence[int] | None = None,
        n_times: int = 1000,
        noise_schedule: str = "cosine",
        weighting: str = "velocity",
        n_steps: int = 50,
        eta: float = 0.0,
        density_steps: int = 40,
        n_levels: int = 51,
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
        self.n_times = n_times
        self.noise_schedule = noise_schedule
        self.weighting = weighting
        self.n_steps = n_steps
        self.eta = eta
        self.density_steps = density_steps
        self.n_levels = n_levels
        self.n_noise = n_noise
        self.bdt_params = bdt_params

    def _check_params(self) -> None:
        super()._check_params()
        check_count("n_times", self.n_times, least=2)
        check_choice("noise_schedule", self.noise_schedule, SCHEDULES)
        check_choice("weighting", self.weighting, WEIGHTINGS)
        check_number("eta", self.eta)

    def _make_module(self, spec: Spec) -> nn.Module:
        t = np.arange(1, self.n_times + 1) / self.n_times
        angles = noise_angle(t, self.noise_schedule)
        factors = loss_factors(angles, self.weighting)
        return DenoisingModule(make_network(spec, self.hidden), angles, factors)

    def _times(self, n_steps: int) -> list[float]:
        """Angles of the steps from noise to events, in units of a quarter turn."""
        t = np.linspace(1.0, 0.0, n_steps + 1)
        return list(noise_angle(t, self.noise_schedule) / _HALF_TURN)

    def _levels(self) -> list[float]:
        return self._times(self.n_levels)[:-1]

    def _noisy(self, x: Any, noise: Any, level: float) -> tuple[Any, Any]:
        cosine, sine = (np.float32(f(level * _HALF_TURN)) for f in (np.cos, np.sin))
        return cosine * x + sine * noise, cosine * noise - sine * x

    def _move(self, field: Any, x: Tensor, generator: torch.Generator) -> Tensor:
        times = self._times(self.n_steps if self.method == "net" else self.n_levels)
        for t, end in pairwise(times):
            cosine, sine = math.cos(t * _HALF_TURN), math.sin(t * _HALF_TURN)
            velocity = field(x, t)
            event, noise = cosine * x - sine * velocity, sine * x + cosine * velocity
            cosine_end, sine_end = math.cos(end * _HALF_TURN), math.sin(end * _HALF_TURN)
            fresh = 0.0
            if self.eta and sine_end > 0:
                step = max(1 - (cosine / cosine_end) ** 2, 0.0)
                fresh = min(self.eta * sine_end / sine * math.sqrt(step), sine_end)
            x = cosine_end * event + math.sqrt(max(sine_end**2 - fresh**2, 0.0)) * noise
            if fresh:
                x = x + fresh * self._noise(tuple(x.shape), generator)
        return x

    def _log_prob_latent(self, z: Tensor, context: Tensor | None) -> Tensor:
        velocity = self._field(context)
        end = float(noise_angle(1.0, self.noise_schedule)) / _HALF_TURN
        # by angle the derivative of an event is its velocity
        return self._integrated(lambda x, t: _HALF_TURN * velocity(x, t), z, 0.0, end)
