"""Several nets at once: each member is the net that it would be alone."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from torch import nn

from skhep_ml.neural_network import NetClassifier, NetRegressor
from skhep_ml.neural_network._members import Members
from skhep_ml.neural_network.modules import CNN, MLP, RNN, DeepSets, ParticleNet, ResNet, TabM


class Small(MLP):
    def __init__(self, n_features, n_outputs, hidden=(16,), dropout=0.0, batch_norm=False):
        super().__init__(n_features, n_outputs, hidden, dropout=dropout, batch_norm=batch_norm)


def toy(n=400, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    X = rng.normal(size=(n, 3)).astype(np.float32)
    X[:, 0] += 1.5 * y
    return X, y


def small(**options):
    defaults = {"max_epochs": 4, "batch_size": 64, "lr": 0.01, "random_state": 0, "device": "cpu"}
    return NetClassifier(**({"module": Small} | defaults | options))


def initial_members(**options):
    """The members before training."""
    return (
        small(optimizer="sgd", max_epochs=1, **options | {"lr": 1e-30}).fit(*toy()).module_.split()
    )


def assert_same(first, second, **tolerance):
    state, other = first.state_dict(), second.state_dict()
    assert state.keys() == other.keys()
    for name, value in state.items():
        torch.testing.assert_close(value, other[name], **tolerance)


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "sgd", "lr": 0.1},
        {"optimizer": "sgd", "lr": 0.1, "l1": 0.01, "weight_decay": 0.01, "ema_decay": 0.8},
        {"optimizer": "momentum", "schedule": "one_cycle"},
        {"optimizer": "adamw", "weight_decay": 0.1},
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_each_member_is_the_net_trained_alone(options, weighted):
    X, y = toy()
    w = np.random.default_rng(1).exponential(size=len(y)) if weighted else None
    net = small(n_members=3, **options).fit(X, y, w)
    members = net.module_.split()
    for start, member in zip(initial_members(n_members=3), members, strict=True):
        alone = small(module=start, **options).fit(X, y, w)
        assert_same(member, alone.module_, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(members[0].head.weight, members[1].head.weight)


def test_the_first_member_is_the_net_without_members():
    X, y = toy()
    single = small().fit(X, y)
    net = small(n_members=2).fit(X, y)
    assert_same(net.module_.split()[0], single.module_, rtol=1e-4, atol=1e-5)


def test_predictions_and_losses_are_means():
    X, y = toy()
    net = small(n_members=3, early_stopping=True).fit(X, y)
    tables = torch.from_numpy(X)
    outputs = torch.stack([member(tables) for member in net.module_.split()], dim=1)
    torch.testing.assert_close(net.forward(X), outputs)
    mean = torch.softmax(outputs, dim=2).mean(dim=1)
    np.testing.assert_allclose(net.predict_proba(X), mean.detach().numpy(), rtol=1e-5)
    odds = torch.log(mean[:, 1] / mean[:, 0]).detach().numpy()
    np.testing.assert_allclose(net.decision_function(X), odds, rtol=1e-4, atol=1e-5)
    embedded = net.embed(X).reshape(len(X), 3, 16)
    for i, member in enumerate(net.module_.split()):
        np.testing.assert_allclose(embedded[:, i], member.embed(tables).detach(), atol=1e-6)
    start = small(n_members=3, optimizer="sgd", lr=1e-30, max_epochs=1, batch_size=-1).fit(X, y)
    losses = [
        nn.functional.cross_entropy(member(tables), torch.from_numpy(y)).item()
        for member in start.module_.split()
    ]
    assert start.history[0]["train_loss"] == pytest.approx(np.mean(losses), rel=1e-5)


def test_batch_norm_keeps_statistics_for_each_member():
    X, _ = toy()
    torch.manual_seed(0)
    modules = [Small(3, 2, batch_norm=True) for _ in range(2)]
    together = Members(modules)
    for rows in torch.from_numpy(X).split(100):
        outputs = together(rows)
        for i, module in enumerate(modules):
            torch.testing.assert_close(outputs[:, i], module(rows))
    for member, module in zip(together.split(), modules, strict=True):
        assert_same(member, module)
        assert member.body[1].num_batches_tracked == 4
    mean, other = (module.body[1].running_mean for module in modules)
    assert not torch.allclose(mean, other)


def test_dropout_differs_between_members():
    torch.manual_seed(0)
    module = Small(3, 2, hidden=(50,), dropout=0.5)
    net = Members([module, module])
    X = torch.randn(10, 3)
    first, second = net(X).unbind(dim=1)
    assert not torch.allclose(first, second)
    first, second = net.eval()(X).unbind(dim=1)
    torch.testing.assert_close(first, second)


class Tied(nn.Module):
    """A layer under two names, a layer that shares its weights alone, and a frozen parameter."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.first = nn.Linear(n_features, n_features)
        self.second = self.first
        self.third = nn.Linear(n_features, n_features)
        self.third.weight = self.first.weight
        self.head = nn.Linear(n_features, n_outputs)
        self.head.bias.requires_grad_(False)

    def forward(self, X):
        for layer in (self.first, self.second, self.third):
            X = torch.relu(layer(X))
        return self.head(X)


