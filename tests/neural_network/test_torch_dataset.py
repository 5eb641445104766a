"""Nets that train on a torch Dataset instead of arrays."""

import numpy as np
import pytest
import torch
from skorch.dataset import Dataset, ValidSplit
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset

from skhep_ml.neural_network import NetClassifier, NetRegressor
from skhep_ml.neural_network.modules import CNN, DeepSets

rng = np.random.default_rng(0)
X = rng.normal(size=(300, 4)).astype(np.float32)
y = (X[:, 0] + 0.3 * rng.normal(size=300) > 0).astype(int)


class Lazy(torch.utils.data.Dataset):
    """Shows nothing but its items."""

    def __init__(self, item=lambda row: (X[row], y[row])):
        self.item = item

    def __len__(self):
        return 300

    def __getitem__(self, row):
        return self.item(row)


def small(cls=NetClassifier, **options):
    defaults = {"module__hidden": (8,), "max_epochs": 3, "random_state": 0, "device": "cpu"}
    return cls(**(defaults | options))


DATASETS = {
    "skorch": Dataset(X, y),
    "tensors": TensorDataset(torch.from_numpy(X), torch.from_numpy(y)),
    "part": Subset(Dataset(np.r_[X, X], np.r_[y, y]), range(300)),
    "named": Dataset({"X": X}, y),
}


@pytest.mark.parametrize("name", DATASETS)
def test_shapes_and_classes_are_learnt(name):
    dataset = DATASETS[name]
    net = small(max_epochs=10, lr=0.01).fit(dataset, None)
    np.testing.assert_array_equal(net.classes_, [0, 1])
    assert net.input_shapes_ == (4,)
    assert net.n_features_in_ == 4
    assert net.score(X, y) > 0.8
    np.testing.assert_allclose(net.predict_proba(X), net.predict_proba(dataset), atol=1e-6)
    np.testing.assert_allclose(net.embed(X), net.embed(dataset), atol=1e-6)
    np.testing.assert_allclose(net.saliency(X), net.saliency(dataset), atol=1e-6)
    with pytest.raises(ValueError, match="features"):
        net.predict(X[:, :2])


def test_a_dataset_gives_the_net_of_the_arrays():
    same = {"iterator_train__shuffle": False, "batch_size": 50}
    arrays = small(**same).fit(X, y)
    dataset = small(**same).fit(Dataset(X, y), None)
    np.testing.assert_allclose(dataset.predict_proba(X), arrays.predict_proba(X), atol=1e-6)
    loader = small(iterator_train=DataLoader, iterator_valid=DataLoader, **same)
    loader.fit(Dataset(X, y), None)
    np.testing.assert_allclose(loader.predict_proba(X), arrays.predict_proba(X), atol=1e-6)


def test_the_seed_counts_and_the_global_one_stays():
    state = torch.get_rng_state()
    first = small(early_stopping=True).fit(Lazy(), y).predict_proba(X)
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(123)
    np.testing.assert_array_equal(small(early_stopping=True).fit(Lazy(), y).predict_proba(X), first)
    other = small(early_stopping=True, random_state=1).fit(Lazy(), y).predict_proba(X)
    assert not np.array_equal(other, first)


def test_clouds_images_and_several_inputs():
    cloud = rng.normal(size=(300, 5, 3)).astype(np.float32)
    image = rng.normal(size=(300, 1, 8, 8)).astype(np.float32)
    common = {"max_epochs": 1, "device": "cpu"}
    net = NetClassifier(DeepSets, **common).fit(Dataset(cloud, y), None)
    assert net.input_shapes_ == (None, 3)
    assert net.predict(cloud[:, :2]).shape == (300,)
    pixels = NetClassifier(CNN, module__channels=(4,), **common).fit(Dataset(image, y), None)
    assert pixels.input_shapes_ == (1, 8, 8)
    assert pixels.predict(image).shape == (300,)

    class Two(torch.nn.Module):
        def __init__(self, input_shapes, n_outputs):
            super().__init__()
            n_in = input_shapes["jets"][-1] + input_shapes["event"][0]
            self.layer = torch.nn.Linear(n_in, n_outputs)

        def forward(self, jets, event):
            return self.layer(torch.cat([jets.mean(dim=1), event], dim=1))

    events = {"jets": cloud, "event": X}
    net = NetClassifier(Two, **common).fit(Dataset(events, y), None)
    np.testing.assert_allclose(
        net.predict_proba(events), net.predict_proba(Dataset(events, None)), atol=1e-6
    )
    gradients = net.saliency(Dataset(events, y))
    np.testing.assert_allclose(gradients["event"], net.saliency(events)["event"], atol=1e-6)
    with pytest.raises(ValueError, match="fitted on several"):
        net.predict(X)


