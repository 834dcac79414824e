"""The live view in the terminal: progress, ETA, losses, memory, metrics."""

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

from swincli.recipe import Recipe
from swincli.training.augment.probability import AUGMENT_P, AUGMENT_R, is_adaptive
from swincli.training.losses.weights import terms_of
from swincli.units import format_bytes, format_count, format_duration

WIDEST = 120
_ECHO = 2  # columns kept free for the ^C that a terminal echoes; a wrapped line would shift the view
_GAP = 3  # blank characters between two columns
_UNKNOWN = "-"
_SHARES = ("d/real_accuracy", "d/fake_accuracy")
_IN_LINE = {
    "loss/r1": "R1",
    AUGMENT_P: "p",
    AUGMENT_R: "r_t",
    "d/held_out_logit": "D(held out)",
}
"""Scalars of the line that only some recipes report, and their names there."""
_WORDS = {
    "loss/d": "loss D",
    "loss/g": "loss G",
    "loss/r1": "R1",
    "loss/r2": "R2",
    "loss/bcr": "bCR",
    "loss/lecam": "LeCam",
    "loss/zcr_d": "zCR D",
    "loss/zcr_g": "zCR G",
    "loss/augself_d": "AugSelf D",
    "loss/augself_g": "AugSelf G",
    "loss/adaptive_mix_d": "Mix D",
    "loss/adaptive_mix_g": "Mix G",
    "loss/mee_dlle": "DLLE",
    "loss/mee_disomap": "DIsoMap",
    "loss/mee_entropy_d": "entropy D",
    "loss/mee_entropy_g": "entropy G",
    "loss/tv": "variation",
    "loss/elastic": "elastic",
    "loss/repel": "repulsion",
    "loss/path_length": "path length",
    "d/real_accuracy": "D(real)>0",
    "d/fake_accuracy": "D(fake)<0",
    "augment/p": "augment p",
    "augment/r": "augment r_t",
    "d/trained_logit": "D(trained)",
    "d/held_out_logit": "D(held out)",
    "d/fake_logit": "D(fake)",
    "grad/d": "gradient D",
    "grad/g": "gradient G",
}


@dataclass(frozen=True)
class MemoryUse:
    """Bytes in use, and bytes in total if known."""

    used: int
    total: int | None = None

    def __str__(self) -> str:
        if self.total is None:
            return format_bytes(self.used)
        used, total = format_bytes(self.used), format_bytes(self.total)
        return f"{used.removesuffix(total[-4:])} of {total}"  # the unit only once if both have the same


