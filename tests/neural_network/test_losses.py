import numpy as np
import pytest
import torch
from torch.nn import functional

from skhep_ml.neural_network._losses import (
    CLASSIFICATION_LOSSES,
    REGRESSION_LOSSES,
    CrossEntropyLoss,
    FocalLoss,
    GaussianLoss,
    HuberLoss,
    QuantileLoss,
    UnreducedLoss,
    make_loss,
)


@pytest.fixture
def logits():
    torch.manual_seed(0)
    return torch.randn(50, 3), torch.randint(3, (50,)), torch.randn(50)


def test_cross_entropy_is_torchs(logits):
    output, target, _ = logits
    for smoothing in (0.0, 0.1):
        ours = CrossEntropyLoss(smoothing)(output, target)
        theirs = functional.cross_entropy(output, target, label_smoothing=smoothing)
        torch.testing.assert_close(ours, theirs)


def test_weights_enter_linearly_and_with_their_sign(logits):
    output, target, weight = logits
    loss = CrossEntropyLoss()
    each = torch.stack([loss(output[i : i + 1], target[i : i + 1]) for i in range(50)])
    torch.testing.assert_close(loss(output, target, weight), (each * weight).mean())
    torch.testing.assert_close(loss(output, target, torch.ones(50)), loss(output, target))


def test_focal_loss_is_its_formula(logits):
    output, target, _ = logits
    p = torch.softmax(output, dim=1)[torch.arange(50), target]
    torch.testing.assert_close(FocalLoss(2.0)(output, target), (-((1 - p) ** 2) * p.log()).mean())
    torch.testing.assert_close(FocalLoss(0.0)(output, target), CrossEntropyLoss()(output, target))


def test_members_share_the_events(logits):
    output, target, weight = logits
    members = torch.stack([output, 2 * output], dim=1)
    loss = CrossEntropyLoss()
    expected = (loss(output, target, weight) + loss(2 * output, target, weight)) / 2
    torch.testing.assert_close(loss(members, target, weight), expected)


def test_quantile_loss_is_least_at_the_quantiles():
    torch.manual_seed(0)
    sample = torch.randn(20000, 1)
    loss = QuantileLoss((0.16, 0.5, 0.84))
    grid = torch.linspace(-1.5, 1.5, 61)
    for k, quantile in enumerate(loss.quantiles):
        values = []
        for point in grid:
            prediction = torch.zeros(1, 3)
            prediction[0, k] = point
            values.append(loss(prediction.expand(20000, 3), sample).item())
        best = grid[int(np.argmin(values))].item()
        assert best == pytest.approx(torch.quantile(sample, quantile).item(), abs=0.06)


def test_gaussian_loss_is_the_density():
    output = torch.tensor([[1.0, 0.5], [0.0, -1.0]])
    target = torch.tensor([[2.0], [0.3]])
    normal = torch.distributions.Normal(output[:, :1], output[:, 1:].exp())
    torch.testing.assert_close(GaussianLoss()(output, target), -normal.log_prob(target).mean())
    torch.testing.assert_close(GaussianLoss().deviation(output), output[:, 1:].exp())


def test_huber_is_torchs():
    torch.manual_seed(0)
    output, target = torch.randn(30, 1), 3 * torch.randn(30, 1)
    torch.testing.assert_close(
        HuberLoss(0.5)(output, target), functional.huber_loss(output, target, delta=0.5)
    )


def test_a_criterion_of_torch_takes_weights(logits):
    output, target, weight = logits
    loss = make_loss(torch.nn.CrossEntropyLoss, CLASSIFICATION_LOSSES, {"label_smoothing": 0.2})
    assert isinstance(loss, UnreducedLoss)
    torch.testing.assert_close(
        loss(output, target, weight), CrossEntropyLoss(0.2)(output, target, weight)
    )


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="criterion='hinge' must be one of"):
        make_loss("hinge", REGRESSION_LOSSES, {})
