"""What a person types to get the thing that a row speaks of: as a file, loaded, measured again, scored."""

from __future__ import annotations

from zoo.score.commands import how_to_measure, weights_flag
from zoo.score.fields import quoted
from zoo.score.rows import Row, text_of

FILES = {"onnxruntime": ".onnx", "openvino": ".onnx", "tensorrt": ".onnx", "aoti": ".pt2"}
"""Runtimes that run a file, and how its name ends."""


def commands_of(row: Row) -> list[tuple[str, str]]:
    """Return pairs of what for and the command, Python for what is loaded; none for the baseline."""
    if row.baseline:
        return []
    if row.weights_source == "file" and row.weights_sha256 == row.file_sha256:  # another maker's file
        file = quoted(row.weights.removeprefix("file "))
        return [("measure it here", f"zoo bench --file {file}" + (" --data DIR" if row.dataset else ""))]
    network = " ".join(part for part in (weights_flag(row), f"--input-size {text_of(row.input_size)}") if part)
    data = " --data DIR" if row.dataset and not row.synthetic else ""
    if row.runtime in FILES:
        batch = f" --batch {row.batch_size}" if row.batch_size != 1 else ""
        file = quoted(f"{row.model.rpartition('/')[2]}{FILES[row.runtime]}")
        built = f"--runtime {row.runtime} --precision {row.precision} {network}{batch}{data}"
        found = [("write the file", f"zoo export {quoted(row.model)} -o {file} {built}")]
    else:
        weights = weights_flag(row).removeprefix("--weights ").strip("'") or "auto"
        asked = f"weights={weights!r}, input_size={row.input_size}, precision={row.precision!r}"
        found = [("load it in Python", f"zoo.load_predictor({row.model!r}, {asked})")]
    found.append(("measure it here", how_to_measure(row)))
    if data and row.precision != "int8":  # which is quantised when a file is made
        score = f"zoo eval {quoted(row.model)} --precision {row.precision} {network}{data}"
        found.append(("count its mIoU", score))
    return found
