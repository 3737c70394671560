"""The settings: one frozen object, made from one file, the environment and the command line, and from
nowhere else.

Nothing outside this room reads a configuration file or an environment variable. An unknown key is an error
that names the nearest valid one; a secret never leaves this room as plain text, except to the code that
asks for it by name.
"""

from __future__ import annotations

from costweir.config.loading import check, data_dir_of, load
from costweir.config.problems import Problem
from costweir.config.reference import Setting, origin, schema, settings_list, shown
from costweir.config.settings import Settings

__all__ = [
    "Problem",
    "Setting",
    "Settings",
    "check",
    "data_dir_of",
    "load",
    "origin",
    "schema",
    "settings_list",
    "shown",
]