def test_shared_and_frozen_parameters_stay_so():
    X, y = toy()
    net = small(module=Tied, n_members=2, max_epochs=2, optimizer="sgd", lr=0.1).fit(X, y)
    starts = initial_members(module=Tied, n_members=2)
    for start, member in zip(starts, net.module_.split(), strict=True):
        assert member.first is member.second
        assert member.first.weight is member.third.weight
        assert not torch.allclose(member.first.weight, start.first.weight)
        assert torch.equal(member.head.bias, start.head.bias)
        alone = small(module=start, max_epochs=2, optimizer="sgd", lr=0.1).fit(X, y)
        assert_same(member, alone.module_, rtol=1e-4, atol=1e-5)
    with pytest.raises(AttributeError, match="embed"):
        net.embed(X)


def clouds(n=60):
    X = np.random.default_rng(0).normal(size=(n, 6, 3)).astype(np.float32)
    X[::3, 4:] = np.nan
    return X


def images(n=60):
    return np.random.default_rng(0).normal(size=(n, 1, 5, 5)).astype(np.float32)


@pytest.mark.parametrize(
    ("module", "options", "X", "can_batch"),
    [
        (ResNet, {"d_block": 8}, toy(60)[0], True),
        (CNN, {"channels": (4, 8), "hidden": (8,)}, images(), True),
        (DeepSets, {}, clouds(), True),
        (RNN, {"n_hidden": 8}, clouds(), False),
        (ParticleNet, {"n_neighbors": 2, "channels": ((8,), (8,))}, clouds(), False),
    ],
)
def test_every_architecture_runs(module, options, X, can_batch):
    y = np.arange(len(X)) % 2
    arguments = {f"module__{name}": value for name, value in options.items()}
    options = {"module": module, "max_epochs": 1, "batch_size": 30} | arguments
    net = small(n_members=2, **options).fit(X, y)
    assert net.module_._can_batch is can_batch
    together = net.forward(X)
    outputs = [member(torch.from_numpy(X)) for member in net.module_.split()]
    outputs = torch.stack([o[0] if isinstance(o, tuple) else o for o in outputs], dim=1)
    torch.testing.assert_close(together, outputs, rtol=1e-4, atol=1e-5)


def test_members_of_ensembles_all_count():
    X, y = toy()
    net = small(module=TabM, module__d_block=8, module__n_members=4, n_members=2, max_epochs=1)
    net.fit(X, y)
    assert net.forward(X).shape == (400, 8, 2)
    outputs = torch.cat([member(torch.from_numpy(X)) for member in net.module_.split()], dim=1)
    torch.testing.assert_close(net.forward(X), outputs)


def test_pickle_clone_and_more_training():
    X, y = toy()
    net = small(n_members=3, ema_decay=0.9, module__dropout=0.1).fit(X, y)
    again = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(again.predict_proba(X), net.predict_proba(X))
    np.testing.assert_array_equal(
        again.partial_fit(X, y).predict_proba(X), net.partial_fit(X, y).predict_proba(X)
    )
    copy = clone(net)
    assert copy.n_members == 3
    np.testing.assert_array_equal(
        copy.fit(X, y).predict_proba(X), clone(net).fit(X, y).predict_proba(X)
    )
    assert {len(p) for p in net.module_.parameters()} == {3}


@pytest.mark.parametrize("module", [Small, Tied])
def test_a_checkpoint_continues(tmp_path, module):
    X, y = toy()
    options = {"module": module, "n_members": 2, "max_epochs": 4}
    if module is Small:
        options["module__dropout"] = 0.2
    path = tmp_path / "net.ckpt"
    whole = small(**options).fit(X, y)
    small(**options, checkpoint=path).fit(X, y)
    resumed = small(**options, checkpoint=path).fit(X, y)
    np.testing.assert_array_equal(resumed.predict_proba(X), whole.predict_proba(X))


