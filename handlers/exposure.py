"""Who can reach the serving engine, and whether that was meant."""

import ipaddress

from handlers.settings import Settings
from handlers.sockets import LaunchError


def check_exposure(settings: Settings) -> None:
    """Raise ``LaunchError`` where strangers could ask for predictions without anybody having said so."""
    serving = settings.serving
    if _only_this_machine(serving.host) or serving.open_access or serving.keys():
        return
    raise LaunchError(
        f"{serving.host} can be reached by other machines, and no API key is set: set serving.api_key_file "
        "(LUCIR_SERVING__API_KEY_FILE), or serving.open_access=true where a network or an ingress keeps strangers away"
    )


def _only_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
