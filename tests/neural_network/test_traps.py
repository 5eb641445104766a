"""What once went wrong without a word."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import make_scorer, roc_auc_score
from skorch.callbacks import Callback, ProgressBar
from skorch.dataset import Dataset

from skhep_ml.events import Events
from skhep_ml.neural_network import NetClassifier, NetRegressor
from skhep_ml.neural_network.modules import MLP


class Small(MLP):
    def __init__(self, n_features, n_outputs, hidden=(8,)):
        super().__init__(n_features, n_outputs, hidden)


class Silent(Callback):
    """Listens to batches, so that skorch's loop runs."""

    def on_batch_end(self, net, **kwargs):
        """Nothing."""


class Unweighted(torch.nn.Module):
    def forward(self, prediction, target):
        return torch.nn.functional.cross_entropy(prediction, target)


rng = np.random.default_rng(0)
X = rng.normal(size=(400, 4)).astype(np.float32)
y = (X[:, 0] + rng.normal(size=400) > 0).astype(int)
weight = np.where(y == 1, 50.0, 0.01)


def small(**options):
    defaults = {"module": Small, "max_epochs": 2, "random_state": 0, "device": "cpu", "lr": 0.01}
    return NetClassifier(**(defaults | options))


def test_a_criterion_instance_takes_weights():
    by_class = small(criterion=torch.nn.CrossEntropyLoss).fit(X, y, weight)
    by_instance = small(criterion=torch.nn.CrossEntropyLoss()).fit(X, y, weight)
    np.testing.assert_array_equal(by_instance.predict_proba(X), by_class.predict_proba(X))
    with pytest.raises(ValueError, match="takes no weights"):
        small(criterion=Unweighted).fit(X, y, weight)
    with pytest.raises(ValueError, match="criterion__reduction cannot be set"):
        small(criterion=torch.nn.CrossEntropyLoss, criterion__reduction="mean").fit(X, y)


def test_a_dataset_comes_alone():
    dataset = Dataset(X, y.astype(np.int64))
    with pytest.raises(ValueError, match=r"\['groups'\] need X as arrays"):
        small(module=Small(4, 2)).fit(dataset, None, groups=np.arange(400))


def test_gradients_are_cut_in_skorchs_loop_too():
    lean = small(max_grad_norm=0.01).fit(X, y).predict_proba(X)
    skorchs = small(max_grad_norm=0.01, callbacks=[Silent()]).fit(X, y).predict_proba(X)
    np.testing.assert_allclose(skorchs, lean, atol=1e-6)


@pytest.mark.parametrize("schedule", ["cosine", "exponential", "one_cycle"])
def test_a_second_training_begins_at_the_full_rate(schedule):
    net = small(schedule=schedule, max_epochs=3).fit(X, y)
    net.partial_fit(X, y)
    rates = net.history[:, "lr"]
    np.testing.assert_allclose(rates[3:], rates[:3])


def test_a_module_instance_is_not_trained():
    module = Small(4, 2)
    before = [p.detach().clone() for p in module.parameters()]
    net = small(module=module)
    first = net.fit(X, y).predict_proba(X)
    for old, now in zip(before, module.parameters(), strict=True):
        assert torch.equal(old, now)
    np.testing.assert_array_equal(net.fit(X, y).predict_proba(X), first)
    np.testing.assert_array_equal(clone(net).fit(X, y).predict_proba(X), first)


def test_a_checkpoint_knows_every_event(tmp_path):
    path = tmp_path / "net.ckpt"
    small(checkpoint=path).fit(X, y)
    other = y.copy()
    other[7] = 1 - other[7]
    with pytest.raises(ValueError, match="other parameters or events"):
        small(checkpoint=path).fit(X, other)
    with pytest.raises(ValueError, match="needs an integer random_state"):
        small(checkpoint=path, random_state=None).fit(X, y)


def test_a_checkpoint_survives_refit(tmp_path):
    options = {"checkpoint": tmp_path / "net.ckpt", "early_stopping": True, "refit": True}
    first = small(**options).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(small(**options).fit(X, y).predict_proba(X), first)


def test_the_metric_is_recorded_in_skorchs_loop_too():
    def auc(y_true, score, sample_weight):
        return roc_auc_score(y_true, score)

    options = {"early_stopping": True, "eval_metric": auc}
    lean = small(**options).fit(X, y)
    skorchs = small(callbacks=[Silent()], **options).fit(X, y)
    assert skorchs.history[:, "valid_metric"] == pytest.approx(lean.history[:, "valid_metric"])


