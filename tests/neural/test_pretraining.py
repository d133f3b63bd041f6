"""Further training on unlabeled texts: spans, loss, the same bits again, and the folder that a fit starts from."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xclassic.neural.spans import Corruption

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tests.helpers.neural import DEVICE, SMALL  # noqa: E402
from xclassic import T5Classifier, pretrain_t5  # noqa: E402
from xclassic.networks import training  # noqa: E402
from xclassic.neural.span_loss import SpanLoss  # noqa: E402

SENTINELS = list(range(1000, 1100))
END = 1


def rebuilt(read, written):
    """Return a text from its holes and what fills them."""
    fillings, sentinel = {}, None
    for token in written[:-1]:
        if token in SENTINELS:
            sentinel = token
            fillings[sentinel] = []
        else:
            fillings[sentinel].append(token)
    assert fillings[sentinel] == []  # the last one marks the end alone
    assert read[-1] == written[-1] == END
    return [token for place in read[:-1] for token in fillings.get(place, [place])]


@given(st.integers(2, 400), st.floats(0.01, 0.99), st.floats(1, 20), st.integers(0, 2**32))
def test_pairs_rebuild_the_text(n, share, span, seed):
    tokens = list(range(2, 2 + n))
    corruption = Corruption(share, span, SENTINELS, END)
    read, written = corruption.pair(tokens, np.random.default_rng(seed))
    assert rebuilt(read, written) == tokens
    taken = n - sum(token < 1000 for token in read[:-1])
    assert taken == min(max(round(share * n), 1), n - 1)
    used = [token for token in read if token in SENTINELS]
    assert used == SENTINELS[: len(used)] == [token for token in written if token in SENTINELS][:-1]
    assert all(b not in SENTINELS for a, b in pairwise(read) if a in SENTINELS)
    assert (read, written) == corruption.pair(tokens, np.random.default_rng(seed))


def test_shares_and_lengths_of_spans_are_those_asked_for():
    corruption, rng = Corruption(0.15, 3.0, SENTINELS, END), np.random.default_rng(0)
    drawn = [corruption.spans(100, rng) for _ in range(300)]
    assert {len(spans) for spans in drawn} == {5}
    assert {sum(stop - start for start, stop in spans) for spans in drawn} == {15}
    hit = np.zeros(100)
    for spans in drawn:
        for start, stop in spans:
            hit[start:stop] += 1 / len(drawn)
    assert hit[:10].mean() == pytest.approx(0.15, abs=0.06)  # also at the beginning and at the end
    assert hit[-10:].mean() == pytest.approx(0.15, abs=0.06)


def titles(n=80, seed=0):
    """Texts whose words follow from the first one."""
    rng = np.random.default_rng(seed)
    lines = ["green tea from the hills", "desk lamp made of brass", "plum jam in a jar", "wool rug with a rim"]
    return [lines[i] for i in rng.integers(4, size=n)]


@pytest.fixture
def quick(t5_tokenizer):
    return {
        "model": {**SMALL, "dropout_rate": 0.1}, "tokenizer": t5_tokenizer, "epochs": 3, "learning_rate": 0.01,
        "batch_size": 8, "device": DEVICE, "max_length": 32,
    }  # fmt: skip


def read_weights(folder):
    model = transformers.T5ForConditionalGeneration.from_pretrained(folder)
    return {name: p.detach().numpy() for name, p in model.named_parameters()}


def test_loss_is_that_of_transformers(t5_tokenizer):
    torch.manual_seed(0)
    sizes = {**SMALL, "vocab_size": 40, "dropout_rate": 0.0, "decoder_start_token_id": 0}
    model = transformers.T5ForConditionalGeneration(transformers.T5Config(**sizes)).to(DEVICE)
    loss = SpanLoss(model, [], Corruption(0.15, 3.0, [38, 39], END), np.arange(40), 0)
    pairs = [([5, 38, 7, END], [38, 6, 39, END]), ([38, 7, 8, 9, END], [38, 4, 3, 39, END])]
    found = loss.of_pairs(pairs).tolist()
    for value, (read, written) in zip(found, pairs, strict=True):
        ids = (torch.tensor([part], device=DEVICE) for part in (read, written))
        theirs = model(**dict(zip(("input_ids", "labels"), ids, strict=True))).loss.item()
        assert value == pytest.approx(theirs, rel=1e-4)


def test_denoising_loss_falls_and_the_folder_is_a_start(quick, tmp_path):
    curve = pretrain_t5(titles(), tmp_path / "t5", validation=0.2, **{**quick, "epochs": 8})
    assert curve[-1]["loss"] < curve[0]["loss"] / 2
    assert max(entry["score"] for entry in curve) > curve[0]["score"]
    texts, classes = ["green tea", "desk lamp"] * 10, ["Tea", "Lamps"] * 10
    clf = T5Classifier(str(tmp_path / "t5"), epochs=1, learning_rate=1e-12, device=DEVICE).fit(texts, classes)
    learned = read_weights(tmp_path / "t5")
    assert clf._network.model.config.dropout_rate == 0.1
    for name, parameter in clf._network.model.named_parameters():
        np.testing.assert_allclose(parameter.detach().cpu(), learned[name], atol=1e-6)
    with pytest.raises(FileExistsError, match="exists already"):
        pretrain_t5(titles(), tmp_path / "t5", **quick)


def test_the_same_bits_again_and_after_an_interrupt(quick, tmp_path, monkeypatch):
    torch.manual_seed(3)
    curve = pretrain_t5(titles(), tmp_path / "one", **quick)
    after = torch.rand(1)
    torch.manual_seed(3)
    assert torch.rand(1) == after
    taken, one_step = [], training._Run.one_step

    def failing(run, batch):
        taken.append(1)
        if len(taken) == 14:
            raise KeyboardInterrupt
        return one_step(run, batch)

    with monkeypatch.context() as patched:
        patched.setattr(training._Run, "one_step", failing)
        with pytest.raises(KeyboardInterrupt):
            pretrain_t5(titles(), tmp_path / "two", checkpoint=tmp_path / "state", **quick)
    assert not (tmp_path / "two").exists()
    assert pretrain_t5(titles(), tmp_path / "two", checkpoint=tmp_path / "state", **quick) == curve
    again = read_weights(tmp_path / "two")
    for name, array in read_weights(tmp_path / "one").items():
        np.testing.assert_array_equal(array, again[name])
    with pytest.raises(ValueError, match="made with other data or other parameters"):
        pretrain_t5(titles()[1:], tmp_path / "three", checkpoint=tmp_path / "state", **quick)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"share": 0}, ValueError, "share"),
        ({"share": 1.0}, ValueError, "share is 1.0; it must be below 1"),
        ({"span": 0.5}, ValueError, "span"),
        ({"epochs": 0}, ValueError, "epochs"),
        ({"texts": ["", ""]}, ValueError, "None of 2 texts has two tokens"),
        ({"texts": "tea"}, TypeError, "texts is one str"),
        ({"folder": "/nowhere/at/all"}, FileNotFoundError, "no folder /nowhere/at"),
    ],
)
def test_pretraining_rejects_bad_input(quick, tmp_path, change, error, message):
    with pytest.raises(error, match=message):
        pretrain_t5(**{"texts": titles(8), "folder": tmp_path / "t5", **quick, **change})


def test_tokenizers_without_sentinels_are_refused(quick, tmp_path):
    from tokenizers import Tokenizer, models

    words = {"</s>": 0, "<pad>": 1, "<unk>": 2, "tea": 3}
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<unk>")), eos_token="</s>", pad_token="<pad>",
        unk_token="<unk>",
    )  # fmt: skip
    tokenizer.save_pretrained(tmp_path / "words")
    with pytest.raises(ValueError, match="no tokens such as <extra_id_0>; pass one of T5, mT5 or umT5"):
        pretrain_t5(titles(8), tmp_path / "t5", **{**quick, "tokenizer": str(tmp_path / "words")})
