"""Whole pipelines in model folders: what comes back, what cannot be saved, and what is refused at load."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline

import xclassic
from tests.helpers.folders import read_header
from xclassic import KNN, Blend, DiSMEC, ModelFileError, OneVsRestLeastSquares, Parabel, load, predict_topk, save
from xclassic.features import Autoencoder, FourierFeatures, TextFeatures
from xclassic.storage.arrays import narrowed, pack_strings, unpack_strings, widened
from xclassic.storage.folder import load_model, save_model

TEXTS = ["moons of Jupiter", "bread and butter", "Jupiter, Saturn and moons", "rye bread", "a bread oven", "für Monde"]
LABELS = [["sky"], ["food"], ["sky", "far"], ["food"], ["kitchen", "food"], ["sky"]]
RECORDS = [{"title": text, "blurb": text[::-1], "price": i or None} for i, text in enumerate(TEXTS)]
DENSE = np.random.default_rng(0).standard_normal((6, 5)).astype(np.float32)


def text_union(weights=None):
    codes = make_pipeline(TextFeatures(preset="abstract", min_df=1), Autoencoder(2))
    return FeatureUnion([("words", TextFeatures(char_ngrams=())), ("codes", codes)], transformer_weights=weights)


def dense_union():
    codes = Autoencoder(2, activation="tanh")
    return FeatureUnion([("raw", "passthrough"), ("off", "drop"), ("codes", codes)], verbose_feature_names_out=False)


MODELS = {
    "texts": (make_pipeline(TextFeatures(), DiSMEC()), TEXTS),
    "settings": (make_pipeline(TextFeatures(char_ngrams=[2, 3], stop_words=["of"], max_features=9), Parabel()), TEXTS),
    "records": (
        make_pipeline(
            TextFeatures(["title", "blurb"], numeric=("price",), preset=("title", "abstract"), min_df=1), KNN()
        ),
        RECORDS,
    ),
    "union": (make_pipeline(text_union({"words": 1.0, "codes": 0.5}), OneVsRestLeastSquares()), TEXTS),
    "placeholders": (Pipeline([("same", "passthrough"), ("views", dense_union()), ("clf", DiSMEC())]), DENSE),
    "kernel": (make_pipeline(FourierFeatures(20), OneVsRestLeastSquares()), DENSE),
    "blend": (make_pipeline(TextFeatures(), Blend([("a", DiSMEC()), ("b", Parabel())], weights=None)), TEXTS),
    "estimator alone": (Pipeline([("only", DiSMEC())]), csr_array(DENSE)),
}


@pytest.fixture(params=MODELS)
def fitted(request):
    pipe, X = MODELS[request.param]
    return clone(pipe).fit(X, LABELS), X


def assert_same_predictions(one, other, X):
    found, expected = (predict_topk(pipe, X, 3) for pipe in (one, other))
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.scores, expected.scores)
    np.testing.assert_array_equal(one.classes_, other.classes_)


# What comes back


@pytest.mark.parametrize("verify", ["lazy", "full"])
@pytest.mark.parametrize("mmap", [True, False])
def test_pipelines_come_back(fitted, mmap, verify, tmp_path):
    pipe, X = fitted
    save(pipe, tmp_path / "model")
    copy = load(tmp_path / "model", mmap=mmap, verify=verify)
    assert type(copy) is Pipeline
    expected = repr(pipe).replace("FunctionTransformer(feature_names_out='one-to-one')", "'passthrough'")
    assert repr(copy).split() == expected.split()
    assert_same_predictions(copy, pipe, X)
    save(copy, tmp_path / "model")  # over the arrays that it has mapped
    assert_same_predictions(load(tmp_path / "model"), pipe, X)
    (header, arrays), (again, same) = load_model(tmp_path / "model"), load_model(tmp_path / "model", mmap=False)
    assert header == again
    assert not [path for path in (tmp_path / "model").iterdir() if path.suffix not in (".npy", ".json", "")]
    assert arrays.keys() == same.keys()


def test_clones_of_what_was_loaded_can_be_fitted(fitted, tmp_path):
    pipe, X = fitted
    save(pipe, tmp_path / "model")
    copy = clone(load(tmp_path / "model"))
    with pytest.raises(NotFittedError):
        predict_topk(copy, X, 1)
    assert_same_predictions(copy.fit(X, LABELS), pipe, X)


def test_transformers_come_back_alone(tmp_path):
    encoder = TextFeatures("title", numeric="price").fit(RECORDS)
    autoencoder = Autoencoder(2, activation="relu").fit(DENSE)
    fourier = FourierFeatures(7, gamma=0.5).fit(csr_array(DENSE))
    for model, X in ((encoder, RECORDS), (autoencoder, DENSE), (fourier, DENSE), (text_union().fit(TEXTS), TEXTS)):
        save(model, tmp_path / "model")
        copy = load(tmp_path / "model", verify="full")
        assert repr(copy) == repr(model)
        found, expected = copy.transform(X), model.transform(X)
        assert type(found) is type(expected)
        np.testing.assert_array_equal(csr_array(found).toarray(), csr_array(expected).toarray())
        assert list(copy.get_feature_names_out()) == list(model.get_feature_names_out())
        assert getattr(copy, "n_features_in_", None) == getattr(model, "n_features_in_", None)
    save(autoencoder, tmp_path / "model")
    np.testing.assert_array_equal(load(tmp_path / "model").errors_, autoencoder.errors_)


def test_names_of_columns_come_back(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(DENSE, columns=list("abcde"))
    save(make_pipeline(FourierFeatures(3), DiSMEC()).fit(frame, LABELS), tmp_path / "model")
    copy = load(tmp_path / "model")
    assert copy.feature_names_in_.tolist() == list("abcde")
    with pytest.raises(ValueError, match="feature names"):
        predict_topk(copy, frame[list("edcba")], 1)


def test_save_of_an_estimator_is_its_method(tmp_path):
    clf = DiSMEC().fit(DENSE, LABELS)
    save(clf, tmp_path / "one")
    clf.save(tmp_path / "other")
    (one, arrays), (other, same) = load_model(tmp_path / "one"), load_model(tmp_path / "other")
    assert one == other
    assert arrays.keys() == same.keys()
    assert all(array.tobytes() == same[name].tobytes() for name, array in arrays.items())


def test_encoder_comes_back_with_its_weights(tmp_path):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz", "moons", "bread"]
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    transformers.BertModel(transformers.BertConfig(vocab_size=len(words), **sizes)).save_pretrained(tmp_path / "bert")
    vocabulary = {word: i for i, word in enumerate(words)}
    transformers.BertTokenizerFast(vocab=vocabulary).save_pretrained(tmp_path / "bert")
    encoder = xclassic.features.BertEncoder(str(tmp_path / "bert"), device="cpu", max_length=20)
    views = FeatureUnion([("words", TextFeatures()), ("meaning", encoder)], transformer_weights={"meaning": 0.5})
    pipe = make_pipeline(views, DiSMEC()).fit(TEXTS, LABELS)
    assert views.fit_transform(TEXTS).format == "csr"
    save(pipe, tmp_path / "model")
    for folder in (tmp_path / "bert").iterdir():
        folder.unlink()
    copy = load(tmp_path / "model", verify="full")
    copy.set_params(featureunion__meaning__device="cpu")
    assert_same_predictions(copy, pipe, TEXTS)


def test_strings_survive_in_arrays():
    strings = ["", "a\nb", "für", "\0", "日本", "\ud83d"]
    arrays = pack_strings("s", strings)
    assert unpack_strings(arrays, "s", 6) == strings
    ends = arrays["s.ends"]
    for broken in (ends[:-1], ends[::-1], ends + 1, ends.astype(np.int32), np.where(ends == 3, 99, ends)):
        with pytest.raises(ValueError, match="s"):
            unpack_strings({**arrays, "s.ends": broken}, "s", 6)
    with pytest.raises(ValueError, match="utf-8"):
        unpack_strings({**arrays, "s": np.full(arrays["s"].size, 255, np.uint8)}, "s", 6)


LONG = "x" * 30_000


def size_of(folder):
    return sum(file.stat().st_size for file in folder.iterdir())


@pytest.mark.parametrize("mmap", [True, False])
def test_one_long_name_does_not_widen_the_others_in_a_folder(mmap, tmp_path):
    names = [LONG, *(f"subject {i}" for i in range(499))]
    rows = csr_array(np.eye(500, dtype=np.float32))
    clf = KNN().fit(rows, [[name] for name in names])
    save(make_pipeline("passthrough", clf), tmp_path / "model")
    assert size_of(tmp_path / "model") < 1_000_000 < clf.classes_.nbytes
    copy = load(tmp_path / "model", mmap=mmap, verify="full")
    assert copy.classes_.dtype == clf.classes_.dtype
    assert_same_predictions(copy, clf, rows)
    save(KNN().fit(rows, [[name] for name in [*names[1:], "y"]]), tmp_path / "model")
    assert not [file for file in (tmp_path / "model").iterdir() if "packed" in file.name]


def test_packed_names_that_are_damaged_are_rejected(tmp_path):
    wide = {"a.b": np.array([LONG, *"abc" * 20])}
    arrays = narrowed(wide)
    np.testing.assert_array_equal(widened(arrays)["a.b"], wide["a.b"])
    with pytest.raises(ValueError, match="out of order"):
        widened(arrays | {"a.b.packed.ends": arrays["a.b.packed.ends"][::-1]})
    plain = {"names": np.array(["a", "bc"]), "numbers": np.arange(3)}
    assert narrowed(plain) == widened(plain) == plain


def test_half_surrogate_pairs_can_be_saved(tmp_path):
    texts = ["moon \ud83d light", "moon"]
    encoder = TextFeatures().fit(texts)
    save(encoder, tmp_path / "model")
    np.testing.assert_array_equal(
        load(tmp_path / "model").transform(texts).toarray(), encoder.transform(texts).toarray()
    )


# What cannot be saved


class Mine(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        return X


class MyPipeline(Pipeline):
    pass


def namesake():
    """A transformer that only bears the name of one of ours."""
    return type("Autoencoder", (Mine,), {})()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            lambda: make_pipeline(TfidfVectorizer(), DiSMEC()).fit(TEXTS, LABELS),
            "Step 'tfidfvectorizer' is a TfidfVectorizer, which a model folder cannot hold; it holds TextFeatures, .*"
            "Instead of scikit-learn's vectorizers of text use TextFeatures",
        ),
        (lambda: make_pipeline(Mine(), DiSMEC()).fit(DENSE, LABELS), "Step 'mine' is a Mine"),
        (lambda: make_pipeline(namesake(), DiSMEC()).fit(DENSE, LABELS), "Step 'autoencoder' is a Autoencoder"),
        (lambda: make_pipeline(FeatureUnion([("in", Mine())]), DiSMEC()).fit(DENSE, LABELS), "Step 'in' is a Mine"),
        (lambda: MyPipeline([("clf", DiSMEC())]).fit(DENSE, LABELS), "The model is a MyPipeline"),
        (lambda: Mine().fit(DENSE), "The model is a Mine"),
        (lambda: "a model", "The model is a str"),
        (
            lambda: make_pipeline(FourierFeatures(3, random_state=np.random.RandomState(0))).fit(DENSE),
            r"Parameter random_state is a RandomState.*set_params\(random_state=None\)",
        ),
    ],
)
def test_save_names_what_a_folder_cannot_hold(model, message, tmp_path):
    with pytest.raises(TypeError, match=message):
        save(model(), tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_save_rejects_unfitted_models(tmp_path):
    for model in (make_pipeline(TextFeatures(), DiSMEC()), TextFeatures(), text_union()):
        with pytest.raises(NotFittedError):
            save(model, tmp_path / "model")


# What is refused at load


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Header and arrays of a pipeline with a union and a pipeline within."""
    path = tmp_path_factory.mktemp("stored") / "model"
    views = FeatureUnion(
        [
            ("fields", TextFeatures(["title", "blurb"], numeric="price")),
            ("codes", make_pipeline(TextFeatures("title"), Autoencoder(2))),
        ],
        transformer_weights={"fields": 2.0},
    )
    save(make_pipeline(views, DiSMEC()).fit(RECORDS, LABELS), path)
    return load_model(path, mmap=False)


