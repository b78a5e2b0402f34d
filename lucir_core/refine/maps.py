"""What the frozen part of a backbone makes of images, computed once: the trained stages see these maps ever after."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lucir_core.config.phase_config import PhaseConfig
from lucir_core.data.augment import augment_batch, centre_crop
from lucir_core.export.onnx_export import MAPS, maps_model
from lucir_core.frozen.extraction import open_quiet
from lucir_core.models.model import IncrementalModel
from lucir_core.runtime.randomness import generator

BATCH = 16
MOST_BYTES = 512 << 20
"""Of all maps together. Where every view of every image takes more there are fewer views, then fewer images."""

Maps = NDArray[np.float16]


class MapMaker:
    """The frozen part `front` of `model`; on a CPU through ONNX Runtime, three to four times as fast as PyTorch."""

    def __init__(self, model: IncrementalModel, front: nn.Module, config: PhaseConfig, device: str, seed: int) -> None:
        self._config, self._seed, self._device = config, seed, torch.device(device)
        self._compute = self._by_runtime
        if self._device.type == "cpu":
            self._session = open_quiet(maps_model(model, front, config.size))
        else:
            self._compute = self._by_torch
            self._front = front.to(self._device).eval()
            self._scale, self._shift = model.scale.to(self._device), model.shift.to(self._device)

    def __call__(self, images: NDArray[np.uint8], views: int, tick: Callable[[int], None]) -> Maps:
        """(views * n, side, side, channels): view by view, the first as test time sees it, the others random.

        images: (n, resize, resize, 3) uint8; tick: called with the number of maps made so far.
        """
        made = np.empty((views * len(images), *self._maps(images[:1], None).shape[1:]), np.float16)
        done = 0
        for view in range(views):
            random = generator(self._device, self._seed, "view", view) if view else None
            for start in range(0, len(images), BATCH):
                part = self._maps(images[start : start + BATCH], random)
                made[done : done + len(part)] = part
                done += len(part)
                tick(done)
        return made

    def room(self, image: NDArray[np.uint8]) -> int:
        """How many maps are kept at most; image: (resize, resize, 3) uint8."""
        return max(1, MOST_BYTES // self._maps(image[None], None).nbytes)

    def _maps(self, images: NDArray[np.uint8], random: torch.Generator | None) -> Maps:
        raw, config = torch.from_numpy(np.array(images)).to(self._device), self._config
        if random is None:
            seen = centre_crop(raw, config.size)
        else:
            seen = augment_batch(raw, config.size, config.augment, random).float().round().clamp(0, 255).byte()
        # Half precision: a map is an input here, and single would double what is kept.
        found: Maps = self._compute(seen).permute(0, 2, 3, 1).half().cpu().contiguous().numpy()
        return found

    def _by_runtime(self, images: Tensor) -> Tensor:
        feed = images.permute(0, 2, 3, 1).contiguous().numpy()
        (maps,) = self._session.run([MAPS], {"images": feed})
        return torch.from_numpy(maps)

    @torch.no_grad()
    def _by_torch(self, images: Tensor) -> Tensor:
        maps: Tensor = self._front(images.float() * self._scale + self._shift)
        return maps


def spread_over_classes(labels: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """About `most` positions of labels (n,), ascending: all of the small classes, equally many of the others."""
    if len(labels) <= most:
        return np.arange(len(labels))
    counts = np.bincount(labels)
    each = max(1, next(limit for limit in range(most, -1, -1) if np.minimum(counts, limit).sum() <= most))
    chosen = [np.flatnonzero(labels == label) for label in np.flatnonzero(counts)]
    spread = [rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), each)).astype(int))] for rows in chosen]
    return np.sort(np.concatenate(spread))
