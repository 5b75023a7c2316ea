"""Every word that pages show can be translated: none stands outside of a translation."""

import re
from pathlib import Path

import pytest
from django.conf import settings

TEMPLATES = Path(settings.BASE_DIR) / "templates"
PAPERS = ("remediation/evidence_summary.html",)
"""Not pages: what leaves in evidence packs is in English, whoever takes it along, and so is what is stored."""
OWNED = sorted(
    name
    for path in TEMPLATES.rglob("*.html")
    if (name := path.relative_to(TEMPLATES).as_posix()) not in PAPERS
)
# Translations, remarks, and the block that holds names of styles.
_TRANSLATED = re.compile(
    r"{%\s*blocktranslate\b.*?{%\s*endblocktranslate\s*%}|{%\s*comment\b.*?{%\s*endcomment\s*%}|{% block bodyclass %}.*?{% endblock %}",
    re.DOTALL,
)
_CODE = re.compile(r"{%.*?%}|{{.*?}}|{#.*?#}", re.DOTALL)
_MARKUP = re.compile(r"<(code|kbd|script)\b.*?</\1>|<[^>]*>|&\w+;", re.DOTALL)
_SPOKEN = re.compile(r'\b(?:aria-label|title|placeholder|alt)="([^"]*)"')
NO_WORDS = {"Amends", "UTC"}


def untranslated(text: str) -> set[str]:
    """Words of a template that are shown and that nobody can translate."""
    left = _CODE.sub(" ", _TRANSLATED.sub(" ", text))
    spoken = " ".join(_SPOKEN.findall(left))
    return set(re.findall(r"[A-Za-z]{2,}", f"{_MARKUP.sub(' ', left)} {spoken}")) - NO_WORDS


@pytest.mark.parametrize("template", OWNED)
def test_every_word_of_a_page_can_be_translated(template: str) -> None:
    assert untranslated((TEMPLATES / template).read_text(encoding="utf-8")) == set()


def test_a_word_outside_of_a_translation_would_be_found() -> None:
    assert untranslated('<p aria-label="Alas">{% translate "Hello" %} there {{ name }}</p>') == {
        "Alas",
        "there",
    }
