"""Measurements as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median

from measure import Measurement
from problems import DEPTHS

GAINS = ("P@1", "P@3", "P@5", "PSP@5")


def table(measurements: Sequence[Measurement]) -> str:
    """Return a table with a row for each data set and method: medians over the rounds, of times their range too."""
    columns: dict[str, Callable[[list[Measurement]], str]] = {
        "data": lambda rounds: rounds[0]["data"],
        "method": lambda rounds: rounds[0]["method"] + parameters(rounds[0]),
        **{f"{name}@{'/'.join(map(str, DEPTHS))}": _at_depths(name) for name in ("P", "nDCG", "PSP")},
        "train s": _figure("train_seconds", 1, spread=True),
        "predict s": _figure("predict_seconds", 1, spread=True),
        "per point µs": _figure("predict_seconds_per_point", 1e6),
        "one row ms": _figure("latency_median", 1e3),
        "p99 ms": _figure("latency_p99", 1e3),
        "model MB": _figure("model_bytes", 1e-6),
        "growth MB": _figure("growth_bytes", 1e-6),
        "peak MB": _figure("peak_bytes", 1e-6),
    }
    groups = _rounds(measurements)
    rows = [[cell(rounds) for cell in columns.values()] for rounds in groups.values()]
    return markdown([list(columns), *rows])


def against_rivals(measurements: Sequence[Measurement], rivals: Mapping[str, Sequence[str]]) -> str:
    """Return how methods stand to the best of their `rivals` in each figure: ratios, and differences of percentages."""
    rows = [["data", "method", "training", "prediction", "model", "memory growth", *GAINS]]
    groups = _rounds(measurements)
    for (data, method), ours in groups.items():
        others = [groups[data, rival] for rival in rivals.get(ours[0]["method"], ()) if (data, rival) in groups]
        if not others:
            continue
        train, predict, model, growth = (
            min(_median(other, field) for other in others) / _median(ours, field)
            for field in ("train_seconds", "predict_seconds", "model_bytes", "growth_bytes")
        )
        gains = [f"{_median(ours, name) - max(_median(other, name) for other in others):+.2f}" for name in GAINS]
        speeds = [f"{train:.1f}x as fast", f"{predict:.1f}x as fast", f"{1 / model:.2f}x", f"{1 / growth:.1f}x"]
        rows.append([data, method, *speeds, *gains])
    return markdown(rows)


def setting(measurements: Sequence[Measurement]) -> str:
    """Return the machine, the threads and the versions as a list."""
    metadata = measurements[0]["machine"]
    lines = [
        f"* Machine: {metadata['cpu']}, {metadata['cores']} cores, {metadata['memory']}, {metadata['system']}; "
        f"xclassic's instruction set: {metadata['simd']}; {measurements[0]['threads']} threads for each method."
    ]
    for one in {one["method"]: one for one in measurements}.values():
        versions = ", ".join(f"{name} {version}" for name, version in one["versions"].items())
        lines.append(f"* {one['method']}: {versions}")
    return "\n".join(lines)


def parameters(measurement: Measurement) -> str:
    """Return the parameters that were changed, as in a call; nothing where none was."""
    changed = ", ".join(f"{name}={value!r}" for name, value in measurement["params"].items())
    return f"({changed})" if changed else ""


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells, the first of them the head, as an aligned Markdown table."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    lines = [f"| {' | '.join(row)} |" for row in padded]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def _rounds(measurements: Sequence[Measurement]) -> dict[tuple[str, str], list[Measurement]]:
    """Group measurements by data set and method with its parameters."""
    groups: dict[tuple[str, str], list[Measurement]] = {}
    for measurement in measurements:
        groups.setdefault((measurement["data"], measurement["method"] + parameters(measurement)), []).append(
            measurement
        )
    return groups


def _at_depths(name: str) -> Callable[[list[Measurement]], str]:
    return lambda rounds: "/".join(f"{_median(rounds, f'{name}@{k}'):.1f}" for k in DEPTHS)


def _figure(field: str, unit: float, spread: bool = False) -> Callable[[list[Measurement]], str]:
    def cell(rounds: list[Measurement]) -> str:
        values = [one[field] * unit for one in rounds]
        figures = [_three_digits(value) for value in (median(values), min(values), max(values))]
        return "{} ({} to {})".format(*figures) if spread and len(values) > 1 else figures[0]

    return cell


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _median(rounds: list[Measurement], field: str) -> float:
    return median(one[field] for one in rounds)
