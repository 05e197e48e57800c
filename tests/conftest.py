"""What all tests share: hypothesis without deadlines (no test here measures time), a marker."""

import hypothesis
import pytest

hypothesis.settings.register_profile("cbackprop", deadline=None, max_examples=50)
hypothesis.settings.load_profile("cbackprop")


@pytest.hookimpl(tryfirst=True)  # before -m looks at the markers
def pytest_collection_modifyitems(items):
    """Mark the tests that are given each instruction set by its name, whichever is pinned."""
    for item in items:
        if "level" in getattr(item, "fixturenames", ()):
            item.add_marker("each_level")


@pytest.fixture
def torch():
    """PyTorch, its scalars in double: NAdam keeps the product of mu in one of them."""
    module = pytest.importorskip("torch")
    before = module.get_default_dtype()
    module.set_default_dtype(module.float64)
    yield module
    module.set_default_dtype(before)


@pytest.fixture(params=["float64", "float32"])
def dtype(request):
    """Each dtype of a network."""
    return request.param
