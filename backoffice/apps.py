from importlib import import_module

from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class BackofficeConfig(AppConfig):
    name = "backoffice"
    default = True

    def ready(self) -> None:
        for module in (
            "backoffice.events",
            "backoffice.privileges",
            "backoffice.sign_in",
            "backoffice.lockout",
        ):  # registers event types, a system check, and who hears of sign-ins and lockouts
            import_module(module)


class AmendsAdminConfig(admin_apps.AdminConfig):
    """Django's admin with Amends' own site as the default one, so that `admin.register` finds it."""

    default_site = "backoffice.site.AmendsAdminSite"
    default = False
