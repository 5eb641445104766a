"""Boosted trees from a stream of chunks: events on disk, their bins in pages."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.utils import check_array, check_random_state
from sklearn.utils.multiclass import check_classification_targets

from skhep_ml._device import resolve_device
from skhep_ml._files import writable_folder
from skhep_ml._masks import unmasked
from skhep_ml._validation import check_event_weight
from skhep_ml.ensemble._stream_bins import SAMPLE_SIZE, TableFile, reference_matrix
from skhep_ml.weights._policies import check_policy, prepare_weights

# bytes of the events handed to the engine at once; with smaller pages its buffers for the nodes of
# each page outgrow the bins
_PAGE_BYTES = 1 << 25

# policies that look at the features of all events together
_WHOLE_SAMPLE = ("refine", "pair", "cell")


class EventPages:
    """Features of events as float32 in a file, their targets and weights in memory.

    Attributes
    ----------
    path : path
        The file, row after row.
    target : ndarray of shape (n_events,)
        Targets as given.
    weight : float64 ndarray of shape (n_events,) or None
        Event weights.
    names : list of str or None
        Names of the columns, where the chunks are DataFrames.
    n_features : int
        Number of columns.
    """

    def __init__(self, chunks: Iterable[Any], folder: Path) -> None:
        self.path = folder / "events"
        self._columns: Any = slice(None)
        self.names: list[str] | None = None
        self.n_features = 0
        with self.path.open("wb") as file:
            self.target, self.weight = self._collect(chunks, file)

    def _collect(
        self, chunks: Iterable[Any], file: Any
    ) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
        """Write the features of all chunks; return targets and weights."""
        targets: list[NDArray[Any]] = []
        weights: list[NDArray[np.float64]] = []
        for k, (X, y, w) in enumerate(_parts(chunks)):
            table = self._check_table(X, k)
            y = np.asarray(unmasked(y))
            if y.shape != (len(table),):
                msg = f"chunk {k} has {len(table)} events, but its target has shape {y.shape}"
                raise ValueError(msg)
            if bool(weights) != (w is not None) and targets:
                msg = f"chunk {k} has {'no ' * (w is None)}weights, unlike those before"
                raise ValueError(msg)
            table.tofile(file)
            targets.append(y)
            if w is not None:
                weights.append(np.asarray(unmasked(w), dtype=np.float64))
                if weights[-1].shape != y.shape:
                    msg = f"chunk {k} has {len(y)} events and weights of {weights[-1].shape}"
                    raise ValueError(msg)
        if not targets:
            msg = "the stream has no chunks"
            raise ValueError(msg)
        return np.concatenate(targets), np.concatenate(weights) if weights else None

    def _check_table(self, X: Any, k: int) -> NDArray[np.float32]:
        names = [str(name) for name in X.columns] if hasattr(X, "columns") else None
        table = check_array(unmasked(X), dtype=np.float32, ensure_all_finite="allow-nan")
        if k == 0:
            self.names, self.n_features = names, table.shape[1]
        if names != self.names or table.shape[1] != self.n_features:
            msg = (
                f"chunk {k} has the columns {names or table.shape[1]}, but the first has "
                f"{self.names or self.n_features}"
            )
            raise ValueError(msg)
        return table

    def __getitem__(self, key: tuple[Any, Any]) -> EventPages:
        """Take columns of all events, as ``X[:, columns]`` does."""
        _, self._columns = key
        return self

    def matrix(
        self, target: NDArray[Any], weight: NDArray[Any] | None, params: Mapping[str, Any]
    ) -> Any:
        """Binned events, in pages of the folder; for a GPU in its memory."""
        paged = params["device"] == "cpu"
        pages = _Pages(self, target, weight, paged=paged)
        given = {"max_bin": params["max_bin"], "nthread": params["nthread"]}
        if not paged:
            return xgboost.QuantileDMatrix(pages, **given)
        if len(target) <= SAMPLE_SIZE:
            return xgboost.ExtMemQuantileDMatrix(pages, **given)
        columns = np.arange(self.n_features)[self._columns]
        table = TableFile(self.path, len(target), self.n_features)
        bins = reference_matrix(table, columns, weight, params["max_bin"], params["seed"])
        return xgboost.ExtMemQuantileDMatrix(pages, ref=bins, **given)

    def blocks(self, n_events: int) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Yield events and their places."""
        table = TableFile(self.path, n_events, self.n_features)
        for rows, block in table.blocks(_PAGE_BYTES):
            yield rows, np.array(block[:, self._columns])


