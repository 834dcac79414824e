"""The lab: recipes for few images, trained at equal images or equal time, and measured alike.

    python benchmarks/quality.py [--sets people-200] [--only plain diffaugment ...] [--seeds 0 1 2] [--equal time]

Every cell is a recipe of `quality_rows.py` with one seed; a row without a recipe that works at the set's size is left
out. It is trained on a few images of a set (`quality_sets.py`), and its last model is measured against the full set by
three detectors. With `--curves`, so are four models before it, by FID alone. The table and the pictures in OUT/SET are
written after every cell (`quality_report.py`).

All runs show the same number of images, or with `--equal time` as many as take the time that plain takes. Each recipe's
speed is measured by short runs beside plain's, before the cells or, with equal images, after them. The machine should
be idle then; cells may run beside other work. With `--jobs 2`, two cells run at the same time, each with half of the
cores; small networks then get more done. A lab that was killed goes on where it was: a run resumes, and what is
measured is not measured again. A cell of people-200 takes about 10 minutes of one core, and 4 more to be measured.
"""

from __future__ import annotations

import argparse
import json
import math
import operator
import os
import shutil
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from quality_report import Cell, Point, write_report
from quality_rows import RECIPES
from quality_sets import BATCH, HARDER, ROOT, SETS, Prepared, prepare

from swincli.errors import RecipeError
from swincli.recipe import Recipe, load_recipe
from swincli.system.atomic_files import write_atomically
from swincli.system.resources import usable_cores
from swincli.units import parse_count

POINTS = 5
CORES = usable_cores()
OWN_BATCH = 32
"""A multiple of the batch of every recipe that is not an override of the base."""
SHORT = 640
"""Images of a run that measures a speed. A fifth, what is logged at a time, is 16 steps, for lazy penalties."""
METRICS = {"": "fid,kid,pr,memorization", "-efficientnet": "fid,kid", "-gist": "fid,kid"}
"""What is measured of the last model, by the ending of the measurement's file: Inception and two detectors more."""
Swincli = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]


