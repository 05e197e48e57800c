"""Network: layer sizes, activations and one flat parameter vector; predict, loss, gradient.

    Z_0 = (X - shift) * scale   or X        Z_i = sigma_i(Z_{i-1} W_i + b_i)        Y_hat = Z_last

The compiled core does the arithmetic.  This file checks arguments, allocates results and guards
against two fits at once.  It promises to know nothing of training: no epochs, no solvers.
"""

import copy
import itertools
import os
from collections.abc import Sequence
from typing import Any, Literal, overload

import numpy as np

from .. import checks, losses
from ..activations import ACTIVATIONS, of_layers
from ..core.fit import claims
from ..core.gradient import evaluate
from ..core.gradient.objective import Objective
from ..core.gradient.plan import Plan
from ..errors import BusyError, InputError, InputMemoryError, InputTypeError
from ..machine import blas_threads, threads
from . import initialization, jacobians, posterior, scaling
from . import trace as tracing
from .posterior import Belief, Posterior
from .scaling import Scaling

__all__ = ["Network"]

# A forked child continues none of its parent's fits.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=claims.after_fork_in_child)


class Network:
    """A feed-forward network.

    Parameters
    ----------
    sizes : sequence of int
        The numbers of inputs, of units in each hidden layer (there may be none), and of outputs.
    activation : str or sequence of str
        The activation of the hidden layers: "sigmoid", "tanh", "relu", "silu" or another of
        ``cbackprop.activations.HIDDEN``; a sequence has one for each.  Other libraries' names are
        accepted too ("logsig", "swish", "linear", ...); docs/mathematics.md has the formulas and
        all names.
    output_activation : str
        The activation of the output layer: one of the same, "softmax" (probabilities of classes) or
        "exp" (positive rates).
    bias : bool
        Whether each layer has biases.
    dtype : "float64" or "float32"
        The dtype of the parameters and of all arithmetic; sums over rows are in float64 where
        precision matters.
    init, seed
        As in `initialize`.

    Attributes
    ----------
    parameters : ndarray, (n_parameters,)
        All parameters, W1, b1, W2, b2, ..., flat and writable; changes take effect from the next
        call.
    weights, biases : tuple of ndarray
        Views into `parameters`: W_i (n_{i-1}, n_i) and b_i (n_i,).  Without biases `biases` is ().
    input_scaling : Scaling or None
        Applied to X by every method and in training; saved with the network.
    output_scaling : Scaling or None
        Saved with the network.
    posterior : Posterior or None
        What ``predict(X, return_std=True)`` needs; saved with the network.
    annotations : dict
        Free for the user, for values that JSON can hold; saved with the network.

    Raises
    ------
    InputError, InputTypeError, InputMemoryError
        On sizes, names or a dtype that cannot be used.

    Notes
    -----
    `predict`, `loss` and `gradient` may be called from many threads.  Only one fit at a time may
    train a network; meanwhile they see its parameters between two steps.  Copies and pickles are
    independent networks with their own parameters.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        activation: str | Sequence[str] = "sigmoid",
        output_activation: str = "sigmoid",
        bias: bool = True,
        dtype: Any = "float64",
        init: str = "auto",
        seed: Any = None,
    ) -> None:
        bias = checks.boolean("bias", bias)
        dtype = checks.float_dtype("dtype", dtype)
        sizes = checks.layer_sizes(sizes, bias=bias, itemsize=dtype.itemsize)
        activations = of_layers(activation, output_activation, len(sizes) - 2)
        checks.choice("init", init, initialization.INITIALIZATIONS)
        seed = checks.seed_number("seed", seed)
        self._build(sizes, activations, bias, dtype)
        self.initialize(init=init, seed=seed)

    def _build(
        self, sizes: tuple[int, ...], activations: tuple[str, ...], bias: bool, dtype: np.dtype
    ) -> None:
        """Everything but the parameters' values."""
        self._sizes, self._activations, self._bias, self._dtype = sizes, activations, bias, dtype
        try:
            codes = tuple(ACTIVATIONS[name].code for name in activations)
            self._plan = Plan(sizes, codes, bias, dtype.name)
            self._parameters = np.zeros(self._plan.n_parameters, dtype)
        except (MemoryError, OverflowError) as error:
            raise InputMemoryError(
                f"sizes is {sizes}: there is not enough memory for such a network ({error}); "
                "expected smaller layers"
            ) from error
        plan = self._plan
        self._one_task_rows = plan.leaf_rows if plan.partition == "leaves" else 0
        weights, biases, start = [], [], 0
        for n_in, n_out in itertools.pairwise(sizes):
            weights.append(self._parameters[start : start + n_in * n_out].reshape(n_in, n_out))
            start += n_in * n_out
            if bias:
                biases.append(self._parameters[start : start + n_out])
                start += n_out
        self._weights, self._biases = tuple(weights), tuple(biases)
        self._input_scaling: Scaling | None = None
        self._scaling: tuple[np.ndarray, np.ndarray] | None = None
        self._output_scaling: Scaling | None = None
        self._target_scaling: tuple[np.ndarray, np.ndarray] | None = None
        self._belief: Belief | None = None
        self._claims: dict[str, tuple[int, object]] = {}
        self.annotations: dict[str, Any] = {}

    # ------------------------------------------------------------------------------ what it is

    @property
    def sizes(self) -> tuple[int, ...]:
        """(n_in, hidden..., n_out)."""
        return self._sizes

    @property
    def activations(self) -> tuple[str, ...]:
        """One name for each layer of weights, the output's last."""
        return self._activations

    @property
    def bias(self) -> bool:
        """Whether the layers have biases."""
        return self._bias

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the parameters and of all arithmetic."""
        return self._dtype

    @property
    def n_parameters(self) -> int:
        """How many parameters there are."""
        return self._parameters.size

    @property
    def weights(self) -> tuple[np.ndarray, ...]:
        """W1, W2, ...: views into `parameters`."""
        return self._weights

    @property
    def biases(self) -> tuple[np.ndarray, ...]:
        """b1, b2, ...: views into `parameters`; () without biases."""
        return self._biases

    @property
    def parameters(self) -> np.ndarray:
        """W1, b1, W2, b2, ... in one flat, writable array."""
        return self._parameters

    @parameters.setter
    def parameters(self, values: Any) -> None:
        raise AttributeError(
            "parameters cannot be replaced, since weights and biases are views into it; "
            "write its elements: net.parameters[:] = ..."
        )

    @property
    def input_scaling(self) -> Scaling | None:
        """The scaling applied to X first, or None."""
        return self._input_scaling

    @input_scaling.setter
    def input_scaling(self, scaling: Scaling | None) -> None:
        arrays = self._input_scaling_in_dtype(scaling)
        with self._writing("set input_scaling"):
            self._input_scaling, self._scaling = scaling, arrays

    @property
    def output_scaling(self) -> Scaling | None:
        """The scaling applied to Y before the loss and undone in predict, or None.

        The network computes (y - shift) * scale; `predict` returns y.
        """
        return self._output_scaling

    @output_scaling.setter
    def output_scaling(self, scaling: Scaling | None) -> None:
        arrays = self._output_scaling_in_dtype(scaling)
        with self._writing("set output_scaling"):
            self._output_scaling, self._target_scaling = scaling, arrays

    @property
    def posterior(self) -> Posterior | None:
        """The distribution of the parameters that a fit has estimated, or None.

        It belongs to the parameters and scalings that the network had then; later changes make it
        stale, but do not clear it.
        """
        return None if self._belief is None else self._belief.posterior

    @posterior.setter
    def posterior(self, posterior: Posterior | None) -> None:
        with self._writing("set posterior"):
            self._set_posterior(posterior)

    def _set_posterior(self, posterior: Posterior | None) -> None:
        """The setter's work, for a fit that has claimed the network."""
        self._belief = None if posterior is None else Belief.of(self, posterior)

    def _posterior_in_use(self) -> Posterior:
        """The posterior, or an error if there is none or it is stale."""
        remedy = "fit with BayesianRegularization(keep_posterior=True)"
        if self._belief is None:
            raise InputError(f"return_std is True and the network has no posterior; {remedy}")
        if self._belief.is_stale(self):
            raise InputError(
                "return_std is True and the network's posterior is of other parameters or "
                f"scalings, which have changed since; {remedy} again"
            )
        return self._belief.posterior

    def fit_scaling(
        self,
        X: Any = None,
        Y: Any = None,
        *,
        inputs: str = "standard",
        targets: str = "standard",
        rows: Any = None,
    ) -> None:
        """Set the scaling of the inputs, of the targets or of both from data.

        Parameters
        ----------
        X, Y : array-like, (N, n_in) and (N, n_out), optional
            If one is None, its scaling is unchanged.
        inputs, targets : "standard" or "minmax"
            Mean 0 and standard deviation 1, or the range mapped to [-1, 1].  A constant column of X
            becomes 0; one of Y is only shifted.
        rows : array-like of int, optional
            The numbers of the rows to use, for example those that are trained on; None is all.

        Notes
        -----
        The scalings are part of the network: saved with it, applied by `fit`, `loss`, `gradient`
        and `predict`, whose results are in the units of Y.  The loss is computed on scaled targets.
        """
        found: list[Scaling | None] = [None, None]
        given = (("X", X, self._sizes[0], inputs), ("Y", Y, self._sizes[-1], targets))
        for i, (name, data, n_columns, kind) in enumerate(given):
            if data is None:
                continue
            checks.choice(("inputs", "targets")[i], kind, ("standard", "minmax"))
            data = checks.as_rows(name, data, n_columns, self._dtype, allow_1d=i == 1)
            found[i] = scaling.of_data(kind, name, data, rows)
        inputs_found, targets_found = found
        if targets_found is not None:
            shift, scale = targets_found.shift, targets_found.scale
            targets_found = Scaling(shift, np.where(scale == 0, 1.0, scale))
        arrays = self._input_scaling_in_dtype(inputs_found)
        target_arrays = self._output_scaling_in_dtype(targets_found)
        with self._writing("set the scalings"):  # both or none
            if inputs_found is not None:
                self._input_scaling, self._scaling = inputs_found, arrays
            if targets_found is not None:
                self._output_scaling, self._target_scaling = targets_found, target_arrays

    def _input_scaling_in_dtype(self, scaling: Any) -> tuple[np.ndarray, np.ndarray] | None:
        """(shift, scale) of an input scaling, checked, or None."""
        return self._scaling_in_dtype("input_scaling", scaling, self._sizes[0], "inputs")

    def _output_scaling_in_dtype(self, scaling: Any) -> tuple[np.ndarray, np.ndarray] | None:
        """(shift, scale) of an output scaling, checked, or None."""
        arrays = self._scaling_in_dtype("output_scaling", scaling, self._sizes[-1], "outputs")
        if arrays is not None:
            if not ACTIVATIONS[self._activations[-1]].hidden:
                raise InputError(
                    f"output_scaling is given and the output activation is "
                    f"{self._activations[-1]!r}; expected None: its targets are rates or "
                    "probabilities"
                )
            if not (arrays[1] != 0).all():
                raise InputError(
                    "output_scaling has a scale of 0; expected nonzero: predict divides by it"
                )
        return arrays

    def _scaling_in_dtype(
        self, name: str, scaling: Any, n_columns: int, what: str
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """(shift, scale) in the network's dtype, or None."""
        if scaling is None:
            return None
        if not isinstance(scaling, Scaling):
            raise InputTypeError(
                f"{name} is {checks.describe(scaling)}; expected a Scaling or None"
            )
        if scaling.shift.size != n_columns:
            raise InputError(
                f"{name} has {scaling.shift.size} columns; expected {n_columns}, "
                f"the number of {what}"
            )
        with np.errstate(over="ignore"):
            arrays = scaling.shift.astype(self._dtype), scaling.scale.astype(self._dtype)
        if not (np.isfinite(arrays[0]).all() and np.isfinite(arrays[1]).all()):
            raise InputError(f"{name} holds numbers too large for {self._dtype}")
        return arrays

    def __repr__(self) -> str:
        *hidden, output = self._activations
        same = hidden[0] if len(set(hidden)) == 1 else tuple(hidden)
        activation = f"activation={same!r}, " if hidden else ""
        return (
            f"Network({self._sizes}, {activation}output_activation={output!r}, "
            f"bias={self._bias}, dtype={self._dtype.name!r})"
        )

    # ---------------------------------------------------------------------------- what it does

    def initialize(self, *, init: str = "auto", seed: Any = None) -> None:
        """Draw all parameters anew.

        Parameters
        ----------
        init : str
            "glorot": W uniform in +-sqrt(6 / (n_in + n_out)) of its layer, b = 0.
            "auto": the same for identity, sigmoid and tanh; +-sqrt(6 / n_in), He's, for relu; for
            the other hidden activations uniform with the variance that keeps the pre-activations H
            at variance 1, from inputs of variance 1 and from layer to layer (of silu and gelu it
            drifts away after some 15 layers).  "normal": W and b from N(0, 1), as in
            Nielsen's book.  "nguyen_widrow": hidden units spread evenly over inputs in [-1, 1];
            needs biases, since without them only directions and norms are as intended.
        seed : None, int, numpy.random.SeedSequence or numpy.random.Generator
            The same seed gives the same parameters, rounded to the dtype; None draws fresh entropy.

        Raises
        ------
        InputError, InputTypeError
            On an unknown `init` or an unusable `seed`.
        BusyError
            While the network is being trained.
        """
        drawn = initialization.initial_parameters(
            self._sizes, self._activations, bias=self._bias, init=init, seed=seed
        )
        with self._writing("initialize"):
            self._parameters[:] = drawn

    @overload
    def predict(
        self, X: Any, *, return_std: Literal[False] = False, n_threads: int | None = None
    ) -> np.ndarray: ...
    @overload
    def predict(
        self, X: Any, *, return_std: Literal[True], n_threads: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]: ...
    def predict(
        self, X: Any, *, return_std: bool = False, n_threads: int | None = None
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Y_hat, the outputs for each row of X; on request, with standard deviations.

        Parameters
        ----------
        X : array-like, (N, n_in)
        return_std : bool
            Also return the standard deviation of a new measurement at each row, noise included, as
            scikit-learn's BayesianRidge does.  It needs the `posterior` of a fit with
            ``BayesianRegularization(keep_posterior=True)``; `Posterior.noise_std` explains how to
            remove the noise.
        n_threads : int, optional
            At most this many threads; None is as many as are available.  No effect on the result.

        Returns
        -------
        Y_hat : ndarray, (N, n_out), of the network's dtype
        std : ndarray, (N, n_out), of the network's dtype
            Only with `return_std`: sqrt(1 / beta + j^T A^-1 j), in the units of Y_hat, where j is
            an output's gradient by the parameters.

        Raises
        ------
        InputError, InputTypeError
            If X is not two-dimensional, of the right width and of finite real numbers; with
            `return_std`, if there is no posterior or it is stale.
        """
        plan, parameters = self._plan, self._parameters
        known: Posterior | None = None
        if return_std is not False and checks.boolean("return_std", return_std):
            known = self._posterior_in_use()
            parameters = known.parameters  # fixed, even if a fit begins meanwhile
        X = checks.as_rows("X", X, self._sizes[0], self._dtype)
        Y_hat = np.empty((len(X), self._sizes[-1]), self._dtype)
        n_threads = self._threads(n_threads, X)
        scaling, target_scaling = self._scaling, self._target_scaling
        if plan.may_thread_blas:
            with blas_threads.single_threaded():
                good = evaluate.predict(
                    plan, parameters, X, Y_hat, n_threads, scaling, target_scaling
                )
        else:  # even a no-op context costs noticeable time for one row
            good = evaluate.predict(plan, parameters, X, Y_hat, n_threads, scaling, target_scaling)
        if not good:
            checks.raise_non_finite(X, dtype=self._dtype)
        if known is not None:
            return Y_hat, posterior.standard_deviations(self, known, X, n_threads)
        return Y_hat

    def loss(
        self,
        X: Any,
        Y: Any,
        *,
        loss: Any = "squared_error",
        sample_weight: Any = None,
        output_weight: Any = None,
        missing: str = "error",
        n_threads: int | None = None,
    ) -> float:
        """L = 1/N sum_n sum_k l(y_nk, y_hat_nk); l is (y - y_hat)^2 / 2 by default.

        Parameters
        ----------
        X : array-like, (N, n_in)
        Y : array-like, (N, n_out)
            One-dimensional where n_out is 1.
        loss : str, Huber or Quantile
            "squared_error", "cross_entropy" or another of ``cbackprop.losses.LOSSES``;
            docs/mathematics.md has the formulas and the output activations allowed with each.
        sample_weight : array-like, (N,), optional
            At least 0: L = sum_n w_n l_n / sum_n w_n, where l_n is the loss of row n.
        output_weight : array-like, (n_out,), optional
            At least 0; the factor of each column's loss.
        missing : "error" or "ignore"
            "ignore": a NaN in Y is a missing target and contributes 0; N remains the number of
            rows.
        n_threads : int, optional
            At most this many threads; None is as many as are available.  No effect on the result.

        Returns
        -------
        float
            Summed in float64, whatever the dtype.  With an `output_scaling`, the loss on scaled
            targets, which training minimises.

        Raises
        ------
        InputError, InputTypeError
            If an argument does not fit, or X or Y holds NaN or infinity.
        """
        X, Y, sample_weight, objective = self._data(
            X, Y, loss, sample_weight, output_weight, missing
        )
        n_threads = self._threads(n_threads, X)
        with blas_threads.single_threaded(self._plan.may_thread_blas):
            value = evaluate.loss(
                self._plan,
                objective,
                self._parameters,
                X,
                Y,
                sample_weight,
                n_threads,
                self._scaling,
                self._target_scaling,
            )
        if value is None:
            checks.raise_non_finite(X, Y, self._dtype, missing=missing == "ignore")
        return float(value)

    def gradient(
        self,
        X: Any,
        Y: Any,
        *,
        loss: Any = "squared_error",
        sample_weight: Any = None,
        output_weight: Any = None,
        missing: str = "error",
        reduction: str = "mean",
        n_threads: int | None = None,
    ) -> tuple[float, np.ndarray]:
        """The loss and its gradient with respect to `parameters`.

        Parameters
        ----------
        X, Y, loss, sample_weight, output_weight, missing, n_threads
            As in `loss`.
        reduction : "mean" or "sum"
            "sum": sum_n w_n l_n and its gradient, not divided by the number of rows or the sum of
            weights, so that results for parts of the rows can be added.

        Returns
        -------
        loss : float
        gradient : ndarray, (n_parameters,), of the network's dtype
            In the order of `parameters`; an optimiser moves against it.

        Raises
        ------
        InputError, InputTypeError
            If an argument does not fit, or X or Y holds NaN or infinity.
        """
        checks.choice("reduction", reduction, ("mean", "sum"))
        X, Y, sample_weight, objective = self._data(
            X, Y, loss, sample_weight, output_weight, missing, mean=reduction == "mean"
        )
        n_threads = self._threads(n_threads, X)
        gradient = np.empty_like(self._parameters)
        with blas_threads.single_threaded(self._plan.may_thread_blas):
            value = evaluate.gradient(
                self._plan,
                objective,
                self._parameters,
                X,
                Y,
                sample_weight,
                gradient,
                n_threads,
                self._scaling,
                self._target_scaling,
                reduction == "sum",
            )
        if value is None:
            checks.raise_non_finite(X, Y, self._dtype, missing=missing == "ignore")
        return value, gradient

    def backward(self, X: Any, dL_dY_hat: Any, *, n_threads: int | None = None) -> np.ndarray:
        """The gradient of any objective, from its derivative with respect to the predictions.

        sum_n sum_k dL/dy_hat_nk * dy_hat_nk/dparameters: no mean is taken, no factor applied.  With
        it, any objective of `predict`'s result has a gradient, for `scipy.optimize` for example.

        Parameters
        ----------
        X : array-like, (N, n_in)
        dL_dY_hat : array-like, (N, n_out)
            One-dimensional where n_out is 1.
        n_threads : int, optional
            At most this many threads; None is as many as are available.  No effect on the result.

        Returns
        -------
        ndarray, (n_parameters,), of the network's dtype

        Raises
        ------
        InputError, InputTypeError
            If an argument does not fit, or holds NaN or infinity.
        """
        X = checks.as_rows("X", X, self._sizes[0], self._dtype)
        G = checks.as_rows("dL_dY_hat", dL_dY_hat, self._sizes[-1], self._dtype, allow_1d=True)
        checks.same_rows("X", X, "dL_dY_hat", G)
        if not np.isfinite(G).all():
            checks.raise_non_finite(G, dtype=self._dtype, names=("dL_dY_hat", ""))
        if self._target_scaling is not None:
            G = G / self._target_scaling[1]
        G = np.ascontiguousarray(G, dtype=self._dtype)
        gradient = np.empty_like(self._parameters)
        n_threads = self._threads(n_threads, X)
        with blas_threads.single_threaded(self._plan.may_thread_blas):
            good = evaluate.backward(
                self._plan, self._parameters, X, G, gradient, n_threads, self._scaling
            )
        if not good:
            checks.raise_non_finite(X, dtype=self._dtype)
        return gradient

    # Methods that are implemented in files of their own.
    jacobian = jacobians.jacobian
    input_gradient = jacobians.input_gradient
    parameter_jacobian = jacobians.parameter_jacobian
    parameter_jacobian_blocks = jacobians.parameter_jacobian_blocks
    check_gradient = jacobians.check_gradient
    trace = tracing.trace

    def _data(
        self,
        X: Any,
        Y: Any,
        loss: Any,
        sample_weight: Any,
        output_weight: Any,
        missing: str,
        *,
        mean: bool = True,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, Objective]:
        losses.check_loss(loss, self._activations[-1], callables=False)
        checks.choice("missing", missing, ("error", "ignore"))
        X = checks.as_rows("X", X, self._sizes[0], self._dtype)
        Y = checks.as_rows("Y", Y, self._sizes[-1], self._dtype, allow_1d=True)
        checks.same_rows("X", X, "Y", Y)
        losses.check_targets(loss, self._activations[-1], "Y", Y, self._dtype)
        sample_weight = checks.as_weights("sample_weight", sample_weight, len(X))
        if mean:
            sample_weight = losses.moderate_weights(sample_weight, self._dtype)
        output_weight = checks.as_weights(
            "output_weight", output_weight, self._sizes[-1], what="an output"
        )
        objective = losses.objective_for(
            loss, self._dtype, output_weight=output_weight, missing=missing == "ignore"
        )
        return X, Y, sample_weight, objective

    def _threads(self, n_threads: int | None, X: np.ndarray) -> int:
        """The thread count; 1 for few rows: `available_threads` takes several microseconds."""
        if n_threads is None and len(X) <= self._one_task_rows:
            return 1
        return threads.resolve(n_threads)

    # ------------------------------------------------------------------------- files and copies

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to a safetensors file, completely or not at all.

        Raises
        ------
        InputError, InputTypeError
            If a parameter is not finite, or `annotations` is nothing that JSON can hold.
        OSError
            If the file cannot be written.
        """
        from . import model_file

        model_file.write(path, self)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Network":
        """Read a network from a file that `save` wrote.  Nothing in the file is ever executed.

        Raises
        ------
        ModelFormatError
            If the file is not such a file, is damaged, or is of a newer version.
        OSError
            If the file cannot be read.
        """
        from . import model_file

        return model_file.read(path)

    def __getstate__(self) -> dict[str, Any]:
        return {
            "sizes": self._sizes,
            "activations": self._activations,
            "bias": self._bias,
            "dtype": self._dtype.name,
            # One memcpy under the GIL, as in the core: consistent even during a fit.
            "parameters": np.frombuffer(self._parameters.tobytes(), self._dtype),
            "input_scaling": self._input_scaling,
            "output_scaling": self._output_scaling,
            "belief": self._belief,
            "annotations": self.annotations,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Plan and views are rebuilt and the values copied, so a copy shares nothing with its
        # original, and a read-only array (joblib's memmaps) becomes writable.
        dtype = checks.float_dtype("dtype", state["dtype"])
        self._build(state["sizes"], state["activations"], state["bias"], dtype)
        self._parameters[:] = state["parameters"]
        self.input_scaling = state["input_scaling"]
        self.output_scaling = state["output_scaling"]
        self._belief = state["belief"]
        self.annotations = copy.deepcopy(state["annotations"])

    # --------------------------------------------------------------------------- one fit at a time

    def _begin_fit(self, what: str, claim: object) -> None:
        """Claim the network for one writer; the caller's ``finally`` must call `_end_fit`.

        A signal may arrive at any moment: `_end_fit` with a claim that was never granted does
        nothing, so no signal can leave the network claimed.
        """
        if not claims.claim_network(self, claim):
            self._raise_busy(what)

    def _raise_busy(self, what: str) -> None:
        raise BusyError(
            f"cannot {what}: the network is being trained by a fit that has not returned; "
            "wait for it, or train a copy.deepcopy of the network"
        )

    _end_fit = claims.end_fit

    def _writing(self, what: str) -> claims.Writing:
        """A context that claims the network."""
        return claims.Writing(self, what)
