"""Several nets of one architecture, trained side by side as one batched module."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from sklearn.utils.metaestimators import available_if
from torch import Tensor, nn
from torch.func import functional_call, vmap


class _OwnLoss(torch.autograd.Function):
    """Gives each member the gradient of its own loss, where the loss is the mean of all."""

    @staticmethod
    def forward(ctx: Any, n_members: int, *parameters: Tensor) -> tuple[Tensor, ...]:
        ctx.n_members = n_members
        return tuple(parameter.view_as(parameter) for parameter in parameters)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return None, *torch._foreach_mul(gradients, float(ctx.n_members))


class _Call(nn.Module):
    """Lets `functional_call` reach any method of a module."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, method: str, args: Any, kwargs: Any) -> Any:
        return getattr(self.net, method)(*args, **kwargs)


class Members(nn.Module):
    """Modules of one architecture as one, with their parameters and buffers stacked.

    Every member sees the same events and has its own weights, dropout and batch statistics. With
    a loss that is the mean over members, each gets the gradient that it would get alone.

    Parameters
    ----------
    modules : sequence of nn.Module
        The members; their parameters are copied.

    Notes
    -----
    The module ``stacked.net`` is a copy of the first member whose parameters have one more axis,
    of length n_members, in front: optimizers, averages, checkpoints and pickle see ordinary
    parameters. `torch.vmap` over that axis turns the matrix products of all members into one.
    Where it cannot, as for an LSTM or for selections that depend on hidden values, members run one
    after the other, with the same result.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.n_members = len(modules)
        self._can_batch: bool | None = None  # not known before the first events
        self.stacked = _Call(copy.deepcopy(modules[0]))
        # in place, so that parameters which the module shares with itself stay shared
        for kind in ("named_parameters", "named_buffers"):
            values = [dict(getattr(module, kind)()) for module in modules]
            for name, tensor in getattr(self.stacked.net, kind)():
                tensor.data = torch.stack([value[name].detach() for value in values])

    def split(self) -> list[nn.Module]:
        """The members as modules of their own."""
        members = []
        for index in range(self.n_members):
            member = copy.deepcopy(self.stacked.net)
            for tensor in [*member.parameters(), *member.buffers()]:
                tensor.data = tensor.data[index].clone()
                tensor.grad = None
            members.append(member)
        return members

    def _call(self, method: str, args: Any, kwargs: Any) -> Any:
        parameters = _by_name(self.stacked, "named_parameters")
        if torch.is_grad_enabled():
            trained = {name: p for name, p in parameters.items() if p.requires_grad}
            parameters |= zip(
                trained, _OwnLoss.apply(self.n_members, *trained.values()), strict=True
            )
        buffers = _by_name(self.stacked, "named_buffers")

        def member(parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> Any:
            return functional_call(
                self.stacked, (parameters, buffers), (method, args, kwargs), tie_weights=False
            )

        batched = vmap(member, out_dims=1, randomness="different")
        if self._can_batch is None:
            self._can_batch = _works(batched, parameters, buffers)
        if self._can_batch:
            return batched(parameters, buffers)
        outputs = [
            member(_pick(parameters, index), _pick(buffers, index))
            for index in range(self.n_members)
        ]
        if isinstance(outputs[0], Tensor):
            return torch.stack(outputs, dim=1)
        return tuple(torch.stack(parts, dim=1) for parts in zip(*outputs, strict=True))

    @available_if(lambda self: hasattr(self.stacked.net, "embed"))
    def embed(self, *args: Any, **kwargs: Any) -> Tensor:
        """Values of the last hidden layers, side by side: (n_events, n_members * n_hidden)."""
        return self._call("embed", args, kwargs).flatten(1)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the members return, their number as second axis of each tensor.

        Members that are ensembles themselves, such as `TabM`, count as all of theirs.
        """
        output = self._call("forward", args, kwargs)
        if isinstance(output, Tensor):
            return output.flatten(1, 2) if output.ndim == 4 else output
        return output


def _by_name(net: nn.Module, kind: str) -> dict[str, Tensor]:
    """Parameters or buffers under every name that they have, once for a shared module.

    With the names of a module that is used twice, `functional_call` would not put the parameters
    back that it replaces.
    """
    return {
        f"{path}.{name}": tensor
        for path, module in net.named_modules()
        for name, tensor in getattr(module, kind)(recurse=False, remove_duplicate=False)
    }


def _pick(tensors: dict[str, Tensor], index: int) -> dict[str, Tensor]:
    return {name: tensor[index] for name, tensor in tensors.items()}


def _works(batched: Any, parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> bool:
    """Whether a function of stacked parameters can be batched, without leaving a trace."""
    if torch.compiler.is_compiling():
        return True
    devices = {tensor.device for tensor in parameters.values() if tensor.is_cuda}
    copies = {name: buffer.clone() for name, buffer in buffers.items()}
    try:
        with (
            warnings.catch_warnings(),
            torch.no_grad(),
            torch.random.fork_rng(devices=devices),
        ):
            # torch runs some operations in a slow loop of its own, and says so
            warnings.filterwarnings("error", message=".*batching rule")
            batched(parameters, copies)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, UserWarning):
        return False
    return True
