"""evalkit from Python: what people hold, to the jobs that the commands do."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit import check as checks
from evalkit import errors
from evalkit import evaluate as job
from evalkit.device import device_name
from evalkit.embedders.holding import HeldModel, held_model
from evalkit.encoding.batches import BATCH_TOKENS
from evalkit.encoding.checkedregions import checked_regions
from evalkit.encoding.encode import Encoder
from evalkit.encoding.imageindex import ImageIndex
from evalkit.encoding.store import VectorStore
from evalkit.errors import EvalkitError, ResultsError, UsageError
from evalkit.files import inside
from evalkit.items import Item, Side
from evalkit.items.images import ImageFile
from evalkit.progress import Progress
from evalkit.runs.manifest import Settings, TaskResult
from evalkit.runs.run import Run, load_run
from evalkit.suites.card import TaskCard
from evalkit.suites.selecting import load_task
from evalkit.suites.task import DataFolder, LoadOptions, Task, card_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
