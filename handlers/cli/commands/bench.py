"""``lucir bench``: the protocols of the papers on their data sets, and the page of results."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from handlers.cli import options
from lucir_core.runtime.threads import wait_spinning

app = options.group("Run the protocols of the papers and render their page of results.")

Data = Annotated[Path, typer.Option("--data", help="Where the data set is.", metavar="PATH")]
Output = Annotated[Path, typer.Option(help="Folder of the results and of runs under way.", metavar="DIR")]
ProtocolName = Annotated[
    str, typer.Option("--protocol", help="b50 (half of the classes first), b0 (equal steps), scaled (2 CPU cores).")
]
Phases = Annotated[int, typer.Option(help="Phases after phase 0 with b50, steps with b0.")]
Sizes = Annotated[
    str | None, typer.Option(help="New classes of each phase instead, e.g. 50,20,20,10.", show_default="equal parts")
]
Method = Annotated[str | None, typer.Option(help="Learning method.", show_default="the preset's")]
Preset = Annotated[str | None, typer.Option(help="Preset of lucir_core.", show_default="the data set's")]
Seeds = Annotated[int, typer.Option(min=1, help="So many runs, with consecutive seeds.")]
Seed = Annotated[int, typer.Option(min=0, help="First seed.")]
Order = Annotated[
    str,
    typer.Option(
        help="Class order: a seed, 'run' (each run's own seed), easiest, median, hardest, a list 3,1,2, or a file.",
        metavar="ORDER",
    ),
]
Images = Annotated[
    int | None, typer.Option("--images-per-class", help="Train on the first so many only.", show_default="all")
]
Validation = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Hold so many training images of each class out and measure on them instead of the test images.",
        show_default="measure on the test images",
    ),
]
Study = Annotated[
    list[str] | None,
    typer.Option(
        "--study",
        help="A figure or table of the page that the run belongs to, e.g. components; may be repeated.",
        metavar="NAME",
        show_default="none",
    ),
]
Own = Annotated[
    str,
    typer.Option(
        "--import",
        help="Python module to import first, with a method of your own.",
        metavar="MODULE",
        show_default="none",
    ),
]
Label = Annotated[str, typer.Option(help="Name of the run among others.", show_default="the method")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="A setting of the preset, e.g. memory_total=2000; may be repeated.", metavar="KEY=VALUE"
    ),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...; auto takes a GPU where there is one.")]
TimeLimit = Annotated[
    float | None,
    typer.Option(
        min=1,
        help="Stop at an epoch's end before so many seconds are over, with status 75; run again to continue.",
        show_default="no limit",
    ),
]
Commit = Annotated[str | None, typer.Option(help="Commit of the code.", show_default="asked of Git")]
KeepStates = Annotated[bool, typer.Option("--keep-states", help="Keep the last model of each finished run.")]
Speed = Annotated[
    str,
    typer.Option(
        "--acceleration", help="auto, off, or single ones after a sign: auto,+compiled. Changes rounding only."
    ),
]
Alone = Annotated[
    bool,
    typer.Option("--alone", help="Nothing else uses this machine: waiting threads spin. Slower where something does."),
]
Cache = Annotated[
    Path | None, typer.Option(help="Folder for decoded images.", show_default="cache, in --output", metavar="DIR")
]
TestEvery = Annotated[int, typer.Option(min=2, help="Without a folder val: every so-many-th image is a test image.")]
Subset = Annotated[
    int | None, typer.Option(min=1, help="Use so many classes, drawn with NumPy's seed 1993.", show_default="all")
]


def choose_waiting(alone: bool) -> None:
    """How threads wait is decided before torch is imported: at the beginning of a command."""
    if alone:
        wait_spinning()


def _cifar(dataset: str) -> Callable[..., None]:
    def command(
        data: Data,
        output: Output,
        protocol: ProtocolName = "b50",
        phases: Phases = 5,
        sizes: Sizes = None,
        method: Method = None,
        preset: Preset = None,
        seeds: Seeds = 1,
        seed: Seed = 1993,
        order: Order = "1993",
        images_per_class: Images = None,
        validation: Validation = None,
        label: Label = "",
        study: Study = None,
        set_: Set = None,
        import_: Own = "",
        device: Device = "auto",
        time_limit: TimeLimit = None,
        commit: Commit = None,
        keep_states: KeepStates = False,
        acceleration: Speed = "auto",
        alone: Alone = False,
    ) -> None:
        choose_waiting(alone)
        from handlers.cli.bench.bench_run import Carrying, Request, method_and_preset, run_protocol

        name, preset_name = method_and_preset(method, preset, "cifar100")
        request = Request(
            protocol=protocol,
            phases=phases,
            sizes=sizes,
            method=name,
            preset=preset_name,
            seeds=seeds,
            first_seed=seed,
            order=order,
            images_per_class=images_per_class,
            validation=validation,
            label=label,
            studies=tuple(study or ()),
            assignments=tuple(set_ or ()),
            module=import_,
        )
        run_protocol(dataset, data, request, Carrying(output, device, time_limit, commit, keep_states, acceleration))

    return command


for _name, _title in (("cifar100", "CIFAR-100"), ("cifar10", "CIFAR-10")):
    app.command(
        _name,
        help=f"Run a protocol on {_title}: the official python files, unpacked, or a folder of WebP strips.\n\n"
        f"Example: lucir bench {_name} --protocol b50 --phases 5 --method lucir --seeds 3 --data ./data --output ./out",
    )(_cifar(_name))


@app.command("folder")
def folder(
    data: Data,
    output: Output,
    protocol: ProtocolName = "b50",
    phases: Phases = 5,
    sizes: Sizes = None,
    method: Method = None,
    preset: Preset = None,
    seeds: Seeds = 1,
    seed: Seed = 1993,
    order: Order = "1993",
    images_per_class: Images = None,
    label: Label = "",
    study: Study = None,
    set_: Set = None,
    import_: Own = "",
    device: Device = "auto",
    time_limit: TimeLimit = None,
    commit: Commit = None,
    keep_states: KeepStates = False,
    acceleration: Speed = "auto",
    alone: Alone = False,
    cache: Cache = None,
    test_every: TestEvery = 5,
    subset: Subset = None,
) -> None:
    """Run a protocol on images in class folders: ImageNet-style with train and val, or any folder, split by us.

    Example: lucir bench folder --data ./imagenet --subset 100 --preset imagenet_subset --output ./out
    """
    choose_waiting(alone)
    from handlers.cli.bench.bench_run import Carrying, FolderSource, Request, method_and_preset, run_protocol

    name, preset_name = method_and_preset(method, preset, "photo_scratch")
    request = Request(
        protocol=protocol,
        phases=phases,
        sizes=sizes,
        method=name,
        preset=preset_name,
        seeds=seeds,
        first_seed=seed,
        order=order,
        images_per_class=images_per_class,
        validation=None,
        label=label,
        studies=tuple(study or ()),
        assignments=tuple(set_ or ()),
        module=import_,
    )
    source = FolderSource(cache or output / "cache", test_every, subset)
    run_protocol(
        "folder", data, request, Carrying(output, device, time_limit, commit, keep_states, acceleration), source
    )


@app.command("suite")
def suite(
    name: Annotated[str, typer.Argument(help="scaled, scaled_all, cifar100, plus, or a .yaml file.", metavar="SUITE")],
    data: Data,
    output: Output,
    jobs: Annotated[
        int, typer.Option(min=1, help="So many runs side by side, each with its share of the processor's threads.")
    ] = 1,
    run: Annotated[
        str | None, typer.Option("--run", help="Only the run of this name, without the page.", show_default="all")
    ] = None,
    set_: Set = None,
    import_: Own = "",
    device: Device = "auto",
    time_limit: TimeLimit = None,
    commit: Commit = None,
    keep_states: KeepStates = False,
    acceleration: Speed = "auto",
    alone: Alone = False,
) -> None:
    """Carry out a list of runs, continue where it stopped, and render the page at the end.

    Finished runs are not repeated, and one that fails does not end the others.

    Example: lucir bench suite scaled --data ./data --output ./benchmarks/scaled
    """
    choose_waiting(alone)
    from handlers.cli.bench.bench_run import Carrying
    from handlers.cli.bench.bench_suite import Choice, run_suite

    how = Carrying(output, device, time_limit, commit, keep_states, acceleration)
    run_suite(name, data, set_ or (), how, Choice(jobs, run, import_))


@app.command("speed")
def speed(
    data: Data,
    output: Output,
    device: Device = "auto",
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; the figures are medians over them.")] = 5,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps of each loop in a round.")] = 8,
    network: Annotated[str, typer.Option(help="Backbone.")] = "resnet32",
    commit: Commit = None,
) -> None:
    """Measure our training loop beside a straightforward one, and what each acceleration brings.

    Example: lucir bench speed --data ./data --output ./benchmarks/speed
    """
    from handlers.cli.bench.bench_speed import run_speed
    from lucir_core.bench.speed.compare import Plan

    run_speed(data, output, device, Plan(rounds, steps, network=network), commit)


@app.command("report")
def report(
    results: Annotated[Path, typer.Argument(help="Folder with the JSON files of finished runs.", metavar="DIR")],
    output: Annotated[Path | None, typer.Option(help="Where the page goes.", show_default="DIR", metavar="DIR")] = None,
) -> None:
    """Render the page of results: tables beside the published figures, and the plots of the paper.

    Example: lucir bench report ./out
    """
    from handlers.cli.bench.bench_run import render

    render(results, output)
