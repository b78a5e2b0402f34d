"""Classifiers: a cosine head with old and new embeddings apart, a plain linear head, and one by ridge regression."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lucir_core.errors import ConfigError

PROJECTION_SEED = 2023


class Scores(NamedTuple):
    """What a head says of a batch: `logits` for the softmax, `cosines` unscaled; both (batch, classes)."""

    logits: Tensor
    cosines: Tensor


class ClassRows(nn.Module):
    """A row for each class: `old` (old classes, dim) and `new` (new classes, dim)."""

    def __init__(self, dim: int, old_count: int, new_count: int) -> None:
        super().__init__()
        self.old = nn.Parameter(torch.zeros(old_count, dim))
        self.new = nn.Parameter(torch.zeros(new_count, dim))

    @property
    def class_count(self) -> int:
        """Number of rows."""
        return self.old.shape[0] + self.new.shape[0]

    @property
    def embeddings(self) -> Tensor:
        """(classes, dim), old classes first."""
        return torch.cat([self.old, self.new])


class CosineHead(ClassRows):
    """logits = eta * cos(embedding, feature), no bias (Eq. 4); one learnable eta for all classes, starting at 1.

    Old and new embeddings are two parameters, `old` (old classes, dim) and `new` (new classes, dim), so that the old
    ones can be frozen; `grow` makes the new ones old. eta is carried from phase to phase.
    """

    def __init__(self, dim: int, old_count: int = 0, new_count: int = 0) -> None:
        super().__init__(dim, old_count, new_count)
        self.eta = nn.Parameter(torch.ones(1))

    def forward(self, features: Tensor) -> Scores:
        """features: (batch, dim), not normalised."""
        # float32 whatever the backbone computes in: the normalisation's epsilon underflows in half precision.
        rows = functional.normalize(self.embeddings.float(), dim=1)
        cosines = functional.normalize(features.float(), dim=1) @ rows.t()
        return Scores(self.eta * cosines, cosines)

    def grow(self, new_count: int, generator: torch.Generator) -> None:
        """Make all rows old and add `new_count` rows, uniform in +-1/sqrt(dim)."""
        dim = self.old.shape[1]
        bound = 1.0 / math.sqrt(dim)
        rows = torch.empty(new_count, dim).uniform_(-bound, bound, generator=generator)
        self.old = nn.Parameter(self.embeddings.detach().clone())
        self.new = nn.Parameter(rows.to(self.old.device))

    @torch.no_grad()
    def imprint(self, class_means: Tensor) -> None:
        """Set the new rows to `class_means` (new classes, dim): normalised, then scaled to the old rows' mean norm.

        The scale leaves the logits alone; it sets the effective learning rate of the rows. Without old rows it is the
        expected norm of freshly drawn ones.
        """
        if class_means.shape != self.new.shape:
            raise ConfigError(
                f"imprinting needs means of shape {tuple(self.new.shape)}, not {tuple(class_means.shape)}"
            )
        scale = self.old.norm(dim=1).mean() if len(self.old) else self.new.norm(dim=1).mean()
        self.new.copy_(functional.normalize(class_means, dim=1) * scale)


class LinearHead(ClassRows):
    """logits = weight @ feature + bias. Growing keeps the learnt rows and draws new ones as `nn.Linear` does.

    `correction` (scale, offset) is applied to the logits of the new rows and belongs to them: growing puts it back to
    (1, 0). Only bias correction (BiC) sets it.
    """

    def __init__(self, dim: int, old_count: int = 0, new_count: int = 0) -> None:
        super().__init__(dim, old_count, new_count)
        self.bias = nn.Parameter(torch.zeros(old_count + new_count))
        self.correction: Tensor
        self.register_buffer("correction", torch.tensor([1.0, 0.0]))

    def forward(self, features: Tensor) -> Scores:
        """features: (batch, dim). The cosines leave the bias out."""
        features, (rows, bias) = features.float(), self.corrected()
        cosines = functional.normalize(features, dim=1) @ functional.normalize(self.embeddings.float(), dim=1).t()
        return Scores(features @ rows.t() + bias, cosines)

    def corrected(self) -> tuple[Tensor, Tensor]:
        """Rows (classes, dim) and biases (classes,) with the correction multiplied in, float32."""
        scale, offset = self.correction
        old = len(self.old)
        rows = torch.cat([self.old, scale * self.new])
        return rows.float(), torch.cat([self.bias[:old], scale * self.bias[old:] + offset]).float()

    def grow(self, new_count: int, generator: torch.Generator) -> None:
        """Make all rows old and add `new_count` rows and biases, uniform in +-1/sqrt(dim)."""
        dim = self.old.shape[1]
        bound = 1.0 / math.sqrt(dim)
        drawn = torch.empty(new_count, dim + 1).uniform_(-bound, bound, generator=generator).to(self.old.device)
        self.old = nn.Parameter(self.embeddings.detach().clone())
        self.new = nn.Parameter(drawn[:, :dim].contiguous())
        self.bias = nn.Parameter(torch.cat([self.bias.detach(), drawn[:, dim]]))
        self.correction = torch.tensor([1.0, 0.0], device=self.old.device)

    @torch.no_grad()
    def align(self) -> None:
        """Scale the new rows to the mean norm of the old ones (Zhao et al., CVPR 2020); without either, nothing."""
        if len(self.old) and len(self.new):
            self.new.mul_(self.old.norm(dim=1).mean() / self.new.norm(dim=1).mean())


CAP = 2.0
"""Numbers of a feature count up to so many times the root of their mean square, where images of no known class are
told: a few large ones say much of an image and little of whether it is of a class."""


class Concepts(nn.Module):
    """The classifier that a backbone was trained with, what it makes of the images of each class, and capped means.

    weight: (concepts, dim), bias: (concepts,), means: (classes, concepts) of length one; capped: (classes, dim) of
    length one, the class means of `capped` features, None in versions of releases that had none.
    """

    def __init__(self, weight: Tensor, bias: Tensor, means: Tensor, capped: Tensor | None = None) -> None:
        super().__init__()
        self.weight: Tensor
        self.bias: Tensor
        self.means: Tensor
        self.capped: Tensor | None
        for name, value in (("weight", weight), ("bias", bias), ("means", means), ("capped", capped)):
            self.register_buffer(name, value)

    def described(self, features: Tensor) -> Tensor:
        """(n, concepts) of length one, the square roots of probabilities; features: (n, dim), not normalised."""
        return functional.linear(features.float(), self.weight, self.bias).softmax(dim=1).sqrt()

    def cosines(self, features: Tensor) -> Tensor:
        """(n, classes) of what is described of images to what is of each class."""
        return self.described(features) @ self.means.t()

    def capped_cosines(self, features: Tensor) -> Tensor | None:
        """(n, classes) of capped features to the capped means, where there are any."""
        return None if self.capped is None else capped_units(features) @ self.capped.t()


def capped_units(features: Tensor) -> Tensor:
    """(n, dim) of length one, no number of them far above the others; features: (n, dim), not normalised.

    As ReAct has it (Sun et al., NeurIPS 2021), with a bound that goes with the length of the feature.
    """
    bound = cap_of(features.shape[1])
    return functional.normalize(functional.normalize(features.float(), dim=1).clamp(-bound, bound), dim=1)


def cap_of(dim: int) -> float:
    """The largest number of a feature (dim,) of length one that counts whole."""
    return CAP / math.sqrt(dim)


class AnalyticHead(ClassRows):
    """logits = weight @ (feature / its length) + bias, from ridge regression; never trained by gradients.

    `old` and `new` (classes, dim) are the class means that the cosines are taken with. The temperature is in weight
    and bias already. With an expansion (RanPAC: McDonnell et al., NeurIPS 2023) the weights are of random projections
    max(0, projection^T @ unit feature), scaled to length one; the projection is the same for every head of its shape
    and kept with it.
    """

    def __init__(self, dim: int, old_count: int = 0, new_count: int = 0, expansion: int = 0) -> None:
        super().__init__(dim, old_count, new_count)
        self.weight = nn.Parameter(torch.zeros(old_count + new_count, expansion or dim))
        self.projection: Tensor | None
        self.register_buffer("projection", _projection(dim, expansion) if expansion else None)
        self.bias = nn.Parameter(torch.zeros(old_count + new_count))
        self.concepts: Concepts | None = None
        """Where the backbone came with a classifier: what tells images of no known class."""

    def open_concepts(self, count: int, *, capped: bool) -> None:
        """Make room for those of saved weights, with capped means or without."""
        classes, dim = len(self.weight), self.old.shape[1]
        means = torch.zeros(classes, dim) if capped else None
        self.concepts = Concepts(torch.zeros(count, dim), torch.zeros(count), torch.zeros(classes, count), means)

    def forward(self, features: Tensor) -> Scores:
        """features: (batch, dim), not normalised."""
        unit = functional.normalize(features.float(), dim=1)
        cosines = unit @ functional.normalize(self.embeddings.float(), dim=1).t()
        inputs = unit
        if self.projection is not None:
            inputs = functional.normalize((unit @ self.projection).relu(), dim=1)
        return Scores(inputs @ self.weight.t() + self.bias, cosines)


def _projection(dim: int, width: int) -> Tensor:
    """(dim, width) of independent normal numbers, always the same."""
    return torch.from_numpy(np.random.default_rng(PROJECTION_SEED).standard_normal((dim, width), dtype=np.float32))


GrowingHead = CosineHead | LinearHead
Head = GrowingHead | AnalyticHead
HEADS: dict[str, type[CosineHead] | type[LinearHead] | type[AnalyticHead]] = {
    "cosine": CosineHead,
    "linear": LinearHead,
    "analytic": AnalyticHead,
}


def growing(head: Head) -> GrowingHead:
    """The head, checked to be one that is trained by gradients. Raises ConfigError for the analytic one."""
    if isinstance(head, AnalyticHead):
        raise ConfigError("an analytic head is computed as a whole, never grown: its phases have frozen = true")
    return head
