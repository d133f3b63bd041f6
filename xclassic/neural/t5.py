"""A T5 that writes the label: its name, its code in a tree of labels, or its fields."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic.base import XMCClassifier
from xclassic.label_tree.tree import LabelTree
from xclassic.networks.torch_support import choose_device, has_bfloat16, import_transformers, memory_errors
from xclassic.neural.choices import Choices
from xclassic.neural.field_prediction import FieldPrediction
from xclassic.neural.fields import FieldsTarget
from xclassic.neural.parameters import check_t5_parameters
from xclassic.neural.targets import CodeTarget, NameTarget
from xclassic.neural.trie import TokenTrie
from xclassic.neural.words import warn_of_cuts
from xclassic.parallel import StopByte, fork_safe_lock
from xclassic.storage.arrays import with_prefix, without_prefix
from xclassic.storage.folder import Arrays, ModelFileError, Verify
from xclassic.storage.models import Metadata
from xclassic.topk import TopK
from xclassic.validation.records import ReadsTexts, check_encodable, check_texts, fill_template, is_records
from xclassic.weighing import refusing_weights
from xclassic.weighted_ranking import FIRST, ScoreWeights

if TYPE_CHECKING:
    from transformers import T5Config

RECORD_PROMPT = "Retailer: {retailer} Price: {price} Description: {text}"


class T5Classifier(ReadsTexts, FieldPrediction, XMCClassifier):
    r"""A T5 that reads a text and writes a label.

    Each label is a sequence of tokens, and all sequences form a trie. The model chooses the next token only among the
    children of the current node: the probability of a label is the product, along its path, of softmaxes over the
    children of each node. So every prediction is a label, the probabilities of all labels sum to one, and training (the
    mean of :math:`-\log p`) improves exactly the choices that the model has to make.

    Parameters
    ----------
    model : str, dict or transformers.T5Config, default="google-t5/t5-large"
        Weights of a T5, mT5 or umT5 to start from: the id of a model on the Hugging Face hub, or a folder. A
        configuration (of which a dict may name ``model_type`` "mt5" or "umt5") starts from random weights drawn by
        `random_state` and needs a `tokenizer`.
    tokenizer : str, optional
        Id or folder of the tokenizer; by default that of `model`.
    target : {"name", "code", "fields"}, default="name"
        What is written: the name of the label; its code in a tree, where each node has a token of its own that shares
        words of the names below it, if labels have names; or several fields of a record, for which `y` is a table.
    label_names : sequence of str, optional
        Names of the labels in the order of ``classes_``, if the classes are numbers. Among names with the same tokens,
        all but the first get a number, as in "Shorts (2)".
    fields : sequence of str or dict, optional
        For ``target="fields"`` the columns of `y`, or a dict from each to the prefix written before its value, such as
        ``{"brand": "details_Brand", "category": "L0_category"}``. A field may have several values: its cells are then
        lists, which are written in sorted order, parted by semicolons.
    path : sequence of str, optional
        For ``target="fields"`` those of `fields` that are levels of a hierarchy, from the top down. Only paths of
        training are written, while each other field is free of them; () frees all fields. By default all fields
        together are a path, so that only combinations of training are written.
    combinations : {"any", "seen"}, default="any"
        For ``target="fields"`` with a `path`: whether every known value of a field can stand beside every known path,
        or only those that stood there in training.
    prompt : str, optional
        Template that makes the text of a record, such as ``"Price: {price} Description: {title}"``. By default texts
        are read as they are, and records by ``"Retailer: {retailer} Price: {price} Description: {text}"``; before
        either, ``target="fields"`` puts an instruction that lists the fields.
    tree : LabelTree, optional
        For ``target="code"`` the tree of codes; by default one of recursive k-means over `embeddings`.
    embeddings : ndarray, shape (n_labels, d), or transformer of texts, optional
        For ``target="code"`` vectors of the labels in the order of ``classes_``, or a transformer that makes them from
        label names; by default `xclassic.features.BertEncoder` with its default model.
    branching : int, default=6
        For ``target="code"`` the most children of a node; at least 2.
    max_length : int, default=128
        Most tokens of a text, at least 2; longer texts are cut, with a warning.
    epochs : int, default=10
        Most passes over the training rows.
    batch_size : int, default=32
        Rows per step.
    accumulate : int, default=1
        Number of pieces of a batch that are computed one after another to save memory; results change only by rounding.
    learning_rate : float, default=0.0001
        Peak learning rate of AdamW, above 0. It rises during the share `warmup` of the steps, then falls linearly to 0.
    warmup : float, default=0.1
        Share of the steps during which the learning rate rises, in [0, 1).
    weight_decay : float, default=0.01
        Weight decay of AdamW, at least 0.
    positives : {"one", "all"}, default="one"
        Labels of a row that an epoch takes: one, drawn again in each epoch, or all.
    tail_share : float or None, default=0.25
        Share of each batch with labels of at most `tail_max` training rows, in [0, 1), so that frequent labels do not
        drown rare ones; None takes rows as they come.
    tail_max : int, default=25
        Most training rows of a tail label; see `tail_share`.
    validation : float, default=0.1
        Share of the rows that are held out to choose the best epoch, in [0, 1); 0 trains on all rows for all `epochs`.
        Labels of a single row stay in training.
    stop_on : {"P@1", "tail"}, default="P@1"
        Criterion for the best epoch: the share of validation rows whose best label is right, or the same among rows
        with a tail label (P@1 if no row has one).
    patience : int, default=3
        Epochs without improvement after which training ends.
    lora_rank : int or None, default=None
        Train only low-rank corrections of this rank to queries and values, and merge them at the end; this needs the
        package peft. None trains all weights.
    gradient_checkpointing : bool, default=False
        Compute activations twice to save memory.
    beam : int, default=10
        Paths kept in a search; k if that is more. With one path per label the search is exhaustive.
    checkpoint : str or path, optional
        Folder for the state of training, after each epoch, every 1,000 steps and at Ctrl-C. A fit that finds one of
        the same data and parameters continues from it, to the same model.
    dtype : {"auto", "float32", "bfloat16"}, default="auto"
        Precision of products; "auto" takes bfloat16 on GPUs that support it. Weights are kept in float32.
    device : str, optional
        Such as "cpu" or "cuda:1"; by default the GPU if there is one.
    n_jobs : int, optional
        Not used for training, for which PyTorch has threads of its own.
    random_state : int, default=0
        Seed of weights, batches, validation rows and dropout.
    verbose : int, default=0
        Above 0, show progress with the time left.

    Attributes
    ----------
    curve_ : list of dict
        For each epoch its number, mean loss and validation score.
    n_truncated_ : int
        Number of training texts that were cut.
    trie_ : TokenTrie
        The token sequences of the labels.
    classes_ : ndarray
        The labels of training; of fields, the combinations of values that occurred, as by `xclassic.format_fields`.
    fields_ : list of str
        With ``target="fields"`` the fields in the order in which they are written.
    codes_ : ndarray of int32, shape (n_labels, depth)
        With ``target="code"`` the digits of each label, padded with -1.

    See Also
    --------
    PrefixTree : The same codes with linear models.
    xclassic.metrics.prefix_credit : Partial credit for codes that begin with the same digits.

    Notes
    -----
    Scores are logarithms of probabilities, which sum to 1 over all labels even for rows with several labels.
    ``predict_proba`` exists after a fit on a class vector.

    Rows without labels are not used for training. Labels without rows can be predicted, but all that was learned about
    them is what their names share with other names. Missing texts are read as empty ones.

    Training takes 16 bytes per weight, and memory for activations, which `accumulate` and `gradient_checkpointing`
    reduce. Codes add a vector of the model's width for each node of their tree, some 1.2 nodes per label.

    On a CPU the same seed gives the same model; on a GPU only with ``torch.use_deterministic_algorithms(True)`` and
    the environment variable ``CUBLAS_WORKSPACE_CONFIG=:4096:8``, on one kind of card and one version of PyTorch.

    References
    ----------
    .. [1] C. Raffel et al., "Exploring the limits of transfer learning with a unified text-to-text transformer", JMLR
       21, 2020.
    .. [2] N. De Cao et al., "Autoregressive entity retrieval", ICLR 2021 (decoding constrained by a trie of names).
    .. [3] Y. Tay et al., "Transformer memory as a differentiable search index", NeurIPS 2022 (codes by hierarchical
       k-means).
    .. [4] Y. Wang et al., "A neural corpus indexer for document retrieval", NeurIPS 2022 (what a digit means depends on
       those before it).

    Examples
    --------
    >>> from xclassic import T5Classifier
    >>> clf = T5Classifier("google-t5/t5-small", epochs=20)  # doctest: +SKIP
    >>> clf.fit(["red shorts", "blue jeans"], ["Shorts", "Trousers"]).predict(["shorts in red"])  # doctest: +SKIP
    array(['Shorts'], dtype='<U8')
    """

    _network: Any = None
    _target: Any
    _stored: Any = None
    _log_scores = True
    _rows_per_task = sys.maxsize  # PyTorch has threads of its own, and rows of similar length are predicted together.
    _not_saved = ("model", "tokenizer", "label_names", "fields", "path", "tree", "embeddings", "checkpoint", "device")

    def __init__(
        self,
        model: str | Mapping[str, Any] | T5Config = "google-t5/t5-large",
        *,
        tokenizer: str | None = None,
        target: str = "name",
        label_names: Sequence[str] | None = None,
        fields: Sequence[str] | Mapping[str, str] | None = None,
        path: Sequence[str] | None = None,
        combinations: str = "any",
        prompt: str | None = None,
        tree: LabelTree | None = None,
        embeddings: NDArray[Any] | Any | None = None,
        branching: int = 6,
        max_length: int = 128,
        epochs: int = 10,
        batch_size: int = 32,
        accumulate: int = 1,
        learning_rate: float = 1e-4,
        warmup: float = 0.1,
        weight_decay: float = 0.01,
        positives: str = "one",
        tail_share: float | None = 0.25,
        tail_max: int = 25,
        validation: float = 0.1,
        stop_on: str = "P@1",
        patience: int = 3,
        lora_rank: int | None = None,
        gradient_checkpointing: bool = False,
        beam: int = 10,
        checkpoint: str | Path | None = None,
        dtype: str = "auto",
        device: str | None = None,
        n_jobs: int | None = None,
        random_state: int = 0,
        verbose: int = 0,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.target = target
        self.label_names = label_names
        self.fields = fields
        self.path = path
        self.combinations = combinations
        self.prompt = prompt
        self.tree = tree
        self.embeddings = embeddings
        self.branching = branching
        self.max_length = max_length
        self.epochs = epochs
        self.batch_size = batch_size
        self.accumulate = accumulate
        self.learning_rate = learning_rate
        self.warmup = warmup
        self.weight_decay = weight_decay
        self.positives = positives
        self.tail_share = tail_share
        self.tail_max = tail_max
        self.validation = validation
        self.stop_on = stop_on
        self.patience = patience
        self.lora_rank = lora_rank
        self.gradient_checkpointing = gradient_checkpointing
        self.beam = beam
        self.checkpoint = checkpoint
        self.dtype = dtype
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_t5_parameters(self)
        if self.target == "fields" and self.fields is None and not self._fitted and self.model is not None:
            raise ValueError("target='fields' writes several columns of y; name them by fields.")
        if self.target == "fields" and self.fields is not None:
            self._new_target()  # It checks the names.

    def _check_input(self, X: Any, *, reset: bool) -> Any:
        """Return the text that the model reads for each row, as an array of str."""
        if is_records(X):
            texts = fill_template(self.prompt or RECORD_PROMPT, X, fitted=not reset)
        else:
            texts = check_texts(X)
            if self.prompt is not None:
                texts = fill_template(self.prompt, {"text": texts})
        check_encodable(texts)
        if reset:
            if texts.size == 0:
                raise ValueError("X has no rows; at least one text is needed.")
            self.n_features_in_ = 1  # Each row is one text.
        return texts if self.prompt is not None else self._target.instruction + texts

    def _new_target(self) -> NameTarget:
        if self.target == "fields":
            return FieldsTarget(self.fields, self.path if self.combinations == "any" else None)
        if self.target == "code":
            encoder = {"device": self.device, "verbose": self.verbose}
            return CodeTarget(self.tree, self.embeddings, self.branching, self.random_state, **encoder)
        return NameTarget()

    # Training

    @refusing_weights
    def fit(self, X: Any, y: Any) -> Self:
        """Train on texts or records.

        Parameters
        ----------
        X : list, array or column of str; or DataFrame, list of dicts or dict of columns
            Texts, or records that `prompt` turns into texts.
        y : sparse or dense 0-1 matrix, list of label collections, or 1-D class vector
            Labels as for every estimator; with ``target="fields"`` a table with the columns `fields`.

        Returns
        -------
        self

        Raises
        ------
        ImportError
            If PyTorch or transformers is not installed; the message says how to install them.
        OSError
            If the model cannot be loaded; the message gives the reason in one line.
        ValueError, TypeError
            If texts, labels, names or parameters are not of the kind described, a name has no token, the model is not a
            T5, or the checkpoint is from other data.
        MemoryError
            If a GPU has too little memory; the message says which parameters to reduce.
        """
        self._fitted = False  # It stays so if anything below fails.
        import_transformers("T5Classifier")
        self._check_parameters()
        self._target = self._new_target()
        return super().fit(X, self._target.encode(y))

    def _fit(self, X: Any, Y: csr_array) -> None:
        from xclassic.neural.fitting import fit_network
        from xclassic.neural.network import load_network

        network = load_network(self.model, self.tokenizer, self.random_state)
        self._set_trie(self._target.trie(network, self.classes_, self.label_names))
        tokens, self.n_truncated_ = network.encode(X, self.max_length)
        warn_of_cuts(self.n_truncated_, len(tokens), self.max_length)
        self._network, self._stored = network, None
        try:
            with memory_errors(TRAINING_KNOBS):
                network.model.to(choose_device(self.device))
                self.curve_ = fit_network(self, tokens, Y)
        except BaseException:
            self._network = None
            del network  # Otherwise the error would keep its memory.
            raise

    def _set_trie(self, trie: TokenTrie) -> None:
        self.trie_, self._choices = trie, Choices([trie])
        # What is trained: choices among all that can be written, which may be more than the labels.
        self._written = self._target.choices(trie) if self._is_product() else self._choices

    def _bfloat16(self, device: Any) -> bool:
        return self.dtype == "bfloat16" or (self.dtype == "auto" and has_bfloat16(device))

    # Prediction

    def _topk(self, X: Any, k: int, labels: NDArray[np.int32] | None, stop: StopByte) -> TopK:
        ids, scores = self._search(self._choices, self._tokens(X), k, labels)
        return TopK(ids.astype(np.int32), scores, (ids >= 0).sum(axis=1, dtype=np.int32))

    def _weighted_topk(
        self, X: Any, k: int, labels: NDArray[np.int32] | None, weights: ScoreWeights | None, stop: StopByte
    ) -> TopK:
        if weights is None:
            return self._topk(X, k, labels, stop)
        depth = min(max(self.beam, FIRST * k), self.classes_.size)  # A wider beam costs as much more.
        return weights.reranked(self._topk(X, depth, labels, stop), k)

    def _tokens(self, X: Any) -> list[list[int]]:
        with memory_errors("the model itself does not fit; use device='cpu'"):
            network = self._ready()
        tokens, n_cut = network.encode(X, self.max_length)
        warn_of_cuts(n_cut, len(tokens), self.max_length)
        return tokens  # type: ignore[no-any-return]

    def _search(
        self, choices: Choices, tokens: list[list[int]], k: int, labels: NDArray[np.int32] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        from xclassic.neural.decoding import search_all

        with memory_errors("lower beam, k or max_length"):
            network = self._ready()
            return search_all(
                network,
                choices,
                tokens,
                k=k,
                beam=max(self.beam, k),
                labels=labels,
                bfloat16=self._bfloat16(network.model.device),
                verbose=bool(self.verbose),
            )

    def predict_proba(self, X: Any, *, max_scores: int = 100) -> NDArray[np.float32]:
        """Return class probabilities after a fit on a class vector; each row sums to one.

        Parameters
        ----------
        X : texts or records
        max_scores : int, default=100
            Not used: all classes are scored, which takes a search as wide as there are classes.

        Returns
        -------
        ndarray of float32, shape (n_rows, n_classes)

        Raises
        ------
        AttributeError
            After a fit on sets of labels, whose scores are not probabilities of each label on its own.
        """
        if getattr(self, "_target_kind", "vector") != "vector":
            raise AttributeError("predict_proba needs a fit on a class vector; use decision_function.")
        top = self.predict_topk(X, self.classes_.size)
        scores = np.zeros((top.n_rows, self.classes_.size), np.float32)
        np.put_along_axis(scores, top.ids, np.exp(top.scores), axis=1)
        return scores

    @property
    def codes_(self) -> NDArray[np.int32]:
        """The digits of each label, after a fit with ``target="code"``."""
        return self._target.codes  # type: ignore[no-any-return]

    # Persistence

    def __getstate__(self) -> dict[str, Any]:
        """Return the state with the network as files, which do not depend on a device."""
        state = dict(super().__getstate__())
        if state.get("_network") is not None:
            from xclassic.neural.network import network_arrays

            state |= {"_network": None, "_stored": network_arrays(self._network)}
        return state

    def _ready(self) -> Any:
        """Return the network on its device; the first use makes it from the stored one."""
        with LOADING:
            if self._network is None:
                network = self._restored()
                network.model.to(choose_device(self.device))
                self._network = network
        return self._network

    def _restored(self) -> Any:
        from xclassic.neural.network import restored_network

        network = restored_network(*self._stored)
        highest = max(int(choices.used_tokens.max()) for choices in (self._choices, self._written))
        if highest >= network.model.config.vocab_size:
            raise ModelFileError(f"The trie has token {highest}, the T5 only {network.model.config.vocab_size} tokens.")
        return network

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        from xclassic.neural.network import network_arrays

        arrays, metadata = network_arrays(self._ready())
        arrays |= with_prefix("trie.", self.trie_.arrays()) | self._target.arrays()
        learned = {"curve": self.curve_, "n_truncated": self.n_truncated_}
        return arrays, metadata | learned | self._target.metadata()

    def _fitted_arrays(self) -> Arrays:
        parameters = self._ready().model.named_parameters()
        return {f"weights of {name}": parameter.detach().cpu().numpy() for name, parameter in parameters}

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        self._target = self._new_target()
        self._target.restore(arrays, metadata, self.classes_)
        self._set_trie(TokenTrie.restored(without_prefix("trie.", arrays), self.classes_.size))
        self.curve_, self.n_truncated_ = list(metadata["curve"]), int(metadata["n_truncated"])
        self._network = None
        self._stored = ({name: arrays[name] for name in FILES}, {name: metadata[name] for name in NETWORK_METADATA})
        if verify == "full":
            self._restored()

    def estimate_memory(self, X: Any, y: Any) -> int:
        """Return the number of bytes that ``fit(X, y)`` will need at its peak, beyond `X` and `y` themselves.

        Parameters
        ----------
        X, y
            As for ``fit``; only the number of rows is read.

        Returns
        -------
        int
            An estimate of weights, gradients, moments of AdamW and activations of a batch. The configuration of the
            model is loaded for it.
        """
        import_transformers("T5Classifier")
        from xclassic.neural.network import count_weights

        self._check_parameters()
        n_weights, per_token = count_weights(self.model)
        n_tokens = self.max_length * -(-self.batch_size // self.accumulate)
        activations = n_tokens * per_token * (1 if self.gradient_checkpointing else 4)
        return int((8 if self.lora_rank else 16) * n_weights + activations + 8 * self.max_length * len(X))


LOADING = fork_safe_lock()
TRAINING_KNOBS = (
    "lower batch_size and raise accumulate by as much, set gradient_checkpointing=True, lower max_length, compute in "
    "dtype='bfloat16', or train less with lora_rank"
)
FILES = ("weights.safetensors", "tokenizer.json")
NETWORK_METADATA = ("config", "special_tokens")
