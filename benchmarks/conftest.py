"""Ends `pytest benchmarks` with one line per ratio to a peer measured in the same run."""


def pytest_terminal_summary(terminalreporter, config):
    session = getattr(config, "_benchmarksession", None)
    rows = [bench for bench in getattr(session, "benchmarks", []) if "ratio_to_peer" in bench.extra_info]
    if not rows:
        return
    terminalreporter.section("ratios to peers")
    for bench in rows:
        info = bench.extra_info
        ratio, target = info["ratio_to_peer"], info["target"]
        # a target is a number, or a text that says what it is
        verdict = "" if not isinstance(target, int | float) else "ok: " if ratio >= target else "MISSED: "
        terminalreporter.write_line(f"{verdict}{bench.name}: {ratio:.2f} x {info['peer']} (target {target})")