class Commands:
    """Runs commands of swincli, each with a number of threads. `stop` ends all that run: training saves its state."""

    def __init__(self, threads: int) -> None:
        self._environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False

    def __call__(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command to its end.

        Raises:
            SystemExit: `stop` was called.
        """
        command, pipe = [sys.executable, "-m", "swincli", *arguments], subprocess.PIPE
        with subprocess.Popen(
            command, stdout=pipe, stderr=pipe, text=True, start_new_session=True, env=self._environment
        ) as process:
            self._running.add(process)
            out, error = process.communicate()
            self._running.discard(process)
        if self._stopped:
            raise SystemExit(1)
        return subprocess.CompletedProcess(command, process.returncode, out, error)

    def stop(self) -> None:
        """Interrupt the commands that run; no other starts."""
        self._stopped = True
        for process in list(self._running):
            process.send_signal(signal.SIGINT)


@dataclass(frozen=True)
class Lab:
    """What all cells of one set share.

    Attributes:
        out: Folder of the cells.
        data: The stores and the base recipe.
        images: Images of a run of plain.
        equal_time: Give all recipes the time of plain, not its images.
        fakes: Generated images of a measurement.
        curves: Measure all models of a run, not only the last one.
        swincli: Runs a command.
    """

    out: Path
    data: Prepared
    images: int
    equal_time: bool
    fakes: int
    curves: bool
    swincli: Swincli

    @property
    def speeds(self) -> Path:
        """Folder of the speeds, which all cells of the set share."""
        return self.out.parent / "beside-plain"

    def speed(self, recipe: str, *, at_once: int = 1) -> dict[str, float]:
        """What a recipe costs: `of_plain`, its time as a multiple of plain's, and seconds per 1,000 images and memory.

        Machines change their speed within minutes, so it runs beside plain: twice two short runs, the second time in
        the other order. Nothing else may run.

        Args:
            recipe: Name of the row.
            at_once: Runs at the same time: 2 on a CPU with two cores or more, otherwise 1.

        Raises:
            SystemExit: a run fails.
        """
        kept = self.speeds / f"{recipe}.json"
        self._claim(kept.with_suffix(".recipe"), recipe)
        if not kept.exists():
            rounds = [("plain", recipe), (recipe, "plain")] if recipe != "plain" else [("plain",)]
            paces: dict[str, list[float]] = {"plain": [], recipe: []}
            with ThreadPoolExecutor(at_once) as pool:
                for number, names in enumerate(rounds):
                    runs = {name: self.speeds / f"{recipe}-{number}" / name for name in names}
                    for name, pace in zip(names, pool.map(self._pace, names, runs.values()), strict=True):
                        paces[name].append(pace)
            ratio = statistics.mean(map(operator.truediv, paces[recipe], paces["plain"]))
            memory = max(line.get("memory/gpu", line["memory/cpu"]) for line in _lines(runs[recipe] / "stats.jsonl"))
            pace = statistics.mean(paces[recipe])
            _write_json(kept, {"of_plain": ratio, "sec_per_kimg": pace, "memory": memory})
        return dict(json.loads(kept.read_text()))

    def _pace(self, recipe: str, run: Path) -> float:
        """Seconds per 1,000 images of a short run after its first steps, which may compile."""
        shutil.rmtree(run, ignore_errors=True)
        settings = [f"train.total={SHORT}", f"run.snapshot={SHORT}", f"run.samples={SHORT}", f"run.log={SHORT // 5}"]
        if problem := self._train(recipe, run, SHORT, settings):
            raise SystemExit(f"{recipe}: {problem}")
        return statistics.mean(line["sec_per_kimg"] for line in _lines(run / "stats.jsonl")[1:])

    def cell(self, recipe: str, seed: int) -> Cell:
        """Train and measure one cell, or what is missing of it."""
        folder, total = self.out / f"{recipe}-{seed}", self._total(recipe)
        self._claim(folder / "cell.recipe", recipe)
        run, every = folder / "run", -(-total // (POINTS * BATCH)) * BATCH
        settings = [f"train.seed={seed}", *_length(total)]
        settings += [f"run.snapshot={every}", f"run.samples={every}"]
        settings += [f"evaluate.held_out={json.dumps(self.data.rest.as_posix())}"]
        finished = self._kept(folder, total).exists()
        problem = "" if finished else self._train(recipe, run, total, settings)
        models = [] if problem else _models(run, every)
        chosen = models if self.curves else models[-1:]
        known = bool(models) and self._looks_at_efficientnet(recipe)
        points = [self._measured(folder, model, whole=model == models[-1], known=known) for model in chosen]
        return Cell(recipe, seed, run, points, problem)

    def recipe(self, recipe: str) -> tuple[Path, list[str]]:
        """The base recipe and the overrides of a row."""
        overrides = [each.replace("{size}", str(self.data.size)) for each in RECIPES[recipe]]
        if not overrides or not overrides[0].endswith(".toml"):
            return self.data.base, overrides
        own = [f"model.size={self.data.size}", f"data.path={json.dumps(self.data.few.as_posix())}", "run.grid=[8, 4]"]
        return ROOT / "recipes" / overrides[0], [*own, *overrides[1:]]

    def rows(self, recipes: Sequence[str]) -> list[str]:
        """The rows that work at the size of the set; of the others a line says why not."""
        reasons = {recipe: self._refused(recipe) for recipe in recipes}
        for recipe, reason in reasons.items():
            if reason:
                _say(f"{recipe} is left out: {reason}")
        return [recipe for recipe in recipes if not reasons[recipe]]

    def _refused(self, recipe: str) -> str:
        """Why a row cannot be trained on this set; empty if it can."""
        base = self.recipe(recipe)[0]
        if not base.exists():
            return f"there is no {base.name}"
        try:
            self._resolved(recipe)
        except RecipeError as error:
            return str(error)
        return ""

    def _claim(self, path: Path, recipe: str) -> None:
        """Write what a measurement is of, the base recipe and the overrides, beside it.

        Raises:
            SystemExit: what was measured there is of another recipe.
        """
        base, overrides = self.recipe(recipe)
        text = "\n".join([base.read_text(encoding="utf-8"), *overrides, ""])
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
        elif path.read_text(encoding="utf-8") != text:
            raise SystemExit(f"{path}: {recipe} was another recipe when this was measured; use another --out")

    def known_speeds(self) -> dict[str, dict[str, float]]:
        """The speeds that are measured already, by recipe."""
        return {path.stem: json.loads(path.read_text()) for path in sorted(self.speeds.glob("*.json"))}

    def _total(self, recipe: str) -> int:
        """Images of a run, in whole batches, and at least a batch for each point."""
        share = 1.0
        if self.equal_time:
            share = 1 / self.speed(recipe)["of_plain"]
        batch = BATCH if self.recipe(recipe)[0] == self.data.base else OWN_BATCH
        return max(math.ceil(self.images * share / batch), POINTS) * batch

    def _train(self, recipe: str, run: Path, images: int, settings: Sequence[str]) -> str:
        """Train, or go on with a run; returns what is wrong, or nothing."""
        base, overrides = self._recipe_of_run(recipe, images)
        command = ["train", str(base), "--out", str(run), "--quiet"]
        done = self.swincli(command + [part for setting in [*overrides, *settings] for part in ("--set", setting)])
        if done.returncode == 0:
            return ""
        return next((line for line in done.stderr.splitlines() if line.startswith("error:")), done.stderr[-500:])

    def _recipe_of_run(self, recipe: str, images: int) -> tuple[Path, list[str]]:
        """`recipe` with the numbers of a run of so many images."""
        base, overrides = self.recipe(recipe)
        for name, share in ("{tenth}", 10), ("{half}", 2):
            overrides = [each.replace(name, str(max(1, images // share))) for each in overrides]
        return base, overrides

    def _looks_at_efficientnet(self, recipe: str) -> bool:
        """Whether a D of this recipe sees images through the network that is also a detector."""
        resolved = self._resolved(recipe)
        return resolved.loss.features > 0 or resolved.model.discriminator == "features"

    def _resolved(self, recipe: str) -> Recipe:
        """The recipe of a run of as many images as plain's."""
        base, overrides = self._recipe_of_run(recipe, self.images)
        return load_recipe(str(base), [*overrides, *_length(self.images)])

    def _kept(self, folder: Path, images: int, ending: str = "") -> Path:
        """The file of a measurement."""
        return folder / f"measured-{images:012d}-of-{self.fakes}{ending}.json"

    def _measured(self, folder: Path, model: Path, *, whole: bool, known: bool) -> Point:
        """The measurement of a model: all metrics with intervals, or FID. Kept in the cell's folder, not made twice.

        If D looked through EfficientNet (`known`), that detector says nothing and is left out.
        """
        images = _images(model)
        values: dict[str, float] = {}
        intervals: dict[str, list[float]] = {}
        for ending, metrics in METRICS.items() if whole else [("", "fid")]:
            if ending == "-efficientnet" and known:
                continue
            kept = self._kept(folder, images, ending)
            if not kept.exists():
                command = ["evaluate", "--checkpoint", str(model), "--data", str(self.data.full), "--metric", metrics]
                command += ["--num", str(self.fakes), "--intervals" if whole else "--no-intervals", "--json", "--quiet"]
                done = self.swincli(command + (["--detector", ending[1:]] if ending else []))
                if done.returncode:
                    raise SystemExit(f"{model}: {done.stderr}")
                _write_json(kept, json.loads(done.stdout))
            result = json.loads(kept.read_text())
            values |= {name + ending: value for name, value in result["metrics"].items()}
            intervals |= {name + ending: ends for name, ends in result.get("intervals", {}).items()}
        return Point(images, values, intervals)


def _length(images: int) -> list[str]:
    """Overrides of a run of so many images: its rates fall in the last fifth."""
    return [f"train.total={images}", f"train.decay_from={images * 4 // 5}"]


def _models(run: Path, every: int) -> list[Path]:
    """The models to measure, oldest first, without those that a stopped lab has saved in between."""
    paths = sorted(run.glob("model-*.safetensors"))
    return [path for path in paths[1:] if path == paths[-1] or not _images(path) % every]


def _images(model: Path) -> int:
    return int(model.stem.split("-")[1])


def _lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def _write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda temporary: temporary.write_text(json.dumps(value, indent=1) + "\n"))