def test_batches_of_large_clouds_are_small():
    class Sum(torch.nn.Linear):
        def __init__(self, n_features, n_outputs):
            super().__init__(n_features, n_outputs)

        def forward(self, X):
            return super().forward(X.sum(dim=1))

    cloud = np.zeros((300, 1000, 3), np.float32)
    net = NetClassifier(Sum, max_epochs=1, device="cpu").fit(Dataset(cloud, y), None)
    assert net.history[0]["train_batch_count"] == -(-300 // 16)


# --- labels and targets ---------------------------------------------------------------------------


def test_labels_that_are_not_shown():
    with pytest.raises(ValueError, match="needs n_outputs, which fit learns from arrays or from y"):
        small().fit(Lazy())
    net = small(module__n_outputs=2).fit(Lazy())
    assert net.predict_proba(X).shape == (300, 2)
    with pytest.raises(ValueError, match="does not show its labels"):
        net.predict(X)
    np.testing.assert_array_equal(small().fit(Lazy(), y).classes_, [0, 1])
    with pytest.raises(ValueError, match="y has 299 entries, but the Dataset has 300 events"):
        small().fit(Lazy(), y[1:])
    first = small().partial_fit(Lazy(), classes=[0, 1, 2])
    assert first.partial_fit(Lazy(), y).predict_proba(X).shape == (300, 3)


def test_labels_must_be_numbers_from_zero():
    with pytest.raises(ValueError, match=r"must be 0 to 1, got \[0, 2\]; number them"):
        small().fit(Dataset(X, 2 * y), None)
    with pytest.raises(ValueError, match="only one class"):
        small().fit(Dataset(X, 0 * y), None)


def test_an_earlier_fit_leaves_nothing():
    net = small(max_epochs=1).fit(np.c_[X, X], np.array(["a", "b", "c"])[y + (X[:, 1] > 1)])
    net.fit(Dataset(X, y), None)
    np.testing.assert_array_equal(net.classes_, [0, 1])
    assert net.input_shapes_ == (4,)
    net.set_params(prior=[0.5, 0.5])
    with pytest.raises(
        ValueError, match=r"prior=.* needs class_prior_, which the last fit did not"
    ):
        net.predict_proba(X)


def test_one_target_or_several():
    target = np.c_[X[:, 0], 3 * X[:, 1]]
    net = small(NetRegressor, max_epochs=60, lr=0.01).fit(Dataset(X, target), None)
    assert net.predict(X).shape == (300, 2)
    assert net.score(X, target) > 0.9
    assert net.saliency(X, target=1).shape == X.shape
    assert small(NetRegressor).fit(Dataset(X, target[:, 0]), None).predict(X).shape == (300,)
    assert small(NetRegressor).fit(Dataset(X, target[:, :1]), None).predict(X).shape == (300,)
    with pytest.raises(ValueError, match=r"targets of the Dataset have shape \(2, 2\)"):
        small(NetRegressor).fit(Dataset(X, np.zeros((300, 2, 2))), None)


# --- early stopping -------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [NetClassifier, NetRegressor])
def test_early_stopping_holds_events_out(cls):
    dataset = Dataset(X, y) if cls is NetClassifier else Dataset(X, X[:, 0])
    options = {"early_stopping": True, "patience": 2, "lr": 0.1, "max_epochs": 40}
    net = small(cls, validation_fraction=0.25, **options).fit(dataset, None)
    losses = net.history[:, "valid_loss"]
    assert net.best_epoch_ == int(np.argmin(losses)) + 1
    assert net.best_score_ == min(losses)
    assert len(losses) < 40
    assert net.history[0, "batches", 0, "valid_batch_size"] == 75
    assert net.history[0, "batches", 0, "train_batch_size"] == 225


def test_early_stopping_needs_every_class_on_both_sides():
    rare = np.r_[1, np.zeros(299, int)]
    with pytest.raises(ValueError, match=r"least populated class|has no events"):
        small(early_stopping=True).fit(Dataset(X, rare), None)


def test_train_split_holds_events_out():
    net = small(early_stopping=True, train_split=ValidSplit(3)).fit(Dataset(X, y), None)
    assert net.history[0, "batches", 0, "valid_batch_size"] == 100
    plain = small(train_split=ValidSplit(3)).fit(Dataset(X, y), None)
    assert len(plain.history[:, "valid_loss"]) == 3
    with pytest.raises(ValueError, match="train_split gives none"):
        small(early_stopping=True, train_split=lambda d: (d, None)).fit(Dataset(X, y), None)


# --- what cannot be -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"calibrate": "temperature"},
        {"checkpoint": "net.ckpt"},
        {"class_weight": "balanced"},
        {"decorrelate": 0},
        {"eval_metric": lambda y, score, weight: 0.0},
        {"prior": np.array([0.5, 0.5])},
        {"refit": True},
    ],
)
def test_parameters_that_need_arrays(options):
    net = small(early_stopping=True, **options)
    with pytest.raises(ValueError, match=f"{next(iter(options))} needs X as arrays"):
        net.fit(Dataset(X, y), None)
    assert not net.initialized_


