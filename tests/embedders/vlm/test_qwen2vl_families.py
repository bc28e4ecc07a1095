"""GME, LamRA, RzenEmbed and Ops-MM: literal strings through transformers' own tokenizer, processor and model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from checkpoints.qwen import qwen2_5_vl_checkpoint, qwen2_vl_checkpoint
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLForConditionalGeneration, Qwen2VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from evalkit.check import check
from evalkit.embedders.modeltext import parse_model
from evalkit.embedders.registry import load_embedder
from evalkit.embedders.vlm.vlmembedder import VlmEmbedder
from evalkit.errors import EmbedderError, ImageError, UsageError
from evalkit.items import Box, Item
from evalkit.items.images import ImageFile

TOKEN = 28 * 28
SYSTEM = "You are a helpful assistant."
TOLERANCE = 1e-5
ASK = "Find an image that answers the question."


def made(family: str, folder: Path, **options: str) -> VlmEmbedder:
    """The family's embedder, by the text of a MODEL."""
    words = "&".join(f"{key}={value}" for key, value in options.items())
    loaded = load_embedder(parse_model(f"{family}:{folder}" + (f"?{words}" if words else "")), "cpu")
    assert isinstance(loaded.embedder, VlmEmbedder)
    return loaded.embedder


@pytest.fixture(scope="session")
def qwen2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return qwen2_vl_checkpoint(tmp_path_factory.mktemp("qwen2_vl") / "tiny")


@pytest.fixture(scope="session")
def qwen25_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return qwen2_5_vl_checkpoint(tmp_path_factory.mktemp("qwen2_5_vl") / "tiny", seed=1)


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, int], ImageFile]:
    folder = tmp_path_factory.mktemp("pictures")

    def of(width: int, height: int) -> ImageFile:
        noise = np.random.default_rng(width * height).integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), np.uint8)
        name = f"{width}x{height}.png"
        PIL.Image.fromarray(noise).resize((width, height)).save(folder / name)
        return ImageFile(folder, name)

    return of


class Plain:
    """transformers driven as its documentation has it, one item at a time."""

    def __init__(self, folder: Path, kind: Any = Qwen2VLForConditionalGeneration) -> None:
        self.model = kind.from_pretrained(folder, dtype=torch.float32).eval()
        self.tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        self.folder = folder

    def vector(
        self,
        text: str,
        image: PIL.Image.Image | None = None,
        *,
        first: tuple[int, int] | None = None,
        limits: tuple[int, int] = (256 * TOKEN, 1280 * TOKEN),
        positions: str = "1d",
        longest: int | None = None,
    ) -> np.ndarray:
        given: dict[str, Any] = {}
        if image is not None:
            size = {"shortest_edge": limits[0], "longest_edge": limits[1]}
            processor = Qwen2VLImageProcessorPil.from_pretrained(
                self.folder, size=size, min_pixels=None, max_pixels=None
            )
            pixels = processor(images=[image if first is None else image.resize(first)], return_tensors="pt")
            count = int(pixels["image_grid_thw"].prod()) // 4
            text = text.replace("<|image_pad|>", "<|image_pad|>" * count)
            given = dict(pixels)
        ids = torch.tensor([self.tokenizer(text)["input_ids"][:longest]])
        if positions == "mrope" and image is not None:
            given["mm_token_type_ids"] = (ids == self.model.config.image_token_id).int()
        else:
            given["position_ids"] = torch.arange(ids.shape[1]).expand(3, 1, -1)
        with torch.inference_mode():
            state = self.model.model(input_ids=ids, **given).last_hidden_state[0, -1]
        found: np.ndarray = torch.nn.functional.normalize(state, dim=0).numpy()
        return found


@pytest.fixture(scope="session")
def plain(qwen2_folder: Path) -> Plain:
    return Plain(qwen2_folder)


def chat(system: str, user: str, after: str = "") -> str:
    """As the notes of each family print it."""
    return f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n{after}"


VISION = "<|vision_start|><|image_pad|><|vision_end|>"
END = "<|endoftext|>"
TEXTS = ["a dog", "", " a dog.\n", "déjà vu 漢字", "what is <image> or <|image_pad|>?"]


