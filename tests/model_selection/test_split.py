import itertools

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    RandomizedSearchCV,
    cross_val_predict,
    cross_validate,
)

from skhep_ml._hashing import KIND_CONSTANTS, event_fold, held_out
from skhep_ml.exceptions import EventFoldWarning
from skhep_ml.model_selection import (
    EventNumberKFold,
    EventNumberModuloKFold,
    EventNumberSplit,
    event_hash,
    train_val_test_split,
)


def test_fold_formula():
    event = np.arange(1000) * 3
    h = [int(x) for x in event_hash(event, salt=4)]
    expected = [((x >> 32) * 7) >> 32 for x in h]
    assert event_fold(event, 7, "kfold", 4).tolist() == expected
    tests = [test for _, test in EventNumberKFold(7, salt=4).split(event, groups=event)]
    for k, test in enumerate(tests):
        assert test.tolist() == [i for i in range(1000) if expected[i] == k]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 6), st.integers(-(2**40), 2**40))
def test_permutation_concatenation_and_chunks(seed, n_splits, salt):
    rng = np.random.default_rng(seed)
    event = rng.integers(0, 2**50, size=(400, 2))
    fold = event_fold(event, n_splits, "kfold", salt)
    order = rng.permutation(400)
    assert np.array_equal(event_fold(event[order], n_splits, "kfold", salt), fold[order])
    chunks = [event_fold(part, n_splits, "kfold", salt) for part in np.split(event, [17, 230])]
    assert np.array_equal(np.concatenate(chunks), fold)
    assert np.array_equal(
        event_fold(np.vstack([event, event]), n_splits, "kfold", salt)[400:], fold
    )


def balanced(counts, probability=1e-5):
    counts = np.asarray(counts)
    expected = counts.mean()
    return np.sum((counts - expected) ** 2 / expected) < chi2.isf(probability, len(counts) - 1)


@pytest.mark.parametrize("stride", [1, 2, 10, 1000, 2**32])
def test_strided_event_numbers_fill_all_folds(stride):
    event = np.arange(20_000) * stride
    for kind in KIND_CONSTANTS:
        for n_splits in (2, 5, 7):
            assert balanced(np.bincount(event_fold(event, n_splits, kind), minlength=n_splits))


@pytest.mark.parametrize(("outer", "inner"), list(itertools.permutations(KIND_CONSTANTS, 2)))
def test_every_kind_inside_every_other_is_balanced(outer, inner):
    event = np.arange(40_000) * 10 + 3
    for part in (event_fold(event, 5, outer) == 2, held_out(event, 0.2, outer)):
        assert balanced(np.bincount(event_fold(event[part], 5, inner), minlength=5))


def test_same_kind_inside_needs_another_salt():
    event = np.arange(5000)
    train, _ = next(EventNumberKFold(5).split(event, groups=event))
    with pytest.raises(ValueError, match="give the inner splitter another salt"):
        list(EventNumberKFold(5).split(train, groups=event[train]))
    folds = list(EventNumberKFold(5, salt=1).split(train, groups=event[train]))
    assert balanced([len(test) for _, test in folds])


def test_split_covers_every_event_once_and_keeps_copies_together():
    event = np.repeat(np.arange(500), 3)
    seen = np.zeros(len(event), dtype=int)
    for train, test in EventNumberKFold(4).split(np.zeros((1500, 2)), groups=event):
        assert not set(event[train]) & set(event[test])
        seen[test] += 1
    assert (seen == 1).all()


def test_single_split_and_three_parts():
    event = np.arange(50_000)
    train, test = next(EventNumberSplit(0.3, salt=2).split(event, groups=event))
    assert len(test) / 50_000 == pytest.approx(0.3, abs=0.01)
    assert len(train) + len(test) == 50_000
    X = pd.DataFrame({"a": event})
    parts = train_val_test_split(X, event.tolist(), groups=event, fractions=(0.5, 0.3, 0.2))
    assert [len(p) / 50_000 for p in parts[:3]] == pytest.approx([0.5, 0.3, 0.2], abs=0.01)
    assert isinstance(parts[0], pd.DataFrame)
    for table, column in zip(parts[:3], parts[3:], strict=True):
        assert table["a"].tolist() == column
    two = train_val_test_split(X, groups=event, fractions=(0.8, 0.2, 0))
    assert len(two[2]) == 0


