"""Find: which transactions match, when they were calculated, how many of them are wrong, and since when."""

from transactions.admin.find.form import FindForm, Problem, read_find
from transactions.admin.find.page import demand_find, find_urls
from transactions.admin.find.words import in_words

__all__ = ["FindForm", "Problem", "demand_find", "find_urls", "in_words", "read_find"]