def items_of(family: str, image: ImageFile) -> list[tuple[Item, str, str]]:
    """Items, their side, and the documented string of each."""
    both = Item("<image>\nx", text="a dog", instruction=ASK, image=image)
    alone = Item("<image>\nx", text="", instruction="", image=image)
    asked = Item("<image>\nx", text="", instruction=ASK, image=image)
    words = Item("x", text="a dog", instruction=ASK)
    bare = Item("a dog", text="a dog")
    told = {
        "gme": [
            (both, "query", chat(ASK, f"{VISION}a dog", END)),
            (both, "candidate", chat(SYSTEM, f"{VISION}a dog", END)),
            (alone, "query", chat(SYSTEM, VISION, END)),
            (asked, "query", chat(ASK, VISION, END)),
            (words, "query", chat(ASK, "a dog", END)),
            (words, "candidate", chat(SYSTEM, "a dog", END)),
            (bare, "query", chat(SYSTEM, "a dog", END)),
        ],
        "lamra": [
            (both, "query", chat(SYSTEM, f"{VISION}{ASK} a dog.\nSummarize above image and sentence in one word: ")),
            (both, "candidate", chat(SYSTEM, f"{VISION}A dog.\nSummarize above image and sentence in one word: ")),
            (alone, "candidate", chat(SYSTEM, f"{VISION}\nSummarize above image in one word: ")),
            (asked, "query", chat(SYSTEM, f"{VISION}{ASK}\nSummarize above image and sentence in one word: ")),
            (asked, "candidate", chat(SYSTEM, f"{VISION}\nSummarize above image in one word: ")),
            (words, "query", chat(SYSTEM, f"{ASK} a dog.\nSummarize above sentence in one word: ")),
            (bare, "candidate", chat(SYSTEM, "A dog.\nSummarize above sentence in one word: ")),
        ],
        "rzenembed": [
            (both, "query", chat(SYSTEM, f"{VISION}{ASK} a dog", END)),
            (both, "candidate", chat(SYSTEM, f"{VISION}{ASK} a dog", END)),
            (asked, "candidate", chat(SYSTEM, f"{VISION}{ASK}", END)),
            (alone, "candidate", chat(SYSTEM, VISION, END)),
            (words, "query", chat(SYSTEM, f"{ASK} a dog", END)),
            (Item("x", text="a dog", instruction="Find: "), "query", chat(SYSTEM, "Find: a dog", END)),
        ],
        "ops-mm": [
            (both, "query", chat(ASK, f"{VISION}a dog", END)),
            (both, "candidate", chat(ASK, f"{VISION}a dog", END)),
            (alone, "candidate", chat(SYSTEM, VISION, END)),
            (words, "query", chat(ASK, "a dog", END)),
            (bare, "candidate", chat(SYSTEM, "a dog", END)),
        ],
    }
    return told[family]


# Size of the image, the first resize by hand, and the limits after it; None where the image is left to the processor.
FIRST = {
    "gme": ((300, 200), (308, 196), (256 * TOKEN, 1280 * TOKEN)),
    "lamra": ((900, 700), (532, 420), (3136, 12845056)),
    "rzenembed": ((300, 200), (308, 196), (256 * TOKEN, 1280 * TOKEN)),
    "ops-mm": ((300, 200), (560, 392), (256 * TOKEN, 1280 * TOKEN)),
}


@pytest.mark.parametrize("family", list(FIRST))
def test_vectors_are_those_of_the_documented_string(
    family: str, qwen2_folder: Path, plain: Plain, picture: Callable[[int, int], ImageFile]
) -> None:
    size, first, limits = FIRST[family]
    embedder = made(family, qwen2_folder)
    image = picture(*size)
    positions = "mrope" if family == "ops-mm" else "1d"
    for item, side, text in items_of(family, image):
        own = None if item.image is None else image.rgb()
        wanted = plain.vector(text, own, first=first, limits=limits, positions=positions)
        found = embedder.encode([item], side)[0]  # type: ignore[arg-type]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE, err_msg=text)


