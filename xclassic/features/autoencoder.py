"""A short dense code for every row, from which the row can be rebuilt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.extmath import randomized_svd
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from xclassic.rows import row_products
from xclassic.storage.arrays import FINITE, stored_array
from xclassic.storage.folder import Arrays, ModelFileError, Verify
from xclassic.storage.models import Metadata
from xclassic.validation.features import Features, check_features, check_rows
from xclassic.validation.parameters import check_choice, check_common, check_number

Array = NDArray[np.float32]

ACTIVATIONS: dict[str | None, Callable[[Array], Array]] = {
    None: lambda values: values,
    "relu": lambda values: np.maximum(values, 0),
    "tanh": np.tanh,
}
TANH_RANGE = 0.5  # Largest argument at the start; up to there tanh is linear within 8 %.


class Coder(NamedTuple):
    """Weights of encoder and decoder.

    Attributes
    ----------
    encoder, decoder : ndarray of float32, shape (n_features, n_components)
    encoder_bias : ndarray of float32, shape (n_components,)
    decoder_bias : ndarray of float32, shape (n_features,)
    """

    encoder: Array
    encoder_bias: Array
    decoder: Array
    decoder_bias: Array


class Autoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    r"""Dense codes of a few hundred numbers that keep as much of each row as possible.

    A row x has the code :math:`c = \phi(x E + b)` and is rebuilt as :math:`\hat x = c D^\top + a`, where the mean of
    :math:`\|x - \hat x\|^2` over the training rows is small. Training starts from a truncated singular value
    decomposition, which is the best linear choice without biases, and with `epochs` above 0 goes on from there by
    gradient descent on all of E, b, D and a.

    Parameters
    ----------
    n_components : int, default=256
        Length of a code; at most the number of training rows and of features.
    activation : {None, "tanh", "relu"}, default=None
        The function :math:`\phi`; None is the identity, which makes the codes linear in the features.
    epochs : int, default=0
        Passes of gradient descent over the rows; above 0 needs PyTorch (``pip install "xclassic[neural]"``). The
        weights with the smallest error after any pass or at the start are kept.
    batch_size : int, default=256
        Rows per step of gradient descent.
    learning_rate : float, default=0.0001
        Learning rate of Adam at the start, above 0; it falls linearly to 0, so that noise does not prevent convergence.
    random_state : int, RandomState instance or None, default=0
        Seed of the decomposition, which is randomized, and of the order of the rows in training.
    verbose : int, default=0
        Above 0, show the progress of training with the time left.

    Attributes
    ----------
    encoder_, decoder_ : ndarray of float32, shape (n_features, n_components)
        E and D.
    encoder_bias_ : ndarray of float32, shape (n_components,)
        b.
    decoder_bias_ : ndarray of float32, shape (n_features,)
        a.
    errors_ : ndarray of float64, shape (n_epochs + 1,)
        The mean of :math:`\|x - \hat x\|^2` over the training rows at the start and after each pass.
    n_features_in_ : int
        Number of features seen in ``fit``.
    feature_names_in_ : ndarray of str, shape (n_features,)
        Names of the features, only if `X` had column names that are all strings.

    See Also
    --------
    sklearn.decomposition.TruncatedSVD : The start alone.

    Notes
    -----
    The decoder is linear, so no training can bring the error below the error of as many principal components. Training
    gains only what the biases contribute: much where features are far from zero on average, and little on sparse text,
    where the start is all you need. ``"tanh"`` and ``"relu"`` change the range of the codes.

    ``transform`` returns codes, row i for row i of its argument; only training takes rows in another order. The code of
    a sparse row does not depend on the other rows passed; the code of a dense row may differ in the last bits.

    The start is exact for training rows with ``"relu"`` too, as biases raise all codes above 0, and nearly so with
    ``"tanh"``, by codes scaled down to where it is almost straight.

    Sparse features stay sparse. The error is computed without the rebuilt rows, as
    :math:`\|x\|^2 - 2 x \cdot \hat x + \|\hat x\|^2` with :math:`D^\top D` for the last term. Cost of a pass:
    O(nnz k + n / batch_size d k^2) for k components; memory some 40 d k bytes while training, and the codes.

    References
    ----------
    .. [1] P. Baldi and K. Hornik, "Neural networks and principal component analysis: learning from examples without
       local minima", Neural Networks 2, 1989.
    .. [2] N. Halko, P.-G. Martinsson and J. A. Tropp, "Finding structure with randomness", SIAM Review 53, 2011.

    Examples
    --------
    >>> from xclassic.datasets import load_bibtex
    >>> from xclassic.features import Autoencoder
    >>> data = load_bibtex()
    >>> encoder = Autoencoder(64).fit(data.X)
    >>> encoder.transform(data.X_test).shape
    (2515, 64)
    """

    encoder_: Array
    encoder_bias_: Array
    decoder_: Array
    decoder_bias_: Array
    errors_: NDArray[np.float64]
    n_features_in_: int

    def __init__(
        self,
        n_components: int = 256,
        *,
        activation: str | None = None,
        epochs: int = 0,
        batch_size: int = 256,
        learning_rate: float = 1e-4,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.activation = activation
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    @property
    def _n_features_out(self) -> int:
        return self.encoder_.shape[1]

    def _check_parameters(self) -> None:
        check_common(self)
        check_number("n_components", self.n_components, minimum=1, integer=True)
        check_choice("activation", self.activation, tuple(ACTIVATIONS))
        check_number("epochs", self.epochs, minimum=0, integer=True)
        check_number("batch_size", self.batch_size, minimum=1, integer=True)
        check_number("learning_rate", self.learning_rate, minimum=0, inclusive=False)

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn to code rows.

        Parameters
        ----------
        X : sparse matrix or array-like, shape (n_rows, n_features)
            Features; sparse ones stay sparse.
        y : object, optional
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is out of range, `X` has fewer rows or features than `n_components`, or entries that are NaN,
            infinite or too large.
        ImportError
            If `epochs` is above 0 and PyTorch is not installed.
        """
        self._check_parameters()
        if self.epochs:
            _import_torch()  # A missing PyTorch is reported here, not after the decomposition.
        X = check_features(self, X, reset=True)
        if self.n_components > min(X.shape):
            raise ValueError(
                f"n_components is {self.n_components} but X has n_samples = {X.shape[0]} and n_features = "
                f"{X.shape[1]}; it can be at most the smaller of the two."
            )
        rng = check_random_state(self.random_state)
        self._set(_linear_start(X, self.n_components, self.activation, rng))
        self.errors_ = np.array([self.reconstruction_error(X)])
        if self.epochs:
            self._train(X, rng)
        return self

    def transform(self, X: Any) -> Array:
        """Return the code of each row.

        Parameters
        ----------
        X : sparse matrix or array-like, shape (n_rows, n_features)
            Features as in ``fit``; zero rows are allowed.

        Returns
        -------
        ndarray of float32, shape (n_rows, n_components)
            Codes in the order of the rows of `X`.

        Raises
        ------
        ValueError
            If `X` does not fit the fitted features.
        sklearn.exceptions.NotFittedError
            If ``fit`` was not called.
        """
        check_is_fitted(self)
        return self._encode(check_features(self, X, reset=False))

    def inverse_transform(self, X: ArrayLike) -> Array:
        """Rebuild rows from their codes.

        Parameters
        ----------
        X : array-like, shape (n_rows, n_components)
            Codes from ``transform``.

        Returns
        -------
        ndarray of float32, shape (n_rows, n_features)
            Dense: pass few rows at a time if there are many features.

        Raises
        ------
        ValueError
            If `X` has another number of columns than codes have, or entries that are NaN or infinite.
        """
        check_is_fitted(self)
        codes = check_rows(X, "X")
        if codes.shape[1] != self._n_features_out:
            raise ValueError(
                f"X has {codes.shape[1]} columns but codes have {self._n_features_out}; pass what transform returns."
            )
        return codes @ self.decoder_.T + self.decoder_bias_

    def reconstruction_error(self, X: Any) -> float:
        r"""Return the mean of :math:`\|x - \hat x\|^2` over rows.

        Parameters
        ----------
        X : sparse matrix or array-like, shape (n_rows, n_features)
            Features as in ``fit``, at least one row.

        Returns
        -------
        float
            At least 0. No rebuilt row is formed; memory is twice the size of the codes.
        """
        check_is_fitted(self)
        X = check_features(self, X, reset=False)
        if X.shape[0] == 0:
            raise ValueError("X has no rows; a mean needs at least one.")
        codes = self._encode(X)
        values = _values(X)
        # The sums over all rows nearly cancel, so they are in float64 and with codes centered at 0.
        mean = codes.mean(axis=0, dtype=np.float64)
        codes = codes - mean.astype(np.float32)
        bias = self.decoder_bias_ + self.decoder_ @ mean
        squares = np.dot(values, values.astype(np.float64))
        products = np.vdot(X @ self.decoder_, codes.astype(np.float64)) + (X @ bias).sum()
        gram = (codes.T @ codes).astype(np.float64)
        rebuilt = np.vdot(gram, self.decoder_.T @ self.decoder_)
        return max(0.0, float(squares - 2 * products + rebuilt) / X.shape[0] + float(bias @ bias))

    def _encode(self, X: Features) -> Array:
        return ACTIVATIONS[self.activation](row_products(X, self.encoder_) + self.encoder_bias_)

    def _set(self, coder: Coder) -> None:
        self.encoder_, self.encoder_bias_, self.decoder_, self.decoder_bias_ = coder

    def _train(self, X: Features, rng: np.random.RandomState) -> None:
        """Improve the weights by gradient descent, and keep the best ones."""
        torch = _import_torch()
        best = Coder(self.encoder_, self.encoder_bias_, self.decoder_, self.decoder_bias_)
        weights = [torch.tensor(array, requires_grad=True, device="cpu") for array in best]
        optimizer = torch.optim.Adam(weights, lr=self.learning_rate)
        n_steps = self.epochs * -(-X.shape[0] // self.batch_size)
        decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, n_steps)
        errors = list(self.errors_)
        for _ in tqdm(range(self.epochs), desc="training", leave=False, disable=not self.verbose):
            order = rng.permutation(X.shape[0])
            for start in range(0, X.shape[0], self.batch_size):
                optimizer.zero_grad()
                _batch_error(torch, X[order[start : start + self.batch_size]], weights, self.activation).backward()
                optimizer.step()
                decay.step()
            self._set(Coder(*(tensor.detach().numpy() for tensor in weights)))
            errors.append(self.reconstruction_error(X))
            if errors[-1] <= min(errors[:-1]):
                best = Coder(*(tensor.detach().numpy().copy() for tensor in weights))
        self._set(best)
        self.errors_ = np.array(errors)

    # Persistence

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the fitted state as arrays, for the model folder of an estimator that owns this transformer.

        Returns
        -------
        dict of str to ndarray
            The argument of `from_arrays`.
        """
        check_is_fitted(self)
        weights = Coder(self.encoder_, self.encoder_bias_, self.decoder_, self.decoder_bias_)
        return {**weights._asdict(), "activation": np.array(str(self.activation))}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return a fitted transformer from the result of `arrays`.

        Parameters
        ----------
        arrays : mapping of str to ndarray
            They may be read-only and mapped from a file.

        Returns
        -------
        Autoencoder
            It gives the same codes as the stored one; parameters of training have their defaults.

        Raises
        ------
        ModelFileError
            If arrays are missing, do not fit each other, or are not finite.
        """
        try:
            weights = Coder(*(arrays[name] for name in Coder._fields))
            activation = {str(name): name for name in ACTIVATIONS}[str(arrays["activation"])]
        except KeyError as error:
            raise ModelFileError(f"The autoencoder has no array or activation named {error}.") from error
        for name, array in weights._asdict().items():
            if array.dtype != np.float32 or not np.isfinite(array).all():
                raise ModelFileError(f"Array {name} of the autoencoder has dtype {array.dtype} or is not finite.")
        shape = weights.encoder.shape
        if len(shape) != 2 or 0 in shape or [array.shape for array in weights] != [shape, shape[1:], shape, shape[:1]]:
            raise ModelFileError(f"The arrays of the autoencoder have shapes {[array.shape for array in weights]}.")
        autoencoder = cls(shape[1], activation=activation)
        autoencoder._set(weights)
        autoencoder.n_features_in_ = shape[0]
        return autoencoder

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        return {**self.arrays(), "errors": getattr(self, "errors_", np.empty(0))}, {}

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        stored = self.from_arrays(arrays)
        found = (stored.n_features_in_, stored.n_components, stored.activation)
        if found != (self.n_features_in_, self.n_components, self.activation):
            raise ModelFileError(f"The arrays of the autoencoder are those of another one, of {found}.")
        self._set(Coder(stored.encoder_, stored.encoder_bias_, stored.decoder_, stored.decoder_bias_))
        self.errors_ = stored_array(arrays, "errors", np.float64, (None,), (0, FINITE[1]))


