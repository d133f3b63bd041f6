"""Write the golden models: a small one of every class that a model folder can hold, with its answers to some rows.

    python tests/golden/write.py NAME ...

What is there already is never written again: later versions must read what earlier ones wrote. Beside the files of
the model a folder has ``rows`` (features as CSR arrays in .npz, texts and records in .json) and ``answers.npz`` (the
ranking of a classifier, the rows of a transformer).
"""

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.pipeline import FeatureUnion, make_pipeline

import xclassic
from xclassic import features, predict_topk, save
from xclassic.storage import registry

GOLDEN = Path(__file__).parent
FORMAT = GOLDEN / "format-2"  # That of `FORMAT` in xclassic/storage/folder.py; what earlier ones hold stays as it is.
K = 5
# How the names of folders begin that are read with the extra alone.
NEEDS_TORCH = (*registry.NEURAL_ESTIMATORS, "T5Classifier", "XMLCNN", "BertEncoder", "FeatureUnion")
WORDS = [
    "amber",
    "basket",
    "candle",
    "dolphin",
    "engine",
    "forest",
    "guitar",
    "hammer",
    "island",
    "jacket",
    "kettle",
    "lantern",
    "marble",
    "needle",
    "orange",
]


def matrix_problem(n_rows=60, n_features=40, n_labels=12, seed=0):
    """Sparse rows of three features that belong to each label, and noise; names of labels."""
    rng = np.random.default_rng(seed)
    dense = np.zeros((n_rows, n_features), np.float32)
    labels = [sorted(set(rng.integers(n_labels, size=1 + i % 2).tolist())) for i in range(n_rows)]
    for row, of_row in zip(dense, labels, strict=True):
        for label in of_row:
            row[3 * label : 3 * label + 3] += 0.5 + rng.random(3)
        row[rng.integers(n_features, size=2)] += rng.random(2)
    return csr_array(dense), [[WORDS[label] for label in of_row] for of_row in labels]


def text_problem(n_rows=60, n_labels=8, seed=0):
    """Texts of three words, one of which is the class."""
    rng = np.random.default_rng(seed)
    classes = [WORDS[i] for i in rng.integers(n_labels, size=n_rows)]
    return [f"{WORDS[rng.integers(8, 15)]} {name} {WORDS[rng.integers(8, 15)]}" for name in classes], np.array(classes)


def records():
    texts, classes = text_problem()
    return [
        {"text": text, "price": f"{len(text)}.5", "kind": str(name), "group": str(name[0])}
        for text, name in zip(texts, classes, strict=True)
    ]


def small(name):
    """Return an estimator of few trees, learners or dimensions, to have few bytes."""
    wanted = {
        "n_trees": 2, "n_learners": 2, "n_components": 6, "n_dimensions": 6, "max_leaf": 4, "random_state": 3,
        "branching": 3, "n_neighbors": 5, "n_bits": 9, "shortlist": 6, "width": 8,
    }  # fmt: skip
    estimator = getattr(xclassic, name)()
    known = estimator.get_params()
    return estimator.set_params(**{key: value for key, value in wanted.items() if key in known})


def on_matrix(estimator):
    X, labels = matrix_problem()
    return clone(estimator).fit(X, labels), matrix_problem(20, seed=1)[0]


def on_texts(estimator, **fit):
    texts, classes = text_problem()
    return clone(estimator).fit(texts, classes), text_problem(20, seed=1)[0]


