"""XML-CNN: convolutions over the words of a text, dynamic max pooling, and a bottleneck below the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse

from xclassic.networks.torch_support import import_torch
from xclassic.neural.base import NetworkClassifier
from xclassic.neural.words import (
    PAD,
    SPECIAL,
    check_table,
    given_vectors,
    latent_vectors,
    random_vectors,
    tokens_of,
    vocabulary_of,
    warn_of_cuts,
    words_of,
)
from xclassic.storage.arrays import pack_strings, stored_count, unpack_strings
from xclassic.storage.folder import Arrays, ModelFileError, Verify
from xclassic.storage.models import Metadata
from xclassic.validation.labels import check_target
from xclassic.validation.parameters import check_choice, check_number, check_numbers, check_share
from xclassic.validation.records import ReadsTexts, check_texts

LEAST = {"n_dimensions": 1, "n_filters": 1, "n_chunks": 1, "bottleneck": 1, "min_texts": 1, "max_length": 1}
WIDEST = 1000  # Words of a window; each costs weights, and more than a text has would read nothing.


class XMLCNN(ReadsTexts, NetworkClassifier):
    r"""XML-CNN [1]_: a convolutional network over the words of a text, with max pooling in chunks and a bottleneck.

    A text of m words is a matrix of their vectors :math:`e_1 \dots e_m`. Filter f of a window of h words gives the
    feature map :math:`c_{f,i} = v_f^\top [e_j, \dots, e_{j+h-1}] + b_f`, where :math:`j = i - \lfloor h/2 \rfloor`, a
    number for each word. *Dynamic* max pooling cuts it into p chunks by the text's own length and keeps the maximum of
    each, so that the network knows roughly where it found something:

    .. math:: P_f = \Big[\max_{i \in \text{chunk } 1} c_{f,i}, \dots, \max_{i \in \text{chunk } p} c_{f,i}\Big],\qquad
        s = W_o \, \mathrm{ReLU}\big(W_h \, \mathrm{ReLU}(P) + b_h\big) + b_o .

    One chunk is the global maximum of Kim's network [2]_. Training minimizes the binary cross-entropy, summed over
    labels, by AdamW, with dropout of the bottleneck and of words.

    Parameters
    ----------
    embeddings : "random", dict of str to ndarray, or tuple (words, matrix), optional
        Word vectors to start from, which training moves; by default those of an SVD of the TF-IDF of the training
        texts. Of a table, such as GloVe read into a dict, rows of words in lower case are taken; the words that it
        lacks start at random, with vectors of its mean length.
    n_dimensions : int, default=128
        Numbers of a word vector; those of a table must have as many.
    windows : tuple of int, default=(2, 4, 8)
        Words that a filter reads.
    n_filters : int, default=128
        Filters of each window.
    n_chunks : int, default=1
        Chunks of a text whose maxima are kept, p above. One is the maximum of the whole text, which suits titles; where
        it matters in what part of a text words stand, try 2 to 8, as the paper does.
    bottleneck : int, default=512
        Units between the maxima and the labels, which keep the layer of labels small.
    dropout : float, default=0.3
        Share of the bottleneck that a step of training leaves out, in [0, 1).
    word_dropout : float, default=0.1
        Share of the words that a step of training reads as unknown, in [0, 1). Above 0 it also teaches the network
        what to make of words that it does not know.
    min_texts : int, default=1
        Words of fewer texts count as unknown; at least 1.
    max_words : int, optional
        Most words of the vocabulary, those of most texts. Default: all.
    max_length : int, default=256
        Most words of a text; longer texts are cut, with a warning.
    {shared}

    Attributes
    ----------
    words_ : ndarray of str, shape (n_words,)
        The vocabulary: the words of most training texts first.
    curve_ : list of dict
        For each epoch its number, mean loss and validation score.
    output_ : BlockWeights
        The layer of labels.

    See Also
    --------
    T5Classifier : Reads texts too, and writes the label.
    xclassic.features.TextFeatures : Sparse rows of texts for linear methods, which short texts need less data for.

    Notes
    -----
    Words are those of `xclassic.features.TextFeatures`, in lower case. All words outside of the vocabulary share one
    vector. A missing or empty text is read as one word with the vector zero, and around every text are zeros enough
    for each window. Chunk c of p begins at word :math:`\lfloor (c-1)\,m/p \rfloor` of m and ends before
    :math:`\lceil c\,m/p \rceil`, so that the chunks of a short text overlap and none is empty. What is predicted for a
    text does not depend on the others.

    Rows without labels are not used for training. Labels without rows are not predicted.

    Cost: O(m d F h) per text and window for F filters, and O(B L) for a bottleneck of B and L labels. Training takes 20
    bytes per weight, of which a word has `n_dimensions`, and each step updates all of them.

    On a CPU the same seed gives the same model; on a GPU only as `T5Classifier` says.

    References
    ----------
    .. [1] J. Liu, W.-C. Chang, Y. Wu and Y. Yang, "Deep learning for extreme multi-label text classification", SIGIR
       2017 (sections 3.1 to 3.4).
    .. [2] Y. Kim, "Convolutional neural networks for sentence classification", EMNLP 2014.

    Examples
    --------
    >>> from xclassic import XMLCNN
    >>> texts, labels = ["stars and planets", "bread and butter"] * 20, [["astronomy"], ["food"]] * 20
    >>> clf = XMLCNN(epochs=5).fit(texts, labels)  # doctest: +SKIP
    >>> clf.predict_topk(["butter"], k=1).named(clf.classes_)[0][0][0]  # doctest: +SKIP
    'food'
    """

    _not_saved = ("embeddings", "checkpoint", "device")

    words_: NDArray[Any]
    _ids: dict[str, int]

    def __init__(
        self,
        *,
        embeddings: str | Mapping[str, Any] | tuple[Sequence[str], NDArray[Any]] | None = None,
        n_dimensions: int = 128,
        windows: tuple[int, ...] = (2, 4, 8),
        n_filters: int = 128,
        n_chunks: int = 1,
        bottleneck: int = 512,
        dropout: float = 0.3,
        word_dropout: float = 0.1,
        min_texts: int = 1,
        max_words: int | None = None,
        max_length: int = 256,
        epochs: int = 10,
        batch_size: int = 64,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.01,
        validation: float = 0.1,
        patience: int = 3,
        checkpoint: str | PathLike[str] | None = None,
        device: str | None = None,
        n_jobs: int | None = None,
        random_state: int = 0,
        verbose: int = 0,
    ) -> None:
        self.embeddings = embeddings
        self.n_dimensions = n_dimensions
        self.windows = windows
        self.n_filters = n_filters
        self.n_chunks = n_chunks
        self.bottleneck = bottleneck
        self.dropout = dropout
        self.word_dropout = word_dropout
        self.min_texts = min_texts
        self.max_words = max_words
        self.max_length = max_length
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.validation = validation
        self.patience = patience
        self.checkpoint = checkpoint
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name, minimum in LEAST.items():
            check_number(name, getattr(self, name), minimum=minimum, integer=True)
        if self.max_words is not None:
            check_number("max_words", self.max_words, minimum=1, integer=True)
        for name in ("dropout", "word_dropout"):
            check_share(name, getattr(self, name))
        if not isinstance(self.windows, (tuple, list)):
            raise TypeError(f"windows is {self.windows!r}; pass a tuple of at least one number of words.")
        check_numbers("windows", self.windows, minimum=1, maximum=WIDEST, integer=True)
        if isinstance(self.embeddings, str):
            check_choice("embeddings", self.embeddings, ("random",))
        elif self.embeddings is not None:
            check_table(self.embeddings, self.n_dimensions)

    def _check_input(self, X: Any, *, reset: bool) -> Any:
        """Return the texts as an array of str."""
        texts = check_texts(X)
        if reset:
            if texts.size == 0:
                raise ValueError("X has no rows; at least one text is needed.")
            self.n_features_in_ = 1  # Each row is one text.
        return texts

    # Training

    def _fit(self, X: Any, Y: csr_array) -> None:
        import_torch("XMLCNN")
        self._know(vocabulary_of(X, self.min_texts, self.max_words))
        super()._fit(X, Y)

    def _know(self, words: Sequence[str]) -> None:
        self.words_ = np.array(words, object)
        self._ids = {word: SPECIAL + i for i, word in enumerate(words)}

    def _prepare(self, X: Any) -> Any:
        """Return the tokens of texts."""
        from xclassic.neural.texts import Texts

        tokens, n_cut = tokens_of(X, self._ids, self.max_length)
        warn_of_cuts(n_cut, len(tokens), self.max_length, "words")
        return Texts(tokens, PAD)

    def _new_body(self) -> Any:
        from xclassic.neural.text_cnn import TextCNN

        return TextCNN(
            self.words_.size,
            self.n_dimensions,
            windows=self.windows,
            n_filters=self.n_filters,
            n_chunks=self.n_chunks,
            bottleneck=self.bottleneck,
            dropout=self.dropout,
            word_dropout=self.word_dropout,
        )

    def _training_network(self, body: Any, X: Any, Y: csr_array) -> Any:
        from xclassic.neural.text_cnn import SummedNetwork

        n_words, width, seed = self.words_.size, self.n_dimensions, self.random_state
        if self.embeddings is None:
            body.start_from(latent_vectors(X.flat, X.starts, n_words, width, seed))
        else:
            drawn = isinstance(self.embeddings, str)
            body.given = (
                random_vectors(n_words, width, seed)
                if drawn
                else given_vectors(self.embeddings, self.words_, width, seed)
            )
            body.start_from(body.given)
        return SummedNetwork(body, Y)

    def estimate_memory(self, X: Any, y: Any) -> int:
        """Return the number of bytes that ``fit(X, y)`` will need at its peak, beyond `X` and `y` themselves.

        Parameters
        ----------
        X, y
            As for ``fit``; the words of the texts are counted.

        Returns
        -------
        int
            An estimate of weights, gradients, moments of AdamW and activations of a batch.
        """
        self._check_parameters()
        texts, n_labels = check_texts(X), (y if issparse(y) else check_target(y, len(y)).Y).shape[1]
        n_tokens = [min(len(words_of(text)), self.max_length) for text in texts]
        n_words, n_maps = len(vocabulary_of(texts, self.min_texts, self.max_words)), self.n_filters * len(self.windows)
        reading = self.n_dimensions * self.n_filters * sum(self.windows)
        n_weights = n_words * self.n_dimensions + reading + (n_maps * self.n_chunks + n_labels) * self.bottleneck
        batch = self.batch_size * max(n_tokens) * (4 * self.n_dimensions + n_maps * (2 + 2 * self.n_chunks))
        # With each weight go its gradient, two moments of AdamW, and the weight of the best epoch; a word of the
        # vocabulary is a str in a dict.
        return 20 * n_weights + 4 * batch + 16 * n_labels * self.batch_size + 16 * sum(n_tokens) + 200 * n_words

    # Persistence

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        arrays, metadata = super()._get_arrays()
        return arrays | pack_strings("words", self.words_), metadata | {"n_words": self.words_.size}

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        words = unpack_strings(arrays, "words", stored_count(metadata, "n_words"))
        if len(set(words)) < len(words):
            raise ModelFileError("The words of the model repeat.")
        self._know(words)
        super()._set_arrays(arrays, metadata, verify)
