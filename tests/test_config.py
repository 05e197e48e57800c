"""get_config names what is at work."""

import platform

import numpy as np
import scipy

import cbackprop
from cbackprop.machine import blas_threads, config


def test_the_entries():
    found = cbackprop.get_config()
    assert found["version"] == cbackprop.__version__
    assert found["instruction_set"] in found["instruction_sets"]
    assert "base" in found["instruction_sets"]
    assert found["threads"] >= 1
    assert found["python"] == platform.python_version()
    assert (found["numpy"], found["scipy"]) == (np.__version__, scipy.__version__)
    libraries = blas_threads.libraries()
    if libraries:
        assert found["blas_name"] == libraries[0].internal_api
        assert found["blas_threads"] == libraries[0].num_threads
        assert found["blas_version"] == libraries[0].version


def test_an_unknown_blas_is_none(monkeypatch):
    monkeypatch.setattr(blas_threads, "libraries", lambda: ())
    found = config.get_config()
    assert found["blas_name"] is found["blas_kernel"] is found["blas_threads"] is None
