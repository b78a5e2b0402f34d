"""Every acceleration computes the same as going without."""

import copy
import logging
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lucir_core.errors import ConfigError
from lucir_core.models import create_backbone
from lucir_core.models.folding import folded
from lucir_core.models.model import IncrementalModel, create_model, frozen_copy, teacher_of
from lucir_core.models.resnet_cifar import CifarResNet
from lucir_core.phase import Progress, run_phase
from lucir_core.runtime.acceleration import AUTO, Acceleration, accelerated, keep_freed_memory
from lucir_core.runtime.distributed import World
from lucir_core.runtime.randomness import generator
from lucir_core.state import LearnerState
from lucir_core.testing import synthetic_phase, tiny_config
from lucir_core.training import step as step_module
from lucir_core.training.checkpoint import Checkpoint
from lucir_core.training.step import CapturedStep, LossTerm, Step
from tests.support.learning.tiny import weights_equal

OFF = Acceleration.parse("off")


def test_texts() -> None:
    assert Acceleration.parse("auto") == AUTO
    assert not any(vars(OFF).values())
    assert Acceleration.parse("auto, -bfloat16") == Acceleration(bfloat16=False)
    assert Acceleration.parse("off,+channels_last") == Acceleration(True, *[False] * 7)
    assert Acceleration.parse("auto,+compiled") == Acceleration(compiled=True)
    with pytest.raises(ConfigError, match="begin with auto or off"):
        Acceleration.parse("fast")
    with pytest.raises(ConfigError, match="did you mean bfloat16"):
        Acceleration.parse("auto,-bfloat")


def assert_close(one: LearnerState, other: LearnerState) -> None:
    """The weights of both, by name."""
    torch.testing.assert_close(one.model.state_dict(), other.model.state_dict(), rtol=1e-3, atol=1e-3)


def used_model() -> IncrementalModel:
    """Statistics of normalisation that are not those of the start."""
    model = create_model(tiny_config({"network": "resnet8"}), 1)
    model.head.grow(3, generator("cpu", 1, "head"))
    random = torch.Generator().manual_seed(2)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0.0, 0.3, generator=random)
            module.running_var.uniform_(0.5, 2.0, generator=random)
            module.weight.data.uniform_(0.5, 1.5, generator=random)
            module.bias.data.normal_(0.0, 0.3, generator=random)
    return model.eval()


@pytest.mark.parametrize("network", ["resnet8", "resnet32", "resnet18"])
def test_a_folded_network_computes_the_same_without_normalisations(network: str) -> None:
    backbone = create_backbone(network, last_relu=False, seed=3).eval()
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    quick = folded(backbone)
    torch.testing.assert_close(quick(images), backbone(images), rtol=1e-4, atol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in quick.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in backbone.modules())
    assert not any(parameter.requires_grad for parameter in quick.parameters())


def test_the_teacher_is_the_frozen_model() -> None:
    model, images = used_model(), torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 255
    before = copy.deepcopy(model)
    plain, quick = frozen_copy(model)(images), teacher_of(model, "cpu")(images)
    torch.testing.assert_close(quick.features, plain.features, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(quick.cosines, plain.cosines, rtol=1e-4, atol=1e-5)
    assert weights_equal(model, before)


def test_a_phase_with_everything_off_learns_the_same(two_phases: tuple[LearnerState, LearnerState]) -> None:
    config = tiny_config({"epochs": 2, "lr": 0.002})
    data = synthetic_phase({3: 20, 4: 20}, 5)
    quick, plain = (run_phase(config, data, two_phases[0], acceleration=choice) for choice in (AUTO, OFF))
    assert_close(quick, plain)
    start = two_phases[0].model.state_dict()["backbone.conv1.weight"]
    assert (plain.model.state_dict()["backbone.conv1.weight"] - start).abs().max() > 0.005


def test_bfloat16_is_for_the_backbone_alone() -> None:
    model, images = used_model(), torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 255
    exact = model(images)
    model.backbone_type = torch.bfloat16
    assert torch.equal(model(images).features, exact.features)
    model.train()
    seen: list[torch.dtype] = []
    model.backbone.layer3.register_forward_hook(lambda *parts: seen.append(parts[2].dtype))
    output = model(images)
    assert seen == [torch.bfloat16]
    assert {part.dtype for part in output} == {torch.float32}
    model.backbone_type = None
    difference = (model(images).features - output.features).abs().max()
    assert 0 < difference < 0.1 * output.features.abs().max()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_phase_learns_the_same(
    two_phases: tuple[LearnerState, LearnerState], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[type] = []
    compile_module = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self: (made.append(type(self)), compile_module(self)))
    config = tiny_config({"epochs": 2, "lr": 0.002, "batch_size": 1000})  # one batch an epoch: one shape to compile
    data = synthetic_phase({3: 20, 4: 20}, 5)
    plain = run_phase(config, data, two_phases[0])
    assert made == []
    compiled = run_phase(config, data, two_phases[0], acceleration=Acceleration(compiled=True))
    assert made == [CifarResNet, CifarResNet]  # student and teacher
    assert_close(compiled, plain)


def test_without_a_compiler_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    compiled = accelerated(Acceleration(compiled=True), torch.device("cpu"))
    with pytest.raises(ConfigError, match=r"install g\+\+"), compiled:
        pass


def test_on_a_cpu_all_is_float32_and_switches_of_torch_are_left_alone() -> None:
    cpu, before = torch.device("cpu"), torch.get_float32_matmul_precision()
    assert (OFF.backbone_type(cpu), AUTO.backbone_type(cpu)) == (None, None)
    with accelerated(AUTO, cpu):
        assert torch.get_float32_matmul_precision() == before
    assert keep_freed_memory() in (True, False)


def small_step() -> tuple[nn.Linear, Step]:
    model = nn.Linear(3, 2)
    with torch.no_grad():
        model.weight.copy_(torch.arange(6.0).view(2, 3) / 10)
        model.bias.zero_()

    def loss(images: Tensor, labels: Tensor) -> dict[str, LossTerm]:
        return {"cross_entropy": LossTerm(nn.functional.cross_entropy(model(images), labels), 2.0)}

    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, fused=True)
    return model, Step(loss, model.parameters(), optimiser, World())


