"""How long it takes to hold many runs in Python: to load them, held to their samples or not, and to have their table.

A few models are made up as in ``leaderboard_scale.py``, and the others are copies of them under names of their own.
Files are written to a folder first, and are used again where they are there.

    python benchmarks/frames.py --runs 500
    python benchmarks/frames.py --runs 500 --samples --folder /tmp/frames
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
from pathlib import Path

from leaderboard_scale import timed, write

from evalkit.runs.run import load_runs
from evalkit.suites.selecting import select_tasks

MADE_UP = 4  # models; the others are copies


def copied(run: Path, folder: Path, number: int) -> None:
    """The same run under another name; its samples are the same files."""
    data = json.loads((run / "run.json").read_text())
    data["model"]["name"], data["run_id"] = f"copy-{number:03d}", f"{number:012x}"
    copy = folder / data["model"]["name"] / data["run_id"]
    for file in run.glob("samples/**/*.parquet"):
        link = copy / file.relative_to(run)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.hardlink_to(file)
    copy.mkdir(parents=True, exist_ok=True)
    (copy / "run.json").write_text(json.dumps(data, indent=2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--samples", action="store_true", help="with per-query files")
    parser.add_argument("--folder", type=Path, help="keep the files here, and use those that are there")
    parser.add_argument("--tasks", default="all", help="selector of tasks")
    options = parser.parse_args()
    cards = select_tasks([options.tasks])
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        for number in range(options.runs):
            made = folder / f"made-up-{number % MADE_UP:03d}" / f"{number % MADE_UP:012x}"
            if number < MADE_UP and not (made / "run.json").exists():
                write(folder, number, cards, options.samples)
            elif number >= MADE_UP and not (folder / f"copy-{number:03d}").exists():
                copied(made, folder, number)
        print(f"{options.runs} runs, {len(cards)} tasks, samples: {options.samples}", flush=True)
        with timed("load_runs, check=False"):
            load_runs(folder, check=False)
        with timed("load_runs"):
            runs = load_runs(folder)
        with timed("to_pandas"):
            frame = runs.to_pandas()
        with timed("to_pandas again"):
            runs.to_pandas()
        with timed("averages"):
            runs.averages()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        print(f"{len(runs)} runs, {len(frame)} rows; peak memory {memory} MiB")


if __name__ == "__main__":
    main()
