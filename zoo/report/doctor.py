"""`zoo doctor`: what a dataset folder holds and what is wrong with it, for people or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from zoo.advice import carried
from zoo.errors import counted
from zoo.report.terminal import Grid, paragraphs, print_to_text, simple_table, text_width
from zoo.score.rows import text_of
from zoo.spec import DatasetSpec, Size

Severity = Literal["error", "warning", "note"]
"""`error`: stops training or spoils numbers; `warning`: numbers mean less than they seem to; `note`: good to know."""
_LOOK: Mapping[Severity, tuple[str, str]] = {
    "error": ("✗", "bold red"),
    "warning": ("!", "bold yellow"),
    "note": ("·", "cyan"),
}
_BAR_WIDTH = 40
_EIGHTHS = " ▏▎▍▌▋▊▉"
_FILES_SHOWN = 3


@dataclass(frozen=True)
class Finding:
    """One thing a person should know of a dataset, or of a machine."""

    severity: Severity
    what: str
    advice: str
    """What to do."""
    files: tuple[str, ...] = ()
    """All that it is about, as paths below the dataset's folder."""
    effect: str = ""
    """What it does to the numbers, where `what` does not say."""


@dataclass(frozen=True)
class Split:
    """What one split holds."""

    name: str
    image_count: int
    label_count: int
    """Images with a label of `label_kind`."""
    label_kind: str
    city_count: int
    sizes: Mapping[Size, int]
    """`(height, width)` of the images → how many."""
    labels_read: int
    """Label maps whose pixels were counted."""
    class_pixels: tuple[int, ...]
    """Per class, over the label maps that were read."""
    ignored_pixels: int

    @property
    def pixel_count(self) -> int:
        """Pixels of the label maps that were read."""
        return sum(self.class_pixels) + self.ignored_pixels


@dataclass(frozen=True)
class Report:
    """What `zoo doctor` found."""

    root: Path
    full: bool
    """Every file was decoded; else headers, and a sample of the pixels."""
    spec: DatasetSpec
    """The classes that the label maps were read with."""
    splits: tuple[Split, ...]
    findings: tuple[Finding, ...]
    """The gravest first."""

    @property
    def healthy(self) -> bool:
        """Nothing stops training or spoils numbers."""
        return is_healthy(self.findings)


def by_gravity(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings in their order, the gravest first."""
    order = list(_LOOK)
    return sorted(findings, key=lambda finding: order.index(finding.severity))


def is_healthy(findings: Iterable[Finding]) -> bool:
    """Whether nothing among the findings is an error."""
    return all(finding.severity != "error" for finding in findings)


def show_report(report: Report, form: Literal["table", "json"] = "table") -> str:
    """Return the report as text, or as JSON: splits with pixels per class, and findings with all their files."""
    if form == "json":
        return json.dumps(_values(report), indent=1) + "\n"
    decoded = sum(split.labels_read for split in report.splits)
    depth = "every file decoded" if report.full else f"all headers and {decoded} label maps read (--full decodes all)"
    parts: list[RenderableType] = [
        Text(f"{report.root} · {report.spec.num_classes} classes ({report.spec.name}) · {depth}", style="bold"),
        Text(),
        _splits(report),
        Text(),
    ]
    counted = [split for split in report.splits if split.pixel_count]
    if counted:
        parts += [_classes(report.spec, counted), Text()]
    more = "" if report.full else "; --full names every file with damage inside"
    parts += findings_shown(report.findings, "train and score on", more)
    return print_to_text(Group(*parts))


def findings_shown(findings: Sequence[Finding], use: str, more: str = "") -> list[RenderableType]:
    """Return each finding with what to do about it, then the verdict.

    Args:
        findings: The gravest first.
        use: What the thing is fit for, or not.
        more: Stands behind a bad verdict.
    """
    parts: list[RenderableType] = []
    for finding in findings:
        mark, style = _LOOK[finding.severity]
        parts.append(Text.assemble((f"{mark} {finding.severity}: ", style), finding.what))
        if finding.files:
            beyond = len(finding.files) - _FILES_SHOWN
            shown = [*finding.files[:_FILES_SHOWN], *([f"and {beyond} more"] if beyond > 0 else [])]
            parts.append(Padding(Text("\n".join(shown), style="dim", overflow="fold"), (0, 0, 0, 4)))
        says = [f"  {finding.effect}"] if finding.effect else []
        parts += paragraphs([*says, f"  → {finding.advice}"], text_width())
    counts = [(name, sum(finding.severity == name for finding in findings)) for name in _LOOK]
    said = ", ".join(counted(count, name) for name, count in counts if count)
    if is_healthy(findings):
        return [*parts, Text(f"fit to {use}{f' ({said})' if said else ''}", style="bold green")]
    return [*parts, Text(f"not fit to {use} as it is: {said}{more}", style="bold red")]


def _splits(report: Report) -> Grid:
    rows = [
        [
            split.name,
            split.label_kind if split.label_count else "none",
            str(split.image_count),
            str(split.label_count),
            str(split.city_count),
            ", ".join(f"{text_of(size)}" for size in list(split.sizes)[:2]) + (" …" if len(split.sizes) > 2 else ""),
        ]
        for split in report.splits
    ]
    return simple_table(["split", "labels", "images", "with label", "cities", "size"], rows, left=2)


def _classes(spec: DatasetSpec, splits: list[Split]) -> Text:
    """Shares of pixels per class and split, with bars of the first split in the classes' own colours."""
    first = splits[0]
    header = ["class", *(f"{split.name} %" for split in splits)]
    names = [*spec.class_names, "(counts nowhere)"]
    columns = [[100 * pixels / split.pixel_count for pixels in _pixels(split)] for split in splits]
    rows = [[name, *(_percent(column[row]) for column in columns)] for row, name in enumerate(names)]
    lines = [Text.assemble(*line) for line in simple_table(header, rows).lines]
    most = max(columns[0])
    colors = [f"rgb({red},{green},{blue})" for red, green, blue in spec.class_colors] + ["grey50"]
    for line, share, color in zip(lines[-len(names) :], columns[0], colors, strict=True):
        line.append("  ")
        line.append(_bar(share / most), style=color)
    lines[0].append(f"  pixels of {first.name}")
    return Text("\n").join(lines)


def _pixels(split: Split) -> tuple[int, ...]:
    return (*split.class_pixels, split.ignored_pixels)


def _percent(share: float) -> str:
    """Two digits that say something; a class that never occurs has none."""
    return f"{share:.1f}" if share >= 10 else f"{share:.2f}" if share >= 0.01 else "<0.01" if share else "-"


def _bar(share: float) -> str:
    whole, eighths = divmod(round(share * _BAR_WIDTH * 8), 8)
    return ("█" * whole + _EIGHTHS[eighths]).rstrip() or ("▏" if share else "")


def _values(report: Report) -> dict[str, object]:
    return {
        "root": str(report.root),
        "full": report.full,
        "healthy": report.healthy,
        "classes": report.spec.name,
        "splits": {
            split.name: {
                "images": split.image_count,
                "labels": split.label_count,
                "label_kind": split.label_kind,
                "cities": split.city_count,
                "sizes": {text_of(size): count for size, count in split.sizes.items()},
                "labels_read": split.labels_read,
                "pixels": dict(zip(report.spec.class_names, split.class_pixels, strict=True)),
                "ignored_pixels": split.ignored_pixels,
            }
            for split in report.splits
        },
        "findings": [
            {
                "severity": finding.severity,
                "what": finding.what,
                "advice": carried(finding.advice),
                "files": list(finding.files),
            }
            for finding in report.findings
        ],
    }
