"""The one site that all pages belong to."""

from django.contrib import admin


class AmendsAdminSite(admin.AdminSite):
    site_header = "Amends"
    site_title = "Amends"
    index_title = "What went wrong, and what was done about it"
