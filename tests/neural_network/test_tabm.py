"""TabM: an ensemble that shares weights, against the nets that it stands for."""

import pytest
import torch
from torch.nn import functional

from skhep_ml.neural_network._losses import CrossEntropyLoss
from skhep_ml.neural_network.modules import MLP, TabM


def n_parameters(module):
    return sum(p.numel() for p in module.parameters())


def test_parameters_of_the_published_size():
    k, d = 32, 512
    shared = (28 + 2 * d) * d
    adapters = k * (28 + 2 * d) + 2 * 3 * k * d  # R; S and B
    heads = k * (d + 1) * 2
    assert n_parameters(TabM(28, 2)) == shared + adapters + heads


@pytest.mark.parametrize("activation", ["relu", "maxout"])
def test_one_member_with_unit_scales_is_an_mlp(activation):
    torch.manual_seed(0)
    net = TabM(5, 3, n_members=1, n_blocks=2, d_block=8, activation=activation).eval()
    mlp = MLP(5, 3, (8, 8), activation=activation).eval()
    with torch.no_grad():
        net.body[0].scale_in.fill_(1.0)
        for ours, theirs in ((net.body[0], mlp.body[0]), (net.body[3], mlp.body[2])):
            ours.bias.normal_()
            theirs.weight.copy_(ours.weight)
            theirs.bias.copy_(ours.bias[0])
        mlp.head.weight.copy_(net.head.weight[0].T)
        mlp.head.bias.copy_(net.head.bias[0])
    X = torch.randn(20, 5)
    torch.testing.assert_close(net(X)[:, 0], mlp(X))
    torch.testing.assert_close(net.embed(X), mlp.embed(X))


def test_members_are_mlps_with_scaled_weights():
    """Member i has the weights S_i W R_i, biases B_i and a head of its own."""
    torch.manual_seed(0)
    net = TabM(4, 2, n_members=3, n_blocks=2, d_block=6).eval()
    with torch.no_grad():
        for layer in (net.body[0], net.body[3]):
            for scale in (layer.scale_in, layer.scale_out, layer.bias):
                scale.normal_()
    X = torch.randn(7, 4)
    for i in range(3):
        x = X
        for layer in (net.body[0], net.body[3]):
            weight = layer.scale_out[i][:, None] * layer.weight * layer.scale_in[i]
            x = torch.relu(functional.linear(x, weight, layer.bias[i]))
        torch.testing.assert_close(net(X)[:, i], x @ net.head.weight[i] + net.head.bias[i])


def test_only_the_first_scales_differ_at_the_start():
    torch.manual_seed(0)
    net = TabM(50, 2)
    signs = net.body[0].scale_in
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    assert abs(signs.mean().item()) < 0.1
    assert net.body[3].scale_in.unique().tolist() == [1.0]
    assert net.body[0].scale_out.unique().tolist() == [1.0]
    X = torch.randn(4, 50)
    hidden = net.eval().body(X.unsqueeze(1))
    assert (hidden.std(dim=1) > 0).any()


def test_an_embedding_gets_one_normal_scale_for_each_feature():
    torch.manual_seed(0)
    scale = TabM(50, 2, embedding="periodic").body[0].scale_in.reshape(32, 50, 4)
    assert (scale == scale[:, :, :1]).all()
    assert scale.std().item() == pytest.approx(1.0, abs=0.05)


def test_the_loss_is_the_mean_of_the_members():
    torch.manual_seed(0)
    output = TabM(3, 2, n_members=5, d_block=8)(torch.randn(40, 3))
    target = torch.randint(2, (40,))
    weight = torch.randn(40)
    loss = CrossEntropyLoss()
    members = [loss(output[:, i], target, weight) for i in range(5)]
    torch.testing.assert_close(loss(output, target, weight), torch.stack(members).mean())
