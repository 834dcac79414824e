"""The lab: recipes for few images, trained one after another at equal images or equal time, and measured alike.

    python benchmarks/quality.py [--sets people-200] [--only plain diffaugment ...] [--seeds 0 1 2] [--budget 25k]

Every cell is a recipe of the table below with one seed. It is trained on a few images of a set (`quality_sets.py`). Its
models are measured against the full set at five points of the run. The time of measuring is not training time. The
table and the pictures in OUT/SET-BUDGET are written after every cell (`quality_report.py`).

A budget such as 25k counts images. A budget such as 12m or 90s is training time: `train` first runs for 640 images, and
the speed of these gives the length of the run. A lab that was killed goes on where it was: a run resumes, and what is
measured is not measured again. On two idle cores a cell takes about 12 minutes, and 3 more to be measured.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quality_report import Cell, Point, write_report
from quality_sets import BATCH, HARDER, SETS, Prepared, prepare

from swincli.system.atomic_files import write_atomically
from swincli.units import parse_count, parse_duration

POINTS = 5
SPEED_IMAGES = 640
METRICS = "fid,kid,pr,memorization"
ADAPTIVE = ('augment.control="adaptive"', "augment.speed={tenth}")
DIFFAUGMENT = ('augment.transforms="diffaugment"',)
BCR = ("loss.bcr_real=10", "loss.bcr_fake=10")
R3GAN = ('loss.adversarial="relativistic"', "loss.joint_penalty=true", "loss.r2_gamma=0.5")
AUGSELF = ("loss.augself_d=1", "loss.augself_g=0.2")
LECAM = ("loss.lecam=0.01", "loss.lecam_from={tenth}")

RECIPES: dict[str, tuple[str, ...]] = {
    "plain": (),
    "diffaugment": DIFFAUGMENT,
    "diffaugment-color": (*DIFFAUGMENT, 'augment.groups=["color"]'),
    "diffaugment-color-translation": (*DIFFAUGMENT, 'augment.groups=["color", "translation"]'),
    "ada-diffaugment": (*DIFFAUGMENT, *ADAPTIVE),
    "ada-bgc": ('augment.transforms="ada"', *ADAPTIVE),
    "apa": ("augment.apa=true", *ADAPTIVE),
    "lecam": LECAM,
    "hinge": ('loss.adversarial="hinge"',),
    "relativistic-r2": R3GAN,
    "augself": (*DIFFAUGMENT, *AUGSELF),
    "adaptive-mix": ("loss.adaptive_mix=1",),
    "mee-entropy": ("loss.mee_entropy=5e-4",),
    "bcr": BCR,
    "zcr": ("loss.zcr_d=0.2", "loss.zcr_g=0.02", "loss.zcr_sigma=0.1"),
    "diffaugment+lecam": (*DIFFAUGMENT, *LECAM),
    "diffaugment+apa": (*DIFFAUGMENT, "augment.apa=true", *ADAPTIVE),
    "diffaugment+hinge": (*DIFFAUGMENT, 'loss.adversarial="hinge"'),
    "diffaugment+relativistic-r2": (*DIFFAUGMENT, *R3GAN),
    "diffaugment+mee-entropy": (*DIFFAUGMENT, "loss.mee_entropy=5e-4"),
}
"""Overrides of the base recipe. {tenth} is a tenth of the run in images."""


@dataclass(frozen=True)
class Lab:
    """What all cells of one set share.

    Attributes:
        out: Folder of the set and the budget.
        data: The stores and the base recipe.
        budget: As typed.
        fakes: Generated images of a measurement.
    """

    out: Path
    data: Prepared
    budget: str
    fakes: int

    def cell(self, recipe: str, seed: int) -> Cell:
        """Train and measure one cell, or what is missing of it."""
        folder = self.out / f"{recipe}-{seed}"
        overrides = [f"train.seed={seed}", *RECIPES[recipe]]
        total = self._total(folder, overrides)
        run, every = folder / "run", -(-total // (POINTS * BATCH)) * BATCH
        settings = [f"train.total={total}", f"train.decay_from={total * 4 // 5}", f"run.snapshot={every}"]
        settings += [f"run.samples={every}", f"evaluate.held_out={json.dumps(self.data.rest.as_posix())}"]
        finished = self._kept(folder, -(-total // BATCH) * BATCH).exists()
        problem = "" if finished else self._train(run, [*_filled(overrides, total), *settings])
        stats = _lines(run / "stats.jsonl") if (run / "stats.jsonl").exists() else []
        models = [] if problem else _models(run, every)
        points = [self._measured(folder, model, stats, whole=model == models[-1]) for model in models]
        return Cell(recipe, seed, run, points, stats, problem)

    def _total(self, folder: Path, overrides: Sequence[str]) -> int:
        """Images of the run, at least a batch for each point. A time is divided by the speed of a short run, once."""
        if not _is_time(self.budget):
            return max(parse_count(self.budget), POINTS * BATCH)
        plan = folder / "plan.json"
        if not plan.exists():
            settings = [f"train.total={SPEED_IMAGES}", f"run.snapshot={SPEED_IMAGES}", f"run.samples={SPEED_IMAGES}"]
            if problem := self._train(folder / "speed", [*_filled(overrides, SPEED_IMAGES), *settings]):
                raise SystemExit(problem)
            pace = statistics.median(line["sec_per_kimg"] for line in _lines(folder / "speed" / "stats.jsonl")[1:])
            total = max(int(1000 * parse_duration(self.budget) / pace) // BATCH, POINTS) * BATCH
            _write_json(plan, {"total": total, "sec_per_kimg": pace})
        return int(json.loads(plan.read_text())["total"])

    def _train(self, run: Path, settings: Sequence[str]) -> str:
        """Train, or go on with a run; returns what is wrong, or nothing."""
        command = ["train", str(self.data.base), "--out", str(run), "--quiet"]
        done = _swincli(command + [part for setting in settings for part in ("--set", setting)])
        if done.returncode == 0:
            return ""
        return next((line for line in done.stderr.splitlines() if line.startswith("error:")), done.stderr[-500:])

    def _kept(self, folder: Path, images: int) -> Path:
        """The file of a measurement."""
        return folder / f"measured-{images:012d}-of-{self.fakes}.json"

    def _measured(self, folder: Path, model: Path, stats: list[dict[str, Any]], *, whole: bool) -> Point:
        """The measurement of a model: all metrics with intervals, or FID. Kept in the cell's folder, not made twice."""
        images = _images(model)
        kept = self._kept(folder, images)
        if not kept.exists():
            metrics = ["--metric", METRICS, "--intervals"] if whole else ["--metric", "fid", "--no-intervals"]
            command = ["evaluate", "--checkpoint", str(model), "--data", str(self.data.full), *metrics]
            done = _swincli([*command, "--num", str(self.fakes), "--json", "--quiet"])
            if done.returncode:
                raise SystemExit(f"{model}: {done.stderr}")
            _write_json(kept, json.loads(done.stdout))
        result = json.loads(kept.read_text())
        seconds = next((line["seconds"] for line in stats if line["images_seen"] >= images), stats[-1]["seconds"])
        return Point(images, seconds, result["metrics"], result.get("intervals", {}))


