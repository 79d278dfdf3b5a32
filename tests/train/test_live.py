"""What a person reads where there is no terminal."""

import io

from rich.console import Console

from zoo.train.live import LiveTraining


def test_plain_lines(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("zoo.train.live.time.monotonic", lambda: now[0])
    out = io.StringIO()
    with LiveTraining(Console(file=out, width=200), "net", 40) as live:
        for step in range(21, 41):
            live(step, 1.5, 7.25)
            now[0] += 3.0
        live.prepared(3, 6)
        live.prepared(6, 6)
        live.validated(40, 0.5, {"road": 0.9, "sky": 0.1, "train": None})
        live.validated(40, None, {})
    lines = out.getvalue().splitlines()
    assert lines[0] == "net: step 25/40, loss 1.500, 7.2 images/s, 45 s left"
    assert "net: step 40/40, loss 1.500, 7.2 images/s, 0 s left" in lines
    assert "prepared 6 of 6 frames" in lines
    assert lines[-2:] == ["net: step 40, mIoU 50.0 % on val (road 90.0, sky 10.0)", "net: step 40, mIoU n/a on val ()"]
