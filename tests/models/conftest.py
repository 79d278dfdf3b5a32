import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread():
    """On images this small, threads cost more than they bring, above all on a machine that does other work too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
