"""Boosted trees on Dask: the features of the events stay on the workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array

from skhep_ml._device import resolve_device
from skhep_ml._extras import import_extra
from skhep_ml._masks import unmasked
from skhep_ml._validation import check_event_id


def is_dask(X: Any) -> bool:
    """Tell whether X is a Dask collection."""
    return hasattr(type(X), "__dask_graph__")


# --- predict ------------------------------------------------------------------------------------


def predict_dask(model: Any, X: Any, method: str) -> Any:
    """Lazy Dask array of what a method of a fitted model gives for each partition of X."""
    dask = import_extra("dask", "dask")
    _check_shape(X)
    if X.shape[1] != model.n_features_in_:
        msg = (
            f"X has {X.shape[1]} features, but {type(model).__name__} was fitted on "
            f"{model.n_features_in_}"
        )
        raise ValueError(msg)
    like = _empty_prediction(model, method)

    def predict(part: Any, model: Any) -> NDArray[Any]:
        return getattr(model, method)(part) if len(part) else like

    # as one node of the graph: a literal would be copied into every task
    shared = dask.delayed(model)
    if hasattr(X, "to_dask_array"):
        return X.map_partitions(predict, shared, meta=like)
    X = X.rechunk({1: -1})
    if like.ndim == 1:
        return X.map_blocks(predict, shared, dtype=like.dtype, meta=like, drop_axis=1)
    chunks = (X.chunks[0], (like.shape[1],))
    return X.map_blocks(predict, shared, dtype=like.dtype, meta=like, chunks=chunks)


def _empty_prediction(model: Any, method: str) -> NDArray[Any]:
    classes = getattr(model, "classes_", None)
    if method == "predict":
        return np.empty(0, dtype=np.float32 if classes is None else classes.dtype)
    if method == "decision_function" and len(model.classes_) == 2:
        return np.empty(0, dtype=np.float32)
    return np.empty((0, len(model.classes_)), dtype=np.float32)


# --- fit ----------------------------------------------------------------------------------------


def fit_dask(
    model: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    groups: Any,
    eval_set: Any,
    sample_weight_eval_set: Any,
) -> Any:
    """Body of ``fit`` for a Dask array or DataFrame.

    Targets, weights and identifiers come to this process, so that whatever concerns all events
    (classes, policies, balance, scale, the early-stopping part) is decided as in memory; training
    weights then go to the partitions. Features stay where they are.
    """
    from skhep_ml.ensemble._stream import _WHOLE_SAMPLE, _encoded, _start
    from skhep_ml.ensemble._uniform import UniformBDTClassifier

    if isinstance(model, UniformBDTClassifier):
        msg = (
            f"the loss of {type(model).__name__} looks at all events together: call fit with "
            "arrays in memory, for example X.compute()"
        )
        raise ValueError(msg)
    model._check_params()
    dask = import_extra("dask", "dask")
    _check_shape(X)
    events: Any
    with _connected(model.n_jobs) as client:
        events, (y, weight, groups) = _gather(client, X, y, sample_weight, groups)
        names = getattr(X, "columns", None)
        events.names = None if names is None else [str(name) for name in names]
        _start(model, events)
        target, codes, classes = _encoded(model, y)
        if weight is not None and model.negative_weights in _WHOLE_SAMPLE:
            n_negative = int(np.count_nonzero(np.asarray(weight, dtype=np.float64) < 0))
            if n_negative:
                msg = (
                    f"{n_negative} of {len(target)} weights are negative, and negative_weights="
                    f"{model.negative_weights!r} needs the features of all events in one memory: "
                    "use 'keep' (or 'drop', 'abs', which bias) with Dask"
                )
                raise ValueError(msg)
        # these come from elsewhere and are few: compared in one memory
        eval_set, sample_weight_eval_set = dask.compute(eval_set, sample_weight_eval_set)
        return model._fit(
            events, target, codes, classes, weight, groups, eval_set, sample_weight_eval_set
        )


def _check_shape(X: Any) -> None:
    if getattr(X, "ndim", None) != 2:
        msg = (
            f"X is a Dask {type(X).__name__} of {getattr(X, 'ndim', 'no')} dimensions: give an "
            "array of shape (n_events, n_features) or a DataFrame"
        )
        raise ValueError(msg)


@contextmanager
def _connected(n_jobs: int | None) -> Iterator[Any]:
    """Client that is there, or for the time being one of the cores of this process."""
    distributed = import_extra("distributed", "dask")
    try:
        client = distributed.get_client()
    except ValueError:
        client = None
    if client is not None:
        yield client
        return
    import joblib

    # threads: worker processes would import the user's script, which may not be ready for it
    with (
        distributed.LocalCluster(
            n_workers=1,
            threads_per_worker=joblib.effective_n_jobs(n_jobs or -1),
            processes=False,
            dashboard_address=":0",
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@contextmanager
def _named_losses(client: Any) -> Iterator[None]:
    """Turn what follows from the end of a worker into an error that says so."""
    before = set(client.nthreads())
    try:
        yield
    except Exception as error:
        lost = sorted(before - set(client.nthreads()))
        if not lost:
            raise
        msg = (
            f"{len(lost)} of {len(before)} Dask workers ended while the trees were grown, first "
            f"{lost[0]}: fit again, on the workers that are left or new ones"
        )
        raise RuntimeError(msg) from error


def _partitions(collection: Any) -> list[Any]:
    """Delayed partitions of rows."""
    if getattr(collection, "ndim", 1) == 2 and hasattr(collection, "chunks"):
        collection = collection.rechunk({1: -1})
    blocks = collection.to_delayed()
    return list(blocks.ravel()) if isinstance(blocks, np.ndarray) else list(blocks)


def _gather(
    client: Any, X: Any, y: Any, sample_weight: Any, groups: Any
) -> tuple[DaskEvents, list[Any]]:
    """Features as float32 on the workers; target, weights and identifiers in this process."""
    from dask import delayed

    given = {
        "X": (X, _as_table),
        "y": (y, _as_array),
        "sample_weight": (sample_weight, _as_array),
        "groups": (groups, _as_identifiers),
    }
    tasks = {}
    for name, (values, reader) in given.items():
        if is_dask(values):
            read = delayed(_named(reader, name))
            tasks[name] = [read(part, k) for k, part in enumerate(_partitions(values))]
    # together, so that what they share is read once
    flat = iter(client.compute([task for parts in tasks.values() for task in parts]))
    futures = {name: [next(flat) for _ in parts] for name, parts in tasks.items()}
    lengths = client.gather(client.map(len, futures["X"], pure=False))
    if not sum(lengths):
        msg = "X has no events: nothing passed what selects them"
        raise ValueError(msg)
    gathered = []
    for name in ("y", "sample_weight", "groups"):
        values, _ = given[name]
        if name in futures:
            # cut in other places than X, if Dask reads several files of one column at a time
            values = np.concatenate(client.gather(futures[name]))
        elif name == "y":
            values = np.asarray(unmasked(values))
        if name == "y" and values.shape != (sum(lengths),):
            msg = f"y has shape {values.shape}, but X has {sum(lengths)} events"
            raise ValueError(msg)
        gathered.append(values)
    return DaskEvents(client, futures["X"], lengths, X.shape[1]), gathered


def _named(reader: Callable[[Any], Any], name: str) -> Callable[[Any, int], Any]:
    """Reader whose errors say which partition was wrong."""

    def read(part: Any, k: int) -> Any:
        try:
            return reader(part)
        except ValueError as error:
            msg = f"partition {k} of {name}: {error}"
            raise ValueError(msg) from error

    return read


def _as_table(part: Any) -> NDArray[np.float32]:
    return check_array(
        unmasked(part), dtype=np.float32, ensure_all_finite="allow-nan", ensure_min_samples=0
    )


def _as_array(part: Any) -> NDArray[Any]:
    values = np.asarray(unmasked(part))
    # one column of a table is a common way to hold a target
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def _as_identifiers(part: Any) -> NDArray[np.uint64]:
    return np.column_stack(check_event_id(part))


class DaskEvents:
    """Events whose features are float32 tables on Dask workers.

    Parameters
    ----------
    client : distributed.Client
        Where they are.
    tables : list of Future
        The tables.
    lengths : list of int
        Events of each.
    n_features : int
        Number of columns.

    Attributes
    ----------
    names : list of str or None
        Names of the columns, where the events came as a DataFrame.
    """

    def __init__(
        self, client: Any, tables: list[Any], lengths: Sequence[int], n_features: int
    ) -> None:
        kept = [k for k, length in enumerate(lengths) if length]
        self._client = client
        self._tables = [tables[k] for k in kept]
        self._edges = np.cumsum([0, *(lengths[k] for k in kept)])
        self.n_features = n_features
        self.names: list[str] | None = None

    def __len__(self) -> int:
        return int(self._edges[-1])

    def __getitem__(self, rows: Any) -> DaskEvents:
        """Take all events, those of a mask, or those at rising positions."""
        if isinstance(rows, slice):
            return self
        positions = np.flatnonzero(rows) if rows.dtype == bool else rows
        cuts = np.searchsorted(positions, self._edges)
        taken = [
            positions[cuts[k] : cuts[k + 1]] - self._edges[k] for k in range(len(self._tables))
        ]
        tables = [
            self._client.submit(np.take, table, local, axis=0, pure=False)
            for table, local in zip(self._tables, taken, strict=True)
        ]
        return DaskEvents(self._client, tables, [len(local) for local in taken], self.n_features)

    def device(self, device: str) -> str:
        """Device on the workers; xgboost chooses among several of a worker itself."""
        found = self._client.submit(resolve_device, device, pure=False).result()
        return found.partition(":")[0]

    def train(
        self,
        model: Any,
        target: NDArray[Any],
        weight: NDArray[np.float64] | None,
        params: dict[str, Any],
        n_rounds: int,
        sets: Sequence[Any],
        *,
        signed: bool,
    ) -> tuple[Any, dict[str, dict[str, list[float]]]]:
        """Train a booster on all workers that hold events, as ``train_booster`` does on one.

        With ``signed``, the weights have both signs and enter by the model's own objective.
        """
        import xgboost
        from xgboost import dask as engine

        max_bin = params["max_bin"]
        data = self._matrix(target, weight, max_bin, signed=signed)
        evals = []
        for part in sets:
            held = part.X if isinstance(part.X, DaskEvents) else self._sent(part.X)
            matrix = held._matrix(part.target, part.weight, max_bin, signed=True, ref=data)
            evals.append((matrix, part.name))
        metric_name, metric, maximize = model._metric(transformed=not signed)
        callbacks: list[Any] = []
        if evals and model.early_stopping_rounds is not None:
            callbacks.append(
                xgboost.callback.EarlyStopping(
                    rounds=model.early_stopping_rounds,
                    metric_name=metric_name,
                    data_name=evals[-1][1],
                    maximize=maximize,
                )
            )
        is_classifier = hasattr(model, "classes_")
        with _named_losses(self._client):
            result = engine.train(
                self._client,
                params,
                data,
                num_boost_round=n_rounds,
                obj=_local_objective(model._signed_training, is_classifier) if signed else None,
                evals=evals,
                custom_metric=_common_metric(metric_name, metric, is_classifier) if evals else None,
                callbacks=callbacks or None,
                verbose_eval=False,
            )
        booster = result["booster"]
        booster.set_param({"nthread": params["nthread"]})  # it has that of a worker
        history = {
            name: {k: list(v) for k, v in values.items()}
            for name, values in result["history"].items()
        }
        return booster, history

    def _matrix(
        self,
        target: NDArray[Any],
        weight: NDArray[np.float64] | None,
        max_bin: int,
        *,
        signed: bool,
        ref: Any = None,
    ) -> Any:
        """Binned events of all workers.

        The engine refuses negative weights, so signed ones travel beside the target, as the lower
        bound of a survival time, which nothing here reads otherwise.
        """
        from xgboost import dask as engine

        more = {}
        if weight is not None:
            more["label_lower_bound" if signed else "weight"] = self._spread(weight)
        return engine.DaskQuantileDMatrix(
            self._client,
            _joined(self._tables, np.diff(self._edges), self.n_features),
            self._spread(target),
            max_bin=max_bin,
            ref=ref,
            **more,
        )

    def _spread(self, values: NDArray[Any]) -> Any:
        """One number an event, in the partitions of the features."""
        inner = self._edges[1:-1]
        parts = self._client.scatter(np.split(values.astype(np.float32), inner), hash=False)
        return _joined(parts, np.diff(self._edges))

    def _sent(self, table: NDArray[np.float32]) -> DaskEvents:
        future = self._client.scatter([table], hash=False)
        return DaskEvents(self._client, future, [len(table)], self.n_features)


def _joined(futures: Sequence[Any], lengths: Iterable[int], *columns: int) -> Any:
    """Dask array of float32 parts."""
    import dask.array as da

    return da.concatenate(
        [
            da.from_delayed(future, shape=(int(length), *columns), dtype=np.float32)
            for future, length in zip(futures, lengths, strict=True)
        ]
    )


# --- on the workers, while the engine trains ----------------------------------------------------


def _held(matrix: Any, is_classifier: bool) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Target and signed weights of this worker's events."""
    target = matrix.get_label()
    weight = matrix.get_float_info("label_lower_bound").astype(np.float64)
    return target.astype(np.intp) if is_classifier else target, weight


