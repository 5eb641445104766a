"""Modules of clouds in a form that ONNX can hold: dense arrays and masks instead of packed rows.

The modules leave padding out of their work, which needs operations that old operator sets lack.
Here the same layers see every place of the padded cloud, and masks take out what is absent. Both
give the same answers; time and memory of the graph grow with the padding.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from skhep_ml.neural_network.modules import (
    RNN,
    DeepSets,
    InteractionNetwork,
    ParticleNet,
    ParticleTransformer,
)
from skhep_ml.neural_network.modules._mlp import split_mask
from skhep_ml.neural_network.modules._pairs import pairwise_features, take_columns, wrapped
from skhep_ml.neural_network.modules._rnn import take_places

# distances of absent particles; those of present ones are below
_FAR = 1e38
# up to so many coordinates the modules take distances from differences
_FEW_COORDINATES = 4
# bias of attention to an absent particle
_ABSENT = -1e9


class DenseCloud(nn.Module):
    """The answers of a module for clouds, of any number of events and particles.

    Parameters
    ----------
    module : nn.Module
        A module of this package, in evaluation mode; its layers are used, not copied.
    """

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.net = module

    def _event(self, hidden: Tensor) -> Tensor:
        """Outputs of the module from its last hidden layer."""
        return self.net.head(hidden)

    def _particles(self, hidden: Tensor, present: Tensor) -> Tensor:
        """Outputs of each particle, 0 where it is absent."""
        output = torch.where(present.unsqueeze(2), self.net.head(hidden), 0.0)
        return output.squeeze(2) if output.shape[2] == 1 else output


class DenseDeepSets(DenseCloud):
    """`DeepSets` on padded clouds."""

    def forward(self, X: Tensor) -> Tensor:
        """Outputs of the events."""
        net = self.net
        x, present = split_mask(X)
        seen = net.particle(x if net.variant == "pfn" else take_columns(x, net.angle_columns))
        if net.variant == "efn":
            pt = take_columns(x, [net.pt_column])
            tiny = torch.finfo(torch.float32).tiny
            seen = seen * pt / pt.sum(dim=1, keepdim=True).clamp(min=tiny)
        return self._event(net.event(_pool(seen, present, net.pooling)))


class DenseRNN(DenseCloud):
    """`RNN` on padded clouds."""

    def forward(self, X: Tensor) -> Tensor:
        """Outputs of the events or particles."""
        net = self.net
        values, present = split_mask(X)
        length = present.long().sum(dim=1, keepdim=True)
        place = torch.arange(X.shape[1], device=X.device)
        # no two keys are equal: present particles first, in their order
        keys = torch.where(present, -place, -place - X.shape[1]).float()
        order = keys.sort(dim=1, descending=True).indices
        reverse, end = (length - 1 - place).clamp(min=0), (length - 1).clamp(min=0)
        values = take_places(values, order)
        last: list[Tensor] = []
        for directions in net.recurrent:
            outputs, last = [], []
            for backward, recurrent in enumerate(directions):
                output, _ = recurrent(take_places(values, reverse) if backward else values)
                last.append(take_places(output, end).squeeze(1))
                outputs.append(take_places(output, reverse) if backward else output)
            values = torch.cat(outputs, dim=2)
        if net.per_particle:
            back = order.float().sort(dim=1, descending=False).indices
            return self._particles(net.body(take_places(values, back)), present)
        state = torch.where(length > 0, torch.cat(last, dim=1), 0.0)
        return self._event(net.body(state))


class DenseParticleNet(DenseCloud):
    """`ParticleNet` on padded clouds."""

    def forward(self, X: Tensor) -> Tensor:
        """Outputs of the events or particles."""
        net = self.net
        n_particles = X.shape[1]
        x, present = split_mask(_with_room(X, net.n_neighbors))
        points, period = take_columns(x, net.coordinates), net.period
        x = _layers(net.input_norm, x)
        for block in net.blocks:
            index, valid = _nearest(points, present, net.n_neighbors, period)
            x = torch.where(present.unsqueeze(2), _edge_convolution(block, x, index, valid), 0.0)
            points, period = x, None
        if net.per_particle:
            return self._particles(net.body(x), present)[:, :n_particles]
        return self._event(net.body(_pool(x, present, "mean")))


class DenseInteractionNetwork(DenseCloud):
    """`InteractionNetwork` on padded clouds, without given edges."""

    def forward(self, X: Tensor) -> Tensor:
        """Outputs of the events or particles."""
        net, n_particles = self.net, X.shape[1]
        k = net.n_neighbors
        x, present = split_mask(X if k is None else _with_room(X, k))
        n, weight = net.n_features, net.edge_input.weight
        sent = functional.linear(x, weight[:, n : 2 * n])
        received = functional.linear(x, weight[:, :n], net.edge_input.bias)
        if net.message == "edge":
            received = received - sent
        places = take_columns(x, net.coordinates) if net.message == "edge" or k else x
        if k is None:
            valid = present.unsqueeze(1) & present.unsqueeze(2) & ~_same(X)
            edge = received.unsqueeze(2) + sent.unsqueeze(1)
            sender_place = places.unsqueeze(1)
        else:
            index, valid = _nearest(places, present, k, net.period)
            edge = received.unsqueeze(2) + _gather(sent, index)
            sender_place = _gather(places, index)
        if net.message == "edge":
            delta = places.unsqueeze(2) - sender_place
            if net.period is not None:
                delta = torch.cat([delta[..., :-1], wrapped(delta[..., -1:], net.period)], dim=-1)
            distance = delta.square().sum(dim=-1, keepdim=True).clamp(min=1e-12).sqrt()
            edge = edge + distance * weight[:, 2 * n]
        heard = _pool(_layers(net.edge, edge), valid, net.aggregation)
        nodes = _layers(net.node, torch.cat([x, heard], dim=2))
        if net.per_particle:
            return self._particles(_layers(net.body, nodes), present)[:, :n_particles]
        return self._event(_layers(net.body, _pool(nodes, present, net.pooling)))


class DenseTransformer(DenseCloud):
    """`ParticleTransformer` on padded clouds."""

    def forward(self, X: Tensor) -> Tensor:
        """Outputs of the events or particles."""
        net = self.net
        x, present = split_mask(X)
        bias = torch.where(present, 0.0, _ABSENT).unsqueeze(1).unsqueeze(1)
        pair_bias = bias
        if net.kinematics is not None:
            momenta = [x[..., column] for column in net.kinematics]
            features = pairwise_features(
                [part.unsqueeze(2) + 0.0 * part.unsqueeze(1) for part in momenta],
                [part.unsqueeze(1) + 0.0 * part.unsqueeze(2) for part in momenta],
            )
            values = _layers(net.pair_bias.layers, features).permute(0, 3, 1, 2)
            both = (present.unsqueeze(1) & present.unsqueeze(2)).unsqueeze(1)
            pair_bias = torch.where(both, values, _ABSENT)
        x = _layers(net.embedding, x)
        for block in net.blocks:
            normed = block.norm(x)
            q, k, v = block.attention.qkv(normed).chunk(3, dim=2)
            x = _after_attention(block, x, _attend(block.attention, q, k, v, pair_bias))
        if net.per_particle:
            return self._particles(net.norm(x), present)
        token = net.token + 0.0 * x[:, :1]
        bias = functional.pad(bias, (1, 0))
        for block in net.class_blocks:
            both = torch.cat([block.norm(token), block.norm(x)], dim=1)
            q, k, v = block.attention.qkv(both).chunk(3, dim=2)
            token = _after_attention(block, token, _attend(block.attention, q[:, :1], k, v, bias))
        return self._event(net.norm(token.squeeze(1)))


_DENSE: dict[type[nn.Module], type[DenseCloud]] = {
    DeepSets: DenseDeepSets,
    InteractionNetwork: DenseInteractionNetwork,
    ParticleNet: DenseParticleNet,
    ParticleTransformer: DenseTransformer,
    RNN: DenseRNN,
}


def dense_form(module: nn.Module) -> nn.Module:
    """The module itself, or for those of clouds the one of this file that answers the same."""
    dense = _DENSE.get(type(module))
    return module if dense is None else dense(module)


# --- parts ----------------------------------------------------------------------------------------


def _layers(layer: Any, x: Tensor) -> Tensor:
    """Layers on the last axis of an array of any number of axes, batch norm among them."""
    if isinstance(layer, nn.Sequential):
        for part in layer:
            x = _layers(part, x)
        return x
    if isinstance(layer, nn.BatchNorm1d):
        scale = (cast("Tensor", layer.running_var) + layer.eps).rsqrt()
        if layer.weight is not None:
            scale = scale * layer.weight
        x = (x - cast("Tensor", layer.running_mean)) * scale
        return x if layer.bias is None else x + layer.bias
    return layer(x)


def _pool(values: Tensor, present: Tensor, pooling: str) -> Tensor:
    """Sum, mean or maximum over the last axis but one of what is present; 0 where nothing is."""
    mask = present.unsqueeze(-1)
    if pooling == "max":
        largest = torch.where(mask, values, -_FAR).amax(dim=-2)
        return torch.where(largest > -_FAR, largest, 0.0)
    total = torch.where(mask, values, 0.0).sum(dim=-2)
    if pooling == "mean":
        total = total / mask.float().sum(dim=-2).clamp(min=1.0)
    return total


def _same(x: Tensor) -> Tensor:
    """Which pairs are a particle with itself: (1, n_particles, n_particles)."""
    place = torch.arange(x.shape[1], device=x.device)
    return (place.unsqueeze(0) == place.unsqueeze(1)).unsqueeze(0)


def _with_room(X: Tensor, k: int) -> Tensor:
    """Clouds with k absent particles more, among which k neighbours can always be found."""
    return functional.pad(X, (0, 0, 0, k), value=torch.nan)


def _nearest(
    points: Tensor, present: Tensor, k: int, period: float | None
) -> tuple[Tensor, Tensor]:
    """Neighbours and which of them exist, (n_events, n_particles, k), as the modules choose."""
    n_coordinates = points.shape[2]
    if n_coordinates > _FEW_COORDINATES and period is None:
        square = points.square().sum(dim=2)
        distance = square.unsqueeze(1) - 2.0 * torch.matmul(points, points.transpose(1, 2))
    else:
        delta = points.unsqueeze(2) - points.unsqueeze(1)
        if period is not None:
            delta = torch.cat([delta[..., :-1], wrapped(delta[..., -1:], period)], dim=-1)
        distance = delta.square().sum(dim=-1)
    distance = torch.where(~present.unsqueeze(1) | _same(points), _FAR, distance)
    nearest, index = distance.topk(k, dim=2, largest=False)
    return index, (nearest < _FAR) & present.unsqueeze(2)


def _gather(values: Tensor, index: Tensor) -> Tensor:
    """Rows of each event by their number: (n_events, n_particles, k, n_columns)."""
    flat = index.flatten(1).unsqueeze(2).expand(-1, -1, values.shape[2])
    return values.gather(1, flat).reshape(*index.shape, values.shape[2])


def _edge_convolution(block: Any, x: Tensor, index: Tensor, valid: Tensor) -> Tensor:
    A, B = block.first.weight.chunk(2, dim=1)
    centre, neighbour = functional.linear(x, A - B), functional.linear(x, B)
    edges = _layers(block.norms[0], centre.unsqueeze(2) + _gather(neighbour, index))
    for linear, norm in zip(block.linears, block.norms[1:], strict=True):
        edges = _layers(norm, linear(functional.relu(edges)))
    mean = _pool(functional.relu(edges), valid, "mean")
    return functional.relu(mean + _layers(block.shortcut, x))


def _attend(attention: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    n_heads = attention.n_heads
    width = q.shape[2] // n_heads
    q, k, v = (
        part.reshape(part.shape[0], -1, n_heads, width).transpose(1, 2) for part in (q, k, v)
    )
    scores = torch.matmul(q, k.transpose(2, 3)) / width**0.5 + bias
    out = torch.matmul(scores.softmax(dim=-1), v)
    return attention._project(out.transpose(1, 2).flatten(2))


def _after_attention(block: Any, start: Tensor, attended: Tensor) -> Tensor:
    start = start + block.attention_norm(attended)
    return start * block.residual + block.perceptron(start)
