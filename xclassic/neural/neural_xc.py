"""NeuralXC: an autoencoder of rows, one of label vectors, and a regressor between their codes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from sklearn.base import clone

from xclassic.neural.base import NetworkClassifier
from xclassic.storage.folder import Arrays, ModelFileError, Verify
from xclassic.storage.models import Metadata
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_choice, check_number, check_numbers, check_share

MOST_CODES = 1024  # Most numbers of a code by default.
START = ("linear", "log-odds", "random")
DECAY = ("decoupled", "coupled")

Layers = int | tuple[int, ...] | None


class NeuralXC(NetworkClassifier):
    r"""Two autoencoders, of rows and of label vectors, and a regressor between their codes, trained together.

    The input encoder :math:`\phi_i` makes a code of a row, the regressor f the code of its labels from it, and the
    label decoder :math:`\psi_o` the log-odds of the labels. Beside them an input decoder :math:`\psi_i` and a label
    encoder :math:`\phi_o`, which the fitted model does not keep, rebuild rows and label vectors from their codes:

    .. math:: \min \sum_i BCE(\psi_o(f(\phi_i(x_i))), y_i) + \alpha \, MSE(\psi_i(\phi_i(x_i)), x_i)
        + \beta \, MSE(\sigma(\psi_o(\phi_o(y_i))), y_i),

    each a mean over labels or features. By default the layers stand beside linear paths and add to them, and training
    starts from what has a closed form: singular vectors as the input encoder, a ridge regression of reduced rank from
    the codes and the regressor's hidden layer, which is random, and scores made log-odds. Held-out rows choose the
    number of epochs, which may be 0, and then all rows are trained on.

    Parameters
    ----------
    input_layers : int or tuple of int, optional
        Widths of the layers of the input encoder; the last is the length of the code. By default one layer of the
        number of features, at most 1,024.
    regressor_layers : int or tuple of int, optional
        Widths of the hidden layers between the codes, () for none. By default one of four times the length of the code
        of a row, at most 1,024.
    label_layers : int or tuple of int, optional
        Widths of the layers of the label encoder; the decoder has them in reverse. The last is the length of the label
        code. By default one layer of the number of labels, at most the length of the code of a row.
    activation : {"relu", "tanh"}, default="relu"
        What each layer ends in. Where the start is linear, the last layer of each of the three parts has none, so that
        parts of one layer are linear.
    start : {"linear", "log-odds", "random"}, default="linear"
        "log-odds" draws the weights, without linear paths beside the layers, and sets the bias of each label to the
        log-odds of its frequency; "random" starts biases at 0, as published.
    penalty : float, optional
        Penalty of the ridge regression that a linear start makes, above 0; by default that one of 1, 3 and 10 for which
        training rows rank best that are left out of it.
    alpha : float, default=0.0
        Weight of the error of rebuilt rows, at least 0. Above 0 a batch is made dense.
    beta : float, default=0.0
        Weight of the error of rebuilt label vectors, at least 0.
    dropout : float, default=0.2
        Share of the numbers of a code, and of hidden layers, that are left out at random in training, in [0, 1).
    averaging : float, default=0.98
        Decay of the moving average over steps, in [0, 1), whose weights are validated and kept; 0 takes the last
        weights.
    decay : {"decoupled", "coupled"}, default="decoupled"
        Whether weight decay acts on the weights, as in AdamW, or as a term of the gradient, as in Adam and in [1]_.
    refit : bool, default=True
        Train again on all rows, for the best number of epochs, once held-out rows have chosen it.
    {shared}

    Attributes
    ----------
    layers_ : dict of str to list of int
        Widths of the layers "input", "regressor" and "label".
    curve_ : list of dict
        For each epoch its number, mean loss and validation score; a linear start is epoch 0, without a loss.
    output_ : BlockWeights
        The last layer of the label decoder.

    See Also
    --------
    CPLST : The linear start alone, with codes of the labels in closed form.
    LEML : A linear model of low rank under a choice of losses.

    Notes
    -----
    Scores are probabilities of each label by itself. Rows without labels are not used, and labels without rows are
    never predicted. The decoder of rows is linear at its end, so features may have any range.

    As published [1]_, with random weights and short codes that end in tanh, ten epochs on bibtex teach the network the
    frequencies of the labels and nothing else. The guide shows what mends it.

    Cost: for the start, a decomposition of the rows, and ``m^2`` for each row and label, where m is the length of the
    code and the width of the last hidden layer together, at most 2,048 by default. A step costs the nonzero entries of
    its rows times the width of the first layer, its rows times the weights of the other layers, and a visit of all
    weights. Memory: 28 bytes for each weight, those of the first layer and of the labels above all, and ``8 m`` for
    each row and ``24 m`` for each label.

    References
    ----------
    .. [1] "Extreme classification", course project, 2018, github.com/vishwakftw/extreme-classification.
    .. [2] P. Baldi and K. Hornik, "Neural networks and principal component analysis: learning from examples without
       local minima", Neural Networks 2, 1989 (what linear autoencoders learn).

    Examples
    --------
    >>> from xclassic import NeuralXC, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> clf = NeuralXC(epochs=3).fit(bibtex.X, bibtex.Y)  # doctest: +SKIP
    >>> clf.predict_topk(bibtex.X_test[:1], k=3).ids.shape  # doctest: +SKIP
    (1, 3)
    """

    layers_: dict[str, list[int]]

    def __init__(
        self,
        input_layers: int | tuple[int, ...] | None = None,
        regressor_layers: int | tuple[int, ...] | None = None,
        label_layers: int | tuple[int, ...] | None = None,
        *,
        activation: str = "relu",
        start: str = "linear",
        penalty: float | None = None,
        alpha: float = 0.0,
        beta: float = 0.0,
        dropout: float = 0.2,
        averaging: float = 0.98,
        decay: str = "decoupled",
        refit: bool = True,
        normalize: bool = True,
        epochs: int = 4,
        batch_size: int = 128,
        learning_rate: float = 3e-4,
        weight_decay: float = 0.01,
        validation: float = 0.1,
        patience: int = 2,
        checkpoint: str | Path | None = None,
        device: str | None = None,
        n_jobs: int | None = None,
        random_state: int = 0,
        verbose: int = 0,
    ) -> None:
        self.input_layers = input_layers
        self.regressor_layers = regressor_layers
        self.label_layers = label_layers
        self.activation = activation
        self.start = start
        self.penalty = penalty
        self.alpha = alpha
        self.beta = beta
        self.dropout = dropout
        self.averaging = averaging
        self.decay = decay
        self.refit = refit
        self.normalize = normalize
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
        for name in ("input_layers", "regressor_layers", "label_layers"):
            check_layers(name, getattr(self, name), empty=name == "regressor_layers")
        check_choice("activation", self.activation, ("relu", "tanh"))
        check_choice("start", self.start, START)
        check_choice("decay", self.decay, DECAY)
        check_choice("refit", self.refit, (True, False))
        if self.penalty is not None:
            check_number("penalty", self.penalty, minimum=0, inclusive=False)
        for name in ("alpha", "beta"):
            check_number(name, getattr(self, name), minimum=0)
        for name in ("dropout", "averaging"):
            check_share(name, getattr(self, name))

    # The network

    def _fit(self, X: Features, Y: csr_array) -> None:
        self.layers_ = self._layers(X.shape[1], np.unique(Y.indices).size)
        super()._fit(X, Y)
        scores = [(entry["score"], int(entry["epoch"])) for entry in self.curve_ if "score" in entry]
        if self.refit and scores:
            whole = clone(self).set_params(validation=0, epochs=max(scores)[1], checkpoint=None)
            whole.n_features_in_, whole.classes_ = self.n_features_in_, self.classes_
            whole._fit(X, Y)
            self._body, self.output_ = whole._body, whole.output_

    def _layers(self, d: int, L: int) -> dict[str, list[int]]:
        """Return the widths of the layers for d features and L labels."""
        inputs = widths(self.input_layers, min(d, MOST_CODES))
        labels = widths(self.label_layers, max(1, min(L, inputs[-1])))
        hidden = widths(self.regressor_layers, min(4 * inputs[-1], MOST_CODES))
        return {"input": inputs, "regressor": [*hidden, labels[-1]], "label": labels}

    def _new_body(self) -> Any:
        from xclassic.neural.autoencoders import JointBody

        layers, direct = self.layers_, self.start == "linear"
        decoder = layers["label"][-2::-1]
        widths = layers["input"], layers["regressor"], decoder
        return JointBody(self.n_features_in_, *widths, self.activation, direct, self.dropout)

    def _training_network(self, body: Any, X: Features, Y: csr_array) -> Any:
        from xclassic.networks.batches import split_rows
        from xclassic.neural.autoencoders import JointNetwork, set_linear_start

        network = JointNetwork(body, Y, self.layers_, self.activation, self.start == "linear", self.alpha, self.beta)
        if self.start == "random":
            network.output.bias.data.zero_()
        if self.start == "linear" and Y.nnz:
            rows, _ = split_rows(Y, self.validation, self.random_state)
            set_linear_start(network, X[rows], csr_array(Y[rows]), self.penalty, self.random_state)
        return network

    def _training_options(self) -> dict[str, Any]:
        linear = self.start == "linear"
        return {"coupled": self.decay == "coupled", "averaging": self.averaging, "judges_start": linear}

    def _n_weights(self, d: int, L: int) -> int:
        layers = self._layers(d, L)
        inputs, labels = [d, *layers["input"]], [L, *layers["label"]]
        stacks = [inputs, [inputs[-1], *layers["regressor"]], labels]
        stacks += [inputs] * (self.alpha > 0) + [labels] * (self.beta > 0)
        # Beside layers there is a linear path.
        return sum(a * b for s in stacks for a, b in [*pairwise(s), *[(s[0], s[-1])] * (len(s) > 2)])

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        codes = sum(self._layers(d, L)[name][0] for name in ("input", "regressor"))
        average = 8 * self._n_weights(d, L) * (self.averaging > 0)
        start = (8 * n * codes + 24 * codes * (codes + L)) * (self.start == "linear")
        return super()._estimate_memory(n, d, L, nnz_x, nnz_y) + average + start

    # Persistence

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        arrays, metadata = super()._get_arrays()
        return arrays, metadata | {"layers": self.layers_}

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        layers = metadata["layers"]
        for name in ("input", "regressor", "label"):
            if not layers[name] or not all(type(width) is int and 0 < width < 2**31 for width in layers[name]):
                raise ModelFileError(f"The layers {name!r} of the model are {layers[name]!r}.")
        self.layers_ = layers
        super()._set_arrays(arrays, metadata, verify)


def check_layers(name: str, value: Any, *, empty: bool) -> None:
    """Raise unless a parameter is None, a width, or a tuple or list of widths."""
    none = empty and isinstance(value, (tuple, list)) and not value
    if value is not None and not none:
        check_numbers(name, value, minimum=1, integer=True)


def widths(value: int | tuple[int, ...] | None, default: int) -> list[int]:
    """Return the widths that a parameter stands for."""
    if value is None:
        return [default]
    return list(value) if isinstance(value, (tuple, list)) else [value]
