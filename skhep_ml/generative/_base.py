"""What all generative models share: their interface, and a template for new ones."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import Tags, check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from skhep_ml._device import resolve_device
from skhep_ml._validation import check_event_weight
from skhep_ml.generative._domains import Columns, Conditions, integer_offsets
from skhep_ml.generative._engine import GenerativeNet, GivenLoss
from skhep_ml.generative._layout import Layout, Spec
from skhep_ml.generative._recipe import Recipe
from skhep_ml.generative._score import mean_score
from skhep_ml.generative._sizes import blocks, columns_of, make_sized
from skhep_ml.neural_network._memory import evaluate
from skhep_ml.neural_network._parameters import ALLOWED, check_parameter

# events of a table, cloud or image that are sampled or judged at once: fixed, since every block
# has random numbers of its own, so that memory and machine do not change a sample
_BLOCK = {"table": 16384, "cloud": 1024, "image": 1024}
# multiples of it modulo 1 are spread evenly
_GOLDEN = 0.5 * (math.sqrt(5) - 1)


class GenerativeEstimator(BaseEstimator):
    """Base of generative models.

    A model says in ``_make_module(spec)`` what is trained: a `torch.nn.Module` whose ``forward(X,
    context=None)`` returns the loss of each event, X standardised and unbounded, and in
    ``_sample_latent(n, context, generator)`` how such events are drawn. A model with a density has
    ``_log_prob_latent(z, context)`` too. Parameters of its own it checks in ``_check_params``. One
    that is no net overrides ``_train``.
    """

    __metadata_request__fit: ClassVar = {"sample_weight": True, "groups": True}
    __metadata_request__score: ClassVar = {"sample_weight": True}

    _kinds: ClassVar[tuple[str, ...]] = ("table",)
    _net_class: ClassVar[type[GenerativeNet]] = GenerativeNet

    def __init__(
        self,
        *,
        context_features: Any = None,
        domains: Any = None,
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        schedule: str = "cosine",
        max_epochs: int = 50,
        batch_size: int | str = "auto",
        early_stopping: bool = False,
        validation_fraction: float = 0.2,
        patience: int = 10,
        ema_decay: float | None = None,
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
        self.context_features = context_features
        self.domains = domains
        self.lr = lr
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.ema_decay = ema_decay
        self.max_grad_norm = max_grad_norm
        self.negative_weights = negative_weights
        self.weight_scale = weight_scale
        self.weight_cap = weight_cap
        self.checkpoint = checkpoint
        self.salt = salt
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    # --- what a model says ------------------------------------------------------------------------

    def _check_params(self) -> None:
        """Check the model's own parameters."""

    def _make_module(self, spec: Spec) -> nn.Module:
        """Module to train: ``forward(X, context=None)`` returns the loss of each event."""
        raise NotImplementedError

    def _sample_latent(self, n: int, context: Tensor | None, generator: torch.Generator) -> Tensor:
        """``n`` generated events, standardised and unbounded; ``generator`` lives on the CPU."""
        raise NotImplementedError

    def _log_prob_latent(self, z: Tensor, context: Tensor | None) -> Tensor:
        """Log density of each event, standardised and unbounded."""
        raise NotImplementedError

    def _train(
        self,
        latent: NDArray[np.float32],
        context: NDArray[np.float32] | None,
        weight: NDArray[np.float64] | None,
        groups: Any,
        seed: int,
    ) -> None:
        """Train on standardised events; sets ``net_`` and ``history_``."""
        device = resolve_device(self.device)
        cuda = [torch.device(device)] if device.startswith("cuda") else []
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(seed)
            module: Any = self._make_module(self.spec_)
            if self.spec_.kind == "cloud":
                module = make_sized(module, latent, weight, self.spec_.n_context)
        module.recipe = Recipe.of(self, self.spec_)
        self.net_ = self._make_net(module, device, seed)
        inputs = {"X": latent} if context is None else {"X": latent, "context": context}
        self.net_.fit(inputs, np.zeros(len(latent)), sample_weight=weight, groups=groups)
        self.history_ = self.net_.history_

    def _make_net(self, module: nn.Module, device: str, seed: int) -> GenerativeNet:
        """Engine with the parameters of training."""
        return self._net_class(
            module,
            criterion=GivenLoss,
            **{name: getattr(self, name) for name in _ENGINE},
            device=device,
            random_state=seed,
        )

    # --- what all do ------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, groups: Any = None) -> Self:
        """Learn the distribution of the events.

        Parameters
        ----------
        X : array-like, DataFrame, Events or mapping of arrays
            A table (n_events, n_features), clouds (n_events, n_particles, n_features) padded with
            NaN, images (n_events, n_channels, height, width), or Events that hold one of them and
            the arrays named in ``context_features``.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights of any sign and unit; their sum must be positive.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers: early stopping and refinement then split by event.

        Returns
        -------
        self : object
            The fitted model.

        Raises
        ------
        ValueError
            Values outside their domain, a generated column of one value, weights whose sum is not
            positive, wrong shapes or parameters.

        Warns
        -----
        DivergenceWarning
            The loss became infinite or NaN; the last finite weights are kept.
        """
        for name in _ENGINE:
            check_parameter(name, getattr(self, name), ALLOWED)
        self._check_params()
        layout = Layout(self, X)
        if layout.kind not in self._kinds:
            msg = (
                f"X is a {layout.kind}, but {type(self).__name__} generates "
                f"{' and '.join(kind + 's' for kind in self._kinds)}"
            )
            raise ValueError(msg)
        generated, context = layout.split(self, X)
        weight = check_event_weight(sample_weight, len(generated))
        if weight is not None and weight.sum() <= 0:
            msg = (
                f"the weights sum to {weight.sum():.6g} ({np.sum(weight < 0)} of {len(weight)} are "
                "negative): a density needs a positive sum; check the sign, or fit where it is "
                "positive"
            )
            raise ValueError(msg)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        rng = np.random.default_rng(seed)
        domains, context_domains = layout.make_domains(self.domains)
        flat, flat_weight = _rows(generated, layout.kind, weight)
        columns = Columns(domains, [layout.names[i] for i in layout.generated])
        columns.fit(flat, flat_weight)
        offsets = rng.random(flat.shape) if columns.is_discrete else None
        latent = _shaped(columns.forward(flat, offsets)[0], layout.kind, generated.shape)
        conditions: Any = None
        made = None
        if context is not None:
            conditions = Conditions(context_domains, layout.context_names()).fit(context, weight)
            made = conditions.forward(context)
        self._layout, self._columns, self._conditions = layout, columns, conditions
        self._first_context = None if context is None else context[0].copy()
        self.context_indices_ = np.array(layout.context if layout.form != "events" else [], int)
        self.generated_indices_ = np.array(layout.generated, int)
        n_context = 0 if conditions is None else conditions.n_columns
        self.spec_ = Spec(layout.kind, tuple(generated.shape[1:]), n_context)
        self._learn_sizes(latent, made, weight)
        self._train(latent, made, weight, groups, seed)
        return self

    def _learn_sizes(
        self,
        latent: NDArray[np.float32],
        context: NDArray[np.float32] | None,
        weight: NDArray[np.float64] | None,
    ) -> None:
        """Learn from the events what sampling needs beside the net, such as multiplicities."""

    def sample(self, n: int | None = None, *, context: Any = None, random_state: Any = None) -> Any:
        """Draw events.

        Parameters
        ----------
        n : int, default=None
            How many; None takes the rows of ``context``, or one event.
        context : float, array-like, DataFrame or Events, default=None
            Values of ``context_features`` in their units: one row for all events, or one for each.
            A table with all columns of `fit` is taken too, and what is not context ignored.
        random_state : int, RandomState instance or None, default=None
            Seed; None draws other events in every call.

        Returns
        -------
        ndarray, DataFrame or Events
            Events in the form of `fit`, with all its columns in their order; those of the context
            are filled with ``context``.

        Raises
        ------
        ValueError
            Context that is missing, not asked for, outside its domain, or of another shape.
        """
        check_is_fitted(self, "spec_")
        table, n_events = self._layout.take_context(context, n)
        made = None if table is None else self._conditions.forward(table)
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        # torch's seeds that lie next to each other are far apart: it scrambles them
        seeds = np.random.SeedSequence(seed)
        kind, block = self.spec_.kind, _BLOCK[self.spec_.kind]
        shape = (n_events, *self.spec_.shape)
        result = np.empty(shape, dtype=self._layout.dtype)
        for start in range(0, n_events, block):
            rows = slice(start, min(start + block, n_events))
            state = int(seeds.spawn(1)[0].generate_state(1, np.uint64)[0] >> np.uint64(1))
            generator = torch.Generator().manual_seed(state)
            condition = None if made is None else self._tensor(made[rows])
            size = rows.stop - rows.start
            with torch.no_grad():
                latent = self._sample_latent(size, condition, generator)
            values = latent.float().cpu().numpy()
            flat = self._columns.inverse(_rows(values, kind)[0], self._layout.dtype)
            result[rows] = _shaped(flat, kind, values.shape)
        return self._layout.join(result, table)

    def _score_samples(self, X: Any) -> NDArray[np.float64]:
        """Log density of each event; models with a density make it public."""
        check_is_fitted(self, "spec_")
        generated, context = self._layout.split(self, X)
        flat, _ = _rows(generated, self.spec_.kind)
        bad = self._columns.outside(flat).reshape(len(generated), -1).any(axis=1)
        made = None if context is None else self._conditions.forward(context)
        result = np.full(len(generated), -math.inf)
        rows = np.flatnonzero(~bad)
        if not self._columns.is_discrete:
            result[rows] = self._log_density(generated[rows], None if made is None else made[rows])
            return result
        points = integer_offsets(self.spec_.n_features)
        parts = [
            self._log_density(generated[rows], None if made is None else made[rows], point)
            for point in points
        ]
        result[rows] = np.logaddexp.reduce(parts, axis=0) - math.log(len(points))
        return result

    def _log_density(
        self, generated: NDArray[Any], context: Any, offsets: Any = None
    ) -> NDArray[np.float64]:
        """Log density of events inside the domains."""
        if not len(generated):
            return np.empty(0)
        kind = self.spec_.kind
        flat, _ = _rows(generated, kind)
        if offsets is not None:
            # particles and pixels do not move together
            place = np.arange(len(flat)) % (len(flat) // len(generated))
            offsets = (offsets + _GOLDEN * place[:, None]) % 1.0
        values, derivative = self._columns.forward(flat, offsets)
        latent = _shaped(values, kind, generated.shape)
        absent = np.isnan(flat).all(axis=1)
        log_jacobian = np.where(absent, 0.0, derivative).reshape(len(generated), -1).sum(axis=1)
        block = _BLOCK[kind]

        def batches() -> Any:
            for rows in blocks(len(latent), block):
                part = {"X": self._tensor(latent[rows])}
                if context is not None:
                    part["context"] = self._tensor(context[rows])
                yield part

        def density(batch: Any) -> Tensor:
            X, condition = batch["X"], batch.get("context")
            result = self._log_prob_latent(X, condition).detach()
            if kind == "cloud":
                with torch.no_grad():
                    result = result + self._sizes.log_prob(X, columns_of(X, condition))
            return result.cpu()

        parts = [part.double().numpy() for part in evaluate(self._engine, density, batches())]
        return np.concatenate(parts)[: len(latent)] + log_jacobian

    @property
    def _engine(self) -> Any:
        """Whose ``device_`` messages about memory name."""
        return self.net_

    @property
    def _module(self) -> Any:
        """The trained module, ready to be applied."""
        module = self.net_.module_.eval()
        return module.particles if self.spec_.kind == "cloud" else module

    @property
    def _sizes(self) -> Any:
        """Model of the number of particles."""
        return self.net_.module_.eval().multiplicity

    def _tensor(self, array: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._engine.device_)

    def _noise(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Standard normal numbers that are the same on every device."""
        return torch.randn(shape, generator=generator).to(self._engine.device_)

    def _start(self, n: int, context: Tensor | None, generator: torch.Generator) -> Tensor:
        """Standard normal numbers in the shape of ``n`` events; of clouds NaN for absent ones."""
        start = self._noise((n, *self.spec_.shape), generator)
        if self.spec_.kind != "cloud":
            return start
        present = self._sizes.sample(columns_of(start, context), generator)
        return start.masked_fill(~present[..., None], torch.nan)

    def __sklearn_tags__(self) -> Tags:
        """Tables, and clouds or images where the model generates them."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = "cloud" in self._kinds
        tags.non_deterministic = False
        return tags


def _has_density(model: Any) -> bool:
    reason = model._why_no_density()
    if reason:
        msg = f"{type(model).__name__!r} object has no log density: {reason}"
        raise AttributeError(msg)
    return True


class DensityEstimator(GenerativeEstimator):
    """Base of generative models with a log density."""

    def _why_no_density(self) -> str:
        """Why parameters or data leave no density; empty where there is one."""
        return ""

    @available_if(_has_density)
    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Log density of each event.

        Parameters
        ----------
        X : array-like, DataFrame or Events
            Events, with all columns of `fit`.

        Returns
        -------
        ndarray of shape (n_events,)
            Logarithm of the density of the generated columns given those of the context, in units
            of the columns; of integer columns the probability. Outside the domains minus infinity.

        Raises
        ------
        ValueError
            Context outside its domain, NaN, or columns other than those of `fit`.
        """
        return self._score_samples(X)

    @available_if(_has_density)
    def score(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
        """Weighted mean of the log density.

        Parameters
        ----------
        X : array-like, DataFrame or Events
            Events, with all columns of `fit`.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights of any sign.

        Returns
        -------
        float
            Larger is better, so that searches select by it. Minus infinity if an event whose weight
            is not zero lies outside the domains.

        Raises
        ------
        ValueError
            Weights whose sum is not positive, or what ``score_samples`` refuses.
        """
        return mean_score(self.score_samples(X), sample_weight)


# parameters that go to the engine as they are
_ENGINE = (
    "lr",
    "weight_decay",
    "schedule",
    "max_epochs",
    "batch_size",
    "early_stopping",
    "validation_fraction",
    "patience",
    "ema_decay",
    "max_grad_norm",
    "negative_weights",
    "weight_scale",
    "weight_cap",
    "checkpoint",
    "salt",
    "verbose",
)


def _rows(array: NDArray[Any], kind: str, weight: Any = None) -> tuple[NDArray[Any], Any]:
    """Particles or pixels below each other, one column for a feature or channel; their weights."""
    if kind == "table":
        return array, weight
    if kind == "image":
        array = np.moveaxis(array, 1, -1)
    flat = array.reshape(-1, array.shape[-1])
    return flat, None if weight is None else np.repeat(weight, len(flat) // len(array))


def _shaped(flat: NDArray[Any], kind: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Rows of `_rows` in the shape they came from."""
    if kind == "table":
        return flat
    if kind == "cloud":
        return flat.reshape(shape)
    n, channels, *sides = shape
    return np.ascontiguousarray(np.moveaxis(flat.reshape(n, *sides, channels), -1, 1))