@pytest.mark.parametrize("metric", ["roc_auc", make_scorer(roc_auc_score)])
def test_metrics_that_cannot_be_called_are_refused(metric):
    with pytest.raises(ValueError, match=r"scorer of skhep_ml\.metrics or a function"):
        small(early_stopping=True, eval_metric=metric).fit(X, y)


def test_a_metric_that_is_nan_is_an_error():
    with pytest.raises(ValueError, match="eval_metric is NaN"):
        small(early_stopping=True, eval_metric=lambda y, s, w: np.nan).fit(X, y)


def test_a_progress_bar_knows_the_size_of_batches():
    net = small(callbacks=[ProgressBar(detect_notebook=False)]).fit(X, y)
    assert net.batch_size == "auto"
    assert len(net.history) == 2


class Two(torch.nn.Module):
    def __init__(self, input_shapes, n_outputs):
        super().__init__()
        self.layer = torch.nn.Linear(input_shapes["ev"][0] + input_shapes["met"][0], n_outputs)

    def forward(self, ev, met):
        return self.layer(torch.cat([ev, met], dim=1))


def test_columns_of_named_inputs_are_read_by_name():
    frame = pd.DataFrame(X, columns=list("abcd"))
    events = {"ev": frame, "met": X[:, 0]}
    net = small(module=Two).fit(events, y, eval_set=[(events, y)])
    turned = {"ev": frame[list("dcba")], "met": X[:, 0]}
    np.testing.assert_array_equal(net.predict_proba(turned), net.predict_proba(events))
    with pytest.raises(ValueError, match="input 'ev' has the columns"):
        net.predict({"ev": frame.rename(columns={"a": "z"}), "met": X[:, 0]})
    with pytest.raises(ValueError, match="cannot be called"):
        small(module=Two).fit({"ev": frame, "sample_weight": X[:, 0]}, y)


def test_the_default_module_refuses_clouds():
    with pytest.raises(ValueError, match="takes a table"):
        NetClassifier(max_epochs=1, device="cpu").fit(np.ones((40, 3, 2), np.float32), y[:40])


class Flat(torch.nn.Module):
    def __init__(self, n_features):
        super().__init__()
        self.layer = torch.nn.Linear(n_features, 1)

    def forward(self, X):
        return self.layer(X)[:, 0]


def test_one_output_without_its_axis_does_not_broadcast():
    options = {"max_epochs": 60, "lr": 0.05, "random_state": 0, "device": "cpu"}
    net = NetRegressor(Flat, criterion=torch.nn.MSELoss, **options).fit(X, 3 * X[:, 0])
    assert net.score(X, 3 * X[:, 0]) > 0.99


@pytest.mark.parametrize("quantiles", [(0.1, 0.9), (0.9, 0.5, 0.1), (0.5, 1.5, 2.0)])
def test_quantiles_are_checked(quantiles):
    net = NetRegressor(Small, criterion="quantile", criterion__quantiles=quantiles, device="cpu")
    with pytest.raises(ValueError, match="odd number of rising values"):
        net.fit(X, X[:, 0])


def test_a_prior_needs_events_of_every_class():
    net = small(prior=[1, 1, 1]).partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match=r"\[2\] had none"):
        net.predict_proba(X)


@pytest.mark.parametrize(
    "options", [{"l1": -1.0}, {"ema_decay": 1.5}, {"max_grad_norm": -1.0}, {"weight_decay": "a"}]
)
def test_parameters_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        small(**options).fit(X, y)


class Wide(torch.nn.Module):
    def __init__(self, n_features, n_columns):
        super().__init__()
        self.layer = torch.nn.Linear(n_features, n_columns)

    def forward(self, X):
        return self.layer(X)


@pytest.mark.parametrize("n_columns", [1, 3])
@pytest.mark.parametrize("criterion", ["cross_entropy", "focal", torch.nn.CrossEntropyLoss])
def test_a_module_with_another_number_of_outputs_than_classes(n_columns, criterion):
    message = f"the module Wide gives {n_columns} outputs .* needs 2 for 2 classes"
    for module in (Wide, Wide(4, n_columns)):
        shape = {"module__n_columns": n_columns} if module is Wide else {}
        with pytest.raises(ValueError, match=message):
            small(module=module, criterion=criterion, **shape).fit(X, y)
    members = {"n_members": 2, "module__n_columns": n_columns, "callbacks": [Silent()]}
    with pytest.raises(ValueError, match=message):
        small(module=Wide, criterion=criterion, **members).fit(X, y)


