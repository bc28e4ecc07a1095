"""The models that come with evalkit in other people's code: transformers as it is, and sentence-transformers.

What a stranger reads are the files: padding, pooled token, ids of marks, image processor. Vectors have to be those
that evalkit gives, of each text alone and in a batch of texts of several lengths.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import (
    AutoImageProcessor,
    AutoModel,
    AutoProcessor,
    AutoTokenizer,
    CLIPModel,
    Qwen2VLForConditionalGeneration,
)

from evalkit.embedders import tiny
from evalkit.embedders.modeltext import parse_model
from evalkit.embedders.registry import load_embedder
from evalkit.items import IMAGE_MARK, Item
from evalkit.items.images import ImageFile
from evalkit.miniature import draw
from evalkit.miniature.scenes import scene

TEXTS = [
    "a red circle",
    "small striped red circle left of the large plain blue star on the beach",
    "desert",
    "Find me an everyday image that matches the given caption: a green ring above the black square\n",
    "What stands above the thing left of the yellow cross? 17",
]
LONG = "a red circle above a blue star and " * 40  # more tokens than clip-tiny reads
PROMPTS = [
    "<image>\nRepresent the given image for classification\n",
    "<image>\nRepresent the given image with the following question: What is above the green square?\n",
    "<image>\nRepresent the given image.\n",
]
CLOSE = 1e-6  # of float32 vectors of length 1: sums in another order, nothing else
HALF = 4e-3  # of float16 ones

IN_FLOAT32: dict[str, Any] = {"dtype": torch.float32, "local_files_only": True}
language_models = pytest.mark.parametrize("name", ["vlm2vec-tiny", "virtue-tiny"])
every_model = pytest.mark.parametrize("name", tiny.MODELS)


def ours(name: str, items: list[Item]) -> NDArray[np.float32]:
    return load_embedder(parse_model(name), "cpu").embedder.encode(items, "query")


def written(texts: list[str]) -> list[Item]:
    return [Item(text, text=text) for text in texts]


def unit(vectors: torch.Tensor) -> NDArray[np.float32]:
    found: NDArray[np.float32] = torch.nn.functional.normalize(vectors.detach().float(), dim=-1).numpy()
    return found


def close(found: NDArray[np.float32], wanted: NDArray[np.float32], by: float = CLOSE) -> None:
    np.testing.assert_allclose(found, wanted, atol=by, rtol=0)


@pytest.fixture
def images(tmp_path: Path) -> list[ImageFile]:
    for seed in range(3):
        draw.image(scene(random.Random(seed), 4)).save(tmp_path / f"{seed}.png")
    return [ImageFile(tmp_path, f"{seed}.png") for seed in range(3)]


# --- clip-tiny ---------------------------------------------------------------------------------------------


def test_clip_texts_in_transformers() -> None:
    folder = tiny.home() / "clip-tiny"
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = CLIPModel.from_pretrained(folder, **IN_FLOAT32)
    texts = [*TEXTS, LONG]
    wanted = ours("clip-tiny", written(texts))
    batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    assert len(set(batch["attention_mask"].sum(1).tolist())) > 3
    close(unit(model.get_text_features(**batch).pooler_output), wanted)
    for text, vector in zip(texts, wanted, strict=True):
        alone = tokenizer(text, truncation=True, return_tensors="pt")
        close(unit(model.get_text_features(**alone).pooler_output)[0], vector)


def test_clip_texts_under_a_mask_of_what_is_no_padding_and_under_none() -> None:
    """Both are found in scripts; where end and padding are one token, the first hides what is pooled."""
    folder = tiny.home() / "clip-tiny"
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = CLIPModel.from_pretrained(folder, **IN_FLOAT32)
    ids = tokenizer(TEXTS, padding="max_length", truncation=True, return_tensors="pt")["input_ids"]
    for mask in (ids.ne(tokenizer.pad_token_id).long(), None):
        close(unit(model.get_text_features(ids, mask).pooler_output), ours("clip-tiny", written(TEXTS)))


def test_clip_texts_and_images_through_its_processor(images: list[ImageFile]) -> None:
    folder = tiny.home() / "clip-tiny"
    processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
    model = CLIPModel.from_pretrained(folder, **IN_FLOAT32)
    batch = processor(text=TEXTS, images=[image.rgb() for image in images], padding=True, return_tensors="pt")
    made = model(**batch)
    texts, seen = ours("clip-tiny", written(TEXTS)), ours("clip-tiny", [Item("", image=image) for image in images])
    close(made.text_embeds.detach().numpy(), texts)
    close(made.image_embeds.detach().numpy(), seen)
    np.testing.assert_allclose(made.logits_per_image.detach().numpy(), seen @ texts.T / 0.03, rtol=1e-3, atol=1e-3)


def test_a_text_and_its_pair_are_one_text_to_clip() -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny.home() / "clip-tiny", local_files_only=True)
    assert tokenizer("a red", " circle")["input_ids"] == tokenizer("a red circle")["input_ids"]
    assert tokenizer("a red circle")["input_ids"][0] == tokenizer.bos_token_id


@pytest.mark.optional
@pytest.mark.parametrize(("options", "by"), [({}, HALF), ({"dtype": torch.float32}, CLOSE)])
def test_clip_in_sentence_transformers(options: dict[str, Any], by: float, images: list[ImageFile]) -> None:
    """As it comes, in the weights' float16, and in float32."""
    from sentence_transformers import SentenceTransformer

    folder = str(tiny.home() / "clip-tiny")
    model = SentenceTransformer(folder, device="cpu", local_files_only=True, model_kwargs=options)
    texts = [*TEXTS, LONG]
    wanted = ours("clip-tiny", written(texts))
    close(model.encode(texts, normalize_embeddings=True), wanted, by)
    for text, vector in zip(texts, wanted, strict=True):
        close(model.encode(text, normalize_embeddings=True), vector, by)
    seen = ours("clip-tiny", [Item("", image=image) for image in images])
    close(model.encode([image.rgb() for image in images], normalize_embeddings=True), seen, by)


