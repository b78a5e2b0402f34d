"""What ``lucir follow`` does: settings for a replica, signals, the lines that say where everything is."""

from typing import TextIO

from handlers.cli.errors import USAGE, CommandError
from handlers.cli.up_run import UpRequest, resolve, run_foreground
from handlers.settings import Settings
from handlers.stack.run_replica import run_replica

PORTS = ("serving.port", "serving.metrics_port", "follower.port")


def run(request: UpRequest) -> None:
    """Run the replica in the foreground until SIGINT, SIGTERM or SIGHUP."""
    settings, changes = resolve(request, PORTS)
    if not settings.store:
        raise CommandError(
            "name the store to follow: --store s3://bucket or file:///path (or LUCIR_STORE), the one of the stack that "
            "learns",
            USAGE,
        )
    run_foreground(settings, changes, run_replica, announce)


def announce(settings: Settings, stream: TextIO) -> None:
    """Say where to POST, where to look."""
    lines = (
        ("classify", f"curl -T IMAGE.jpg {settings.inference_url}/predictions/lucir"),
        ("follows", settings.store_url),
        ("status", f"{settings.follower_url}/api/status"),
        ("metrics", f"{settings.follower_url}/metrics"),
        ("", f"and {settings.inference_url.rsplit(':', 1)[0]}:{settings.serving.metrics_port}/metrics"),
        ("stop", "Ctrl-C"),
    )
    text = "\n".join(f"  {name:<9} {line}" for name, line in lines)
    stream.write(f"\nlucir follows\n{text}\n\n")
    stream.flush()
