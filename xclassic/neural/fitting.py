"""Training of the network of a `T5Classifier`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic.networks.batches import BatchSampler, split_rows
from xclassic.networks.lora import low_rank
from xclassic.networks.training import Plan, key_of, train
from xclassic.neural.path_loss import PathLoss
from xclassic.neural.texts import Texts
from xclassic.neural.vocabulary import tokens_in_use

if TYPE_CHECKING:
    from xclassic.neural.t5 import T5Classifier

UNSEEN = ("verbose", "n_jobs", "beam", "accumulate", "gradient_checkpointing")  # by the weights that training ends with


def fit_network(clf: T5Classifier, tokens: list[list[int]], Y: csr_array) -> list[dict[str, float]]:
    """Train a network in place.

    Parameters
    ----------
    clf : T5Classifier
        It has a network on its device, and the sequences of the labels.
    tokens : list of list of int
        Tokens of each text.
    Y : csr_array, shape (n_rows, n_labels)

    Returns
    -------
    list of dict
        The ``curve_`` of the `T5Classifier`.
    """
    model = clf._network.model
    trained_rows, held_rows = split_rows(Y, clf.validation, clf.random_state)
    texts = Texts(tokens, clf._network.tokenizer.pad_token_id)
    sampler = BatchSampler(
        Y,
        texts.lengths,
        rows=trained_rows,
        batch_size=clf.batch_size,
        positives=clf.positives,
        tail_share=clf.tail_share,
        tail_max=clf.tail_max,
        seed=clf.random_state,
    )
    plan = Plan.of(clf, bfloat16=clf._bfloat16(model.device))
    plain = {name: value for name, value in clf.get_params().items() if name not in (*clf._not_saved, *UNSEEN)}
    trie, choices = clf.trie_, clf._written
    written = [part.tokens for part in choices.tries]
    key = key_of(texts.flat, texts.starts, Y.indptr, Y.indices, *written, *(trie.words or ()), plain)
    new = clf._target.new_tokens(trie)
    with (
        low_rank(model, clf.lora_rank, clf.random_state),
        tokens_in_use(model, texts.flat, choices.used_tokens, new=new),
    ):
        validate = partial(_validation_score, clf, tokens, Y, held_rows) if held_rows.size else None
        parts = clf._target.parts if clf._is_product() else None
        loss = PathLoss(model, choices, texts, parts, checkpointing=bool(clf.gradient_checkpointing))
        return train(model, loss, sampler, plan, validate, key)


def _validation_score(clf: T5Classifier, tokens: list[list[int]], Y: csr_array, rows: NDArray[np.int64]) -> float:
    counts = np.bincount(Y.indices, minlength=Y.shape[1])
    truth = Y[rows]
    if clf.stop_on == "tail":
        tail = truth.multiply(counts <= clf.tail_max).tocsr()
        with_tail = np.flatnonzero(tail.sum(axis=1))
        if with_tail.size:
            rows, truth = rows[with_tail], tail[with_tail]
    best = clf._search(clf._written, [tokens[row] for row in rows], 1)[0][:, 0]
    if clf._is_product():
        best = clf._target.classes_of(best)
    hits = csr_array((best >= 0, (np.arange(best.size), np.maximum(best, 0))), truth.shape)
    return float(hits.multiply(truth).sum() / rows.size)
