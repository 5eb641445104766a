"""From events to outputs of the module: predictions without gradients, in large batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet
from skorch.dataset import unpack_data
from skorch.utils import is_dataset, to_tensor
from torch import Tensor

from skhep_ml.neural_network._dataset import EventDataset, first_output, module_inputs
from skhep_ml.neural_network._inputs import check_inputs, to_tensors
from skhep_ml.neural_network._memory import evaluate
from skhep_ml.neural_network._penalties import visible_inputs, watch_inputs


class Prediction(NeuralNet):
    """Runs the module on batches, for training too, and on all events."""

    def infer(self, x: Any, **fit_params: Any) -> Any:
        """Output of the module for a batch."""
        if self.gradient_penalty and self.module_.training and torch.is_grad_enabled():
            watch_inputs(x)
        return self._apply(self.module_, x, **fit_params)

    def _apply(self, function: Any, x: Any, **fit_params: Any) -> Any:
        """Apply the module or its method to the inputs in a batch, in the precision asked for."""
        x = module_inputs(x)
        device = torch.device(self.device_)
        if not isinstance(x, Tensor) or x.device.type != device.type:
            x = to_tensor(x, device=self.device_)
        kwargs = {**x, **fit_params} if isinstance(x, dict) else fit_params
        args = () if isinstance(x, dict) else (x,)
        if self.precision == "bf16":
            with torch.autocast(device.type, dtype=torch.bfloat16):
                output = function(*args, **kwargs)
            return _as_float(output)
        return function(*args, **kwargs)

    def forward_iter(self, X: Any, training: bool = False, device: str = "cpu") -> Iterator[Any]:
        """Yield the module's output for each batch.

        Parameters
        ----------
        X : array-like, Events, mapping of arrays, or torch Dataset
            Events.
        training : bool, default=False
            Whether dropout and the like stay on, and gradients are kept.
        device : str, default="cpu"
            Where the outputs go.

        Yields
        ------
        Tensor or tuple of Tensor
            Output of a batch.
        """
        events = self._events(X)
        self._set_training(training)
        batches = (unpack_data(batch)[0] for batch in self.get_iterator(events))
        with torch.set_grad_enabled(training):
            for output in evaluate(self, self.infer, batches):
                if isinstance(output, tuple):
                    yield tuple(part.to(device) for part in output)
                else:
                    yield output.to(device)

    def _events(self, X: Any) -> Any:
        """Events to predict, without what the module must not see; a Dataset stays as it is."""
        if is_dataset(X):
            return X
        arrays = check_inputs(self, X, reset=False)
        return EventDataset(to_tensors(visible_inputs(self, arrays)), None)

    def _outputs(self, X: Any) -> Tensor:
        """First output of the module for all events, on the CPU."""
        check_is_fitted(self, "module_")
        return torch.cat([first_output(output).detach() for output in self.forward_iter(X)])

    def embed(self, X: Any) -> np.ndarray[Any, Any]:
        """Values of the last hidden layer.

        Parameters
        ----------
        X : array-like or torch Dataset
            Events, as in `fit`.

        Returns
        -------
        ndarray of shape (n_events, n_hidden)
            Features that the net has learned.

        Raises
        ------
        AttributeError
            The module has no method ``embed``.
        """
        check_is_fitted(self, "module_")
        if not hasattr(self.module_, "embed"):
            msg = f"{type(self.module_).__name__} has no method embed, which this needs"
            raise AttributeError(msg)
        batches = (unpack_data(batch)[0] for batch in self.get_iterator(self._events(X)))
        self._set_training(False)
        with torch.no_grad():
            parts = evaluate(self, lambda Xi: self._apply(self.module_.embed, Xi), batches)
            return torch.cat([part.float().cpu() for part in parts]).numpy()


def _as_float(output: Any) -> Any:
    return tuple(part.float() for part in output) if isinstance(output, tuple) else output.float()
