"""Prototypes that outlive their images: carried into the next phase's feature space by an affine map.

The mean over all images of a class is a better prototype than that over its twenty exemplars, but later phases do not
have the images. What they have is images of the present phase under the network before and after it: ridge regression
between the two says how features move, and moves the old means along. After Yu et al., "Semantic Drift Compensation",
CVPR 2020, with an affine map in place of a local mean (Gomez-Villa et al., "Learnable Drift Compensation", ECCV 2024).
"""

import torch
from torch import Tensor
from torch.nn import functional

RIDGE = 0.01
"""Of the regression, in units of the features' mean variance: directions that vary less than that hardly move."""


def transported(prototypes: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """`prototypes` (classes, dim) of length one, carried along with the features; float32 of length one again.

    before, after: (n, dim) and (n, new dim) features of the same images under the network before and after, n >= 1;
    their length does not matter. The map is the identity plus what the regression finds, so that it fades out where
    there is no evidence. A network that has grown (`der`) has its new features behind the old ones, new dim >= dim: of
    those a prototype knows what the regression says, and where there is no evidence their mean.
    """
    old, new = (functional.normalize(features.double(), dim=1) for features in (before, after))
    centre = old.mean(dim=0)
    added = (0, new.shape[1] - old.shape[1])
    change = new - functional.pad(old, added)
    shift = change.mean(dim=0)
    centred, moved = old - centre, change - shift
    product = centred.t() @ centred / len(old)
    ridge = RIDGE * product.diagonal().mean() + torch.finfo(torch.float64).tiny
    matrix = torch.linalg.solve(
        product + ridge * torch.eye(len(product), dtype=product.dtype), centred.t() @ moved / len(old)
    )
    means = prototypes.double()
    return functional.normalize(functional.pad(means, added) + (means - centre) @ matrix + shift, dim=1).float()


def blended(exemplar_means: Tensor, carried: Tensor, share: float) -> Tensor:
    """Prototypes (classes, dim) of length one: `share` of the carried ones, the rest of the exemplars'."""
    return functional.normalize((1.0 - share) * exemplar_means + share * carried, dim=1)
