"""What runtimes share."""

import logging

from zoo.runtimes.base import without


def test_one_line_of_a_library_is_left_out_and_no_other(caplog):
    log = logging.getLogger("a.library")
    with without("a.library", "Attribute type"):
        log.warning("Attribute %s is ambiguous", "type")
        log.warning("the file may be damaged")
        logging.getLogger("another").warning("Attribute type is ambiguous")
    log.warning("Attribute type is ambiguous")
    assert caplog.messages == [
        "the file may be damaged",
        "Attribute type is ambiguous",
        "Attribute type is ambiguous",
    ]
    assert not log.filters
