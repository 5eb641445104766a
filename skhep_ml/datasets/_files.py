"""Reading of the data files that come with the package.

The checksums stand in ``_data/SHA256SUMS``. After a file was remade::

    cd skhep_ml/datasets/_data && sha256sum *.npz > SHA256SUMS
"""

import hashlib
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DATA = Path(__file__).parent / "_data"


def read_arrays(name: str, folder: Path = DATA) -> dict[str, NDArray[Any]]:
    """Arrays of an embedded ``.npz`` file whose checksum is right.

    Raises
    ------
    ValueError
        The file is missing, truncated or otherwise not the one that was published.
    """
    path = folder / name
    content = path.read_bytes() if path.is_file() else b""
    # lines of "checksum  name"
    sums = (folder / "SHA256SUMS").read_text(encoding="ascii").split()
    if hashlib.sha256(content).hexdigest() != sums[sums.index(name) - 1]:
        state = (
            f"has {len(content)} bytes and a wrong checksum" if content else "is missing or empty"
        )
        msg = (
            f"the data file {path} {state}: reinstall the package with "
            "'pip install --force-reinstall --no-deps skhep-ml'"
        )
        raise ValueError(msg)
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def from_planes(planes: NDArray[np.uint8], dtype: str) -> NDArray[Any]:
    """Undo the split of numbers into byte planes, shape (bytes of a row, n_rows)."""
    rows = np.ascontiguousarray(planes.T).view(dtype)
    return rows[:, 0] if rows.shape[1] == 1 else rows


def description(name: str) -> str:
    """Text of ``_data/{name}.rst``."""
    return (DATA / f"{name}.rst").read_text(encoding="utf-8")


def check_missing_values(missing_values: float) -> float:
    """Check the value that stands for an absent object.

    Raises
    ------
    ValueError
        Anything but a real number.
    """
    try:
        value = float(missing_values)
    except (TypeError, ValueError):
        value = math.inf
    if math.isinf(value):
        msg = (
            f"missing_values must be NaN or a finite number such as -999.0, got {missing_values!r}"
        )
        raise ValueError(msg)
    return value


def to_frame(data: NDArray[Any], feature_names: list[str]) -> Any:
    """Make a pandas DataFrame of a table."""
    try:
        import pandas as pd
    except ImportError as error:
        msg = "as_frame=True needs pandas: pip install pandas"
        raise ImportError(msg) from error
    return pd.DataFrame(data, columns=feature_names)
