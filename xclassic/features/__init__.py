"""Transformers of features, to be put in front of an estimator."""

from xclassic.features.autoencoder import Autoencoder
from xclassic.features.fourier import FourierFeatures

__all__ = ["Autoencoder", "FourierFeatures"]
