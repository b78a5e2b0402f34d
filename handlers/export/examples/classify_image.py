"""Classify images with the model beside this file.

    pip install onnxruntime numpy pillow
    python classify.py image.jpg

Everything that is needed to know stands in the model's metadata.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

from handlers.inference.colours import raw_mode, to_rgb, upright

FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}

ORIENTATION = 0x0112
"""EXIF's tag for how the camera was held."""


def read(path: Path) -> Image.Image:
    """An image file as upright RGB, over white where it is transparent."""
    with Image.open(path) as file:
        raw = raw_mode(file)
        file.load()
        return upright(to_rgb(file, raw), file.getexif().get(ORIENTATION, 1))


def prepare(path: Path, how: dict[str, Any]) -> NDArray[np.uint8]:
    """An image file as the model wants it: the central square, resampled, its centre cut out; (1, size, size, 3)."""
    image = read(path)
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    square = image.resize((how["resize"], how["resize"]), FILTERS[how["interpolation"]], box=box)
    start = (how["resize"] - how["size"]) // 2
    return np.asarray(square)[None, start : start + how["size"], start : start + how["size"]]


def classify(session: onnxruntime.InferenceSession, path: Path, top_k: int = 5) -> dict[str, Any]:
    """The best classes of an image, and whether it is of none of them (where the version can tell)."""
    facts = session.get_modelmeta().custom_metadata_map
    # Pillow warns of images above a bound of its own and refuses larger ones; the service takes them up to this one.
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, json.loads(facts["lucir.max_pixels"]))
    classes, how = json.loads(facts["lucir.classes"]), json.loads(facts["lucir.preprocessing"])
    names = [output.name for output in session.get_outputs()]
    values = session.run(None, {"images": prepare(path, how)})
    found = {name: value[0] for name, value in zip(names, values, strict=True)}
    scores = found["probabilities"] if facts["lucir.readout"] == "cnn" else found["prototype_cosines"]
    answer: dict[str, Any] = {
        "predictions": [
            {"class": classes[index], "probability": float(found["probabilities"][index])}
            for index in np.argsort(-scores)[:top_k]
        ]
    }
    bound = json.loads(facts["lucir.known_cosine"])
    if bound is not None:
        familiar = found["known"][0] if "known" in found else found["prototype_cosines"].max()
        answer["unknown"] = bool(familiar < bound)
    return answer


def main() -> None:
    """A line of JSON for each image that is named."""
    session = onnxruntime.InferenceSession(Path(__file__).with_name("model.onnx"))
    for name in sys.argv[1:]:
        answer = {"image": name, **classify(session, Path(name))}
        sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
