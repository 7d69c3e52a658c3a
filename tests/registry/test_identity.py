"""NHS numbers: the check digit, and what passes it and is nobody's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.registry.patients import normal_nhs_number, valid_nhs_number


@pytest.mark.parametrize("number", ["9434765919", "9990000018", "4010232137"])
def test_a_number_with_its_check_digit_is_valid(number: str) -> None:
    assert valid_nhs_number(number)


@pytest.mark.parametrize(
    "number",
    [
        "9434765918",
        "1111111111",
        "0000000000",
        "943476591",
        "94347659190",
        "943476591x",
        "",
        "９４３４７６５９１９",
        "943 476 5919",
    ],
)
def test_anything_else_is_not(number: str) -> None:
    assert not valid_nhs_number(number)


def test_a_remainder_of_ten_has_no_check_digit() -> None:
    # 0000000060 sums to 6 * 2 = 12, 12 mod 11 = 1, so the check would be ten: no digit can be it.
    assert not any(valid_nhs_number(f"000000006{digit}") for digit in range(10))


@given(st.integers(0, 999_999_999))
def test_at_most_one_last_digit_is_right(body: int) -> None:
    assert sum(valid_nhs_number(f"{body:09d}{digit}") for digit in range(10)) <= 1


def test_spaces_and_hyphens_do_not_matter() -> None:
    assert normal_nhs_number("943 476 5919") == normal_nhs_number("943-476-5919") == "9434765919"
    assert normal_nhs_number("943 476 5918") is None
    assert normal_nhs_number(None) is None
