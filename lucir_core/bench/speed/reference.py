"""The loop that ours is measured against: LUCIR as one writes it down with PyTorch's and torchvision's ready parts.

DataLoader with workers, PIL augmentation, float32, contiguous memory, plain optimiser, a teacher's forward pass each
step, losses as in the published code, running figures read back each step. Nothing of it is used in training.
"""

import copy
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from lucir_core.config.phase_config import PhaseConfig
from lucir_core.models import create_backbone


class Images(Dataset[tuple[Tensor, int]]):
    """Images through PIL, as torchvision's CIFAR class hands them out."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, transform: transforms.Compose) -> None:
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


class CosineNetwork(nn.Module):
    """Backbone and cosine classifier; returns features, cosines and logits."""

    def __init__(self, config: PhaseConfig, classes: int) -> None:
        super().__init__()
        self.backbone = create_backbone(config.network, last_relu=False, seed=1)
        self.weight = nn.Parameter(torch.randn(classes, int(self.backbone.feature_dim)))  # type: ignore[arg-type]  # nn.Module's attributes are untyped
        self.eta = nn.Parameter(torch.ones(1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """images: (batch, 3, size, size), normalised."""
        features = self.backbone(images)
        cosines = functional.linear(functional.normalize(features), functional.normalize(self.weight))
        return features, cosines, self.eta * cosines


class ReferenceLoop:
    """One phase of LUCIR, `old` known and `new` new classes."""

    def __init__(
        self, config: PhaseConfig, images: np.ndarray, labels: np.ndarray, counts: tuple[int, int], device: torch.device
    ) -> None:
        self.old_count, self.device, self.config = counts[0], device, config
        self.teacher = CosineNetwork(config, counts[0]).to(device).eval()
        self.model = CosineNetwork(config, sum(counts))
        self.model.backbone.load_state_dict(copy.deepcopy(self.teacher.backbone.state_dict()))
        self.model.to(device).train()
        self.optimiser = torch.optim.SGD(
            self.model.parameters(), lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay
        )
        normalisation = transforms.Normalize(config.normalisation.mean, config.normalisation.std)
        transform = transforms.Compose(
            [
                transforms.RandomCrop(config.size, padding=config.augment.crop_padding),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                normalisation,
            ]
        )
        self.loader = DataLoader(
            Images(images, labels, transform),
            batch_size=config.batch_size,
            shuffle=True,
            num_workers=len(os.sched_getaffinity(0)),
            pin_memory=device.type == "cuda",
            drop_last=True,
        )
        self._batches = self._endless()
        self.figures: dict[str, float] = {"loss": 0.0, "correct": 0.0}

    def steps(self, count: int) -> None:
        """So many optimiser steps."""
        for _ in range(count):
            images, labels = next(self._batches)
            self._step(images.to(self.device), labels.to(self.device))

    def _endless(self) -> Iterator[Any]:
        while True:
            yield from self.loader

    def _step(self, images: Tensor, labels: Tensor) -> None:
        self.optimiser.zero_grad()
        features, cosines, logits = self.model(images)
        with torch.no_grad():
            old_features, _, _ = self.teacher(images)
        same = torch.ones(len(images), device=self.device)
        loss = functional.cross_entropy(logits, labels)
        loss = loss + 5.0 * functional.cosine_embedding_loss(features, old_features, same)
        loss = loss + self._ranking(cosines, labels)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.optimiser.step()
        self.figures["loss"] += loss.item()
        self.figures["correct"] += logits.argmax(1).eq(labels).sum().item()

    def _ranking(self, cosines: Tensor, labels: Tensor) -> Tensor:
        old = labels < self.old_count
        if not old.any():
            return torch.zeros(1, device=self.device)
        rivals = cosines[old][:, self.old_count :].topk(self.config.top_k, dim=1).values
        true = cosines[old].gather(1, labels[old].unsqueeze(1)).expand_as(rivals)
        ones = torch.ones(rivals.numel(), device=self.device)
        return (
            functional.margin_ranking_loss(true.reshape(-1), rivals.reshape(-1), ones, margin=self.config.margin)
            * self.config.ranking_weight
        )