def test_regression_with_members():
    X, _ = toy(300)
    y = 1e3 + 50 * X[:, 0]
    options = {"module": Small, "max_epochs": 30, "lr": 0.02, "random_state": 0, "device": "cpu"}
    net = NetRegressor(n_members=3, **options).fit(X, y)
    outputs = [m(torch.from_numpy(X)).detach().numpy()[:, 0] for m in net.module_.split()]
    mean = np.mean(outputs, axis=0) * net.target_scale_ + net.target_mean_
    np.testing.assert_allclose(net.predict(X), mean, rtol=1e-5)
    assert np.abs(net.predict(X) - y).mean() < 15


def test_the_width_of_members_is_that_of_their_mixture():
    X, _ = toy(300)
    y = X[:, 0] + np.random.default_rng(0).normal(size=300)
    net = NetRegressor(
        Small, criterion="gaussian", n_members=3, max_epochs=3, random_state=0, device="cpu"
    ).fit(X, y)
    mean, std = net.predict(X, return_std=True)
    outputs = net.forward(X).detach().double().numpy()
    located, width = outputs[:, :, 0], np.exp(outputs[:, :, 1])
    second_moment = (located**2 + width**2).mean(axis=1)
    expected = np.sqrt(second_moment - located.mean(axis=1) ** 2) * net.target_scale_
    np.testing.assert_allclose(std, expected, rtol=1e-4)
    np.testing.assert_allclose(
        mean, located.mean(axis=1) * net.target_scale_ + net.target_mean_, atol=1e-5
    )


@pytest.mark.parametrize("criterion", [nn.BCEWithLogitsLoss, nn.NLLLoss])
def test_torch_criteria(criterion):
    class Signal(nn.Module):
        def __init__(self, n_features):
            super().__init__()
            self.layer = nn.Linear(n_features, 1)

        def forward(self, X):
            logit = self.layer(X)
            if criterion is nn.BCEWithLogitsLoss:
                return logit
            return torch.cat([torch.sigmoid(-logit), torch.sigmoid(logit)], dim=1)

    X, y = toy()
    net = small(module=Signal, criterion=criterion, n_members=2, max_epochs=8, lr=0.05).fit(X, y)
    p = net.predict_proba(X)
    tables = torch.from_numpy(X)
    expected = np.mean([torch.sigmoid(m.layer(tables)).tolist() for m in net.module_.split()], 0)
    np.testing.assert_allclose(p[:, 1], expected[:, 0], rtol=1e-5)
    assert roc_auc_score(y, p[:, 1]) > 0.8


# from the compiler itself, about any autograd function
@pytest.mark.filterwarnings("ignore:.*autograd.function.Function:DeprecationWarning")
@pytest.mark.parametrize("n_members", [1, 2])
def test_compiled_nets_are_the_same(n_members):
    X, y = toy()
    w = np.random.default_rng(1).exponential(size=len(y))
    plain = small(n_members=n_members).fit(X, y, w)
    compiled = small(n_members=n_members, compile=True, compile__backend="eager").fit(X, y, w)
    assert compiled.history[:, "train_loss"] == pytest.approx(plain.history[:, "train_loss"])
    np.testing.assert_allclose(compiled.predict_proba(X), plain.predict_proba(X), rtol=1e-4)
    np.testing.assert_allclose(compiled.embed(X), plain.embed(X), rtol=1e-4, atol=1e-5)


def test_named_inputs():
    class Sum(nn.Module):
        def __init__(self, n_outputs):
            super().__init__()
            self.layer = nn.Linear(3, n_outputs)

        def forward(self, a, b):
            return self.layer(a) + self.layer(b)

    X, y = toy()
    events = {"a": X, "b": -0.5 * X}
    net = small(module=Sum, n_members=2).fit(events, y, np.ones(400))
    assert net.predict_proba(events).shape == (400, 2)


def test_wrong_use_is_refused():
    X, y = toy(50)
    with pytest.raises(ValueError, match="n_members must be a positive integer, got 0"):
        small(n_members=0).fit(X, y)
    with pytest.raises(ValueError, match="module must be a class"):
        small(module=Small(3, 2), n_members=2).fit(X, y)
    net = Members([nn.Linear(3, 2), nn.Linear(3, 2)])
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):
        net(torch.zeros(4, 5))
