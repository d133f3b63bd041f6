"""Base of the classifiers that are a network of rows below one linear layer of labels."""

from __future__ import annotations

import sys
from os import PathLike
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import expit

from xclassic.base import XMCClassifier
from xclassic.blocks.weights import BlockWeights
from xclassic.networks.torch_support import choose_device, import_torch, memory_errors
from xclassic.parallel import StopByte, fork_safe_lock
from xclassic.shared_docs import PARAMETERS, complete
from xclassic.storage.arrays import stored_count, with_prefix, without_prefix
from xclassic.storage.folder import Arrays, Verify
from xclassic.storage.models import Metadata
from xclassic.topk import TopK
from xclassic.validation.parameters import check_number, check_share, check_type

LEAST = {"epochs": 0, "batch_size": 1, "patience": 1, "random_state": 0}
LOADING = fork_safe_lock()
VALIDATED_AT_ONCE = 256  # Rows whose scores of all labels are held in validation.
DESCRIPTIONS = PARAMETERS | {
    "epochs": """int, default={}
        Most passes over the training rows.""",
    "batch_size": """int, default={}
        Rows per step.""",
    "learning_rate": """float, default={}
        Peak learning rate of AdamW, above 0; it rises over the first tenth of the steps, then falls linearly to 0.""",
    "weight_decay": """float, default={}
        Weight decay of AdamW, at least 0, which is not part of the gradient (decoupled).""",
    "validation": """float, default={}
        Share of the rows that are held out to choose the best epoch by P@1, in [0, 1); 0 trains on all rows for all
        `epochs`. Labels of a single row stay in training.""",
    "patience": """int, default={}
        Epochs without improvement after which training ends.""",
    "checkpoint": """str or path, optional
        Folder for the state of training, after each epoch, every 1,000 steps and at Ctrl-C. A fit that finds one of
        the same data and parameters continues from it, to the same model.""",
    "device": """str, optional
        Such as "cpu" or "cuda:1"; by default the GPU if there is one.""",
    "n_jobs": """int, optional
        Workers of the steps outside of PyTorch, which has threads of its own. The model does not depend on it.""",
    "random_state": """int, default={}
        Seed of the weights, the batches, the held-out rows and dropout.""",
}


