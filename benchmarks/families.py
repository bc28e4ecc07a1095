"""Items per second of each model family, against the same model driven in the plain way; and what is padding.

Both sides embed the same items of the lengths that MMEB's have, from image files to vectors, with a tiny random
checkpoint in the family's published format, in one process and by turns:

* evalkit: ``Encoder`` with a store in memory, as ``evalkit embed`` has it;
* plain: transformers' own classes as a script of a user has them: batches of eight in the order given, padded.

The vectors of both have to be the same. Tiny checkpoints spend their time on what surrounds the model: on reading
images, on tokens, on calls. Times are of the processor, which another program on the machine moves less than the clock.

Padding is what a batch computes for no item: 1 - tokens of the items / (tokens of the longest x items), over the
batches that evalkit plans for the items of a task's side, and over the plain ones. Tokens are the plain side's, of the
text and of the image together, so that an estimate of evalkit's that is wrong shows. Tiny tokenizers know few words, so
texts are longer in tokens than with the published ones.

    python benchmarks/families.py
    python benchmarks/families.py --families clip vlm2vec --items 50 --rounds 5

A family is a row of ``ROWS``: how its checkpoint is written, and how it is driven plainly.
"""

from __future__ import annotations

import argparse
import platform
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from evalkit.embedders.modeltext import parse_model
from evalkit.embedders.registry import LoadedEmbedder, load_embedder
from evalkit.encoding.batches import BATCH_TOKENS, plan
from evalkit.encoding.encode import Encoder
from evalkit.encoding.forward import Forward
from evalkit.encoding.store import VectorStore
from evalkit.items import Item
from evalkit.items.images import ImageFile

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

BATCH = 8
SAME = 1e-4  # largest difference between two float32 vectors of the same item
MOST_PADDING = 0.05
# Width and height of photos in COCO, Visual Genome and ADE20K.
SHAPES = ((640, 480), (480, 640), (640, 427), (427, 640), (500, 375), (640, 480), (683, 512), (640, 426))
_WORDS = (
    "a an the of in on at with and to is are man woman people child dog cat horse bird street city building house "
    "table kitchen water river mountain field tree flower grass red blue green white black small large old young "
    "wooden standing sitting walking holding looking riding playing near behind under between next president minister "
    "government official spokesman economic parliament demonstration international yesterday according announcement "
    "football championship stadium player season photographer restaurant refrigerator motorcycle umbrella skateboard"
)
WORDS = _WORDS.split()


@dataclass(frozen=True)
class Kind:
    """Items of one side of a task.

    Attributes:
        what: they are.
        prompt: around the words.
        words: of an item, least and most; drawn so that short ones are more.
        pictured: whether they have an image.
    """

    what: str
    prompt: str
    words: tuple[int, int]
    pictured: bool = False


KINDS = (
    Kind("class names", "{}", (1, 4)),
    Kind("answers", "{}", (1, 3)),
    Kind("captions", "{}", (10, 40)),
    Kind("captions to images", "Find me an everyday image that matches the given caption: {}\n", (10, 40)),
    Kind("news captions", "{}", (10, 100)),
    Kind("images to classes", "<image>\nRepresent the given image for classification\n", (0, 0), True),
    Kind("images, questions", "<image>\nRepresent the given image with the following question: {}\n", (4, 20), True),
    Kind(
        "images, news captions",
        "<image>\nRepresent the given news image with the following caption for domain classification: {}\n",
        (10, 100),
        True,
    ),
)


def made_items(kind: Kind, count: int, folder: Path, seed: int) -> list[Item]:
    """Items of a kind, the images of which are of the shapes of photos and lie in ``folder``."""
    draw = random.Random(seed)
    low, high = kind.words
    items = []
    for number in range(count):
        length = min(high, max(low, round(draw.lognormvariate(np.log(max(1, low + high) / 3), 0.5))))
        text = " ".join(draw.choices(WORDS, k=length))
        image = ImageFile(folder, f"{number % len(SHAPES)}-{number}.jpg") if kind.pictured else None
        items.append(Item(kind.prompt.format(text), text=text, image=image))
    return items