@pytest.fixture
def load_changed(stored, monkeypatch):
    """Return a function that changes a copy of header and arrays and loads it."""

    def loaded(change, verify="lazy"):
        header, arrays = deepcopy(stored)
        change(header, arrays)
        monkeypatch.setattr("xclassic.storage.models.load_model", lambda *_, **__: (header, arrays))
        return load("model", verify=verify)

    return loaded


def fields_of(header):
    return header["steps"][0]["steps"][0]


def change_class(header, arrays):
    header["steps"][1]["class"] = "os.system"


def foreign_transformer(header, arrays):
    header["steps"][0]["steps"][1]["steps"][1]["class"] = "sklearn.decomposition.PCA"


def class_in_a_list(header, arrays):
    header["steps"][1]["class"] = ["DiSMEC"]


def too_many_steps(header, arrays):
    header["steps"] = [{"name": f"s{i}", "class": "passthrough"} for i in range(101)] + header["steps"]


def no_steps(header, arrays):
    header["steps"] = []


def steps_in_a_dict(header, arrays):
    header["steps"] = {"a": header["steps"][0]}


def more_steps_than_arrays(header, arrays):
    header["steps"].append({**header["steps"][1], "name": "again"})


def endless_nesting(header, arrays):
    part = header["steps"][1]
    for _ in range(3000):
        part = {"class": "Pipeline", "steps": [{**part, "name": "a"}]}
    header["steps"][1] = {**part, "name": "deep"}


