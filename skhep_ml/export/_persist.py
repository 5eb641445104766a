"""Fitted models in one file that can be loaded without running code from it."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import platform
import re
import sys
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skhep_ml._extras import import_extra
from skhep_ml._files import write_file
from skhep_ml._version import __version__
from skhep_ml.export._persist_parts import READING, Files
from skhep_ml.export._persist_state import StateWriter, check_schema, trusted_names
from skhep_ml.export._persist_types import type_name

FORMAT = "skhep_ml model"
#: Raised whenever an older version of this package could not read the file any more.
FORMAT_VERSION = 1
_STATE = "state.skops"
_MEMBER = re.compile(r"manifest\.json|state\.skops|boosters/\d+\.ubj|nets/\d+\.safetensors")
_STATE_MEMBER = re.compile(r"schema\.json|[0-9a-f-]{1,40}\.(npy|bin)")
# packages whose versions matter for reading a model again, where they are in use
_PACKAGES = ("numpy", "scipy", "sklearn", "skops", "xgboost", "torch", "skorch", "safetensors")


def save(
    model: Any,
    path: str | os.PathLike[str],
    *,
    metrics: Mapping[str, Any] | None = None,
    event_id: Any = None,
    trusted: Any = (),
) -> None:
    """Write a fitted model into one file that `load` reads without running code from it.

    Works for every estimator of this package and of scikit-learn, whose parts are kept by skops,
    boosters by xgboost's own format, weights of nets by safetensors; and for Pipelines, searches
    and rotating models made of them.

    Parameters
    ----------
    model : estimator
        The model, fitted.
    path : str or path-like
        File to write, by convention ``*.skml``. It is replaced whole, or left as it was.
    metrics : mapping of str to number or str, default=None
        What you want to find beside the model, such as ``{"auc": 0.91}``; lists and mappings of
        these may be nested.
    event_id : array-like of int, shape (n_events,) or (n_events, k), default=None
        Identifiers of the training events, of which a hash is kept that does not depend on their
        order: it tells later whether the model was trained on the same events.
    trusted : list of classes and functions, default=()
        Your own, which the model consists of: modules of nets, transformers, functions. They are
        not put into the file, only their names; `load` must be given them too.

    Raises
    ------
    TypeError
        The model holds something that could not be loaded without running code from the file, such
        as a lambda; the message says where.
    ValueError
        The model is not fitted, or ``metrics`` holds something else than numbers and texts.
    ModuleNotFoundError
        The extra "save" is not installed.

    See Also
    --------
    load : The way back.
    read_manifest : Look at what a file holds.

    Notes
    -----
    The file is a zip archive, without compression, of ``manifest.json`` (format, versions of
    packages, class, feature names, hash of identifiers, metrics, SHA-256 of every other member),
    ``state.skops``, ``boosters/*.ubj`` and ``nets/*.safetensors``. Not kept: states of optimizers,
    so that `partial_fit` of a net begins with fresh moments, and the surrogates of `BayesSearchCV`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.pipeline import make_pipeline
    >>> from skhep_ml.datasets import load_higgs
    >>> from skhep_ml.ensemble import BDTClassifier
    >>> from skhep_ml.export import load, read_manifest, save
    >>> from skhep_ml.impute import MissingValueImputer
    >>> events = load_higgs()
    >>> X, y = events.data[:2000], events.target[:2000]
    >>> model = make_pipeline(MissingValueImputer(), BDTClassifier(n_estimators=20)).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "higgs.skml"
    ...     save(model, path, metrics={"note": "first try"})
    ...     same = load(path)
    ...     read_manifest(path)["metrics"]
    {'note': 'first try'}
    >>> bool((same.predict_proba(X) == model.predict_proba(X)).all())
    True
    """
    skops = import_extra("skops.io", extra="save")
    import_extra("safetensors", extra="save")
    check_is_fitted(model)
    kept = {} if metrics is None else _check_metrics(metrics, "metrics")
    writer = StateWriter(trusted_names(trusted))
    training = None if event_id is None else _identifier_hash(event_id)
    copied = writer.copy(model, "model")
    members = {_STATE: skops.dumps(copied), **writer.members}
    manifest = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "class": type_name(type(model)),
        "feature_names": _feature_names(model),
        "n_features": _first_with(model, "n_features_in_"),
        "training_events": training,
        "metrics": kept,
        "versions": _versions(),
        "members": {
            name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in members.items()
        },
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("manifest.json", json.dumps(manifest, indent=2))
        for name, member in members.items():
            archive.writestr(name, member)
    write_file(path, content.getvalue())


def load(path: str | os.PathLike[str], *, trusted: Any = ()) -> Any:
    """Read a model that `save` wrote, without running code from the file.

    Parameters
    ----------
    path : str or path-like
        The file.
    trusted : list of classes and functions, default=()
        Your own that the model consists of, as they were given to `save`.

    Returns
    -------
    estimator
        The model; its predictions are those of the saved one. Nets and boosters that were trained
        on a GPU come to the CPU where there is none.

    Raises
    ------
    ValueError
        The file is no model, was damaged, comes from a newer version of this package, or holds a
        type that a model may not consist of; nothing of it was made then.
    FileNotFoundError
        There is no such file.
    ModuleNotFoundError
        A package that the model needs is not installed.

    Warns
    -----
    InconsistentVersionWarning
        The model was saved with another version of scikit-learn.

    See Also
    --------
    save : How the file came to be, with an example.

    Notes
    -----
    What protects is the list of types that a model may consist of: estimators of this package and
    of scikit-learn, arrays, numbers, texts. It is checked before anything is made, and nothing in
    the file is ever unpickled, imported by name from elsewhere, or called. The checksums find
    damage, not a forger, who can write checksums as well: a forged file cannot run code, but it can
    predict what it likes.
    """
    skops = import_extra("skops.io", extra="save")
    own = trusted_names(trusted)
    try:
        _, members = _read_archive(path)
        schema = _read_state(members[_STATE])
        names = check_schema(schema, own)
        token = READING.set(Files(members, own))
        try:
            return skops.loads(members[_STATE], trusted=names)
        finally:
            READING.reset(token)
    except (OSError, ModuleNotFoundError, MemoryError):
        raise
    except Exception as error:
        # whatever forged or damaged content leads to, the file is at fault
        reason = " ".join(str(error).split()) or type(error).__name__
        msg = f"cannot load {os.fspath(path)!r}: {reason}"
        raise ValueError(msg) from error


def read_manifest(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what a model file says about itself, without making the model.

    Parameters
    ----------
    path : str or path-like
        A file of `save`.

    Returns
    -------
    dict
        "class", "feature_names", "n_features", "training_events" (number and hash of the
        identifiers given to `save`, or None), "metrics", "versions", "members".

    Raises
    ------
    ValueError
        The file is no model, was damaged, or comes from a newer version of this package.

    Examples
    --------
    >>> from skhep_ml.export import read_manifest
    >>> read_manifest("pyproject.toml")
    Traceback (most recent call last):
        ...
    ValueError: cannot load 'pyproject.toml': it is no model file, or it was cut short
    """
    try:
        return _read_archive(path)[0]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        msg = f"cannot load {os.fspath(path)!r}: {error}"
        raise ValueError(msg) from error


# --- what the manifest holds ----------------------------------------------------------------------


def _first_with(model: Any, attribute: str) -> Any:
    """Attribute of a model, or of the first that it is made of; None where there is none."""
    waiting = [model]
    while waiting:
        candidate = waiting.pop(0)
        try:
            value = getattr(candidate, attribute)
        except AttributeError:
            value = None
        if value is not None:
            return value
        found = vars(candidate)
        for inner in (
            found.get("best_estimator_"),
            found.get("estimator_"),
            found.get("estimators_"),
        ):
            parts = inner if isinstance(inner, list) else [inner]
            waiting += [part for part in parts if hasattr(part, "get_params")]
    return None


def _feature_names(model: Any) -> list[str] | None:
    names = _first_with(model, "feature_names_in_")
    return None if names is None else [str(name) for name in names]


def _versions() -> dict[str, str]:
    loaded = {name: sys.modules[name].__version__ for name in _PACKAGES if name in sys.modules}
    return {"skhep_ml": __version__, "python": platform.python_version(), **loaded}


def _identifier_hash(event_id: Any) -> dict[str, Any]:
    from skhep_ml.model_selection import event_hash

    hashes = np.sort(event_hash(event_id))
    digest = hashlib.sha256(hashes.astype("<u8").tobytes()).hexdigest()
    return {"n_events": len(hashes), "sha256": digest}


def _check_metrics(value: Any, path: str) -> Any:
    """The same as JSON has it."""
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                msg = f"{path} has the key {key!r}: keys must be texts"
                raise ValueError(msg)
        return {key: _check_metrics(part, f"{path}[{key!r}]") for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_check_metrics(part, f"{path}[{k}]") for k, part in enumerate(value)]
    finite = not isinstance(value, float) or math.isfinite(value)
    if value is None or (isinstance(value, (bool, int, float, str)) and finite):
        return value
    msg = f"{path} is {value!r}: only finite numbers, texts, lists and mappings of them are kept"
    raise ValueError(msg)


# --- reading --------------------------------------------------------------------------------------


def _read_archive(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Manifest and other members, checked against each other."""
    with open(path, "rb") as file:
        members = _members(file, _MEMBER, "the file")
    manifest = json.loads(members.pop("manifest.json", b"null"))
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        msg = "it is a zip archive, but no model file of skhep_ml"
        raise ValueError(msg)
    version = manifest.get("format_version")
    if type(version) is not int or version < 1:
        msg = f"its format version is {version!r}, not a number"
        raise ValueError(msg)
    if version > FORMAT_VERSION:
        writer = manifest.get("versions", {}).get("skhep_ml", "?")
        msg = (
            f"it has format {version} of skhep_ml {writer}, and this version {__version__} reads "
            f"formats up to {FORMAT_VERSION}: update skhep-ml"
        )
        raise ValueError(msg)
    recorded = manifest["members"]
    if recorded.keys() != members.keys() or _STATE not in members:
        odd = sorted(recorded.keys() ^ members.keys()) or [_STATE]
        msg = f"its list of members does not agree with what it holds: {odd[0]!r}"
        raise ValueError(msg)
    for name, content in members.items():
        if hashlib.sha256(content).hexdigest() != recorded[name]["sha256"]:
            msg = f"its part {name!r} is damaged: the checksum differs; copy the file again"
            raise ValueError(msg)
    return manifest, members


def _members(file: Any, allowed: re.Pattern[str], what: str) -> dict[str, bytes]:
    """Members of an archive, whose names and sizes are checked before they are read."""
    file.seek(0, os.SEEK_END)
    size = file.tell()
    try:
        archive = zipfile.ZipFile(file)
    except zipfile.BadZipFile as error:
        msg = "it is no model file, or it was cut short"
        raise ValueError(msg) from error
    with archive:
        infos = archive.infolist()
        names = [info.filename for info in infos]
        for info in infos:
            if not allowed.fullmatch(info.orig_filename) or names.count(info.filename) > 1:
                msg = f"{what} has a member {info.orig_filename!r}, which model files have not"
                raise ValueError(msg)
            if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
                msg = f"the member {info.filename!r} is compressed, which model files are not"
                raise ValueError(msg)
        total = sum(info.file_size for info in infos)
        if total > size:
            msg = f"its members claim {total} bytes, more than the {size} bytes of {what}"
            raise ValueError(msg)
        try:
            return {name: archive.read(name) for name in names}
        except (zipfile.BadZipFile, EOFError) as error:
            msg = f"{what} is damaged ({error}): copy it again"
            raise ValueError(msg) from error


def _read_state(content: bytes) -> Any:
    """Schema of the state, its arrays checked to be as large as they claim and to hold numbers."""
    members = _members(io.BytesIO(content), _STATE_MEMBER, "its state")
    for name, member in members.items():
        if name.endswith(".npy"):
            _check_array(name, member)
    if "schema.json" not in members:
        msg = "its state has no schema"
        raise ValueError(msg)
    return json.loads(members["schema.json"])


def _check_array(name: str, content: bytes) -> None:
    stream = io.BytesIO(content)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(np.lib.format.read_magic(stream))
    if read is None:
        msg = f"the array {name!r} is of an unknown version"
        raise ValueError(msg)
    shape, _, dtype = read(stream)
    if dtype.hasobject:
        msg = f"the array {name!r} holds pickled objects, which are not read"
        raise ValueError(msg)
    if math.prod(shape) * dtype.itemsize != len(content) - stream.tell():
        msg = f"the array {name!r} claims the shape {shape}, which its bytes do not have"
        raise ValueError(msg)
