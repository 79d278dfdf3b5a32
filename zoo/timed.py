"""What a clock counted, as a record keeps it: summaries of samples that stand in the sidecar."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from zoo.allowed import Amount, Count, Number, Rate
from zoo.protocol import StageName
from zoo.spec import Facts


class Latency(Facts):
    """One scope's samples, summarised; the samples themselves stand in the sidecar. Seconds."""

    sample_count: Number
    min_s: Amount
    p25_s: Amount
    p50_s: Amount
    p75_s: Amount
    p90_s: Amount
    p95_s: Amount
    p99_s: Amount | None
    """Null below 100 samples: a tail needs them."""
    p999_s: Amount | None = None
    """Null below 1000 samples."""
    max_s: Amount
    mean_s: Amount
    std_s: Amount
    p50_interval_s: tuple[Amount, Amount]
    """95 %, distribution-free, from order statistics."""
    p90_interval_s: tuple[Amount, Amount] | None
    """95 %, distribution-free; null where the samples are too few to bound it."""
    warmup_count: Count
    warmup_s: Amount
    warmup_settled: bool
    """False when warm-up hit its cap before three windows' medians agreed within 3 %."""

    @model_validator(mode="after")
    def _its_numbers_are_of_one_sample(self) -> Self:
        p50_s, p90_s, p95_s, p99_s = self.p50_s, self.p90_s, self.p95_s, self.p99_s or self.p95_s
        ascends = self.min_s <= self.p25_s <= p50_s <= self.p75_s <= p90_s <= p95_s <= p99_s <= self.max_s
        if not (ascends and p99_s <= (self.p999_s or p99_s) <= self.max_s):
            raise ValueError("min_s, p25_s, p50_s, p75_s, p90_s, p95_s, p99_s, p999_s and max_s do not ascend")
        (low, high), tail = self.p50_interval_s, self.p90_interval_s or (p90_s, p90_s)
        if not (low <= p50_s <= high and tail[0] <= p90_s <= tail[1]):
            raise ValueError("p50_s or p90_s lies outside its own interval")
        return self


class Stage(Facts):
    """One stage of the pipeline scope, timed inside calls that run all stages one after the other."""

    name: StageName
    p50_s: Amount
    p50_interval_s: tuple[Amount, Amount]
    """95 %, distribution-free."""

    @model_validator(mode="after")
    def _its_median_lies_in_its_interval(self) -> Self:
        low, high = self.p50_interval_s
        if not low <= self.p50_s <= high:
            raise ValueError("p50_s lies outside its own interval")
        return self


class Energy(Facts):
    """Energy of the device while it did nothing but the pipeline scope, as the device itself counts it."""

    per_image_j: Amount
    image_count: Number
    source: Literal["nvml", "rapl"]


class BatchRate(Facts):
    """Images per second at one batch size, in pipeline scope."""

    batch_size: Number
    images_per_s: Rate
    call_count: Number


class Throughput(Facts):
    """The offline scenario (protocol, rule 8): the batch doubled until memory ended or the rate stopped growing."""

    rates: tuple[BatchRate, ...]
    largest_batch: Number
    """The largest that ran."""
    largest_is_limit: bool
    """Twice as many did not fit in memory; otherwise nothing is known beyond."""
