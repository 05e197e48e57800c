"""What all tests share: hypothesis without deadlines (no test here measures time)."""

import hypothesis
import pytest

hypothesis.settings.register_profile("cbackprop", deadline=None, max_examples=50)
hypothesis.settings.load_profile("cbackprop")


@pytest.fixture(params=["float64", "float32"])
def dtype(request):
    """Each dtype of a network."""
    return request.param
