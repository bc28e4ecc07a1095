"""What a backbone is: how transformers' model of one architecture is found, shown images, and read.

The language model is called with embeddings, in which features of images stand in place of their marks. Padding comes
after the text: attention looks back only, so nothing sees it, and no position moves.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, get_args

from evalkit.embedders.checkpoint import Checkpoint
from evalkit.embedders.loading import said
from evalkit.embedders.vlm.tokens import Tokens
from evalkit.errors import UsageError

if TYPE_CHECKING:
    import torch

    from evalkit.embedders.vlm.patching import Sizing
    from evalkit.items.images import ImageFile

Positions = Literal["1d", "mrope"]
POSITIONS: tuple[Positions, ...] = get_args(Positions)


class Prepared(Protocol):
    """An image ready for the vision tower; made on the CPU, without weights."""

    @property
    def tokens(self) -> int:
        """Tokens that the language model reads of it."""
        ...


class Pictures(Protocol):
    """Prepares images; threads may share one."""

    def prepare(self, image: ImageFile) -> Any:
        """Decode, resize and normalise one image, to what the backbone's :meth:`Vlm.look` takes (:class:`Prepared`).

        Raises:
            ImageError: it cannot be decoded, or is too narrow.
        """
        ...

    def tokens(self, width: int, height: int) -> int:
        """Tokens of an image of this stored size, for batching."""
        ...


@dataclass(frozen=True)
class Seen:
    """One image through the image encoders.

    Attributes:
        features: of the vision tower, shape (tokens, hidden size).
        rows: of its tokens, from top to bottom; 0 where they are no grid.
        columns: of its tokens, from left to right.
        deep: features that are added to the first layers of the language model, each of the shape of ``features``.
        map: of SAM 2, shape (channels, side, side), where there is a segmentation stream.
    """

    features: torch.Tensor
    rows: int = 0
    columns: int = 0
    deep: tuple[torch.Tensor, ...] = ()
    map: torch.Tensor | None = None

    @property
    def bytes(self) -> int:
        """What it takes of memory."""
        parts = (self.features, self.map, *self.deep)
        return sum(part.numel() * part.element_size() for part in parts if part is not None)


class Vlm:
    """A model with its weights: a vision tower and a language model.

    Args:
        model: transformers' base model (with ``language_model``), on the device.
        image_token: the id that the model puts image features in place of.
        device: where it runs.
    """

    def __init__(self, model: Any, image_token: int, device: str) -> None:
        self._model = model
        self._image_token = image_token
        self._device = device

    @property
    def _language(self) -> Any:
        return self._model.language_model

    @property
    def attention(self) -> str:
        """What transformers calls the kernel that it attends with."""
        return str(self._language.config._attn_implementation)

    def look(self, pictures: Sequence[Any]) -> list[Seen]:
        """Features of images, which go through the vision tower together; do not depend on the prompt.

        Args:
            pictures: from the backbone's :class:`Pictures`.
        """
        raise NotImplementedError

    def read(
        self,
        texts: Sequence[Sequence[int]],
        seen: Sequence[Seen] | None = None,
        segments: torch.Tensor | None = None,
        positions: Positions = "1d",
    ) -> torch.Tensor:
        """Vectors of a batch that has images throughout or not at all: the last token's state after the final norm.

        Args:
            texts: token ids, one list an item; as many image tokens as its image has.
            seen: the items' images, from :meth:`look`.
            segments: embeddings that stand in front, all of them at position 0, shape
                ``(items, tokens, hidden size)``; what follows counts on from their number.
            positions: ``1d``, counted from 0 alike on all axes, or ``mrope``, the three axes of Qwen2-VL and its
                successors.

        Returns:
            float32, shape ``(items, hidden size)``, rows of length 1.
        """
        import torch

        lengths = torch.tensor([len(ids) for ids in texts], device=self._device)
        padded = torch.nn.utils.rnn.pad_sequence([torch.tensor(ids) for ids in texts], batch_first=True)
        embedded = self._language.get_input_embeddings()(padded.clamp(min=0).to(self._device))
        mark = None
        if seen is not None:
            mark = (padded == self._image_token).to(self._device)
            mark &= torch.arange(padded.shape[1], device=self._device) < lengths[:, None]
            embedded[mark] = torch.cat([one.features for one in seen]).to(embedded.dtype)
        front = 0
        if segments is not None:
            front = segments.shape[1]
            embedded = torch.cat([segments.to(embedded.dtype), embedded], dim=1)
        if positions == "mrope" and seen is not None:
            places = mrope(texts, self._image_token, seen).to(self._device)
        else:
            places = torch.arange(embedded.shape[1], device=self._device)
            places[:front] = 0
            places = places.expand(3, len(texts), -1)
        states = self._states(embedded, places, mark, seen or ())
        last = states[torch.arange(len(texts), device=self._device), front + lengths - 1]
        return torch.nn.functional.normalize(last.float(), dim=-1)

    def _states(
        self, embedded: torch.Tensor, places: torch.Tensor, mark: torch.Tensor | None, seen: Sequence[Seen]
    ) -> torch.Tensor:
        """The language model's states after the final norm, shape ``(items, length, hidden size)``.

        Args:
            embedded: shape ``(items, length, hidden size)``.
            places: positions, shape ``(3, items, length)``.
            mark: where images stand, shape ``(items, length)``; ``None`` in a batch without.
            seen: the items' images.
        """
        # Three axes. Without a fourth, and without a mask, transformers looks for no packed sequences.
        states: torch.Tensor = self._language(
            inputs_embeds=embedded, position_ids=places, attention_mask=None, use_cache=False
        ).last_hidden_state
        return states


class Backbone(ABC):
    """One architecture, as far as it is known without weights.

    Attributes:
        TYPE: ``model_type`` of its ``config.json``.
        MARK: the token that stands for an image.
        EMPTY: the token that stands for a text of no token, where the tokenizer begins none with a token of its own.
    """

    TYPE: ClassVar[str]
    MARK: ClassVar[str]
    EMPTY: ClassVar[str | None] = None

    @abstractmethod
    def config(self, checkpoint: Checkpoint) -> Any:
        """The configuration.

        Raises:
            UsageError: ``config.json`` is missing, or is none of this architecture's.
        """

    def hidden_size(self, config: Any) -> int:
        """Length of the language model's states."""
        return int(config.text_config.hidden_size)

    def image_token(self, config: Any) -> int:
        """The id of the image's mark."""
        return int(config.image_token_id)

    def tokens(self, checkpoint: Checkpoint, config: Any) -> Tokens:
        """What makes token ids of its prompts.

        Args:
            checkpoint: where the tokenizer's files lie.
            config: of the model.

        Raises:
            UsageError: there is no tokenizer.
            EmbedderError: it is broken, or its image token is another one.
        """
        return Tokens(checkpoint, self.MARK, self.image_token(config), self.EMPTY)

    @abstractmethod
    def pictures(self, checkpoint: Checkpoint, config: Any, sizing: Sizing) -> Pictures:
        """What prepares its images.

        Args:
            checkpoint: where the image processor's file lies.
            config: of the model.
            sizing: how large images are made.

        Raises:
            UsageError: the file is missing.
            EmbedderError: it describes another image processor.
        """

    @abstractmethod
    def load(self, checkpoint: Checkpoint, base: Checkpoint | None, device: str, dtype: torch.dtype) -> Vlm:
        """The model with its weights.

        Args:
            checkpoint: the model, or an adapter.
            base: what the adapter was trained on; ``None`` where ``checkpoint`` is the model.
            device: where it runs.
            dtype: what it computes in.

        Raises:
            UsageError: weights are missing, or peft where there is an adapter.
            EmbedderError: weights are broken, or are not those that ``config.json`` asks for.
        """