def write_images(folder: Path, count: int) -> None:
    """The images of :func:`made_items`."""
    noise = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(noise.integers(0, 256, (9, 12, 3), dtype=np.uint8))
        coarse.resize(SHAPES[number % len(SHAPES)]).save(folder / f"{number % len(SHAPES)}-{number}.jpg", quality=90)


class Plain(Protocol):
    """A model as a user's script drives it."""

    def embed(self, items: Sequence[Item]) -> torch.Tensor:
        """Vectors of a batch, not normalised."""
        ...

    def tokens(self, item: Item) -> int:
        """Tokens of an item, those of its image among them, without padding."""
        ...


def opened(items: Sequence[Item]) -> list[Image.Image]:
    """The images of items."""
    return [Image.open(item.image.root / item.image.path).convert("RGB") for item in items if item.image is not None]


class PlainTowers:
    """CLIP, SigLIP and their successors by ``AutoModel``; texts as their documentation pads them."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoImageProcessor, AutoModel, AutoTokenizer, PreTrainedTokenizerFast

        # SigLIP's own class needs sentencepiece; what it cleans away these texts do not have.
        words = PreTrainedTokenizerFast if (folder / "tokenizer.json").is_file() else AutoTokenizer
        self.model = AutoModel.from_pretrained(folder).eval()
        self.processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
        self.tokenizer = words.from_pretrained(folder)
        self.full = self.model.config.model_type.startswith("siglip")
        vision = self.model.config.vision_config
        side = getattr(vision, "image_size", 0)
        self.patches = (side // vision.patch_size) ** 2 or int(self.processor.max_num_patches)

    def _texts(self, texts: Sequence[str]) -> dict[str, torch.Tensor]:
        length = self.model.config.text_config.max_position_embeddings
        given = dict(
            self.tokenizer(
                list(texts),
                padding="max_length" if self.full else True,
                padding_side="right",
                truncation=True,
                max_length=length,
                return_tensors="pt",
            )
        )
        return {"input_ids": given["input_ids"]} if self.full else given

    def embed(self, items: Sequence[Item]) -> torch.Tensor:
        written = [row for row, item in enumerate(items) if item.image is None or item.text.strip()]
        pictured = [row for row, item in enumerate(items) if item.image is not None]
        total = torch.zeros(len(items), 0)
        for rows, features in (
            (written, lambda: self.model.get_text_features(**self._texts([items[row].text for row in written]))),
            (pictured, lambda: self.model.get_image_features(**self.processor(opened(items), return_tensors="pt"))),
        ):
            if rows:
                found = features().pooler_output
                total = total if total.shape[1] else torch.zeros(len(items), found.shape[1])
                total[rows] += found
        return total

    def tokens(self, item: Item) -> int:
        text = int(self._texts([item.text])["input_ids"].shape[1]) if item.image is None or item.text.strip() else 0
        return text + (self.patches if item.image is not None else 0)


class PlainBlip2:
    """BLIP-2 by the two towers of transformers, before their projections; the words of these items need no cleaning."""

    def __init__(self, folder: Path) -> None:
        from transformers import Blip2ForImageTextRetrieval, PreTrainedTokenizerFast
        from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

        self.model = Blip2ForImageTextRetrieval.from_pretrained(folder).eval()
        self.tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        vision = self.model.config.vision_config
        self.processor = BlipImageProcessorPil(size={"height": vision.image_size, "width": vision.image_size})
        self.patches = (vision.image_size // vision.patch_size) ** 2 + self.model.config.num_query_tokens

    def _texts(self, texts: Sequence[str]) -> Any:
        cut = [" ".join(text.split(" ")[:50]) for text in texts]
        length = self.model.config.qformer_config.max_position_embeddings
        return self.tokenizer(cut, padding=True, truncation=True, max_length=length, return_tensors="pt")

    def embed(self, items: Sequence[Item]) -> torch.Tensor:
        total = torch.zeros(len(items), self.model.config.qformer_config.hidden_size)
        written = [row for row, item in enumerate(items) if item.image is None or item.text.strip()]
        pictured = [row for row, item in enumerate(items) if item.image is not None]
        if written:
            given = self._texts([items[row].text for row in written])
            embedded = self.model.embeddings(input_ids=given["input_ids"])
            read = self.model.qformer(query_embeds=embedded, query_length=0, attention_mask=given["attention_mask"])
            total[written] += read.last_hidden_state[:, 0]
        if pictured:
            seen = self.model.vision_model(**self.processor(opened(items), return_tensors="pt")).last_hidden_state
            asked = self.model.query_tokens.expand(len(pictured), -1, -1)
            total[pictured] += self.model.qformer(query_embeds=asked, encoder_hidden_states=seen).last_hidden_state[
                :, 0
            ]
        return total

    def tokens(self, item: Item) -> int:
        text = int(self._texts([item.text])["input_ids"].shape[1]) if item.image is None or item.text.strip() else 0
        return text + (self.patches if item.image is not None else 0)


class PlainQwen2Vl:
    """Qwen2-VL with a text of its own for an item, one position a token, the last token's state.

    Args:
        folder: the checkpoint.
        write: an item as the model reads it, with ``<|image_pad|>`` for its image.
        least: pixels of an image.
    """

    def __init__(self, folder: Path, write: Callable[[Item], str], least: int) -> None:
        from transformers import AutoTokenizer, Qwen2VLForConditionalGeneration
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

        self.model = Qwen2VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval().model
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        size = {"shortest_edge": least, "longest_edge": 1280 * 784}
        self.processor = Qwen2VLImageProcessorPil.from_pretrained(folder, size=size, min_pixels=None, max_pixels=None)
        self.write = write
        self._counts: dict[tuple[int, int], int] = {}

    def embed(self, items: Sequence[Item]) -> torch.Tensor:
        texts, images = [self.write(item) for item in items], opened(items)
        given: dict[str, Any] = {}
        if images:
            given = dict(self.processor(images=images, return_tensors="pt"))
            counts = iter((given["image_grid_thw"].prod(dim=1) // 4).tolist())
            texts = [
                text if item.image is None else text.replace("<|image_pad|>", "<|image_pad|>" * next(counts))
                for text, item in zip(texts, items, strict=True)
            ]
        padded = self.tokenizer(texts, padding=True, padding_side="right", return_tensors="pt")
        mask = padded["attention_mask"]
        places = torch.arange(mask.shape[1]).expand(3, len(items), -1)
        states = self.model(
            input_ids=padded["input_ids"], attention_mask=mask, position_ids=places, **given
        ).last_hidden_state
        last: torch.Tensor = states[torch.arange(len(items)), mask.sum(dim=1) - 1]
        return last

    def tokens(self, item: Item) -> int:
        count = len(self.tokenizer(self.write(item))["input_ids"])
        if item.image is None:
            return count
        size = SHAPES[int(item.image.path.partition("-")[0])]
        if size not in self._counts:
            grid = self.processor(images=[Image.new("RGB", size)], return_tensors="pt")["image_grid_thw"]
            self._counts[size] = int(grid.prod()) // 4
        return count - 1 + self._counts[size]


def mmeb_text(item: Item) -> str:
    """As VLM2Vec writes it."""
    return item.prompt.replace("<image>", "<|image_pad|>")


@dataclass(frozen=True)
class Row:
    """A family.

    Attributes:
        write: writes its checkpoint into a folder.
        plain: how it is driven plainly.
        family: that evalkit has it in, where it is not called as the row.
    """

    write: Callable[[Path], Path]
    plain: Callable[[Path], Plain]
    family: str = ""


def rows() -> dict[str, Row]:
    """The families by name; their checkpoints are those of the tests."""
    from checkpoints import clip_checkpoint, siglip_checkpoint
    from checkpoints.blip2 import blip2_checkpoint
    from checkpoints.qwen import qwen2_vl_checkpoint
    from checkpoints.towers import metaclip2_checkpoint, naflex_checkpoint, openclip_checkpoint

    return {
        "clip": Row(clip_checkpoint, PlainTowers),
        "openclip": Row(openclip_checkpoint, PlainTowers, "clip"),
        "metaclip2": Row(metaclip2_checkpoint, PlainTowers, "clip"),
        "siglip": Row(siglip_checkpoint, PlainTowers, "clip"),
        "siglip2-naflex": Row(naflex_checkpoint, PlainTowers, "clip"),
        "blip2": Row(blip2_checkpoint, PlainBlip2),
        "vlm2vec": Row(qwen2_vl_checkpoint, lambda folder: PlainQwen2Vl(folder, mmeb_text, 56 * 56)),
    }


def evalkit_side(loaded: LoadedEmbedder, tasks: Sequence[Sequence[Item]]) -> NDArray[np.float32]:
    """As ``evalkit embed`` does it, with images that it has not seen."""
    kept: dict[Any, Any] = getattr(loaded.embedder, "_kept", {})
    kept.clear()
    with VectorStore(None) as store:
        encoder = Encoder(loaded, store)
        return np.concatenate([encoder.encode(items, "candidate") for items in tasks])


@torch.inference_mode()
def plain_side(model: Plain, tasks: Sequence[Sequence[Item]]) -> NDArray[np.float32]:
    """Batches in the order given."""
    found = [model.embed(items[start : start + BATCH]) for items in tasks for start in range(0, len(items), BATCH)]
    vectors: NDArray[np.float32] = torch.nn.functional.normalize(torch.cat(found), dim=-1).numpy()
    return vectors


def padding(batches: Sequence[Sequence[int]]) -> tuple[int, int]:
    """Tokens of the items of batches, and with padding."""
    return sum(map(sum, batches)), sum(max(batch) * len(batch) for batch in batches)


def planned(loaded: LoadedEmbedder, items: Sequence[Item], lengths: Sequence[int]) -> list[list[int]]:
    """The items' lengths by the batches that evalkit plans."""
    forward = Forward(loaded, Encoder(loaded, VectorStore(None)).images)
    forward.images.gather(items)
    known = {number.to_bytes(4, "big"): forward.images.known(item) for number, item in enumerate(items)}
    entries = forward.entries(known, known.keys())
    return [[lengths[int.from_bytes(entry.key, "big")] for entry in batch] for batch in plan(entries, BATCH_TOKENS)]


