"""The contract on DCMTK's dcmqrscp."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.pacs.contract import servers
from tests.pacs.contract.servers import RunningDimse
from tests.pacs.contract.suite import DimseContract


@pytest.mark.server
class TestDcmqrscp(DimseContract):
    tells_count = False

    @pytest.fixture(scope="class")
    def server(
        self, tmp_path_factory: pytest.TempPathFactory, need_program: Callable[[str], str]
    ) -> Iterator[RunningDimse]:
        program = need_program("dcmqrscp")
        with servers.dcmqrscp(tmp_path_factory.mktemp("dcmqrscp"), program) as running:
            yield running
