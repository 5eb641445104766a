from collections import Counter

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skhep_ml.inspection import duplicate_events, event_overlap

rows = st.lists(st.tuples(st.integers(-2, 2), st.integers(0, 3)), min_size=1, max_size=30)


@given(rows)
def test_duplicates_are_those_of_a_counter(identifiers):
    counts = Counter(identifiers)
    found = duplicate_events(np.array(identifiers))
    assert found.n_events == len(identifiers)
    assert found.n_identifiers == len(counts)
    assert found.n_repeated == sum(count > 1 for count in counts.values())
    assert found.n_extra == len(identifiers) - len(counts)
    assert len(found.examples) == min(found.n_repeated, 5)
    assert all(counts[one] == count > 1 for one, count in found.examples)
    assert [count for _, count in found.examples] == sorted(
        (count for count in counts.values() if count > 1), reverse=True
    )[:5]


@given(rows, rows)
def test_overlap_is_that_of_sets(first, second):
    shared = set(first) & set(second)
    found = event_overlap(np.array(first), np.array(second))
    assert found.n_shared == len(shared)
    assert found.n_events_a == sum(one in shared for one in first)
    assert found.n_events_b == sum(one in shared for one in second)
    assert found.fraction_a == pytest.approx(found.n_events_a / len(first))
    assert found.examples == [one for one in dict.fromkeys(first) if one in shared][:5]


def test_identifiers_are_compared_in_full():
    large = np.array([2**63, 2**63 + 1, 2**63], dtype=np.uint64)
    assert duplicate_events(large).examples == [(2**63, 2)]
    # floats would round these to one number
    assert duplicate_events([2**53, 2**53 + 1]).n_extra == 0
    # (1, 23) and (12, 3) are different, and columns are not exchangeable
    assert duplicate_events([[1, 23], [12, 3], [23, 1]]).n_extra == 0
    assert event_overlap([[1, 2]], [[2, 1]]).n_shared == 0


def test_widths_and_tables_do_not_matter():
    small = np.array([-1, 5, 5], dtype=np.int32)
    assert event_overlap(small, np.array([-1, 7], dtype=np.int64)).examples == [-1]
    table = pd.DataFrame({"run": [1, 1, 2], "event": [7, 7, 7]}, index=[9, 8, 7])
    for one in (table, pl.from_pandas(table), table.to_numpy(), table.to_numpy().tolist()):
        assert duplicate_events(one).examples == [((1, 7), 2)]
    assert event_overlap(table, pl.from_pandas(table)[:1]).examples == [(1, 7)]


def test_empty_samples():
    nothing = np.empty(0, dtype=np.int64)
    assert duplicate_events(nothing) == (0, 0, 0, 0, [])
    assert event_overlap(nothing, [1, 2]) == (0, 0, 0, 0.0, 0.0, [])


def test_bad_identifiers_are_refused():
    with pytest.raises(ValueError, match="must be integers, got float64"):
        duplicate_events([1.0, 2.0])
    with pytest.raises(ValueError, match="must be integers, got float32"):
        event_overlap([1, 2], np.array([1, 2], dtype=np.float32))
    with pytest.raises(ValueError, match="1 and 2 identifier columns"):
        event_overlap([1, 2], [[1, 2]])
    with pytest.raises(ValueError, match="event identifiers are needed"):
        duplicate_events(None)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_columns_of_frames_are_matched_by_name(frame):
    first = frame({"run": [1, 2], "event": [2, 5]})
    second = frame({"event": [2, 1], "run": [1, 2]})
    assert event_overlap(first, second).examples == [(1, 2)]
    with pytest.raises(ValueError, match=r"\['run', 'event'\] and \['event', 'lumi'\]"):
        event_overlap(first, frame({"event": [2], "lumi": [1]}))


def test_strings_and_empty_samples():
    with pytest.raises(ValueError, match="must be integers, got strings, such as 'a'"):
        duplicate_events(["a"])
    with pytest.raises(ValueError, match="got strings, such as 'a'"):
        duplicate_events(pd.Series(["a", "b"]))
    assert duplicate_events([]) == (0, 0, 0, 0, [])
    assert event_overlap([], [1, 2]) == (0, 0, 0, 0.0, 0.0, [])
