"""Constrained decoding: rows per second of `xclassic` and of ``generate`` with a function of allowed tokens.

Both search the same labels with the same T5 of random weights, the same beam and the same batches of texts, in turn.
``generate`` is given the end of a name as another token, as it must be; its scores are normalized over the allowed
tokens, so that both predict the same but for the length of beams.

    python benchmarks/decoding.py --data-dir DATA --tokenizer FOLDER
"""

import argparse
import json
import lzma
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from transformers import AutoTokenizer, T5Config, T5ForConditionalGeneration

from xclassic.label_tree import kmeans_tree
from xclassic.neural.choices import Choices
from xclassic.neural.decoding import search
from xclassic.neural.network import add_tokens
from xclassic.neural.scoring import ChoicesOnDevice
from xclassic.neural.targets import name_sequences
from xclassic.neural.texts import Texts
from xclassic.neural.trie import TokenTrie


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="folder with bigbasket/train.jsonl.xz")
    parser.add_argument("--tokenizer", required=True, help="folder or id of the tokenizer of T5")
    parser.add_argument("--target", choices=["name", "code"], nargs="+", default=["name", "code"])
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--beam", type=int, default=10)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--d-model", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    with lzma.open(options.data_dir / "bigbasket" / "train.jsonl.xz", "rt", encoding="utf8") as lines:
        records = [json.loads(line) for line in lines]
    tokenizer = AutoTokenizer.from_pretrained(options.tokenizer)
    names = sorted({record["type"] for record in records})
    rows = tokenizer([record["title"] for record in records[: options.rows]])["input_ids"]
    model = random_t5(options, len(tokenizer))
    for target in options.target:
        trie = TokenTrie(name_sequences(names, tokenizer)) if target == "name" else codes(names, model)
        sizes = {"batch": options.batch, "beam": options.beam}
        runs = {"xclassic": ours(model, trie, rows, **sizes), "generate": theirs(model, trie, rows, **sizes)}
        speed = {name: [] for name in runs}
        predictions = {}
        for _ in range(options.repeat):
            for name, run in runs.items():
                started = time.perf_counter()
                predictions[name] = run()
                speed[name].append(len(rows) / (time.perf_counter() - started))
        rates = {name: median(values) for name, values in speed.items()}
        same = np.mean([a == b for a, b in zip(predictions["xclassic"], predictions["generate"], strict=True)])
        print(
            f"{target}: {len(names)} labels, beam {options.beam}, {options.device}: "
            f"xclassic {rates['xclassic']:.1f} rows/s, generate {rates['generate']:.1f} rows/s, "
            f"ratio {rates['xclassic'] / rates['generate']:.1f}; the same best label in {100 * same:.1f} % of rows"
        )


def random_t5(options, n_tokens):
    torch.manual_seed(0)
    d = options.d_model
    config = T5Config(
        vocab_size=n_tokens, d_model=d, d_kv=64, d_ff=4 * d, num_layers=options.layers, num_heads=max(1, d // 64),
        decoder_start_token_id=0,
    )  # fmt: skip
    return T5ForConditionalGeneration(config).eval().to(options.device)


def codes(names, model):
    letters = make_pipeline(TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4)), TruncatedSVD(50, random_state=0))
    vectors = np.ascontiguousarray(letters.fit_transform(names), np.float32)
    tree = kmeans_tree(vectors, branching=6, max_leaf=6, balanced=False)
    return TokenTrie.of_codes(tree, add_tokens(model, tree.n_nodes - 1, seed=0))


def ours(model, trie, rows, *, batch, beam):
    placed = ChoicesOnDevice.place(Choices([trie]), model)
    texts = Texts(rows, pad=0)

    def run():
        predictions = []
        for start in range(0, len(rows), batch):
            ids, mask = texts.batch(np.arange(start, min(start + batch, len(rows))), model.device)
            labels, _ = search(model, placed, ids, mask, k=1, beam=beam)
            predictions += labels[:, 0].tolist()
        return predictions

    return run


def theirs(model, trie, rows, *, batch, beam):
    end = model.config.eos_token_id
    sequences = [trie.tokens[nodes[nodes >= 0]].tolist() for nodes in trie.tree.paths()[:, 1:]]
    following = {}
    for sequence in sequences:
        for n in range(len(sequence)):
            following.setdefault(tuple(sequence[:n]), set()).add(sequence[n])
    allowed = {prefix: sorted(tokens) for prefix, tokens in following.items()}
    label_of = {tuple(sequence): label for label, sequence in enumerate(sequences)}
    texts = Texts(rows, pad=0)

    def next_tokens(_, written):
        return allowed.get(tuple(written[1:].tolist()), [end])

    def run():
        predictions = []
        for start in range(0, len(rows), batch):
            ids, mask = texts.batch(np.arange(start, min(start + batch, len(rows))), model.device)
            found = model.generate(
                input_ids=ids, attention_mask=mask, prefix_allowed_tokens_fn=next_tokens, num_beams=beam,
                max_new_tokens=1 + max(map(len, sequences)), renormalize_logits=True, length_penalty=0.0,
            )  # fmt: skip
            for written in found[:, 1:].tolist():
                ends = [n for n in range(1, len(written) + 1) if tuple(written[:n]) in label_of]
                predictions.append(label_of[tuple(written[: ends[0]])])
        return predictions

    return run


if __name__ == "__main__":
    main()
