"""Gaussian-process regression."""

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from skhep_ml._device import resolve_device
from skhep_ml._masks import unmasked
from skhep_ml.gaussian_process._base import BaseGP
from skhep_ml.gaussian_process._exact import Exact
from skhep_ml.gaussian_process._kernels import check_kernel, default_kernel
from skhep_ml.gaussian_process._mean import MeanFunction
from skhep_ml.gaussian_process._posterior import Data, draw

# noise variance against rounding, in units of the variance of y
_ROUNDING = 1e-10


class GPRegressor(RegressorMixin, BaseGP):
    r"""Gaussian-process regression with event weights and per-point noise.

    Exact for few events; beyond, inducing points with the optimal distribution over them, whose
    cost grows with the number of events only. Kernels are scikit-learn's.

    Parameters
    ----------
    kernel : kernel of sklearn.gaussian_process.kernels, default=None
        Covariance function: RBF, Matern (nu 0.5, 1.5, 2.5, inf), RationalQuadratic, ExpSineSquared
        (periodic), DotProduct (``DotProduct() ** 3`` is the cubic polynomial), ConstantKernel,
        WhiteKernel, their sums, products and powers. Length scales are in units of the features.
        None: ``ConstantKernel() * RBF(one length scale a feature) + WhiteKernel()``, started at
        the spread of the features.
    method : {"auto", "exact", "sparse", "svgp"}, default="auto"
        - ``"exact"``: matrices of all events, time n^3;
        - ``"sparse"``: ``n_inducing`` points and sums over events in blocks, time n m^2;
        - ``"svgp"``: starts where sparse does, then takes stochastic variational steps on
          minibatches that also move points and hyperparameters; needs the extra ``gp`` (gpytorch);
        - ``"auto"``: exact up to ``max_exact`` events, sparse beyond.
    alpha : float or array-like of shape (n_events,), default=None
        Noise variance of each event, in squared units of y (also under ``normalize_y``), besides
        that of a WhiteKernel. For counts: the expected counts. None: 1e-10 of ``y_scale_**2``,
        against rounding.
    mean : {"zero", "constant", "linear"} or callable, default="zero"
        Mean function; a callable is called as ``mean(X, *parameters)``, with X of shape (n_events,
        n_features). Its parameters are first fitted by least squares, then together with the
        kernel's (under ``"svgp"`` only the former).
    mean_start : array-like, default=None
        Where the parameters of a callable start; None for a function without parameters.
    normalize_y : bool, default=True
        Divide what the mean function leaves over by its standard deviation, so that kernels of
        variance 1 are a good start; with ``mean="zero"`` the average is taken off before. The
        variances in ``kernel_`` are then in units of ``y_scale_**2``.
    optimizer : "fmin_l_bfgs_b" or None, default="fmin_l_bfgs_b"
        None leaves the kernel (and the mean's least-squares parameters) as they are.
    n_restarts_optimizer : int, default=0
        Further starts, drawn log-uniformly within the bounds of the kernel.
    max_iter : int, default=100
        Iterations of the optimizer from each start.
    max_exact : int, default=2000
        Events up to which "auto" is exact.
    n_inducing : int, default=512
        Inducing points: the finer the structure, the more are needed.
    n_optimize : int, default=4000
        Events, drawn at random, on which the hyperparameters are learned unless exact, in blocks of
        1000. The posterior always uses all events.
    batch_size, max_epochs, learning_rate : int, int, float, default=1024, 10, 0.01
        Under ``"svgp"``: events in a minibatch, passes over the events, rate of Adam.
    negative_weights : {"refine", "pair", "cell", "drop", "abs", "raise"}, default="refine"
        What training does with negative weights, see `skhep_ml.weights.apply_negative_weights`;
        ``"keep"`` raises, since noise variances would be negative.
    weight_scale : {"mean", None}, default="mean"
        Divide weights by their mean; None passes them, for weights that are inverse variances.
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
    kernel_ : kernel
        The kernel with learned parameters.
    method_ : {"exact", "sparse", "svgp"}
        The method used.
    log_marginal_likelihood_value_ : float
        Log marginal likelihood of the training events; a lower bound of it (ELBO) unless exact.
        In units of the normalised y, as in scikit-learn.
    mean_params_ : ndarray
        Learned parameters of the mean function (intercept first under "linear").
    y_offset_, y_scale_ : float
        What ``normalize_y`` subtracts and divides by.
    inducing_points_ : ndarray of shape (n_points, n_features)
        Inducing points; the training events if exact.
    n_iter_ : int
        Iterations of the optimizer (at least 1), or epochs.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of str
        Columns, if fitted on a DataFrame; later DataFrames are read by these names.

    See Also
    --------
    GPClassifier : The same for classes.

    Notes
    -----
    Event i is y_i = m(x_i) + f(x_i) + noise of variance (alpha_i + white noise) / w_i: weights are
    inverse variances up to a factor, weight 0 leaves an event out (a masked window). The standard
    deviation of a prediction includes the WhiteKernel (that of a new event of weight 1), as in
    scikit-learn, and not alpha; ``noise=False`` gives that of the function alone. Where weights
    are densities of a simulation, errors of the function are too small by about the root of the
    number of events over the effective number.

    Per-event noise inside a search: ``alpha=1, weight_scale=None`` and ``sample_weight`` =
    1 / variance, which is cut along with the events.

    ``"sparse"`` learns kernel and mean parameters by the exact evidence of random blocks of events,
    places the inducing points by k-means in units of the learned length scales, and takes the
    distribution over them that is optimal for all events, in the closed form of Titsias. With
    inducing points at all events it is the exact result. Too few of them show in larger errors, and
    ``log_marginal_likelihood_value_`` grows with more.

    References
    ----------
    C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning, MIT Press, 2006.

    M. Titsias, Variational learning of inducing variables in sparse Gaussian processes, AISTATS
    2009.

    M. Frate, K. Cranmer, S. Kalia, A. Vandenberg-Rodes, D. Whiteson, Modeling smooth backgrounds
    and generic localized signals with Gaussian processes, arXiv:1709.05681.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.gaussian_process.kernels import RBF, WhiteKernel
    >>> from skhep_ml.gaussian_process import GPRegressor
    >>> x = np.linspace(0, 6, 60).reshape(-1, 1)
    >>> y = np.sin(x[:, 0]) + np.random.default_rng(0).normal(0, 0.1, 60)
    >>> model = GPRegressor(RBF() + WhiteKernel(), random_state=0).fit(x, y)
    >>> mean, std = model.predict([[1.5]], return_std=True)
    >>> bool(abs(mean[0] - np.sin(1.5)) < 0.1), bool(0.05 < std[0] < 0.2)
    (True, True)
    >>> model.sample_y([[1.5], [1.6]], n_samples=3, random_state=0).shape
    (2, 3)
    """

    __metadata_request__predict = {"return_std": True, "return_cov": True, "noise": True}

    def __init__(
        self,
        kernel: Any = None,
        *,
        method: str = "auto",
        alpha: Any = None,
        mean: Any = "zero",
        mean_start: Any = None,
        normalize_y: bool = True,
        optimizer: str | None = "fmin_l_bfgs_b",
        n_restarts_optimizer: int = 0,
        max_iter: int = 100,
        max_exact: int = 2000,
        n_inducing: int = 512,
        n_optimize: int = 4000,
        batch_size: int = 1024,
        max_epochs: int = 10,
        learning_rate: float = 0.01,
        negative_weights: str = "refine",
        weight_scale: str | None = "mean",
        weight_cap: float | None = None,
        salt: int = 0,
        device: str = "auto",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.kernel = kernel
        self.method = method
        self.alpha = alpha
        self.mean = mean
        self.mean_start = mean_start
        self.normalize_y = normalize_y
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
    ) -> "GPRegressor":
        """Learn the hyperparameters and the posterior.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features, without missing values.
        y : array-like of shape (n_events,)
            Target.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign and unit: the noise variance is divided by them.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers; refinement then splits by event.

        Returns
        -------
        self : GPRegressor
            The fitted model.

        Raises
        ------
        ValueError
            A kernel that is not supported, not positive, or has length scales for another number of
            features; negative weights under ``"keep"``; wrong parameters, weights or lengths.
        ModuleNotFoundError
            ``method="svgp"`` without gpytorch.

        Warns
        -----
        ConvergenceWarning
            The hyperparameters still moved after ``max_iter`` iterations.
        """
        rng, device = self._start()
        X, y = validate_data(
            self, unmasked(X), y, dtype=[np.float64, np.float32], y_numeric=True, multi_output=False
        )
        target = np.asarray(y, dtype=np.float64)
        alpha = self._noise(len(X))
        codes, seed = np.zeros(len(X), dtype=np.intp), int(rng.randint(2**31 - 1))
        single = np.array(["all"])
        weight = self._training_weights(X, codes, single, sample_weight, groups, device, seed)
        if (weight == 0).any():
            X, target, alpha, weight = (part[weight > 0] for part in (X, target, alpha, weight))
        kernel = self._kernel(X, noise=True)
        mean = self._mean(X.shape[1])
        self.y_offset_, self.y_scale_ = 0.0, 1.0
        if mean is not None:
            # counts carry their own variances; equal ones change nothing
            mean.fit(X, target, weight / (alpha + _ROUNDING * max(target.var(), 1e-300)))
            target = target - mean(X)
        elif self.normalize_y:
            self.y_offset_ = float(np.average(target, weights=weight))
            target = target - self.y_offset_
        if self.normalize_y:
            root = np.sqrt(np.average(target**2, weights=weight))
            self.y_scale_ = float(root) if root > 1e-12 * np.abs(y).max() else 1.0
        if mean is not None:
            mean.rescale(self.y_scale_)
        target, alpha = target / self.y_scale_, alpha / self.y_scale_**2
        if self.alpha is None:
            alpha = np.full(len(X), _ROUNDING)
        self.method_ = self._resolved_method(len(X))
        fitted = self._learn(
            kernel,
            self.method_,
            X,
            target,
            alpha,
            weight,
            binary=False,
            mean=mean,
            device=device,
            rng=rng,
        )
        if mean is not None and len(fitted.moves):
            target = target - mean.change(X, fitted.moves)
            mean.move(fitted.moves)
        self._mean_function = mean
        self.mean_params_ = np.zeros(0) if mean is None else mean.parameters
        self._posterior = fitted.posterior
        self._train = (target, alpha, weight) if self.method_ == "exact" else None
        self.kernel_ = fitted.posterior.kernel
        self.inducing_points_ = fitted.posterior.points
        self.log_marginal_likelihood_value_ = fitted.evidence
        self.n_iter_ = max(fitted.n_iter, 1)
        return self

    def _noise(self, n_events: int) -> NDArray[np.float64]:
        alpha = np.asarray(0.0 if self.alpha is None else self.alpha, dtype=np.float64)
        if alpha.shape not in ((), (n_events,)):
            msg = (
                f"alpha has shape {alpha.shape}, but there are {n_events} events: give one number "
                "or one for each event; inside a search give variances by sample_weight (see Notes)"
            )
            raise ValueError(msg)
        if not np.isfinite(alpha).all() or (alpha < 0).any():
            msg = (
                "alpha, the noise variance, must be finite and not negative; leave events out by "
                f"weight 0. Got {alpha.tolist() if alpha.ndim == 0 else np.sort(alpha)[[0, -1]]}"
            )
            raise ValueError(msg)
        return np.full(n_events, alpha) if alpha.ndim == 0 else alpha

    def _mean(self, n_features: int) -> MeanFunction | None:
        if isinstance(self.mean, str) and self.mean == "zero" and self.mean_start is None:
            return None
        return MeanFunction(self.mean, self.mean_start, n_features)

    def predict(
        self, X: Any, return_std: bool = False, return_cov: bool = False, *, noise: bool = True
    ) -> Any:
        """Predict the mean, and on request its uncertainty.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features; a DataFrame's columns are used by name.
        return_std : bool, default=False
            Also return the standard deviation of each event.
        return_cov : bool, default=False
            Also return the covariance of all events.
        noise : bool, default=True
            Whether the uncertainty includes the WhiteKernel: that of a new event, or that of the
            function alone.

        Returns
        -------
        mean : ndarray of shape (n_events,)
            Predictions.
        std : ndarray of shape (n_events,)
            If ``return_std``.
        cov : ndarray of shape (n_events, n_events)
            If ``return_cov``.
        """
        check_is_fitted(self, "kernel_")
        if return_std and return_cov:
            msg = "take return_std or return_cov: the std is the root of the diagonal"
            raise ValueError(msg)
        X = self._table(X)
        spread = "covariance" if return_cov else "variance" if return_std else None
        mean, second = self._posterior.moments(
            X, resolve_device(self.device), spread=spread, noise=noise
        )
        mean = self._trend(X) + self.y_scale_ * mean
        if second is None:
            return mean
        if return_cov:
            return mean, self.y_scale_**2 * second
        return mean, self.y_scale_ * np.sqrt(second)

    def _trend(self, X: NDArray[Any]) -> Any:
        """What the prediction is far from all events."""
        return self.y_offset_ if self._mean_function is None else self._mean_function(X)

    def sample_y(
        self,
        X: Any,
        n_samples: int = 1,
        random_state: Any = 0,
        *,
        prior: bool = False,
        noise: bool = True,
    ) -> NDArray[np.float64]:
        """Draw functions from the posterior or the prior.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Where the draws are evaluated.
        n_samples : int, default=1
            Number of draws.
        random_state : int, RandomState instance or None, default=0
            Seed of the draws.
        prior : bool, default=False
            Draw from the prior: with learned parameters after a fit, without a fit with the kernel,
            mean and ``mean_start`` as given.
        noise : bool, default=True
            Whether draws include the WhiteKernel's noise.

        Returns
        -------
        ndarray of shape (n_events, n_samples)
            One draw a column.
        """
        rng = check_random_state(random_state)
        if not prior:
            mean, covariance = self.predict(X, return_cov=True, noise=noise)
            return draw(mean, covariance, n_samples, rng)
        fitted = hasattr(self, "kernel_")
        X = self._table(X) if fitted else check_array(unmasked(X), dtype=[np.float64, np.float32])
        kernel = self.kernel_ if fitted else self.kernel
        if kernel is None:
            kernel = default_kernel(X, noise=True)
        check_kernel(kernel, X)
        if fitted:
            trend, scale = self._trend(X), self.y_scale_
        else:
            start = self._mean(X.shape[1])
            trend, scale = 0.0 if start is None else start(X), 1.0
        points = np.asarray(X, dtype=np.float64)
        # two arguments are two sets of events, which share no noise
        covariance = kernel(points) if noise else kernel(points, points)
        return draw(np.zeros(len(X)) + trend, scale**2 * covariance, n_samples, rng)

    def log_marginal_likelihood(
        self, theta: ArrayLike | None = None, eval_gradient: bool = False
    ) -> Any:
        """Log marginal likelihood of the training events.

        Parameters
        ----------
        theta : array-like, default=None
            Logarithms of the kernel's free parameters; None for the learned ones. Others need the
            exact method.
        eval_gradient : bool, default=False
            Also return the gradient, at given ``theta``.

        Returns
        -------
        value : float
            Log marginal likelihood, or its lower bound unless exact.
        gradient : ndarray
            If ``eval_gradient``.
        """
        check_is_fitted(self, "kernel_")
        if theta is None:
            if eval_gradient:
                msg = "eval_gradient needs theta: pass kernel_.theta"
                raise ValueError(msg)
            return self.log_marginal_likelihood_value_
        if self._train is None:
            msg = (
                f'method "{self.method_}" keeps no events to evaluate other parameters on: '
                'method="exact" does; log_marginal_likelihood_value_ holds the bound'
            )
            raise ValueError(msg)
        device = resolve_device(self.device)
        target, *noise = (torch.as_tensor(part, device=device) for part in self._train)
        X = torch.as_tensor(self._posterior.points, device=device)
        engine = Exact(self.kernel_, Data(X, target, *noise))
        free = torch.as_tensor(np.array(theta, dtype=np.float64), device=device).requires_grad_()
        value = engine.gradients(free, target)
        if not eval_gradient:
            return value
        return value, np.zeros(0) if free.grad is None else free.grad.cpu().numpy()
