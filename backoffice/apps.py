from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class BackofficeConfig(AppConfig):
    name = "backoffice"
    default = True


class AmendsAdminConfig(admin_apps.AdminConfig):
    """Django's admin with Amends' own site as the default one, so that `admin.register` finds it."""

    default_site = "backoffice.site.AmendsAdminSite"
    default = False
