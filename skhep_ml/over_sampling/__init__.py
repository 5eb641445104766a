"""Over-sampling and augmentation with event weights, as imbalanced-learn samplers."""

__all__: list[str] = []
