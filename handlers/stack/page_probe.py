"""The health check of the updater's container: exit status 0 while its page says it is ready, else 1 and the reason.

``python -m handlers.stack.page_probe``. The updater's own settings (environment, ``LUCIR_CONFIG``) say where the page
is. Reading them costs half a second of processor time, which ``handlers.stack.probe`` does without: let a health check
ask this less often.
"""

import http.client
import sys

from handlers.setting_values import load_settings
from handlers.settings import SettingsError
from handlers.stack.probe import page_problem


def main() -> int:
    """The exit status; the reason goes to standard error."""
    try:
        url = f"{load_settings().updater_url}/readyz"
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    try:
        problem = page_problem(url)
    except (OSError, http.client.HTTPException) as error:
        problem = f"does not answer: {error or type(error).__name__}"
    if problem:
        sys.stderr.write(f"{url}: {problem}\n")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
