"""The sign of life that has to arrive elsewhere: nobody can tell of their own silence, so another service tells it when
this one stops calling (a dead man's switch)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from costweir.alerts.posting import check_address, post
from costweir.alerts.rulebook import load
from costweir.errors import Error

if TYPE_CHECKING:
    from costweir.config import Settings

_LOG = logging.getLogger("costweir.alerts")
_RULE = "dead_man"


def beat(settings: Settings) -> bool:
    """Calls the switch, and says whether it took the call; False without one. A failure is logged and never stops a
    look: the switch notices by itself."""
    rule = load(settings).find(_RULE)
    if rule is None or not rule.enabled or rule.url_env is None:
        return False
    url = settings.secret(rule.url_env)
    if not url:
        return False
    try:
        post(check_address(url, rule.url_env), b"", {}, who="The dead man's switch")
    except Error as error:
        _LOG.warning("alerts: %s", error.message)
        return False
    return True
