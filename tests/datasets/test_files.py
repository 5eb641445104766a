"""Embedded files: checksums and byte planes."""

import shutil

import numpy as np
import pytest

from skhep_ml.datasets import _files, load_higgs, load_jets


@pytest.fixture
def copied(tmp_path, monkeypatch):
    for path in _files.DATA.iterdir():
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(_files.read_arrays, "__kwdefaults__", None)
    monkeypatch.setattr(_files.read_arrays, "__defaults__", (tmp_path,))
    return tmp_path


@pytest.mark.parametrize("load", [load_higgs, load_jets])
def test_truncated_damaged_and_missing_files(copied, load):
    name = "higgs.npz" if load is load_higgs else "jets.npz"
    good = (copied / name).read_bytes()
    load()
    for content in (good[: len(good) // 2], good[:-1] + bytes([good[-1] ^ 1]), b""):
        (copied / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name}.*reinstall"):
            load()
    (copied / name).unlink()
    with pytest.raises(ValueError, match="missing or empty: reinstall"):
        load()


def test_together_below_seven_megabytes():
    assert sum(path.stat().st_size for path in _files.DATA.iterdir()) < 7e6


@pytest.mark.parametrize("dtype", ["<i1", "<i2", "<u4", "<f4"])
def test_planes_keep_values(dtype):
    values = np.random.default_rng(0).integers(-100, 100, (50, 3)).astype(dtype)
    planes = values.view(np.uint8).reshape(50, -1).T
    np.testing.assert_array_equal(_files.from_planes(planes, dtype), values)
    column = np.ascontiguousarray(values[:, 0])
    planes = column.view(np.uint8).reshape(50, -1).T
    np.testing.assert_array_equal(_files.from_planes(planes, dtype), column)
