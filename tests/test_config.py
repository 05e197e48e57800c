"""get_config names what is at work."""

import platform

import numpy as np
import pytest
import scipy

import cbackprop
from cbackprop.machine import blas_library, config


def test_the_entries():
    found = cbackprop.get_config()
    assert found["version"] == cbackprop.__version__
    assert found["instruction_set"] in found["instruction_sets"]
    assert "base" in found["instruction_sets"]
    assert found["threads"] >= 1
    assert found["python"] == platform.python_version()
    assert (found["numpy"], found["scipy"]) == (np.__version__, scipy.__version__)
    threadpoolctl = pytest.importorskip("threadpoolctl")
    blas = [c for c in threadpoolctl.threadpool_info() if c["user_api"] == "blas"]
    assert (
        found["blas_name"],
        found["blas_version"],
        found["blas_kernel"],
        found["blas_threads"],
    ) in [(c["internal_api"], c["version"], c.get("architecture"), c["num_threads"]) for c in blas]


def test_an_unknown_blas_is_none(monkeypatch):
    monkeypatch.setattr(blas_library, "find", lambda: None)
    found = config.get_config()
    assert found["blas_name"] is found["blas_kernel"] is found["blas_threads"] is None
