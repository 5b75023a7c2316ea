"""The page of what tampering shows says what the tests try, no more and no less."""

from tests.tamper_matrix import PAGE, page


def test_the_page_is_the_one_that_the_tests_make() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "Run python -m tests.tamper_matrix."
