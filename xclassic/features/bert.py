"""Vectors of texts from a pretrained BERT or a similar encoder, as it is or tuned to labels."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from xclassic.features.encoder_network import (
    EncoderNetwork,
    batches_of,
    check_finite,
    pretrained,
    restored,
    run_batches,
)
from xclassic.features.tuning import Tuning
from xclassic.features.vector_cache import VectorCache, Vectors
from xclassic.networks.torch_support import choose_device, has_bfloat16, import_transformers, memory_errors
from xclassic.parallel import fork_safe_lock
from xclassic.storage.folder import Arrays, ModelFileError, Verify
from xclassic.validation.labels import Target, check_target
from xclassic.validation.parameters import check_choice, check_common, check_number, check_type
from xclassic.validation.records import (
    ReadsTexts,
    check_encodable,
    check_texts,
    fill_template,
    is_records,
    template_fields,
)

Texts = NDArray[np.object_]
Tokens = NDArray[np.int32]
Metadata = dict[str, Any]

CACHE_FORMAT = 1  # Version of the cached rows; raise it when rows change.

LOADING = fork_safe_lock()  # Held while a model is loaded, because transformers is not made to load two at a time.


class BertEncoder(ReadsTexts, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    r"""Rows of features for texts, from a pretrained BERT or a similar encoder.

    The row of a text is the mean of the vectors that the last layer gives its tokens, scaled to unit length, so that
    products of rows are cosines. Nothing is learned here unless `tuning` is given; a classifier on top learns how the
    rows relate to the labels.

    Parameters
    ----------
    model : str or path, default="sentence-transformers/all-MiniLM-L6-v2"
        A folder with configuration, weights and tokenizer, or the id of a model on the Hugging Face hub, which is taken
        from its cache or downloaded. BERT, RoBERTa, XLM-R, MPNet, DistilBERT, DeBERTa, ModernBERT and other encoders of
        that kind; code that comes with a model is not run. None in an encoder that was loaded from a model folder means
        the weights of the folder.
    template : str, optional
        Template that makes texts of records, such as ``"{title} {brand}"``; `X` is then a DataFrame or a list of dicts.
        By default `X` holds texts.
    pooling : {"mean", "cls"}, default="mean"
        The mean over all tokens, or the vector of the first one. A model's card says which one it was trained for.
    max_length : int, optional
        Most tokens of a text, including the ones that the tokenizer adds at its ends; the rest of a longer text is left
        out. By default as many as the model can read, which is 512 for most models.
    max_windows : int, default=1
        Read a longer text in up to so many windows of `max_length` tokens each, and take the mean of their rows, each
        counted by its tokens. Computation grows with the tokens read.
    normalize : bool, default=True
        Scale rows to unit length.
    tuning : LabelTuning or ContrastiveTuning, optional
        How ``fit(X, y)`` trains the encoder on labels, so that rows tell apart what the labels do. By default nothing
        is learned, and `y` is ignored.
    batch_tokens : int, optional
        Tokens that each thread processes at a time, including padding; by default 2048 on a CPU, 32768 elsewhere. Rows
        depend on it only by rounding.
    device : str, optional
        A device such as ``"cpu"`` or ``"cuda:1"``; by default the GPU if there is one.
    dtype : {"auto", "float32", "bfloat16"}, default="auto"
        Type of weights and computation; ``"auto"`` is bfloat16 on GPUs that have it, which is several times as fast and
        right to two or three digits, else float32.
    cache : str or path, optional
        A folder in which rows are kept, so that no text is encoded twice, even by different programs. Several processes
        may share it.
    verbose : int, default=0
        Above 0, show the progress with the time left.

    Attributes
    ----------
    n_dimensions_ : int
        Length of a row.
    max_length_ : int
        Most tokens of a text.
    n_truncated_ : int
        Number of longer texts in ``fit``. A model folder does not hold it: it is 0 in an encoder that was loaded.
    curve_ : list of dict
        Of the last ``fit`` with `tuning`: for each epoch its number, mean loss, and validation score if there is one.
        A model folder does not hold it.

    See Also
    --------
    sklearn.feature_extraction.text.TfidfVectorizer : Sparse rows from the words alone.

    Notes
    -----
    Each distinct text is encoded once. Texts are taken from the longest to the shortest, so that the texts of a batch
    have similar lengths and little padding is needed. On a CPU each thread that PyTorch may use
    (``torch.get_num_threads``) works on its own batches. In float32 a row depends on the other rows only by rounding,
    by less than 1e-5. An empty or missing text has the row of the tokens that the tokenizer puts around any text.
    Without texts there are zero rows of `n_dimensions_` columns.

    Cost of a token: two operations for each weight outside the token table, and ``4 n_layers n_dimensions`` for each
    other token of its text. Memory: 4 bytes per weight (2 in bfloat16), 4 bytes per token of all distinct texts, the
    rows, and in each thread some 50 bytes for each token of a batch and each unit of a layer.

    A saved or pickled encoder holds weights and tokenizer, in the dtype it computes in, and no longer needs `model`. A
    model folder does not hold `model`, `cache`, `device` and `tuning`, which may be set again before the first use;
    with `tuning`, ``fit`` then trains the weights of the folder further.

    With `tuning` weights are loaded and trained in float32, and rows computed in `dtype` as ever. If ``fit`` fails or
    is interrupted, the encoder stays as it was before. Rows of texts that the encoder was tuned on fit their labels
    better than rows of new texts will; the classifier behind it sees only the former.

    References
    ----------
    .. [1] J. Devlin, M.-W. Chang, K. Lee and K. Toutanova, "BERT: Pre-training of deep bidirectional transformers for
       language understanding", NAACL 2019.
    .. [2] N. Reimers and I. Gurevych, "Sentence-BERT: Sentence embeddings using Siamese BERT-networks", EMNLP 2019.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from xclassic import OneVsRestLeastSquares
    >>> from xclassic.features import BertEncoder
    >>> texts = ["A cat sat on a mat.", "Shares fell sharply on Monday.", "Kittens sleep most of the day."]
    >>> labels = [["animals"], ["markets"], ["animals"]]
    >>> pipe = make_pipeline(BertEncoder(), OneVsRestLeastSquares())
    >>> pipe.fit(texts, labels).predict_topk(["A puppy"], k=1)  # doctest: +SKIP
    """

    n_dimensions_: int
    max_length_: int
    n_truncated_: int
    _network: EncoderNetwork | None  # None until the first use of a restored encoder.
    _stored: tuple[Arrays, Metadata] | None  # The stored state of a restored encoder; None after fit with a model.
    _not_saved: ClassVar[tuple[str, ...]] = ("model", "cache", "device", "tuning")

    def __init__(
        self,
        model: str | os.PathLike[str] | None = "sentence-transformers/all-MiniLM-L6-v2",
        *,
        template: str | None = None,
        pooling: str = "mean",
        max_length: int | None = None,
        max_windows: int = 1,
        normalize: bool = True,
        tuning: Tuning | None = None,
        batch_tokens: int | None = None,
        device: str | None = None,
        dtype: str = "auto",
        cache: str | os.PathLike[str] | None = None,
        verbose: int = 0,
    ) -> None:
        self.model = model
        self.template = template
        self.pooling = pooling
        self.max_length = max_length
        self.max_windows = max_windows
        self.normalize = normalize
        self.tuning = tuning
        self.batch_tokens = batch_tokens
        self.device = device
        self.dtype = dtype
        self.cache = cache
        self.verbose = verbose

    @property
    def _n_features_out(self) -> int:
        return self.n_dimensions_

    def _check_parameters(self) -> None:
        check_common(self)
        for name in ("model", "cache"):
            check_type(name, getattr(self, name), (str, os.PathLike), "a string or a path")
        for name in ("template", "device"):
            check_type(name, getattr(self, name), (str,), "a string or None")
        if self.template is not None:
            template_fields(self.template)
        check_choice("pooling", self.pooling, ("mean", "cls"))
        check_choice("dtype", self.dtype, ("auto", "float32", "bfloat16"))
        check_type("tuning", self.tuning, (Tuning,), "a LabelTuning, a ContrastiveTuning or None")
        if self.tuning is not None:
            self.tuning._check_parameters()
        check_number("max_windows", self.max_windows, minimum=1, integer=True)
        for name, number in (("max_length", self.max_length), ("batch_tokens", self.batch_tokens)):
            if number is not None:
                check_number(name, number, minimum=1, integer=True)

    def fit(self, X: Any, y: Any = None) -> Self:
        """Load the model, and train it if there is a `tuning`.

        Parameters
        ----------
        X : sequence of str, or records
            As for ``transform``; texts that cannot be encoded are refused here, and texts that are too long counted.
        y : sparse or dense 0-1 matrix, list of label collections, or 1-D class vector, optional
            Labels of the texts, which `tuning` needs. Without it they are ignored.

        Returns
        -------
        self

        Raises
        ------
        ImportError
            If PyTorch or transformers is not installed; the message says how to install it.
        OSError
            If there is no such model or it lacks files, or the hub cannot be reached.
        ValueError
            If the model is not an encoder, lacks weights or a vocabulary, or a parameter is out of range; with `tuning`
            also if `y` is missing, does not fit `X` or has no labels, or the checkpoint is from other data.
        TypeError
            If `X` does not hold texts, or records with a template.
        """
        distinct, inverse = _distinct(self._load(X, y))
        self.n_truncated_ = int(self._ready().windows(distinct, self.max_windows)[2][inverse].sum())
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Vectors:
        """Load or train the model and return the row of each text, as ``fit`` and ``transform`` do, reading texts once.

        Parameters
        ----------
        X : sequence of str, or records
            As for ``transform``.
        y : sparse or dense 0-1 matrix, list of label collections, or 1-D class vector, optional
            As for ``fit``.

        Returns
        -------
        ndarray of float32, shape (n_rows, n_dimensions)
        """
        vectors, self.n_truncated_ = self._rows(self._load(X, y))
        return vectors

    def _load(self, X: Any, y: Any) -> Texts:
        """Load the model, train it if there is a `tuning`, and return the texts of `X`."""
        self._check_parameters()
        texts = self._texts(X, fitted=False)
        target = None if self.tuning is None else _target(y, texts.size)
        import_transformers(type(self).__name__)
        if self.model is None and not hasattr(self, "_stored"):
            raise ValueError("model is None, which is for encoders that hold weights already; pass a folder or an id.")
        device, dtype = self._device_and_dtype()
        where = device, dtype if target is None else "float32"
        stored = self._get_arrays() if self.model is None else None
        with LOADING:
            network = restored(*stored, *where) if stored else pretrained(str(self.model), *where)
        if target is not None:
            network, stored = self._tuned(network, texts, target, dtype), None
        self.max_length_ = network.limit(self.max_length)
        self.n_dimensions_, self.n_truncated_ = network.n_dimensions, 0
        self._network, self._stored = network, stored
        return texts

    def _tuned(self, network: EncoderNetwork, texts: Texts, target: Target, dtype: str) -> EncoderNetwork:
        """Train a network, and return it in the dtype that it computes in."""
        import torch

        assert self.tuning is not None
        network.limit(self.max_length)
        self.curve_ = self.tuning._tune(
            network, texts, target, pooling=self.pooling, bfloat16=dtype == "bfloat16", verbose=bool(self.verbose)
        )
        network.module.to(getattr(torch, dtype))
        return replace(network)  # The copy has no fingerprint of what the weights were.

    def transform(self, X: Any) -> Vectors:
        """Return the row of each text.

        Parameters
        ----------
        X : sequence of str, or records
            A list, array or column of texts; with a template a DataFrame, a list of dicts or a dict of columns. A
            missing text counts as empty, and a missing field is left out of its text.

        Returns
        -------
        ndarray of float32, shape (n_rows, n_dimensions)
            Row i for row i of `X`.

        Raises
        ------
        TypeError
            If `X` does not hold texts, or records with a template.
        ValueError
            If a text has half a surrogate pair, or the model gives NaN or infinity.
        MemoryError
            If the GPU does not have enough memory.
        OSError
            If the cache cannot be used.
        ModelFileError
            If the encoder was loaded from a model folder and is damaged.
        sklearn.exceptions.NotFittedError
            If ``fit`` was not called.

        Warns
        -----
        UserWarning
            If texts were longer than `max_length_` tokens.
        """
        check_is_fitted(self)
        return self._rows(self._texts(X, fitted=True))[0]

    def _rows(self, texts: Texts) -> tuple[Vectors, int]:
        """Return the row of each text, and how many were cut, which causes a warning."""
        distinct, inverse = _distinct(texts)
        vectors, cut = self._encode(self._ready(), distinct)
        n_cut = int(cut[inverse].sum())
        if n_cut:
            windows = f"{self.max_windows} windows of " if self.max_windows > 1 else ""
            warnings.warn(
                f"{n_cut} of {texts.size} texts have more than {windows}{self.max_length_} tokens; the rest of each "
                "was left out. max_length and max_windows set the limit.",
                stacklevel=4,  # The level of the caller of transform, which scikit-learn wraps.
            )
        return (vectors if distinct.size == texts.size else vectors[inverse]), n_cut

    def _texts(self, X: Any, *, fitted: bool) -> Texts:
        if self.template is not None:
            texts = fill_template(self.template, X, fitted=fitted)
        elif is_records(X):
            raise TypeError("X holds records, not texts; name the fields to read, for instance template='{title}'.")
        else:
            texts = check_texts(X)
        check_encodable(texts)
        return texts

    def _device_and_dtype(self) -> tuple[Any, str]:
        device = choose_device(self.device)
        if self.dtype == "auto":
            return device, "bfloat16" if has_bfloat16(device) else "float32"
        return device, self.dtype

    def _ready(self) -> EncoderNetwork:
        """Return the network; a restored encoder loads it here."""
        if self._network is None:
            import_transformers(type(self).__name__)
            with LOADING:
                if self._network is None:  # Another thread may have loaded it meanwhile.
                    assert self._stored is not None
                    network = restored(*self._stored, *self._device_and_dtype())
                    network.limit(self.max_length_)
                    self._network = network
        return self._network

    # Encoding

    def _encode(self, network: EncoderNetwork, texts: Texts) -> tuple[Vectors, NDArray[np.bool_]]:
        """Return the rows of distinct texts, and which were cut, from the cache where possible."""
        if self.cache is None:
            return self._compute(network, texts)
        settings = [CACHE_FORMAT, network.fingerprint, self.pooling, self.max_length_, self.normalize, network.dtype]
        settings += [self.max_windows] if self.max_windows > 1 else []
        name = blake2b(json.dumps(settings).encode(), digest_size=16).hexdigest()
        with VectorCache(Path(self.cache), name, network.n_dimensions) as cache:
            found, vectors, cut = cache.read(texts)
            missing = np.flatnonzero(~found)
            vectors[missing], cut[missing] = self._compute(network, texts[missing], cache.write)
        return vectors, cut

    def _compute(
        self, network: EncoderNetwork, texts: Texts, keep: Callable[..., None] | None = None
    ) -> tuple[Vectors, NDArray[np.bool_]]:
        """Compute the rows of distinct texts and return them, and which were cut; `keep` gets them batch by batch."""
        tokens, left, cut = network.windows(texts, self.max_windows)
        lengths = np.fromiter(map(len, tokens), np.int64, len(tokens))
        text_of = np.repeat(np.arange(texts.size), left)
        several = self.max_windows > 1
        totals = np.bincount(text_of, lengths, texts.size)
        vectors = np.zeros((texts.size, network.n_dimensions), np.float32)
        budget = self.batch_tokens or network.batch_tokens
        batches = batches_of(lengths, budget)

        def encode(batch: NDArray[np.intp]) -> Vectors:
            with memory_errors(f"lower batch_tokens (now {budget}) or max_length (now {self.max_length_})"):
                return network.vectors([tokens[i] for i in batch], self.pooling, self.normalize and not several)

        bar = tqdm(
            total=int(lengths.sum()), desc="encoding", unit=" tokens", unit_scale=True, disable=not self.verbose,
            leave=False,
        )  # fmt: skip
        with bar, closing(run_batches(encode, batches, network.kind)) as results:
            for batch, rows in zip(batches, results, strict=True):
                owners = text_of[batch]
                check_finite(rows, texts[owners])
                # Windows of a text are added in their order, whatever the texts beside it.
                np.add.at(vectors, owners, rows * lengths[batch, None].astype(np.float32) if several else rows)
                np.subtract.at(left, owners, 1)
                ready = np.unique(owners[left[owners] == 0])
                if several:
                    vectors[ready] /= self._scale(vectors[ready], totals[ready])
                if keep is not None:
                    keep(texts[ready], vectors[ready], cut[ready])
                bar.update(int(lengths[batch].sum()))
        return vectors, cut

    def _scale(self, sums: Vectors, n_tokens: NDArray[np.float64]) -> Vectors:
        """Return what to divide the sums over the windows of texts by."""
        if not self.normalize:
            return n_tokens[:, None].astype(np.float32)
        lengths = np.sqrt(np.einsum("ij,ij->i", sums, sums, dtype=np.float64))
        return np.maximum(lengths, np.finfo(np.float32).tiny)[:, None].astype(np.float32)

    # Persistence

    def __getstate__(self) -> Metadata:
        state = dict(super().__getstate__())
        if "_network" in state:
            state.update(_network=None, _stored=self._get_arrays())
        return state

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        """Return weights and tokenizer as files, and the metadata about them."""
        check_is_fitted(self)
        if self._stored is not None:
            return self._stored
        assert self._network is not None
        return self._network.stored()

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        """Take the result of `_get_arrays`; it is checked on first use, or now if `verify` is "full"."""
        if not isinstance(metadata, dict):
            raise ModelFileError("The metadata of the encoder are missing.")
        for name in ("weights.safetensors", "tokenizer.json"):
            if name not in arrays or arrays[name].dtype != np.uint8 or arrays[name].ndim != 1:
                raise ModelFileError(f"{name} of the encoder is missing, or is not a file.")
        for name in ("n_dimensions", "longest"):
            if type(metadata.get(name)) is not int or not 0 < metadata[name] < 2**31:
                raise ModelFileError(
                    f"{name} of the encoder is {metadata.get(name)!r}; a positive integer belongs there."
                )
        self.max_length_ = self.max_length or metadata["longest"]
        if self.max_length_ > metadata["longest"]:
            raise ModelFileError(
                f"The encoder reads {metadata['longest']} tokens, but max_length is {self.max_length}."
            )
        self.n_dimensions_, self.n_truncated_ = metadata["n_dimensions"], 0
        self._network, self._stored = None, (arrays, metadata)
        if verify == "full":  # The checked network is not kept, since a device may still be set.
            import_transformers(type(self).__name__)
            with LOADING:
                restored(arrays, metadata, choose_device("cpu"), "float32").limit(self.max_length_)


def _target(y: Any, n_rows: int) -> Target:
    """Return the labels that a tuning learns from."""
    if y is None:
        raise ValueError("tuning trains the encoder on labels, but y is None; pass y, or set tuning=None.")
    return check_target(y, n_rows)


def _distinct(texts: Texts) -> tuple[Texts, NDArray[np.intp]]:
    """Return each text once, in the order of first occurrence, and for each text its position among these."""
    places: dict[str, int] = {}
    inverse = np.fromiter((places.setdefault(text, len(places)) for text in texts), np.intp, texts.size)
    return np.fromiter(places, np.object_, len(places)), inverse