@pytest.mark.parametrize("family", ["gme", "lamra"])
def test_positions_are_an_option(
    family: str, qwen2_folder: Path, plain: Plain, picture: Callable[[int, int], ImageFile]
) -> None:
    size, first, limits = FIRST[family]
    item, _, text = items_of(family, picture(*size))[0]
    wanted = [
        plain.vector(text, item.image.rgb(), first=first, limits=limits, positions=way)  # type: ignore[union-attr]
        for way in ("1d", "mrope")
    ]
    found = [made(family, qwen2_folder, positions=way).encode([item], "query")[0] for way in ("1d", "mrope")]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE)
    assert np.abs(found[0] - found[1]).max() > 100 * TOLERANCE


def test_qwen25_is_a_backbone_of_lamra(qwen25_folder: Path, picture: Callable[[int, int], ImageFile]) -> None:
    size, first, limits = FIRST["lamra"]
    plain = Plain(qwen25_folder, Qwen2_5_VLForConditionalGeneration)
    for way in ("1d", "mrope"):
        embedder = made("lamra", qwen25_folder, positions=way)
        for item, side, text in items_of("lamra", picture(*size)):
            own = None if item.image is None else item.image.rgb()
            wanted = plain.vector(text, own, first=first, limits=limits, positions=way)
            found = embedder.encode([item], side)[0]  # type: ignore[arg-type]
            np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("text", TEXTS)
def test_what_the_data_says_is_no_part_of_the_template(text: str, qwen2_folder: Path, plain: Plain) -> None:
    """Token ids against the template's, with the data's words tokenised by themselves where it has special ones."""
    found = made("gme", qwen2_folder)._tokens.ids([made("gme", qwen2_folder).prompt(Item("x", text=text), "query")])[0]
    tokenizer = plain.tokenizer
    if "<|" not in text:
        assert found == tokenizer(chat(SYSTEM, text, END))["input_ids"]
        return
    before, after = chat(SYSTEM, "\0", END).split("\0")
    head, tail = before.rsplit("user", 1)[0] + "user", after
    words = tokenizer("\n" + text, split_special_tokens=True)["input_ids"]
    joined = tokenizer("user\n" + text, split_special_tokens=True)["input_ids"]
    start = tokenizer(head.removesuffix("user"))["input_ids"]
    assert found == [*start, *joined, *tokenizer(tail)["input_ids"]]
    assert tokenizer.convert_tokens_to_ids("<|image_pad|>") not in words


def test_texts_are_cut_off_where_the_authors_do(qwen2_folder: Path, plain: Plain) -> None:
    long = "a dog " * 2000
    for family, longest in (("gme", 1800), ("rzenembed", 2000)):
        found = made(family, qwen2_folder).encode([Item("x", text=long)], "candidate")[0]
        np.testing.assert_allclose(found, plain.vector(chat(SYSTEM, long, END), longest=longest), atol=TOLERANCE)


def test_lamra_cuts_candidates_and_no_query(
    qwen2_folder: Path, plain: Plain, picture: Callable[[int, int], ImageFile]
) -> None:
    """The collators of the released evaluation: 1024 tokens of a candidate, with an image or without."""
    long, image = "A dog " * 300 + "dog", picture(280, 280)
    embedder = made("lamra", qwen2_folder)
    for shown, mark, asked in ((None, "", "sentence"), (image, VISION, "image and sentence")):
        text = chat(SYSTEM, f"{mark}{long}.\nSummarize above {asked} in one word: ")
        for side, longest in (("candidate", 1024), ("query", None)):
            own = None if shown is None else shown.rgb()
            wanted = plain.vector(text, own, first=(280, 280), limits=(3136, 12845056), longest=longest)
            found = embedder.encode([Item("x", text=long, image=shown)], side)[0]  # type: ignore[arg-type]
            np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE, err_msg=f"{side}: {mark}")


