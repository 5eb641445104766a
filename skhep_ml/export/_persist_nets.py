"""Nets as parameters, fitted attributes and weights; nothing of skorch's own pickles."""

from __future__ import annotations

import importlib
import inspect
from functools import cache
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as tensor_bytes
from skorch import NeuralNet
from skorch.history import History

from skhep_ml._device import cuda_device_count
from skhep_ml.export._persist_types import NETS
from skhep_ml.generative._recipe import Recipe

# made anew, or alive during a fit only
_MADE = ("module_", "criterion_", "optimizer_", "callbacks_", "init_context_", "device_")
_OF_SKORCH = (
    "_modules",
    "_criteria",
    "_optimizers",
    "prefixes_",
    "cuda_dependent_attributes_",
    "_run",
)


def describe_net(net: Any, path: str) -> tuple[str, dict[str, Any], dict[str, Any], Any, bytes]:
    """Kind, parameters, fitted attributes, history and weights of a net.

    Raises
    ------
    TypeError
        A subclass, or parts that are objects.
    ValueError
        The net is not fitted.
    """
    kind = type(net).__name__
    if kind not in NETS or type(net) is not _net_class(kind):
        msg = (
            f"{path} is a {kind}, a class of its own, which cannot be saved: take NetClassifier or "
            "NetRegressor"
        )
        raise TypeError(msg)
    if not net.initialized_:
        return kind, _parameters(net, path), {}, None, b""
    parameters = _parameters(net, path)
    known = (*_MADE, *_OF_SKORCH, *parameters)
    fitted = {name: value for name, value in vars(net).items() if name not in known}
    slots = {"history": net.history_, "changed": sorted(net._params_to_validate)}
    tensors = {
        f"{part}.{name}": tensor.detach().cpu().contiguous().clone()
        for part in ("module", "criterion")
        for name, tensor in _bare(getattr(net, f"{part}_")).state_dict().items()
    }
    return kind, parameters, fitted, slots, tensor_bytes(tensors)


def _parameters(net: Any, path: str) -> dict[str, Any]:
    parameters = {
        name: value for name, value in vars(net).items() if _is_parameter(type(net), name)
    }
    for name in ("module", "criterion"):
        recipe = getattr(parameters[name], "recipe", None)
        if isinstance(recipe, Recipe):
            recipe.check()
            parameters[name] = recipe
        elif isinstance(parameters[name], torch.nn.Module):
            cls = type(parameters[name]).__name__
            msg = (
                f"{path}.{name} is an object, which cannot be saved: give the net its class, "
                f"{name}={cls}, and its arguments as {name}__<argument>"
            )
            raise TypeError(msg)
    return parameters


def _is_parameter(cls: type, name: str) -> bool:
    own = name in _names(cls) or name in _names(NeuralNet)
    return own or ("__" in name and not name.startswith("_"))


def _net_class(kind: str) -> Any:
    return getattr(importlib.import_module(NETS[kind]), kind)


@cache
def _names(cls: type) -> frozenset[str]:
    return frozenset(inspect.signature(cls).parameters) - {"kwargs"}


def _bare(module: Any) -> Any:
    """Module without the wrapper of `torch.compile`."""
    return getattr(module, "_orig_mod", module)


def build_net(
    kind: Any, parameters: dict[str, Any], fitted: dict[str, Any], slots: Any, weights: bytes
) -> Any:
    """Make a net from what `describe_net` gave; the optimizer begins anew.

    Raises
    ------
    ValueError
        Another kind of net, or weights that do not fit its module.
    """
    if kind not in NETS:
        msg = f"it holds a net of the kind {kind!r}"
        raise ValueError(msg)
    cls = _net_class(kind)
    odd = [name for name in parameters if not _is_parameter(cls, name)]
    odd += [name for name in fitted if name in (*_MADE, *_OF_SKORCH) or hasattr(cls, name)]
    if odd:
        msg = f"it sets {odd[0]!r} of a net"
        raise ValueError(msg)
    if isinstance(parameters.get("module"), Recipe):
        parameters = {**parameters, "module": parameters["module"].make()}
    net = cls(**parameters)
    if slots is None:
        return net
    vars(net).update(fitted)
    asked = str(net.device)
    on_gpu = asked == "auto" or asked.startswith("cuda")
    with net._seeded("cuda" if on_gpu and cuda_device_count() else "cpu", 0):
        NeuralNet.initialize(net)
        tensors = _tensors(weights)
        for part in ("module", "criterion"):
            state = {
                name.partition(".")[2]: tensor
                for name, tensor in tensors.items()
                if name.partition(".")[0] == part
            }
            try:
                _bare(getattr(net, f"{part}_")).load_state_dict(state)
            except RuntimeError as error:
                msg = f"its weights do not fit the {part} of the net ({_first_line(error)})"
                raise ValueError(msg) from error
    if not isinstance(slots["history"], History):
        msg = "it holds a net without the history of its training"
        raise ValueError(msg)
    net.history_ = slots["history"]
    net._params_to_validate = set(slots["changed"])
    return net


def _tensors(content: bytes) -> dict[str, torch.Tensor]:
    try:
        return read_tensors(content)
    except SafetensorError as error:
        msg = f"its weights cannot be read ({error})"
        raise ValueError(msg) from error


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
