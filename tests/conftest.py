import pytest


def _gpu_available() -> bool:
    from skhep_ml._device import cuda_device_count

    return cuda_device_count() > 0


def pytest_collection_modifyitems(items):
    if _gpu_available():
        return
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="no GPU on this machine"))