class Replayed(CapturedStep):
    """A "graph" that repeats the recorded step on the tensors it was recorded with, as a CUDA graph does."""

    def _beside(self, images: Tensor, labels: Tensor) -> Tensor:
        return self._step(images, labels)

    def _record(self, images: Tensor, labels: Tensor) -> bool:
        self._images, self._labels, self._graph = images.clone(), labels.clone(), object()  # type: ignore[assignment]  # a stand-in
        self._values = torch.zeros(2)
        return True

    def _replay(self) -> None:
        self._values.copy_(self._step(self._images, self._labels))


def test_replayed_steps_and_odd_batches_are_the_steps_themselves() -> None:
    (plain, step), (other, inner) = small_step(), small_step()
    captured = Replayed(inner, 4)
    random = torch.Generator().manual_seed(1)
    for size in (4, 4, 3, 4, 4, 4, 2, 4):
        images, labels = torch.randn(size, 3, generator=random), torch.arange(size) % 2
        expected, got = step(images, labels), captured(images, labels)
        assert torch.equal(expected, got)
        assert got[1] == pytest.approx(2 * float(got[0]))
    assert torch.equal(plain.weight, other.weight)
    assert captured.names == ("cross_entropy", "total")


def test_a_step_that_cannot_be_recorded_goes_on_without(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class NoGraph:
        def __init__(self, *_: object) -> None:
            raise RuntimeError("operation not permitted when stream is capturing")

    (plain, step), (other, inner) = small_step(), small_step()
    captured = CapturedStep(inner, 2)
    monkeypatch.setattr(captured, "_beside", inner)
    monkeypatch.setattr(step_module.torch.cuda, "CUDAGraph", object)
    monkeypatch.setattr(step_module.torch.cuda, "graph", NoGraph)
    images, labels = torch.ones(2, 3), torch.tensor([0, 1])
    for _ in range(6):
        assert torch.equal(step(images, labels), captured(images, labels))
    assert torch.equal(plain.weight, other.weight)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


PLAIN = Acceleration(epoch_graphs=False)


@pytest.mark.parametrize(
    "settings",
    [
        {"batch_size": 16},  # 40 new images and 15 exemplars: three full batches and one of 7
        {"batch_size": 18, "augment": {"strong": True, "cutout": 4}},  # a lone last image joins the batch before
        {"batch_size": 100, "lucir": {"boost": {"enabled": True, "epochs": 2, "compression_epochs": 2}}},
    ],
)
def test_epochs_in_the_shape_of_graphs_are_the_plain_ones(
    two_phases: tuple[LearnerState, LearnerState], settings: dict[str, Any]
) -> None:
    config, data = tiny_config({"epochs": 2, "cbf.enabled": True, **settings}), synthetic_phase({3: 20, 4: 20}, 5)
    seen: dict[Acceleration, list[Any]] = {PLAIN: [], AUTO: []}
    states = []
    for choice, reports in seen.items():
        tell = partial(lambda progress, told: told.append(progress), told=reports)
        states.append(run_phase(config, data, two_phases[0], acceleration=choice, report=tell, counts_flops=True))
    assert weights_equal(states[0].model, states[1].model)
    assert seen[PLAIN] == seen[AUTO]


def test_a_phase_cut_off_goes_on_in_the_shape_of_graphs(
    two_phases: tuple[LearnerState, LearnerState], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lucir_core.phase.Checkpoint", partial(Checkpoint, writing_share=1e9))
    config, data = tiny_config({"epochs": 4, "batch_size": 16}), synthetic_phase({3: 20, 4: 20}, 5)
    learn = partial(run_phase, config, data, two_phases[0])

    def stop(progress: Progress) -> None:
        if progress.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(resume=tmp_path / "resume", report=stop)
    resumed, whole = learn(resume=tmp_path / "resume"), learn(acceleration=PLAIN)
    assert weights_equal(resumed.model, whole.model)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(
    ("changes", "off", "on"),
    [
        ({"epochs": 6, "batch_size": 16}, {"captured": False, "fused": False}, {}),
        ({"epochs": 2, "batch_size": 8}, {"captured": False}, {"epoch_graphs": False}),
    ],
    ids=["recorded epochs", "the captured step"],
)
def test_on_a_gpu_a_phase_learns_the_same(
    two_phases: tuple[LearnerState, LearnerState], changes: dict[str, int], off: dict[str, bool], on: dict[str, bool]
) -> None:
    config = tiny_config({"lr": 0.002, **changes})
    data = synthetic_phase({3: 20, 4: 20}, 5)
    choices = (Acceleration(bfloat16=False, tensor_float32=False, **each) for each in (off, on))
    one, two = (run_phase(config, data, two_phases[0], device="cuda", acceleration=choice) for choice in choices)
    assert_close(two, one)
