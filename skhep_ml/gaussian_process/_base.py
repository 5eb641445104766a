"""What the Gaussian-process regressor and classifier share: parameters, weights, the fit."""

import numbers
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from skhep_ml._device import resolve_device
from skhep_ml._masks import unmasked
from skhep_ml._validation import align_columns, check_event_id, check_event_weight
from skhep_ml.gaussian_process._exact import Blocks, Exact, Laplace
from skhep_ml.gaussian_process._kernels import check_kernel, default_kernel
from skhep_ml.gaussian_process._mean import MeanFunction
from skhep_ml.gaussian_process._optimize import maximise_evidence
from skhep_ml.gaussian_process._posterior import Data, Posterior
from skhep_ml.gaussian_process._sparse import Sparse, SparseLogistic, inducing_points
from skhep_ml.weights._policies import check_policy, prepare_weights

# hyperparameters are learned on blocks of about so many events
_LARGEST_BLOCK = 1000


class Fitted(NamedTuple):
    """One Gaussian process, learned."""

    posterior: Posterior
    evidence: float
    n_iter: int
    moves: NDArray[np.float64]


class BaseGP(BaseEstimator):
    """Parameters, checks and the choice of method."""

    __metadata_request__fit = {"sample_weight": True, "groups": True}
    __metadata_request__score = {"sample_weight": True}

    _exact_name = "exact"

    def _check_params(self) -> None:
        check_policy(self.negative_weights)
        methods = ("auto", self._exact_name, "sparse", "svgp")
        if self.method not in methods:
            msg = f"method must be one of {methods}, got {self.method!r}"
            raise ValueError(msg)
        if self.optimizer not in ("fmin_l_bfgs_b", None):
            msg = (
                'optimizer must be "fmin_l_bfgs_b", or None to leave the kernel as it is, got '
                f"{self.optimizer!r}"
            )
            raise ValueError(msg)
        least = {
            "n_restarts_optimizer": 0,
            "max_iter": 1,
            "max_exact": 0,
            "n_inducing": 1,
            "n_optimize": 1,
            "batch_size": 1,
            "max_epochs": 1,
        }
        for name, floor in least.items():
            value = getattr(self, name)
            if not isinstance(value, numbers.Integral) or value < floor:
                msg = f"{name} must be an integer of at least {floor}, got {value!r}"
                raise ValueError(msg)
        if not self.learning_rate > 0:
            msg = f"learning_rate must be positive, got {self.learning_rate!r}"
            raise ValueError(msg)

    def _training_weights(
        self,
        X: NDArray[Any],
        codes: NDArray[np.intp],
        classes: NDArray[Any],
        sample_weight: ArrayLike | None,
        groups: Any,
        device: str,
        seed: int,
    ) -> NDArray[np.float64]:
        """Weights >= 0 to train with, one an event."""
        weight = check_event_weight(sample_weight, len(codes))
        if groups is not None:
            groups = np.column_stack(check_event_id(groups, len(codes)))
        if weight is not None and self.negative_weights == "keep" and (weight < 0).any():
            msg = (
                f"{np.sum(weight < 0)} weights are negative, and negative_weights='keep' has no "
                "meaning for a Gaussian process: an event's noise variance, noise / weight, would "
                "be negative; 'refine', 'pair' and 'cell' make weights that are not"
            )
            raise ValueError(msg)
        prepared = prepare_weights(
            X,
            codes,
            classes,
            weight,
            negative_weights=self.negative_weights,
            weight_scale=self.weight_scale,
            class_weight=getattr(self, "class_weight", None),
            weight_cap=self.weight_cap,
            groups=groups,
            salt=self.salt,
            random_state=seed,
            device=device,
        )
        return np.ones(len(codes)) if prepared is None else prepared.train

    def _kernel(self, X: NDArray[Any], *, noise: bool) -> Any:
        kernel = default_kernel(X, noise=noise) if self.kernel is None else self.kernel
        check_kernel(kernel, X)
        return clone(kernel)

    def _resolved_method(self, n_events: int) -> str:
        if self.method != "auto":
            return self.method
        return self._exact_name if n_events <= self.max_exact else "sparse"

    def _learn(
        self,
        kernel: Any,
        method: str,
        X: NDArray[Any],
        target: NDArray[np.float64],
        alpha: NDArray[np.float64],
        weight: NDArray[np.float64],
        *,
        binary: bool,
        mean: MeanFunction | None,
        device: str,
        rng: Any,
    ) -> Fitted:
        """Hyperparameters, then the posterior of all events.

        ``target`` is what the mean function leaves over, or -1 and 1 for two classes.
        """
        data = Data(
            torch.tensor(X, device=device),
            *(torch.as_tensor(part, device=device) for part in (target, alpha, weight)),
        )
        exact: Any = Laplace if binary else Exact
        moves, n_iter = np.zeros(0 if mean is None else mean.n_moves), 0
        if self.optimizer is not None:
            rows: Any = slice(None)
            if method != self._exact_name:
                rows = rng.permutation(len(X))[: self.n_optimize]
            learned = maximise_evidence(
                Blocks(exact, kernel, data.take(rows), _LARGEST_BLOCK)
                if method != self._exact_name
                else exact(kernel, data),
                target[rows],
                mean,
                X[rows],
                n_restarts=self.n_restarts_optimizer,
                max_iter=self.max_iter,
                rng=rng,
                verbose=self.verbose > 0,
            )
            kernel = kernel.clone_with_theta(learned.theta)
            moves, n_iter = learned.moves, learned.n_iter
        if mean is not None and mean.n_moves:
            target = target - mean.change(X, moves)
        left = torch.as_tensor(target, device=device)
        if method == self._exact_name:
            posterior, evidence = exact(kernel, data).finish(left)
            return Fitted(posterior, evidence, n_iter, moves)
        points = inducing_points(X, kernel, self.n_inducing, rng)
        if method == "sparse":
            sparse: Any = SparseLogistic if binary else Sparse
            posterior, evidence = sparse(kernel, data, points).finish(left)
            return Fitted(posterior, evidence, n_iter, moves)
        # the only part that needs the extra "gp"
        from skhep_ml.gaussian_process._svgp import Svgp

        engine = Svgp(kernel, data, points, binary)
        engine.learn(
            left,
            batch_size=self.batch_size,
            max_epochs=self.max_epochs,
            learning_rate=self.learning_rate,
            fixed=self.optimizer is None,
            seed=int(rng.randint(2**31 - 1)),
            verbose=self.verbose > 0,
        )
        posterior, evidence = engine.finish(left)
        return Fitted(posterior, evidence, self.max_epochs, moves)

    def _table(self, X: Any) -> NDArray[Any]:
        return validate_data(
            self, unmasked(align_columns(self, X)), reset=False, dtype=[np.float64, np.float32]
        )

    def _start(self) -> tuple[Any, str]:
        """Random generator and device of a fit, after checking the parameters."""
        self._check_params()
        return check_random_state(self.random_state), resolve_device(self.device)
