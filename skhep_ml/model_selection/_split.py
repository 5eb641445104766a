"""Splitters whose folds depend on event identifiers alone."""

import numbers
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from skhep_ml._hashing import check_no_empty_fold, event_fold, event_fraction, held_out
from skhep_ml._identifiers import take_id_columns
from skhep_ml._validation import check_event_id
from skhep_ml.exceptions import EventFoldWarning


def check_n_splits(n_splits: Any) -> int:
    """Return the number of folds, or say why it is none."""
    if not isinstance(n_splits, numbers.Integral) or isinstance(n_splits, bool) or n_splits < 2:
        msg = f"n_splits must be an integer of at least 2, got {n_splits!r}"
        raise ValueError(msg)
    return int(n_splits)


class _EventSplitter(BaseCrossValidator):
    """What all splitters by event number share: identifiers in, index pairs out."""

    __metadata_request__split = {"groups": True}

    def _identifiers(self, X: Any, groups: Any) -> Any:
        id_columns = getattr(self, "id_columns", None)
        if id_columns is not None:
            return take_id_columns(X, id_columns)[1]
        if groups is None:
            msg = (
                f"{type(self).__name__} splits by event identifiers: pass groups= (integers, shape "
                "(n_events,) or (n_events, k)), or name integer columns of X by id_columns="
            )
            raise ValueError(msg)
        return groups

    def _test_masks(self, event_id: Any) -> Iterator[NDArray[np.bool_]]:
        raise NotImplementedError

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Yield the row numbers of each training and test part.

        Parameters
        ----------
        X : array-like of shape (n_events, ...)
            Only its length matters, unless ``id_columns`` names columns of it.
        y : object, default=None
            Ignored.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers.

        Yields
        ------
        train, test : ndarray of int
            Row numbers in ascending order.

        Raises
        ------
        ValueError
            No identifiers, identifiers that are not integers, a wrong length, or an empty fold.
        """
        event_id = self._identifiers(X, groups)
        check_event_id(event_id, _num_samples(X))
        for test in self._test_masks(event_id):
            yield np.flatnonzero(~test), np.flatnonzero(test)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of train and test pairs.

        Parameters
        ----------
        X, y, groups : object, default=None
            Ignored; here because scikit-learn's searches pass them.

        Returns
        -------
        int
            The number of pairs that `split` yields.
        """
        return check_n_splits(self.n_splits)


class EventNumberKFold(_EventSplitter):
    """K folds by a hash of the event identifiers.

    An event's fold depends on its identifiers and the salt alone: not on row order, file, chunk,
    machine, number of events or reconstructed quantities. Systematic variations of an event share
    its fold.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.
    salt : int, default=0
        Another salt gives an independent split; needed where this splitter is used inside another
        one of its own kind.
    id_columns : str, int or sequence of them, default=None
        Columns of X that hold the identifiers, where they ride in X; ``groups`` is not read then.

    See Also
    --------
    RotatingClassifier : One model a fold, each event predicted by the one that never saw it.
    EventNumberModuloKFold : ``event % k``, for analyses frozen on it.

    Notes
    -----
    ``fold = ((h >> 32) * n_splits) >> 32`` with h from `event_hash`.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.model_selection import EventNumberKFold
    >>> X, event = np.zeros((6, 1)), np.array([7, 8, 9, 7, 8, 9])
    >>> for train, test in EventNumberKFold(2).split(X, groups=event):
    ...     print(train, test)
    [1 2 4 5] [0 3]
    [0 3] [1 2 4 5]
    """

    def __init__(self, n_splits: int = 5, *, salt: int = 0, id_columns: Any = None) -> None:
        self.n_splits = n_splits
        self.salt = salt
        self.id_columns = id_columns

    def _test_masks(self, event_id: Any) -> Iterator[NDArray[np.bool_]]:
        n_splits = check_n_splits(self.n_splits)
        fold = event_fold(event_id, n_splits, "kfold", self.salt)
        check_no_empty_fold(fold, n_splits)
        for k in range(n_splits):
            yield fold == k


