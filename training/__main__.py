"""Make the tiny models again: ``python -m training COMMAND --help``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from training.plan import Plan
from training.record import RECORD, Record

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from evalkit.miniature.drawings import Drawing
    from training.questions import Question

TRAINING = range(1000, 1010)  # seeds of miniatures; the one that the package shows has 0
REGIONS = range(1100, 1103)
HELD_OUT = range(2000, 2001)

_OUT = click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Folder to write.")
_SEED = click.option("--seed", type=int, default=0, show_default=True, help="Of weights and order.")
_PART = click.option("--part", type=click.FloatRange(0, 1), default=1.0, show_default=True, help="Of the steps.")
_EXISTING = click.Path(path_type=Path, exists=True)
_TOWER = click.option("--tower", "tower_folder", type=_EXISTING, required=True, help="From `tower`.")
_START = click.option("--start", type=_EXISTING, required=True, help="From `language`.")
SAM_STEPS, TOWER_STEPS, LANGUAGE_STEPS, FURTHER_STEPS, CLIP_STEPS = 2500, 6000, 1600, 1000, 1500
ROWS = 60  # a task, of each training miniature
_FURTHER = Plan(steps=FURTHER_STEPS, rate=7e-4, warm=100, early=0.1)


@click.group(epilog="\b\nExample:\n  python -m training all --out tiny")
def cli() -> None:
    """Train the tiny models on drawn scenes. Every command writes its record, training.json, beside the weights."""


@cli.command(name="all", epilog="\b\nExample:\n  python -m training all --out tiny")
@_OUT
@_SEED
@_PART
@click.pass_context
def all_(context: click.Context, out: Path, seed: int, part: float) -> None:
    """All of them, one after the other: about an hour and a half on two cores."""
    both = {"seed": seed, "part": part}
    context.invoke(sam, out=out / "sam2", **both)
    context.invoke(tower, out=out / "tower", **both, of="qwen2-vl")
    context.invoke(tower, out=out / "clip-tower", **both, of="clip")
    context.invoke(language, out=out / "language", **both, tower_folder=out / "tower")
    context.invoke(virtue_tiny, out=out / "virtue-tiny", **both, start=out / "language", sam_folder=out / "sam2")
    context.invoke(vlm2vec_tiny, out=out / "vlm2vec-tiny", **both, start=out / "language")
    context.invoke(clip_tiny, out=out / "clip-tiny", **both, tower_folder=out / "clip-tower")


@cli.command(epilog="\b\nExample:\n  python -m training sam --out tiny/sam2")
@_OUT
@_SEED
@_PART
def sam(out: Path, seed: int, part: float) -> None:
    """A tiny SAM 2, on promptable segmentation of scenes whose masks are known."""
    from training.sam import save, train

    steps = max(1, round(part * SAM_STEPS))
    record = Record("sam", {"seed": seed, "steps": steps}, out / RECORD)
    save(train(steps, seed, record), out)


@cli.command(epilog="\b\nExample:\n  python -m training tower --of qwen2-vl --out tiny/tower")
@_OUT
@_SEED
@_PART
@click.option("--of", type=click.Choice(["qwen2-vl", "clip"]), required=True, help="What it is a part of.")
def tower(out: Path, seed: int, part: float, of: str) -> None:
    """A vision tower that names the things of scenes: what the models below start from."""
    from training import clip, qwen
    from training.tower import Tower, save, train

    make: Callable[[], Tower] = clip.tower if of == "clip" else qwen.tower
    steps = max(1, round(part * TOWER_STEPS))
    save(train(make, steps, seed, Record(f"tower of {of}", {"seed": seed, "steps": steps}, out / RECORD)), out)


@cli.command(epilog="\b\nExample:\n  python -m training language --tower tiny/tower --out tiny/language")
@_OUT
@_SEED
@_PART
@_TOWER
def language(out: Path, seed: int, part: float, tower_folder: Path) -> None:
    """Qwen2-VL alone, contrastively, on miniatures of other seeds than any test has: what the next two start from."""
    from training.qwen import QwenLearner

    plan = Plan(steps=LANGUAGE_STEPS)
    _contrastive("language", QwenLearner, QwenLearner.see_with, tower_folder, plan, out, seed, part)


@cli.command(
    name="virtue-tiny",
    epilog="\b\nExample:\n  python -m training virtue-tiny --start tiny/language --sam tiny/sam2 --out tiny/v",
)
@_OUT
@_SEED
@_PART
@_START
@click.option("--sam", "sam_folder", type=_EXISTING, required=True, help="From `sam`.")
def virtue_tiny(out: Path, seed: int, part: float, start: Path, sam_folder: Path) -> None:
    """A tiny VIRTUE: that Qwen2-VL with the segmentation stream in front, trained on; SAM 2 stays as it is."""
    import shutil

    import torch
    from transformers import Sam2Model

    from training.qwen import QwenLearner

    sam = Sam2Model.from_pretrained(sam_folder, dtype=torch.float32).eval().requires_grad_(False)
    made = functools.partial(QwenLearner, sam=sam)
    _contrastive("virtue-tiny", made, QwenLearner.start_from, start, _FURTHER, out, seed, part)
    if (sam_folder / RECORD).is_file():
        shutil.copy(sam_folder / RECORD, out / "sam2" / RECORD)


@cli.command(
    name="vlm2vec-tiny",
    epilog="\b\nExample:\n  python -m training vlm2vec-tiny --start tiny/language --out tiny/vlm2vec-tiny",
)
@_OUT
@_SEED
@_PART
@_START
def vlm2vec_tiny(out: Path, seed: int, part: float, start: Path) -> None:
    """The same without the segmentation stream, trained on as long: a box reaches it as digits in its prompt alone."""
    from training.qwen import QwenLearner

    _contrastive("vlm2vec-tiny", QwenLearner, QwenLearner.start_from, start, _FURTHER, out, seed, part)


@cli.command(
    name="clip-tiny",
    epilog="\b\nExample:\n  python -m training clip-tiny --tower tiny/clip-tower --out tiny/clip-tiny",
)
@_OUT
@_SEED
@_PART
@_TOWER
def clip_tiny(out: Path, seed: int, part: float, tower_folder: Path) -> None:
    """A tiny CLIP on the same data: no instruction, no region, a sum where there are text and image."""
    from training.clip import ClipLearner

    plan = Plan(steps=CLIP_STEPS)
    _contrastive("clip-tiny", ClipLearner, ClipLearner.see_with, tower_folder, plan, out, seed, part)


@cli.command(epilog="\b\nExample:\n  python -m training ablation --size 96 --seed 7")
@click.option("--model", "models", multiple=True, default=("virtue-tiny", "vlm2vec-tiny"), show_default=True)
@click.option("--size", type=int, default=96, show_default=True, help="Queries of each task.")
@click.option("--seed", type=int, default=7, show_default=True, help="Of the miniature; none that was trained on.")
def ablation(models: tuple[str, ...], size: int, seed: int) -> None:
    """How a region reaches a model: box, point, points, mask; its own input, words, a cut image, nothing."""
    from training.ablation import measure, table

    click.echo(table(*measure(models, size, seed)))


def _contrastive(
    name: str,
    make: Callable[[PreTrainedTokenizerFast, Mapping[str, Drawing]], Any],
    begin: Callable[[Any, Path], None],
    start: Path,
    plan: Plan,
    out: Path,
    seed: int,
    part: float,
) -> None:
    """Train what ``make`` makes and ``begin`` gives its first weights from a folder; keep it at each evaluation."""
    import json

    import torch

    from training.contrastive import train
    from training.questions import WITH_REGION, questions

    rows, drawings = questions(TRAINING, ROWS)
    regions, seen = questions(REGIONS, 999, [WITH_REGION])
    held_out, unseen = questions(HELD_OUT, 8)
    torch.manual_seed(seed)
    learner = make(vocabulary(rows), drawings | seen | unseen)
    begin(learner, start)
    plan = replace(plan, steps=max(1, round(part * plan.steps)))
    before = json.loads((start / RECORD).read_text())
    record = Record(name, {"seed": seed, **asdict(plan), "start": before}, out / RECORD)
    train(learner, [*rows, *regions], held_out, plan, seed, record, keep=lambda: learner.save(out))


def vocabulary(asked: Sequence[Question]) -> PreTrainedTokenizerFast:
    """A tokenizer for these questions, instructions one token each."""
    from training.tokenizer import tokenizer

    prompts = [item.prompt for each in asked for item in (each.query, *each.candidates)]
    cards = dict.fromkeys(each.card for each in asked)
    instructions = [text for card in cards for text in (card.query_instruction, card.candidate_instruction)]
    return tokenizer(prompts, 1024, [*instructions, "Referring object bbox: ["])


if __name__ == "__main__":
    cli()
