import math
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold

from skhep_ml.exceptions import DivergenceWarning
from skhep_ml.generative import Diffusion, FlowMatching
from skhep_ml.generative._diffusion import SCHEDULES, WEIGHTINGS, loss_factors, noise_angle
from skhep_ml.generative._flow_matching import _partners
from skhep_ml.generative._networks import draw, squared_distance
from skhep_ml.generative._ode import SOLVERS, even_times, integrate, with_divergence

NET = {"hidden": (24,), "max_epochs": 3, "batch_size": 100, "device": "cpu", "random_state": 0}
TREES = {
    "method": "bdt",
    "n_levels": 9,
    "n_noise": 3,
    "bdt_params": {"n_estimators": 15, "max_depth": 4, "nthread": 1},
    "device": "cpu",
    "random_state": 0,
}
MODELS = [FlowMatching(**NET), Diffusion(**NET), FlowMatching(**TREES), Diffusion(**TREES)]


def name_of(model):
    return f"{type(model).__name__}-{model.method}" if hasattr(model, "method") else str(model)


def correlated(n, seed=0):
    rng = np.random.default_rng(seed)
    c = rng.uniform(-1, 1, n)
    first = 2 * c + rng.normal(0, 0.5, n)
    return np.column_stack([first, 10 + 0.8 * first + rng.normal(0, 0.3, n), c])


@pytest.mark.parametrize(("solver", "order"), list(zip(SOLVERS, [1, 2, 2, 4], strict=True)))
def test_solvers_have_their_order(solver, order):
    def velocity(x, t):
        return x * math.cos(t)

    start = torch.ones(1, 1, dtype=torch.float64)
    errors = [
        abs(float(integrate(velocity, start, even_times(0, 1, n), solver)) - math.exp(math.sin(1)))
        for n in (8, 16)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.35)


def test_the_divergence_is_the_trace_of_the_derivative():
    matrix = torch.tensor([[0.3, 2.0], [-1.0, -0.7]], dtype=torch.float64)

    def velocity(x, t):
        return x @ matrix.T + t * torch.stack([x[:, 0] ** 2, torch.zeros_like(x[:, 0])], dim=1)

    x = torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = with_divergence(velocity)(torch.cat([x, x[:, :1]], dim=1), 0.5)
    torch.testing.assert_close(y[:, :2], velocity(x, 0.5))
    torch.testing.assert_close(y[:, 2], -0.4 + 2 * 0.5 * x[:, 0])
    assert not y.requires_grad


@pytest.mark.parametrize("model", MODELS[:2], ids=name_of)
def test_the_density_follows_an_exact_field(model):
    # normal events of width s: both fields are known, and so is the density
    s = 0.4
    if isinstance(model, FlowMatching):

        def field(x, t):
            return x * (t * s**2 - (1 - t)) / (t**2 * s**2 + (1 - t) ** 2)

        start, end, scaled = 1.0, 0.0, field
    else:

        def field(x, t):
            angle = t * math.pi / 2
            cosine, sine = math.cos(angle), math.sin(angle)
            return x * sine * cosine * (1 - s**2) / ((cosine * s) ** 2 + sine**2)

        start, end = 0.0, 1.0

        def scaled(x, t):
            return math.pi / 2 * field(x, t)

    z = torch.linspace(-1, 1, 7, dtype=torch.float64).reshape(-1, 1)
    density = clone(model).set_params(density_steps=40)._integrated(scaled, z, start, end)
    expected = -0.5 * (z[:, 0] / s) ** 2 - math.log(s) - 0.5 * math.log(2 * math.pi)
    torch.testing.assert_close(density, expected, atol=1e-4, rtol=0)
    noise = torch.randn(4000, 1, generator=torch.Generator().manual_seed(0))
    moved = clone(model).set_params(n_steps=200)._move(field, noise, None)
    torch.testing.assert_close(moved, s * noise, atol=0.02, rtol=0)


