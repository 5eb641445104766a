"""Which device an estimator runs on."""

import ctypes
import re
from functools import cache


@cache
def cuda_device_count() -> int:
    """Number of NVIDIA GPUs the driver offers; 0 without a driver. Loads no framework."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def resolve_device(device: str) -> str:
    """Turn ``"auto"`` into a device, and refuse one that is not there.

    Raises
    ------
    ValueError
        Unknown name, or a GPU that does not exist.
    """
    if device == "auto":
        return "cuda" if cuda_device_count() else "cpu"
    match = re.fullmatch(r"cpu|cuda(?::(\d+))?", device) if isinstance(device, str) else None
    if match is None:
        msg = f'device must be "auto", "cpu", "cuda" or "cuda:<number>", got {device!r}'
        raise ValueError(msg)
    if device.startswith("cuda") and int(match.group(1) or 0) >= cuda_device_count():
        msg = f'device={device!r}, but there are {cuda_device_count()} GPUs: use "auto" or "cpu"'
        raise ValueError(msg)
    return device
