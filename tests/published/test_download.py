"""Fetching: what servers and networks do, without one."""

import threading

import pytest

from tests.published.rows import CONTENT, NETWORK, make, make_file
from zoo.errors import UserError
from zoo.files import sha256_of
from zoo.published import download
from zoo.published.kept import file_of, note_of, read_note
from zoo.shelf import fetch

HALF = len(CONTENT) // 2 // 2**20 * 2**20
"""In pieces of the size that is read at once."""


@pytest.fixture
def one(web):
    """A checkpoint of a small network that the server has."""
    web.content = CONTENT
    return make(f"{web.url}/net.pth")


def refused(one, cache, *words):
    with pytest.raises(UserError) as caught:
        fetch(one, cache)
    said = str(caught.value)
    assert "\n" not in said
    assert one.id in said
    for word in words:
        assert word in said
    assert not file_of(one, cache).exists()
    return said


def left(cache):
    """What a transfer left behind."""
    return sorted(file.name for folder in (cache / "weights").glob(".*.part") for file in folder.iterdir())


def test_a_file_is_fetched_once_and_noted(one, web, tmp_path):
    seen = []
    shelved = fetch(one, tmp_path, lambda done, total: seen.append((done, total)))
    file = file_of(one, tmp_path)
    assert file.read_bytes() == CONTENT
    assert (shelved.file, shelved.byte_count, shelved.was_there) == (file, len(CONTENT), False)
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    note = read_note(file)
    assert (note.id, note.url, note.sha256, note.byte_count) == (one.id, one.url, sha256_of(file), len(CONTENT))
    assert {path.name for path in file.parent.iterdir()} == {file.name, note_of(file).name}
    assert file.stat().st_mode == note_of(file).stat().st_mode, "for whoever may read the cache"
    assert fetch(one, tmp_path).was_there
    assert len(web.requests) == 1


def test_a_transfer_that_broke_off_goes_on_by_the_same_command(one, web, tmp_path):
    web.sends = HALF
    said = refused(one, tmp_path, one.url, "broke off", "the same command goes on", str(tmp_path / "weights"))
    assert f"{HALF / 2**20:.1f} of {len(CONTENT) / 2**20:.1f} MiB are kept" in said
    web.sends = 2**19
    refused(one, tmp_path, "broke off")
    web.sends = None
    seen = []
    assert fetch(one, tmp_path, lambda done, _: seen.append(done)).file.read_bytes() == CONTENT
    assert web.sent_ranges == [None, None, f"bytes={HALF}-", None, f"bytes={HALF + 2**19}-"]
    assert seen[0] > HALF + 2**19
    assert left(tmp_path) == []


def test_an_interrupted_transfer_goes_on_too(one, web, tmp_path):
    def stop(done, _total):
        if done >= HALF:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(one, tmp_path, stop)
    assert fetch(one, tmp_path).file.read_bytes() == CONTENT
    assert web.sent_ranges[-1] == f"bytes={HALF}-"


def test_a_short_break_is_mended_within_the_command(one, web, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "RETRIES", 2)
    monkeypatch.setattr("random.uniform", lambda *_: 0)
    web.sends = HALF
    assert fetch(one, tmp_path).file.read_bytes() == CONTENT
    assert web.sent_ranges == [None, f"bytes={HALF}-", f"bytes={2 * HALF}-"]


def test_a_server_without_ranges_begins_anew(one, web, tmp_path):
    web.ranges, web.sends = False, HALF
    refused(one, tmp_path, "broke off")
    web.sends = None
    assert fetch(one, tmp_path).file.read_bytes() == CONTENT


def test_a_part_is_not_joined_to_another_file(one, web, tmp_path):
    web.content, web.sends = b"x" * (len(CONTENT) + 5), HALF
    refused(one, tmp_path, "broke off")
    web.content, web.sends = CONTENT, None
    assert fetch(one, tmp_path).file.read_bytes() == CONTENT


def test_a_part_that_is_longer_than_the_file_is_dropped(one, web, tmp_path):
    web.content, web.sends = b"x" * 3 * len(CONTENT), 2 * len(CONTENT)
    refused(one, tmp_path, "broke off")
    web.content, web.sends = CONTENT, None
    assert fetch(one, tmp_path).file.read_bytes() == CONTENT


def test_a_length_that_is_told_too_long_is_a_break(one, web, tmp_path):
    web.tells = 1000
    refused(one, tmp_path, "broke off")
    refused(one, tmp_path, "broke off")
    web.tells = 0
    assert fetch(one, tmp_path).file.read_bytes() == CONTENT