def _local_objective(signed_training: Callable[..., Any], is_classifier: bool) -> Any:
    """Objective of the events that a worker has, made when it is first called there."""

    def objective(margin: NDArray[Any], matrix: Any) -> Any:
        if not hasattr(matrix, "own_objective"):
            with np.errstate(invalid="ignore", divide="ignore"):  # the start is that of all events
                matrix.own_objective = signed_training(*_held(matrix, is_classifier))[0]
        return matrix.own_objective(margin, matrix)

    return objective


def _common_metric(name: str, metric: Callable[..., float], is_classifier: bool) -> Any:
    """Metric of the held-out events of all workers, the same number on each of them."""

    def evaluate(prediction: NDArray[Any], matrix: Any) -> tuple[str, float]:
        if not hasattr(matrix, "all_held"):
            matrix.all_held = [_of_all_workers(part) for part in _held(matrix, is_classifier)]
        return name, metric(_of_all_workers(prediction), *matrix.all_held)

    return evaluate


def _of_all_workers(values: NDArray[Any]) -> NDArray[Any]:
    """Rows of all workers, in the order of their ranks: a sum of parts that do not overlap."""
    from xgboost import collective

    rank, n_workers = collective.get_rank(), collective.get_world_size()
    counts = np.zeros(n_workers, dtype=np.int64)
    counts[rank] = len(values)
    counts = collective.allreduce(counts, collective.Op.SUM)
    # a worker without events does not know the number of columns
    width = np.array([values.shape[1] if values.ndim == 2 and len(values) else 0], dtype=np.int64)
    n_columns = int(collective.allreduce(width, collective.Op.MAX)[0])
    start = int(counts[:rank].sum())
    whole = np.zeros((int(counts.sum()), max(n_columns, 1)), dtype=values.dtype)
    whole[start : start + len(values)] = values.reshape(len(values), whole.shape[1])
    whole = collective.allreduce(whole, collective.Op.SUM).reshape(whole.shape)
    return whole if n_columns else whole[:, 0]
