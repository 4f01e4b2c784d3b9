import pytest

from asr.text.lexicon import Lexicon


@pytest.fixture(scope="session")
def cmudict():
    return Lexicon.cmudict()
