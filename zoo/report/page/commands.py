"""What a person types to get the thing that a row speaks of: measured again, scored, loaded, exported."""

from __future__ import annotations

import shlex

from zoo.score.rows import Row, text_of

FILES = {"onnxruntime": ".onnx", "openvino": ".onnx", "tensorrt": ".onnx", "aoti": ".pt2"}
"""Runtimes that run a file, and how its name ends."""


def commands_of(row: Row) -> list[tuple[str, str]]:
    """Return pairs of what for and the command, Python for what is loaded; none for the baseline."""
    if row.baseline:
        return []
    size, weights = text_of(row.input_size), _weights(row)
    data = ["--data", "DIR"] if row.dataset and not row.synthetic else []
    network = ["--weights", weights, "--input-size", size]
    precision = ["--precision", row.precision]
    if _is_foreign(row):
        return [("measure it here", shlex.join(["zoo", "bench", "--file", row.weights.removeprefix("file "), *data]))]
    if row.runtime in FILES:
        file = f"{row.model}{FILES[row.runtime]}"
        batch = ["--batch", str(row.batch_size)] if row.batch_size != 1 else []
        words = ["zoo", "export", row.model, "-o", file, "--runtime", row.runtime, *precision, *network, *batch]
        found = [("write the file", shlex.join([*words, *data]))]
    else:
        asked = f"weights={weights!r}, input_size={row.input_size}, precision={row.precision!r}"
        found = [("load it in Python", f"zoo.load_predictor({row.model!r}, {asked})")]
    bench = ["zoo", "bench", "--models", row.model, "--runtimes", row.runtime, *precision, *network]
    found.append(("measure it here", shlex.join([*bench, "--preset", row.preset or "latency", *data])))
    if data and row.precision != "int8":
        found.append(("count its mIoU", shlex.join(["zoo", "eval", row.model, *precision, *network, *data])))
    return found


def _is_foreign(row: Row) -> bool:
    """Whether another maker's file was measured."""
    return row.weights_source == "file" and row.weights_sha256 == row.file_sha256


def _weights(row: Row) -> str:
    """As `--weights` takes them."""
    kind, _, name = row.weights.partition(" ")
    if kind == "run":
        return f"run:{name}" + (f":{row.seed}" if row.seed is not None else "")
    return f"published:{name}" if kind == "published" and name else name if kind == "file" and name else kind
