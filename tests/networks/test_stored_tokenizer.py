"""Tokenizers and networks of model folders that somebody made to take memory, to hang or to panic."""

import base64
import json
import shutil

import numpy as np
import pytest

pytest.importorskip("transformers")

from tests.golden import write
from tests.helpers.folders import edit_header, file_of, replace_array
from tests.helpers.neural import unpack_tokenizer
from xclassic import ModelFileError, load
from xclassic.networks.stored_tokenizer import read_tokenizer


@pytest.fixture(params=["T5Classifier-name", "BertEncoder"])
def folder(tmp_path, request):
    shutil.copytree(write.GOLDEN / "format-1" / request.param, tmp_path / "m")
    return tmp_path / "m"


def parts_of(folder):
    return json.loads(file_of(folder, "tokenizer.json").read_text())


def check_rejected(folder, message):
    with pytest.raises(ModelFileError, match=message):
        load(folder, verify="full")
    lazy = load(folder)
    with pytest.raises(ModelFileError, match=message):
        write.answers(lazy, ["a text"])


REPLACE = {"type": "Replace", "pattern": {"String": "o"}, "content": "o" * 100}
CHARSMAP = (8).to_bytes(4, "little") + b"\0" * 8 + b"x" * 2000


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"normalizer": {"type": "Sequence", "normalizers": [REPLACE] * 8}}, "10000000000000000 times longer"),
        (
            {"normalizer": {"type": "Sequence", "normalizers": [{"type": "Sequence", "normalizers": [REPLACE] * 2}]}},
            "10000",
        ),
        ({"normalizer": {"type": "Prepend", "prepend": "o" * 2000}}, "2001 times longer"),
        ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAAAAAA"}}, "map of characters"),
        ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "?"}}, "Error"),
        (
            {"normalizer": {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(CHARSMAP).decode()}},
            "2000 times",
        ),
        ({"normalizer": {"type": "Invented"}}, "normalizer is of type 'Invented'; known are BertNormalizer"),
        ({"normalizer": {"type": "Sequence", "normalizers": [{"content": "x"}]}}, "normalizer is of type None"),
        ({"normalizer": 7}, "normalizer is of type 7"),
        ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}] * 12}}, "4096 times longer"),
        ({"pre_tokenizer": {"type": "FixedLength", "length": 10**12}}, "has the number 1000000000000"),
        ({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "a" * 20_000}}}, "string of 20000 characters"),
        (
            {"post_processor": {"type": "TemplateProcessing", "single": [{}] * 3, "ids": [0] * 2000}},
            "more than 1000 fields",
        ),
        ({"model": None}, "model is of type None"),
        ({"added_tokens": [{"id": 2**40, "content": "x"}]}, "an added token has the id"),
        ({"added_tokens": None}, "The tokenizer is damaged"),
    ],
)
def test_hostile_tokenizers_are_rejected(folder, edit, message):
    replace_array(folder, "tokenizer.json", json.dumps(parts_of(folder) | edit).encode())
    check_rejected(folder, message)


def test_panics_of_the_library_are_errors_of_the_model(folder):
    """A trie that leads nowhere: the library panics when it meets a text, with an error that is no Exception."""
    trie = np.full(2, 2**31 - 1, np.uint32).tobytes()
    charsmap = len(trie).to_bytes(4, "little") + trie + b"x\0"
    edit = {"normalizer": {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap).decode()}}
    replace_array(folder, "tokenizer.json", json.dumps(parts_of(folder) | edit).encode())
    with pytest.raises(ModelFileError, match="The tokenizer is damaged: PanicException"):
        write.answers(load(folder), ["a text"])