@dataclass(frozen=True)
class RunStatus:
    """Everything that the live view shows, at the end of a step.

    Attributes:
        run: The run folder.
        images_seen, total: Progress in images.
        seconds_per_image: Mean over the last steps; None before the first step.
        until: Seconds to the next events ("to the end", "next save", ...), pauses included; None if unknown.
        scalars: Names of the scalars that the recipe's steps report.
        means: Their means over the last `steps` steps; a scalar not yet reported is absent.
        steps: Number of steps in the means.
        rates: Learning rates of G and D.
        trained: Seconds of steps over all sessions.
        session: Seconds since the start of this session.
        metrics: Last and best metrics as text, by name.
        notes: Other facts as text, by name.
        doing: What the run does between two steps; empty during a step.
        state: Where the run is and whether it goes on, for a view from outside; empty in the run's own.
        ahead: Seconds until the next status is expected; countdowns stop after that.
        at: Time of this status, by `time.monotonic`.
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
    state: str = ""
    ahead: float = 0.0
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class LiveView:
    """Renders a status as a panel in three, two or one columns, or as two lines in a very small terminal."""

    status: RunStatus
    memory: Mapping[str, MemoryUse]

    def __rich_console__(self, console: RichConsole, options: ConsoleOptions) -> RenderResult:
        width, height = max(1, min(options.max_width - _ECHO, WIDEST)), console.size.height
        groups = [self._progress(), self._networks(), self._machine()]
        arrangements = ([groups], [groups[:1] + groups[2:], groups[1:2]], [[group] for group in groups])
        for rows in arrangements:
            wide = max(sum(map(_width, row)) + _GAP * (len(row) - 1) for row in rows) + 4
            tall = sum(max(len(group) for group in row) for row in rows) + len(rows) + 3
            if wide <= width and tall <= height - 1:
                body = [part for row in rows for part in (Text(), _side_by_side(row, width - 4))]
                title = Text(self.status.run, style="bold", overflow="ellipsis", no_wrap=True)
                state = Text(self.status.state, overflow="ellipsis", no_wrap=True) if self.status.state else None
                yield Panel(
                    Group(self._head(), *body),
                    title=title,
                    title_align="left",
                    subtitle=state,
                    subtitle_align="left",
                    width=width,
                )
                return
        if self.status.state:
            state = Text(self.status.state, no_wrap=True, overflow="ellipsis")
            yield from console.render(state, options.update_width(width))
        yield from console.render(self._head(), options.update_width(width))
        text = Text(status_line(self.status, self.memory), no_wrap=True, overflow="ellipsis")
        yield from console.render(text, options.update_width(width))

    def _head(self) -> RenderableType:
        status = self.status
        head = Table.grid(padding=(0, 1), expand=True)
        head.add_column(ratio=1)
        head.add_column(no_wrap=True)
        words = f"{_share(status):.1%}  {status.images_seen:,} of {format_count(status.total)} images"
        head.add_row(ProgressBar(total=max(1, status.total), completed=min(status.images_seen, status.total)), words)
        return head

    def _progress(self) -> dict[str, str]:
        status, since = self.status, time.monotonic() - self.status.at
        pace = status.seconds_per_image
        times = {
            name: _UNKNOWN if seconds is None else format_duration(seconds - min(since, status.ahead))
            for name, seconds in status.until.items()
        }
        return {
            "kimg": f"{status.images_seen / 1000:,.2f}",
            "sec/kimg": _UNKNOWN if pace is None else f"{1000 * pace:,.1f}",
            **times,
            "trained": format_duration(status.trained),
            "this session": format_duration(status.session + since),
            **({"now": status.doing} if status.doing else {}),
        }

    def _networks(self) -> dict[str, str]:
        status = self.status
        rows = {_WORDS.get(name, name): _value(name, status.means.get(name)) for name in status.scalars}
        g_rate, d_rate = status.rates
        steps = f"{status.steps} step{'s' if status.steps > 1 else ''}" if status.steps else _UNKNOWN
        return {"mean of": steps, **rows, "lr G": f"{g_rate:.2e}", "lr D": f"{d_rate:.2e}"}

    def _machine(self) -> dict[str, str]:
        memory = {name.upper(): str(memory) for name, memory in self.memory.items()}
        return {**memory, **self.status.metrics, **self.status.notes}


def reported_scalars(recipe: Recipe) -> tuple[str, ...]:
    """Names of the scalars that a recipe's steps report, in the order of the live view."""
    loss = recipe.loss
    wanted = {
        "loss/d": True,
        "loss/g": True,
        "loss/r1": loss.has_r1,
        "loss/r2": loss.has_r2,
        **{f"loss/{name}": True for name in terms_of(loss)},
        "loss/path_length": loss.path_length > 0,
        "d/real_accuracy": loss.has_boundary,
        "d/fake_accuracy": loss.has_boundary,
        "d/trained_logit": recipe.evaluate.held_out is not None,
        "d/held_out_logit": recipe.evaluate.held_out is not None,
        "d/fake_logit": recipe.evaluate.held_out is not None,
        AUGMENT_P: recipe.augment.is_on,
        AUGMENT_R: is_adaptive(recipe.augment),
        "grad/d": True,
        "grad/g": True,
    }
    return tuple(name for name, reported in wanted.items() if reported)


def status_line(status: RunStatus, memory: Mapping[str, MemoryUse]) -> str:
    """The status as one line, whose fields are the same during a run."""
    pace, end, means = status.seconds_per_image, status.until.get("to the end"), status.means
    some = {word: name for name, word in _IN_LINE.items() if name in status.scalars}
    fields = {
        "kimg": f"{status.images_seen / 1000:.1f} ({_share(status):.0%})",
        "sec/kimg": _UNKNOWN if pace is None else f"{1000 * pace:.1f}",
        "ETA": _UNKNOWN if end is None else format_duration(end),
        "D": _value("loss/d", means.get("loss/d")),
        "G": _value("loss/g", means.get("loss/g")),
        **{word: _value(name, means.get(name)) for word, name in some.items()},
        "D(real)>0": _value("", means.get("d/real_accuracy")),
        "memory": ", ".join(f"{name.upper()} {format_bytes(use.used)}" for name, use in memory.items()) or _UNKNOWN,
        **status.metrics,
    }
    return "  ".join(f"{name} {value}" for name, value in fields.items())


def _share(status: RunStatus) -> float:
    return status.images_seen / max(1, status.total)


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
