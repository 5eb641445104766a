"""Interaction networks: messages against a loop over pairs, invariances, sizes, learning."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV

from skhep_ml.events import Events
from skhep_ml.neural_network import NetClassifier, NetRegressor
from skhep_ml.neural_network.modules import InteractionNetwork

CASES = [
    {},
    {"message": "edge"},
    {"message": "edge", "period": 2 * math.pi, "n_neighbors": 2},
    {"n_neighbors": 3, "aggregation": "mean", "pooling": "mean"},
    {"n_neighbors": 50, "aggregation": "max", "pooling": "max", "activation": "tanh"},
    {"activation": "maxout"},
]


def clouds(n_events=6, n_particles=8, seed=0):
    """Clouds with absent particles anywhere; events 0, 1 and 2 have none, one and two of them."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_events, n_particles, 4)).astype(np.float32)
    X[rng.random((n_events, n_particles)) < 0.4] = np.nan
    X[:3] = np.nan
    X[1, 2] = [1.0, np.nan, 0.3, 2.0]
    X[2, [4, 6]] = rng.normal(size=(2, 4))
    return torch.from_numpy(X)


def small(**options):
    torch.manual_seed(0)
    sizes = {"edge_hidden": (7, 5), "node_hidden": (6, 4), "hidden": (5,)}
    return InteractionNetwork(**({"n_features": 4, "n_outputs": 2} | sizes | options)).eval()


def n_parameters(module):
    return sum(p.numel() for p in module.parameters())


def senders(module, event, i):
    """Particles that particle i hears from."""
    others = [j for j in range(len(event)) if j != i and not event[j].isnan().all()]
    if module.n_neighbors is None:
        return others
    return sorted(others, key=lambda j: distance(module, event, i, j))[: module.n_neighbors]


def distance(module, event, i, j):
    delta = place(event[i]) - place(event[j])
    if module.period is not None:
        delta[1] = (delta[1] + math.pi) % (2 * math.pi) - math.pi
    return float(delta.square().sum().sqrt())


def place(particle):
    return particle[1:3].nan_to_num()


def plain_nodes(module, event):
    """Node features of the present particles of an event, by a loop over pairs."""
    pool = {"sum": torch.sum, "mean": torch.mean, "max": torch.amax}[module.aggregation]
    nodes = []
    for i in range(len(event)):
        if event[i].isnan().all():
            continue
        x_i, messages = event[i].nan_to_num(), []
        for j in senders(module, event, i):
            x_j = event[j].nan_to_num()
            pair = torch.cat([x_i, x_j])
            if module.message == "edge":
                d = torch.tensor([max(distance(module, event, i, j), 1e-6)])
                pair = torch.cat([x_i, x_j - x_i, d])
            messages.append(module.edge(module.edge_input(pair)))
        n_message = module.node[0].in_features - 4
        heard = pool(torch.stack(messages), dim=0) if messages else torch.zeros(n_message)
        nodes.append(module.node(torch.cat([x_i, heard])))
    return nodes


def plain(module, event):
    """Output for an event by loops."""
    nodes = plain_nodes(module, event)
    n_node = module.body[0].in_features
    pool = {"sum": torch.sum, "mean": torch.mean, "max": torch.amax}[module.pooling]
    pooled = pool(torch.stack(nodes), dim=0) if nodes else torch.zeros(n_node)
    return module.head(module.body(pooled))