def read_config(kind: Any, checkpoint: Checkpoint) -> Any:
    """``config.json`` of an architecture, by transformers' class for it.

    Raises:
        UsageError: it is missing, or is none of that class.
    """
    from huggingface_hub.errors import StrictDataclassError

    file = checkpoint.folder / "config.json"
    checkpoint.config()
    try:
        return kind.from_pretrained(checkpoint.folder, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, StrictDataclassError) as error:
        raise UsageError(
            f"{file} is no {kind.model_type} configuration ({said(error)}): {checkpoint.way_out}"
        ) from error


def mrope(texts: Sequence[Sequence[int]], image_token: int, seen: Sequence[Seen]) -> torch.Tensor:
    """Positions on three axes, time, height and width: text counts on all of them alike, an image spans a grid.

    After an image the text goes on at one past the greatest position in it (Qwen2-VL, arXiv 2409.12191, section 2.1).

    Args:
        texts: token ids, one list an item; the tokens of its image stand together.
        image_token: the id of an image's tokens.
        seen: the items' images.

    Returns:
        int64, shape ``(3, items, longest)``; what pads counts on.
    """
    import torch

    longest = max(map(len, texts))
    places = torch.zeros(3, len(texts), longest, dtype=torch.int64)
    for item, (ids, one) in enumerate(zip(texts, seen, strict=True)):
        start = list(ids).index(image_token)
        grid = torch.cartesian_prod(torch.arange(1), torch.arange(one.rows), torch.arange(one.columns)).T
        end = start + grid.shape[1]
        places[:, item, :start] = torch.arange(start)
        places[:, item, start:end] = start + grid
        places[:, item, end:] = start + max(one.rows, one.columns) + torch.arange(longest - end)
    return places
