import pytest

# Its asserts are in a module that pytest does not collect.
pytest.register_assert_rewrite("tests.pacs.contract.suite")