def test_a_module_with_another_number_of_outputs_than_targets():
    options = {"module__n_columns": 4, "device": "cpu"}
    with pytest.raises(
        ValueError, match=r"gives 4 outputs .* criterion=quantile needs 3 for 1 tar"
    ):
        NetRegressor(Wide, criterion="quantile", **options).fit(X, X[:, 0])
    with pytest.raises(
        ValueError, match=r"gives 4 outputs .* criterion=MSELoss needs 2 for 2 targ"
    ):
        NetRegressor(Wide, criterion=torch.nn.MSELoss(), **options).fit(X, X[:, :2])


def test_probabilities_of_another_number_of_classes():
    class ByHand(torch.nn.Module):
        def forward(self, prediction, target):
            return torch.nn.functional.cross_entropy(prediction, target)

    net = small(module=Wide, module__n_columns=3, criterion=ByHand).fit(X, y)
    with pytest.raises(ValueError, match=r"probabilities of shape \(400, 3\), but there are 2 cl"):
        net.predict(X)


def test_one_logit_is_enough_for_binary_cross_entropy():
    net = small(criterion=torch.nn.BCEWithLogitsLoss, max_epochs=20).fit(X, y)
    assert net.module_.head.out_features == 1
    assert roc_auc_score(y, net.predict_proba(X)[:, 1]) > 0.7
    with pytest.raises(ValueError, match=r"gives 3 outputs .* criterion=BCEWithLogitsLoss needs 1"):
        small(module=Wide, module__n_columns=3, criterion=torch.nn.BCEWithLogitsLoss).fit(X, y)


@pytest.mark.parametrize("as_input", [dict, Events])
def test_a_single_input_called_X_is_the_input(as_input):
    events = as_input({"X": X})
    net, plain = small().fit(events, y, weight), small().fit(X, y, weight)
    np.testing.assert_array_equal(net.predict_proba(events), plain.predict_proba(X))
    np.testing.assert_array_equal(net.predict_proba(X), plain.predict_proba(events))
    np.testing.assert_array_equal(net.embed(events), plain.embed(X))
    np.testing.assert_array_equal(net.saliency(events), plain.saliency(X))
    assert net.n_features_in_ == 4


def test_a_single_input_of_another_name_goes_by_it():
    class Jets(Small):
        def forward(self, jets):
            return super().forward(jets)

        def embed(self, jets):
            return super().embed(jets)

    net = small(module=Jets, module__n_features=4).fit({"jets": X}, y)
    assert net.embed({"jets": X}).shape == (400, 8)
    assert net.saliency({"jets": X})["jets"].shape == X.shape
    with pytest.raises(ValueError, match="X is a single input, but the net was fitted on several"):
        net.predict(X)
    with pytest.raises(ValueError, match="needs n_features, which does not follow from inputs of"):
        small(module=Jets).fit({"jets": X}, y)


@pytest.mark.parametrize(
    "columns",
    [["a", "b"], ("a", "b"), np.array(["a", "b"]), pd.Index(["a", "b"]), np.array([0, 1])],
)
def test_columns_to_decorrelate_in_any_sequence(columns):
    frame = pd.DataFrame(X, columns=list("abcd"))
    net = small(decorrelate=columns).fit(frame, y)
    assert net.module_.body[0].in_features == 2
    np.testing.assert_array_equal(clone(net).fit(frame, y).predict(frame), net.predict(frame))
    with pytest.raises(ValueError, match="names no column"):
        small(decorrelate=columns[:0]).fit(frame, y)


def test_labels_that_are_none():
    labels = np.array(["b", "s"], dtype=object)[y]
    labels[7] = None
    with pytest.raises(ValueError, match="y is missing in 1 events, first in event 7"):
        small().fit(X, labels)
    net = small().fit(X, np.array(["b", "s"])[y])
    with pytest.raises(ValueError, match="first in event 7"):
        net.partial_fit(X, labels)
    with pytest.raises(ValueError, match="first in event 7"):
        small().fit(X, np.array(["b", "s"])[y], eval_set=(X, labels))
    with pytest.raises(ValueError, match="NaN"):
        NetRegressor(Small, device="cpu").fit(X, np.where(y == 1, None, 1.0))
