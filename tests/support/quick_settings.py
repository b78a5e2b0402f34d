"""Settings with which nothing takes long."""

from pathlib import Path

from handlers.settings import Settings
from handlers.stack.ports import free_ports


def changed(settings: Settings, **sections: dict[str, object]) -> Settings:
    """The same but for single values: ``changed(settings, updater={"port": 1})``."""
    made = {name: getattr(settings, name).model_copy(update=values) for name, values in sections.items()}
    return settings.model_copy(update=made)


def quick_settings(data: Path, **overrides: object) -> Settings:
    """Folders settle at once, one thread, whatever is learnt passes; ``overrides``: of ``learning.overrides``.

    The ports are nobody else's: tests run side by side.
    """
    port, serving, metrics = free_ports(3)
    return Settings.model_validate(
        {
            "data": data,
            "serving": {"port": serving, "metrics_port": metrics},
            "updater": {
                "port": port,
                "settle_seconds": 0,
                "min_images": 4,
                "poll_seconds": 0.2,
                "pointer_seconds": 0.2,
            },
            "learning": {
                "preset": "digits",
                "overrides": {"cbf": {"enabled": False}, **overrides},
                "device": "cpu",
                "threads": 1,
                "nice": 0,
            },
            "gate": {"max_old_accuracy_loss": 1.0, "min_new_accuracy": 0.0},
        }
    )
