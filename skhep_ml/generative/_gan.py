"""Generative adversarial network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from skhep_ml.generative._adversarial import LOSSES, AdversarialModule, AdversarialNet
from skhep_ml.generative._base import GenerativeEstimator
from skhep_ml.generative._checks import check_count, check_number
from skhep_ml.generative._engine import GenerativeNet
from skhep_ml.generative._layout import Spec
from skhep_ml.generative._modules import hidden_widths
from skhep_ml.neural_network.modules._checks import check_choice

# steps of the critic for one of the generator
_N_CRITIC = {"wasserstein": 2, "classic": 1}


class GAN(GenerativeEstimator):
    r"""Generative adversarial network of tables, clouds or images.

    A critic learns to tell generated events from those of the training, and the generator to
    mislead it. Samples cost a single pass; there is no density.

    Parameters
    ----------
    loss : {"wasserstein", "classic"}, default="wasserstein"
        The distance of Wasserstein, by a critic whose gradient is kept near 1, or the classic game
        of probabilities with the generator's loss that does not saturate.
    n_latent : int, default=16
        Random numbers that an event is made of; clouds and images get one for each value beside.
    hidden : sequence of int, default=None
        Widths of both networks: nodes of each layer for tables, (128, 128) by default; for clouds
        the width of the generator's blocks of attention and of the critic's layers, (64, 64);
        channels of the convolutions for images, (16, 32).
    n_critic : int, default=None
        Steps of the critic for one of the generator; None takes 2 for "wasserstein" and 1 for
        "classic".
    gradient_penalty : float, default=0.1
        Weight of the penalty of the critic's gradient.
    context_features : str, int or list, default=None
        Columns that condition and are not generated, by name or position; of Events the names of
        arrays.
    domains : dict, default=None
        Boundaries of columns, of a particle's features or of channels, by name or position:
        "positive"; "nonnegative" where there are exact zeros, such as empty cells; (low, high) with
        None for an open end; "periodic" or ("periodic", period) for angles; "integer" for counts,
        or ("integer", low, high). See the user guide for the maps behind them.
    lr : float, default=1e-3
        Learning rate, the largest one where a schedule changes it.
    schedule : str, default="cosine"
        Learning rate by epoch, as in `skhep_ml.neural_network.NetRegressor`.
    max_epochs : int, default=100
        Passes over the events, each step of the critic on other events.
    batch_size : int or "auto", default="auto"
        Events in a training step; "auto" is a power of two near n / 128, fewer for clouds and
        images.
    ema_decay : float, default=0.999
        Decay of the moving average of the weights that samples come from; None for the last
        weights.
    max_grad_norm : float, default=None
        Length to which longer gradients are cut.
    negative_weights : {"refine", "keep", "pair", "cell", "drop", "abs", "raise"}, default="refine"
        What training does with negative weights, see `skhep_ml.weights.apply_negative_weights`.
    weight_scale : {"mean", None}, default="mean"
        Divide weights by their mean abs(w), so that their unit does not matter; None passes them.
    weight_cap : float, default=None
        Quantile of abs(w) at which training limits abs(w); a warning says what that takes away.
    checkpoint : path, default=None
        File that holds the state of training; a fit that finds it there continues. Needs an integer
        ``random_state``.
    salt : int, default=0
        Salt of the splits by event identifiers (refinement).
    device : str, default="auto"
        "cpu", "cuda", "cuda:1", ...; "auto" takes a GPU where one is.
    random_state : int, RandomState instance or None, default=None
        Seed of training.
    verbose : int, default=0
        Above 0: a line an epoch.

    Attributes
    ----------
    net_ : EventNet
        The trained net, a skorch net; ``net_.module_`` is the torch module.
    history_ : skorch.history.History
        ``train_loss`` is the critic's without the penalty: minus the estimated distance for
        "wasserstein", 2 ln 2 where a "classic" one sees no difference.
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
    VAE : Trains more steadily, with a bound of the density.
    FlowMatching : Trains most steadily, at the price of many steps for each sample.

    Notes
    -----
    With critic D, generator G, events x of weight w and as many generated ones, which share
    weights, context and number of particles with them, the critic maximises

    .. math::
        \sum w (D(x, c) - D(G(z, c), c)) - \lambda (|\nabla D(\hat x, c)| - 1)^2
        \quad \text{or} \quad
        \sum w (\ln \sigma(D(x, c)) + \ln \sigma(-D(G(z, c), c))) - \lambda |\nabla D(x, c)|^2 ,

    with :math:`\hat x` between x and G(z, c), while the generator maximises D(G(z, c), c) or
    :math:`\ln \sigma(D(G(z, c), c))`, in the mean over the same weights. Both are linear in w, so
    that ``negative_weights="keep"`` is unbiased here too. The critic of clouds is a deep set; their
    number of particles is drawn given the context, and not part of the game.

    Adam with momenta (0.5, 0.9). There is no loss that says which epoch is best, so that early
    stopping is not offered: compare samples, for example in a search with a two-sample score.

    References
    ----------
    I. Goodfellow et al., Generative adversarial networks, arXiv:1406.2661. M. Arjovsky,
    S. Chintala, L. Bottou, Wasserstein GAN, arXiv:1701.07875. I. Gulrajani et al., Improved
    training of Wasserstein GANs, arXiv:1704.00028. The penalty of the classic loss: L. Mescheder,
    A. Geiger, S. Nowozin, Which training methods for GANs do actually converge?, arXiv:1801.04406.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.generative import GAN
    >>> X = np.random.default_rng(0).normal(5.0, 2.0, (500, 2))
    >>> model = GAN(hidden=(16,), max_epochs=5, device="cpu", random_state=0).fit(X)
    >>> model.sample(3, random_state=0).shape
    (3, 2)
    """

    _kinds = ("table", "cloud", "image")
    _net_class = AdversarialNet

    def __init__(
        self,
        loss: str = "wasserstein",
        *,
        n_latent: int = 16,
        hidden: Any = None,
        n_critic: int | None = None,
        gradient_penalty: float = 0.1,
        context_features: Any = None,
        domains: Any = None,
        lr: float = 1e-3,
        schedule: str = "cosine",
        max_epochs: int = 100,
        batch_size: int | str = "auto",
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
            schedule=schedule,
            max_epochs=max_epochs,
            batch_size=batch_size,
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
        self.loss = loss
        self.n_latent = n_latent
        self.hidden = hidden
        self.n_critic = n_critic
        self.gradient_penalty = gradient_penalty

    def _check_params(self) -> None:
        check_choice("loss", self.loss, LOSSES)
        check_count("n_latent", self.n_latent)
        if self.n_critic is not None:
            check_count("n_critic", self.n_critic)
        check_number("gradient_penalty", self.gradient_penalty)

    def _make_module(self, spec: Spec) -> nn.Module:
        return AdversarialModule(
            spec, int(self.n_latent), hidden_widths(self, spec.kind), self.loss
        )

    def _make_net(self, module: nn.Module, device: str, seed: int) -> GenerativeNet:
        net: Any = super()._make_net(module, device, seed)
        # momentum would carry on along gradients that the other network has turned
        net.set_params(optimizer__betas=(0.5, 0.9))
        net.n_critic = _N_CRITIC[self.loss] if self.n_critic is None else int(self.n_critic)
        net.penalty_strength = float(self.gradient_penalty)
        return net

    def _sample_latent(self, n: int, context: Tensor | None, generator: torch.Generator) -> Tensor:
        module = self._module
        latent = self._noise((n, module.n_latent), generator)
        # a table is made of the latent variables alone
        start = latent if self.spec_.kind == "table" else self._start(n, context, generator)
        return module.generate(start, latent, context)
