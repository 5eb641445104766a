"""What the module of a generative model is made from, kept with it so that a file can say it."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from skhep_ml.generative._cloud_nets import Multiplicity
from skhep_ml.generative._layout import Spec
from skhep_ml.generative._sizes import SizedModule

if TYPE_CHECKING:
    from skhep_ml.generative._base import GenerativeEstimator

_AXES = {"table": 1, "cloud": 2, "image": 3}


@dataclass(frozen=True)
class Recipe:
    """Model, its parameters at the time of the fit, and what it generates.

    Attributes
    ----------
    model : str
        Full name of the class of the model.
    params : dict
        Those of its parameters that other models do not have.
    spec : Spec
        What is generated.
    """

    model: str
    params: dict[str, Any]
    spec: Spec

    @classmethod
    def of(cls, model: Any, spec: Spec) -> Recipe:
        """Recipe of the module that a model makes now."""
        from skhep_ml.generative._base import GenerativeEstimator

        shared = inspect.signature(GenerativeEstimator).parameters
        given = model.get_params(deep=False).items()
        params = {name: value for name, value in given if name not in shared}
        return cls(f"{type(model).__module__}.{type(model).__name__}", params, spec)

    def check(self) -> type[GenerativeEstimator]:
        """Class of the model, once everything is found to be as a fit leaves it.

        Raises
        ------
        ValueError
            A model that is not public in `skhep_ml.generative`, or a shape that is none.
        """
        from skhep_ml import generative
        from skhep_ml.generative._base import GenerativeEstimator

        name = str(self.model).rpartition(".")[2]
        model: Any = getattr(generative, name, None) if name in generative.__all__ else None
        known = isinstance(model, type) and issubclass(model, GenerativeEstimator)
        if not known or f"{model.__module__}.{name}" != self.model:
            msg = (
                f"it holds the net of {self.model!r}, which is no model of skhep_ml.generative: "
                "a model of your own can be pickled"
            )
            raise ValueError(msg)
        kind, shape, n_context = self.spec.kind, self.spec.shape, self.spec.n_context
        sizes = isinstance(shape, tuple) and all(type(size) is int and size > 0 for size in shape)
        context = type(n_context) is int and n_context >= 0
        if not (sizes and context and _AXES.get(kind) == len(shape)):
            msg = f"it holds a net for a {kind} of shape {shape!r} with {n_context!r} conditions"
            raise ValueError(msg)
        return model

    def make(self) -> nn.Module:
        """Module with random weights; torch's random numbers are left alone.

        Raises
        ------
        ValueError
            As in `check`, or parameters that the model refuses.
        """
        model = self.check()(**self.params)
        model._check_params()
        with torch.random.fork_rng(devices=[]):
            module: Any = model._make_module(self.spec)
            if self.spec.kind == "cloud":
                counts = torch.ones(self.spec.shape[0] + 1)
                module = SizedModule(module, Multiplicity(counts, self.spec.n_context))
        module.recipe = self
        return module
