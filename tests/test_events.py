import copy
import pickle
import subprocess
import sys

import awkward as ak
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
from joblib import parallel_config
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import KFold, cross_validate, train_test_split
from sklearn.utils import _safe_indexing, check_consistent_length, indexable

from skhep_ml.events import Events

N = 40


def make_events(n=N):
    number = np.arange(n)
    counts = number % 4
    jets = ak.unflatten(ak.zip({"pt": np.repeat(number, counts) * 1.0}), counts)
    return Events(
        number=number,
        jets=jets,
        cloud=np.zeros((n, 3, 2), np.float32) + number[:, None, None].astype(np.float32),
        image=np.zeros((n, 1, 2, 2)) + number[:, None, None, None],
        frame=pd.DataFrame({"a": number, "b": number * 2.0}, index=number[::-1]),
        polars=pl.DataFrame({"a": number}),
        series=pd.Series(number),
        sparse=scipy.sparse.csr_array(np.diag(number)),
    )


def numbers(events):
    """Event numbers by every input, which must agree."""
    found = np.asarray(events["number"])
    assert len(events) == len(found)
    assert ak.num(events["jets"]).to_list() == (found % 4).tolist()
    assert set(ak.flatten(events["jets"]["pt"]).to_list()) == set(found[found % 4 > 0].tolist())
    np.testing.assert_array_equal(events["cloud"][:, 0, 0], found)
    np.testing.assert_array_equal(events["image"][:, 0, 0, 0], found)
    np.testing.assert_array_equal(events["frame"]["a"], found)
    np.testing.assert_array_equal(events["polars"]["a"].to_numpy(), found)
    np.testing.assert_array_equal(events["series"], found)
    np.testing.assert_array_equal(events["sparse"].sum(axis=1), found)
    return found.tolist()


def test_a_mapping_of_names():
    events = make_events()
    assert events.names == list(events) == list(events.keys())
    assert events.shape == (N, 8)
    assert "jets" in events
    assert "muons" not in events
    assert dict(events.items())["frame"] is events["frame"]
    assert [len(value) for value in list(events.values())[:6]] == [N] * 6


