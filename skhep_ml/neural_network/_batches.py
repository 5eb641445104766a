"""Which events a net trains on and looks at, and in which batches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from skorch import NeuralNet
from torch import Tensor
from torch.utils.data import DataLoader

from skhep_ml.neural_network._dataset import BatchIterator, EventDataset, unwrap
from skhep_ml.neural_network._prepare import automatic_batch_size

# in evaluation no gradients are kept, and larger batches of a table cost less overhead
_EVALUATION_BATCH = {"cpu": 4096, "cuda": 65536}


class Batches(NeuralNet):
    """Gives skorch's loop its events, as slices of tensors where they are tensors."""

    batch_size: Any

    def get_split_datasets(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """Events for training and validation."""
        run = self._run
        if run is not None:
            by_skorch = self.train_split and not self.early_stopping
            if run.valid is not None or not by_skorch or not isinstance(run.train, EventDataset):
                return run.train, run.valid
            y = run.train.y.cpu().numpy()
        return super().get_split_datasets(X, y, **fit_params)

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Batches of a dataset: slices of tensors, or skorch's way for anything else."""
        iterator = self.iterator_train if training else self.iterator_valid
        if iterator is not BatchIterator:
            if self.batch_size != "auto":
                return super().get_iterator(dataset, training)
            with self._batch_size_set(dataset):
                return super().get_iterator(dataset, training)
        prefix = "iterator_train" if training else "iterator_valid"
        options = self.get_params_for(prefix)
        size = options.pop("batch_size", None) or self._batch_size(dataset, training)
        if not isinstance(unwrap(dataset)[0], EventDataset):
            return DataLoader(dataset, size, **{"shuffle": training, **options})
        if training:
            options = {"shuffle": True, "by_weight": self.sampling == "weight", **options}
            if self._run is not None:
                options.setdefault("generator", self._run.generator)
            if size > 1 and len(dataset) % size == 1:
                # batch norm knows no variance of one event
                options.setdefault("drop_last", True)
        return BatchIterator(dataset, size, device=self.device_, **options)

    @contextmanager
    def _batch_size_set(self, dataset: Any) -> Iterator[None]:
        self.batch_size = self._batch_size(dataset, True)
        try:
            yield
        finally:
            self.batch_size = "auto"

    def _batch_size(self, dataset: Any, training: bool) -> int:
        if training and self._run is not None:
            size = self._run.batch_size
        elif self.batch_size == "auto":
            size = automatic_batch_size(dataset, self.device_)
        else:
            size = self.batch_size
        if size == -1:
            return len(dataset)
        inputs = getattr(unwrap(dataset)[0], "inputs", None)
        if not training and isinstance(inputs, Tensor) and inputs.ndim == 2:
            # members multiply what the hidden layers hold
            n_members = getattr(self.module_, "n_members", 1)
            size = max(size, _EVALUATION_BATCH[self.device_.partition(":")[0]] // n_members)
        return size
