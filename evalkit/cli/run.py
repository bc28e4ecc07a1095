"""``evalkit run``"""

from __future__ import annotations

from pathlib import Path

import click

from evalkit.cli import options
from evalkit.items.prompting import MODES

EPILOG = """\b
Examples:
  evalkit run --model random --model constant --tasks example --data evalkit/example/data --out runs
  evalkit run --model clip:./clip-vit-large-patch14 --tasks mmeb/classification --data DIR --out runs
  evalkit run --model my_model.py:Mine?layers=12 --tasks all --data DIR --out runs --device cuda
  evalkit run --model virtue:./virtue-2b --tasks scar --data DIR --out runs --prompting crop
  evalkit run --model qwen3-vl-embedding-2b?dimensions=64,256,2048 --tasks all --data DIR --out runs
  evalkit run --model clip-tiny --tasks ./my-task --out runs    (evalkit new task my-task writes one)

The same command again goes on where it stopped; nothing is embedded twice."""

*_first, _last = MODES.values()
_WAYS = f"{'; '.join(mode.by for mode in _first)}; or {_last.by}, e.g. --prompting {_last.name}"


@click.command(epilog=EPILOG)
@click.option(
    "--model",
    "models",
    multiple=True,
    required=True,
    metavar="MODEL",
    help=f"{options.MODEL_HELP}; may be repeated.",
)
@click.option(
    "--tasks",
    "selectors",
    multiple=True,
    required=True,
    metavar="SELECTOR",
    help=f"{options.SELECTOR_HELP}; commas and repeats add up.",
)
@options.data
@options.images
@options.follow_links
@click.option("--out", type=click.Path(path_type=Path), required=True, help="RUNS folder.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help="Only the first N queries of each task (no part of any average).",
)
@options.device
@options.batch_tokens
@click.option("--store", type=click.Path(path_type=Path), help="Vector store.  [default: OUT/vectors.sqlite]")
@click.option(
    "--rebuild-store",
    is_flag=True,
    help="Move a corrupt store away and begin anew; make vectors in it that do not hold anew.",
)
@click.option(
    "--trust-store", is_flag=True, help="Reuse vectors without making a few of them again first; it is recorded."
)
@click.option(
    "--vectors",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    show_default=True,
    help="What vectors are kept as.",
)
@options.official_dedup
@click.option(
    "--exif",
    type=click.Choice(["apply", "ignore"]),
    default="apply",
    show_default=True,
    help="The orientation that a camera recorded; the official loaders ignore it.",
)
@click.option(
    "--prompting",
    type=click.Choice(list(MODES)),
    help=f"How regions reach the model: {_WAYS}.  [default: native where the model takes them, else text]",
)
@options.bad_regions
@click.option("--dry-run", is_flag=True, help="Say which tasks would run and which would not, and do nothing.")
@options.quiet
def command(
    models: tuple[str, ...],
    selectors: tuple[str, ...],
    data: Path | None,
    images: tuple[Path, ...],
    follow_links: bool,
    out: Path,
    limit: int | None,
    device: str,
    batch_tokens: int,
    store: Path | None,
    rebuild_store: bool,
    trust_store: bool,
    vectors: str,
    official_dedup: bool,
    exif: str,
    prompting: str | None,
    bad_regions: str,
    dry_run: bool,
    quiet: bool,
) -> int:
    """Evaluate models on tasks and write a run for each model: RUNS/<model>/<run id>.

    MODEL?dimensions=64,256 scores one model at several dimensions, a run each, of the same vectors;
    ?dimensions=all at those that the model is made for.

    Tasks that will not run are listed before anything is embedded. Exits with 4 if a task fails; the other tasks
    go on. Exits with 2, and does nothing, if no task can run.
    """
    from contextlib import closing

    from evalkit.cli.tables import rehearsal, run_summary
    from evalkit.device import pick_device
    from evalkit.embedders.modeltext import parse_model
    from evalkit.errors import DataError, EvalkitError, UsageError
    from evalkit.evaluate import Job, evaluate_all
    from evalkit.onetask import metrics_of
    from evalkit.preflight import rehearse
    from evalkit.progress import Progress
    from evalkit.runs.manifest import Settings
    from evalkit.suites.selecting import chosen_tasks, data_of
    from evalkit.suites.task import Task, card_of
    from evalkit.terminal import one_line

    tasks = chosen_tasks(selectors, follow_links=follow_links)
    cards = [card_of(task) for task in tasks]
    folder = data_of(tasks, data, images, follow_links=follow_links)
    for task in tasks:
        if isinstance(task, Task):  # of an installed task it is no mistake of who runs it
            try:
                metrics_of(task.card)
            except DataError as error:
                raise UsageError(str(error)) from error
    specs = [parse_model(text) for text in dict.fromkeys(models)]
    if device != "auto":  # to find out what auto stands for, torch would have to be loaded
        pick_device(device)
    settings = Settings.model_validate(
        {
            "limit": limit,
            "official_dedup": official_dedup,
            "exif": exif,
            "vectors": vectors,
            "prompting": prompting,
            "bad_regions": bad_regions,
        }
    )
    exit_code = 0
    if dry_run:
        for found in rehearse(specs, tasks, folder, settings, device):
            if isinstance(found, EvalkitError):
                click.echo(f"evalkit: {one_line(str(found))}", err=True)
                exit_code = max(exit_code, found.exit_code)
                continue
            click.echo(rehearsal(found, cards))
            exit_code = max(exit_code, 0 if not found.refused else 2 if len(found.refused) == len(cards) else 4)
        return exit_code
    ran = evaluate_all(
        [Job(spec, settings) for spec in specs],
        tasks,
        folder,
        out,
        store=store,
        rebuild_store=rebuild_store,
        trust_store=trust_store,
        device=device,
        batch_tokens=batch_tokens,
        progress=Progress(quiet=quiet),
    )
    with closing(ran) as outcomes:
        for outcome in outcomes:
            if isinstance(outcome, EvalkitError):
                click.echo(f"evalkit: {one_line(str(outcome))}", err=True)
                exit_code = max(exit_code, outcome.exit_code)
                continue
            click.echo(run_summary(outcome.folder, outcome.manifest, cards, outcome.encoding))
            if outcome.failed(cards):
                exit_code = 4
    return exit_code
