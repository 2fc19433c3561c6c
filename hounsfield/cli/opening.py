"""What a command works with: the site that the environment names, and who sits there."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hounsfield.pseudonyms import Pseudonyms
    from hounsfield.records import RunContext
    from hounsfield.settings import Settings
    from hounsfield.site import Site

__all__ = ["open_pseudonyms", "open_settings", "open_site", "person"]


def open_settings() -> Settings:
    from hounsfield.settings import Settings

    return Settings.load()


def open_site() -> Site:
    from hounsfield.site import Site

    return Site.open()


def open_pseudonyms() -> Pseudonyms:
    """The site's; its key is made where there is none yet."""
    from hounsfield.pseudonyms import load_key

    site = open_site()
    load_key(site.settings.site.key_file, create=True)
    return site.pseudonyms


def person() -> RunContext:
    """Who sits at the terminal, as the audit trail names them."""
    from hounsfield.records import RunContext

    return RunContext(actor=f"cli:{getpass.getuser()}")