def names_repeat(header, arrays):
    header["steps"][1]["name"] = header["steps"][0]["name"]


def estimator_first(header, arrays):
    header["steps"].reverse()


def estimator_in_a_union(header, arrays):
    header["steps"][0]["steps"][0] = {**header["steps"][1], "name": "x"}


def drop_in_a_pipeline(header, arrays):
    header["steps"][0] = {"name": "x", "class": "drop"}


def weights_are_text(header, arrays):
    header["steps"][0]["weights"] = {"fields": "heavy"}


def fewer_codes(header, arrays):
    header["steps"][0]["steps"][1]["steps"][1]["params"]["n_components"] = 3


def other_width(header, arrays):
    header["steps"][0]["steps"][1]["steps"][1]["n_features"] += 1


def fewer_terms(header, arrays):
    name = "step0.step0.terms0"
    arrays |= pack_strings(name, unpack_strings(arrays, name, arrays["step0.step0.idf0"].size)[1:])


def shorter_vocabulary(header, arrays):
    name = "step0.step1.step0.terms0"
    terms = unpack_strings(arrays, name, arrays["step0.step1.step0.idf0"].size)
    arrays |= pack_strings(name, terms[1:])
    arrays["step0.step1.step0.idf0"] = arrays["step0.step1.step0.idf0"][1:]