def t5(folder, **options):
    """Return a tiny T5 with a tokenizer of words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate(["<pad>", "</s>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    config = {"d_model": 16, "d_kv": 4, "d_ff": 16, "num_layers": 1, "num_heads": 2, "dropout_rate": 0.0}
    return xclassic.T5Classifier(
        config, tokenizer=str(folder), epochs=3, learning_rate=0.01, device="cpu", prompt="{text}", **options
    )


def cnn():
    """Return a tiny network of words."""
    sizes = {"n_dimensions": 8, "n_filters": 4, "bottleneck": 8}
    return xclassic.XMLCNN(**sizes, epochs=5, learning_rate=0.01, device="cpu")


def t5_of_fields(folder):
    """Return a tiny T5 that writes one field of words beside another."""
    texts, classes = text_problem()
    table = [{"group": name, "kinds": [WORDS[8 + i % 3], WORDS[12]][: 1 + i % 2]} for i, name in enumerate(classes)]
    fields = {"group": WORDS[13], "kinds": WORDS[14]}
    clf = t5(folder, target="fields", fields=fields, path=["group"])
    return clf.fit([{"text": text} for text in texts], table), [{"text": text} for text in text_problem(20, seed=1)[0]]


def bert(folder):
    """Return an encoder of a tiny BERT."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    vocabulary = {word: i for i, word in enumerate([*special.values(), *WORDS])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=16, **special).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = BertConfig(vocab_size=len(vocabulary), max_position_embeddings=16, initializer_range=0.3, **sizes)
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return features.BertEncoder(str(folder), device="cpu", dtype="float32")


def fields():
    rows = records()
    tagger = make_pipeline(features.TextFeatures("text"), small("Parabel"))
    return xclassic.FieldsClassifier(tagger, path=("group", "kind"), fields=("price",)).fit(rows, rows), rows[:20]


def views(folder):
    union = FeatureUnion(
        [("words", features.TextFeatures()), ("rows", bert(folder))], transformer_weights={"words": 2.0}
    )
    return on_texts(union)


def records_pipeline():
    rows = records()
    pipe = make_pipeline(features.TextFeatures("text", numeric="price"), xclassic.DiSMEC())
    return pipe.fit(rows, [row["kind"] for row in rows]), rows[:20]


def categories():
    rows = records()
    encoder = features.TextFeatures("text", numeric="price", category="kind", crossed=[("kind", "group")])
    return encoder.fit(rows, [row["group"] for row in rows]), rows[:20]


def copier():
    rows = records()
    clf = xclassic.FieldsClassifier(small("Parabel"), path=(), fields=("kind",), copy={"kind": "text"})
    tagger = make_pipeline(features.TextFeatures("text"), small("Parabel"))
    return clf.set_params(estimator=tagger).fit(rows, rows), rows[:20]


def unseen():
    """Return a model with a label that no row has, 'marble', known by its features alone."""
    X, labels = matrix_problem()
    of_labels = csr_array(np.kron(np.eye(13, 14), np.ones(3))[:, : X.shape[1]])
    clf = xclassic.LabelAugmentation(small("Parabel"))
    return clf.fit(X, labels, label_features=(WORDS[:13], of_labels)), X[:20]


def blend_of_texts():
    members = [
        ("words", make_pipeline(features.TextFeatures(char_ngrams=()), xclassic.DiSMEC())),
        ("letters", make_pipeline(features.TextFeatures(ngram_range=()), small("Parabel"))),
    ]
    return on_texts(xclassic.Blend(members, random_state=3))


def blend():
    members = [("one", xclassic.DiSMEC()), ("two", xclassic.KNN(n_neighbors=5))]
    return on_matrix(xclassic.Blend(members, random_state=3))


def auto():
    members = [("one", xclassic.DiSMEC()), ("two", xclassic.KNN(n_neighbors=5))]
    return on_matrix(xclassic.AutoXMC(members=members, n_trials=2))


def calibrated():
    return on_matrix(xclassic.Calibrated(xclassic.DiSMEC(), cv=3))


def thresholded():
    return on_matrix(xclassic.ThresholdedClassifier(small("Parabel"), strategy="label", cv=2, random_state=3))


