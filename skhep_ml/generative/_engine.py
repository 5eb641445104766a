"""The engine of generative models: a net whose module returns the loss of each event."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from skhep_ml.neural_network._losses import EventLoss
from skhep_ml.neural_network._net import EventNet


class GivenLoss(EventLoss):
    """The module's output is the loss."""

    def events(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Loss of each event, as it comes."""
        return prediction


class GenerativeNet(EventNet):
    """Trains a module that takes ``X`` (and ``context``) and returns one loss an event.

    `EventNet` has everything else: weights and their policies, early stopping by event, schedules,
    moving averages, checkpoints, divergence, memory that ends.
    """

    def _learn_target(self, y: Any) -> NDArray[np.float32]:
        return np.zeros(len(y), dtype=np.float32)

    def _encode(self, y: Any) -> NDArray[np.float32]:
        return np.zeros(len(y), dtype=np.float32)

    def _codes(self, target: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        return np.zeros(len(target), dtype=np.intp), np.array(["all"])

    def _n_targets(self) -> None:
        return None
