"""Draws docs/pictures/architecture.svg: the topics, the service, and what one txn holds. Light and dark."""

from html import escape
from typing import Final

from service.settings.kafka import TopicsSettings

WIDTH: Final = 680
HEIGHT: Final = 784
LEFT: Final = 20
RIGHT: Final = WIDTH - LEFT
_STYLE: Final = """\
text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: #1b1f2a; }
.name { font-size: 19px; font-weight: 700; } .part { font-size: 18px; font-weight: 600; }
.note { font-size: 16px; fill: #4b5366; }
.topic { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 16px; }
.page { fill: #ffffff; stroke: #d5dbe8; }
.own { fill: #eef3ff; stroke: #4f7cff; } .inner { fill: #ffffff; stroke: #9db4f5; }
.kafka { fill: #fff4dd; stroke: #c98a12; }
.txn { fill: none; stroke: #8a35c4; stroke-width: 2.5; stroke-dasharray: 9 6; }
.of-txn { fill: #8a35c4; } .other { fill: #f2f3f6; stroke: #99a1b3; }
.way { fill: none; stroke: #5b6478; stroke-width: 2.5; } .head { fill: #5b6478; }
@media (prefers-color-scheme: dark) {
text { fill: #eceff6; } .note { fill: #b3bccf; } .page { fill: #0f131c; stroke: #2c3547; }
.own { fill: #152145; stroke: #6f93ff; } .inner { fill: #0f1730; stroke: #47609f; }
.kafka { fill: #33260b; stroke: #d9a136; }
.txn { stroke: #c48bf0; } .of-txn { fill: #d3a5f5; } .other { fill: #1c222f; stroke: #5e6880; }
.way { stroke: #aab4c8; } .head { fill: #aab4c8; }
}"""


def svg() -> str:
    """The picture."""
    topics = TopicsSettings()
    parts = [
        _box("page", 1, 1, WIDTH - 2, HEIGHT - 2, 14),
        *_input(topics.transactions),
        *_service(),
        *_txn(topics),
        *_readers(),
    ]
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" xmlns="http://www.w3.org/2000/svg" role="img">\n'
        "<title>txwatch between its topics</title>\n"
        "<desc>Producers write payments to a topic. The service keeps a watermark, windows and detectors for each"
        " partition. It writes alerts, what detectors remember, what was set aside and the offsets in one txn. Programs"
        " and people read the alerts.</desc>\n"
        '<defs><marker id="head" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="9" markerHeight="9"'
        ' markerUnits="userSpaceOnUse" orient="auto-start-reverse">'
        '<path class="head" d="M0 0 10 5 0 10z"/></marker></defs>\n'
        f"<style>\n{_STYLE}\n</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def _input(topic: str) -> list[str]:
    bars = [f'<rect class="kafka" x="392" y="{26 + 17 * row}" width="248" height="12" rx="3"/>' for row in range(4)]
    return [
        _box("other", LEFT, 24, 220, 68),
        _text(130, 53, "Your producers", "part", "middle"),
        _text(130, 78, "payments, keyed by id", "note", "middle"),
        _way("M240 58 H384"),
        *bars,
        _text(516, 114, topic, "topic", "middle"),
        _way("M516 124 V154"),
    ]


def _service() -> list[str]:
    steps = (
        ("Watermark", "newest event", "time less lateness"),
        ("Windows", "an exact sum", "for each id"),
        ("Detectors", "limits, usual values,", "silence, models"),
    )
    parts = [
        _box("own", LEFT, 160, RIGHT - LEFT, 178, 12),
        _text(LEFT + 18, 190, "txwatch", "name"),
        _text(RIGHT - 16, 190, "one process, or several that share the partitions", "note", "end"),
    ]
    for number, (name, *lines) in enumerate(steps):
        left = 36 + 208 * number
        parts += [
            _box("inner", left, 208, 190, 88),
            _text(left + 95, 236, name, "part", "middle"),
            *(_text(left + 95, 260 + 22 * row, line, "note", "middle") for row, line in enumerate(lines)),
        ]
        if number:
            parts.append(_way(f"M{left - 18} 252 H{left - 3}"))
    return [
        *parts,
        _text(
            WIDTH / 2, 324, "for each partition, in memory; late or malformed records are set aside", "note", "middle"
        ),
    ]


def _txn(topics: TopicsSettings) -> list[str]:
    held = (
        (topics.alerts, "what was found"),
        ("aggregates", "every sum, if wanted"),
        (topics.state, "what detectors remember"),
        (topics.late, "late records"),
        (topics.dead_letter, "rejected records"),
        ("offsets", "where to go on; watermarks"),
    )
    parts = [
        _way("M340 338 V370"),
        f'<rect class="txn" x="{LEFT}" y="376" width="{RIGHT - LEFT}" height="258" rx="12"/>',
        _text(LEFT + 18, 406, "One Kafka txn: all of it, or nothing", "name of-txn"),
    ]
    for number, (name, what) in enumerate(held):
        left, top = 36 + 312 * (number % 2), 420 + 68 * (number // 2)
        parts += [
            _box("kafka", left, top, 296, 60),
            _text(left + 148, top + 25, name, "topic", "middle"),
            _text(left + 148, top + 48, what, "note", "middle"),
        ]
    return parts


def _readers() -> list[str]:
    readers = (
        ("Your programs", "read_committed"),
        ("txwatch forward", "Slack, PagerDuty, …"),
        ("Live page", "/metrics, /status"),
    )
    parts = []
    for number, (name, what) in enumerate(readers):
        left = LEFT + 220 * number
        parts += [
            _way(f"M{left + 100} 634 V666"),
            _box("own" if number else "other", left, 672, 200, 68),
            _text(left + 100, 701, name, "part", "middle"),
            _text(left + 100, 726, what, "note", "middle"),
        ]
    return [
        *parts,
        _text(
            WIDTH / 2, 767, "After a crash the next owner reads offsets and state back, and goes on.", "note", "middle"
        ),
    ]


def _box(kind: str, left: float, top: float, width: float, height: float, radius: int = 8) -> str:  # noqa: PLR0917 - as SVG
    return f'<rect class="{kind}" x="{left}" y="{top}" width="{width}" height="{height}" rx="{radius}"/>'


def _text(x: float, y: float, words: str, kind: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(words, quote=False)}</text>'


def _way(path: str) -> str:
    return f'<path class="way" d="{path}" marker-end="url(#head)"/>'
