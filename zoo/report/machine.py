"""`zoo doctor --machine`: what was seen of a machine and what it does to the numbers, for people or as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from rich.console import Group
from rich.text import Text

from zoo.advice import carried
from zoo.machine import Named
from zoo.report.doctor import Finding, by_gravity, findings_shown, is_healthy
from zoo.report.terminal import print_to_text, simple_table


@dataclass(frozen=True)
class Look:
    """One thing that was looked at."""

    what: str
    seen: str
    """Empty where it cannot be seen."""
    why: str = ""
    """Why not."""
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class MachineReport:
    """What `zoo doctor --machine` saw."""

    devices: tuple[Named, ...]
    core_count: int
    looks: tuple[Look, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Of all looks, the gravest first."""
        return tuple(by_gravity(finding for look in self.looks for finding in look.findings))

    @property
    def healthy(self) -> bool:
        """Nothing spoils what would be measured now."""
        return is_healthy(self.findings)


def show_machine(report: MachineReport, form: Literal["table", "json"] = "table") -> str:
    """Return the report as text, or as JSON: what was seen, `null` where that is nothing, and findings."""
    if form == "json":
        return json.dumps(_values(report), indent=1) + "\n"
    title = " · ".join(f"{device.name} ({device.slug})" for device in report.devices)
    rows = [[look.what, look.seen or f"cannot be seen: {look.why}"] for look in report.looks]
    return print_to_text(
        Group(
            Text(title, style="bold"),
            Text(),
            simple_table(["", "seen"], rows, left=2),
            Text(),
            *findings_shown(report.findings, "measure on"),
        )
    )


def _values(report: MachineReport) -> dict[str, object]:
    return {
        "devices": [{"name": device.name, "slug": device.slug} for device in report.devices],
        "cores": report.core_count,
        "healthy": report.healthy,
        "looks": [{"what": look.what, "seen": look.seen or None, "why": look.why} for look in report.looks],
        "findings": [
            {
                "severity": finding.severity,
                "what": finding.what,
                "effect": finding.effect,
                "advice": carried(finding.advice),
            }
            for finding in report.findings
        ],
    }