def test_padding_and_cuts_of_a_stored_tokenizer_are_ignored(folder):
    rows = write.read_rows(folder)
    before = write.answers(load(folder), rows)
    padding = {"strategy": {"Fixed": 10**9}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
               "pad_type_id": 0, "pad_token": "x"}  # fmt: skip
    cuts = {"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 0}
    parts = parts_of(folder) | {"padding": padding, "truncation": cuts}
    replace_array(folder, "tokenizer.json", json.dumps(parts).encode())
    for verify in ("lazy", "full"):
        after = write.answers(load(folder, verify=verify), rows)
        for name, array in before.items():
            np.testing.assert_array_equal(after[name], array)


def test_changed_letters_of_a_tokenizer_are_found_before_it_is_parsed(folder):
    file = file_of(folder, "tokenizer.json")
    file.write_bytes(file.read_bytes().replace(b"amber", b"ember"))
    with pytest.raises(ModelFileError, match="its checksum differs"):
        load(folder)


def test_tokenizer_of_t5_is_read(tmp_path):
    unpack_tokenizer(tmp_path)
    tokenizer = read_tokenizer((tmp_path / "tokenizer.json").read_bytes())
    assert tokenizer.encode("Tea for two", add_special_tokens=False).tokens == ["▁Tea", "▁for", "▁two"]


CONFIG = [
    ("num_layers", 10**6, "arrays for 1000001 layers"),
    ("num_layers", 0, "num_layers is 0"),
    ("d_model", 2**40, "d_model"),
    ("vocab_size", 17, "the weights do not fit|18 tokens, the T5 only 17"),
    ("layer_norm_epsilon", -1.0, "layer_norm_epsilon is -1.0"),
    ("dropout_rate", 7.0, "dropout_rate is 7.0"),
    ("relative_attention_max_distance", 0, "relative_attention_max_distance is 0"),
    ("relative_attention_max_distance", 16, "or more than distances"),
    ("decoder_start_token_id", -1, "decoder_start_token_id is -1"),
    ("decoder_start_token_id", None, "decoder_start_token_id is None"),
    ("pad_token_id", 18, "pad_token_id is 18"),
    ("dense_act_fn", "invented", "dense_act_fn is 'invented'"),
    ("feed_forward_proj", "a-b-c", "feed_forward_proj"),
]


@pytest.mark.parametrize(("name", "value", "message"), CONFIG)
def test_hostile_configurations_of_t5_are_rejected(tmp_path, name, value, message):
    folder = tmp_path / "m"
    shutil.copytree(write.GOLDEN / "format-1" / "T5Classifier-name", folder)
    edit_header(folder, lambda header: header["facts"]["config"].update({name: value}))
    check_rejected(folder, message)


@pytest.mark.parametrize(
    ("name", "value"),
    [("pad_token", None), ("eos_token", None), ("eos_token", "nope"), ("unk_token", "nope"), ("pad_token", 3)],
)
def test_special_tokens_of_t5_are_those_of_its_tokenizer(tmp_path, name, value):
    folder = tmp_path / "m"
    shutil.copytree(write.GOLDEN / "format-1" / "T5Classifier-name", folder)
    edit_header(folder, lambda header: header["facts"]["special_tokens"].update({name: value}))
    check_rejected(folder, "The T5 of the model is damaged")


@pytest.mark.parametrize("name", ["T5Classifier-name", "BertEncoder"])
def test_fields_that_a_configuration_may_not_set_have_no_effect(tmp_path, name):
    folder = tmp_path / "m"
    shutil.copytree(write.GOLDEN / "format-1" / name, folder)
    rows = write.read_rows(folder)
    before = write.answers(load(folder), rows)
    foreign = {
        "attn_implementation": "someone/kernel", "_attn_implementation": "someone/kernel", "return_dict": False,
        "auto_map": {"AutoModel": "code.Model"}, "quantization_config": {"quant_method": "gptq"}, "dtype": "float16",
        "output_hidden_states": True,
    }  # fmt: skip
    edit_header(folder, lambda header: header["facts"]["config"].update(foreign))
    after = write.answers(load(folder, verify="full"), rows)
    for key, array in before.items():
        np.testing.assert_array_equal(after[key], array)


def test_encoder_reads_no_more_tokens_than_its_weights(tmp_path):
    folder = tmp_path / "m"
    shutil.copytree(write.GOLDEN / "format-1" / "BertEncoder", folder)
    edit_header(folder, lambda header: header["facts"].update(longest=17))
    check_rejected(folder, "is to read 17 tokens, and can read 16")


@pytest.mark.parametrize("template", ["{text:>1000000000}", "{text:.1000000000}", 7, "no field"])
def test_templates_of_a_folder_are_checked(folder, template):
    name = (
        "template" if "encoder" in str(json.loads((folder / "model.json").read_text())["class"]).lower() else "prompt"
    )
    edit_header(folder, lambda header: header["params"].update({name: template}))
    with pytest.raises(ModelFileError, match=r"at most 100 letters|must (be a string|name fields)"):
        load(folder)
