"""From outputs of a classifier's module to probabilities: calibrated, and for other mixtures."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from torch import Tensor
from torch.nn import functional

from skhep_ml.neural_network._dataset import WEIGHT, EventDataset
from skhep_ml.neural_network._losses import CrossEntropyLoss, FocalLoss, UnreducedLoss
from skhep_ml.neural_network._outputs import check_prior, fit_temperature
from skhep_ml.neural_network._prepare import Run

_SOFTMAX_LOSSES = (CrossEntropyLoss, FocalLoss, torch.nn.CrossEntropyLoss)


class Probabilities(NeuralNet):
    """Turns outputs into probabilities, and learns in fit what these depend on."""

    def _calibrate(self, run: Run) -> None:
        if self.calibrate is None:
            self.__dict__.pop("temperature_", None)
            return
        weight = run.valid.extras.get(WEIGHT)
        self.temperature_ = fit_temperature(
            self._log_probability(self._outputs(run.valid)).double().numpy(),
            run.valid.y.cpu().numpy(),
            None if weight is None else weight.cpu().double().numpy(),
        )

    def _learn_mixture(self, run: Run) -> None:
        if not isinstance(run.train, EventDataset):
            return
        weight = run.train.extras.get(WEIGHT)
        sums = np.bincount(
            run.train.y.cpu().numpy(),
            None if weight is None else weight.cpu().double().numpy(),
            minlength=len(self.classes_),
        )
        # partial_fit adds to what came before
        self._class_sums_ = getattr(self, "_class_sums_", 0.0) + sums
        self.class_prior_ = self._class_sums_ / self._class_sums_.sum()

    def _n_loss_outputs(self, loss: Any, n_targets: int) -> int:
        if n_targets == 2 and isinstance(_criterion_type(loss), torch.nn.BCEWithLogitsLoss):
            return 1
        return super()._n_loss_outputs(loss, n_targets)

    def _probability(self, output: Tensor) -> Tensor:
        """Probabilities (n_events, n_classes) from the module's output."""
        probability = self._uncounted_probability(output)
        shape, n_classes = tuple(probability.shape), self._n_targets()
        if n_classes is not None and (len(shape) != 2 or shape[1] != n_classes):
            msg = (
                f"outputs of shape {tuple(output.shape)} from the module give probabilities of "
                f"shape {shape}, but there are {n_classes} classes: module and criterion do not go "
                "together"
            )
            raise ValueError(msg)
        return probability

    def _uncounted_probability(self, output: Tensor) -> Tensor:
        if callable(self.predict_nonlinearity):
            return _member_mean(self.predict_nonlinearity(output))
        criterion = _criterion_type(self.criterion_)
        if isinstance(criterion, _SOFTMAX_LOSSES):
            return _member_mean(torch.softmax(output, dim=-1))
        if isinstance(criterion, torch.nn.BCEWithLogitsLoss):
            signal = torch.sigmoid(output.reshape(len(output), -1)).mean(dim=1)
            return torch.stack([1 - signal, signal], dim=1)
        if hasattr(criterion, "probability"):
            return criterion.probability(output)
        return _member_mean(output)

    def _log_probability(self, output: Tensor) -> Tensor:
        """Logarithm of `_probability`, without rounding at 0 and 1 where logits allow it."""
        if not callable(self.predict_nonlinearity):
            criterion = _criterion_type(self.criterion_)
            if output.ndim == 2 and isinstance(criterion, _SOFTMAX_LOSSES):
                return torch.log_softmax(output, dim=1)
            if isinstance(criterion, torch.nn.BCEWithLogitsLoss) and output.numel() == len(output):
                logit = output.reshape(len(output))
                return functional.logsigmoid(torch.stack([-logit, logit], dim=1))
        probability = self._probability(output)
        return torch.log(probability.clamp(min=torch.finfo(probability.dtype).tiny))

    def _final_log_probability(self, output: Tensor) -> Tensor:
        """Logarithm of the probabilities that a user sees: calibrated, for the wanted mixture."""
        log_probability = self._log_probability(output)
        if self.calibrate is not None:
            self._check_learnt("calibrate", "temperature_")
            log_probability = log_probability / self.temperature_
        if self.prior is not None:
            self._check_learnt("prior", "class_prior_")
            prior = check_prior(self.prior, self.classes_)
            unseen = self.classes_[self.class_prior_ <= 0]
            if len(unseen):
                msg = f"prior needs training events of every class, {unseen.tolist()} had none"
                raise ValueError(msg)
            shift = np.log(prior / self.class_prior_)
            log_probability = log_probability + log_probability.new_tensor(shift)
        return torch.log_softmax(log_probability, dim=1)

    def _check_learnt(self, parameter: str, attribute: str) -> None:
        if not hasattr(self, attribute):
            msg = (
                f"{parameter}={getattr(self, parameter)!r} needs {attribute}, which the last fit "
                "did not learn: fit again, on arrays"
            )
            raise ValueError(msg)


def _criterion_type(loss: Any) -> Any:
    return loss.criterion if isinstance(loss, UnreducedLoss) else loss


def _member_mean(probability: Tensor) -> Tensor:
    return probability.mean(dim=1) if probability.ndim == 3 else probability