@pytest.mark.parametrize("argument", ["sample_weight", "groups", "eval_set"])
def test_arguments_that_need_arrays(argument):
    with pytest.raises(ValueError, match=rf"\['{argument}'\] need X as arrays"):
        small().fit(Dataset(X, y), None, **{argument: y})
    with pytest.raises(ValueError, match="needs X as arrays"):
        small().find_lr(Dataset(X, y), None)


class Stream(IterableDataset):
    def __iter__(self):
        yield X[0], y[0]

    def __len__(self):
        return 1


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (Stream(), "which an IterableDataset has not"),
        (Dataset(X[:0], y[:0]), "must have events"),
        (Lazy(lambda row: X[row]), r"pairs \(inputs, target\), got ndarray"),
        (Lazy(lambda row: (X[row], y[row], 1.0)), "got tuple of 3"),
        (Lazy(lambda row: (list(X[row]), y[row])), "needs n_features"),
    ],
)
def test_items_that_cannot_be_used(dataset, message):
    with pytest.raises(ValueError, match=message):
        small(module__n_outputs=2).fit(dataset)


def test_inputs_that_are_no_arrays():
    class Columns(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(4, 2)

        def forward(self, parts):
            return self.layer(torch.stack([part.float() for part in parts], dim=1))

    dataset = Lazy(lambda row: (list(X[row]), y[row]))
    net = NetClassifier(Columns, max_epochs=1, device="cpu").fit(dataset, y)
    assert net.predict(dataset).shape == (300,)
    with pytest.raises(ValueError, match="whose inputs are no arrays"):
        net.predict(X)


def test_going_on_with_other_events():
    net = small().fit(Dataset(X, y), None)
    assert len(net.partial_fit(Dataset(X, y)).history) == 6
    assert len(net.partial_fit(X, y).history) == 9
    with pytest.raises(ValueError, match=r"shape \(3,\), but the net was fitted on \(4,\)"):
        net.partial_fit(Dataset(X[:, :3], y))
    with pytest.raises(ValueError, match="label 2 was not seen"):
        net.partial_fit(Dataset(X, y + 1))
    named = small().fit(X, np.array(["a", "b"])[y])
    with pytest.raises(ValueError, match="was not seen in fit"):
        named.partial_fit(Dataset(X, y))
    scaled = small(NetRegressor).fit(X, 5 * X[:, 0])
    with pytest.raises(ValueError, match="scale_target=False"):
        scaled.partial_fit(Dataset(X, X[:, 0]))
    plain = small(NetRegressor, scale_target=False).fit(X, X[:, 0])
    assert len(plain.partial_fit(Dataset(X, X[:, 0])).history) == 6
    with pytest.raises(ValueError, match="2 targets, but fit had 1"):
        plain.partial_fit(Dataset(X, X[:, :2]))
