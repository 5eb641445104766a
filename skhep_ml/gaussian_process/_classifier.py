"""Gaussian-process classification."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.base import ClassifierMixin
from sklearn.gaussian_process.kernels import CompoundKernel
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from skhep_ml._device import resolve_device
from skhep_ml._masks import unmasked
from skhep_ml._validation import check_labels
from skhep_ml.gaussian_process._base import BaseGP

# the mean of a sigmoid under a normal, by quadrature
_NODES, _NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(32)
_NODE_WEIGHTS = _NODE_WEIGHTS / _NODE_WEIGHTS.sum()


class GPClassifier(ClassifierMixin, BaseGP):
    r"""Gaussian-process classification with event weights.

    A logistic likelihood on a latent Gaussian process, one for each class against the rest if there
    are more than two. Laplace's approximation for few events; beyond, inducing points with the
    optimal distribution over them. Kernels are scikit-learn's.

    Parameters
    ----------
    kernel : kernel of sklearn.gaussian_process.kernels, default=None
        Covariance of the log odds, as in `GPRegressor`. None: ``ConstantKernel() * RBF(one length
        scale a feature)``. Adding a ConstantKernel lets the log odds have an offset.
    method : {"auto", "laplace", "sparse", "svgp"}, default="auto"
        - ``"laplace"``: matrices of all events, time n^3; scikit-learn's method, with weights;
        - ``"sparse"``: ``n_inducing`` points and sums over events in blocks, time n m^2;
        - ``"svgp"``: starts where sparse does, then takes stochastic variational steps on
          minibatches that also move points and hyperparameters; needs the extra ``gp`` (gpytorch);
        - ``"auto"``: Laplace up to ``max_exact`` events, sparse beyond.
    optimizer : "fmin_l_bfgs_b" or None, default="fmin_l_bfgs_b"
        None leaves the kernel as it is.
    n_restarts_optimizer : int, default=0
        Further starts, drawn log-uniformly within the bounds of the kernel.
    max_iter : int, default=100
        Iterations of the optimizer from each start.
    max_exact : int, default=1000
        Events up to which "auto" uses Laplace's approximation.
    n_inducing : int, default=256
        Inducing points: the finer the structure, the more are needed.
    n_optimize : int, default=4000
        Events, drawn at random, on which the hyperparameters are learned unless Laplace's method is
        used throughout: by that method in blocks of 1000. The posterior always uses all events.
    batch_size, max_epochs, learning_rate : int, int, float, default=1024, 10, 0.01
        Under ``"svgp"``: events in a minibatch, passes over the events, rate of Adam.
    negative_weights : {"refine", "pair", "cell", "drop", "abs", "raise"}, default="refine"
        What training does with negative weights, see `skhep_ml.weights.apply_negative_weights`;
        ``"keep"`` raises, since the posterior would not exist.
    weight_scale : {"mean", None}, default="mean"
        Divide weights by their mean; None passes them.
    class_weight : "balanced" or dict, default=None
        "balanced" gives all classes the same signed weight sum in training.
    weight_cap : float, default=None
        Quantile of abs(w) at which training limits abs(w); a warning says what that takes away.
    salt : int, default=0
        Salt of refinement's split by event identifiers.
    device : str, default="auto"
        "cpu", "cuda", "cuda:1", ...; "auto" takes a GPU where one is.
    random_state : int, RandomState instance or None, default=None
        Seed of inducing points, subsets, restarts, minibatches and refinement.
    verbose : int, default=0
        Above 0: a progress bar.

    Attributes
    ----------
    classes_ : ndarray
        Class labels.
    kernel_ : kernel
        The kernel with learned parameters; for more than two classes a CompoundKernel of one for
        each class.
    method_ : {"laplace", "sparse", "svgp"}
        The method used.
    log_marginal_likelihood_value_ : float
        Approximate log marginal likelihood (a lower bound of it unless Laplace's), the mean over
        classes if there are more than two.
    n_iter_ : int
        Iterations of the optimizer (at least 1), or epochs; the largest of the classes.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of str
        Columns, if fitted on a DataFrame; later DataFrames are read by these names.

    See Also
    --------
    GPRegressor : The same for numbers, with draws and mean functions.

    Notes
    -----
    The log likelihood of event i counts w_i times. ``"sparse"`` bounds the log likelihood by
    parabolas (Jaakkola and Jordan), which turns each event into a measurement of the log odds with
    known noise; rounds of optimal parabolas and optimal distribution need no steps or rates.
    Probabilities average the sigmoid over the posterior of the log odds.

    References
    ----------
    C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning, MIT Press, 2006,
    chapter 3.

    M. N. Gibbs, D. J. C. MacKay, Variational Gaussian process classifiers, IEEE Transactions on
    Neural Networks 11 (2000) 1458.

    F. Wenzel et al., Efficient Gaussian process classification using Polya-Gamma data augmentation,
    arXiv:1802.06383.

    Examples
    --------
    >>> from skhep_ml.datasets import make_signed_events
    >>> from skhep_ml.gaussian_process import GPClassifier
    >>> events = make_signed_events(200, negative_fraction=0.2, random_state=0)
    >>> model = GPClassifier(random_state=0)
    >>> model.fit(events.data, events.target, sample_weight=events.weight)
    GPClassifier(random_state=0)
    >>> model.predict_proba(events.data[:3]).shape
    (3, 2)
    """

    _exact_name = "laplace"

    def __init__(
        self,
        kernel: Any = None,
        *,
        method: str = "auto",
        optimizer: str | None = "fmin_l_bfgs_b",
        n_restarts_optimizer: int = 0,
        max_iter: int = 100,
        max_exact: int = 1000,
        n_inducing: int = 256,
        n_optimize: int = 4000,
        batch_size: int = 1024,
        max_epochs: int = 10,
        learning_rate: float = 0.01,
        negative_weights: str = "refine",
        weight_scale: str | None = "mean",
        class_weight: Any = None,
        weight_cap: float | None = None,
        salt: int = 0,
        device: str = "auto",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.kernel = kernel
        self.method = method
        self.optimizer = optimizer
        self.n_restarts_optimizer = n_restarts_optimizer
        self.max_iter = max_iter
        self.max_exact = max_exact
        self.n_inducing = n_inducing
        self.n_optimize = n_optimize
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.learning_rate = learning_rate
        self.negative_weights = negative_weights
        self.weight_scale = weight_scale
        self.class_weight = class_weight
        self.weight_cap = weight_cap
        self.salt = salt
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> "GPClassifier":
        """Learn the hyperparameters and the posterior.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features, without missing values.
        y : array-like of shape (n_events,)
            Class labels.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign and unit.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers; refinement then splits by event.

        Returns
        -------
        self : GPClassifier
            The fitted model.

        Raises
        ------
        ValueError
            A kernel that is not supported, not positive, or has length scales for another number of
            features; a single class or one whose weights do not sum to something positive; negative
            weights under ``"keep"``; wrong parameters, weights or lengths.
        ModuleNotFoundError
            ``method="svgp"`` without gpytorch.

        Warns
        -----
        ConvergenceWarning
            The hyperparameters still moved after ``max_iter`` iterations.
        """
        rng, device = self._start()
        X, label = validate_data(
            self, unmasked(X), y, dtype=[np.float64, np.float32], multi_output=False
        )
        check_classification_targets(label)
        classes, codes = check_labels(label, len(X))
        if len(classes) < 2:
            msg = f"only one class in y: {classes.tolist()}; a classifier needs two"
            raise ValueError(msg)
        seed = int(rng.randint(2**31 - 1))
        weight = self._training_weights(X, codes, classes, sample_weight, groups, device, seed)
        if (weight == 0).any():
            used = weight > 0
            X, codes, weight = X[used], codes[used], weight[used]
        kernel = self._kernel(X, noise=False)
        self.classes_ = classes
        self.method_ = self._resolved_method(len(X))
        positives = [1] if len(classes) == 2 else range(len(classes))
        fitted = [
            self._learn(
                kernel,
                self.method_,
                X,
                np.where(codes == positive, 1.0, -1.0),
                np.zeros(len(X)),
                weight,
                binary=True,
                mean=None,
                device=device,
                rng=rng,
            )
            for positive in positives
        ]
        self._posteriors = [one.posterior for one in fitted]
        learned = [one.posterior.kernel for one in fitted]
        self.kernel_ = learned[0] if len(classes) == 2 else CompoundKernel(learned)
        self.log_marginal_likelihood_value_ = float(np.mean([one.evidence for one in fitted]))
        self.n_iter_ = max(1, *(one.n_iter for one in fitted))
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Predict class probabilities.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features; a DataFrame's columns are used by name.

        Returns
        -------
        ndarray of shape (n_events, n_classes)
            Probabilities, in the order of ``classes_``.
        """
        check_is_fitted(self, "kernel_")
        X = self._table(X)
        device = resolve_device(self.device)
        columns = []
        for posterior in self._posteriors:
            mean, second = posterior.moments(X, device, spread="variance")
            assert second is not None
            odds = mean[:, None] + np.sqrt(second)[:, None] * _NODES
            columns.append(expit(odds) @ _NODE_WEIGHTS)
        if len(columns) == 1:
            return np.column_stack([1 - columns[0], columns[0]])
        single = np.column_stack(columns)
        return single / single.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict the most probable class.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features; a DataFrame's columns are used by name.

        Returns
        -------
        ndarray of shape (n_events,)
            Class labels.
        """
        probability = self.predict_proba(X)
        return self.classes_[probability.argmax(axis=1)]
