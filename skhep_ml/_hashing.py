"""Event identifiers to hashes, and hashes to folds: the one place where splits are decided."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhep_ml._validation import check_event_id

_BLOCK = 16_384  # identifiers a block: both work arrays stay in the cache
_MASK = 0xFFFFFFFFFFFFFFFF

# What each kind of split xors to the salt before hashing it, so that a split inside another one of
# a different kind is independent of it. These constants are stable for ever: changing one moves
# events between folds in every published analysis that used it.
KIND_CONSTANTS = {
    "kfold": None,  # EventNumberKFold hashes with the salt itself
    "split": 0x53504C4954000001,
    "train_val_test": 0x545654454E000002,
    "rotating": 0x524F544154000003,
    "early_stopping": 0x4541524C59000004,
    "refine": 0x524546494E000005,
    "refine_stopping": 0x5245465354000006,
    "reweighting": 0x5245574549000007,
    "calibration": 0x43414C4942000008,
    "closure": 0x434C4F5355000009,
    "bootstrap": 0x424F4F545300000A,
    "report": 0x5245504F5254000B,
    "bias_variance": 0x424941535600000C,
}


def splitmix64(x: int) -> int:
    """One step of splitmix64 on a Python integer."""
    z = (x + 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def _splitmix64_inplace(z: NDArray[np.uint64], work: NDArray[np.uint64]) -> None:
    z += np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        np.right_shift(z, np.uint64(shift), out=work)
        np.bitwise_xor(z, work, out=z)
        np.multiply(z, np.uint64(factor), out=z)
    np.right_shift(z, np.uint64(31), out=work)
    np.bitwise_xor(z, work, out=z)


def event_hash(event_id: Any, *, salt: int = 0) -> NDArray[np.uint64]:
    """Hash event identifiers with splitmix64, chained over the salt and the columns.

    Parameters
    ----------
    event_id : array-like of int, shape (n_events,) or (n_events, n_columns)
        Event numbers, or columns such as (run, lumi, event). Signed integers enter as their 64-bit
        two's complement, so that any integer width gives the same hash.
    salt : int, default=0
        Another salt gives an independent hash.

    Returns
    -------
    ndarray of uint64, shape (n_events,)
        A function of the identifiers and the salt alone, the same on every machine and for ever.

    Raises
    ------
    ValueError
        Identifiers that are not integers.

    Notes
    -----
    ``state = splitmix64(salt)``, then for every column in order
    ``state = splitmix64(state ^ column)``. splitmix64 adds 0x9E3779B97F4A7C15 and mixes twice by
    shift, xor and multiplication, all modulo 2^64.

    References
    ----------
    G. L. Steele, D. Lea, C. H. Flood, Fast splittable pseudorandom number generators,
    OOPSLA 2014, https://doi.org/10.1145/2660193.2660195.

    Examples
    --------
    >>> from skhep_ml.model_selection import event_hash
    >>> [hex(int(h)) for h in event_hash([1, 2])]
    ['0x8b4fda8c892b50e', '0xd7cc9674ff5ffa39']
    """
    columns = check_event_id(event_id)
    out = np.empty(len(columns[0]), dtype=np.uint64)
    start = np.uint64(splitmix64(int(salt) & _MASK))
    work = np.empty(min(_BLOCK, len(out)), dtype=np.uint64)
    for lo in range(0, len(out), _BLOCK):
        state = out[lo : lo + _BLOCK]
        scratch = work[: len(state)]
        np.bitwise_xor(columns[0][lo : lo + _BLOCK], start, out=state)
        _splitmix64_inplace(state, scratch)
        for column in columns[1:]:
            np.bitwise_xor(state, column[lo : lo + _BLOCK], out=state)
            _splitmix64_inplace(state, scratch)
    return out


def content_identifiers(table: NDArray[np.floating[Any]]) -> NDArray[np.uint64]:
    """Identifiers made of the content of rows, shape (n_events, n_columns).

    Equal rows get equal ones, whatever their order and company. Values enter in single precision,
    so that a table and its float32 copy agree; -0 counts as 0, and all NaN are one.
    """
    with np.errstate(over="ignore"):
        single = table.astype(np.float32) + np.float32(0)
    single[np.isnan(single)] = np.nan
    return single.view(np.uint32).astype(np.uint64)


def mostly_repeated(counts: NDArray[np.intp]) -> bool:
    """Whether more than half of the events equal another one, from the counts of each content."""
    return bool(2 * counts[counts > 1].sum() > counts.sum())


def kind_salt(kind: str, salt: int = 0) -> int:
    """Salt of one kind of split."""
    constant = KIND_CONSTANTS[kind]
    salt = int(salt) & _MASK
    return salt if constant is None else splitmix64(salt ^ constant)


def event_fraction(event_id: Any, kind: str, salt: int = 0) -> NDArray[np.uint64]:
    """Upper 32 bits of the hash: a uniform integer in [0, 2^32) for every event."""
    return event_hash(event_id, salt=kind_salt(kind, salt)) >> np.uint64(32)


def event_fold(event_id: Any, n_splits: int, kind: str, salt: int = 0) -> NDArray[np.intp]:
    """Fold of every event, 0 to n_splits - 1, for one kind of split."""
    upper = event_fraction(event_id, kind, salt)
    return ((upper * np.uint64(n_splits)) >> np.uint64(32)).astype(np.intp)


def held_out(event_id: Any, fraction: float, kind: str, salt: int = 0) -> NDArray[np.bool_]:
    """Tell which events a single split of this kind holds out."""
    return event_fraction(event_id, kind, salt) < np.uint64(round(fraction * 2**32))


def check_no_empty_fold(fold: NDArray[np.intp], n_splits: int) -> NDArray[np.intp]:
    """Refuse a split one of whose folds has no event; return the counts."""
    counts = np.bincount(fold, minlength=n_splits)
    if not counts.all():
        empty = np.flatnonzero(counts == 0).tolist()
        msg = (
            f"no event falls in fold {empty} of {n_splits} (events per fold: {counts.tolist()}). "
            "A split of the same kind and salt around this one has taken them, or there are too "
            "few events: give the inner splitter another salt, or use fewer folds"
        )
        raise ValueError(msg)
    return counts
