"""The health check of the updater's container: exit status 0 while its page says it is ready, else 1 and the reason.

``python -m handlers.stack.page_probe``. The updater's own settings (environment, ``LUCIR_CONFIG``) say where the page
is. Reading them costs half a second of processor time, which ``handlers.stack.probe`` does without: let a health check
ask this less often.
"""

import sys

from handlers.setting_values import load_settings
from handlers.settings import SettingsError
from handlers.stack.probe import page_problem, tell


def main() -> int:
    """The exit status; the reason goes to standard error."""
    try:
        url = f"{load_settings().updater_url}/readyz"
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return tell(url, page_problem)


if __name__ == "__main__":
    sys.exit(main())
