"""`zoo.decoding`: what it decodes is what pydantic reads, and what it does not is left to pydantic."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import pytest
from pydantic import AfterValidator, Field, field_validator

from zoo.decoding import decoded, struct_of
from zoo.errors import UserError
from zoo.protocol import DEFAULT_WAY
from zoo.quantisation import Attempt, Quantisation
from zoo.record import SCHEMA, Folding, Mode, Witness
from zoo.score.rows import row
from zoo.spec import Facts
from zoo.store import load, parse, to_json

COMMITTED = sorted((Path(__file__).parents[1] / "results").rglob("*.json"))
PLACE = Path("record.json")


def everything(records):
    """A record with something in every part."""
    quantisation = Quantisation(way=DEFAULT_WAY, holds=True, attempts=(Attempt(way=DEFAULT_WAY, miou_lost=0.001),))
    made = records.make(
        "unet",
        runtime="openvino",
        precision="int8",
        build={"export_s": 1.0, "quantisation": quantisation, "options": {"opset": "20"}},
        staged=True,
        rates=(10.0, 18.0),
        energy_j=0.5,
        equal_share=0.99,
        file_bytes=10**7,
        mode=Mode(window=(64, 64), stride=(32, 32), scales=(0.75, 1.0)),
        miou_interval=(0.4, 0.6),
        rate_hz=10.0,
        missed=(1, 2),
        starts=((1.0, 0.1, 0.02),),
        witness=Witness(affinity=(0, 1), environment={"OMP_NUM_THREADS": "2"}),
    )
    state = made.speed.state.model_copy(update={"folding": Folding(param_count=5)})
    return made.model_copy(update={"speed": made.speed.model_copy(update={"state": state})})


def kinds(records):
    changes = (
        {"right": None, "dataset": None},
        {"one_graph": True, "seed": 1},
        {"status": "oom"},
        {"source": "published", "tag": "mmseg", "model": "pidnet_s", "shared_sequences": None},
        {"runtime": "compile", "uncounted_ops": ("aten::fft",), "growth_bytes": 5, "settled": False},
    )
    return [everything(records), records.baseline(), *(records.make(**change) for change in changes)]


def facts(value):
    """All that a record holds, with the kinds of its numbers: 1 is not 1.0."""
    if isinstance(value, tuple):
        return [facts(inner) for inner in value]
    if isinstance(value, Facts | msgspec.Struct | dict):
        return {name: facts(inner) for name, inner in dict(value).items()}
    return repr(value.astimezone(UTC)) if isinstance(value, datetime) else repr(value)


def test_what_zoo_writes_is_decoded_as_pydantic_reads_it(records):
    for made in kinds(records):
        content = to_json(made).encode()
        found = decoded(content)
        assert found is not None
        assert facts(found) == facts(parse(content, PLACE)) == facts(made)
        assert row(found) == row(made)


def test_of_committed_records_it_says_what_pydantic_says():
    read = [(decoded(path.read_bytes()), path) for path in COMMITTED]
    assert all(found is None or facts(found) == facts(load(path)) for found, path in read)
    assert any(found is None for found, _ in read), "older forms are pydantic's to read"
    assert any(found is not None for found, _ in read)


def changed(value):
    """A JSON value with one thing of it changed, each in turn."""
    if isinstance(value, dict):
        yield {**value, "unknown": 1}
        for name, inner in value.items():
            yield {other: kept for other, kept in value.items() if other != name}
            yield from ({**value, name: other} for other in changed(inner))
    elif isinstance(value, list):
        yield from (value[:-1], [*value, *value[:1]], [*value, None])
        for place, inner in list(enumerate(value))[:2]:
            yield from ([*value[:place], other, *value[place + 1 :]] for other in changed(inner))
    yield from (None, "", "x", 0, 1, -1, 1.5, True, False, [], {}, 2**63, 10**400, "1", "ok", "whole", "checkpoint")


def test_it_takes_nothing_that_pydantic_refuses_or_reads_otherwise(records):
    whole = json.loads(to_json(everything(records)))
    whole["accuracy"] |= {"class_names": ["a", "b"], "confusion": [[5, 1, 0], [2, 7, 1]], "class_categories": []}
    taken = refused = 0
    for value in changed(whole):
        content = json.dumps(value).encode()
        found = decoded(content)
        try:
            read = parse(content, PLACE)
        except UserError:
            refused += 1
            assert found is None, content
        else:
            taken += found is not None
            assert found is None or facts(found) == facts(read), content
    assert min(taken, refused) > 500


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-20],
        lambda content: b"",
        lambda content: b"[" * 100_000,
        lambda content: content.replace(b'"unet"', b'"\xff"'),
        lambda content: content.replace(b'"unet"', b'"\\ud800"'),
        lambda content: content.replace(b"0.0275", b"NaN").replace(b"0.025", b"1e999"),
        lambda content: content.replace(f'"schema_version": {SCHEMA}'.encode(), b'"schema_version": 99'),
    ],
    ids=["cut", "empty", "deep", "bytes", "surrogate", "no number", "newer"],
)
def test_what_is_damaged_or_newer_is_left_to_pydantic(records, damage):
    content = to_json(records.make("unet")).encode()
    assert damage(content) != content
    assert decoded(damage(content)) is None


def test_what_msgspec_cannot_hold_a_value_to_is_an_error_not_a_gap():
    class Checked(Facts):
        size: Annotated[int, AfterValidator(abs)]

    class Bounded(Facts):
        size: int = Field(multiple_of=2)

    class Method(Facts):
        size: int

        @field_validator("size")
        @classmethod
        def _check(cls, value):
            return value

    for model in (Checked, Bounded, Method):
        with pytest.raises(TypeError):
            struct_of(model)
