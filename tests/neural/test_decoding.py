"""Search over a trie on the device of the model: against loops over labels and beams, and against transformers."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tests.helpers.naive import neural as naive_neural  # noqa: E402
from tests.helpers.neural import DEVICE  # noqa: E402
from xclassic import LabelTree  # noqa: E402
from xclassic.neural import decoding, scoring  # noqa: E402
from xclassic.neural.choices import Choices  # noqa: E402
from xclassic.neural.decoding import search  # noqa: E402
from xclassic.neural.scoring import ChoicesOnDevice  # noqa: E402
from xclassic.neural.texts import Texts  # noqa: E402
from xclassic.neural.trie import TokenTrie, Words  # noqa: E402

END = 1
SMALL = {"vocab_size": 40, "d_model": 16, "d_kv": 4, "d_ff": 32, "num_layers": 2, "num_heads": 4}


def random_model(seed=0, kind="T5", **options):
    torch.manual_seed(seed)
    sizes = {**SMALL, **options, "decoder_start_token_id": 0, "dropout_rate": 0.0}
    config = getattr(transformers, f"{kind}Config")(**sizes)
    return getattr(transformers, f"{kind}ForConditionalGeneration")(config).eval().to(DEVICE)


def random_sequences(n, rng, longest=4):
    distinct = {tuple(rng.integers(2, 8, rng.integers(1, longest + 1)).tolist()) for _ in range(20 * n)}
    chosen = sorted(distinct)
    rng.shuffle(chosen)
    return [[*s, END] for s in chosen[:n]]


def random_rows(n, rng):
    return [[*rng.integers(2, 40, rng.integers(0, 9)).tolist(), END] for _ in range(n)]


def run(model, sequences, rows, k, beam, allowed=None):
    return search_trie(model, TokenTrie(sequences), rows, k, beam, allowed)


def search_trie(model, trie, rows, k, beam, allowed=None):
    ids, mask = Texts(rows, pad=0).batch(np.arange(len(rows)), torch.device(DEVICE))
    choices = Choices([trie])
    edges = None if allowed is None else torch.from_numpy(choices.allowed(np.array(allowed))).to(DEVICE)
    placed = ChoicesOnDevice.place(choices, model)
    labels, scores = search(model, placed, ids, mask, k=k, beam=beam, allowed=edges)
    return labels.cpu().numpy(), scores.cpu().numpy()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("options", [{}, {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}])
@pytest.mark.parametrize("gather", [0, 1000])
def test_beam_as_wide_as_the_labels_is_exhaustive(seed, options, gather, monkeypatch):
    monkeypatch.setattr(scoring, "GATHER", gather)  # products with the children alone, or with the whole vocabulary
    rng = np.random.default_rng(seed)
    model, sequences, rows = random_model(seed, **options), random_sequences(15, rng), random_rows(6, rng)
    expected = naive_neural.log_probabilities(model, rows, sequences)
    np.testing.assert_allclose(np.exp(expected).sum(axis=1), 1, rtol=1e-5)
    labels, scores = run(model, sequences, rows, k=15, beam=15)
    assert [sorted(row) for row in labels.tolist()] == [list(range(15))] * 6
    np.testing.assert_allclose(scores, np.take_along_axis(expected, labels, axis=1), atol=2e-4)
    assert (np.diff(scores, axis=1) <= 0).all()


@pytest.mark.parametrize("gather", [0, 1000])
def test_words_have_a_part_in_the_scores_of_codes(gather, monkeypatch):
    monkeypatch.setattr(scoring, "GATHER", gather)
    rng = np.random.default_rng(0)
    model, rows = random_model(), random_rows(6, rng)
    tree = LabelTree.from_codes([(0, 0), (0, 1), (1, 0), (1, 1, 0), (1, 1, 1), (2,)])
    shares = rng.random((tree.n_nodes, 3)).astype(np.float32)
    words = Words(rng.integers(2, 20, shares.shape), shares)
    trie = TokenTrie.of_codes(tree, 20, words)
    labels, scores = search_trie(model, trie, rows, k=6, beam=6)
    table = model.shared.weight.detach().clone()
    for node in range(1, tree.n_nodes):
        table[19 + node] += sum(
            share * table[word] for word, share in zip(*(part[node] for part in words), strict=True)
        )
        table[19 + node] *= 0.5**0.5
    model.lm_head.weight = torch.nn.Parameter(table)  # those of words are read no more, and codes are written alone
    sequences = [trie.tokens[path[path >= 0]].tolist() for path in tree.paths()[:, 1:]]
    expected = naive_neural.log_probabilities(model, rows, sequences)
    np.testing.assert_allclose(scores, np.take_along_axis(expected, labels, axis=1), atol=2e-4)


def paths(rng, n=12):
    """Sequences as of names that are paths: few choices, and long chains of tokens that alone can follow."""
    parts = {a: rng.integers(8, 40, rng.integers(1, 6)).tolist() for a in range(2, 8)}
    chosen = {(a, b, c) for a, b, c in rng.integers(2, 5, (n, 3)).tolist()}
    return [[2, 3, a, *parts[a], b, *parts[b + 3], c, END] for a, b, c in sorted(chosen)]


@pytest.mark.parametrize("seed", range(3))
def test_chains_take_one_step_and_have_the_scores_of_their_tokens(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    model, sequences, rows = random_model(seed), paths(rng), random_rows(6, rng)
    steps = []
    step = decoding._Decoder.step
    monkeypatch.setattr(decoding._Decoder, "step", lambda *args: steps.append(args[1].shape[2]) or step(*args))
    expected = naive_neural.log_probabilities(model, rows, sequences)
    n = len(sequences)
    labels, scores = run(model, sequences, rows, k=n, beam=n)
    np.testing.assert_allclose(scores, np.take_along_axis(expected, labels, axis=1), atol=2e-4)
    assert len(steps) <= 3 < max(steps)
    for row, found, score in zip(rows, *run(model, sequences, rows, k=2, beam=2), strict=True):
        predicted = naive_neural.beam_search(model, row, sequences, 2, 2)
        assert found.tolist() == [label for label, _ in predicted]
        np.testing.assert_allclose(score, [value for _, value in predicted], atol=2e-4)


@pytest.mark.parametrize("kind", ["MT5", "UMT5"])
def test_relatives_of_the_t5_are_searched_exhaustively(kind):
    """Position biases of their own in each layer, as in a umT5, matter most where paths have different lengths."""
    rng = np.random.default_rng(0)
    model, sequences, rows = random_model(kind=kind, num_layers=3), paths(rng), random_rows(5, rng)
    with torch.no_grad():
        for layer in decoding.self_attentions(model.get_decoder()):
            if layer.has_relative_attention_bias:
                layer.relative_attention_bias.weight.normal_(std=2.0)
    expected = naive_neural.log_probabilities(model, rows, sequences)
    n = len(sequences)
    labels, scores = run(model, sequences, rows, k=n, beam=n)
    assert [sorted(row) for row in labels.tolist()] == [list(range(n))] * 5
    np.testing.assert_allclose(scores, np.take_along_axis(expected, labels, axis=1), atol=2e-4)


@pytest.mark.parametrize("n_tries", [2, 3])
def test_product_of_tries_is_searched_exhaustively(n_tries):
    rng = np.random.default_rng(n_tries)
    model, rows = random_model(), random_rows(4, rng)
    lists = [random_sequences(4, rng), [[2, *s] for s in random_sequences(3, rng)], random_sequences(2, rng)][:n_tries]
    whole = [[]]
    for sequences in lists:
        whole = [[*a, *b] for a in whole for b in sequences]
    choices = Choices([TokenTrie(sequences) for sequences in lists])
    ids, mask = Texts(rows, pad=0).batch(np.arange(len(rows)), torch.device(DEVICE))
    placed = ChoicesOnDevice.place(choices, model)
    labels, scores = (part.cpu().numpy() for part in search(model, placed, ids, mask, k=len(whole), beam=len(whole)))
    expected = naive_neural.log_probabilities(model, rows, whole)
    np.testing.assert_allclose(np.exp(expected).sum(axis=1), 1, rtol=1e-5)
    assert [sorted(row) for row in labels.tolist()] == [list(range(len(whole)))] * len(rows)
    np.testing.assert_allclose(scores, np.take_along_axis(expected, labels, axis=1), atol=2e-4)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("beam", "k"), [(1, 1), (2, 1), (3, 3), (6, 2)])
def test_search_keeps_what_a_loop_over_beams_keeps(seed, beam, k):
    rng = np.random.default_rng(seed)
    model, sequences, rows = random_model(seed), random_sequences(20, rng), random_rows(7, rng)
    labels, scores = run(model, sequences, rows, k=k, beam=beam)
    for row, found, score in zip(rows, labels, scores, strict=True):
        expected = naive_neural.beam_search(model, row, sequences, beam, k)
        assert found[found >= 0].tolist() == [label for label, _ in expected]
        np.testing.assert_allclose(score[found >= 0], [value for _, value in expected], atol=2e-4)


@pytest.mark.parametrize("seed", range(5))
def test_search_with_a_restriction_finds_allowed_labels_with_their_scores(seed):
    rng = np.random.default_rng(seed)
    model, sequences, rows = random_model(seed), random_sequences(20, rng), random_rows(5, rng)
    allowed = sorted(rng.choice(20, 4, replace=False).tolist())
    expected = naive_neural.log_probabilities(model, rows, sequences)[:, allowed]
    labels, scores = run(model, sequences, rows, k=6, beam=6, allowed=allowed)
    assert (labels[:, 4:] == -1).all()
    assert np.isneginf(scores[:, 4:]).all()
    assert [sorted(row) for row in labels[:, :4].tolist()] == [allowed] * 5
    np.testing.assert_allclose(np.sort(scores[:, :4]), np.sort(expected), atol=2e-4)


def test_scores_do_not_depend_on_the_rows_beside():
    rng = np.random.default_rng(0)
    model, sequences, rows = random_model(), random_sequences(20, rng), random_rows(30, rng)
    labels, scores = run(model, sequences, rows, k=3, beam=4)
    for i in (0, 7, 29):
        alone = run(model, sequences, [rows[i]], k=3, beam=4)
        assert alone[0][0].tolist() == labels[i].tolist()
        np.testing.assert_allclose(alone[1][0], scores[i], atol=1e-4)


def test_ties_go_to_the_smaller_label():
    model = random_model()
    with torch.no_grad():
        model.shared.weight[5] = model.shared.weight[4]
        model.shared.weight[6] = model.shared.weight[4]
    labels, scores = run(model, [[6, END], [4, END], [5, END]], [[9, END]], k=3, beam=3)
    assert labels.tolist() == [[0, 1, 2]]
    assert len(set(scores[0].tolist())) == 1


def test_single_label_is_certain():
    labels, scores = run(random_model(), [[4, 5, END]], [[7, END], [END]], k=1, beam=1)
    assert labels.tolist() == [[0], [0]]
    assert scores.tolist() == [[0.0], [0.0]]


@pytest.mark.parametrize("options", [{}, {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}])
def test_search_agrees_with_generate_of_transformers(options):
    """The same beam search by a Python function per path and step, with scores among allowed tokens only."""
    rng = np.random.default_rng(3)
    model, sequences, rows = random_model(3, **options), random_sequences(12, rng), random_rows(4, rng)
    sequences = [s[:-1] for s in sequences if len(s) == 4]  # of one length, so that no length penalty comes in
    ids, mask = Texts(rows, pad=0).batch(np.arange(4), torch.device(DEVICE))

    def allowed(_, prefix):
        return naive_neural.continuations(sequences, prefix[1:].tolist()) or [END]

    found = model.generate(
        input_ids=ids, attention_mask=mask, prefix_allowed_tokens_fn=allowed, num_beams=4, num_return_sequences=4,
        max_new_tokens=3, renormalize_logits=True, output_scores=True, return_dict_in_generate=True, length_penalty=0.0,
    )  # fmt: skip
    expected = [sequences.index(s[1:4].tolist()) for s in found.sequences]
    labels, scores = run(model, sequences, rows, k=4, beam=4)
    assert labels.ravel().tolist() == expected
    np.testing.assert_allclose(scores.ravel(), found.sequences_scores.cpu().numpy(), atol=2e-4)
