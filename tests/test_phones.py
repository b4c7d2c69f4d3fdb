"""Which phone numbers can be compared."""

import pytest

from plugin.phones import e164


@pytest.mark.parametrize("text", ["+15550101008", "+1 (555) 010-1008", " +1.555.010.1008 ", "+1/555/0101008"])
def test_a_number_with_its_country_code_is_certain(text: str) -> None:
    assert e164(text) == "+15550101008"


@pytest.mark.parametrize(
    "text",
    ["", "555 010 1008", "0015550101008", "+44 (0)20 7946 0958", "+1 555 010 1008 ext. 2", "tel:+15550101008",
     "+1555O101008", "+0555010100", "+123456", "+1234567890123456", "++15550101008", "+1555０101008"],
)  # fmt: skip
def test_a_number_that_could_be_anothers_is_none(text: str) -> None:
    assert e164(text) == ""