def test_ddpm_steps_draw_from_the_same_distribution():
    s = 0.4
    model = Diffusion(n_steps=200, eta=1.0, **NET)
    model._noise = lambda shape, generator: torch.randn(shape, generator=generator)

    def field(x, t):
        cosine, sine = math.cos(t * math.pi / 2), math.sin(t * math.pi / 2)
        return x * sine * cosine * (1 - s**2) / ((cosine * s) ** 2 + sine**2)

    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(20000, 1, generator=generator)
    moved = model._move(field, noise, generator)
    assert float(moved.std()) == pytest.approx(s, rel=0.03)
    assert abs(float(np.corrcoef(moved[:, 0], noise[:, 0])[0, 1])) < 0.05


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_noise_grows_from_nothing_to_nearly_all(schedule):
    t = np.linspace(0, 1, 101)
    angle = noise_angle(t, schedule)
    assert angle[0] == 0
    assert (np.diff(angle) > 0).all()
    assert angle[-1] == pytest.approx(math.pi / 2, abs=0.01)
    if schedule == "linear":  # the product of 1 - beta over 1000 steps
        product = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
        exact = np.arccos(np.sqrt(product[9::10]))
        np.testing.assert_allclose(angle[1:], exact, rtol=0.06)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_loss_factors_are_positive_with_mean_one(weighting):
    angles = noise_angle(np.arange(1, 1001) / 1000, "cosine")
    factors = loss_factors(angles, weighting)
    assert factors.mean() == pytest.approx(1)
    assert (factors >= 0).all()
    if weighting == "noise":  # an error of the velocity is one of the noise, times the cosine
        x, v, error = 0.3, -1.2, 0.01
        off = np.sin(angles) * x + np.cos(angles) * (v + error)
        right = np.sin(angles) * x + np.cos(angles) * v
        np.testing.assert_allclose((off - right) ** 2 / error**2, np.cos(angles) ** 2, atol=1e-9)
        share = np.cos(angles) ** 2 / np.cos(angles[0]) ** 2
        np.testing.assert_allclose(factors / factors[0], share, atol=1e-12)


def test_absent_particles_cost_nothing_and_give_no_gradient():
    target = torch.tensor([[[1.0, 2.0], [torch.nan, torch.nan]], [[0.0, 0.0], [3.0, 1.0]]])
    output = torch.zeros(2, 2, 2, requires_grad=True)
    loss = squared_distance(output, target)
    torch.testing.assert_close(loss, torch.tensor([2.5, 2.5]))
    loss.sum().backward()
    assert output.grad.isfinite().all()
    assert (output.grad[0, 1] == 0).all()


def test_validation_sees_the_same_noise_in_every_epoch():
    like = torch.zeros(50, 2)
    for first, second in zip(draw(like, False), draw(like, False), strict=True):
        torch.testing.assert_close(first, second)
    _, t = draw(like, True)
    np.testing.assert_allclose(np.diff(np.sort(t.numpy())), 0.02, atol=1e-5)


def test_transport_finds_the_nearest_pairs():
    X = torch.tensor([[0.0], [5.0], [10.0]])
    noise = torch.tensor([[9.0], [1.0], [4.0]])
    assert noise[_partners(noise, X)][:, 0].tolist() == [1.0, 4.0, 9.0]


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_conditional_samples_follow_their_context(model):
    X = correlated(1500)
    model = clone(model).set_params(context_features=[2])
    if model.method == "net":
        model.set_params(max_epochs=15, lr=5e-3, ema_decay=0.9)
    model.fit(X)
    for value in (-0.7, 0.7):
        sample = model.sample(1500, context=value, random_state=0)
        np.testing.assert_array_equal(sample[:, 2], value)
        assert sample[:, 0].mean() == pytest.approx(2 * value, abs=0.25)
        assert sample[:, 1].mean() == pytest.approx(10 + 1.6 * value, abs=0.25)
        assert sample[:, 0].std() == pytest.approx(0.5, abs=0.15)
        assert np.corrcoef(sample[:, 0], sample[:, 1])[0, 1] == pytest.approx(0.8, abs=0.15)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(
        again.sample(5, context=0.1, random_state=3), model.sample(5, context=0.1, random_state=3)
    )


@pytest.mark.parametrize("model", MODELS[:2], ids=name_of)
def test_the_density_integrates_to_one(model):
    X = np.random.default_rng(0).beta(2, 3, (400, 1))
    model = clone(model).set_params(domains={0: (0, 1)}).fit(X)
    grid = ((np.arange(400) + 0.5) / 400)[:, None]
    assert np.exp(model.score_samples(grid)).mean() == pytest.approx(1, abs=0.01)
    assert np.isneginf(model.score_samples([[-0.1], [1.1]])).all()
    sample = model.sample(1000, random_state=0)
    assert ((sample >= 0) & (sample <= 1)).all()


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_the_same_seed_gives_the_same_model(model):
    X = correlated(200)
    first, second = (clone(model).fit(X).sample(20, random_state=5) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("model", [MODELS[0], MODELS[2]], ids=name_of)
def test_signed_weights_count(model):
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(0, 1, (1200, 1)), rng.normal(3, 0.4, (800, 1))])
    weight = np.concatenate([np.ones(1200), np.where(rng.random(800) < 0.5, -1.0, 1.0)])
    model = clone(model)
    if model.method == "net":
        model.set_params(max_epochs=8, lr=1e-2, ema_decay=0.9)
    sample = model.fit(X, sample_weight=weight).sample(2000, random_state=0)
    # the second bump cancels: it is 40% of the rows
    assert (sample > 2.2).mean() < 0.12


