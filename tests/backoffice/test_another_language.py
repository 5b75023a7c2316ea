"""Who reads in another language sees pages in it; what is stored, or leaves in files, is in English for everybody."""

import json
from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import translation
from django.utils.translation import trans_real
from pytest_django import Settings

from audit.admin.facts import english_label_of
from audit.admin.trail_form import event_choices
from audit.alarms import look_after_trail
from audit.events import registered_events
from audit.export import export_trail
from audit.models import AuditEntry
from audit.sentence import sentence
from audit.trail_filter import TrailFilter
from backoffice.trail_words import EVENTS, FIELDS
from tests.audit.trail import LIST, write
from tests.conftest import UserFactory

Translate = Callable[[dict[str, str]], None]


@pytest.fixture
def german(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Iterator[Translate]:
    """Puts what Amends says into Django's own German catalogue, and has everybody read that."""
    settings.LANGUAGES = [("en", "English"), ("de", "Deutsch")]
    catalogue = trans_real.translation("de")._catalog._catalogs[0]  # type: ignore[attr-defined]

    def translate(words: dict[str, str]) -> None:
        for english, german in words.items():
            monkeypatch.setitem(catalogue, english, german)

    with translation.override("de"):
        yield translate


@pytest.fixture
def carl(db: None, users: UserFactory, client: Client) -> User:
    """An auditor, signed in at a browser that asks for German."""
    person = users("auditor", name="carl")
    client.force_login(person)
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = "de"
    return person


def test_the_trail_is_told_in_the_readers_language_and_leaves_in_english(
    carl: User, users: UserFactory, client: Client, german: Translate
) -> None:
    german(
        {
            "{actor} approved {subject}": "{subject} wurde von {actor} genehmigt",
            "Who did it": "Wer es war",
            "Comment": "Bemerkung",
            "Its seal": "Sein Siegel",
            "Integrity of the trail": "Unversehrtheit",
            "yes": "doch",
        }
    )
    ben = users("approver", name="ben")
    approved, _ = write(ben)
    assert sentence(approved) == "ben wurde von ben genehmigt"
    page = client.get(f"{LIST}?event=plan.approved").content.decode()
    assert " wurde von ben genehmigt</span>" in page
    assert ("Wer es war" in page, "Who did it" in page) == (True, False)
    entry = client.get(f"{LIST}{approved.pk}/").content.decode()
    assert ("<dt>Bemerkung</dt>" in entry, "Sein Siegel" in entry) == (True, True)
    assert "<h1>Unversehrtheit</h1>" in client.get("/audit/auditentry/integrity/").content.decode()
    (line,) = b"".join(
        export_trail(TrailFilter(event="plan.approved"), "ndjson", acting_user=carl)
    ).splitlines()
    assert json.loads(line)["sentence"] == "ben approved ben"


def test_alarms_are_shown_in_the_readers_language_and_stored_in_english(
    carl: User, client: Client, german: Translate, settings: Settings
) -> None:
    settings.AMENDS_AUDIT_PLACES = ()
    english = (
        "Checkpoints are published nowhere: whoever can write the database can rewrite them with the trail."
    )
    german({english: "Nirgends veröffentlicht."})
    assert "Nirgends veröffentlicht." in client.get("/audit/auditentry/integrity/").content.decode()
    look_after_trail()
    stored = AuditEntry.objects.get(event="audit.alarm", data__problem="nowhere_published")
    assert (stored.data["what"], stored.reason) == (english, english)


def test_words_that_are_made_of_names_in_code_are_written_out_for_translators() -> None:
    """Where this fails for a new event, add its words to backoffice/trail_words.py."""
    fields = {
        english_label_of(name) for event in registered_events() for name in event.data.__struct_fields__
    }
    kinds = {group for group, _ in event_choices()} | {
        words for _, choices in event_choices() for _, words in choices
    }
    assert (fields, kinds) == (set(FIELDS), set(EVENTS))


def test_every_kind_of_event_is_told_by_a_whole_sentence() -> None:
    """Of which at least one part stands for somebody: who did it, or what was done to."""
    assert [
        event.name
        for event in registered_events()
        if "{actor}" not in event.sentence and "{subject}" not in event.sentence
    ] == []