def test_ops_mm_cuts_at_the_tokenizers_own_limit(
    tmp_path: Path, qwen2_folder: Path, picture: Callable[[int, int], ImageFile]
) -> None:
    """As its authors' call of the processor does (``truncation=True, max_length=None``), beside an image too."""
    folder, limit = shutil.copytree(qwen2_folder, tmp_path / "short"), 500
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"model_max_length": limit}))
    size, first, limits = FIRST["ops-mm"]
    embedder, image, plain = made("ops-mm", folder), picture(*size), Plain(folder)
    for words in ("a dog", "a dog " * 200):
        for given, vision in ((image, VISION), (None, "")):
            wanted = plain.vector(
                chat(ASK, vision + words, END),
                None if given is None else given.rgb(),
                first=first,
                limits=limits,
                positions="mrope",
                longest=limit,
            )
            for side in ("query", "candidate"):
                item = Item("x", text=words, instruction=ASK, image=given)
                np.testing.assert_allclose(embedder.encode([item], side)[0], wanted, rtol=0, atol=TOLERANCE)
    with pytest.raises(EmbedderError, match="is cut at 500 tokens, before its image of 280 tokens ends"):
        embedder.encode([Item("x", instruction="7" * limit, image=image)], "query")


# As VLM2Vec's functions make them: instructions that end in a newline and without, before a text, without an image.
CLASSIFY = "Represent the given image for classification"
QUESTION = "Represent the given image with the following question: What?"
CAPTION = "Find me an everyday image that matches the given caption: A dog."
ANSWERS = "Find a Wikipedia image that answers this question: Who?"
OBJECT = "Represent the given cropped image of the object"
RELATED = "Represent the given Wikipedia image with related text information: Cap"
BOXED = "Find the caption.\nReferring object bbox: [1, 2, 3, 4]"


@pytest.mark.parametrize(
    ("prompt", "words", "side", "text"),
    [
        (f"<image>\n{CLASSIFY}\n\n", "", "query", f"\n{CLASSIFY}\n \n"),
        (f"<image>\n{CLASSIFY}\n", "", "query", f"\n{CLASSIFY} \n"),
        (f"<image>\n{QUESTION}\n", "What?", "query", f"\n{QUESTION}\n"),
        (f"{CAPTION}\n", "A dog.", "query", f"{CAPTION}\n"),
        (f"-<image>\n{ANSWERS}\n", "Who?", "query", f"{ANSWERS}\n"),
        ("<image>\nRepresent the given image.\n\n", "", "candidate", "\nRepresent the given image.\n \n"),
        (f"<image>\n{OBJECT}", "", "candidate", f"\n{OBJECT} "),
        (f"<image>\n{RELATED}\n", "Cap", "candidate", f"\n{RELATED}\n"),
        ("a cat", "a cat", "candidate", "a cat"),
        (f"<image> \n{BOXED}", BOXED, "query", f"\n{BOXED}"),
        ("<image>?", "<image>?", "candidate", "<image>?"),
    ],
)
def test_texts_of_the_published_rows(
    prompt: str,
    words: str,
    side: str,
    text: str,
    qwen2_folder: Path,
    plain: Plain,
    picture: Callable[[int, int], ImageFile],
) -> None:
    pictured = prompt.startswith("<image>") and not words.startswith("<image>")
    image = picture(120, 90) if pictured else None
    given = Item(prompt.removeprefix("-"), text=words, instruction="ignored", image=image)
    own, first = (None, None) if image is None else (image.rgb(), (112, 84))
    vision = VISION if pictured else ""
    gme = made("gme", qwen2_folder, protocol="vlm2vec").encode([given], side)[0]  # type: ignore[arg-type]
    wanted = plain.vector(chat(SYSTEM, vision + text, END), own, first=first, limits=(4 * TOKEN, 1280 * TOKEN))
    np.testing.assert_allclose(gme, wanted, rtol=0, atol=TOLERANCE)
    lamra = made("lamra", qwen2_folder, protocol="vlm2vec").encode([given], side)[0]  # type: ignore[arg-type]
    user = vision + text if pictured else f"{text}\n"
    answered = chat(SYSTEM, user, "<emb>.<|im_end|>\n<|im_start|>assistant\n")
    np.testing.assert_allclose(lamra, plain.vector(answered, own, first=first), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("family", list(FIRST))
def test_a_vector_is_the_same_alone_and_in_any_batch(
    family: str, qwen2_folder: Path, picture: Callable[[int, int], ImageFile]
) -> None:
    embedder = made(family, qwen2_folder)
    images = [picture(120, 90), picture(28, 300), picture(9, 7)]
    items = [Item("x", text=text, instruction=ASK, image=image) for image in (*images, None) for text in ("", "a b c")]
    together = embedder.encode(items, "query")
    np.testing.assert_allclose(together, np.concatenate([embedder.encode([one], "query") for one in items]), atol=1e-5)
    assert embedder.images_encoded == 3
    apart = np.linalg.norm(together[:, None] - together[None], axis=-1) + np.eye(len(items))
    assert apart.min() > 1e-3


@pytest.mark.parametrize(
    ("family", "refused"), [("gme", False), ("rzenembed", False), ("ops-mm", False), ("lamra", True)]
)
def test_a_very_narrow_image(
    family: str, refused: bool, qwen2_folder: Path, picture: Callable[[int, int], ImageFile]
) -> None:
    """Some authors cut the longer side down, and some raise."""
    embedder, narrow = made(family, qwen2_folder), picture(6300, 30)
    item = Item("x", text="a", image=narrow)
    if refused:
        with pytest.raises(
            ImageError, match=r"6300x30.png of 6300 x 30 pixels cannot be resized .*: leave its row out"
        ):
            embedder.encode([item], "query")
        return
    assert np.linalg.norm(embedder.encode([item], "query")) == pytest.approx(1, abs=1e-5)


@pytest.mark.slow(2)
@pytest.mark.parametrize("family", list(FIRST))
def test_the_contract_is_kept(family: str, qwen2_folder: Path) -> None:
    findings = check(made(family, qwen2_folder), batch_tokens=4096)
    assert {one.name: one.detail for one in findings if one.passed is False} == {}


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("gme:{qwen25}", r"config.json is of model_type 'qwen2_5_vl'; the family gme takes qwen2_vl"),
        ("gme:{qwen2}?protocol=oficial", "protocol='oficial'"),
        ("gme:{qwen2}?positions=2d", "positions='2d'"),
        ("ops-mm:{qwen2}?protocol=official", "no option 'protocol'"),
    ],
)
def test_bad_input(model: str, says: str, qwen2_folder: Path, qwen25_folder: Path) -> None:
    with pytest.raises(UsageError, match=says):
        load_embedder(parse_model(model.format(qwen2=qwen2_folder, qwen25=qwen25_folder)), "cpu")


