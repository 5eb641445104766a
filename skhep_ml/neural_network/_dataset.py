"""Events as tensors, and batches of them as slices: no loop over rows in Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset

Inputs = Tensor | dict[str, Tensor]

# bytes gathered at once: several small batches cost one gather, and the result stays in the cache
_CHUNK_BYTES = 1 << 20
# the same where chunks travel to another device
_TRANSFER_BYTES = 64 << 20

#: Keys under which event weights, and columns to decorrelate from, travel with the inputs.
WEIGHT = "sample_weight"
NUISANCE = "decorrelate"


class EventDataset(Dataset):
    """Inputs, target and whatever else belongs to events, as tensors of one length.

    Parameters
    ----------
    inputs : Tensor or dict of str to Tensor
        One input, or several by name; axis 0 counts events.
    target : Tensor, default=None
        Target of each event.
    extras : dict of str to Tensor, default=None
        Other tensors that travel with the inputs of a batch, such as `WEIGHT`.
    """

    def __init__(
        self, inputs: Inputs, target: Tensor | None, extras: dict[str, Tensor] | None = None
    ) -> None:
        self.inputs = inputs
        self.target = target
        self.extras = dict(extras or {})
        self._length = len(_as_dict(inputs)[next(iter(_as_dict(inputs)))])

    @property
    def X(self) -> Any:
        """Inputs as skorch knows them: a dict where there are extras or several inputs."""
        return {**_as_dict(self.inputs), **self.extras} if self._named else self.inputs

    @property
    def y(self) -> Tensor:
        """Target, zeros where there is none."""
        return torch.zeros(len(self)) if self.target is None else self.target

    @property
    def _named(self) -> bool:
        return bool(self.extras) or isinstance(self.inputs, dict)

    def tensors(self) -> list[Tensor]:
        """Inputs, extras, and the target if there is one."""
        targets = [] if self.target is None else [self.target]
        return [*_as_dict(self.inputs).values(), *self.extras.values(), *targets]

    def batch(self, tensors: tuple[Tensor, ...]) -> tuple[Any, Tensor]:
        """Arrange rows of `tensors` as a batch: (inputs, target)."""
        target = tensors[-1]
        if self.target is None:
            target = tensors[0].new_zeros(len(tensors[0]))
        if not self._named:
            return tensors[0], target
        names = [*_as_dict(self.inputs), *self.extras]
        return dict(zip(names, tensors, strict=False)), target

    def to(self, device: str) -> EventDataset:
        """The same events on another device."""
        inputs = {name: tensor.to(device) for name, tensor in _as_dict(self.inputs).items()}
        return EventDataset(
            inputs if isinstance(self.inputs, dict) else inputs["X"],
            None if self.target is None else self.target.to(device),
            {name: tensor.to(device) for name, tensor in self.extras.items()},
        )

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: Any) -> tuple[Any, Tensor]:
        X = self.X
        rows = {k: v[index] for k, v in X.items()} if isinstance(X, dict) else X[index]
        return rows, self.y[index]


def _as_dict(inputs: Inputs) -> Mapping[str, Tensor]:
    return inputs if isinstance(inputs, dict) else {"X": inputs}


def unwrap(dataset: Any) -> tuple[Any, Tensor | None]:
    """Dataset below nested `torch.utils.data.Subset`, and its rows (None for all)."""
    rows: Tensor | None = None
    while isinstance(dataset, Subset):
        indices = torch.as_tensor(dataset.indices)
        rows = indices if rows is None else indices[rows]
        dataset = dataset.dataset
    return dataset, rows


def module_inputs(X: Any) -> Any:
    """What the module sees of a batch: no weights and the like, one input without its name."""
    if not isinstance(X, dict):
        return X
    left = {name: part for name, part in X.items() if name not in (WEIGHT, NUISANCE)}
    return left["X"] if left.keys() == {"X"} else left


def first_output(output: Any) -> Tensor:
    """Output of a module, or the first of several: logits or predictions."""
    return output[0] if isinstance(output, tuple) else output


class BatchIterator:
    """Batches of an `EventDataset` as slices of tensors.

    Parameters
    ----------
    dataset : EventDataset or Subset of one
        Events.
    batch_size : int
        Events in a batch; the last one may be smaller.
    shuffle : bool, default=False
        Whether to draw a new order each time.
    by_weight : bool, default=False
        Draw events with replacement, in proportion to abs(weight): the weights of a batch are then
        of equal size, with their signs. For weights that span orders of magnitude.
    drop_last : bool, default=False
        Leave out a smaller last batch, if it is not the only one.
    generator : torch.Generator, default=None
        Source of the order, on the CPU; None takes torch's global one.
    device : str, default=None
        Where batches are wanted; None keeps them where the data are. Data elsewhere travel in
        chunks, the next one while the present one is in use.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        *,
        shuffle: bool = False,
        by_weight: bool = False,
        drop_last: bool = False,
        generator: torch.Generator | None = None,
        device: str | None = None,
    ) -> None:
        self.dataset, self.rows = unwrap(dataset)
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.by_weight = by_weight and WEIGHT in self.dataset.extras
        self.drop_last = drop_last
        self.generator = generator
        self.device = None if device is None else torch.device(device)

    @property
    def n_events(self) -> int:
        """Events in one pass."""
        return len(self.dataset) if self.rows is None else len(self.rows)

    def __len__(self) -> int:
        full, rest = divmod(self.n_events, self.batch_size)
        return full if full and (self.drop_last or not rest) else full + 1

    def __iter__(self) -> Iterator[tuple[Any, Tensor]]:
        order = self._order()
        tensors = self.dataset.tensors()
        if self.by_weight:
            weight = self.dataset.extras[WEIGHT]
            tensors = [self._equal_weights(t) if t is weight else t for t in tensors]
        home = tensors[0].device
        travels = self.device is not None and self.device.type != home.type
        n = len(self) * self.batch_size if self.drop_last else self.n_events
        row_bytes = sum(t[:1].numel() * t.element_size() for t in tensors)
        size = _TRANSFER_BYTES if travels else _CHUNK_BYTES
        chunk = max(1, size // max(1, row_bytes * self.batch_size)) * self.batch_size
        if order is None and not travels:
            chunk = max(n, 1)
        elif order is not None:
            order = order.to(home)

        def gather(start: int) -> list[Tensor]:
            stop = min(start + chunk, n)
            if order is None:
                parts = [t[start:stop] for t in tensors]
            else:
                rows = order[start:stop]
                parts = [t.index_select(0, rows) for t in tensors]
            if travels:
                parts = [t.pin_memory().to(self.device, non_blocking=True) for t in parts]
            return parts

        for parts in _prefetched(gather, range(0, n, chunk), travels):
            for rows in zip(*(t.split(self.batch_size) for t in parts), strict=True):
                yield self.dataset.batch(rows)

    def _order(self) -> Tensor | None:
        n = self.n_events
        if self.by_weight:
            size = self.dataset.extras[WEIGHT].abs().cpu()
            size = size if self.rows is None else size[self.rows]
            # multinomial of torch is limited to 2^24 categories
            edges = torch.cumsum(size.double(), 0)
            u = torch.rand(n, dtype=torch.float64, generator=self.generator) * edges[-1]
            order = torch.searchsorted(edges, u, right=True).clamp_(max=n - 1)
        elif self.shuffle:
            order = torch.randperm(n, generator=self.generator)
        else:
            return self.rows
        return order if self.rows is None else self.rows[order]

    def _equal_weights(self, weight: Tensor) -> Tensor:
        used = weight if self.rows is None else weight[self.rows.to(weight.device)]
        return torch.sign(weight) * used.abs().mean()


def _prefetched(gather: Any, starts: range, ahead: bool) -> Iterator[list[Tensor]]:
    """Chunks in order; with ``ahead`` a thread prepares the next one."""
    if not ahead:
        for start in starts:
            yield gather(start)
        return
    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(gather, start) for start in starts[:1]]
        for start in starts[1:]:
            waiting.append(pool.submit(gather, start))
            yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()