def _linear_start(X: Features, n_components: int, activation: str | None, rng: np.random.RandomState) -> Coder:
    """Return the weights that rebuild the rows in the same way as their singular value decomposition."""
    # This many extra dimensions bring the error within 0.01 % of the smallest possible on bibtex; 10 bring it to 0.3 %.
    n_oversamples = max(10, n_components // 2)
    _, _, rows = randomized_svd(X, n_components, n_oversamples=n_oversamples, n_iter=7, random_state=rng)
    axes = np.ascontiguousarray(rows.T, np.float32)
    bias, decoder_bias = np.zeros(n_components, np.float32), np.zeros(X.shape[1], np.float32)
    if activation == "relu":
        bias = np.maximum(0, -(X @ axes).min(axis=0)).astype(np.float32)
        decoder_bias = -(axes @ bias)
    scale = np.float32(1)
    if activation == "tanh":
        scale = np.float32(TANH_RANGE / max(np.abs(X @ axes).max(), np.finfo(np.float32).tiny))
    return Coder(axes * scale, bias, axes / scale, decoder_bias)


def _values(X: Features) -> Array:
    """Return the entries that may differ from 0."""
    return X.data if isinstance(X, csr_array) else X.ravel()


def _import_torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            "Autoencoder with epochs above 0 trains with PyTorch, which is not installed: pip install "
            "'xclassic[neural]', or set epochs=0 for the linear start alone."
        ) from error
    return torch


def _batch_error(torch: Any, X: Features, weights: list[Any], activation: str | None) -> Any:
    """Return the mean squared error of a few rows, without forming rebuilt rows."""
    encoder, encoder_bias, decoder, decoder_bias = weights
    codes = _product(torch, X, encoder) + encoder_bias
    if activation is not None:
        codes = getattr(torch, activation)(codes)
    products = (_product(torch, X, decoder) * codes).sum() + _product(torch, X, decoder_bias[:, None]).sum()
    rebuilt = ((codes.T @ codes) * (decoder.T @ decoder)).sum() + 2 * codes.sum(dim=0) @ (decoder.T @ decoder_bias)
    values = _values(X)
    squares = float(values @ values)
    return (squares - 2 * products + rebuilt) / X.shape[0] + decoder_bias @ decoder_bias


def _product(torch: Any, X: Features, weights: Any) -> Any:
    if isinstance(X, csr_array):
        return torch.nn.functional.embedding_bag(
            torch.from_numpy(X.indices),
            weights,
            torch.from_numpy(X.indptr[:-1]),
            mode="sum",
            per_sample_weights=torch.from_numpy(X.data),
        )
    return torch.from_numpy(X) @ weights
