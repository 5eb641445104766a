"""Rotating cross-validation that goes on where it was interrupted."""

from pathlib import Path
from typing import Any

import joblib

from skhep_ml._files import writable_folder
from skhep_ml.export import load, save
from skhep_ml.model_selection import BayesSearchCV, RotatingClassifier


class ResumingClassifier(RotatingClassifier):
    """Keeps the model of every fold in a file, named by all that it depends on."""

    folder: Path
    fingerprint: str

    def _fit_one(self, estimator: Any, X: Any, y: Any, weight: Any, rows: Any, params: Any) -> Any:
        key = joblib.hash((self.fingerprint, X, y, weight, rows, params))
        path = self.folder / f"{key}.skml"
        if path.exists():
            return load(path)
        search = isinstance(estimator, BayesSearchCV)
        if search:
            estimator = estimator.set_params(checkpoint=str(self.folder / f"{key}.trials"))
        model = super()._fit_one(estimator, X, y, weight, rows, params)
        if search:
            model.set_params(checkpoint=None)
        save(model, path)
        return model


def fit_resuming(
    model: Any, options: dict[str, Any], folder: Path, fingerprint: str, data: dict[str, Any]
) -> RotatingClassifier:
    """Fit a `RotatingClassifier`; folds that ``folder`` already holds are read instead."""
    rotating = ResumingClassifier(model, **options)
    rotating.folder, rotating.fingerprint = writable_folder(folder), fingerprint
    rotating.fit(**data)
    plain = RotatingClassifier(**rotating.get_params(deep=False))
    for name, value in vars(rotating).items():
        if name.endswith("_"):
            setattr(plain, name, value)
    return plain
