"""What a worker makes of an error."""

from __future__ import annotations

import pytest

from zoo.bench.trouble import trouble_of


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (MemoryError(), "oom"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"), "oom"),
        (ValueError("odd\nlines"), "failed"),
    ],
)
def test_errors_become_a_status_and_one_line(error, status):
    trouble = trouble_of(error)
    assert trouble.status == status
    assert "\n" not in trouble.reason
