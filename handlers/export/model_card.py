"""A model card: what an exported version knows, how well, and where it comes from."""

from collections.abc import Sequence

from lucir_core.frozen.intervals import accuracy_interval
from lucir_core.weights.pretrained import IMAGENET
from model_store.manifest import Evaluation, Manifest


def render_card(manifest: Manifest, evaluation: Evaluation, lineage: Sequence[Manifest]) -> str:
    """The card in Markdown. ``lineage``: the versions that led here, the oldest first, this one last."""
    parts = (
        f"# Model card: version {manifest.version}",
        _what(manifest),
        _how_well(manifest, evaluation),
        _classes(manifest, evaluation),
        _origin(manifest, lineage),
        _limits(manifest),
    )
    return "\n\n".join(parts) + "\n"


def _what(manifest: Manifest) -> str:
    how = manifest.preprocessing
    ranked = "probabilities" if manifest.readout == "cnn" else "prototype_cosines"
    return (
        f"An image classifier of {len(manifest.classes)} classes, exported from lucir. It takes the central square of "
        f"an image, its side resampled to {how.resize} pixels ({how.interpolation}), and of that the central "
        f"{how.size} x {how.size} pixels, as RGB from 0 to 255 (`images`: uint8, batch x {how.size} x {how.size} x 3). "
        "Normalisation is part of the model. Outputs: `probabilities`, `cosines` to each class, `prototype_cosines` "
        f"to each class mean. Classes are ranked by `{ranked}`."
    )


def _how_well(manifest: Manifest, evaluation: Evaluation) -> str:
    accuracy = (evaluation.cnn if manifest.readout == "cnn" else evaluation.nme).all
    interval = accuracy_interval(accuracy, evaluation.class_images, left_out=bool(evaluation.left_out))
    measured = "each image judged by the model made without it" if _frozen(manifest) else "images never trained on"
    lines = [
        "## How well",
        "",
        f"Right: {accuracy:.1%} of {evaluation.images} images ({measured}); 95 % interval {interval.low:.1%} to "
        f"{interval.high:.1%}, if those it will see are like them.",
    ]
    if (known := manifest.calibration) is not None:
        lines.append(f"Expected calibration error of the probabilities: {known.calibration_error:.1%}.")
        if known.known_cosine is not None and known.false_alarms is not None:
            lines.append(
                f"An image is called unknown below a score of {known.known_cosine:.3f}; so are "
                f"{known.false_alarms:.1%} of the images of known classes."
            )
    return "\n".join(lines)


def _classes(manifest: Manifest, evaluation: Evaluation) -> str:
    rows = ["## Classes", "", "| class | learnt from | measured on | right | 95 % interval |", "|---|---|---|---|---|"]
    measured = dict(zip(manifest.classes, evaluation.class_images, strict=False))
    for name in manifest.classes:
        tested = measured.get(name, 0)
        right = evaluation.class_accuracy.get(name)
        figures = "- | - |"
        if right is not None and tested:
            interval = accuracy_interval(right, [tested], left_out=bool(evaluation.left_out))
            figures = f"{right:.1%} | {interval.low:.1%} to {interval.high:.1%} |"
        safe = name.replace("|", "\\|")
        rows.append(f"| {safe} | {manifest.counts.train.get(name, 0)} | {tested} | {figures}")
    return "\n".join(rows)


def _origin(manifest: Manifest, lineage: Sequence[Manifest]) -> str:
    config = manifest.config
    lines = ["## Where it comes from", "", f"Method: {manifest.method}; network: {config.get('network')}."]
    weights = IMAGENET.get(str(config.get("network"))) if config.get("weights") == "imagenet" else None
    if weights is not None:
        lines.append(f"Starting weights: trained on ImageNet, {weights.source}; licence {weights.licence}.")
    elif _starts_from_weights(manifest):
        lines.append(f"Starting weights: {config.get('weights')}; their licence is whoever gave them's.")
    else:
        lines.append("Trained from scratch: no starting weights.")
    lines += ["", "| version | made | kind | what was new |", "|---|---|---|---|"]
    for one in lineage:
        new = ", ".join(one.new_classes[:8]) + (" ..." if len(one.new_classes) > 8 else "") or "-"
        lines.append(f"| {one.version} | {one.created_at:%Y-%m-%d %H:%M} | {one.kind} | {new} |")
    software = ", ".join(f"{name} {version}" for name, version in sorted(manifest.software.items()))
    lines += ["", f"Made by update {manifest.update_id} with {software or 'software that was not recorded'}."]
    return "\n".join(lines)


def _limits(manifest: Manifest) -> str:
    unknown = manifest.calibration is not None and manifest.calibration.known_cosine is not None
    tells = "It can say that an image is of none of them" if unknown else "It names the nearest class for any image"
    return (
        "## Limits\n\n"
        f"It knows the classes above and nothing else. {tells}. Figures hold for images like those that it was "
        "measured on: another camera, light or cut may change them. The licence of the images that it learnt from is "
        "their owner's matter."
    )


def _starts_from_weights(manifest: Manifest) -> bool:
    return bool(manifest.config.get("weights")) or _frozen(manifest)


def _frozen(manifest: Manifest) -> bool:
    return manifest.calibration is not None
