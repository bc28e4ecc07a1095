"""``evalkit gate``"""

from __future__ import annotations

from pathlib import Path

import click

from evalkit.cli import options

EPILOG = """\b
Examples:
  evalkit gate baselines/virtue-2b runs/virtue-2b
  evalkit gate baselines/virtue-2b runs --config gate.toml --junit gate.xml --github
  evalkit gate runs/before runs/after --min-effect 0.01 --fail-on suite"""


@click.command(epilog=EPILOG)
@click.argument("base", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@options.config
@options.allow
@click.option("--alpha", type=float, help="Chance of a false alarm of the whole gate.  [default: 0.05]")
@click.option("--min-effect", type=float, help="Drop of a suite's mean that matters, a fraction.  [default: 0.003]")
@click.option("--group-min-effect", type=float, help="The same of a group's mean.  [default: 0.005]")
@click.option("--task-min-effect", type=float, help="The same of a task.  [default: 0.02]")
@click.option(
    "--fail-on",
    multiple=True,
    type=click.Choice(["suite", "group", "task"]),
    help="Levels of which a regression fails; may be given several times.  [default: all three]",
)
@click.option("--allow-missing", is_flag=True, default=None, help="A task that NEW lacks does not fail.")
@click.option("--allow-incomparable", is_flag=True, default=None, help="What cannot be compared is left out.")
@click.option("--junit", type=click.Path(path_type=Path), metavar="FILE", help="Write JUnit XML.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Write JSON.")
@click.option("--markdown", type=click.Path(path_type=Path), metavar="FILE", help="Write Markdown.")
@click.option("--gitlab", type=click.Path(path_type=Path), metavar="FILE", help="Write metrics for GitLab.")
@click.option("--github", is_flag=True, help="Print annotations; add the Markdown to $GITHUB_STEP_SUMMARY.")
def command(
    base: Path,
    new: Path,
    config: Path | None,
    allow: tuple[str, ...],
    alpha: float | None,
    min_effect: float | None,
    group_min_effect: float | None,
    task_min_effect: float | None,
    fail_on: tuple[str, ...],
    allow_missing: bool | None,
    allow_incomparable: bool | None,
    junit: Path | None,
    json_file: Path | None,
    markdown: Path | None,
    gitlab: Path | None,
    github: bool,
) -> int:
    """Is the new run worse than the base? Exits with 1 if it is, with 3 if that cannot be said.

    BASE, NEW: a run's folder, a folder with one run below it, a baseline's folder, or a JSON file of scores. A
    regression has to be large enough to matter and significant among all tests of the gate.
    """
    import os
    from contextlib import suppress
    from datetime import date

    from evalkit.cli.comparison import gate_table
    from evalkit.errors import EvalkitError, UsageError
    from evalkit.files import read_file, write_atomically
    from evalkit.regression.comparand import read_comparand
    from evalkit.regression.compare import compare
    from evalkit.regression.config import origin, read_config
    from evalkit.regression.gate import judge
    from evalkit.regression.verdicts.comment import markdown as markdown_of
    from evalkit.regression.verdicts.github import annotated, annotation, write_summary
    from evalkit.regression.verdicts.gitlab import metrics_text
    from evalkit.regression.verdicts.junit import junit_xml
    from evalkit.regression.verdicts.record import gate_json

    flags = {
        "allow": allow or None,
        "alpha": alpha,
        "min_effect": min_effect,
        "group_min_effect": group_min_effect,
        "task_min_effect": task_min_effect,
        "fail_on": fail_on or None,
        "allow_missing": allow_missing,
        "allow_incomparable": allow_incomparable,
    }
    outputs = (
        (junit, junit_xml),
        (json_file, gate_json),
        (markdown, lambda found: markdown_of(found).encode()),
        (gitlab, lambda found: metrics_text(found).encode()),
    )
    for path, _ in outputs:
        for given in (base, new, config):
            if path is not None and given is not None and os.path.realpath(path) == os.path.realpath(given):
                raise UsageError(f"{path} is what the gate reads, and would be written over: name another file")
    try:
        chosen = read_config(config, flags)
        comparands = read_comparand(base), read_comparand(new)
        comparison = compare(
            *comparands, alpha=chosen.alpha, allow=chosen.allow, alpha_from=origin("alpha", config, flags)
        )
        gate = judge(comparison, chosen, today=date.today())
    except EvalkitError as error:
        for path, _ in outputs:  # what an earlier gate said would be taken for this one's answer
            if path is not None and os.path.isfile(path):
                with suppress(OSError):
                    if b"evalkit" in read_file(path):  # what is somebody else's stays
                        os.unlink(path)
        if github:
            click.echo(annotation("error", "evalkit gate", str(error)))
        raise
    click.echo(gate_table(gate))
    for path, data in outputs:
        if path is not None:
            write_atomically(path, data(gate))
    if github:
        click.echo(annotated(gate), nl=False)
        if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
            write_summary(Path(summary), markdown_of(gate))
    return gate.exit_code
