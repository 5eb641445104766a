"""Training of two networks against each other, with the engine's epochs around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from skhep_ml.generative._engine import GenerativeNet
from skhep_ml.generative._layout import Spec
from skhep_ml.generative._modules import TableDecoder, make_encoder, make_field
from skhep_ml.generative._sizes import SizedModule, columns_of

LOSSES = ("wasserstein", "classic")


class AdversarialModule(nn.Module):
    """Generator and critic.

    Parameters
    ----------
    spec : Spec
        What is generated.
    n_latent : int
        Random numbers of an event beside those of its particles or pixels.
    hidden : sequence of int
        Widths of both.
    loss : {"wasserstein", "classic"}
        What the critic learns.
    """

    def __init__(self, spec: Spec, n_latent: int, hidden: Sequence[int], loss: str) -> None:
        super().__init__()
        self.n_latent = n_latent
        self.loss = loss
        n_condition = n_latent + spec.n_context
        self.generator: nn.Module
        if spec.kind == "table":
            self.generator = TableDecoder(n_condition, spec.shape[0], hidden)
        else:
            self.generator = make_field(spec.kind, spec.shape, n_condition, hidden)
        self.critic = make_encoder(spec.kind, spec.shape, spec.n_context, 1, hidden)
        self.kind = spec.kind

    def generate(self, start: Tensor, latent: Tensor, context: Tensor | None) -> Tensor:
        """Events from normal numbers of their shape, NaN for absent particles, and latent ones."""
        condition = latent if context is None else torch.cat([latent, context], dim=1)
        if self.kind == "table":
            return self.generator(condition)
        return torch.where(torch.isnan(start), start, self.generator(start, condition))

    def partners(self, X: Tensor, context: Tensor | None) -> Tensor:
        """Generated events with the context and the multiplicities of those given."""
        start = torch.where(torch.isnan(X), X, torch.randn_like(X))
        latent = torch.randn(len(X), self.n_latent, device=X.device)
        return self.generate(start, latent, context)

    def judge(self, X: Tensor, context: Tensor | None) -> Tensor:
        """Output of the critic, (n_events,)."""
        return self.critic(X, columns_of(X, context)).squeeze(1)

    def critic_loss(self, X: Tensor, fake: Tensor, context: Tensor | None) -> Tensor:
        """Loss of the critic, of each event and its partner."""
        real, made = self.judge(X, context), self.judge(fake, context)
        if self.loss == "wasserstein":
            return made - real
        return functional.softplus(-real) + functional.softplus(made)

    def generator_loss(self, X: Tensor, context: Tensor | None) -> Tensor:
        """Loss of the generator, of each partner."""
        made = self.judge(self.partners(X, context), context)
        return -made if self.loss == "wasserstein" else functional.softplus(-made)

    def penalty(self, X: Tensor, fake: Tensor, context: Tensor | None) -> Tensor:
        """Penalty of the critic's gradient, a scalar.

        For "wasserstein" its deviation from 1 between events and their partners, for "classic" its
        square at the events.
        """
        at = X
        if self.loss == "wasserstein":
            share = torch.rand(len(X), *[1] * (X.ndim - 1), dtype=X.dtype, device=X.device)
            at = torch.lerp(fake, X, share)
        at = at.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(self.judge(at, context).sum(), at, create_graph=True)
        square = gradient.nan_to_num().flatten(1).square().sum(dim=1)
        if self.loss == "classic":
            return square.mean()
        # no square root at 0, where its slope is infinite
        return ((square + 1e-12).sqrt() - 1).square().mean()

    def forward(self, X: Tensor, context: Tensor | None = None) -> Tensor:
        """Loss of the critic against partners that are drawn anew."""
        return self.critic_loss(X, self.partners(X, context), context)


class AdversarialNet(GenerativeNet):
    """Engine that steps critic and generator in turn.

    One optimizer holds both: the step of one leaves alone what has no gradient.

    Parameters
    ----------
    *args, **kwargs
        Those of `GenerativeNet`.
    """

    #: steps of the critic for one of the generator, and weight of the penalty; set before fit
    n_critic: int
    penalty_strength: float

    def _lean(self) -> bool:
        return True

    def _train_epoch(self, iterator: Any, fit_params: dict[str, Any]) -> Any:
        self._set_training(True)
        critic = list(particles_of(self.module_).critic.parameters())
        known = {id(parameter) for parameter in critic}
        generator = [p for p in self.module_.parameters() if id(p) not in known]
        losses, sizes = [], []
        for step, batch in enumerate(iterator):
            Xi, yi = batch
            loss, penalty = self._apply(self._critic_step, Xi)
            loss = self.get_loss(loss, yi, X=Xi, training=True)
            self._step(loss + self.penalty_strength * penalty, critic)
            if step % self.n_critic == self.n_critic - 1:
                made = self._apply(self._generator_step, Xi)
                self._step(self.get_loss(made, yi, X=Xi, training=True), generator)
            losses.append(loss.detach())
            sizes.append(len(yi))
            for listen in self._listeners("on_batch_end"):
                listen(self, batch=batch, training=True, loss=losses[-1], y_pred=None)
        return losses, sizes

    def _critic_step(self, X: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Loss of the critic for each event, and the penalty of its gradient."""
        module = particles_of(self.module_)
        with torch.no_grad():
            fake = module.partners(X, context)
        penalty = X.new_zeros(())
        if self.penalty_strength:
            penalty = module.penalty(X, fake, context)
        return module.critic_loss(X, fake, context), penalty

    def _generator_step(self, X: Tensor, context: Tensor | None = None) -> Tensor:
        """Loss of the generator, and of the number of particles, for each event."""
        module = self.module_
        loss = particles_of(module).generator_loss(X, context)
        return loss + module.count_loss(X, context) if isinstance(module, SizedModule) else loss

    def _step(self, loss: Tensor, parameters: list[nn.Parameter]) -> None:
        self.optimizer_.zero_grad()
        loss.backward(inputs=parameters)
        if self.max_grad_norm:
            torch.nn.utils.clip_grad_norm_(parameters, self.max_grad_norm)
        self.optimizer_.step()


def particles_of(module: nn.Module) -> Any:
    """Generator and critic, without the model of the number of particles."""
    return module.particles if isinstance(module, SizedModule) else module
