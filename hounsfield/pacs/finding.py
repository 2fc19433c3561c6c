"""Finding studies, in whatever protocol: answers that are whole, and filters of our own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from hounsfield.errors import ConfigError
from hounsfield.pacs.client import SeriesEntry, StudyEntry, StudyFilter
from hounsfield.pacs.window import Window

__all__ = ["ask_whole", "cut_list", "select"]

Ask = Callable[[Window], list[StudyEntry] | None]


def ask_whole(window: Window, ask: Ask, where: str) -> list[StudyEntry]:
    """The studies of `window`, each once.

    Parameters
    ----------
    ask
        Asks the PACS for a window; None where its answer was, or may have been, cut off. The
        window is then halved, and both halves are asked for, until the answers are whole.
    where
        How errors name the PACS.

    Raises
    ------
    ConfigError
        If even one minute holds more studies than the PACS lists.
    """
    found = ask(window)
    if found is None:
        halves = window.halves()
        if halves is None:
            raise ConfigError(
                "one minute holds as many studies as the result cap",
                where=f"{where}, max_results",
                remedy="raise the cap in the PACS and here",
            )
        found = [study for half in halves for study in ask_whole(half, ask, where)]
    return list({study.StudyInstanceUID: study for study in found}.values())


def cut_list(where: str) -> ConfigError:
    """The error for a list of series or instances that is not whole: there is no halving it."""
    return ConfigError(
        "the PACS lists only some of a study's series or instances",
        where=where,
        remedy="raise its limit of results",
    )


def select(
    studies: Iterable[StudyEntry],
    filters: StudyFilter,
    series_of: Callable[[str], Sequence[SeriesEntry]],
) -> list[StudyEntry]:
    """The studies that pass `filters`, by date and time.

    A PACS may ignore a key on modalities, and has none for a part of the description. Where
    it lists no modalities by study, they are asked for series by series.
    """

    def has_modality(study: StudyEntry) -> bool:
        listed = set(study.ModalitiesInStudy)
        if filters.modalities and not listed:
            listed = {item.Modality for item in series_of(study.StudyInstanceUID)}
        return not filters.modalities or bool(listed & filters.modalities)

    wanted = [s for s in studies if filters.describes(s.StudyDescription) and has_modality(s)]
    return sorted(wanted, key=lambda s: (s.StudyDate, s.StudyTime, s.StudyInstanceUID))