def test_modulo():
    event = np.column_stack([np.full(3000, 355000), np.arange(3000)])
    tests = [t for _, t in EventNumberModuloKFold(3).split(event, groups=event)]
    assert [event[t, 1] % 3 for t in tests][1].tolist() == [1] * 1000
    with pytest.raises(ValueError, match=r"fold \[1, 2, 3, 4\] of 5"):
        list(EventNumberModuloKFold(5).split(event, groups=event[:, 1] * 10))
    skewed = np.r_[np.arange(2000) * 2, np.arange(100) * 2 + 1]
    with pytest.warns(EventFoldWarning, match=r"unbalanced folds \[2000, 100\]"):
        list(EventNumberModuloKFold(2).split(skewed, groups=skewed))


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: list(EventNumberKFold(1).split([0], groups=[0])), "at least 2, got 1"),
        (lambda: list(EventNumberKFold(2.0).split([0], groups=[0])), "at least 2, got 2.0"),
        (lambda: list(EventNumberKFold(2).split([0, 1])), "splits by event identifiers"),
        (lambda: list(EventNumberKFold(2).split([0], groups=[0.5])), "must be integers"),
        (lambda: list(EventNumberKFold(2).split([0], groups=[1, 2])), "2 entries, but there are 1"),
        (lambda: list(EventNumberSplit(1.5).split([0], groups=[0])), "between 0 and 1"),
        (lambda: list(EventNumberSplit().split([0], groups=[0])), "no event falls in fold"),
        (lambda: train_val_test_split([0], groups=[0], fractions=(0.5, 0.2, 0.2)), "sum to 1"),
        (lambda: train_val_test_split([0], [1, 2], groups=[0]), "different lengths"),
        (lambda: train_val_test_split(groups=[0]), "at least one array"),
        (lambda: train_val_test_split([0], groups=[0]), "no event falls in the"),
        (lambda: list(EventNumberKFold(id_columns="e").split(np.zeros((3, 1)))), "DataFrame"),
    ],
)
def test_bad_input(call, match):
    with pytest.raises(ValueError, match=match):
        call()


def test_identifiers_in_x():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"pt": rng.normal(size=300), "event": np.arange(300), "run": 1})
    by_column = list(EventNumberKFold(3, id_columns=["run", "event"]).split(frame))
    by_group = list(EventNumberKFold(3).split(frame, groups=frame[["run", "event"]]))
    for (a, b), (c, d) in zip(by_column, by_group, strict=True):
        assert np.array_equal(a, c)
        assert np.array_equal(b, d)
    with pytest.raises(ValueError, match="identifier column 'pt' has type float64"):
        list(EventNumberKFold(3, id_columns="pt").split(frame))
    with pytest.raises(ValueError, match="not columns of X"):
        list(EventNumberKFold(3, id_columns="evt").split(frame))


@pytest.mark.parametrize("routing", [True, False])
@pytest.mark.parametrize(
    "cv",
    [EventNumberKFold(3), EventNumberModuloKFold(3), EventNumberSplit(0.4)],
    ids=lambda cv: type(cv).__name__,
)
def test_in_searches_and_cross_validation(routing, cv):
    rng = np.random.default_rng(0)
    X, y, event = rng.normal(size=(200, 2)), np.tile([0, 1], 100), np.arange(200)
    with sklearn.config_context(enable_metadata_routing=routing):
        groups = {"params": {"groups": event}} if routing else {"groups": event}
        scores = cross_validate(LogisticRegression(), X, y, cv=cv, **groups)
        assert len(scores["test_score"]) == cv.get_n_splits()
        grid = GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, cv=cv)
        grid.fit(X, y, groups=event)
        assert grid.n_splits_ == cv.get_n_splits(X, y, event)
        randomized = RandomizedSearchCV(LogisticRegression(), {"C": [0.1, 1]}, n_iter=2, cv=cv)
        assert randomized.fit(X, y, groups=event).best_params_["C"] in (0.1, 1)
        if not isinstance(cv, EventNumberSplit):
            assert len(cross_val_predict(LogisticRegression(), X, y, cv=cv, **groups)) == 200


def test_splitters_show_their_parameters():
    assert (
        repr(EventNumberKFold(3, salt=2)) == "EventNumberKFold(id_columns=None, n_splits=3, salt=2)"
    )
