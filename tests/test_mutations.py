"""The list of mutations: each passage is there once, in a file whose tests exist."""

from pathlib import Path

import mutations
import pytest

PACKAGE = mutations.ROOT / "mvae_tf"
TESTS = Path(__file__).parent


@pytest.mark.parametrize("mutation", mutations.read(mutations.LIST), ids=str)
def test_a_mutation_is_of_a_passage_that_is_there_once(mutation):
    assert (PACKAGE / mutation.path).read_text().count(mutation.right) == 1
    assert mutation.wrong != mutation.right
    for name in mutation.tests.split():
        assert (TESTS / f"test_{name}.py").exists()
