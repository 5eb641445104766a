import numpy as np
import pytest
import torch


@pytest.fixture(autouse=True, scope="package")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="package")
def two_prongs():
    """Clouds of pT, eta, phi: two narrow groups of particles in signal, one wide in background."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 300)
    X = rng.normal(scale=0.3, size=(300, 12, 3)).astype(np.float32)
    X[:, :, 0] = rng.exponential(size=(300, 12))
    angle = rng.uniform(0, 2 * np.pi, 300)
    axis = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    side = rng.choice([-1, 1], size=(300, 12))
    prongs = 0.4 * side[..., None] * axis[:, None] + rng.normal(scale=0.05, size=(300, 12, 2))
    X[y == 1, :, 1:] = prongs[y == 1]
    X[np.arange(12) >= rng.integers(6, 13, 300)[:, None]] = np.nan
    return X, y