def terms_repeat(header, arrays):
    name = "step0.step0.terms0"
    terms = unpack_strings(arrays, name, arrays["step0.step0.idf0"].size)
    arrays |= pack_strings(name, [terms[1], *terms[1:]])


def infinite_weight(header, arrays):
    arrays["step0.step0.idf1"][0] = np.inf


def edges_fall(header, arrays):
    arrays["step0.step0.edges0"] = arrays["step0.step0.edges0"][::-1]


def a_field_without_vocabulary(header, arrays):
    fields_of(header)["facts"]["blocks"] = fields_of(header)["facts"]["blocks"][:2]


def vocabulary_of_no_field(header, arrays):
    fields_of(header)["facts"]["blocks"][0][0] = "color"


def odd_analyzer(header, arrays):
    fields_of(header)["facts"]["blocks"][0][1] = "eval"


def odd_lengths(header, arrays):
    fields_of(header)["facts"]["blocks"][0][2] = [1, 2, 3]


def unknown_parameter(header, arrays):
    fields_of(header)["params"]["tokenizer"] = "x"


def bad_parameter(header, arrays):
    fields_of(header)["params"]["stop_words"] = "klingon"


DAMAGES = [
    change_class, foreign_transformer, class_in_a_list, too_many_steps, no_steps, steps_in_a_dict,
    more_steps_than_arrays, endless_nesting, names_repeat, estimator_first, estimator_in_a_union, drop_in_a_pipeline,
    weights_are_text, fewer_codes, other_width, fewer_terms, shorter_vocabulary, terms_repeat, infinite_weight,
    edges_fall, a_field_without_vocabulary, vocabulary_of_no_field, odd_analyzer, odd_lengths, unknown_parameter,
    bad_parameter,
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_load_rejects_damaged_pipelines(damage, load_changed):
    with pytest.raises(ModelFileError):
        load_changed(damage)


def test_load_constructs_our_classes_alone(load_changed):
    with pytest.raises(ModelFileError, match=r"of class 'os.system'; version .* knows only RandomOrder, .*, Pipeline"):
        load_changed(change_class)


def test_load_needs_every_array(stored, load_changed):
    for name in stored[1]:
        with pytest.raises(ModelFileError):
            load_changed(lambda _, arrays, name=name: arrays.pop(name))


def places(value, path=()):
    """Yield the path to everything in a JSON value."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from places(child, (*path, key))


@pytest.mark.parametrize("odd", [None, True, -1, 10**30, 0.5, "x", [], [[]], {}, {"tuple": [1]}], ids=str)
def test_header_values_that_are_odd_are_rejected_or_harmless(odd, stored, load_changed):
    for path in places(stored[0]):

        def change(header, arrays, path=path):
            for key in path[:-1]:
                header = header[key]
            header[path[-1]] = odd

        try:
            pipe = load_changed(change)
        except ModelFileError:
            continue
        try:
            top = predict_topk(pipe, RECORDS, 1)
        except (TypeError, ValueError):
            continue
        assert top.n_rows == 6


def test_load_finds_flipped_bits(tmp_path):
    path = tmp_path / "model"
    pipe, X = MODELS["records"]
    save(clone(pipe).fit(X, LABELS), path)
    load(path, verify="full")
    files = [entry["file"] for entry in read_header(path)["arrays"].values()]
    for file in files:
        content = (path / file).read_bytes()
        (path / file).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(ModelFileError, match="checksum"):
            load(path, verify="full")
        (path / file).write_bytes(content)
    load(path, verify="full")


def test_model_of_a_newer_version_says_so(stored, tmp_path):
    header, arrays = deepcopy(stored)
    header["steps"][0]["class"], header["steps"][0]["version"] = "ColumnUnion", "9.0"
    save_model(tmp_path / "model", header, arrays)
    with pytest.raises(ModelFileError, match=r"written by xclassic 9.0, is of class 'ColumnUnion'"):
        load(tmp_path / "model")
