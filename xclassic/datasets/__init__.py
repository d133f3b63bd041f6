"""Data sets: the field's file formats, text tables, bundled data, and splits that keep rare labels in train."""

from xclassic.datasets._files import DataFileError
from xclassic.datasets.description import describe
from xclassic.datasets.folders import Dataset, load, load_bibtex, read_npz
from xclassic.datasets.matrices import open_matrix, write_matrix
from xclassic.datasets.reservoir import Reservoir
from xclassic.datasets.split import reveal_labels, stratified_kfold, stratified_split
from xclassic.datasets.texts import products_file, read_records, read_texts
from xclassic.datasets.weights import split_weights
from xclassic.datasets.word_vectors import read_word_vectors
from xclassic.datasets.xmc import read_filter, read_split, read_xmc, write_xmc

__all__ = [
    "DataFileError",
    "Dataset",
    "Reservoir",
    "describe",
    "load",
    "load_bibtex",
    "open_matrix",
    "products_file",
    "read_filter",
    "read_npz",
    "read_records",
    "read_split",
    "read_texts",
    "read_word_vectors",
    "read_xmc",
    "reveal_labels",
    "split_weights",
    "stratified_kfold",
    "stratified_split",
    "write_matrix",
    "write_xmc",
]
