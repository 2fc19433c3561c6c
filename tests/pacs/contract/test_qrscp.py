"""The contract on pynetdicom's qrscp."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.pacs.contract import servers
from tests.pacs.contract.servers import RunningDimse
from tests.pacs.contract.suite import DimseContract


class TestQrscp(DimseContract):
    checks_called_ae_title = False
    tells_count = False
    tells_description = False

    @pytest.fixture(scope="class")
    def server(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDimse]:
        with servers.qrscp(tmp_path_factory.mktemp("qrscp")) as running:
            yield running