@pytest.mark.parametrize("options", CASES)
def test_messages_are_those_of_a_loop_over_pairs(options):
    module, X = small(**options), clouds()
    expected = torch.stack([plain(module, event) for event in X])
    torch.testing.assert_close(module(X), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", CASES)
@given(seed=st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_neither_order_nor_padding_matters(options, seed):
    module, X = small(**options), clouds(seed=seed)
    order = torch.randperm(X.shape[1], generator=torch.Generator().manual_seed(seed))
    padded = torch.full((len(X), 13, 4), torch.nan)
    padded[:, torch.arange(X.shape[1]) + 2] = X[:, order]
    torch.testing.assert_close(module(padded), module(X), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("options", CASES)
def test_few_particles_are_finite_and_gradients_are_too(options):
    module, X = small(**options), clouds()
    X[4, 0] = X[4, 1] = torch.tensor([1.0, 0.5, 0.5, 0.0])  # at one place
    X.requires_grad_()
    output = module(X)
    assert torch.isfinite(output).all()
    output.square().sum().backward()
    assert torch.isfinite(X.grad).all()
    for parameter in module.parameters():
        assert torch.isfinite(parameter.grad).all()
    assert torch.isfinite(module(torch.full((2, 1, 4), torch.nan))).all()
    assert torch.isfinite(module(torch.ones(2, 1, 4))).all()


@pytest.mark.parametrize("message", ["concat", "edge"])
def test_given_neighbours(message):
    """A list of all others is the full graph; unlisted, absent and padded senders say nothing."""
    module, X = small(message=message), clouds()
    n = X.shape[1]
    everyone = torch.tensor([[j for j in range(n) if j != i] for i in range(n)]).float()
    everyone = everyone.expand(len(X), n, n - 1).clone()
    torch.testing.assert_close(module(X, everyone), module(X))
    nobody = torch.full((len(X), n, 2), torch.nan)
    present = ~X.isnan().all(dim=2)
    zeros = torch.zeros(int(present.sum()), 5)
    nodes = module.node(torch.cat([X[present].nan_to_num(), zeros], dim=1))
    pooled = torch.zeros(len(X), 4).index_add(0, present.nonzero()[:, 0], nodes)
    torch.testing.assert_close(module(X, nobody), module.head(module.body(pooled)))
    k_nearest = small(message=message, n_neighbors=1)
    nearest = torch.full((len(X), n, 3), torch.nan)
    for e, event in enumerate(X):
        for i in range(n):
            for j in senders(k_nearest, event, i) if present[e, i] else []:
                nearest[e, i, 1] = j
    torch.testing.assert_close(module(X, nearest), k_nearest(X))


def test_bad_neighbours():
    module, X = small(), clouds()
    with pytest.raises(ValueError, match=r"neighbors has shape \(6, 7, 2\)"):
        module(X, torch.zeros(6, 7, 2))
    wrong = torch.full((6, 8, 2), torch.nan)
    wrong[3, 1, 0] = 8
    with pytest.raises(ValueError, match=r"neighbors holds 8: .* between 0 and 7"):
        module(X, wrong)


def test_outputs_for_each_particle():
    X = clouds()
    module = small(per_particle=True, n_neighbors=3)
    output, hidden = module(X), module.embed(X)
    assert output.shape == (6, 8, 2)
    assert small(per_particle=True, n_outputs=1)(X).shape == (6, 8)
    assert hidden.shape == (6, 8, 5)
    present = ~X.isnan().all(dim=2)
    assert (output[~present] == 0).all()
    expected = [module.head(module.body(node)) for e in X for node in plain_nodes(module, e)]
    torch.testing.assert_close(output[present], torch.stack(expected), rtol=1e-4, atol=1e-5)
    order = torch.randperm(8)
    torch.testing.assert_close(module(X[:, order]), output[:, order])


def layers(*widths):
    return sum((a + 1) * b for a, b in pairwise(widths))


def test_published_sizes():
    """JEDI-net, arXiv:1908.05318, with the layers of its authors' code, 16 features a particle.

    Their network for 150 particles adds the particles up, and was counted with 16 outputs; that
    for 100 puts them side by side, which the first layer after them pays for.
    """
    added = InteractionNetwork(
        16, 16, edge_hidden=(50, 25, 14), node_hidden=(50, 25, 12), hidden=(50, 25)
    )
    formula = layers(32, 50, 25, 14) + layers(16 + 14, 50, 25, 12) + layers(12, 50, 25, 16)
    assert n_parameters(added) == formula == 8_767
    module = InteractionNetwork(16, 5)
    formula = layers(32, 30, 15, 10) + layers(16 + 10, 30, 15, 10)
    assert n_parameters(module) == formula + layers(10, 30, 15, 5)
    assert formula + layers(100 * 10, 30, 15, 5) == 33_625
    with_distance = InteractionNetwork(16, 5, message="edge")
    assert n_parameters(with_distance) == n_parameters(module) + 30


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"message": "gate"}, "message='gate' must be one of"),
        ({"aggregation": "min"}, "aggregation='min' must be one of"),
        ({"pooling": "min"}, "pooling='min' must be one of"),
        ({"message": "edge", "coordinates": (1, 4)}, "column 4"),
    ],
)
def test_bad_parameters(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


def test_coordinates_are_asked_for_only_where_needed():
    assert small(n_features=1)(torch.ones(1, 2, 1)).shape == (1, 2)
    with pytest.raises(ValueError, match="coordinates"):
        small(n_features=1, n_neighbors=2)


def pairs(n=600, seed=0):
    """In class 1 particles come in close pairs: no sum over single particles tells."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    X = rng.normal(size=(n, 10, 3)).astype(np.float32)
    near = X[:, :5, 1:] + 0.15 * rng.normal(size=(n, 5, 2))
    X[:, 5:, 1:] = np.where(y[:, None, None] == 1, near, X[:, 5:, 1:])
    X[rng.random(n) < 0.5, 4::5] = np.nan
    return X, y


def net(**options):
    defaults = {"max_epochs": 15, "lr": 0.01, "random_state": 0, "device": "cpu"}
    return NetClassifier(InteractionNetwork, **(defaults | options))


@pytest.mark.parametrize("neighbors", [None, 2])
def test_it_learns_in_the_net(neighbors):
    X, y = pairs()
    model = net(module__message="edge", module__n_neighbors=neighbors)
    model.fit(X[:400], y[:400])
    assert roc_auc_score(y[400:], model.predict_proba(X[400:])[:, 1]) > 0.85
    assert model.embed(X[:5]).shape == (5, 15)


@pytest.mark.parametrize("criterion", ["squared", torch.nn.BCEWithLogitsLoss])
def test_it_learns_labels_of_single_particles(criterion):
    """Which particles lie close to another one: padding neither counts nor leaks."""
    X, _ = pairs(300)
    delta = X[:, :, None, 1:] - X[:, None, :, 1:]
    distance = np.sqrt((delta**2).sum(axis=3)) + 9 * np.eye(10)
    near = (np.nan_to_num(distance, nan=9.0) < 0.4).any(axis=2)
    present = ~np.isnan(X).all(axis=2)
    model = NetRegressor(
        InteractionNetwork,
        module__per_particle=True,
        module__n_outputs=1,
        module__message="edge",
        module__n_neighbors=1,
        scale_target=False,
        criterion=criterion,
        max_epochs=15,
        lr=0.01,
        random_state=0,
        device="cpu",
    ).fit(X[:200], near[:200])
    score = model.predict(X[200:])
    assert score.shape == (100, 10)
    assert (score[~present[200:]] == 0).all()
    assert roc_auc_score(near[200:][present[200:]], score[present[200:]]) > 0.9


def test_the_net_takes_given_edges():
    X, y = pairs(100)
    neighbors = np.full((100, 10, 1), np.nan)
    neighbors[:, :5, 0], neighbors[:, 5:, 0] = np.arange(5, 10), np.arange(5)
    events = Events({"X": X, "neighbors": neighbors})
    model = net(module__n_features=3, max_epochs=2).fit(events, y)
    assert model.predict_proba(events).shape == (100, 2)
    alone = Events({"X": X, "neighbors": np.full_like(neighbors, np.nan)})
    assert not np.allclose(model.predict_proba(events), model.predict_proba(alone))


def test_search_over_the_module():
    X, y = pairs(120)
    search = GridSearchCV(
        clone(net(max_epochs=1)),
        {"module__message": ["concat", "edge"], "module__n_neighbors": [None, 3]},
        cv=2,
        error_score="raise",
    ).fit(X, y)
    assert len(search.cv_results_["params"]) == 4
