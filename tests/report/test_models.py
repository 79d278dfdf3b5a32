from __future__ import annotations

import csv
import io
import json

from zoo.catalog import MODELS, select
from zoo.report.models import HEADER, show_models


def test_json_holds_every_field_and_csv_every_model():
    specs = select(["all"])
    assert [row["name"] for row in json.loads(show_models(specs, "json"))] == list(MODELS)
    rows = list(csv.reader(io.StringIO(show_models(specs, "csv"))))
    assert rows[0] == HEADER
    assert [row[0] for row in rows[1:]] == list(MODELS)


def test_tables_name_every_core_model_whole():
    core = select(["core"])
    for form in ("table", "md"):
        text = show_models(core, form)
        for name in ("encoder_decoder", "unet", "fcn_resnet50", "deeplabv3_resnet50"):
            assert name in text
        assert "segformer" not in text