@pytest.mark.parametrize(
    "key",
    [
        slice(3, 20, 2),
        slice(None, None, -1),
        [5, 1, 1],
        [-1, 0],
        np.array([7, 3], dtype=np.uint16),
        np.arange(N) % 3 == 0,
        [True, False] * (N // 2),
        (np.array([4, 2]), Ellipsis),
        (slice(0, 5), slice(None)),
        pd.Series([3, 9]),
        [],
        slice(5, 5),
    ],
    ids=str,
)
def test_rows_of_every_kind_of_array_follow_numpy(key):
    rows = key[0] if isinstance(key, tuple) else key
    rows = np.array(rows, dtype=int) if isinstance(rows, list) and not rows else rows
    expected = np.arange(N)[np.asarray(rows) if not isinstance(rows, slice) else rows]
    assert numbers(make_events()[key]) == expected.tolist()


def test_one_event_is_a_dict():
    event = make_events()[-1]
    assert event["number"] == N - 1
    assert event["jets"].pt.to_list() == [N - 1.0] * 3
    assert event["frame"]["b"] == 2.0 * (N - 1)


def test_a_subset_of_the_inputs():
    events = make_events()
    subset = events[["jets", "cloud"]]
    assert subset.names == ["jets", "cloud"]
    assert subset["cloud"] is events["cloud"]
    assert events[np.array(["number"])].names == ["number"]


@pytest.mark.parametrize(
    ("key", "error", "text"),
    [
        ("muons", KeyError, "no input 'muons' among"),
        (["jets", "muons"], KeyError, "no input 'muons'"),
        ([N], IndexError, "index 40 is out of range for 40"),
        ([-N - 1], IndexError, "index -41 is out of range"),
        (N, IndexError, "out of range"),
        ([True, False], IndexError, "the mask has 2 entries"),
        ([0.5], IndexError, "integers"),
        (1.5, IndexError, "selects no events"),
        ((0, "jets"), IndexError, "one axis"),
        (np.zeros((2, 2), int), IndexError, "selects no events"),
    ],
    ids=str,
)
def test_wrong_keys(key, error, text):
    with pytest.raises(error, match=text):
        make_events()[key]


def test_take():
    events = make_events()
    assert numbers(events.take([3, -1], axis=0)) == [3, N - 1]
    with pytest.raises(ValueError, match="axis=1 must be 0"):
        events.take([0], axis=1)


def test_wrong_input():
    with pytest.raises(ValueError, match="'a' has 3 events, 'b' has 4"):
        Events(a=np.zeros(3), b=np.zeros((4, 2)))
    with pytest.raises(ValueError, match="at least one"):
        Events()
    with pytest.raises(ValueError, match="both in the mapping and by keyword"):
        Events({"a": [1]}, a=[1])
    with pytest.raises(TypeError, match=r"Events\(jets=array\)"):
        Events(np.zeros((3, 2)))
    with pytest.raises(TypeError, match="names of inputs must be strings, got 3"):
        Events({3: [1]})
    for value in (3.0, "abc", np.float64(1), {"x": 1}, iter([1])):
        with pytest.raises(TypeError, match="'a' must be an array with one row per event"):
            Events(a=value)
    with pytest.raises(ValueError, match=r"'a' is a list of unequal lists: pass awkward\.Array"):
        Events(a=[[1], [1, 2]])


def test_it_cannot_be_changed():
    events = make_events()
    with pytest.raises(TypeError, match="item assignment"):
        events["number"] = np.zeros(N)
    with pytest.raises(AttributeError):
        events.shape = (1, 1)


def test_lists_become_arrays_and_mappings_and_events_are_taken():
    events = Events({"met": [1.0, 2.0]}, number=(3, 4))
    assert isinstance(events["met"], np.ndarray)
    assert Events(events).names == ["met", "number"]
    assert Events(events, more=[0, 0]).shape == (2, 3)


def test_there_is_no_one_array():
    with pytest.raises(TypeError, match=r"are no single array: take one, as in events\['met'\]"):
        np.asarray(Events(met=[1.0]))


def test_concatenate_undoes_a_split():
    events = make_events()
    joined = Events.concatenate([events[:7], events[7:7], events[7:]])
    assert numbers(joined) == list(range(N))
    assert {name: type(value) for name, value in joined.items()} == {
        name: type(value) for name, value in events.items()
    }
    swapped = events[events.names[::-1]]
    assert numbers(Events.concatenate(part for part in (events, swapped))) == [*range(N)] * 2
    with pytest.raises(ValueError, match=r"part 0 holds .* part 1 holds \['number'\]"):
        Events.concatenate([events, events[["number"]]])
    with pytest.raises(ValueError, match="no events to concatenate"):
        Events.concatenate([])


def test_repr_names_shapes_and_types():
    text = repr(make_events())
    assert "Events(40 events)" in text
    assert "cloud: ndarray (40, 3, 2) float32" in text
    assert "jets: awkward 40 * var * {pt: float64}" in text
    assert "frame: DataFrame (40, 2)" in text
    wide = ak.Array([{f"field{index}": 1.0 for index in range(100)}])
    assert len(repr(Events(wide=wide))) < 150


def test_html_is_escaped():
    page = Events({"<b>": [1.0]})._repr_html_()
    assert "<b>" not in page
    assert "&lt;b&gt;" in page


@pytest.mark.parametrize(
    "twin", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))]
)
def test_copies(twin):
    assert numbers(twin(make_events())) == list(range(N))


def test_scikit_learn_slices_it_without_lists():
    events = make_events()
    check_consistent_length(events, np.zeros(N))
    assert indexable(events)[0] is events
    rows = np.array([5, 2])
    assert numbers(_safe_indexing(events, rows)) == [5, 2]
    assert numbers(_safe_indexing(events, np.arange(N) < 3)) == [0, 1, 2]
    train, test, y_train, _ = train_test_split(events, np.arange(N), random_state=0)
    assert isinstance(train, Events)
    assert numbers(train) == y_train.tolist()
    assert len(test) == N // 4


class _Remember(ClassifierMixin, BaseEstimator):
    """Predicts the parity of the events it has seen; knows nothing of the others."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.seen_ = dict(zip(numbers(X), y, strict=True))
        return self

    def predict(self, X):
        return np.array([self.seen_.get(number, 0) for number in numbers(X)])


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_cross_validation(n_jobs):
    y = np.arange(N) % 2
    with parallel_config(backend="threading", n_jobs=n_jobs):
        result = cross_validate(_Remember(), make_events(), y, cv=KFold(4), return_train_score=True)
    assert result["train_score"].tolist() == [1.0] * 4
    assert result["test_score"].tolist() == [0.5] * 4


def test_awkward_and_pandas_are_not_imported():
    code = (
        "import sys, numpy as np; from skhep_ml.events import Events; "
        "Events(a=np.zeros(3))[[0]]; print({'awkward', 'pandas', 'polars'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
