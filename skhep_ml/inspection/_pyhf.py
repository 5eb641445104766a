"""Templates as the plain dict that pyhf and cabinetry read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

# relative differences below this are rounding
_ROUNDING = 1e-9


def pyhf_channel(
    name: str,
    processes: Sequence[str],
    signal: NDArray[np.bool_],
    values: Array,
    sumw2: Array,
    variations: dict[str, tuple[Array, Array]],
    poi: str,
) -> dict[str, Any]:
    """One channel of the specification; ``variations`` hold templates (up, down)."""
    samples = []
    for k, process in enumerate(processes):
        modifiers: list[dict[str, Any]] = []
        if signal[k]:
            modifiers.append({"name": poi, "type": "normfactor", "data": None})
        for variation, (up, down) in variations.items():
            modifiers += _modifiers(variation, values[k], up[k], down[k])
        error = np.sqrt(sumw2[k]).tolist()
        modifiers.append({"name": f"staterror_{name}", "type": "staterror", "data": error})
        samples.append({"name": process, "data": values[k].tolist(), "modifiers": modifiers})
    return {"name": name, "samples": samples}


def _modifiers(name: str, nominal: Array, up: Array, down: Array) -> list[dict[str, Any]]:
    """Normalisation and shape of one variation of one process; none where it changes nothing."""
    total = nominal.sum()
    ratios = np.array([up.sum(), down.sum()]) / total if total > 0 else np.array([-1.0, -1.0])
    found: list[dict[str, Any]] = []
    if np.all(ratios > 0):
        if np.any(np.abs(ratios - 1) > _ROUNDING):
            hi, lo = ratios.tolist()
            found.append({"name": name, "type": "normsys", "data": {"hi": hi, "lo": lo}})
        up, down = up / ratios[0], down / ratios[1]
    size = _ROUNDING * np.abs(nominal).max()
    if np.any(np.abs(up - nominal) > size) or np.any(np.abs(down - nominal) > size):
        data = {"hi_data": up.tolist(), "lo_data": down.tolist()}
        found.append({"name": name, "type": "histosys", "data": data})
    return found


def pyhf_workspace(channel: dict[str, Any], data: ArrayLike, poi: str) -> dict[str, Any]:
    """Wrap a channel with observations and a measurement."""
    expected = np.sum([sample["data"] for sample in channel["samples"]], axis=0)
    if isinstance(data, str):
        if data != "asimov":
            msg = f"data={data!r}: give counts, one a bin, or 'asimov' for the expected events"
            raise ValueError(msg)
        observed = expected
    else:
        observed = np.asarray(data, dtype=np.float64)
        if observed.shape != expected.shape or not np.all(observed >= 0):
            msg = f"data must hold {len(expected)} counts, one a bin and none negative, got {data}"
            raise ValueError(msg)
    return {
        "channels": [channel],
        "observations": [{"name": channel["name"], "data": observed.tolist()}],
        "measurements": [{"name": "measurement", "config": {"poi": poi, "parameters": []}}],
        "version": "1.0.0",
    }
