"""Further training of a T5 on texts without labels."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array

from xclassic.networks.torch_support import choose_device, has_bfloat16, import_transformers, memory_errors, no_bars
from xclassic.neural.spans import Corruption
from xclassic.validation.parameters import check_choice, check_number, check_share
from xclassic.validation.records import check_encodable, check_texts

if TYPE_CHECKING:
    from transformers import T5Config

KNOBS = "lower batch_size and raise accumulate by as much, set gradient_checkpointing=True, or lower max_length"
MOST_SENTINELS = 100
SENTINELS = ("<extra_id_{}>", "▁<extra_id_{}>")  # Of T5 and umT5, and of mT5.


def pretrain_t5(
    texts: Any,
    folder: str | Path,
    *,
    model: str | Mapping[str, Any] | T5Config = "google-t5/t5-base",
    tokenizer: str | None = None,
    share: float = 0.15,
    span: float = 3.0,
    max_length: int = 128,
    epochs: int = 10,
    batch_size: int = 32,
    accumulate: int = 1,
    learning_rate: float = 1e-3,
    warmup: float = 0.1,
    weight_decay: float = 0.01,
    validation: float = 0.05,
    patience: int = 3,
    gradient_checkpointing: bool = False,
    checkpoint: str | Path | None = None,
    dtype: str = "auto",
    device: str | None = None,
    random_state: int = 0,
    verbose: int = 0,
) -> list[dict[str, float]]:
    r"""Train a T5 on texts without labels, before `T5Classifier` learns from those with labels.

    Some tokens of each text are taken out in spans, with a sentinel token in their place, and the model writes what is
    missing ("span corruption" [1]_): it minimizes the mean of :math:`-\log p` over the tokens to be written. Each epoch
    draws other spans. So a model of random weights learns the words of a domain where no pretrained one is at hand, and
    a pretrained one adapts to it.

    Parameters
    ----------
    texts : sequence or column of str
        Those of fewer than two tokens are left out.
    folder : str or path
        Where weights and tokenizer are written when all is done, for ``T5Classifier(model=folder)``. It must not exist,
        or be empty.
    model : str, dict or transformers.T5Config, default="google-t5/t5-base"
        Weights to start from, as for `T5Classifier`.
    tokenizer : str, optional
        Id or folder of the tokenizer, which must have sentinels as those of T5 do; by default that of `model`.
    share : float, default=0.15
        Share of the tokens that are taken out, in (0, 1); at least one of each text is.
    span : float, default=3.0
        Mean number of tokens taken out at one place, at least 1.
    max_length : int, default=128
        Most tokens of a text, at least 3; the rest is not read.
    epochs : int, default=10
        Most passes over the texts.
    batch_size : int, default=32
        Texts per step.
    accumulate : int, default=1
        Number of pieces of a batch that are computed one after another to save memory.
    learning_rate : float, default=0.001
        Peak learning rate of AdamW, above 0; for pretrained weights 0.0001 is a safer choice.
    warmup : float, default=0.1
        Share of the steps during which the learning rate rises, in [0, 1).
    weight_decay : float, default=0.01
        Weight decay of AdamW, at least 0.
    validation : float, default=0.05
        Share of the texts that are held out to choose the best epoch, in [0, 1).
    patience : int, default=3
        Epochs without improvement after which training ends.
    gradient_checkpointing : bool, default=False
        Compute activations twice to save memory.
    checkpoint : str or path, optional
        Folder for the state of training, after each epoch, every 1,000 steps and at Ctrl-C. The same call continues
        from it, to the same weights.
    dtype : {"auto", "float32", "bfloat16"}, default="auto"
        Precision of products; "auto" takes bfloat16 on GPUs that support it.
    device : str, optional
        Such as "cpu" or "cuda:1"; by default the GPU if there is one.
    random_state : int, default=0
        Seed of weights, batches, spans, held-out texts and dropout.
    verbose : int, default=0
        Above 0, show progress with the time left.

    Returns
    -------
    list of dict
        For each epoch its number, the mean loss, and the score of the held-out texts, which is minus their loss.

    Raises
    ------
    ImportError
        If PyTorch or transformers is not installed; the message says how to install it.
    OSError
        If the model cannot be loaded, or `folder` exists and is not empty.
    ValueError, TypeError
        If a parameter is out of range, no text has two tokens, the tokenizer has no sentinels, or the checkpoint is of
        another training.
    MemoryError
        If a GPU has too little memory; the message says which parameters to reduce.

    Notes
    -----
    The model chooses among the tokens of these texts alone; vectors of other tokens stay as they are. Spans may lie
    anywhere in a text, also at its beginning, unlike in [1]_, whose texts always end in one: titles are short.

    Memory: 16 bytes per weight, and for the scores 12 bytes for each distinct token of the texts and each token to be
    written of a batch.

    References
    ----------
    .. [1] C. Raffel et al., "Exploring the limits of transfer learning with a unified text-to-text transformer", JMLR
       21, 2020, section 3.1.4.

    Examples
    --------
    >>> from xclassic import T5Classifier, pretrain_t5
    >>> curve = pretrain_t5(titles, "t5-of-titles", model="google-t5/t5-small")  # doctest: +SKIP
    >>> clf = T5Classifier("t5-of-titles")  # doctest: +SKIP
    """
    import_transformers("pretrain_t5")
    from xclassic.networks.batches import BatchSampler, split_rows
    from xclassic.networks.training import Plan, key_of, train
    from xclassic.neural.network import load_network
    from xclassic.neural.span_loss import SpanLoss
    from xclassic.neural.texts import Texts
    from xclassic.neural.vocabulary import tokens_in_use

    _check(locals())
    target = _free_folder(folder)
    plain = {
        "share": share, "span": span, "max_length": max_length, "epochs": epochs, "batch_size": batch_size,
        "learning_rate": learning_rate, "warmup": warmup, "weight_decay": weight_decay, "validation": validation,
        "patience": patience, "dtype": dtype, "random_state": random_state,
    }  # fmt: skip
    given = check_texts(texts, "texts")
    check_encodable(given, "texts")
    network = load_network(model, tokenizer, random_state)
    pad = network.tokenizer.pad_token_id
    corruption = Corruption(share, span, _sentinels(network.tokenizer), network.tokenizer.eos_token_id)
    no_words = {*corruption.sentinels, corruption.end, pad}
    encoded = network.encode(given, max_length)[0]
    rows = [[token for token in row if token not in no_words] for row in encoded]
    rows = [row for row in rows if len(row) > 1]
    if not rows:
        raise ValueError(f"None of {len(given)} texts has two tokens, so there is nothing to learn.")
    flat = Texts(rows, pad)
    Y = csr_array(np.ones((len(rows), 1), np.float32))
    trained, held = split_rows(Y, validation, random_state)
    sampler = BatchSampler(
        Y, flat.lengths, rows=trained, batch_size=batch_size, positives="all", tail_share=None, tail_max=0,
        seed=random_state,
    )  # fmt: skip
    vocabulary = np.unique(np.concatenate([flat.flat, corruption.sentinels, [corruption.end]]))
    chosen = choose_device(device)
    bfloat16 = dtype == "bfloat16" or (dtype == "auto" and has_bfloat16(chosen))
    plan = Plan(
        epochs=epochs, learning_rate=learning_rate, warmup=warmup, weight_decay=weight_decay, accumulate=accumulate,
        patience=patience, bfloat16=bfloat16, seed=random_state,
        checkpoint=None if checkpoint is None else Path(checkpoint), verbose=bool(verbose),
    )  # fmt: skip
    with memory_errors(KNOBS):
        network.model.to(chosen)
        with tokens_in_use(network.model, vocabulary, new=vocabulary[:0]):
            loss = SpanLoss(
                network.model, rows, corruption, vocabulary, pad, checkpointing=bool(gradient_checkpointing)
            )
            validate = None
            if held.size:

                def validate() -> float:
                    return -loss.mean(held, random_state, batch_size)

            curve = train(network.model, loss, sampler, plan, validate, key_of(flat.flat, flat.starts, plain))
        _write(network, target)
    return curve


def _check(given: dict[str, Any]) -> None:
    least = {"max_length": 3, "epochs": 1, "batch_size": 1, "accumulate": 1, "patience": 1, "random_state": 0}
    for name, minimum in least.items():
        check_number(name, given[name], minimum=minimum, integer=True)
    check_number("learning_rate", given["learning_rate"], minimum=0, inclusive=False)
    check_number("weight_decay", given["weight_decay"], minimum=0)
    check_number("span", given["span"], minimum=1)
    check_choice("dtype", given["dtype"], ("auto", "float32", "bfloat16"))
    for name in ("share", "warmup", "validation"):
        check_share(name, given[name], inclusive=name != "share")


def _sentinels(tokenizer: Any) -> list[int]:
    """Return the tokens that mark holes, in their order."""
    known = tokenizer.get_vocab()
    for form in SENTINELS:
        names = [form.format(i) for i in range(MOST_SENTINELS)]
        found = [known[name] for name in names if name in known]
        if len(found) > 1:
            return found
    raise ValueError(f"The tokenizer has no tokens such as {SENTINELS[0].format(0)}; pass one of T5, mT5 or umT5.")


def _free_folder(folder: str | Path) -> Path:
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f"{target} exists already; name a new folder, or remove it.")
    if not target.absolute().parent.is_dir():
        raise FileNotFoundError(f"There is no folder {target.absolute().parent}.")
    return target


def _write(network: Any, target: Path) -> None:
    """Write weights and tokenizer to a folder, which appears when it is complete."""
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.absolute().parent) as made:
        whole = Path(made, "whole")
        with no_bars():
            network.model.save_pretrained(whole)
        network.tokenizer.save_pretrained(whole)
        os.replace(whole, target)
