"""What every family that reads a checkpoint shares: where it lies, what it runs on, and what it says of itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar

from evalkit.device import pick_device, pick_dtype, torch_facts
from evalkit.embedders.base import OURS, EmbedderInfo
from evalkit.embedders.checkpoint import Checkpoint, resolve


class Checkpointed:
    """An embedder of a checkpoint.

    A family adds ``encode``, and says what it is by the attributes and properties below.

    Args:
        path: a folder, or a hub repository in the local cache; no connection is opened.
        revision: branch, tag or commit of the hub repository.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:I``.
        dtype: ``auto``, ``float32`` or ``bfloat16``.
        checkpoint: where it has been found already.

    Attributes:
        FAMILY: the family's name, as MODEL has it.
        CODE_VERSION: raised when the family begins to give other vectors for the same checkpoint.
        MODALITIES: what it embeds.
        REGIONS: regions that it takes as an input of its own.

    Raises:
        UsageError: no such checkpoint, no such device, or a dtype that is not known.
    """

    FAMILY: ClassVar[str]
    CODE_VERSION: ClassVar[str]
    MODALITIES: ClassVar[frozenset[str]] = frozenset({"text", "image", "image+text"})
    REGIONS: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self, path: str, revision: str | None, device: str, dtype: str, checkpoint: Checkpoint | None = None
    ) -> None:
        self._device = pick_device(device)
        self._dtype = pick_dtype(dtype, self._device)
        self._checkpoint = checkpoint or resolve(path, revision)

    @cached_property
    def info(self) -> EmbedderInfo:
        """Read from the configuration; reads every file once for the fingerprint, loads no weights.

        Raises:
            UsageError: a file is missing.
        """
        options = {"dtype": self._dtype} | self._options
        kind = self._device.partition(":")[0]
        depends_on = [self.FAMILY, self.CODE_VERSION, self._digests, kind, options]
        return EmbedderInfo(
            name=self._checkpoint.name,
            dimension=self._dimension,
            revision=self._checkpoint.revision or self._checkpoint.digest,
            modalities=self.MODALITIES,
            regions=self.REGIONS,
            dimensions=self._dimensions,
            fingerprint=OURS + hashlib.sha256(json.dumps(depends_on).encode()).hexdigest(),
            options=options,
        )

    @property
    def computing(self) -> Mapping[str, str]:
        """Its attention kernel, and the state of torch."""
        return {"attention": self._attention} | torch_facts()

    @property
    def _dimension(self) -> int:
        """Length of its vectors."""
        raise NotImplementedError

    @property
    def _dimensions(self) -> tuple[int, ...]:
        """The lengths that its vectors may be cut to, the whole among them; empty where it was not trained for that."""
        return ()

    @property
    def _attention(self) -> str:
        """What transformers calls the kernel that it attends with."""
        raise NotImplementedError

    @property
    def _options(self) -> dict[str, str]:
        """Options beside the dtype that change its vectors."""
        return {}

    @property
    def _digests(self) -> list[str]:
        """Of all checkpoints that its vectors depend on."""
        return [self._checkpoint.digest]
