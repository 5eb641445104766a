"""Variational autoencoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from scipy.special import ndtri
from scipy.stats import qmc
from skorch.callbacks import Callback
from torch import Tensor, nn

from skhep_ml.generative._base import DensityEstimator
from skhep_ml.generative._checks import check_count, check_number
from skhep_ml.generative._cloud_nets import CloudMixture
from skhep_ml.generative._engine import GenerativeNet
from skhep_ml.generative._layout import Spec
from skhep_ml.generative._modules import GaussianDecoder, hidden_widths, make_encoder
from skhep_ml.generative._sizes import columns_of
from skhep_ml.neural_network.modules._mlp import split_mask

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class KLAnnealing(Callback):
    """Raises the weight of the Kullback-Leibler term from 0 over the first epochs.

    Parameters
    ----------
    n_epochs : float
        Epochs until it has its full weight.
    """

    def __init__(self, n_epochs: float) -> None:
        self.n_epochs = n_epochs

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Set the weight of this epoch."""
        done = len(net.history) - 1
        share = 1.0 if done >= self.n_epochs else done / self.n_epochs
        for part in net.module_.modules():
            if isinstance(part, VariationalNet):
                part.annealing = share


class VariationalNet(nn.Module):
    """Encoder into a normal distribution of latent variables, and the density of events given them.

    Parameters
    ----------
    spec : Spec
        What is generated.
    n_latent : int
        Latent variables.
    hidden : sequence of int
        Widths.
    beta : float
        Weight of the Kullback-Leibler term.
    """

    def __init__(self, spec: Spec, n_latent: int, hidden: Sequence[int], beta: float) -> None:
        super().__init__()
        self.n_latent = n_latent
        self.beta = beta
        self.annealing = 1.0
        self.n_values = math.prod(spec.shape)
        n_condition = n_latent + spec.n_context
        self.encoder = make_encoder(spec.kind, spec.shape, spec.n_context, 2 * n_latent, hidden)
        self.decoder: Any
        if spec.kind == "cloud":
            self.decoder = CloudMixture(spec.n_features, n_condition, hidden)
        else:
            self.decoder = GaussianDecoder(spec.kind, spec.shape, n_condition, hidden)

    def encode(self, X: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean, and logarithm of the width, of the latent variables of each event."""
        mean, log_width = self.encoder(X, columns_of(X, context)).chunk(2, dim=1)
        # a width beyond that of the prior, or none at all, is no use and may overflow
        return mean, log_width.clamp(-8.0, 2.0)

    def forward(self, X: Tensor, context: Tensor | None = None) -> Tensor:
        """Minus the evidence lower bound of each event, for each of its values."""
        mean, log_width = self.encode(X, context)
        width = log_width.exp()
        latent = mean + width * self._draw(mean)
        divergence = 0.5 * (mean.square() + width.square() - 1) - log_width
        beta = self.beta * (self.annealing if self.training else 1.0)
        density = self.log_prob_given(X, latent, context)
        return (beta * divergence.sum(dim=1) - density) / self.n_values

    def _draw(self, mean: Tensor) -> Tensor:
        if self.training:
            return torch.randn_like(mean)
        # the same in every epoch, so that held-out events tell epochs apart
        fixed = torch.Generator().manual_seed(0)
        return torch.randn(mean.shape, generator=fixed).to(mean)

    def log_prob_given(self, X: Tensor, latent: Tensor, context: Tensor | None) -> Tensor:
        """Log density of events given latent variables."""
        return self.decoder.log_prob(X, torch.cat([latent, columns_of(X, context)], dim=1))

    def bound(self, X: Tensor, context: Tensor | None, noise: Tensor) -> Tensor:
        """Importance-weighted bound of the log density, (n_events,), with the noise of each draw.

        ``noise`` of shape (n_draws, n_latent) is the same for all events, whose bounds then do not
        depend on each other.
        """
        mean, log_width = self.encode(X, context)
        total = mean.new_full((len(X),), -math.inf)
        for draw in noise:
            latent = mean + log_width.exp() * draw
            # densities of prior and encoder at this point; their constants cancel
            ratio = (0.5 * (draw.square() - latent.square()) + log_width).sum(dim=1)
            total = torch.logaddexp(total, self.log_prob_given(X, latent, context) + ratio)
        return total - math.log(len(noise))


class VAE(DensityEstimator):
    r"""Variational autoencoder of tables, clouds or images: quick to train and to sample.

    Parameters
    ----------
    n_latent : int, default=8
        Latent variables.
    hidden : sequence of int, default=None
        Widths of encoder and decoder: nodes of each layer for tables, (128, 128) by default; nodes
        before and again after the pooling for clouds, (64, 64); channels of the convolutions for
        images, (16, 32).
    beta : float, default=1.0
        Weight of the Kullback-Leibler term: above 1 latent variables carry less and are more
        independent, below 1 events come back better. At 1 the loss bounds the log density.
    kl_annealing : float, default=0.0
        Part of ``max_epochs`` over which that weight rises from 0, so that latent variables are
        used before they are penalised; where they carry nothing (samples that all look alike),
        try 0.2.
    n_importance : int, default=64
        Draws of latent variables for each event in `score_samples`: more make it less pessimistic.
    context_features : str, int or list, default=None
        Columns that condition and are not generated, by name or position; of Events the names of
        arrays.
    domains : dict, default=None
        Boundaries of columns, of a particle's features or of channels, by name or position:
        "positive"; "nonnegative" where there are exact zeros, such as empty cells; (low, high) with
        None for an open end; "periodic" or ("periodic", period) for angles; "integer" for counts,
        or ("integer", low, high). See the user guide for the maps behind them.
    lr : float, default=2e-3
        Learning rate, the largest one where a schedule changes it.
    weight_decay : float, default=0.0
        Decoupled weight decay.
    schedule : str, default="cosine"
        Learning rate by epoch, as in `skhep_ml.neural_network.NetRegressor`.
    max_epochs : int, default=50
        Passes over the events; an upper limit under early stopping.
    batch_size : int or "auto", default="auto"
        Events in a training step; "auto" is a power of two near n / 128, fewer for clouds and
        images.
    early_stopping : bool, default=False
        Stop when the loss of held-out events no longer improves, and restore the best weights.
    validation_fraction : float, default=0.2
        Fraction of events held out for it, by ``groups`` where given.
    patience : int, default=10
        Epochs without improvement before the end.
    ema_decay : float, default=None
        Decay of the moving average of the weights that samples come from; None for the last
        weights.
    max_grad_norm : float, default=5.0
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
        The trained net, a skorch net; ``net_.module_`` is the torch module.
    history_ : skorch.history.History
        Losses, rates, durations of every epoch.
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
    Autoencoder : Compresses events, as a transformer.
    FlowMatching : Sharper samples, at the price of many steps for each.

    Notes
    -----
    With q(z given x, c) a normal distribution whose means and widths the encoder gives and p(z) the
    standard normal one, training minimises

    .. math:: -E_{z \sim q} \ln p(x | z, c) + \beta \, KL(q(z | x, c), p(z)) .

    For tables and images p(x given z, c) is normal in every standardised value, with means and
    widths from the decoder. Particles are drawn independently from a mixture of 8 normal
    distributions whose parameters come from z, c and their number, which itself is drawn given c:
    any set that does not depend on its order is such a mixture over z (de Finetti). Samples hold
    the decoder's noise.

    `score_samples` is the importance-weighted bound

    .. math:: \ln \frac{1}{K} \sum_k \frac{p(x | z_k, c) p(z_k)}{q(z_k | x, c)}, \quad z_k \sim q,

    which is below the log density on average and tends to it with K = ``n_importance``; the
    :math:`z_k` come from a fixed sequence of Sobol, the same for every event. The density of a
    cloud is that of its particles in a given order times the probability of their number. Of
    integers and exact zeros it holds probabilities, averaged over few points: for many of them, as
    in images, a rough and too small value.

    References
    ----------
    D. P. Kingma, M. Welling, Auto-encoding variational Bayes, arXiv:1312.6114. I. Higgins et al.,
    beta-VAE, ICLR 2017. Annealing: S. R. Bowman et al., Generating sentences from a continuous
    space, arXiv:1511.06349. The bound: Y. Burda, R. Grosse, R. Salakhutdinov, Importance weighted
    autoencoders, arXiv:1509.00519.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.generative import VAE
    >>> X = np.random.default_rng(0).normal(5.0, 2.0, (500, 2))
    >>> model = VAE(2, hidden=(16,), max_epochs=10, device="cpu", random_state=0).fit(X)
    >>> model.sample(3, random_state=0).shape
    (3, 2)
    >>> model.score_samples(X[:3]).shape
    (3,)
    """

    _kinds = ("table", "cloud", "image")

    def __init__(
        self,
        n_latent: int = 8,
        *,
        hidden: Any = None,
        beta: float = 1.0,
        kl_annealing: float = 0.0,
        n_importance: int = 64,
        context_features: Any = None,
        domains: Any = None,
        lr: float = 2e-3,
        weight_decay: float = 0.0,
        schedule: str = "cosine",
        max_epochs: int = 50,
        batch_size: int | str = "auto",
        early_stopping: bool = False,
        validation_fraction: float = 0.2,
        patience: int = 10,
        ema_decay: float | None = None,
        max_grad_norm: float | None = 5.0,
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
        self.n_latent = n_latent
        self.hidden = hidden
        self.beta = beta
        self.kl_annealing = kl_annealing
        self.n_importance = n_importance

    def _check_params(self) -> None:
        check_count("n_latent", self.n_latent)
        check_count("n_importance", self.n_importance)
        check_number("beta", self.beta)
        check_number("kl_annealing", self.kl_annealing)
        if self.kl_annealing > 1:
            msg = f"kl_annealing={self.kl_annealing!r} is a part of max_epochs: at most 1"
            raise ValueError(msg)

    def _make_module(self, spec: Spec) -> nn.Module:
        hidden = hidden_widths(self, spec.kind)
        return VariationalNet(spec, int(self.n_latent), hidden, float(self.beta))

    def _make_net(self, module: nn.Module, device: str, seed: int) -> GenerativeNet:
        net = super()._make_net(module, device, seed)
        annealing = KLAnnealing(self.kl_annealing * self.max_epochs)
        return net.set_params(callbacks=[("kl_annealing", annealing)])

    def _sample_latent(self, n: int, context: Tensor | None, generator: torch.Generator) -> Tensor:
        module = self._module
        latent = self._noise((n, module.n_latent), generator)
        condition = latent if context is None else torch.cat([latent, context], dim=1)
        if self.spec_.kind != "cloud":
            return module.decoder.sample(condition, generator)
        _, present = split_mask(self._start(n, context, generator))
        return module.decoder.sample(condition, present, generator)

    def _log_prob_latent(self, z: Tensor, context: Tensor | None) -> Tensor:
        points = qmc.Sobol(self._module.n_latent, seed=0).random(self.n_importance)
        noise = torch.from_numpy(ndtri(points.clip(1e-7, 1 - 1e-7))).to(z)
        with torch.no_grad():
            return self._module.bound(z, context, noise)