def _budget(text: str) -> int:
    try:
        images = parse_count(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if images <= 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return images


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["people-200"], metavar="SET")
    parser.add_argument("--only", nargs="+", choices=RECIPES, default=list(RECIPES), metavar="RECIPE")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="N")
    parser.add_argument("--budget", type=_budget, help="images of a run, such as 25k; default: by the set")
    parser.add_argument("--equal", choices=("images", "time"), default="images", help="what all runs have in common")
    parser.add_argument("--num", type=int, default=1000, help="generated images of a measurement")
    parser.add_argument("--curves", action="store_true", help="measure five models of a run, not only the last one")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="cells at a time, with shares of the cores")
    parser.add_argument("--out", type=Path, default=Path("runs/quality"))
    parser.add_argument("--list", action="store_true", help="list the sets and the recipes, and end")
    return parser.parse_args(arguments)


def run_set(name: str, options: argparse.Namespace, commands: Commands) -> bool:
    """Run the cells of a set that are missing, and print the table after each; returns whether all could be trained."""
    images = options.budget or parse_count(SETS[name].budget)
    data, out = prepare(name, options.out / name), options.out / name / f"{images}-equal-{options.equal}"
    lab = Lab(out, data, images, options.equal == "time", options.num, options.curves, commands)
    rows = lab.rows(options.only)
    wanted = [(recipe, seed) for seed in options.seeds for recipe in rows]
    done: dict[tuple[str, int], Cell] = {}

    def report() -> None:
        cells = [done[key] for key in wanted if key in done]
        _say(write_report(out, name, data.images, cells, lab.known_speeds(), options.num))

    def measure_speeds() -> None:
        alone, at_once = replace(lab, swincli=Commands(1)), 1 if torch.accelerator.is_available() else min(2, CORES)
        for recipe in dict.fromkeys(["plain", *rows]):
            _say(f"{name}: {recipe} takes {alone.speed(recipe, at_once=at_once)['of_plain']:.2f} of plain's time")

    if lab.equal_time:
        measure_speeds()
    with ThreadPoolExecutor(options.jobs) as pool:
        running = {pool.submit(lab.cell, *cell): cell for cell in wanted}
        try:
            for future in as_completed(running):
                cell = done[running[future]] = future.result()
                _say(f"{name}: {cell.recipe}, seed {cell.seed}: {cell.problem or 'measured'}")
                report()
        except BaseException:  # Ctrl-C, SIGTERM by `main`, or a measurement that failed
            commands.stop()
            pool.shutdown(cancel_futures=True)
            raise
    if not lab.equal_time:
        measure_speeds()
    report()
    return not any(cell.problem for cell in done.values())


def main() -> None:
    """Run the sets one after another."""
    options = read_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if options.list:
        _say(f"sets: {', '.join(SETS)}; the harder one here is {HARDER}")
        for name, overrides in RECIPES.items():
            _say(f"{name}: {' '.join(overrides) or 'the base recipe'}")
        return
    commands = Commands(max(1, CORES // options.jobs))
    results = [run_set(name, options, commands) for name in options.sets]
    raise SystemExit(int(not all(results)))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
