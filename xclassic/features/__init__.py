"""Transformers that make or change features, for use before an estimator."""

from xclassic.features.agglomeration import FeatureAgglomeration
from xclassic.features.analyzers import register_analyzer
from xclassic.features.autoencoder import Autoencoder
from xclassic.features.bert import BertEncoder
from xclassic.features.contrastive_tuning import ContrastiveTuning
from xclassic.features.fourier import FourierFeatures
from xclassic.features.label_rows import augment_with_labels
from xclassic.features.label_tuning import LabelTuning
from xclassic.features.poincare import PoincareEmbedding
from xclassic.features.text import TextFeatures
from xclassic.features.word_vectors import WordVectors

__all__ = [
    "Autoencoder",
    "BertEncoder",
    "ContrastiveTuning",
    "FeatureAgglomeration",
    "FourierFeatures",
    "LabelTuning",
    "PoincareEmbedding",
    "TextFeatures",
    "WordVectors",
    "augment_with_labels",
    "register_analyzer",
]
