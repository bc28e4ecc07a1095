"""A model of sentence-transformers as an embedder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.embedders.base import EmbedderInfo
from evalkit.embedders.function import array_of, unit_rows
from evalkit.errors import EmbedderError
from evalkit.items import Item, Side

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def is_sentence_transformer(model: object) -> bool:
    """Whether it is a model of sentence-transformers; what is one has imported the package."""
    package = sys.modules.get("sentence_transformers")
    return package is not None and isinstance(model, package.SentenceTransformer)


class SentenceEmbedder:
    """A ``SentenceTransformer``, with texts, images, or both, as far as it takes them.

    Queries go through its ``encode_query``, candidates through its ``encode_document``, with the prompts that it has
    for them. A task's instruction takes the prompt's place in a model that has prompts or takes messages; any other,
    such as CLIP, gets the text alone.

    Args:
        model: the model.
        name: how it is called; what it was loaded by where it is empty.
    """

    def __init__(self, model: Any, name: str = "") -> None:
        self._model = model
        known: set[Any] = {
            "text" if kind == "text" else "image" if kind == "image" else "image+text"
            for kind in ("text", "image", ("image", "text"))
            if model.supports(kind)
        }
        self._instructed = model.supports("message") or any(model.prompts.values())
        self.info = EmbedderInfo(
            name=name or _called(model),
            dimension=self._dimension(),
            modalities=frozenset(known),
            options={"instruction": "prompt" if self._instructed else "none"},
        )

    def encode(self, items: Sequence[Item], side: Side) -> NDArray[np.float32]:
        """float32, shape ``(len(items), info.dimension)``, rows of length 1.

        Raises:
            EmbedderError: it returns something else.
        """
        import numpy as np

        vectors = np.empty((len(items), self.info.dimension), dtype=np.float32)
        places: dict[str, list[int]] = {}
        for place, item in enumerate(items):
            places.setdefault(item.instruction if self._instructed else "", []).append(place)
        for instruction, own in places.items():
            vectors[own] = self._encoded([_input_of(items[place]) for place in own], side, instruction)
        return vectors

    def _encoded(self, inputs: list[Any], side: Side, instruction: str) -> NDArray[np.float32]:
        encode = self._model.encode_query if side == "query" else self._model.encode_document
        prompt = {"prompt": f"{instruction} "} if instruction else {}
        returned = encode(inputs, batch_size=len(inputs), show_progress_bar=False, **prompt)
        return unit_rows(array_of(returned, len(inputs), self.info.name))

    def _dimension(self) -> int:
        found = self._model.truncate_dim or self._model.get_embedding_dimension()
        if found is None:
            raise EmbedderError(f"{_called(self._model)} does not say how long its vectors are")
        return int(found)


def _input_of(item: Item) -> Any:
    if item.image is None:
        return item.text
    image = item.image.rgb()
    return {"text": item.text, "image": image} if item.text else image


def _called(model: Any) -> str:
    """What it was loaded by: the name of its repository on the hub, or of its folder."""
    configs = (getattr(part, "config", None) for part in model[0].children())
    places = [model.model_card_data.base_model, *(getattr(config, "_name_or_path", None) for config in configs)]
    for place in filter(None, places):
        parts = Path(str(place)).parts
        cached = [part.rpartition("--")[2] for part in parts if part.startswith("models--")]
        named = [part for part in parts if not part[:1].isdigit() or "_" not in part]  # a module is in 0_Transformer
        if found := (cached or named)[-1:]:
            return found[0]
    return type(model).__name__
