"""Make the tiny models again: ``python -m training COMMAND --help``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from training.record import Record

if TYPE_CHECKING:
    import random

    from training.examples import Example

_OUT = click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Folder to write.")
_SEED = click.option("--seed", type=int, default=0, show_default=True, help="Of weights and scenes.")


def _minutes(default: float) -> Callable[[Any], Any]:
    return click.option("--minutes", type=float, default=default, show_default=True, help="Wall time to train for.")


@click.group(epilog="\b\nExample:\n  python -m training sam --out tiny/sam2 --minutes 20")
def cli() -> None:
    """Train the tiny models on drawn scenes. Every command writes its record, training.json, beside the weights."""


@cli.command()
@_OUT
@_SEED
@_minutes(20)
def sam(out: Path, seed: int, minutes: float) -> None:
    """A tiny SAM 2, on promptable segmentation of scenes whose masks are known."""
    from training.sam import save, train

    record = Record("sam", {"seed": seed, "minutes": minutes}, out / "training.json")
    save(train(minutes, seed, record), out)


@cli.command(name="virtue-tiny")
@_OUT
@_SEED
@_minutes(30)
@click.option("--sam", "sam_folder", type=click.Path(path_type=Path, exists=True), required=True, help="From `sam`.")
def virtue_tiny(out: Path, seed: int, minutes: float, sam_folder: Path) -> None:
    """A tiny VIRTUE, contrastively, on the questions of SCaR's kind; SAM 2 stays as it is."""
    import torch
    from transformers import Sam2Model

    sam = Sam2Model.from_pretrained(sam_folder, dtype=torch.float32).eval()
    _contrastive("virtue-tiny", sam.requires_grad_(False), out, seed, minutes)


@cli.command(name="vlm2vec-tiny")
@_OUT
@_SEED
@_minutes(30)
def vlm2vec_tiny(out: Path, seed: int, minutes: float) -> None:
    """The same without the segmentation stream: a box reaches it as digits in its prompt alone."""
    _contrastive("vlm2vec-tiny", None, out, seed, minutes)


def _contrastive(name: str, sam: Any, out: Path, seed: int, minutes: float) -> None:
    import random

    import torch

    from training.checkpoint import save
    from training.contrastive import Learner, parts, train
    from training.examples import regions, texts
    from training.tokenizer import tokenizer

    vocabulary = random.Random(f"tokenizer {seed}")
    torch.manual_seed(seed)
    learner = Learner(tokenizer((text for _ in range(300) for text in texts(regions(vocabulary))), 512), sam)
    evaluation = random.Random("evaluation")
    held_out = [example for _ in range(60) for example in regions(evaluation)]
    record = Record(name, {"seed": seed, "minutes": minutes}, out / "training.json")

    def batch(rng: random.Random, share: float) -> list[Example]:
        # Which thing is meant first, then all parts of the caption.
        return [example for _ in range(12) for example in regions(rng, level=1 if share < 0.2 else 3)]

    train(learner, batch, lambda learner: parts(learner, held_out), minutes, seed, record)
    save(learner.eval(), out)


if __name__ == "__main__":
    cli()
