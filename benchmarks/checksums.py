"""Fit every method on bibtex, and print a checksum of each array of its model.

    python benchmarks/checksums.py > before.txt
    python benchmarks/checksums.py Parabel KNN

A change that moves code leaves all of them as they are, on one machine and with one set of packages. Some two minutes.
"""

import argparse
import json
import zlib

import numpy as np
from sklearn.pipeline import make_pipeline

import xclassic
from xclassic import Blend, FieldsClassifier, datasets, features
from xclassic.storage import registry


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    models = {
        **dict.fromkeys((*registry.ESTIMATORS, *registry.NEURAL_ESTIMATORS), method),
        **dict.fromkeys(registry.TRANSFORMERS, transformer),
    }
    models |= {"Blend": blend, "FieldsClassifier": fields}
    models.pop("BertEncoder")  # which learns nothing
    parser.add_argument("names", nargs="*", help=f"of {', '.join(models)}; by default all")
    for name in parser.parse_args().names or models:
        arrays, metadata = models[name](name)._get_arrays()
        print(f"{name} metadata {zlib.crc32(json.dumps(metadata, sort_keys=True).encode()):08x}")
        for key, array in sorted(arrays.items()):
            checksum = zlib.crc32(np.ascontiguousarray(array).tobytes())
            print(f"{name} {key} {array.dtype} {array.shape} {checksum:08x}", flush=True)


def method(name):
    """Return a fitted method; of the slow ones with fewer trees or rounds, which run the same code."""
    less = {"SLEEC": {"n_learners": 2}, "AnnexML": {"n_learners": 2}, "REML": {"rounds": 1}, "CRAFTML": {"n_trees": 10}}
    data = datasets.load_bibtex()
    return getattr(xclassic, name)(**less.get(name, {})).fit(data.X, data.Y)


def transformer(name):
    if name == "TextFeatures":
        texts = [row["title"] for row in datasets.read_records(datasets.products_file())]
        return features.TextFeatures().fit(texts)
    return getattr(features, name)().fit(datasets.load_bibtex().X)


def blend(_):
    data = datasets.load_bibtex()
    return Blend([("one", xclassic.Parabel()), ("two", xclassic.KNN())]).fit(data.X, data.Y)


def fields(_):
    rows = datasets.read_records(datasets.products_file())
    return FieldsClassifier(make_pipeline(features.TextFeatures("title"), xclassic.Parabel())).fit(rows, rows)


if __name__ == "__main__":
    main()