def timed(side: Callable[[], NDArray[np.float32]]) -> tuple[NDArray[np.float32], float, float]:
    """What a side returns, its seconds, and those of the processor."""
    began, cpu_began = time.perf_counter(), time.process_time()
    vectors = side()
    return vectors, time.perf_counter() - began, time.process_time() - cpu_began


def speed(name: str, loaded: LoadedEmbedder, model: Plain, tasks: Sequence[Sequence[Item]], rounds: int) -> None:
    """Print a row of the first table."""
    sides: dict[str, Callable[[], NDArray[np.float32]]] = {
        "evalkit": lambda: evalkit_side(loaded, tasks),
        "plain": lambda: plain_side(model, tasks),
    }
    for side in sides.values():
        side()  # loads weights and warms up
    seconds: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
    vectors: dict[str, NDArray[np.float32]] = {}
    for number in range(rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            vectors[side], wall, cpu = timed(sides[side])
            seconds[side].append((wall, cpu))
    apart = float(np.abs(vectors["evalkit"] - vectors["plain"]).max())
    count = sum(map(len, tasks))
    rate = {side: count / median(cpu for _, cpu in runs) for side, runs in seconds.items()}
    pairs = list(zip(seconds["plain"], seconds["evalkit"], strict=True))
    ratios = [plain[1] / ours[1] for plain, ours in pairs]
    clock = median(plain[0] / ours[0] for plain, ours in pairs)
    print(
        f"{name:16}{rate['evalkit']:11.1f}{rate['plain']:11.1f}{median(ratios):9.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f}){clock:9.2f}{apart:12.1e}",
        flush=True,
    )
    if not apart <= SAME:  # nor may it be NaN
        raise SystemExit(f"the two sides disagree: vectors differ by {apart:.1e}, more than {SAME:.0e}")


def waste(name: str, loaded: LoadedEmbedder, model: Plain, samples: Sequence[Sequence[Item]]) -> bool:
    """Print the rows of the second table; whether padding is as little as it should be."""
    whole: dict[str, list[tuple[int, int]]] = {"evalkit": [], "plain": []}
    for kind, items in zip(KINDS, samples, strict=True):
        lengths = [model.tokens(item) for item in items]
        ours = planned(loaded, items, lengths)
        eights = [lengths[start : start + BATCH] for start in range(0, len(lengths), BATCH)]
        whole["evalkit"].append(padding(ours))
        whole["plain"].append(padding(eights))
        shares = [share([whole[side][-1]]) for side in whole]
        print(
            f"{name:16}{kind.what:23}{min(lengths):5} to {max(lengths):4} tokens{shares[0]:10.1%}{shares[1]:9.1%}"
            f"{len(ours):9}{len(eights):9}",
            flush=True,
        )
    print(f"{name:16}{'all':23}{'':19}{share(whole['evalkit']):10.1%}{share(whole['plain']):9.1%}")
    return share(whole["evalkit"]) <= MOST_PADDING


def share(batches: Sequence[tuple[int, int]]) -> float:
    """What of the padded tokens is padding."""
    return 1 - sum(real for real, _ in batches) / sum(padded for _, padded in batches)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", help="rows, such as clip  [default: all]")
    parser.add_argument("--items", type=int, default=24, help="of each kind, for the times  [default: 24]")
    parser.add_argument("--sample", type=int, default=1000, help="of each kind, for the padding  [default: 1000]")
    parser.add_argument("--rounds", type=int, default=3, help="times that each side runs  [default: 3]")
    parser.add_argument("--threads", type=int, default=1, help="of torch  [default: 1]")
    arguments = parser.parse_args()
    if min(arguments.items, arguments.sample, arguments.rounds, arguments.threads) < 1:
        parser.error("--items, --sample, --rounds and --threads are at least 1")
    known = rows()
    names = arguments.families or list(known)
    if unknown := [name for name in names if name not in known]:
        parser.error(f"no family {unknown[0]!r}; there are {', '.join(known)}")
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_images(folder, max(arguments.items, arguments.sample))
        tasks = [made_items(kind, arguments.items, folder, number) for number, kind in enumerate(KINDS)]
        samples = [made_items(kind, arguments.sample, folder, number) for number, kind in enumerate(KINDS)]
        made: dict[str, tuple[LoadedEmbedder, Plain]] = {}
        for name in names:
            row = known[name]
            checkpoint = row.write(folder / name)
            text = f"{row.family or name}:{checkpoint}?dtype=float32"
            made[name] = (load_embedder(parse_model(text), "cpu"), row.plain(checkpoint))
        print(f"Python {platform.python_version()}, torch {torch.__version__}, {arguments.threads} threads")
        print(
            f"{sum(map(len, tasks))} items, {arguments.rounds} rounds by turns; items per second of processor, medians"
        )
        print(f"{'':16}{'evalkit':>11}{'plain':>11}{'ratio':>9}{'':15}{'by clock':>9}{'apart':>12}")
        for name, (loaded, model) in made.items():
            speed(name, loaded, model, tasks, arguments.rounds)
        print(
            f"\npadding of {arguments.sample} items of a kind, batches of {BATCH_TOKENS:,} tokens or of {BATCH} items"
        )
        print(f"{'':58}{'evalkit':>10}{'plain':>9}{'batches':>9}{'':>9}")
        good = [waste(name, loaded, model, samples) for name, (loaded, model) in made.items()]
    if not all(good):
        raise SystemExit(f"more than {MOST_PADDING:.0%} of what is computed is padding")


if __name__ == "__main__":
    main()