class EventNumberModuloKFold(_EventSplitter):
    """K folds by ``event % k``, for analyses that are frozen on it.

    Event numbers are often not uniform modulo k: merged samples with a stride, or an earlier
    selection on the number, leave folds small or empty. `EventNumberKFold` has no such trouble.

    Parameters
    ----------
    n_splits : int
        Number of folds k, at least 2.

    Warns
    -----
    EventFoldWarning
        The largest fold has more than 1.5 times the events of the smallest, beyond chance.

    Notes
    -----
    The last identifier column counts, which is the event number in (run, lumi, event).

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.model_selection import EventNumberModuloKFold
    >>> next(EventNumberModuloKFold(2).split(np.zeros(4), groups=[10, 11, 12, 13]))
    (array([1, 3]), array([0, 2]))
    """

    def __init__(self, n_splits: int) -> None:
        self.n_splits = n_splits

    def _test_masks(self, event_id: Any) -> Iterator[NDArray[np.bool_]]:
        n_splits = check_n_splits(self.n_splits)
        fold = (check_event_id(event_id)[-1] % np.uint64(n_splits)).astype(np.intp)
        counts = check_no_empty_fold(fold, n_splits)
        spread = counts.max() - counts.min()
        if counts.max() > 1.5 * counts.min() and spread > 5 * np.sqrt(counts.mean()):
            msg = (
                f"event % {n_splits} gives unbalanced folds {counts.tolist()}: the event numbers "
                "are not uniform; EventNumberKFold hashes them and is balanced"
            )
            warnings.warn(msg, EventFoldWarning, stacklevel=4)
        for k in range(n_splits):
            yield fold == k


class EventNumberSplit(_EventSplitter):
    """One split in training and test part by a hash of the event identifiers.

    Parameters
    ----------
    test_size : float, default=0.2
        Expected fraction of events in the test part, between 0 and 1.
    salt : int, default=0
        Another salt gives an independent split.

    See Also
    --------
    train_val_test_split : Arrays in, arrays out, with a validation part.

    Notes
    -----
    The hash is salted with a constant of this kind of split, so it can stand inside
    `EventNumberKFold` and around it.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.model_selection import EventNumberSplit
    >>> train, test = next(EventNumberSplit(0.25).split(np.zeros(1000), groups=np.arange(1000)))
    >>> len(train) + len(test)
    1000
    """

    n_splits = 1

    def __init__(self, test_size: float = 0.2, *, salt: int = 0) -> None:
        self.test_size = test_size
        self.salt = salt

    def _test_masks(self, event_id: Any) -> Iterator[NDArray[np.bool_]]:
        if not 0 < self.test_size < 1:
            msg = f"test_size must lie between 0 and 1, got {self.test_size!r}"
            raise ValueError(msg)
        test = held_out(event_id, self.test_size, "split", self.salt)
        check_no_empty_fold(test.astype(np.intp), 2)
        yield test

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return 1.

        Parameters
        ----------
        X, y, groups : object, default=None
            Ignored; here because scikit-learn's searches pass them.

        Returns
        -------
        int
            Always 1.
        """
        return 1


def train_val_test_split(
    *arrays: Any,
    groups: ArrayLike,
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2),
    salt: int = 0,
) -> list[Any]:
    """Split arrays in training, validation and test part by event identifiers.

    Parameters
    ----------
    *arrays : array-likes of one length
        Features, labels, weights, ...: anything that scikit-learn can index.
    groups : array-like of int, shape (n_events,) or (n_events, k)
        Event identifiers.
    fractions : tuple of three floats, default=(0.6, 0.2, 0.2)
        Expected fractions of training, validation and test events; they sum to 1 and may be 0.
    salt : int, default=0
        Another salt gives an independent split.

    Returns
    -------
    list
        For each array its train, validation and test part, in the order given.

    Raises
    ------
    ValueError
        Wrong fractions or lengths, identifiers that are not integers, or a part left empty.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.model_selection import train_val_test_split
    >>> X, y = np.arange(20).reshape(10, 2), np.arange(10)
    >>> parts = train_val_test_split(X, y, groups=np.arange(10))
    >>> [part.shape for part in parts[:3]]
    [(5, 2), (3, 2), (2, 2)]
    """
    share = np.asarray(fractions, dtype=np.float64)
    if share.shape != (3,) or (share < 0).any() or abs(share.sum() - 1) > 1e-9:
        msg = f"fractions must be three numbers >= 0 that sum to 1, got {fractions!r}"
        raise ValueError(msg)
    if not arrays:
        msg = "give at least one array to split"
        raise ValueError(msg)
    lengths = [_num_samples(array) for array in arrays]
    if len(set(lengths)) > 1:
        msg = f"arrays of different lengths: {lengths}"
        raise ValueError(msg)
    check_event_id(groups, lengths[0])
    upper = event_fraction(groups, "train_val_test", salt)
    edges = np.array([round(x * 2**32) for x in np.cumsum(share)[:2]], dtype=np.uint64)
    part = np.searchsorted(edges, upper, side="right")
    rows = [np.flatnonzero(part == k) for k in range(3)]
    for name, fraction, index in zip(("training", "validation", "test"), share, rows, strict=True):
        if fraction > 0 and not len(index):
            msg = (
                f"no event falls in the {name} part: there are {lengths[0]} events, or a split of "
                "the same kind around this one has taken them: give the inner splitter another salt"
            )
            raise ValueError(msg)
    return [_safe_indexing(array, index) for array in arrays for index in rows]
