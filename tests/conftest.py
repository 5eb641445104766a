import gc
import os

# set before anything starts threads: workers side by side would wait for each other's
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

# the same examples in every run: a failure is one of the change, not of the day
settings.register_profile("deterministic", derandomize=True, deadline=None)
settings.load_profile("deterministic")


def _gpu_available() -> bool:
    from skhep_ml._device import cuda_device_count

    return cuda_device_count() > 0


def pytest_collection_finish():
    # thousands of tests and their packages stay: the collector need not look at them again
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items):
    if _gpu_available():
        return
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="no GPU on this machine"))
