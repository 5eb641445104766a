"""Networks for classification."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d
from torch import Tensor

from skhep_ml._early_stopping import call_metric
from skhep_ml._validation import check_labels
from skhep_ml.neural_network._dataset import WEIGHT, BatchIterator, EventDataset
from skhep_ml.neural_network._losses import (
    CLASSIFICATION_LOSSES,
    EventLoss,
)
from skhep_ml.neural_network._net import EventNet
from skhep_ml.neural_network._outputs import (
    check_prior,
    input_gradients,
    log_odds,
)
from skhep_ml.neural_network._penalties import DoubleDisCoLoss
from skhep_ml.neural_network._probabilities import Probabilities
from skhep_ml.neural_network.modules import MLP


class NetClassifier(ClassifierMixin, Probabilities, EventNet):
    r"""Neural network classifier: a skorch net with physics weights, without waiting for Python.

    The default is a multilayer perceptron of 3 layers with 256 nodes and ReLU.

    Parameters
    ----------
    module : torch.nn.Module class or instance, default=MLP
        The architecture, from `skhep_ml.neural_network.modules` or your own. A class gets
        ``n_features``, ``n_outputs``, ``image_shape`` and ``input_shapes`` from the data where its
        constructor has arguments of these names, and ``module__<name>`` for the others. It
        returns one logit a class, alone or as the first of a tuple.
    n_members : int, default=1
        Nets with initial weights of their own that are trained at once, as one batched module, on
        the same batches; predictions are averaged. The members differ in initial weights and
        dropout, and each is trained by its own loss: without dropout, member 0 is the net of
        ``n_members=1``. ``train_loss`` and ``valid_loss`` are means over members; early stopping,
        ``max_grad_norm`` and ``gradient_penalty`` act on all of them together. Saves time where
        batches or layers are too small to keep the device busy. ``module_.split()`` gives the
        members one by one.
    criterion : str or torch criterion, default="cross_entropy"
        The loss: "cross_entropy" (``criterion__label_smoothing``), "focal" (``criterion__gamma``)
        or "double_disco" (``criterion__strength``). A torch class is made with
        ``reduction="none"``, so that it takes weights.
    optimizer : str or torch optimizer class, default="adamw"
        "sgd", "momentum", "adagrad", "rmsprop", "adam", "nadam", "adamw"; ``optimizer__<name>`` for
        its arguments.
    lr : float, default=1e-3
        Learning rate, the largest one where a schedule changes it.
    weight_decay : float, default=0.0
        Weight decay of the optimizer (decoupled for "adamw").
    l1 : float, default=0.0
        Penalty on the sum of the absolute weights, biases left out.
    schedule : str, default="constant"
        "constant", "step" (a tenth after each third), "exponential" (down to a hundredth),
        "cosine", "one_cycle" or "plateau" (0.3 after 3 epochs without a better loss).
    max_epochs : int, default=30
        Passes over the events; an upper limit under early stopping.
    batch_size : int or "auto", default="auto"
        Events in a training step; "auto" takes a power of two near n / 128, from 32 to 1024 (4096
        on a GPU), and less for clouds and images of many particles or pixels; -1 takes all.
    sampling : {"shuffle", "weight"}, default="shuffle"
        "weight" draws events in proportion to abs(w), with replacement: for weights that span
        orders of magnitude.
    early_stopping : bool, default=False
        Stop when held-out events no longer improve, and restore the best weights.
    validation_fraction : float, default=0.2
        Fraction of events held out for it, by ``groups`` where given.
    patience : int, default=10
        Epochs without improvement before the end.
    eval_metric : scorer or callable, default=None
        What early stopping looks at: None for the loss, a scorer of `skhep_ml.metrics`, or a
        function (y_true, y_score, sample_weight) whose larger values are better. Needs
        ``early_stopping`` or an ``eval_set``.
    refit : bool, default=False
        After early stopping, train again on all events for the best number of epochs.
    negative_weights : {"refine", "keep", "pair", "cell", "drop", "abs", "raise"}, default="refine"
        What training does with negative weights, see `skhep_ml.weights.apply_negative_weights`.
    weight_scale : {"mean", None}, default="mean"
        Divide weights by their mean abs(w), so that their unit does not matter; None passes them.
    weight_cap : float, default=None
        Quantile of abs(w) at which training limits abs(w); a warning says what that takes away.
    class_weight : "balanced" or dict, default=None
        "balanced" gives all classes the same signed weight sum in training; a dict multiplies
        the weights of the classes it names.
    max_grad_norm : float, default=None
        Length to which longer gradients are cut.
    gradient_penalty : float, default=0.0
        Factor of the mean squared gradient of an event's loss with respect to its inputs, which
        makes the output change less under small shifts of the inputs. Takes about twice as long,
        and modules that can be differentiated twice.
    decorrelate : str, int or array-like of them, default=None
        Columns of X, by name or position, that the probability must be independent of on the
        events of one class, such as the mass (DisCo). Among several named inputs: names of tables.
    decorrelation_strength : float, default=1.0
        What multiplies the squared distance correlation in the loss; 1 to 100 are usual.
    decorrelate_label : label, default=None
        The class; None takes the first of ``classes_`` (background).
    decorrelate_visible : bool, default=False
        Whether the module sees these columns as well. Hidden or not, they are part of X.
    ema_decay : float, default=None
        Use an exponential moving average of the weights over batches, with this decay, for
        validation and prediction.
    precision : {"float32", "bf16"}, default="float32"
        "bf16" runs the module under `torch.autocast`.
    compile : bool, default=False
        Whether to use `torch.compile`.
    calibrate : {"temperature", None}, default=None
        Scale the log probabilities by a temperature fitted on the held-out events of
        ``early_stopping`` or ``eval_set``, with their signed weights.
    prior : dict or array-like of shape (n_classes,), default=None
        Class mixture that probabilities are given for, as a dict {label: share} or in the order of
        ``classes_``; None for the mixture of the training weights, ``class_prior_``. May be changed
        after ``fit``.
    checkpoint : path, default=None
        File that holds the state of training, in a folder that exists; a fit that finds it there
        continues, with the result of an uninterrupted one. Needs an integer ``random_state``.
    checkpoint_every : int, default=1
        Epochs between two checkpoints.
    salt : int, default=0
        Salt of the splits by event identifiers (early stopping, refinement).
    iterator_train, iterator_valid : class, default=BatchIterator
        Source of batches; a `torch.utils.data.DataLoader` works too, slowly.
    train_split : callable, default=None
        skorch's way of holding events out.
    callbacks : list, default=None
        skorch callbacks. One that reads the history of single batches costs speed.
    warm_start : bool, default=False
        Whether a second ``fit`` continues with the present weights; columns and classes must be
        those of the first one.
    device : str, default="auto"
        "cpu", "cuda", "cuda:1", ...; "auto" takes a GPU where one is.
    random_state : int, RandomState instance or None, default=None
        Seed of initial weights, order of events, dropout, splits and refinement.
    verbose : int, default=0
        Above 0: a line an epoch.
    **kwargs : dict
        ``module__*``, ``criterion__*``, ``optimizer__*``, ``callbacks__*``, ``iterator_train__*``
        and skorch's other parameters.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    module_ : torch.nn.Module
        The trained network.
    history_ : skorch.history.History
        Losses, rates, durations, events per second of every epoch.
    class_prior_ : ndarray of shape (n_classes,)
        Share of each class in the weights of training.
    temperature_ : float
        What log probabilities are divided by; only with ``calibrate``.
    best_epoch_, best_score_ : int, float
        With early stopping: the best epoch, counted from 1, and its loss or metric.
    n_features_in_ : int
        Features of a table or of a particle, channels of an image, or number of named inputs.
    feature_names_in_ : ndarray of str
        Columns, if fitted on a DataFrame; later DataFrames are read by these names.

    Notes
    -----
    Events stay on the device as tensors, batches are slices of them, and one synchronisation an
    epoch reads the losses. The loss of a batch is the mean of w times the loss of an event, weights
    having mean abs(w) = 1. Training is bit-reproducible on a CPU for a given ``random_state``.

    ``decorrelate`` adds ``decorrelation_strength`` times the squared distance correlation of the
    probability of ``decorrelate_label`` and each column to the loss of a batch; there the weights
    of the class are abs(w) after ``negative_weights``. The batch must be large enough to see a
    dependence: "auto" takes at least 512 events. The loss of held-out events contains it too.
    ``criterion="double_disco"`` trains two outputs that are independent of each other.

    Where a GPU's memory ends during training, the epoch begins again once with batches of half the
    size.

    ``prior`` multiplies :math:`p_k` by :math:`\pi_k / \pi_k^{train}` and normalises.

    References
    ----------
    G. Kasieczka, D. Shih, Robust jet classifiers through distance correlation, arXiv:2001.05310.

    H. Drucker, Y. LeCun, Improving generalization performance using double backpropagation, IEEE
    Trans. Neural Networks 3 (1992) 991.

    Examples
    --------
    >>> from skhep_ml.datasets import make_signed_events
    >>> from skhep_ml.neural_network import NetClassifier
    >>> events = make_signed_events(2000, negative_fraction=0.2, random_state=0)
    >>> net = NetClassifier(max_epochs=3, class_weight="balanced", random_state=0, device="cpu")
    >>> net.fit(events.data, events.target, events.weight).predict_proba(events.data).shape
    (4000, 2)
    """

    _losses: ClassVar[dict[str, type[EventLoss]]] = {
        **CLASSIFICATION_LOSSES,
        "double_disco": DoubleDisCoLoss,
    }
    _target_words: ClassVar[str] = "classes"

    def __init__(
        self,
        module: Any = MLP,
        *,
        n_members: int = 1,
        criterion: Any = "cross_entropy",
        optimizer: Any = "adamw",
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        l1: float = 0.0,
        schedule: str = "constant",
        max_epochs: int = 30,
        batch_size: int | str = "auto",
        sampling: str = "shuffle",
        early_stopping: bool = False,
        validation_fraction: float = 0.2,
        patience: int = 10,
        eval_metric: Any = None,
        refit: bool = False,
        negative_weights: str = "refine",
        weight_scale: str | None = "mean",
        weight_cap: float | None = None,
        class_weight: Any = None,
        max_grad_norm: float | None = None,
        gradient_penalty: float = 0.0,
        decorrelate: Any = None,
        decorrelation_strength: float = 1.0,
        decorrelate_label: Any = None,
        decorrelate_visible: bool = False,
        ema_decay: float | None = None,
        precision: str = "float32",
        compile: bool = False,
        calibrate: str | None = None,
        prior: Any = None,
        checkpoint: Any = None,
        checkpoint_every: int = 1,
        salt: int = 0,
        iterator_train: Any = BatchIterator,
        iterator_valid: Any = BatchIterator,
        train_split: Any = None,
        callbacks: Any = None,
        warm_start: bool = False,
        device: str = "auto",
        random_state: Any = None,
        verbose: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            module,
            n_members=n_members,
            criterion=criterion,
            optimizer=optimizer,
            lr=lr,
            weight_decay=weight_decay,
            l1=l1,
            schedule=schedule,
            max_epochs=max_epochs,
            batch_size=batch_size,
            sampling=sampling,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            patience=patience,
            eval_metric=eval_metric,
            refit=refit,
            negative_weights=negative_weights,
            weight_scale=weight_scale,
            weight_cap=weight_cap,
            max_grad_norm=max_grad_norm,
            gradient_penalty=gradient_penalty,
            decorrelate=decorrelate,
            decorrelation_strength=decorrelation_strength,
            decorrelate_visible=decorrelate_visible,
            ema_decay=ema_decay,
            precision=precision,
            compile=compile,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            salt=salt,
            iterator_train=iterator_train,
            iterator_valid=iterator_valid,
            train_split=train_split,
            callbacks=callbacks,
            warm_start=warm_start,
            device=device,
            random_state=random_state,
            verbose=verbose,
            **kwargs,
        )
        self.class_weight = class_weight
        self.decorrelate_label = decorrelate_label
        self.calibrate = calibrate
        self.prior = prior

    def _learn_target(self, y: Any) -> NDArray[np.int64]:
        labels = column_or_1d(y, warn=True)
        classes, codes = check_labels(labels, len(labels))
        assert_all_finite(labels, input_name="y")
        check_classification_targets(labels)
        if len(classes) < 2:
            msg = f"only one class in y: {classes.tolist()}; a classifier needs two"
            raise ValueError(msg)
        check_prior(self.prior, classes)
        self._forget_classes()
        self.classes_ = classes
        self._nuisance_code()
        return codes.astype(np.int64)

    def _forget_classes(self) -> None:
        for name in ("classes_", "_class_sums_", "class_prior_", "temperature_"):
            self.__dict__.pop(name, None)

    def _learn_classes(self, classes: Any, *, learn: bool) -> None:
        if learn:
            self._learn_target(classes)
            return
        differ = np.setxor1d(np.asarray(classes), self.classes_)
        if len(differ):
            msg = (
                f"classes must be those of the first call, {self.classes_.tolist()}: they differ "
                f"by {differ.tolist()[0]!r}"
            )
            raise ValueError(msg)

    def _learn_from_dataset(self, target: Any, item_shape: tuple[int, ...], *, learn: bool) -> None:
        if learn:
            self._forget_classes()
        if target is None:
            return  # the module must know how many classes there are
        if learn:
            self._learn_target(target)
        else:
            self._encode(target)
        if not np.array_equal(self.classes_, np.arange(len(self.classes_))):
            msg = (
                f"a Dataset gives its labels to the loss as they are: they must be 0 to "
                f"{len(self.classes_) - 1}, got {self.classes_.tolist()}; number them, or pass "
                "arrays"
            )
            raise ValueError(msg)

    def _encode(self, y: Any) -> NDArray[np.int64]:
        labels = column_or_1d(y)
        found, codes = check_labels(labels, len(labels))
        unseen = np.setdiff1d(found, self.classes_)
        if len(unseen):
            msg = f"label {unseen.tolist()[0]!r} was not seen in fit, which had {self.classes_}"
            raise ValueError(msg)
        return np.searchsorted(self.classes_, found)[codes].astype(np.int64)

    def _codes(self, target: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        return target, self.classes_

    def _n_targets(self) -> int | None:
        return len(self.classes_) if hasattr(self, "classes_") else None

    def _metric(self, output: Tensor, dataset: EventDataset) -> float:
        probability = self._probability(output).cpu().numpy().astype(np.float64)
        weight = dataset.extras.get(WEIGHT)
        return call_metric(
            self.eval_metric,
            dataset.y.cpu().numpy(),
            self.classes_,
            probability[:, 1] if probability.shape[1] == 2 else probability,
            None if weight is None else weight.cpu().numpy().astype(np.float64),
        )

    def _nuisance_code(self) -> int:
        if self.decorrelate is None or self.decorrelate_label is None:
            return 0
        labels = self.classes_.tolist()
        if self.decorrelate_label not in labels:
            msg = f"decorrelate_label={self.decorrelate_label!r} is not among the classes {labels}"
            raise ValueError(msg)
        return labels.index(self.decorrelate_label)

    def _decorrelated(self, output: Tensor) -> Tensor:
        code = self._nuisance_code()
        return self._probability(output)[:, [code]]

    def _check_classes_known(self) -> None:
        if not hasattr(self, "classes_"):
            msg = (
                "the classes are learnt in fit: this net was only initialised, or fitted on a "
                "torch Dataset that does not show its labels, and without y"
            )
            raise NotFittedError(msg)

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """Predict class probabilities.

        Parameters
        ----------
        X : array-like
            Events, as in `fit`.

        Returns
        -------
        ndarray of shape (n_events, n_classes)
            Probabilities, in the order of ``classes_``.
        """
        check_is_fitted(self, "module_")
        output = self._outputs(X)
        if self.calibrate is None and self.prior is None:
            return self._probability(output).numpy()
        return self._final_log_probability(output).exp().numpy()

    def decision_function(self, X: Any) -> NDArray[np.float32]:
        """Predict log odds for two classes, log probabilities for more.

        Parameters
        ----------
        X : array-like
            Events, as in `fit`.

        Returns
        -------
        ndarray of shape (n_events,) or (n_events, n_classes)
            Scores without rounding at 0 and 1.
        """
        check_is_fitted(self, "module_")
        logits = self._final_log_probability(self._outputs(X))
        return (logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits).numpy()

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict the most probable class.

        Parameters
        ----------
        X : array-like
            Events, as in `fit`.

        Returns
        -------
        ndarray of shape (n_events,)
            Labels.
        """
        check_is_fitted(self, "module_")
        self._check_classes_known()
        winner = self.predict_proba(X).argmax(axis=1)
        return self.classes_[winner]

    def saliency(self, X: Any, label: Any = None) -> Any:
        """Gradient of the log odds with respect to the inputs.

        Parameters
        ----------
        X : array-like
            Events, as in `fit`.
        label : label, default=None
            Class whose log odds against all others are meant; None takes the second of two
            classes, and of more the one that is most probable for the event.

        Returns
        -------
        ndarray or dict of ndarray
            For each input value, in the shapes of X; 0 for absent particles and hidden columns.

        Raises
        ------
        ValueError
            Unknown label.
        """
        check_is_fitted(self, "module_")
        self._check_classes_known()
        code = 1 if len(self.classes_) == 2 else None
        if label is not None:
            code = int(self._encode([label])[0])
        return input_gradients(
            self, X, lambda output: log_odds(self._final_log_probability(output), code)
        )
