"""What of this installation is embedded, and the addresses that only its preparation may use."""

import os
from dataclasses import dataclass

from django.conf import settings

from backoffice.embedded.lifecycle import Embedded


@dataclass(frozen=True)
class PreparationUrls:
    """The addresses of the database for owner, application, sealer and superuser ("" where nobody gave one)."""

    owner: str
    application: str
    sealer: str
    admin: str


def embedded() -> Embedded:
    """The embedded services that the settings ask for."""
    return Embedded(settings.HOME, database=settings.EMBEDDED_DATABASE, broker=settings.EMBEDDED_BROKER)


def preparation_urls() -> PreparationUrls | None:
    """Addresses to prepare the database with; None where it is elsewhere and owner's and sealer's addresses were not given."""
    if settings.EMBEDDED_DATABASE:
        home = settings.HOME
        return PreparationUrls(home.owner_url(), home.application_url(), home.sealer_url(), home.admin_url())
    owner, sealer = os.environ.get("DATABASE_OWNER_URL"), os.environ.get("DATABASE_SEALER_URL")
    if not owner or not sealer:
        return None
    return PreparationUrls(owner, os.environ["DATABASE_URL"], sealer, settings.DATABASE_ADMIN_URL)