@pytest.mark.parametrize("model", MODELS[2:], ids=name_of)
def test_trees_have_no_density_and_refuse_kept_signs(model):
    assert not hasattr(model, "score_samples")
    assert not hasattr(model, "score")
    X, weight = correlated(100), np.where(np.arange(100) % 5, 1.0, -1.0)
    with pytest.raises(ValueError, match="20 weights are negative, and negative_weights='keep'"):
        clone(model).set_params(negative_weights="keep").fit(X, sample_weight=weight)
    with pytest.raises(ValueError, match="method='bdt' generates tables, X is a cloud"):
        clone(model).fit(np.random.default_rng(0).normal(size=(20, 3, 2)))


@pytest.mark.parametrize(
    "model", [FlowMatching(**NET), Diffusion(**NET)], ids=lambda m: type(m).__name__
)
def test_training_that_diverges_stops_with_finite_weights(model):
    model = clone(model).set_params(lr=1e12, max_grad_norm=None)
    with pytest.warns(DivergenceWarning, match="stopped with the last weights"):
        model.fit(correlated(200))
    assert len(model.history_) < 3
    assert np.isfinite(model.sample(10, random_state=0)).all()


def test_networks_score_and_searches_use_it():
    X = correlated(300)
    search = GridSearchCV(FlowMatching(**NET), {"lr": [1e-7, 1e-2]}, cv=KFold(2))
    assert search.fit(X).best_params_ == {"lr": 1e-2}


def test_minibatch_transport_learns_and_refuses_what_would_bias_it():
    X = correlated(600)
    model = FlowMatching(minibatch_transport=True, **NET).set_params(max_epochs=10, lr=1e-2).fit(X)
    sample = model.sample(1000, random_state=0)
    np.testing.assert_allclose(sample.mean(axis=0), X.mean(axis=0), atol=0.3)
    with pytest.raises(ValueError, match="whatever their context_features"):
        clone(model).set_params(context_features=[0]).fit(X)
    with pytest.raises(ValueError, match="whatever their weights"):
        clone(model).fit(X, sample_weight=np.arange(600) + 1.0)
    with pytest.raises(ValueError, match="tables and images, for method='net'"):
        clone(model).set_params(method="bdt").fit(X)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (FlowMatching, {"solver": "rk45"}, "solver='rk45' must be one of"),
        (FlowMatching, {"method": "trees"}, "method='trees' must be one of"),
        (FlowMatching, {"n_steps": 0}, "n_steps must be an integer of at least 1"),
        (FlowMatching, {"hidden": (8, 16)}, "residual blocks of a table have one width"),
        (
            FlowMatching,
            {"hidden": 8},
            r"hidden=8 must be a sequence of positive integers.* such as \(8,\)",
        ),
        (FlowMatching, {"minibatch_transport": 1}, "minibatch_transport must be True or False"),
        (FlowMatching, {"method": "bdt", "n_levels": 10}, "n_levels=10: solver='midpoint' needs"),
        (FlowMatching, {"bdt_params": [1]}, "bdt_params must be a dict"),
        (FlowMatching, {"method": "bdt", "bdt_params": {"depth": 3}}, "has 'depth', which is no"),
        (FlowMatching, {"method": "bdt", "bdt_params": {"objective": "x"}}, "has 'objective'"),
        (Diffusion, {"noise_schedule": "sine"}, "noise_schedule='sine' must be one of"),
        (Diffusion, {"weighting": "snr"}, "weighting='snr' must be one of"),
        (Diffusion, {"eta": -0.5}, "eta must be a finite number of at least 0"),
        (Diffusion, {"n_times": 1}, "n_times must be an integer of at least 2"),
    ],
)
def test_bad_parameters_are_refused(model, options, message):
    with pytest.raises(ValueError, match=message):
        model(**{**NET, **options}).fit(correlated(50))
