import os

import pytest


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory):
    before = os.environ.get("ASR_CACHE")
    os.environ["ASR_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["ASR_CACHE"]
    else:
        os.environ["ASR_CACHE"] = before