MODELS = {
    **{
        name: lambda folder, name=name: on_matrix(small(name))
        for name in (*registry.ESTIMATORS, *registry.NEURAL_ESTIMATORS)
    },
    # Six numbers for five labels would be decoded by equations that magnify rounding.
    "CompressedSensing": lambda folder: on_matrix(small("CompressedSensing").set_params(n_components=40)),
    "Parabel-int8": lambda folder: on_matrix(small("Parabel").set_params(weight_dtype="int8")),
    "AutoXMC": lambda folder: auto(),
    "Calibrated": lambda folder: calibrated(),
    "Blend": lambda folder: blend(),
    "Blend-texts": lambda folder: blend_of_texts(),
    "ThresholdedClassifier": lambda folder: thresholded(),
    "FieldsClassifier": lambda folder: fields(),
    "LabelMatcher": lambda folder: on_texts(xclassic.LabelMatcher()),
    "XMLCNN": lambda folder: on_texts(cnn()),
    "T5Classifier-name": lambda folder: on_texts(t5(folder)),
    "T5Classifier-code": lambda folder: on_texts(t5(folder, target="code", embeddings=np.eye(8), branching=3)),
    "T5Classifier-fields": t5_of_fields,
    "FieldsClassifier-copy": lambda folder: copier(),
    "LabelAugmentation-unseen": lambda folder: unseen(),
    "TextFeatures-fields": lambda folder: categories(),
    "WordVectors": lambda folder: on_texts(features.WordVectors(n_dimensions=6, random_state=3)),
    "TextFeatures": lambda folder: on_texts(features.TextFeatures()),
    "BertEncoder": lambda folder: on_texts(bert(folder)),
    "FourierFeatures": lambda folder: on_matrix(features.FourierFeatures(n_components=8, random_state=3)),
    "Autoencoder": lambda folder: on_matrix(features.Autoencoder(n_components=6, random_state=3)),
    "FeatureAgglomeration": lambda folder: on_matrix(features.FeatureAgglomeration(max_leaf=4, random_state=3)),
    "Pipeline": lambda folder: records_pipeline(),
    "FeatureUnion": views,
}


def answers(model, rows):
    """Return what a model says of rows, as arrays by name."""
    if isinstance(model, xclassic.FieldsClassifier):
        return {"records": np.array(json.dumps(model.predict(rows), sort_keys=True))}
    if getattr(model, "fields_", None):
        top, found = model.rank_fields(rows, K)
        ranked = [[found[i] for i in row] for row in top.ids.tolist()]
        return {"records": np.array(json.dumps(ranked, sort_keys=True)), "scores": top.scores}
    if hasattr(model, "predict_topk") or hasattr(model, "predict"):
        top = predict_topk(model, rows, K)
        return {
            "names": np.where(top.ids >= 0, model.classes_[top.ids], ""),
            "scores": top.scores,
            "counts": top.counts,
        }
    found = model.transform(rows)
    return {"rows": found.toarray() if hasattr(found, "toarray") else found}


def write_rows(folder, rows):
    if isinstance(rows, csr_array):
        np.savez(folder / "rows.npz", data=rows.data, indices=rows.indices, indptr=rows.indptr, shape=rows.shape)
    else:
        (folder / "rows.json").write_text(json.dumps(rows, indent=1))


def read_rows(folder):
    if (folder / "rows.json").exists():
        return json.loads((folder / "rows.json").read_text())
    with np.load(folder / "rows.npz") as rows:
        return csr_array((rows["data"], rows["indices"], rows["indptr"]), tuple(rows["shape"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(MODELS))
    for name in parser.parse_args().names:
        folder = FORMAT / name
        if folder.exists():
            continue
        with TemporaryDirectory() as temporary:
            model, rows = MODELS[name](Path(temporary))
            save(model, folder)
        np.savez(folder / "answers.npz", **answers(model, rows))
        write_rows(folder, rows)
        (folder / ".lock").unlink(missing_ok=True)
        print(name, sum(file.stat().st_size for file in folder.iterdir()) // 1024, "KB")


if __name__ == "__main__":
    main()
