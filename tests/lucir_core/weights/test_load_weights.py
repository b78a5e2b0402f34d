"""Weights from local files: whoever wrote them, in either format, into our networks and timm's; misfits are told."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from lucir_core.config.phase_config import load_preset
from lucir_core.errors import ConfigError
from lucir_core.models import create_backbone
from lucir_core.models.model import create_model
from lucir_core.models.timm_network import TimmNetwork
from lucir_core.weights import timm_facts
from lucir_core.weights.pretrained import imagenet_state, is_installed, missing_weights

LITE2 = pytest.param("efficientnet_lite2", marks=pytest.mark.skipif(not is_installed("efficientnet_lite2"), reason=""))
SMALL = "timm:mobilenetv3_small_050"


def drawn(network: nn.Module, seed: int) -> nn.Module:
    """The network in eval mode with statistics and scales that a wrong place of a tensor would show in."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in network.state_dict().items():
        if value.is_floating_point() and value.dim() == 1:
            low = 0.0 if name.endswith(("bias", "mean")) else 0.7
            value.copy_(low + 0.3 * torch.rand(value.shape, generator=generator))
    return network.eval()


def written(path: Path, state: dict[str, Tensor], wrapped: str | None = None) -> str:
    if path.suffix == ".safetensors":
        save_file({name: value.contiguous() for name, value in state.items()}, path)
    else:
        torch.save({wrapped: state, "epoch": 3} if wrapped else state, path)
    return str(path)


def features(network: nn.Module, side: int = 64) -> Tensor:
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        made: Tensor = network.eval()(images)
    return made


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite2", "resnet18"])
def test_timms_file_makes_our_network_the_same_as_timms(tmp_path: Path, name: str, suffix: str) -> None:
    theirs = drawn(timm_facts.timm_package().create_model(name.replace("eff", "tf_eff"), num_classes=10), 3)
    path = written(tmp_path / f"w{suffix}", theirs.state_dict())
    ours = create_backbone(name, last_relu=True, weights=path)
    theirs.reset_classifier(0)
    torch.testing.assert_close(features(ours), features(theirs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("name", ["efficientnet_lite0", LITE2])
def test_the_packages_file_is_read_from_anywhere(tmp_path: Path, name: str, suffix: str) -> None:
    path = written(tmp_path / f"w{suffix}", imagenet_state(name), wrapped="model")
    known = create_backbone(name, last_relu=True, weights="imagenet").state_dict()
    loaded = create_backbone(name, last_relu=True, weights=path).state_dict()
    assert all(torch.equal(loaded[key], known[key]) for key in known)


@pytest.mark.parametrize("before", ["", "module.", "model.backbone."])
def test_our_own_names_also_of_a_checkpoint(tmp_path: Path, before: str) -> None:
    state = drawn(create_backbone("resnet8", last_relu=False), 4).state_dict()
    file = {f"{before}{name}": value for name, value in state.items()}
    if before == "model.backbone.":
        file |= {"model.head.old": torch.zeros(3, 64), "prototypes": torch.zeros(3, 64)}
    path = written(tmp_path / "w.safetensors", file)
    loaded = create_backbone("resnet8", last_relu=False, weights=path).state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_network_of_timm_with_timms_file(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("timm opens a connection"))
    name = SMALL.removeprefix("timm:")
    theirs = drawn(timm_facts.timm_package().create_model(name, num_classes=1000), 5)
    path = written(tmp_path / f"w{suffix}", theirs.state_dict())
    config = load_preset("photo", {"network": SMALL, "weights": path})
    assert (config.size, config.normalisation.mean, config.normalisation.std[0]) == (224, (0.485, 0.456, 0.406), 0.229)
    backbone = create_model(config, 1).backbone
    assert isinstance(backbone, TimmNetwork)
    theirs.reset_classifier(0)
    torch.testing.assert_close(features(backbone), features(theirs))
    assert backbone.feature_dim == features(theirs).shape[1]


def test_what_does_not_fit_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = create_backbone("efficientnet_lite0", last_relu=True).state_dict()
    path = written(tmp_path / "w.pth", state)
    messages: dict[str, dict[str, Any]] = {
        "do not fit the network efficientnet_lite2: .* are missing": {"network": "efficientnet_lite2", "weights": path},
        "do not fit the network timm:mobilenetv3_small_050": {"network": SMALL, "weights": path},
        r"has no network 'mobilenet_v3_smal': did you mean": {"network": "timm:mobilenet_v3_smal"},
        "no ImageNet weights for timm:mobilenetv3_small_050": {"network": SMALL, "weights": "imagenet"},
    }
    for message, overrides in messages.items():
        with pytest.raises(ConfigError, match=message):
            create_model(load_preset("photo", overrides), 1)
    state["stem.conv.weight"][0] = float("nan")
    with pytest.raises(ConfigError, match=r"are damaged: stem\.conv\.weight holds numbers that are not finite"):
        create_backbone("efficientnet_lite0", last_relu=True, weights=written(tmp_path / "n.safetensors", state))
    assert "is not a file" in str(missing_weights("resnet18", str(tmp_path / "gone.pth")))
    assert missing_weights("resnet18", path) is None
    monkeypatch.setattr(timm_facts, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install 'lucir\[timm\]'"):
        load_preset("photo", {"network": "timm:resnet18d"})
