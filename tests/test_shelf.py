"""`zoo weights add`: a file is what it is said to be, or one line says what it is."""

from pathlib import Path

import pytest
import torch

from tests.published.rows import CONTENT, NETWORK, make
from zoo.catalog import MODELS
from zoo.errors import UserError
from zoo.labels import CITYSCAPES
from zoo.published.kept import file_of, note_of, read_note
from zoo.published.table import PUBLISHED, find_published
from zoo.shelf import add, fetch
from zoo.state_dict import read_weights
from zoo.weights.asked import parse_asked
from zoo.weights.resolve import resolve

NAMES = Path(__file__).parent / "published" / "names"


@pytest.fixture
def one():
    return make("https://lab.example/net.pth")


@pytest.fixture
def given(tmp_path):
    """A file somebody has, under a name of their own."""
    file = tmp_path / "mine.bin"
    file.write_bytes(CONTENT)
    return file


def write(file, row, **changes):
    """A file of the names and shapes of a row's, as its makers saved it; `None` leaves a tensor out."""
    one = find_published(row)
    pairs = [line.split(" ") for line in (NAMES / f"{one.model}-{one.tag}.txt").read_text().splitlines()]
    tensors = {name: torch.zeros([int(side) for side in shape.split("x")] if shape else []) for name, shape in pairs}
    tensors = {name: value for name, value in (tensors | changes).items() if value is not None}
    torch.save({"state_dict": tensors}, file)
    return file


def refused(file, one, cache, *words):
    with pytest.raises(UserError) as caught:
        add(file, one, cache)
    said = str(caught.value)
    assert "\n" not in said
    for word in words:
        assert word in said
    assert not file_of(one, cache).exists()
    return said


def test_a_file_is_copied_into_its_place(one, given, tmp_path):
    shelved = add(given, one, tmp_path)
    assert shelved.file == file_of(one, tmp_path)
    assert shelved.file.read_bytes() == given.read_bytes() == CONTENT
    assert (shelved.byte_count, shelved.was_there, shelved.notes) == (len(CONTENT), False, ())
    assert read_note(shelved.file).id == one.id
    assert {file.name for file in tmp_path.iterdir()} == {given.name, "weights"}, "no note beside what was given"
    assert add(given, one, tmp_path).was_there
    assert fetch(one, tmp_path).was_there


def test_a_file_that_lies_in_its_place_is_checked_and_noted(one, tmp_path):
    file = file_of(one, tmp_path)
    file.parent.mkdir()
    file.write_bytes(CONTENT)
    assert add(file, one, tmp_path).was_there
    assert note_of(file).is_file()
    note_of(file).unlink()
    file.write_bytes(CONTENT[:-1000])
    for take in (lambda: add(file, one, tmp_path), lambda: fetch(one, tmp_path)):
        with pytest.raises(UserError, match="cut short or is damaged"):
            take()


def test_another_file_is_never_written_over(one, given, tmp_path):
    kept = add(given, one, tmp_path).file
    state = read_weights(given)
    torch.save({name: tensor + 1 for name, tensor in state.items()}, given)
    with pytest.raises(UserError, match=f"another file is kept as {kept}; remove it first, and {kept.name}.json"):
        add(given, one, tmp_path)
    assert kept.read_bytes() == CONTENT


