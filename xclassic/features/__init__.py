"""Transformers that make or change features, for use before an estimator."""

from xclassic.features.agglomeration import FeatureAgglomeration
from xclassic.features.autoencoder import Autoencoder
from xclassic.features.bert import BertEncoder
from xclassic.features.fourier import FourierFeatures
from xclassic.features.label_rows import augment_with_labels
from xclassic.features.poincare import PoincareEmbedding
from xclassic.features.text import TextFeatures

__all__ = [
    "Autoencoder",
    "BertEncoder",
    "FeatureAgglomeration",
    "FourierFeatures",
    "PoincareEmbedding",
    "TextFeatures",
    "augment_with_labels",
]
