"""What is missing in a sample: per feature, per class, and what is missing together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array

from skhep_ml._extras import import_extra
from skhep_ml._format import percent
from skhep_ml._frames import is_frame
from skhep_ml._validation import MAX_CLASSES, check_event_weight, check_labels
from skhep_ml.impute._masks import mask_missing, missing_sentinels, unmasked
from skhep_ml.preprocessing._statistics import FloatArray, block_rows


@dataclass(frozen=True, repr=False)
class MissingReport:
    """Result of `missing_report`.

    Every table has the columns ``n_events``, ``fraction`` and ``error``, and for each class
    ``fraction_<label>`` and ``error_<label>``, the share within this class.

    Attributes
    ----------
    features : DataFrame
        One row a feature: in how much of the sample it is missing.
    groups : DataFrame
        One row for each group of features that are missing in the same events, the largest share
        first; ``features`` holds the names of its members.
    patterns : DataFrame
        One row for each combination of groups missing in an event, the most frequent first;
        ``features`` holds the names of all that is missing, none in complete events.
    n_events : int
        Number of events of non-zero weight.
    n_patterns : int
        Number of patterns, of which ``patterns`` holds the first.
    classes : list
        Labels of the classes; empty without labels.
    """

    features: Any
    groups: Any
    patterns: Any
    n_events: int
    n_patterns: int
    classes: list[Any]

    @property
    def _title(self) -> str:
        n_missing = int((self.features["n_events"] > 0).sum())
        return (
            f"{n_missing} of {len(self.features)} features are missing in some of {self.n_events} "
            f"events; the {len(self.patterns)} most frequent of {self.n_patterns} patterns hold "
            f"{percent(float(self.patterns['fraction'].sum()))} of the weight"
        )

    def __repr__(self) -> str:
        """Text for the terminal: title and tables."""
        tables = "\n\n".join(table.to_string(float_format="%.4g") for _, table in self._tables())
        return f"{self._title}\n\n{tables}"

    def _repr_html_(self) -> str:
        """HTML for notebooks: title and tables."""
        tables = "".join(
            f"<h4>{title}</h4>{table.to_html(float_format='%.4g')}"
            for title, table in self._tables()
        )
        return f"<p>{self._title}</p>{tables}"

    def _tables(self) -> list[tuple[str, Any]]:
        groups = self.groups.assign(features=[", ".join(names) for names in self.groups.features])
        return [
            ("Features", self.features[self.features["n_events"] > 0]),
            ("Missing together", groups),
            ("Patterns", self.patterns.drop(columns="features")),
        ]


def missing_report(
    X: Any,
    y: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    *,
    missing_values: float | Sequence[float] = (np.nan, -999.0),
    feature_names: Sequence[str] | None = None,
    max_patterns: int = 10,
) -> MissingReport:
    r"""Report what is missing: per feature, per class, and which features are missing together.

    Parameters
    ----------
    X : array-like of shape (n_events, n_features)
        Features.
    y : array-like of shape (n_events,), default=None
        Labels of the classes, or names of the processes.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights; abs(w) enters the shares.
    missing_values : float or sequence of float, default=(nan, -999.0)
        Values that stand for "missing", all at once. NaN, None, masked entries and the nulls of
        DataFrames always do.
    feature_names : sequence of str of length n_features, default=None
        Names of the columns; None takes those of a DataFrame, or x0, x1, ...
    max_patterns : int, default=10
        Number of patterns in the report, the most frequent ones.

    Returns
    -------
    MissingReport
        DataFrames ``features``, ``groups`` and ``patterns``, shown as HTML in a notebook.

    Raises
    ------
    ModuleNotFoundError
        pandas is not installed.
    ValueError
        Lengths that differ, missing labels or more than 100 classes, unusable weights,
        ``max_patterns`` below 1.

    See Also
    --------
    skhep_ml.plotting.MissingDisplay : The same as a picture.

    Notes
    -----
    Absent objects leave traces of their own: all features of a second jet are missing in the same
    events. Features whose missing values coincide in every event form a group, named by what
    their names have in common or by the first of them; a pattern is a set of groups.

    Events of weight zero do not count. The share of a sample and its error are, with p being 1
    for the events in which the value is missing,

    .. math:: \varepsilon = \frac{\sum |w| p}{\sum |w|}, \qquad
              \sigma^2 = \frac{\sum w^2 (p - \varepsilon)^2}{(\sum |w|)^2} .

    Examples
    --------
    >>> import pandas as pd
    >>> from skhep_ml.impute import missing_report
    >>> events = pd.DataFrame({
    ...     "met": [20.0, 50.0, 30.0, 40.0],
    ...     "jet2_pt": [-999.0, 30.0, -999.0, 60.0],
    ...     "jet2_eta": [-999.0, 0.5, -999.0, -1.5],
    ... })
    >>> report = missing_report(events, y=["Z", "H", "Z", "Z"])
    >>> report.groups[["features", "fraction", "fraction_H", "fraction_Z"]].round(2)
                      features  fraction  fraction_H  fraction_Z
    jet2_* (2)  (jet2_pt, jet2_eta)       0.5         0.0        0.67
    >>> report.patterns[["n_events", "fraction"]]
                   n_events  fraction
    complete              2       0.5
    no jet2_* (2)         2       0.5
    """
    pandas = import_extra("pandas", "root")
    if not isinstance(max_patterns, Integral) or isinstance(max_patterns, bool) or max_patterns < 1:
        msg = f"max_patterns={max_patterns!r} must be an integer of 1 or more"
        raise ValueError(msg)
    sentinels = missing_sentinels(missing_values)
    table = check_array(unmasked(X), dtype=[np.float64, np.float32], ensure_all_finite=False)
    if feature_names is None:
        feature_names = X.columns if is_frame(X) else [f"x{k}" for k in range(table.shape[1])]
    names = [str(name) for name in feature_names]
    if len(names) != table.shape[1]:
        msg = f"feature_names has {len(names)} names, but X has {table.shape[1]} columns"
        raise ValueError(msg)
    weight = check_event_weight(sample_weight, len(table))
    classes, label = _labels(y, len(table))
    code = _pattern_code(table, sentinels)
    if weight is not None:
        used = weight != 0
        code, label, weight = code[used], label[used], np.abs(weight[used])
    pattern, which = _unique_rows(code)
    masks = np.unpackbits(pattern.view(np.uint8), axis=1, count=table.shape[1]).astype(bool)
    sums = _pattern_sums(which, label, weight, len(masks), max(len(classes), 1))

    members = _groups(masks)
    group_names = [_group_name([names[k] for k in group]) for group in members]
    order = np.lexsort((np.arange(len(masks)), -sums[1].sum(axis=1)))[:max_patterns]
    shown = masks[order]
    patterns = _table(
        pandas, _pattern_names(shown, members, group_names), sums[:, order], sums, classes
    )
    patterns.insert(0, "features", [tuple(np.array(names)[mask].tolist()) for mask in shown])
    features = _table(pandas, names, _sums_of(masks.T, sums), sums, classes)
    first = [group[0] for group in members]
    groups = _table(pandas, group_names, _sums_of(masks[:, first].T, sums), sums, classes)
    groups.insert(0, "features", [tuple(names[k] for k in group) for group in members])
    return MissingReport(
        features=features,
        groups=groups.sort_values("fraction", ascending=False, kind="stable"),
        patterns=patterns,
        n_events=len(which),
        n_patterns=len(masks),
        classes=classes,
    )


def _labels(y: ArrayLike | None, n_events: int) -> tuple[list[Any], NDArray[np.intp]]:
    """Classes, and the number of the class of every event."""
    if y is None:
        return [], np.zeros(n_events, dtype=np.intp)
    classes, label = check_labels(y, n_events, max_classes=MAX_CLASSES)
    return classes.tolist(), label


def _pattern_code(table: FloatArray, sentinels: Sequence[float]) -> NDArray[np.uint64]:
    """Mask of missing values of every event as bits, 64 features a word."""
    n_features = table.shape[1]
    n_words = -(-n_features // 64)
    code = np.empty((len(table), n_words), dtype=np.uint64)
    rows = block_rows(64 * n_words)
    bits = np.zeros((rows, 64 * n_words), dtype=bool)
    for start in range(0, len(table), rows):
        missing = mask_missing(table[start : start + rows], sentinels)
        bits[: len(missing), :n_features] = missing
        packed = np.packbits(bits[: len(missing)])
        code[start : start + rows] = packed.view(np.uint64).reshape(-1, n_words)
    return code


def _unique_rows(code: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.intp]]:
    """Distinct rows, and the number of its row for every event."""
    words, which = np.unique(code[:, 0], return_inverse=True)
    for column in code.T[1:]:
        more, other = np.unique(column, return_inverse=True)
        pairs, which = np.unique(which * len(more) + other, return_inverse=True)
        words = np.column_stack([words[pairs // len(more)], more[pairs % len(more)]])
    return words.reshape(len(words), -1), which


def _pattern_sums(
    which: NDArray[np.intp],
    label: NDArray[np.intp],
    weight: NDArray[np.float64] | None,
    n_patterns: int,
    n_classes: int,
) -> NDArray[np.float64]:
    """Counts, sums of abs(w) and sums of w^2, of each pattern and class."""
    cell = which * n_classes + label
    size = n_patterns * n_classes
    count = np.bincount(cell, minlength=size)
    if weight is None:
        sums = np.stack([count, count, count])
    else:
        first = np.bincount(cell, weight, minlength=size)
        sums = np.stack([count, first, np.bincount(cell, weight * weight, minlength=size)])
    return sums.reshape(3, n_patterns, n_classes).astype(np.float64)


def _groups(masks: NDArray[np.bool_]) -> list[list[int]]:
    """Features whose columns of masks are equal, without those that are never missing."""
    found: dict[bytes, list[int]] = {}
    for feature, packed in enumerate(np.packbits(masks, axis=0).T):
        if packed.any():
            found.setdefault(packed.tobytes(), []).append(feature)
    return list(found.values())


def _group_name(names: list[str]) -> str:
    if len(names) == 1:
        return names[0]
    equal = takewhile(lambda pair: pair[0] == pair[1], zip(min(names), max(names), strict=False))
    common = "".join(letter for letter, _ in equal)
    # up to a separator, so that no name is cut inside a word
    common = common[: common.rfind("_") + 1]
    return f"{common}* ({len(names)})" if common else f"{names[0]} + {len(names) - 1}"


def _pattern_names(
    masks: NDArray[np.bool_], members: list[list[int]], group_names: list[str]
) -> list[str]:
    found = []
    for mask in masks:
        absent = [name for group, name in zip(members, group_names, strict=True) if mask[group[0]]]
        found.append(f"no {', '.join(absent)}" if absent else "complete")
    return found


def _sums_of(masks: NDArray[np.bool_], sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums over the patterns chosen by each row of masks."""
    total = np.zeros((len(sums), len(masks), sums.shape[2]))
    rows = block_rows(len(masks) or 1)
    for start in range(0, masks.shape[1], rows):
        total += masks[:, start : start + rows].astype(np.float64) @ sums[:, start : start + rows]
    return total


def _table(
    pandas: Any,
    index: list[str],
    missing: NDArray[np.float64],
    sums: NDArray[np.float64],
    classes: list[Any],
) -> Any:
    """Counts and shares of what is missing, of the whole sample and of each class."""
    columns: dict[str, Any] = {"n_events": missing[0].sum(axis=1).astype(np.int64)}
    totals = sums.sum(axis=1)
    columns["fraction"], columns["error"] = _share(missing.sum(axis=2), totals.sum(axis=1))
    for k, label in enumerate(classes):
        share, error = _share(missing[:, :, k], totals[:, k])
        columns[f"fraction_{label}"], columns[f"error_{label}"] = share, error
    return pandas.DataFrame(columns, index=index)


def _share(
    missing: NDArray[np.float64], total: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share and its error; NaN in a class whose weights are all zero."""
    norm = total[1] if total[1] > 0 else np.nan
    share = np.minimum(missing[1] / norm, 1.0)
    squares = missing[2] * (1 - share) ** 2 + np.maximum(total[2] - missing[2], 0) * share**2
    return share, np.sqrt(squares) / norm
