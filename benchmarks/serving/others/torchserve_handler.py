"""TorchServe's own image classifier with the preprocessing of the version: its file is part of the model's folder."""

import json
from pathlib import Path
from typing import Any

from torchvision import transforms
from ts.torch_handler.image_classifier import ImageClassifier


class Classifier(ImageClassifier):
    """Five classes of each image; the network takes pixels from 0 to 255 and normalises them itself."""

    def initialize(self, context: Any) -> None:
        """In each worker."""
        sides = json.loads((Path(context.system_properties["model_dir"]) / "sides.json").read_text(encoding="utf-8"))
        self.image_processing = transforms.Compose(
            [
                transforms.Resize((sides["resize"], sides["resize"])),
                transforms.CenterCrop(sides["size"]),
                transforms.PILToTensor(),
            ]
        )
        super().initialize(context)