def test_options_are_part_of_the_fingerprint(qwen2_folder: Path) -> None:
    made_with = [
        made(family, qwen2_folder, **options).info.fingerprint
        for family, options in (
            ("gme", {}),
            ("gme", {"protocol": "vlm2vec"}),
            ("gme", {"positions": "mrope"}),
            ("lamra", {}),
            ("rzenembed", {}),
            ("ops-mm", {}),
        )
    ]
    assert len(set(made_with)) == len(made_with)


def test_a_region_is_words_alone(qwen2_folder: Path, picture: Callable[[int, int], ImageFile]) -> None:
    embedder = made("gme", qwen2_folder)
    with_box = Item("<image>\na", text="a", image=picture(120, 90), region=Box(1, 2, 30, 40))
    without = Item("<image>\na", text="a", image=with_box.image)
    np.testing.assert_array_equal(*(embedder.encode([one], "query") for one in (with_box, without)))
    assert embedder.info.regions == frozenset()


@pytest.mark.parametrize("text", ["a dog", "", "déjà vu 漢字 " * 9, "<|image_pad|> in words"])
def test_a_text_costs_the_tokens_that_are_read(text: str, qwen2_folder: Path, plain: Plain) -> None:
    """Batches are filled and ended by it: guessed from characters, more of them would be padding."""
    read = {"vlm2vec": text, "gme": chat(SYSTEM, text, END)}
    for family, written in read.items():
        expected = max(1, len(plain.tokenizer(written)["input_ids"]))
        assert made(family, qwen2_folder).cost(Item(text, text=text), None) == expected
