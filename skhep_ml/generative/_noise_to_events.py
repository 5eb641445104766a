"""What flow matching and diffusion share: a field over time, by a network or by trees."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skhep_ml._device import resolve_device
from skhep_ml.generative._base import DensityEstimator
from skhep_ml.generative._checks import check_count
from skhep_ml.generative._ode import even_times, integrate, with_divergence
from skhep_ml.generative._trees import check_bdt_params, fit_levels, predict_level, tree_weights
from skhep_ml.neural_network.modules._checks import check_choice, check_widths

# rows of a table whose hidden layers fit into the cache of a core, which is a third faster
_CACHED = 1024


class NoiseToEvents(DensityEstimator):
    """Base of models whose field carries noise at one time to events at another.

    A model says ``_noisy`` (noisy events and the target of a field), ``_field_time`` (time that its
    network sees), the ends of time in ``_ends`` (noise, events), and how the steps of sampling go.
    """

    _kinds: ClassVar[tuple[str, ...]] = ("table", "cloud", "image")

    method: str
    hidden: Any
    n_steps: int
    density_steps: int
    n_levels: int
    n_noise: int
    bdt_params: Any

    def _check_params(self) -> None:
        check_choice("method", self.method, ("net", "bdt"))
        check_count("n_steps", self.n_steps)
        check_count("density_steps", self.density_steps)
        check_count("n_levels", self.n_levels, least=3)
        check_count("n_noise", self.n_noise)
        check_bdt_params(self.bdt_params)
        if self.hidden is not None:
            check_widths(self, hidden=self.hidden, empty=False)

    # --- what a model says ------------------------------------------------------------------------

    def _levels(self) -> list[float]:
        """Times at which trees are trained, from noise to events."""
        raise NotImplementedError

    def _noisy(self, x: Any, noise: Any, level: float) -> tuple[Any, Any]:
        """Noisy events at a time, and the target of the field."""
        raise NotImplementedError

    def _move(self, field: Any, x: Tensor, generator: torch.Generator) -> Tensor:
        """Events from noise, with ``field(x, t)``."""
        raise NotImplementedError

    # --- what both do -----------------------------------------------------------------------------

    def _why_no_density(self) -> str:
        spec = getattr(self, "spec_", None)
        if self.method != "net":
            return "method='bdt' has steps instead of a divergence"
        if spec is not None and spec.kind != "table":
            return f"the divergence is summed over the columns of tables, not over a {spec.kind}"
        return ""

    def _train(
        self,
        latent: NDArray[np.float32],
        context: NDArray[np.float32] | None,
        weight: NDArray[np.float64] | None,
        groups: Any,
        seed: int,
    ) -> None:
        left: dict[str, Any] = self.__dict__
        for name in ("net_", "history_", "boosters_"):
            left.pop(name, None)
        if self.method == "net":
            super()._train(latent, context, weight, groups, seed)
            return
        if self.spec_.kind != "table":
            msg = f"method='bdt' generates tables, X is a {self.spec_.kind}: use method='net'"
            raise ValueError(msg)
        self.boosters_ = fit_levels(
            self._noisy,
            self._levels(),
            latent,
            context,
            tree_weights(self, latent, context, weight, groups, seed),
            n_noise=self.n_noise,
            params=check_bdt_params(self.bdt_params),
            device=resolve_device(self.device),
            seed=seed,
            verbose=self.verbose > 0,
        )

    @property
    def _engine(self) -> Any:
        return self.net_ if self.method == "net" else SimpleNamespace(device_="cpu")

    def _field(self, context: Tensor | None) -> Any:
        """Field (x, t) of the trained model."""
        if self.method == "net":
            network = self._module.network
            return lambda x, t: network(x, x.new_tensor([t]), context)
        levels = np.array(self._levels())
        beside = None if context is None else context.numpy()

        def field(x: Tensor, t: float) -> Tensor:
            booster = self.boosters_[int(np.abs(levels - t).argmin())]
            return torch.from_numpy(predict_level(booster, x.numpy(), beside))

        return field

    def _sample_latent(self, n: int, context: Tensor | None, generator: torch.Generator) -> Tensor:
        start = self._start(n, context, generator)
        size = _CACHED if self.spec_.kind == "table" and start.device.type == "cpu" else n
        contexts = [None] * n if context is None else context.split(size)
        parts = [
            self._move(self._field(given), part, generator)
            for part, given in zip(start.split(size), contexts, strict=False)
        ]
        return torch.cat(parts)

    def _integrated(
        self, field: Any, z: Tensor, start: float, end: float, *, solver: str = "rk4"
    ) -> Tensor:
        """Log density of events at ``start`` whose field leads to normal noise at ``end``."""
        with torch.no_grad():
            y = torch.cat([z, z.new_zeros(len(z), 1)], dim=1)
            times = even_times(start, end, self.density_steps)
            y = integrate(with_divergence(field), y, times, solver)
        noise, volume = y[:, :-1].double(), y[:, -1].double()
        log_normal = -0.5 * (noise.square() + np.log(2 * np.pi)).sum(dim=1)
        return log_normal + volume
