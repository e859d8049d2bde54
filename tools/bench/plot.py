"""The figures as an SVG: for each workload a bar for each contender, whiskers from the least to the greatest run.

Needs matplotlib, which is the extra `plot`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mesh.errors import MeshError

_OURS, _THEIRS = "#2563a8", "#b0b7bf"
_WIDTH_IN, _BAR_IN, _HEAD_IN = 9.0, 0.28, 0.8


def draw(found: Mapping[str, Any], path: Path) -> None:
    """Draw what `report.as_json` or `targets_report.targets_json` returned. Raises `MeshError` without matplotlib."""
    try:
        import matplotlib as mpl
    except ImportError:
        raise MeshError("--plot needs matplotlib; pip install 'meshbus[plot]'") from None
    mpl.use("svg")
    from matplotlib import pyplot

    groups = grouped(found)
    heights = [_HEAD_IN + _BAR_IN * len(bars) for bars in groups.values()]
    figure, axes = pyplot.subplots(
        len(groups), 1, figsize=(_WIDTH_IN, sum(heights)), height_ratios=heights, squeeze=False, layout="constrained"
    )
    for axis, (title, bars) in zip(axes[:, 0], groups.items(), strict=True):
        _draw_bars(axis, title, bars)
    figure.savefig(path, format="svg")
    pyplot.close(figure)


Bar = tuple[str, Mapping[str, float]]
"""label, {median, least, greatest}"""


def grouped(found: Mapping[str, Any]) -> dict[str, list[Bar]]:
    """title → bars: events/s, or microseconds where a workload has a rate; ratios of the targets that have some."""
    if "targets" in found:
        measured = [each for each in found["targets"] if each["measured"] and each["against"]]
        return {
            "ratio to the other system": [
                (f"{each['about']} / {each['against']}", each["measured"]) for each in measured
            ]
        }
    groups: dict[str, list[Bar]] = {}
    for each in found["results"]:
        if each["workload"].startswith("latency"):
            groups.setdefault(f"{each['workload']}: p99, µs", []).append((each["contender"], each["latency_us"]["p99"]))
        else:
            groups.setdefault(f"{each['workload']}: events/s", []).append((each["contender"], each["events_per_s"]))
    return groups


def _draw_bars(axis: Any, title: str, bars: Sequence[Bar]) -> None:
    labels, spreads = [label for label, _ in bars], [spread for _, spread in bars]
    medians = [spread["median"] for spread in spreads]
    below = [spread["median"] - spread["least"] for spread in spreads]
    above = [spread["greatest"] - spread["median"] for spread in spreads]
    colours = [_OURS if label.startswith("meshbus") else _THEIRS for label in labels]
    axis.barh(labels, medians, xerr=[below, above], color=colours, ecolor="#333333", capsize=2)
    axis.set_title(title, loc="left", fontsize=10)
    axis.invert_yaxis()
    axis.spines[["top", "right"]].set_visible(False)
