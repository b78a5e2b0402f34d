from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lucir_core.config.phase_config import PhaseConfig
from lucir_core.errors import ConfigError
from lucir_core.models import create_backbone
from lucir_core.models.model import create_model
from tests.support.learning.tiny import weights_equal


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_resnet32_has_the_published_size() -> None:
    assert parameters(create_backbone("resnet32", last_relu=False)) == 466_256


def test_resnet18_for_small_images_has_the_published_size_and_starts_as_its_shortcuts() -> None:
    backbone = create_backbone("resnet18_cifar", last_relu=True, seed=3).eval()
    assert parameters(backbone) == 11_168_832
    assert all(not block.bn2.weight.any() for stage in (backbone.layer1, backbone.layer4) for block in stage)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        stem = backbone.bn1(backbone.conv1(images)).relu()
        # No max-pool and no stride before the second stage; blocks of the first one add nothing yet.
        assert stem.shape == (2, 64, 32, 32)
        torch.testing.assert_close(backbone.layer1(stem), stem)
        assert backbone.layer4(backbone.layer3(backbone.layer2(stem))).shape == (2, 512, 4, 4)


def test_resnet18_has_torchvisions_layout() -> None:
    from torchvision.models import resnet18

    reference = resnet18()
    ours = create_backbone("resnet18", last_relu=True, seed=3)
    expected = {name: value.shape for name, value in reference.state_dict().items() if not name.startswith("fc.")}
    assert {name: value.shape for name, value in ours.state_dict().items()} == expected
    reference.load_state_dict(ours.state_dict() | {n: v for n, v in reference.state_dict().items() if "fc." in n})
    reference.fc = torch.nn.Identity()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(images), reference.eval()(images))


@pytest.mark.parametrize(
    ("name", "last", "size", "dim"),
    [("resnet8", "layer3", 16, 64), ("resnet32", "layer3", 32, 64), ("resnet18", "layer4", 64, 512)],
)
def test_only_the_last_relu_is_left_out(name: str, last: str, size: int, dim: int) -> None:
    images = torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(0))
    outputs: dict[bool, torch.Tensor] = {}
    for last_relu in (False, True):
        backbone = create_backbone(name, last_relu=last_relu)

        def keep(_: torch.nn.Module, __: object, output: torch.Tensor, last_relu: bool = last_relu) -> None:
            outputs[last_relu] = output

        backbone.get_submodule(last).register_forward_hook(keep)
        with torch.no_grad():
            assert backbone(images).shape == (4, dim)
    assert outputs[False].min() < 0
    assert torch.equal(outputs[False].relu(), outputs[True])


def test_weights_follow_from_the_seed_and_leave_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same, other = (create_backbone("resnet8", last_relu=False, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert weights_equal(one, same)
    assert not torch.equal(one.state_dict()["conv1.weight"], other.state_dict()["conv1.weight"])


def test_convolutions_are_kaiming_normal_by_fan_out() -> None:
    backbone = create_backbone("resnet32", last_relu=False, seed=1)
    weight = backbone.get_submodule("layer3.1.conv1").weight
    assert isinstance(weight, torch.Tensor)
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    assert weight.mean().item() == pytest.approx(0.0, abs=0.002)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_starting_weights_from_a_file_without_its_classifier(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    state = create_backbone("resnet8", last_relu=False, seed=9).state_dict()
    saved = state | {"fc.weight": torch.zeros(10, 64)}
    if suffix == ".pt":
        torch.save({"state_dict": saved}, path)
    else:
        save_file(saved, path)
    loaded = create_backbone("resnet8", last_relu=False, seed=1, weights=str(path)).state_dict()
    assert all(torch.equal(loaded[name], state[name]) for name in state)


@pytest.mark.parametrize(
    ("network", "weights", "message"),
    [
        (
            "resnet14",
            "w.safetensors",
            "do not fit the network resnet14: .* are missing .for instance .*choose the network",
        ),
        ("resnet8", "absent.pt", "is not a file"),
        ("resnet8", "code.pt", "not a file of weights, or it is damaged"),
        ("resnet23", None, "did you mean resnet32"),
    ],
)
def test_weights_and_networks_that_cannot_be(tmp_path: Path, network: str, weights: str | None, message: str) -> None:
    save_file(create_backbone("resnet8", last_relu=False).state_dict(), tmp_path / "w.safetensors")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "code.pt")
    with pytest.raises(ConfigError, match=message):
        create_backbone(network, last_relu=False, weights=str(tmp_path / weights) if weights else None)
    with pytest.raises(ConfigError, match="torchvision has no weights"):
        create_backbone("resnet8", last_relu=False, weights="torchvision")


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth"])
@pytest.mark.parametrize("damage", ["cut", "noise", "empty"])
def test_a_damaged_file_of_weights_is_said_to_be_one(tmp_path: Path, suffix: str, damage: str) -> None:
    path = tmp_path / f"weights{suffix}"
    state = create_backbone("resnet8", last_relu=False).state_dict()
    if suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[: len(whole) // 2], "noise": b"\x80\x04noise" * 50, "empty": b""}[damage])
    with pytest.raises(ConfigError, match="not a file of weights, or it is damaged"):
        create_backbone("resnet8", last_relu=False, weights=str(path))


def test_normalisation_is_inside_the_model() -> None:
    model = create_model(PhaseConfig(network="resnet8"), seed=0).eval()
    images = torch.randint(0, 256, (2, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    mean, std = torch.tensor([0.5071, 0.4866, 0.4409]), torch.tensor([0.2009, 0.1984, 0.2023])
    normalised = (images / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(model.features(images), model.backbone(normalised))
