"""Checkpoints that cannot be written or read. What they hold is tested in test_net."""

import os

import numpy as np
import pytest
import torch

from skhep_ml.neural_network import NetClassifier

rng = np.random.default_rng(0)
X = rng.normal(size=(80, 3)).astype(np.float32)
y = (X[:, 0] > 0).astype(int)


def small(**options):
    defaults = {"module__hidden": (8,), "max_epochs": 2, "random_state": 0, "device": "cpu"}
    return NetClassifier(**(defaults | options))


@pytest.mark.parametrize(
    "content", ["text", b"\x80\x04.", b"PK\x03\x04", b"", {"weights": 1}, [1], torch.zeros(2)]
)
def test_a_file_that_is_no_checkpoint(tmp_path, content):
    path = tmp_path / "net.ckpt"
    if isinstance(content, str):
        path.write_text(content)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    before = path.read_bytes()
    net = small(checkpoint=path)
    with pytest.raises(ValueError, match=r"net\.ckpt' is no checkpoint, or a damaged one"):
        net.fit(X, y)
    assert not net.initialized_
    assert path.read_bytes() == before


def test_a_checkpoint_that_is_cut_off(tmp_path):
    path = tmp_path / "net.ckpt"
    small(checkpoint=path).fit(X, y)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match="damaged"):
        small(checkpoint=path).fit(X, y)


def test_places_where_nothing_can_be_written(tmp_path):
    net = small(checkpoint=tmp_path / "runs" / "net.ckpt")
    with pytest.raises(ValueError, match=r"there is no folder .*runs"):
        net.fit(X, y)
    assert not hasattr(net, "classes_")
    with pytest.raises(ValueError, match="it is a folder itself"):
        small(checkpoint=tmp_path).fit(X, y)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is write-protected for root")
def test_a_protected_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ValueError, match="write-protected"):
        small(checkpoint=tmp_path / "net.ckpt").fit(X, y)


def test_the_seed_is_checked_before_any_work(tmp_path):
    net = small(checkpoint=tmp_path / "net.ckpt", random_state=None)
    with pytest.raises(ValueError, match="integer random_state"):
        net.fit(X, y)
    assert not hasattr(net, "classes_")


def test_only_the_fit_itself_is_checkpointed(tmp_path):
    path = tmp_path / "net.ckpt"
    net = small(checkpoint=path, warm_start=True).fit(X, y)
    written = path.read_bytes()
    assert len(net.fit(X, y).history) == 4
    assert len(net.partial_fit(X, y).history) == 6
    assert path.read_bytes() == written