# --- virtue-tiny's language model, and vlm2vec-tiny ------------------------------------------------------------


@language_models
@pytest.mark.parametrize("kind", [AutoModel, Qwen2VLForConditionalGeneration])
def test_language_models_on_texts_in_transformers(name: str, kind: Any) -> None:
    """The last token's state. The tokenizer pads on the left, so that it is the last of each row."""
    folder = tiny.home() / name
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = kind.from_pretrained(folder, **IN_FLOAT32)
    wanted = ours(name, written(TEXTS))

    def last(texts: list[str]) -> NDArray[np.float32]:
        batch = tokenizer(texts, padding=True, return_tensors="pt")
        return unit(model(**batch, output_hidden_states=True).hidden_states[-1][:, -1])

    close(last(TEXTS), wanted)
    for text, vector in zip(TEXTS, wanted, strict=True):
        close(last([text])[0], vector)


@language_models
def test_language_models_padded_on_the_right(name: str) -> None:
    folder = tiny.home() / name
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, padding_side="right")
    model = AutoModel.from_pretrained(folder, **IN_FLOAT32)
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    ends = batch["attention_mask"].sum(1) - 1
    close(unit(model(**batch).last_hidden_state[torch.arange(len(TEXTS)), ends]), ours(name, written(TEXTS)))


def test_images_of_several_sizes_with_texts_in_transformers(images: list[ImageFile]) -> None:
    """With positions in one dimension, which VLM2Vec's are: docs/tiny.md says so."""
    folder = tiny.home() / "vlm2vec-tiny"
    pictures = [image.rgb() for image in images]
    pictures[0].crop((0, 0, 112, 60)).save(images[0].root / "0.png")
    wanted = ours("vlm2vec-tiny", [Item(p, image=image) for p, image in zip(PROMPTS, images, strict=True)])
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True, backend="pil")
    model = AutoModel.from_pretrained(folder, **IN_FLOAT32)
    seen = processor(images=[image.rgb() for image in images], return_tensors="pt")
    counts = (seen["image_grid_thw"].prod(1) // processor.merge_size**2).tolist()
    assert len(set(counts)) == 2
    texts = [p.replace(IMAGE_MARK, "<|image_pad|>" * n) for p, n in zip(PROMPTS, counts, strict=True)]
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    places = (batch["attention_mask"].cumsum(1) - 1).clamp(min=0).expand(3, -1, -1)
    close(unit(model(**batch, **seen, position_ids=places).last_hidden_state[:, -1]), wanted)


# --- the files ---------------------------------------------------------------------------------------------


@every_model
def test_ids_of_the_configurations_are_those_of_the_tokenizer(name: str) -> None:
    folder = tiny.home() / name
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    config = json.loads((folder / "config.json").read_text())
    generating = folder / "generation_config.json"
    parts = [config, config["text_config"], *([json.loads(generating.read_text())] if generating.is_file() else [])]
    ids = {key: part[key] for part in parts for key in part if key.endswith("token_id") and part[key] is not None}
    # transformers pools CLIP's texts at the highest id where this is 2
    assert ids["eos_token_id"] == tokenizer.eos_token_id != 2
    assert ids.pop("pad_token_id") == tokenizer.pad_token_id
    if name == "clip-tiny":
        assert ids["bos_token_id"] == tokenizer.bos_token_id
        assert tokenizer.pad_token_id != tokenizer.eos_token_id
    marks = {"image": "image_pad", "video": "video_pad", "vision_start": "vision_start", "vision_end": "vision_end"}
    for mark, token in marks.items():
        if name != "clip-tiny":
            assert ids[f"{mark}_token_id"] == tokenizer.convert_tokens_to_ids(f"<|{token}|>"), mark
    assert max(ids.values()) < len(tokenizer) == config["text_config"]["vocab_size"]
    assert tokenizer.model_max_length <= config["text_config"]["max_position_embeddings"]
    assert tokenizer.padding_side == ("right" if name == "clip-tiny" else "left")


@every_model
def test_tokenizers_alone_reads_the_same(name: str) -> None:
    folder = tiny.home() / name
    alone = Tokenizer.from_file(str(folder / "tokenizer.json"))
    whole = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    assert [one.ids for one in alone.encode_batch(TEXTS)] == whole(TEXTS)["input_ids"]
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    assert settings["tokenizer_class"] == "PreTrainedTokenizerFast"  # the name that transformers 4 knows, too
    assert "additional_special_tokens" in settings
