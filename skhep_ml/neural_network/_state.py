"""What a net carries between calls: its device, changed parameters, pickles."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from skorch import NeuralNet

from skhep_ml.neural_network._parameters import check_parameter

# what skorch sets in __init__, and what lives for one fit
SLOTS = ("_params_to_validate", "_run", "history_", "initialized_", "virtual_params_")


class State(NeuralNet):
    """Keeps parts and parameters of a net together."""

    _run: Any
    device: Any

    @contextmanager
    def _on_device(self) -> Iterator[None]:
        """Show skorch the device in use instead of "auto"."""
        asked, self.device = self.device, getattr(self, "device_", "cpu")
        try:
            yield
        finally:
            self.device = asked

    @contextmanager
    def _seeded(self, device: str, seed: int) -> Iterator[None]:
        """Use a device, and random numbers that leave torch's global ones alone."""
        self.device_ = device
        cuda = [torch.device(device)] if device.startswith("cuda") else []
        with torch.random.fork_rng(devices=cuda), self._on_device():
            torch.manual_seed(seed)
            yield

    def set_params(self, **kwargs: Any) -> Any:
        """Set parameters.

        On a net that is initialised, ``lr`` and ``optimizer__*`` change the optimizer;
        ``optimizer`` and ``weight_decay`` make a new one, which begins without the moments of the
        old one; ``module__*`` and ``criterion__*`` make these parts anew, the module untrained.
        Everything else takes effect when `fit` or `partial_fit` is called.

        Parameters
        ----------
        **kwargs : dict
            Parameters by name.

        Returns
        -------
        self : object
            The net.
        """
        if "callbacks" in kwargs:  # made when training begins
            self.callbacks = kwargs.pop("callbacks")
        for name in [name for name in kwargs if name.startswith("iterator_")]:
            # skorch refuses these on an initialised net, though they take effect at the next batch
            self._params_to_validate.add(name)
            setattr(self, name, kwargs.pop(name))
        if not self.initialized_:
            return super().set_params(**kwargs)
        new_optimizer = [name for name in ("optimizer", "weight_decay") if name in kwargs]
        for name in new_optimizer:
            check_parameter(name, kwargs[name])
            setattr(self, name, kwargs.pop(name))
        for name, value in kwargs.items():
            if name.startswith("optimizer__") and "__param_groups__" not in name:
                # skorch tells the optimizer only: the next fit must know as well
                self._params_to_validate.add(name)
                setattr(self, name, value)
        with self._on_device():
            super().set_params(**kwargs)
            if new_optimizer:
                self._initialize_optimizer()
        return self

    def __getstate__(self) -> dict[str, Any]:
        """State for pickle: skorch's, and what is in slots."""
        with self._on_device():
            state = super().__getstate__()
        hidden = {name: getattr(self, name) for name in SLOTS if name != "_run"}
        state["__skhep_ml__"] = {"device": self.device, **hidden}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore; a net from a GPU comes to the CPU where there is none."""
        hidden = dict(state.pop("__skhep_ml__"))
        device = hidden.pop("device")
        for name, value in hidden.items():
            setattr(self, name, value)
        self._run = None
        super().__setstate__(state)
        if hasattr(self, "device_"):
            self.device_ = str(self.device)
        self.device = device