def _swincli(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. If the lab is stopped, the command is stopped too: training saves its state."""
    command, pipe = [sys.executable, "-m", "swincli", *arguments], subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as process:
        try:
            out, error = process.communicate()
        except BaseException:  # Ctrl-C, or SIGTERM by `main`
            process.send_signal(signal.SIGINT)
            process.communicate()
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, error)


def _filled(overrides: Sequence[str], total: int) -> list[str]:
    return [override.replace("{tenth}", str(max(1, total // 10))) for override in overrides]


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


def _is_time(budget: str) -> bool:
    return budget[-1:] in "smh"


def _budget(text: str) -> str:
    try:
        positive = parse_duration(text) > 0 if _is_time(text) else parse_count(text) > 0
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if not positive:
        raise argparse.ArgumentTypeError("must be above 0")
    return text


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["people-200"], metavar="SET")
    parser.add_argument("--only", nargs="+", choices=RECIPES, default=list(RECIPES), metavar="RECIPE")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="N")
    parser.add_argument("--budget", type=_budget, help="images (25k) or time (12m) of a run; default: by the set")
    parser.add_argument("--num", type=int, default=1000, help="generated images of a measurement")
    parser.add_argument("--out", type=Path, default=Path("runs/quality"))
    parser.add_argument("--list", action="store_true", help="list the sets and the recipes, and end")
    return parser.parse_args(arguments)


def main() -> None:
    """Run the cells that are missing, and print the table after each."""
    options = read_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if options.list:
        _say(f"sets: {', '.join(SETS)}; the harder one here is {HARDER}")
        for name, overrides in RECIPES.items():
            _say(f"{name}: {' '.join(overrides) or 'the base recipe'}")
        return
    failed = False
    for name in options.sets:
        budget = options.budget or SETS[name].budget
        lab = Lab(options.out / f"{name}-{budget}", prepare(name, options.out / name), budget, options.num)
        cells: list[Cell] = []
        for seed in options.seeds:
            for recipe in options.only:
                _say(f"{name}, {budget}: {recipe}, seed {seed} (load {os.getloadavg()[0]:.1f})")
                cells.append(lab.cell(recipe, seed))
                if cells[-1].problem:
                    failed = True
                    _say(f"{recipe}, seed {seed}: {cells[-1].problem}")
                _say(write_report(lab.out, name, lab.data.images, cells, options.num))
    raise SystemExit(int(failed))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
