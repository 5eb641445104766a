"""Recurrent networks: order counts, padding does not, and what they learn."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV

from skhep_ml.neural_network import NetClassifier
from skhep_ml.neural_network.modules import RNN

CASES = [
    {"cell": "lstm"},
    {"cell": "gru"},
    {"cell": "lstm", "n_layers": 2, "bidirectional": True},
    {"cell": "gru", "n_layers": 2, "bidirectional": True},
]


def clouds(n_events=6, n_particles=9, seed=0):
    """Clouds with absent particles anywhere, one partly missing particle and one empty event."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_events, n_particles, 3)).astype(np.float32)
    X[rng.random((n_events, n_particles)) < 0.4] = np.nan
    X[0] = np.nan
    X[1, 0] = [1.0, np.nan, 0.3]
    return torch.from_numpy(X)


def small(**options):
    torch.manual_seed(0)
    return RNN(
        **({"n_features": 3, "n_outputs": 2, "n_hidden": 5, "hidden": (4,)} | options)
    ).eval()


@pytest.mark.parametrize("options", CASES)
@pytest.mark.parametrize("seed", range(3))
def test_padding_does_not_matter(options, seed):
    module, X = small(**options), clouds(seed=seed)
    padded = torch.full((len(X), 20, 3), torch.nan)
    padded[:, 1:18:2] = X
    torch.testing.assert_close(module(padded), module(X))


def torch_recurrent(module, cell, n_layers=1, bidirectional=False):
    """The recurrent layers of torch with the weights of a module."""
    kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell]
    recurrent = kind(3, 5, n_layers, batch_first=True, bidirectional=bidirectional)
    flat = [p for layer in module.recurrent for cell in layer for p in cell.parameters()]
    for theirs, ours in zip(recurrent.parameters(), flat, strict=True):
        theirs.data = ours.data
    return recurrent


@pytest.mark.parametrize("options", CASES)
def test_each_event_alone_gives_the_same(options):
    """Every event's present particles go through torch's own layers, without padding."""
    module, X = small(**options), clouds()
    recurrent = torch_recurrent(module, **options)
    n_directions = 2 if recurrent.bidirectional else 1
    for event, output in zip(X[1:], module(X)[1:], strict=True):
        _, state = recurrent(event[~event.isnan().all(dim=1)].nan_to_num())
        state = state[0] if isinstance(state, tuple) else state
        last = state[-n_directions:].flatten()
        torch.testing.assert_close(output, module.head(module.body(last)))


@pytest.mark.parametrize("options", CASES)
def test_order_counts(options):
    module = small(**options)
    X = torch.randn(4, 6, 3)
    assert not torch.allclose(module(X.flip(1)), module(X), atol=1e-4)


@pytest.mark.parametrize("options", CASES)
def test_an_event_without_particles_is_finite_and_gradients_are_too(options):
    module, X = small(**options), clouds().requires_grad_()
    output = module(X)
    assert torch.isfinite(output).all()
    output.square().sum().backward()
    assert torch.isfinite(X.grad).all()
    for parameter in module.parameters():
        assert torch.isfinite(parameter.grad).all()
    empty = module(torch.full((2, 4, 3), torch.nan))
    torch.testing.assert_close(empty, output[:1].expand(2, 2))


@pytest.mark.parametrize(("cell", "gates"), [("lstm", 4), ("gru", 3)])
def test_number_of_parameters(cell, gates):
    n_hidden, n_features = 100, 6
    module = RNN(n_features, 3, cell=cell)
    recurrent = gates * (n_hidden * (n_features + n_hidden) + 2 * n_hidden)
    dense = 101 * 100 + 101 * 3
    assert sum(p.numel() for p in module.parameters()) == recurrent + dense
    deep = RNN(n_features, 3, cell=cell, n_layers=2, bidirectional=True)
    second = gates * (n_hidden * (2 * n_hidden + n_hidden) + 2 * n_hidden)
    dense = 201 * 100 + 101 * 3
    assert sum(p.numel() for p in deep.parameters()) == 2 * (recurrent + second) + dense


def test_initialisation():
    layer = RNN(6, 2, n_hidden=10).recurrent[0][0]
    torch.testing.assert_close(layer.bias_ih_l0[10:20], torch.ones(10))
    assert layer.bias_ih_l0.sum() == 10
    assert (layer.bias_hh_l0 == 0).all()
    for gate in layer.weight_hh_l0.split(10):
        torch.testing.assert_close(gate @ gate.T, torch.eye(10), atol=1e-5, rtol=0)


def test_dropout_between_layers_and_after_them():
    X = torch.randn(4, 6, 3)
    for options in ({"n_layers": 2, "hidden": ()}, {"hidden": (30,)}):
        module = small(dropout=0.5, **options).train()
        assert not torch.equal(module(X), module(X))
        assert torch.equal(module.eval()(X), module(X))


def test_unknown_cell():
    with pytest.raises(ValueError, match=r"cell='elman' must be one of \('lstm', 'gru'\)"):
        small(cell="elman")


def sequences(n=500, seed=0):
    """The class is the sign of the first present particle: sums over particles cannot tell."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6, 2)).astype(np.float32)
    X[rng.random((n, 6)) < 0.3] = np.nan
    X[:, 3] = rng.normal(size=(n, 2))
    first = np.isfinite(X[..., 0]).argmax(axis=1)
    return X, (X[np.arange(n), first, 0] > 0).astype(int)


def net(**options):
    defaults = {"max_epochs": 10, "lr": 0.02, "random_state": 0, "device": "cpu"}
    return NetClassifier(RNN, module__n_hidden=12, module__hidden=(8,), **(defaults | options))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_it_learns_in_the_net(cell):
    X, y = sequences()
    model = net(module__cell=cell).fit(X[:400], y[:400])
    assert roc_auc_score(y[400:], model.predict_proba(X[400:])[:, 1]) > 0.9
    assert model.embed(X[:5]).shape == (5, 8)


def test_search_over_the_module():
    X, y = sequences(120)
    search = GridSearchCV(
        clone(net(max_epochs=1)), {"module__cell": ["lstm", "gru"]}, cv=2, error_score="raise"
    ).fit(X, y)
    assert search.best_params_["module__cell"] in {"lstm", "gru"}