class NetworkClassifier(XMCClassifier):
    """Base of classifiers whose scores are a linear function of what a network makes of a row.

    A method assigns the parameters that `LEAST` names, `learning_rate`, `weight_decay`, `validation`, `checkpoint` and
    `device`, and defines the hooks below, which import PyTorch.

    ``_new_body()``
        Return the `xclassic.neural.label_network.Body`, with weights drawn from PyTorch's generator, which is seeded.
        It may depend on nothing but parameters and what a model folder restores. To restore it, it is called on the
        device "meta", where it takes no memory.
    ``_training_network(body, X, Y)``
        Return the `xclassic.neural.label_network.LabelNetwork` that is trained on some rows and labels: the body with a
        layer of labels, and with what else the loss needs. It may set weights to begin with.
    ``_training_options()``
        Return further settings of the `xclassic.networks.training.Plan`; by default none.
    ``_n_weights(d, L)``
        Return the number of weights that are trained, for `d` features and `L` labels; methods that take texts define
        ``estimate_memory`` instead.

    Attributes
    ----------
    curve_ : list of dict
        For each epoch its number, mean loss and validation score.
    output_ : BlockWeights
        The layer of labels.
    """

    _probabilistic = True
    _rows_per_task = sys.maxsize  # PyTorch has threads of its own.
    _not_saved: ClassVar[tuple[str, ...]] = ("checkpoint", "device")

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    validation: float
    patience: int
    checkpoint: str | PathLike[str] | None
    device: str | None
    random_state: int
    curve_: list[dict[str, float]]
    output_: BlockWeights
    _body: Any = None
    _stored: Arrays

    def __init_subclass__(cls, **options: Any) -> None:
        complete(cls, DESCRIPTIONS)
        super().__init_subclass__(**options)

    # Hooks

    def _new_body(self) -> Any:
        raise NotImplementedError

    def _training_network(self, body: Any, X: Any, Y: csr_array) -> Any:
        from xclassic.neural.label_network import LabelNetwork

        return LabelNetwork(body, Y)

    def _training_options(self) -> dict[str, Any]:
        return {}

    def _n_weights(self, d: int, L: int) -> int:
        raise NotImplementedError

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        # With each weight go its gradient, two moments of AdamW, and the weight of the best epoch.
        scores = L * max(16 * min(n, self.batch_size), 4 * min(n, VALIDATED_AT_ONCE))
        return 20 * self._n_weights(d, L) + scores + 12 * nnz_x

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name, minimum in LEAST.items():
            check_number(name, getattr(self, name), minimum=minimum, integer=True)
        check_number("learning_rate", self.learning_rate, minimum=0, inclusive=False)
        check_number("weight_decay", self.weight_decay, minimum=0)
        check_share("validation", self.validation)
        check_type("checkpoint", self.checkpoint, (str, PathLike), "a string or a path")

    def _fit(self, X: Any, Y: csr_array) -> None:
        import_torch(type(self).__name__)
        from xclassic.networks.torch_support import seeded
        from xclassic.neural.label_network import fit_network

        seen = np.flatnonzero(np.bincount(Y.indices, minlength=Y.shape[1]))
        rows, known = self._prepare(X), csr_array(Y[:, seen])
        self._body, self._stored = None, {}
        with memory_errors("lower batch_size, or use device='cpu'"):
            with seeded(self.random_state, choose_device("cpu")):
                network = self._training_network(self._new_body(), rows, known)
            network.to(choose_device(self.device)).eval()
            self.curve_ = fit_network(self, network, rows, known) if seen.size else []
        self._body = network.body.requires_grad_(False)
        weight, bias = network.output_arrays()
        self.output_ = BlockWeights.from_dense(weight, bias, seen, prune=0)

    # Prediction

    def _topk(self, X: Any, k: int, labels: NDArray[np.int32] | None, stop: StopByte) -> TopK:
        hidden, n_labels, n = self._hidden(X), self.classes_.size, k
        while True:  # Until probabilities that are equal in float32 are on one side, since their order is that of ids.
            n = min(n + 1, n_labels)
            top = self.output_.ranked(hidden, n, labels, stop=stop)
            p = np.where(top.filled(), expit(top.scores), np.float32(-np.inf))
            if n == n_labels or ((p[:, k - 1] > p[:, -1]) | (top.counts < n)).all():
                break
            n *= 4
        order = np.lexsort((top.ids, -p), axis=1)[:, :k]
        ids, scores = (np.take_along_axis(array, order, axis=1) for array in (top.ids, p))
        return TopK(ids, scores, np.minimum(top.counts, k))

    def _hidden(self, X: Any) -> NDArray[np.float32]:
        """Return what the body makes of each row, shape (n_rows, width)."""
        import_torch(type(self).__name__)
        from xclassic.neural.label_network import hidden_rows

        with memory_errors("use device='cpu'"):
            return hidden_rows(self._ready(), self._prepare(X))

    def _ready(self) -> Any:
        """Return the body on its device; the first use makes it from the stored arrays."""
        with LOADING:
            if self._body is None:
                from xclassic.neural.label_network import restored_body

                self._body = restored_body(self._new_body, self._stored).to(choose_device(self.device))
        return self._body

    # Persistence

    def __getstate__(self) -> dict[str, Any]:
        """Return the state with the body as arrays, which do not depend on a device."""
        state = dict(super().__getstate__())
        if state.get("_body") is not None:
            state |= {"_body": None, "_stored": self._body_arrays()}
        return state

    def _body_arrays(self) -> Arrays:
        if self._body is None:
            return self._stored
        return {name: tensor.detach().cpu().numpy() for name, tensor in self._body.state_dict().items()}

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        arrays = with_prefix("body.", self._body_arrays()) | with_prefix("output.", self.output_.arrays())
        return arrays, {"curve": self.curve_, "width": self.output_.n_features}

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        self._body, self._stored = None, without_prefix("body.", arrays)
        output, width = without_prefix("output.", arrays), stored_count(metadata, "width")
        self.output_ = BlockWeights.from_arrays(output, width, self.classes_.size, full=verify == "full")
        self.curve_ = list(metadata["curve"])
        if verify == "full":
            self._ready()
