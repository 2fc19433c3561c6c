"""The contract on Orthanc."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.pacs.contract import servers
from tests.pacs.contract.servers import RunningPacs
from tests.pacs.contract.suite import PacsContract


@pytest.mark.server
class TestOrthanc(PacsContract):
    @pytest.fixture(scope="class")
    def server(
        self, tmp_path_factory: pytest.TempPathFactory, need_program: Callable[[str], str]
    ) -> Iterator[RunningPacs]:
        program = need_program("Orthanc")
        with servers.orthanc(tmp_path_factory.mktemp("orthanc"), program) as running:
            yield running
