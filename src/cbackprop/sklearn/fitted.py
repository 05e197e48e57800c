"""The network behind a fitted estimator: its arrays as attributes, its predictions, its pickle."""

import operator
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from ..errors import InputError
from ..network.network import Network
from .rows import predict_rows

__all__ = ["HasNetwork", "fitted"]


class HasNetwork:
    """An estimator whose `coefs_` and `intercepts_` are views of a network's arrays."""

    coefs_: list[np.ndarray]
    intercepts_: list[np.ndarray]
    _network: Network

    def _show(self, network: Network) -> None:
        """Set the network's arrays as attributes; views, so that writing into them takes effect."""
        self._network = network
        self.coefs_ = list(network.weights)
        self.intercepts_ = list(network.biases)

    def _current_network(self) -> Network:
        """The network, updated with the weights in `coefs_` and `intercepts_`."""
        network: Network | None = self.__dict__.get("_network")
        if network is None:
            check_is_fitted(self)
            raise InputError(
                "coefs_ was set and the estimator has not been fitted; expected a call of fit or "
                "partial_fit first"
            )
        for shown, own in ((self.coefs_, network.weights), (self.intercepts_, network.biases)):
            if len(shown) != len(own) or any(map(operator.is_not, shown, own)):
                self._take_arrays(network)
                break
        return network

    def _take_arrays(self, network: Network) -> None:
        """Copy arrays that the user has put into `coefs_` or `intercepts_` to the network."""
        for name, shown, own in (
            ("coefs_", self.coefs_, network.weights),
            ("intercepts_", self.intercepts_, network.biases),
        ):
            if len(shown) != len(own):
                raise InputError(
                    f"{name} has {len(shown)} arrays; expected {len(own)}, one for each layer"
                )
            for k, (array, view) in enumerate(zip(shown, own, strict=True)):
                if np.shape(array) != view.shape:
                    raise InputError(
                        f"{name}[{k}] has the shape {np.shape(array)}; expected {view.shape}"
                    )
        for shown, own in ((self.coefs_, network.weights), (self.intercepts_, network.biases)):
            for array, view in zip(shown, own, strict=True):
                view[...] = array
        self._show(network)

    def _plain(self, X: Any, network: Network) -> bool:
        """Whether scikit-learn's checks could find nothing wrong in X but a NaN."""
        return (
            type(X) is np.ndarray
            and X.ndim == 2
            and (X.dtype == np.float64 or X.dtype == np.float32)
            and X.flags.c_contiguous
            and X.shape[1] == network.sizes[0]
            and X.shape[0] > 0
            and "feature_names_in_" not in self.__dict__
        )

    def _outputs(self, X: Any, *, network: Network | None = None, return_std: bool = False) -> Any:
        """The network's outputs for unchecked rows, and on request their standard deviations."""
        if network is None:
            network = self._current_network()
        if not return_std and self._plain(X, network):
            try:
                return network.predict(X)
            except InputError:
                pass  # not finite: the full validation raises scikit-learn's error
        X = validate_data(
            self,
            X,
            accept_sparse=["csr", "csc"],
            dtype=(np.float64, np.float32),
            reset=False,
        )
        return predict_rows(network, X, return_std=return_std)

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = {**super().__getstate__()}  # type: ignore[dict-item]
        if state.get("_network") is not None:
            # Store the weights once: coefs_ and intercepts_ are views of the network's.
            self._current_network()
            del state["coefs_"], state["intercepts_"]
            if not state.get("_resumable"):
                # The solver's memory, twice the weights, is only useful for continuing partial_fit.
                state["_resume"] = None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[misc]
        network = self.__dict__.get("_network")
        if network is not None:
            self._show(network)


def fitted(estimator: HasNetwork) -> Network:
    """The network of a fitted estimator; scikit-learn's NotFittedError otherwise."""
    if "coefs_" not in estimator.__dict__:
        check_is_fitted(estimator)
    return estimator._current_network()
