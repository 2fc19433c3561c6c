"""What the list is asked for, parsed from the address of the page."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["PAGE_SIZE", "Question"]

PAGE_SIZE = 50

# PostgreSQL refuses NUL in a text.
Words = Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]
Word = Annotated[str, Field(max_length=64, pattern=r"^[^\x00]*$")]
#: As <input type="date"> sends it; empty when nothing is chosen.
Day = Annotated[str, Field(pattern=r"^(\d{4}-\d{2}-\d{2})?$")]


class Question(BaseModel):
    """One search, and one page of its answer.

    Attributes
    ----------
    q
        Words of a pseudonym, a body part, a description or a date.
    first, last
        Shifted days of the study, both included.
    page
        From 1.
    """

    model_config = ConfigDict(frozen=True, str_strip_whitespace=True)

    q: Words = ""
    state: Word = ""
    modality: Word = ""
    body_part: Word = ""
    first: Day = ""
    last: Day = ""
    page: Annotated[int, Field(ge=1, le=100_000)] = 1

    @property
    def criteria(self) -> dict[str, Any]:
        """As ``Catalog.search`` takes them."""
        fields = self.model_dump(exclude={"q", "page"})
        return {"text": self.q, **fields}

    @property
    def offset(self) -> int:
        return (self.page - 1) * PAGE_SIZE

    def address(self, **changes: object) -> str:
        """The address of the same question with `changes`, relative to the list."""
        asked = self.model_copy(update=changes).model_dump(exclude_defaults=True)
        return "?" + urlencode(asked)