def test_a_length_that_is_told_too_short_leaves_a_file_that_is_not_kept(one, web, tmp_path):
    web.tells = -HALF
    refused(one, tmp_path, "not kept", "cut short or is damaged")
    refused(one.model_copy(update={"byte_count": len(CONTENT)}), tmp_path, "not kept")
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "is gone (HTTP 404 Not Found)"),
        (403, "is closed to us (HTTP 403 Forbidden)"),
        (503, "cannot be had now (HTTP 503 Service Unavailable)"),
    ],
)
def test_a_refusal_names_the_address_and_the_folder(one, web, tmp_path, status, words):
    web.status = status
    refused(one, tmp_path, f"{one.url} {words}", f"put it into {tmp_path / 'weights'} as {one.file_name}")
    assert not list((tmp_path / "weights").iterdir())


def test_a_refusal_keeps_what_is_here(one, web, tmp_path):
    web.sends = HALF
    refused(one, tmp_path, "broke off")
    web.sends, web.status = None, 503
    refused(one, tmp_path, "HTTP 503")
    web.status = 200
    fetch(one, tmp_path)
    assert web.sent_ranges[-1] == f"bytes={HALF}-"


def test_a_web_page_is_no_file(one, web, tmp_path):
    web.content, web.kind = b"\n<!DOCTYPE html><html>please log in</html>", "text/html"
    refused(one, tmp_path, "answers with a web page, not with the file", str(tmp_path / "weights"))
    assert left(tmp_path) == []


def test_without_a_network_the_address_and_the_folder_are_named(one, web, tmp_path):
    gone = one.model_copy(update={"url": "http://127.0.0.1:1/net.pth"})
    refused(gone, tmp_path, f"{gone.url} cannot be reached (no connection)", f"into {tmp_path / 'weights'} as lab-net")
    assert not list((tmp_path / "weights").iterdir())
    web.sends = HALF
    refused(one, tmp_path, "broke off")
    refused(gone, tmp_path, "the same command goes on from there")  # the part is of the same id
    web.sends = None
    fetch(one, tmp_path)
    assert web.sent_ranges[-1] == f"bytes={HALF}-"


def test_a_server_that_is_silent_is_left(one, web, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT_S", (1.0, 0.2))
    web.gate.clear()
    refused(one, tmp_path, "no answer in time")


def test_another_hash_or_size_than_the_published_one_is_not_kept(one, tmp_path):
    said = refused(one.model_copy(update={"sha256": "a" * 64}), tmp_path, "not kept", "with aaaaaaaaaaaa", one.url)
    assert str(tmp_path) not in said, "the draft is gone"
    refused(one.model_copy(update={"byte_count": 5}), tmp_path, f"has {len(CONTENT)} bytes, 5 were published")
    assert left(tmp_path) == []


def test_a_file_that_does_not_fit_the_row_is_not_kept(one, tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.shelf.PUBLISHED", ())
    other = one.model_copy(update={"key_map": ((r"^", "odd."),)})
    refused(other, tmp_path, "not kept", f"have no place in {NETWORK}", f"of {NETWORK} are not in it")


def test_a_folder_is_for_people(one, web, tmp_path):
    refused(one.model_copy(update={"in_folder": True}), tmp_path, f"{one.url} is a folder", "zoo weights add FILE --as")
    assert web.requests == []


def test_two_at_once_are_one_transfer(one, web, tmp_path):
    web.gate.clear()
    done = []
    first = threading.Thread(target=lambda: done.append(fetch(one, tmp_path)))
    first.start()
    assert web.asked.wait(20)
    refused(one, tmp_path, "another process fetches it now")
    web.gate.set()
    first.join()
    assert [shelved.file.read_bytes() for shelved in done] == [CONTENT]
    assert fetch(one, tmp_path).was_there
    assert len(web.requests) == 1


def test_a_change_is_noticed(one, web, tmp_path):
    file = fetch(one, tmp_path).file
    file.write_bytes(CONTENT + b"\0")
    for _ in range(2):
        with pytest.raises(UserError, match=r"was changed since it was taken as .*; remove it and .*json, then"):
            fetch(one, tmp_path)
    file.unlink()
    web.content = make_file(seed=1)
    assert "another file than the one that was taken before" in fetch(one, tmp_path).notes[0]
    assert fetch(one, tmp_path).notes == ()


def test_a_folder_that_cannot_be_written_is_one_line(one, tmp_path):
    (tmp_path / "weights").write_text("a file")
    with pytest.raises(UserError, match=r"cannot write .*; .*--cache"):
        fetch(one, tmp_path)
