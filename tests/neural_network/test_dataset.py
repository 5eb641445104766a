import numpy as np
import pytest
import torch
from torch.utils.data import Subset

from skhep_ml.neural_network._dataset import (
    WEIGHT,
    BatchIterator,
    EventDataset,
    _prefetched,
    unwrap,
)


def events(n, weight=None):
    x = torch.arange(2.0 * n).reshape(n, 2)
    extras = {} if weight is None else {WEIGHT: torch.as_tensor(weight, dtype=torch.float32)}
    return EventDataset(x, torch.arange(n), extras)


@pytest.mark.parametrize("batch_size", [1, 3, 4, 10, 11])
def test_batches_are_the_rows_in_order(batch_size):
    dataset = events(10)
    iterator = BatchIterator(dataset, batch_size)
    batches = list(iterator)
    assert len(batches) == len(iterator) == -(-10 // batch_size)
    np.testing.assert_array_equal(torch.cat([X for X, _ in batches]), dataset.inputs)
    np.testing.assert_array_equal(torch.cat([y for _, y in batches]), dataset.target)


def test_shuffled_batches_hold_every_event_once_with_its_target_and_weight():
    dataset = events(1000, weight=np.arange(1000))
    generator = torch.Generator().manual_seed(0)
    iterator = BatchIterator(dataset, 64, shuffle=True, generator=generator)
    orders = []
    for _ in range(2):
        batches = list(iterator)
        y = torch.cat([y for _, y in batches])
        np.testing.assert_array_equal(torch.cat([X["X"] for X, _ in batches])[:, 0], 2 * y)
        np.testing.assert_array_equal(torch.cat([X[WEIGHT] for X, _ in batches]), y)
        np.testing.assert_array_equal(np.sort(y), np.arange(1000))
        orders.append(y)
    assert not torch.equal(*orders)


def test_small_last_batch_can_be_left_out_but_not_the_only_one():
    assert [len(y) for _, y in BatchIterator(events(10), 4, drop_last=True)] == [4, 4]
    assert [len(y) for _, y in BatchIterator(events(3), 4, drop_last=True)] == [3]


def test_nested_subsets_are_unwrapped():
    subset = Subset(Subset(events(10), [1, 3, 5, 7]), [2, 0])
    dataset, rows = unwrap(subset)
    assert dataset is subset.dataset.dataset
    assert rows.tolist() == [5, 1]
    assert torch.cat([y for _, y in BatchIterator(subset, 1)]).tolist() == [5, 1]
    shuffled = torch.cat([y for _, y in BatchIterator(subset, 1, shuffle=True)])
    assert sorted(shuffled.tolist()) == [1, 5]


def test_draws_by_weight_follow_its_size_and_keep_its_sign():
    weight = np.array([1.0, -3.0, 0.0, 6.0])
    dataset = events(4, weight)
    iterator = BatchIterator(dataset, 4, by_weight=True, generator=torch.Generator().manual_seed(0))
    drawn, weights = [], []
    for _ in range(2500):
        for X, y in iterator:
            drawn.append(y)
            weights.append(X[WEIGHT])
    drawn, weights = torch.cat(drawn).numpy(), torch.cat(weights).numpy()
    share = np.bincount(drawn, minlength=4) / len(drawn)
    np.testing.assert_allclose(share, [0.1, 0.3, 0.0, 0.6], atol=4 * 0.005)
    np.testing.assert_allclose(weights, np.sign(weight)[drawn] * 2.5)


def test_several_inputs_keep_their_names():
    dataset = EventDataset(
        {"jets": torch.zeros(5, 3, 2), "event": torch.ones(5, 1)}, torch.arange(5)
    )
    (X, y), *_ = BatchIterator(dataset, 2)
    assert list(X) == ["jets", "event"]
    assert X["jets"].shape == (2, 3, 2)
    assert y.tolist() == [0, 1]
    assert dataset[3][0]["event"].tolist() == [1.0]


def test_chunks_prepared_ahead_come_in_order():
    def gather(start):
        return [torch.tensor(start)]

    plain = [part.item() for (part,) in _prefetched(gather, range(0, 50, 7), ahead=False)]
    ahead = [part.item() for (part,) in _prefetched(gather, range(0, 50, 7), ahead=True)]
    assert plain == ahead == list(range(0, 50, 7))
