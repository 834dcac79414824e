"""The live view of a run: how far it is, how long it will take, how the networks fare, what the machine gives."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, Group, RenderableType, RenderResult
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from swincli.units import format_bytes, format_count, format_duration

WIDEST = 120
_ECHO = 2  # columns left for the ^C that a terminal writes where the cursor is; a wrapped one would shift the view
_GAP = 3  # columns between two groups of facts
_UNKNOWN = "-"
_SHARES = ("d/real_accuracy", "d/fake_accuracy")
_WORDS = {
    "loss/d": "loss D",
    "loss/g": "loss G",
    "loss/r1": "R1",
    "loss/bcr": "bCR",
    "loss/tv": "variation",
    "d/real_accuracy": "D(real)>0",
    "d/fake_accuracy": "D(fake)<0",
    "grad/d": "gradient D",
    "grad/g": "gradient G",
}


@dataclass(frozen=True)
class Memory:
    """Bytes in use, and all that there are where that is known."""

    used: int
    total: int | None = None

    def __str__(self) -> str:
        if self.total is None:
            return format_bytes(self.used)
        used, total = format_bytes(self.used), format_bytes(self.total)
        return f"{used.removesuffix(total[-4:])} of {total}"  # the unit once, where it is the same


@dataclass(frozen=True)
class Facts:
    """What is known of a run at the end of a step.

    Attributes:
        run: Its folder.
        images_seen, total: How far it is, in images.
        seconds_per_image: Pace of the steps; None before the first one, like the times that follow from it.
        until: Seconds until what comes next ("to the end", "next save", ...), pauses included.
        scalars: Names of the scalars that the recipe makes a step report.
        means: Their means over the last `steps` steps, so far as there are any.
        steps: Steps that the means are of.
        rates: Learning rates of G and of D.
        trained: Seconds spent in steps by all sessions.
        session: Seconds since this session started.
        metrics: Last and best measurements in words, by name.
        notes: What else is to be said of the run, by name.
        doing: What the run does between two steps now; empty in a step.
        ahead: Seconds after which these facts are likely to be replaced; times are counted down no further.
        at: When all this was so, by `time.monotonic`.
    """

    run: str
    images_seen: int
    total: int
    seconds_per_image: float | None
    until: Mapping[str, float | None]
    scalars: tuple[str, ...]
    means: Mapping[str, float]
    steps: int
    rates: tuple[float, float]
    trained: float
    session: float
    metrics: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    doing: str = ""
    ahead: float = 0.0
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class LiveView:
    """Draws facts as a panel that fits the terminal: three columns, two, one, or two lines where it is very small."""

    facts: Facts
    memory: Mapping[str, Memory]

    def __rich_console__(self, console: RichConsole, options: ConsoleOptions) -> RenderResult:
        width, height = max(1, min(options.max_width - _ECHO, WIDEST)), console.size.height
        groups = [self._progress(), self._networks(), self._machine()]
        arrangements = ([groups], [groups[:1] + groups[2:], groups[1:2]], [[group] for group in groups])
        for rows in arrangements:
            wide = max(sum(map(_width, row)) + _GAP * (len(row) - 1) for row in rows) + 4
            tall = sum(max(len(group) for group in row) for row in rows) + len(rows) + 3
            if wide <= width and tall <= height - 1:
                body = [part for row in rows for part in (Text(), _side_by_side(row, width - 4))]
                title = Text(self.facts.run, style="bold", overflow="ellipsis", no_wrap=True)
                yield Panel(Group(self._head(), *body), title=title, title_align="left", width=width)
                return
        yield from console.render(self._head(), options.update_width(width))
        text = Text(line(self.facts, self.memory), no_wrap=True, overflow="ellipsis")
        yield from console.render(text, options.update_width(width))

    def _head(self) -> RenderableType:
        facts = self.facts
        head = Table.grid(padding=(0, 1), expand=True)
        head.add_column(ratio=1)
        head.add_column(no_wrap=True)
        words = f"{facts.images_seen / facts.total:.1%}  {facts.images_seen:,} of {format_count(facts.total)} images"
        head.add_row(ProgressBar(total=facts.total, completed=min(facts.images_seen, facts.total)), words)
        return head

    def _progress(self) -> dict[str, str]:
        facts, since = self.facts, time.monotonic() - self.facts.at
        pace = facts.seconds_per_image
        times = {
            name: _UNKNOWN if seconds is None else format_duration(seconds - min(since, facts.ahead))
            for name, seconds in facts.until.items()
        }
        return {
            "kimg": f"{facts.images_seen / 1000:,.2f}",
            "sec/kimg": _UNKNOWN if pace is None else f"{1000 * pace:,.1f}",
            **times,
            "trained": format_duration(facts.trained),
            "this session": format_duration(facts.session + since),
            **({"now": facts.doing} if facts.doing else {}),
        }

    def _networks(self) -> dict[str, str]:
        facts = self.facts
        rows = {_WORDS.get(name, name): _value(name, facts.means.get(name)) for name in facts.scalars}
        g_rate, d_rate = facts.rates
        steps = f"{facts.steps} step{'s' if facts.steps > 1 else ''}" if facts.steps else _UNKNOWN
        return {"mean of": steps, **rows, "lr G": f"{g_rate:.2e}", "lr D": f"{d_rate:.2e}"}

    def _machine(self) -> dict[str, str]:
        memory = {name.upper(): str(memory) for name, memory in self.memory.items()}
        return {**memory, **self.facts.metrics, **self.facts.notes}


def line(facts: Facts, memory: Mapping[str, Memory]) -> str:
    """Where a run is, in one line of fixed fields."""
    pace, end, means = facts.seconds_per_image, facts.until.get("to the end"), facts.means
    fields = {
        "kimg": f"{facts.images_seen / 1000:.1f} ({facts.images_seen / facts.total:.0%})",
        "sec/kimg": _UNKNOWN if pace is None else f"{1000 * pace:.1f}",
        "ETA": _UNKNOWN if end is None else format_duration(end),
        "D": _value("loss/d", means.get("loss/d")),
        "G": _value("loss/g", means.get("loss/g")),
        **({"R1": _value("loss/r1", means.get("loss/r1"))} if "loss/r1" in facts.scalars else {}),
        "D(real)>0": _value("", means.get("d/real_accuracy")),
        "memory": ", ".join(f"{name.upper()} {format_bytes(use.used)}" for name, use in memory.items()),
        **facts.metrics,
    }
    return "  ".join(f"{name} {value}" for name, value in fields.items())


def _value(name: str, value: float | None) -> str:
    if value is None:
        return _UNKNOWN
    if name in _SHARES:
        return f"{value:.0%}"
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.3g}"


def _width(group: Mapping[str, str]) -> int:
    return max(map(len, group)) + 1 + max(map(len, group.values()))


def _side_by_side(groups: list[dict[str, str]], width: int) -> Table:
    slack = width - sum(map(_width, groups)) - _GAP * (len(groups) - 1)
    table = Table.grid(padding=(0, _GAP, 0, 0))
    for group in groups:
        table.add_column(width=_width(group) + slack // len(groups))
    table.add_row(*map(_rows, groups))
    return table


def _rows(group: Mapping[str, str]) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(no_wrap=True)
    for name, value in group.items():
        table.add_row(name, value)
    return table
