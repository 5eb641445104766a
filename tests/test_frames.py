import numpy as np
import pandas as pd
import polars as pl
import pytest

from skhep_ml._frames import (
    column_positions,
    copy_columns,
    is_frame,
    numeric_columns,
    refuse_repeated_columns,
    replace_columns,
    take_rows,
)

COLUMNS = {
    "pt": np.array([1.0, 2.0, 3.0], dtype=np.float32),
    "n": np.array([4, 5, 6]),
    "channel": ["ee", "mumu", "ee"],
}


def frames():
    return [pd.DataFrame(COLUMNS, index=[7, 8, 9]), pl.DataFrame(COLUMNS)]


def test_frames_are_told_from_arrays():
    assert all(is_frame(table) for table in frames())
    assert not any(is_frame(X) for X in (np.zeros((2, 2)), [[1.0]], frames()[0]["pt"]))


def test_rows_keep_the_type():
    rows = np.array([2, 0, 2])
    for table in frames():
        taken = take_rows(table, rows)
        assert type(taken) is type(table)
        assert taken["n"].to_list() == [6, 4, 6]
        assert list(taken.dtypes) == list(table.dtypes)
        assert take_rows(table["channel"], rows).to_list() == ["ee", "ee", "ee"]
    assert take_rows(frames()[0], rows).index.tolist() == [0, 1, 2]
    assert take_rows([1, 2, 3], rows) == [3, 1, 3]
    np.testing.assert_array_equal(take_rows(np.arange(3) * 10, rows), [20, 0, 20])


def test_positions_of_names_and_numbers():
    table, array = frames()[0], np.zeros((3, 4))
    assert column_positions(table, ["n", 0, -1]) == [1, 0, 2]
    assert column_positions(array, [np.int64(3), 0]) == [3, 0]
    assert column_positions(array, ["phi"], names=["pt", "eta", "phi", "m"]) == [2]
    with pytest.raises(ValueError, match=r"angles names 'phi', but the columns are \['pt'"):
        column_positions(table, ["phi"], argument="angles")
    with pytest.raises(ValueError, match="names 4, but the columns are numbered 0 to 3"):
        column_positions(array, [4])
    with pytest.raises(ValueError, match="names True"):
        column_positions(array, [True])
    with pytest.raises(ValueError, match="names a column twice"):
        column_positions(table, ["n", 1])


def test_numeric_columns_of_frames_arrays_and_clouds():
    for table in frames():
        np.testing.assert_array_equal(numeric_columns(table, [1, 0]), [[4, 1], [5, 2], [6, 3]])
        assert numeric_columns(table, [0]).dtype == np.float32
        with pytest.raises(ValueError, match="column 'channel' has type"):
            numeric_columns(table, [2])
    cloud = np.arange(12.0).reshape(2, 2, 3)
    np.testing.assert_array_equal(numeric_columns(cloud, [2]), cloud[..., 2:])


def test_replaced_columns_keep_their_type_where_the_values_fit():
    new = np.array([[0.5, 7.0], [1.5, 8.0]])
    for table in frames():
        out = replace_columns(table, [0, 1], new, rows=slice(1, None))
        assert list(out.dtypes) == list(table.dtypes)
        assert out["pt"].to_list() == [1.0, 0.5, 1.5]
        assert out["n"].to_list() == [4, 7, 8]
        assert table["n"].to_list() == [4, 5, 6]
        for odd in (0.5, np.nan):
            out = replace_columns(table, [1], np.array([[odd]]), rows=slice(2, None))
            np.testing.assert_array_equal(out["n"].to_numpy(), [4, 5, odd])


def test_replaced_columns_of_arrays_and_clouds():
    integers = np.arange(6).reshape(3, 2)
    out = replace_columns(integers, [1], np.array([[0.5]]), rows=slice(2, None))
    np.testing.assert_array_equal(out, [[0, 1], [2, 3], [4, 0.5]])
    assert replace_columns(integers, [1], np.array([[9]] * 3)).dtype == integers.dtype
    cloud = np.zeros((2, 3, 2), dtype=np.float32)
    out = replace_columns(cloud, [1], np.ones((2, 3, 1)))
    assert out.dtype == np.float32
    assert out.sum() == 6
    assert cloud.sum() == 0


def test_frames_without_column_names():
    table = pd.DataFrame(np.zeros((3, 2)))
    out = replace_columns(table, [1], np.ones((3, 1)))
    assert out.columns.tolist() == [0, 1]
    assert out[1].tolist() == [1.0, 1.0, 1.0]


def test_columns_copied_from_other_rows_keep_any_type():
    rows = {2: np.array([1, 1, 0]), 1: np.array([2, 1, 0])}
    for table in frames():
        if hasattr(table, "iloc"):
            table = table.astype({"channel": "category"})
        out = copy_columns(table, table, rows)
        assert list(out.dtypes) == list(table.dtypes)
        assert out["channel"].to_list() == ["mumu", "mumu", "ee"]
        assert out["n"].to_list() == [6, 5, 4]
        assert out["pt"].to_list() == [1.0, 2.0, 3.0]
    array = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(
        copy_columns(array, array, {0: np.array([2, 1, 0])})[:, 0], [4, 2, 0]
    )
    assert copy_columns(array, array, {}) is not array


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_repeated_columns(frame):
    refuse_repeated_columns(frame(COLUMNS))
    refuse_repeated_columns(np.ones((2, 2)))
    repeated = pd.DataFrame(np.ones((2, 3)), columns=["n", "pt", "n"])
    with pytest.raises(ValueError, match=r"the same name: \['n'\]; rename or drop them"):
        refuse_repeated_columns(repeated)
