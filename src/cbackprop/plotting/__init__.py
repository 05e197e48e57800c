"""Training curves, as figures and as text."""

from .curve import TrainingCurveDisplay

__all__ = ["TrainingCurveDisplay"]
