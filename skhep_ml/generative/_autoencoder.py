"""Autoencoder: events to a few latent variables and back, as a transformer."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_array, check_is_fitted
from torch import Tensor

from skhep_ml._validation import check_event_weight
from skhep_ml.generative._autoencoder_net import AutoencoderNet
from skhep_ml.generative._engine import GenerativeNet, GivenLoss
from skhep_ml.generative._layout import refuse_partial
from skhep_ml.generative._modules import hidden_widths
from skhep_ml.generative._score import mean_score
from skhep_ml.generative._sizes import blocks
from skhep_ml.neural_network._inputs import KINDS, check_inputs
from skhep_ml.neural_network._parameters import check_parameter

_NET_PARAMETERS = (
    "optimizer",
    "lr",
    "weight_decay",
    "schedule",
    "max_epochs",
    "batch_size",
    "early_stopping",
    "validation_fraction",
    "patience",
    "negative_weights",
    "weight_scale",
    "weight_cap",
    "max_grad_norm",
    "ema_decay",
    "salt",
    "device",
    "verbose",
)


class Autoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    r"""Compresses events to a few latent variables from which they can be made again.

    For tables, clouds and images. Events unlike those of the training come back badly, which is
    what `score_samples` measures.

    Parameters
    ----------
    n_latent : int, default=8
        Latent variables.
    hidden : sequence of int, default=None
        Widths of the encoder, of which the decoder is the mirror image: nodes of each layer for
        tables, (128, 128) by default; nodes before and again after the pooling for clouds,
        (64, 64); channels of the convolutions for images, (16, 32), whose resolution halves with
        each. ``()`` makes a table's autoencoder linear.
    optimizer : str, default="adamw"
        As in `skhep_ml.neural_network.NetRegressor`, like all that follow.
    lr : float, default=1e-3
        Learning rate.
    weight_decay : float, default=0.0
        Decay of the weights, decoupled from the gradient.
    schedule : str, default="constant"
        Learning rate over the epochs.
    max_epochs : int, default=30
        Passes over the events.
    batch_size : int or "auto", default="auto"
        Events in a training step.
    early_stopping : bool, default=False
        Hold events out, by ``groups`` where they are given, and keep the weights that reconstruct
        these best.
    validation_fraction : float, default=0.2
        Part of the events held out.
    patience : int, default=10
        Epochs without improvement before the end.
    negative_weights : str, default="refine"
        What training does with negative weights, see `skhep_ml.weights.apply_negative_weights`.
    weight_scale : {"mean", None}, default="mean"
        Whether weights are divided by the mean of their size.
    weight_cap : float, default=None
        Quantile at which the size of weights is cut in training.
    max_grad_norm : float, default=None
        Largest norm of a gradient.
    ema_decay : float, default=None
        Moving average of the weights.
    salt : int, default=0
        Changes which events are held out.
    device : str, default="auto"
        "cpu", "cuda", ...; "auto" takes a GPU where there is one.
    random_state : int, RandomState instance or None, default=None
        An integer makes the fit reproducible.
    verbose : int, default=0
        1 prints a line an epoch.

    Attributes
    ----------
    history_ : skorch History
        What was recorded in each epoch.
    net_ : EventNet
        The trained net.
    mean_, scale_ : ndarray of shape (n_features,)
        Mean and standard deviation, under abs(w), of the columns, the features of particles, or the
        channels of images; the net sees standardised values.
    n_features_in_ : int
        Columns, features or channels.
    feature_names_in_ : ndarray of str
        Columns of the table in fit, if they have names.

    See Also
    --------
    VAE : Generates events too.

    Notes
    -----
    What is minimised, and what `score_samples` gives with a minus sign, is for tables and images
    the mean over the standardised values of

    .. math:: (x_j - \hat x_j)^2

    and for clouds the Chamfer distance between the sets of particles, the mean squared distance of
    each particle to the nearest one of the other set, both ways, plus the squared error of the
    fraction of places that particles take. The order of particles changes nothing, and
    `inverse_transform` gives as many as the latent variables say.

    A linear one (``hidden=()``) spans the space of the leading principal components.

    References
    ----------
    G. E. Hinton and R. R. Salakhutdinov, Reducing the dimensionality of data with neural networks,
    Science 313 (2006) 504. For searches: T. Heimel et al., QCD or what?, arXiv:1808.08979;
    M. Farina, Y. Nakai, D. Shih, Searching for new physics with deep autoencoders,
    arXiv:1808.08992.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.generative import Autoencoder
    >>> rng = np.random.default_rng(0)
    >>> angle = rng.uniform(-3, 3, 2000)
    >>> X = np.column_stack([np.cos(angle), np.sin(angle), angle])
    >>> model = Autoencoder(1, max_epochs=40, lr=3e-3, device="cpu", random_state=0).fit(X)
    >>> model.transform(X[:3]).shape, model.inverse_transform([[0.0]]).shape
    ((3, 1), (1, 3))
    >>> seen, unseen = model.score_samples([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    >>> bool(seen > unseen)
    True
    """

    __metadata_request__fit: ClassVar = {"sample_weight": True, "groups": True}
    __metadata_request__score: ClassVar = {"sample_weight": True}

    net_: Any
    _kind: str
    _shape: tuple[int, ...]
    _n_features_out: int

    def __init__(
        self,
        n_latent: int = 8,
        *,
        hidden: Any = None,
        optimizer: Any = "adamw",
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        schedule: str = "constant",
        max_epochs: int = 30,
        batch_size: int | str = "auto",
        early_stopping: bool = False,
        validation_fraction: float = 0.2,
        patience: int = 10,
        negative_weights: str = "refine",
        weight_scale: str | None = "mean",
        weight_cap: float | None = None,
        max_grad_norm: float | None = None,
        ema_decay: float | None = None,
        salt: int = 0,
        device: str = "auto",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_latent = n_latent
        self.hidden = hidden
        self.optimizer = optimizer
        self.lr = lr
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.negative_weights = negative_weights
        self.weight_scale = weight_scale
        self.weight_cap = weight_cap
        self.max_grad_norm = max_grad_norm
        self.ema_decay = ema_decay
        self.salt = salt
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Any:
        """Train encoder and decoder.

        Parameters
        ----------
        X : array-like
            A table (n_events, n_features), clouds (n_events, n_particles, n_features) whose absent
            particles are NaN, or images (n_events, n_channels, height, width).
        y : None
            Ignored.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign and unit.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers: early stopping and refinement then split by event.

        Returns
        -------
        self : Autoencoder
            The fitted autoencoder.

        Raises
        ------
        ValueError
            A wrong parameter, wrong shapes or weights, NaN in a table or an image, a particle of
            which only some features are NaN.

        Warns
        -----
        DivergenceWarning
            The loss became infinite or NaN; the last finite weights are kept.
        """
        if not isinstance(self.n_latent, Integral) or int(self.n_latent) < 1:
            msg = f"n_latent={self.n_latent!r} must be a positive integer"
            raise ValueError(msg)
        for name in _NET_PARAMETERS:
            if name != "device":
                check_parameter(name, getattr(self, name))
        array = self._check(X, reset=True)
        self._kind = KINDS[array.ndim]
        self._shape = tuple(int(size) for size in array.shape[1:])
        hidden = hidden_widths(self, self._kind)
        weight = check_event_weight(sample_weight, len(array))
        self._learn_scale(array, weight)
        net = GenerativeNet(
            AutoencoderNet,
            module__kind=self._kind,
            module__shape=self._shape,
            module__n_latent=int(self.n_latent),
            module__hidden=hidden,
            criterion=GivenLoss,
            random_state=self.random_state,
            **{name: getattr(self, name) for name in _NET_PARAMETERS},
        )
        y = np.zeros(len(array), dtype=np.float32)
        self.net_ = net.fit(self._scaled(array), y, weight, groups)
        self.history_ = self.net_.history_
        self._n_features_out = int(self.n_latent)
        return self

    def _check(self, X: Any, *, reset: bool) -> NDArray[np.float32]:
        """Events as an array, one input only, without particles that are partly missing."""
        array = check_inputs(self, X, reset=reset)
        if isinstance(array, dict):
            msg = (
                f"Autoencoder takes one table, cloud or image, got inputs {list(array)}: give one "
                "of them, or put them side by side as a table with EventsTransformer"
            )
            raise ValueError(msg)
        if array.ndim == 3:
            refuse_partial(array)
            if not reset and array.shape[1] != self._shape[0]:
                msg = (
                    f"X has {array.shape[1]} places for particles, but fit had {self._shape[0]}: "
                    "pad with NaN, or cut"
                )
                raise ValueError(msg)
        return array

    def _learn_scale(self, array: NDArray[np.float32], weight: NDArray[np.float64] | None) -> None:
        rows = _rows(array)
        per_event = len(rows) // len(array)
        size = np.ones(len(array)) if weight is None else np.abs(weight)
        size = np.repeat(size, per_event)
        there = ~np.isnan(rows[:, 0])
        if not size[there].any():
            msg = "X has no particle in any event: there is nothing to learn"
            raise ValueError(msg)
        rows, size = rows[there].astype(np.float64), size[there]
        self.mean_ = np.average(rows, axis=0, weights=size)
        width = np.sqrt(np.average((rows - self.mean_) ** 2, axis=0, weights=size))
        # constant columns: rounding leaves a width where there is none
        self.scale_ = np.where(width > 1e-7 * np.abs(self.mean_), width, 1.0)

    def _scaled(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        mean, scale = self._moments()
        return ((array - mean) / scale).astype(np.float32)

    def _moments(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Mean and width, in a shape that fits events."""
        shape = (-1, 1, 1) if self._kind == "image" else (-1,)
        return self.mean_.reshape(shape), self.scale_.reshape(shape)

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Encode events.

        Parameters
        ----------
        X : array-like
            Events, as in `fit`.

        Returns
        -------
        ndarray of shape (n_events, n_latent)
            Latent variables, a DataFrame where `set_output` asks for one.

        Raises
        ------
        ValueError
            Other shapes than in fit.
        """
        check_is_fitted(self, "net_")
        array = self._scaled(self._check(X, reset=False))
        return self._apply(self.net_.module_.encode, array)

    def inverse_transform(self, X: Any) -> NDArray[np.float32]:
        """Decode latent variables.

        Parameters
        ----------
        X : array-like of shape (n_events, n_latent)
            Latent variables.

        Returns
        -------
        ndarray
            Events in the shape and the units of those in fit; the particles that a cloud does not
            have are NaN.

        Raises
        ------
        ValueError
            Another number of columns.
        """
        check_is_fitted(self, "net_")
        latent = check_array(X, dtype=np.float32, input_name="latent variables")
        if latent.shape[1] != self._n_features_out:
            msg = (
                f"there are {latent.shape[1]} latent variables, but this Autoencoder has "
                f"{self._n_features_out}"
            )
            raise ValueError(msg)
        mean, scale = self._moments()
        return (self._apply(self.net_.module_.decode, latent) * scale + mean).astype(np.float32)

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Minus the reconstruction error of each event, larger for events like those in fit.

        Parameters
        ----------
        X : array-like
            Events, as in `fit`.

        Returns
        -------
        ndarray of shape (n_events,)
            Scores, never positive; see Notes of the class.

        Raises
        ------
        ValueError
            Other shapes than in fit.
        """
        check_is_fitted(self, "net_")
        array = self._scaled(self._check(X, reset=False))
        return -self._apply(self.net_.module_, array).astype(np.float64)

    def score(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
        """Weighted mean of `score_samples`, so that searches prefer what loses least.

        Parameters
        ----------
        X : array-like
            Events, as in `fit`.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign, whose sum is positive.

        Returns
        -------
        float
            The mean.

        Raises
        ------
        ValueError
            Weights that sum to nothing or less.
        """
        return mean_score(self.score_samples(X), sample_weight)

    def _apply(self, function: Any, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """Apply a part of the module in batches."""
        net = self.net_
        net.module_.eval()
        size = 64 * max(1, 2**14 // max(1, array[0].size))
        parts = []
        with torch.no_grad():
            for rows in blocks(len(array), size):
                part = torch.from_numpy(np.ascontiguousarray(array[rows]))
                parts.append(_numpy(function(part.to(net.device_))))
        return np.concatenate(parts)[: len(array)]

    def __sklearn_tags__(self) -> Tags:
        """Tables, clouds and images; float32 comes out."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.non_deterministic = False
        return tags


def _numpy(output: Tensor) -> NDArray[np.float32]:
    return output.float().cpu().numpy()


def _rows(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Events, particles or pixels as rows of a table, whose columns are what is standardised."""
    if array.ndim == 4:
        array = np.moveaxis(array, 1, -1)
    return array.reshape(-1, array.shape[-1])
