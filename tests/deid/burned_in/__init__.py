"""Pictures with burned-in text, drawn and real, and clean ones; how well the text is masked."""

from tests.deid.burned_in.cases import MODALITIES, SCRIPTS, Case, draw
from tests.deid.burned_in.real import CLEAN, WRITTEN, Judged, judge
from tests.deid.burned_in.score import Tally

__all__ = ["CLEAN", "MODALITIES", "SCRIPTS", "WRITTEN", "Case", "Judged", "Tally", "draw", "judge"]