class _Pages(xgboost.DataIter):
    """Hands the blocks to the engine."""

    def __init__(
        self,
        events: EventPages,
        target: NDArray[Any],
        weight: NDArray[Any] | None,
        *,
        paged: bool,
    ) -> None:
        self._events, self._target, self._weight = events, target, weight
        self._blocks: Iterator[Any] = iter(())
        prefix = str(events.path.with_name("bins")) if paged else None
        super().__init__(cache_prefix=prefix, release_data=True)

    def reset(self) -> None:
        self._blocks = self._events.blocks(len(self._target))

    def next(self, input_data: Any) -> bool:
        for rows, table in self._blocks:
            weight = {} if self._weight is None else {"weight": self._weight[rows]}
            input_data(data=table, label=self._target[rows], **weight)
            return True
        return False


def _parts(chunks: Any) -> Iterator[tuple[Any, Any, Any]]:
    """X, y and weights of every chunk."""
    if callable(chunks):
        chunks = chunks()
    for k, chunk in enumerate(chunks):
        if isinstance(chunk, Mapping):
            if chunk.get("target") is None:
                msg = f"chunk {k} has no target: give label= to iterate_events"
                raise ValueError(msg)
            yield chunk["data"], chunk["target"], chunk.get("weight")
        elif isinstance(chunk, tuple) and len(chunk) in (2, 3):
            yield chunk[0], chunk[1], chunk[2] if len(chunk) == 3 else None
        else:
            msg = f"chunk {k} is a {type(chunk).__name__}: a Bunch, (X, y) or (X, y, weights) fits"
            raise ValueError(msg)


def fit_stream(
    model: Any, chunks: Any, eval_set: Any, sample_weight_eval_set: Any, cache_dir: Any
) -> Any:
    """Body of ``BaseBDT.fit_iter``."""
    from skhep_ml.ensemble._uniform import UniformBDTClassifier

    if isinstance(model, UniformBDTClassifier):
        msg = f"the loss of {type(model).__name__} looks at all events together: use fit()"
        raise ValueError(msg)
    model._check_params()
    if model.early_stopping_rounds is not None and not eval_set:
        msg = (
            "early stopping on a stream needs eval_set=: a stream is not split. Read some events "
            "with another salt or from other files, or set early_stopping_rounds=None"
        )
        raise ValueError(msg)
    folder = writable_folder(tempfile.gettempdir() if cache_dir is None else cache_dir)
    with tempfile.TemporaryDirectory(prefix="skhep_ml_", dir=folder) as temporary:
        events = EventPages(chunks, Path(temporary))
        _start(model, events)
        target, codes, classes = _encoded(model, events.target)
        codes = codes.astype(np.int32)
        if is_classifier(model):
            target = codes
        weight = check_event_weight(events.weight, len(target))
        n_negative = 0 if weight is None else int(np.count_nonzero(weight < 0))
        if n_negative and check_policy(model.negative_weights) in _WHOLE_SAMPLE:
            msg = (
                f"{n_negative} of {len(target)} weights are negative, and negative_weights="
                f"{model.negative_weights!r} needs all events in memory: use 'keep' (or 'drop', "
                "'abs', which bias), or fit() on a part"
            )
            raise ValueError(msg)
        device = resolve_device(model.device)
        seed = int(check_random_state(model.random_state).randint(2**31 - 1))
        sets = model._evaluation_sets(eval_set, sample_weight_eval_set)
        prepared = prepare_weights(
            np.empty((len(target), 0), dtype=np.float32),
            codes,
            classes,
            weight,
            target=target,
            negative_weights=model.negative_weights,
            weight_scale=model.weight_scale,
            class_weight=getattr(model, "class_weight", None),
            weight_cap=model.weight_cap,
        )
        if prepared is not None and not prepared.signed:
            # as the engine takes them
            prepared = prepared._replace(train=prepared.train.astype(np.float32))
        # millions of events are long columns: only those in use stay
        del events.target, events.weight, codes, weight

        def train(sets: list[Any], n_rounds: int) -> Any:
            return model._train(events, target, prepared, sets, n_rounds, device, seed)

        model.booster_, model.evals_result_ = train(sets, model.n_estimators)
        model._keep_best(lambda n_rounds: train([], n_rounds)[0])
    return model


def _start(model: Any, events: EventPages) -> None:
    model.n_features_in_ = events.n_features
    if events.names is not None:
        model.feature_names_in_ = np.array(events.names, dtype=object)
    elif hasattr(model, "feature_names_in_"):
        del model.feature_names_in_


def _encoded(model: Any, y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp], NDArray[Any]]:
    """Target as the engine takes it, class numbers and classes."""
    if not is_classifier(model):
        target = y.astype(np.float64)
        if not np.isfinite(target).all():
            msg = f"y is NaN or infinite, first in event {int(np.argmin(np.isfinite(target)))}"
            raise ValueError(msg)
        return target, np.zeros(len(y), dtype=np.intp), np.array(["all"])
    check_classification_targets(y)
    model.classes_, codes = np.unique(y, return_inverse=True)
    if len(model.classes_) < 2:
        msg = f"only one class in the stream: {model.classes_.tolist()}; a classifier needs two"
        raise ValueError(msg)
    return codes, codes, model.classes_
