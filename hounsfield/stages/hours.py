"""Working hours: when a source may be asked."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hounsfield.errors import ConfigError

__all__ = ["seconds_until_open"]


def seconds_until_open(hours: str, timezone: str, now: datetime) -> float:
    """How long till working hours begin; 0 within them.

    Parameters
    ----------
    hours
        ``HH:MM-HH:MM``, the end excluded; may cross midnight. The same twice, or nothing, is
        always.
    timezone
        IANA name of the zone that `hours` are in.
    now
        Aware.

    Raises
    ------
    ConfigError
        If there is no such time zone.
    """
    if not hours:
        return 0.0
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError):
        raise ConfigError("unknown time zone", where="timezone") from None
    first, last = (time.fromisoformat(end) for end in hours.split("-"))
    local = now.astimezone(zone)
    if _is_within(local.time(), first, last):
        return 0.0
    begin = datetime.combine(local.date(), first, zone)
    if begin.timestamp() <= now.timestamp():
        begin = datetime.combine(local.date() + timedelta(days=1), first, zone)
    # By the clock of the world: a night in which the local one is set has 23 hours, or 25.
    return begin.timestamp() - now.timestamp()


def _is_within(clock: time, first: time, last: time) -> bool:
    if first < last:
        return first <= clock < last
    return clock >= first or clock < last
