"""Rotating cross-validation that goes on where it was interrupted."""

from pathlib import Path
from typing import Any

import joblib
from sklearn.base import clone

from skhep_ml._files import writable_folder
from skhep_ml.export import load, save
from skhep_ml.model_selection import BayesSearchCV, RotatingClassifier


class Folds:
    """Folder of the models of folds; a run touches those that it uses."""

    def __init__(self, folder: Path) -> None:
        self.folder = writable_folder(folder)
        # the clock that matters is that of the file system
        start = self.folder / ".start"
        start.touch()
        self._start = start.stat().st_mtime_ns
        start.unlink()

    def used(self) -> list[str]:
        """Names of the files that this run has made or read."""
        return sorted(path.name for path in self.folder.glob("*.skml") if self._is_used(path))

    def clear(self) -> None:
        """Take away what other settings left, and the trials of searches that are finished."""
        for path in [*self.folder.glob("*.skml"), *self.folder.glob("*.trials")]:
            if path.suffix == ".trials" or not self._is_used(path):
                path.unlink(missing_ok=True)

    def _is_used(self, path: Path) -> bool:
        return path.stat().st_mtime_ns >= self._start


class ResumingClassifier(RotatingClassifier):
    """Keeps the model of every fold in a file, named by all that it depends on."""

    folder: Path
    fingerprint: str

    def _fit_one(self, estimator: Any, X: Any, y: Any, weight: Any, rows: Any, params: Any) -> Any:
        key = joblib.hash((self.fingerprint, X, y, weight, rows, params))
        path = self.folder / f"{key}.skml"
        if path.exists():
            path.touch()
            return load(path)
        search = isinstance(estimator, BayesSearchCV)
        if search:
            checkpoint = str(self.folder / f"{key}.trials")
            estimator = clone(estimator).set_params(checkpoint=checkpoint)
        model = super()._fit_one(estimator, X, y, weight, rows, params)
        if search:
            model.set_params(checkpoint=None)
        try:
            save(model, path)
        except TypeError as error:
            msg = f"this model cannot be kept in a file: {error}"
            raise ValueError(msg) from error
        return model


def fit_resuming(
    model: Any, options: dict[str, Any], folds: Folds, fingerprint: str, data: dict[str, Any]
) -> RotatingClassifier:
    """Fit a `RotatingClassifier`; those of ``folds`` that are there are read instead."""
    rotating = ResumingClassifier(model, **options)
    rotating.folder, rotating.fingerprint = folds.folder, fingerprint
    rotating.fit(**data)
    plain = RotatingClassifier(**rotating.get_params(deep=False))
    for name, value in vars(rotating).items():
        if name.endswith("_"):
            setattr(plain, name, value)
    return plain