def test_a_file_that_was_changed_is_noticed_by_every_verb(one, given, tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.weights.resolve.published_of", lambda *_: [one])
    kept = file_of(one, tmp_path)
    kept.parent.mkdir()
    kept.write_bytes(CONTENT)

    def found(what):
        return resolve(parse_asked(what), MODELS[NETWORK], None, runs=tmp_path / "runs", cache=tmp_path)

    first = found("published")
    assert read_note(kept).sha256 == first.sha256, "noted on first use"
    kept.write_bytes(CONTENT + b"\0")
    for what in ("published", "published:lab", "auto"):
        with pytest.raises(UserError, match="was changed since it was taken as encoder_decoder:lab") as caught:
            found(what)
        assert "`zoo weights fetch encoder_decoder:lab`" in str(caught.value)


def test_a_stated_hash_is_held_against_a_file_that_was_put_there(one, tmp_path, monkeypatch):
    row = one.model_copy(update={"sha256": "a" * 64})
    monkeypatch.setattr("zoo.weights.resolve.published_of", lambda *_: [row])
    file_of(row, tmp_path).parent.mkdir()
    file_of(row, tmp_path).write_bytes(CONTENT)
    with pytest.raises(UserError, match=r"SHA-256 begins with .*, that of the published one with aaaaaaaaaaaa"):
        resolve(parse_asked("published"), MODELS[NETWORK], None, runs=tmp_path / "runs", cache=tmp_path)
    assert not note_of(file_of(row, tmp_path)).exists()


def test_the_right_file_of_another_row_is_told(tmp_path):
    given = write(tmp_path / "download (3)", "dabnet:reagan1311")
    line = refused(given, find_published("edanet"), tmp_path, "by its tensors it is of dabnet:reagan1311")
    assert line.endswith(f"; `zoo weights add {given} --as dabnet:reagan1311`")
    assert add(given, find_published("dabnet"), tmp_path).notes == ()


def test_a_size_of_a_family_is_not_taken_for_another(tmp_path):
    given = write(tmp_path / "stdc.pth", "stdc1:mmseg")
    refused(given, find_published("stdc2:mmseg"), tmp_path, "it is of stdc1:mmseg;")
    refused(given, find_published("stdc1:super-gradients-50"), tmp_path, "it is of stdc1:mmseg;")


def test_what_is_left_over_is_named_three_of_each(tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.shelf.PUBLISHED", ())
    one = find_published("dabnet")
    names = [line.split(" ")[0] for line in (NAMES / "dabnet-reagan1311.txt").read_text().splitlines()]
    extra = {f"more.{index}": torch.zeros(2) for index in range(4)}
    given = write(tmp_path / "net.pth", "dabnet:reagan1311", **extra)
    refused(given, one, tmp_path, "4 of its", "have no place in dabnet (more.0, more.1, more.2 and 1 more)")
    given = write(tmp_path / "net.pth", "dabnet:reagan1311", **dict.fromkeys(names[:5]))
    count = len(names) - 5
    left = [one.name_of(name) for name in names[:3]]
    refused(given, one, tmp_path, f"5 of the {count + 5} of dabnet are not in it ({', '.join(left)} and 2 more)")
    given = write(tmp_path / "net.pth", "dabnet:reagan1311", **{names[0]: torch.zeros(1, 2)})
    refused(given, one, tmp_path, f"1 are of other shapes ({names[0]} (1, 2), not (")
    given = write(tmp_path / "net.pth", "dabnet:reagan1311", **{names[0]: None, "x": torch.zeros(1)})
    refused(given, one, tmp_path, "(x) and 1 of the")


def test_two_tensors_of_one_place_are_one_too_many(one, given, tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.shelf.PUBLISHED", ())
    state = read_weights(given)
    name = next(iter(state))
    torch.save(state | {name.removeprefix("net."): state[name]}, given)
    refused(given, one, tmp_path, f"1 of its {len(state) + 1} tensors have no place in {NETWORK} (", "weight)")


def test_files_that_only_their_names_tell_apart(tmp_path):
    first, second = find_published("cgnet:mmseg-512x1024"), find_published("cgnet:mmseg-680x680")
    named = write(tmp_path / first.file_name, first.id)
    refused(named, second, tmp_path, f"fits {second.id} but is called as {first.id}'s file is", second.file_name)
    assert add(named, first, tmp_path).notes == ()
    nameless = write(tmp_path / "cgnet.pth", first.id)
    (note,) = add(nameless, second, tmp_path).notes
    assert note == f"by names and shapes it may as well be {first.id}, of which no hash is known"


def test_what_is_no_checkpoint_is_told(one, tmp_path):
    page = tmp_path / "net.pth"
    page.write_text("<html>too many requests</html>")
    refused(page, one, tmp_path, "a page of markup")
    refused(tmp_path / "nothing.pth", one, tmp_path, "no checkpoint file")
    refused(tmp_path, one, tmp_path, "is a folder")


def test_what_was_added_is_what_runs(tmp_path):
    from zoo.artifact import make_network

    row = find_published("dabnet")
    add(write(tmp_path / "net.pth", row.id), row, tmp_path)
    source = resolve(parse_asked("auto"), MODELS["dabnet"], None, runs=tmp_path / "runs", cache=tmp_path)
    module, fed, weights = make_network(MODELS["dabnet"], CITYSCAPES, source, None)
    assert (weights.source, weights.tag, fed.mean) == ("published", "reagan1311", row.feeding.mean)
    assert not any(value.any() for value in module.state_dict().values())


def test_every_row_that_has_a_stated_hash_is_held_against_it(tmp_path):
    row = next(one for one in PUBLISHED if one.sha256 and one.model == "espnetv2_s05")
    given = write(tmp_path / "net.pth", row.id)
    refused(given, row, tmp_path, f"is not the file of {row.id}: it has", f"{row.byte_count} were published")
