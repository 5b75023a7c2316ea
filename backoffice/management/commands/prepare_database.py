from typing import Any

from django.conf import settings

from audit.command_line import AmendsCommand
from audit.errors import Refused
from backoffice.database import NotPreparable, prepare_database
from backoffice.environment import preparation_urls


class Command(AmendsCommand):
    help = (
        "Make the three database roles, the schema, what application and sealer may do, and the people's roles. Safe to repeat. "
        "Needs DATABASE_OWNER_URL and DATABASE_SEALER_URL where DATABASE_URL is set, and "
        "DATABASE_ADMIN_URL where roles or database are to be made."
    )

    def answer(self, *, verbosity: int, **_: Any) -> dict[str, Any]:
        urls = preparation_urls()
        if urls is None:
            raise Refused(
                "Set DATABASE_OWNER_URL and DATABASE_SEALER_URL: the schema is made by the role that owns it, not by the "
                "application's, and entries are sealed by a role of their own."
            )
        try:
            prepare_database(
                owner_url=urls.owner,
                application_url=urls.application,
                sealer_url=urls.sealer,
                admin_url=urls.admin,
                verbosity=max(verbosity - 1, 0),
            )
        except NotPreparable as error:
            raise Refused(str(error)) from error
        return {"prepared": settings.DATABASES["default"]["NAME"]}
