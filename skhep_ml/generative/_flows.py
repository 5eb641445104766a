"""Normalizing flows: exact densities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from skhep_ml._extras import import_extra
from skhep_ml.generative._base import DensityEstimator
from skhep_ml.generative._checks import check_count
from skhep_ml.generative._layout import Spec
from skhep_ml.neural_network.modules._checks import check_choice, check_widths


class FlowModule(nn.Module):
    """Minus log density of a flow of zuko, as a loss.

    Parameters
    ----------
    flow : zuko.lazy.Flow
        The flow.
    alone : bool, default=False
        Whether a single column without context is given a constant one: a flow of it then begins
        near the identity, as all others do, and not with random pieces.
    """

    def __init__(self, flow: nn.Module, alone: bool = False) -> None:
        super().__init__()
        self.flow = flow
        self.alone = alone

    def given(self, X: Tensor, context: Tensor | None) -> Any:
        """Distribution for the context of each event."""
        return self.flow(torch.zeros_like(X) if self.alone else context)

    def forward(self, X: Tensor, context: Tensor | None = None) -> Tensor:
        """Loss of each event."""
        return -self.given(X, context).log_prob(X)


class NormalizingFlow(DensityEstimator):
    r"""Normalizing flow: events by an invertible map of normal noise, with an exact density.

    Parameters
    ----------
    kind : {"nsf", "maf", "realnvp"}, default="nsf"
        Map of a column given others: monotonic rational-quadratic splines (neural spline flow), or
        a shift and a factor, either autoregressive (MAF) or by halves (RealNVP).
    n_transforms : int, default=3
        Maps one after the other.
    hidden : tuple of int, default=(64, 64)
        Nodes of the hidden layers of each map's network.
    n_bins : int, default=8
        Pieces of a spline; for "nsf".
    coupling : bool, default=False
        Whether columns depend on the other half only, instead of all before them: sampling then
        takes 2 passes a map instead of one for each column, and more maps are needed. For "nsf"
        and "maf"; RealNVP always does.
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
    max_epochs : int, default=50
        Passes over the events; an upper limit under early stopping. Of more than some 10,000 events
        15 are enough, and more begin to learn single events.
    batch_size : int or "auto", default=512
        Events in a training step; small batches take longer. "auto" is a power of two near n / 128.
    early_stopping : bool, default=False
        Stop when the loss of held-out events no longer improves, and restore the best weights.
    validation_fraction : float, default=0.2
        Fraction of events held out for it, by ``groups`` where given.
    patience : int, default=10
        Epochs without improvement before the end.
    ema_decay : float, default=None
        Decay of the moving average of the weights that samples and densities come from; None for
        the last weights.
    max_grad_norm : float, default=5.0
        Length to which longer gradients are cut.
    negative_weights : {"refine", "keep", "pair", "cell", "drop", "abs", "raise"}, default="refine"
        What training does with negative weights, see `skhep_ml.weights.apply_negative_weights`.
        Under "keep" a negative event pushes the density down without limit.
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

    Raises
    ------
    ModuleNotFoundError
        In fit: zuko is not installed, see the extra "generative".

    See Also
    --------
    FlowMatching : Faster to train, smoother in many dimensions, sampled by steps.
    sample_pipeline : Samples of a Pipeline.

    Notes
    -----
    With z = f(x; c) normal noise, the density is

    .. math:: p(x | c) = N(f(x; c); 0, 1) \left| \det \frac{\partial f}{\partial x} \right| ,

    trained by maximum likelihood. Splines act within five standard deviations of a column.
    Densities take one pass; sampling an autoregressive flow takes one for each column.

    References
    ----------
    C. Durkan, A. Bekasov, I. Murray, G. Papamakarios, Neural spline flows, arXiv:1906.04032.

    G. Papamakarios, T. Pavlakou, I. Murray, Masked autoregressive flow for density estimation,
    arXiv:1705.07057.

    L. Dinh, J. Sohl-Dickstein, S. Bengio, Density estimation using Real NVP, arXiv:1605.08803.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.generative import NormalizingFlow
    >>> rng = np.random.default_rng(0)
    >>> X = rng.exponential(2.0, (500, 2))
    >>> flow = NormalizingFlow(
    ...     n_transforms=1, hidden=(16,), domains={0: "positive", 1: "positive"}, max_epochs=5,
    ...     device="cpu", random_state=0)
    >>> events = flow.fit(X).sample(100, random_state=0)
    >>> events.shape, bool(events.min() > 0)
    ((100, 2), True)
    >>> flow.score_samples([[1.0, -1.0]])
    array([-inf])
    """

    def __init__(
        self,
        kind: str = "nsf",
        *,
        n_transforms: int = 3,
        hidden: Sequence[int] = (64, 64),
        n_bins: int = 8,
        coupling: bool = False,
        context_features: Any = None,
        domains: Any = None,
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        schedule: str = "cosine",
        max_epochs: int = 50,
        batch_size: int | str = 512,
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
        self.kind = kind
        self.n_transforms = n_transforms
        self.hidden = hidden
        self.n_bins = n_bins
        self.coupling = coupling

    def _check_params(self) -> None:
        check_choice("kind", self.kind, ("nsf", "maf", "realnvp"))
        check_count("n_transforms", self.n_transforms)
        check_count("n_bins", self.n_bins, least=2)
        check_widths(self, hidden=self.hidden, empty=False)

    def _make_module(self, spec: Spec) -> nn.Module:
        flows = import_extra("zuko.flows", "generative")
        n_features = spec.shape[0]
        alone = n_features == 1 and spec.n_context == 0
        sizes = (n_features, 1 if alone else spec.n_context)
        options: dict[str, Any] = {
            "transforms": self.n_transforms,
            "hidden_features": tuple(self.hidden),
        }
        if self.kind == "realnvp":
            # the same two halves in turns would leave each of them independent within
            return FlowModule(flows.RealNVP(*sizes, randmask=n_features > 2, **options), alone)
        if self.coupling:
            options |= {"passes": 2, "randperm": n_features > 2}
        if self.kind == "nsf":
            return FlowModule(flows.NSF(*sizes, bins=self.n_bins, **options), alone)
        return FlowModule(flows.MAF(*sizes, **options), alone)

    def _sample_latent(self, n: int, context: Tensor | None, generator: torch.Generator) -> Tensor:
        noise = self._noise((n, *self.spec_.shape), generator)
        return self._module.given(noise, context).transform.inv(noise)

    def _log_prob_latent(self, z: Tensor, context: Tensor | None) -> Tensor:
        with torch.no_grad():
            return self._module.given(z, context).log_prob(z)
