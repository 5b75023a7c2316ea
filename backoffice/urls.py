"""All addresses: every page is one of the admin site's."""

from django.contrib import admin
from django.urls import path

urlpatterns = [
    path("", admin.site.urls),
]
handler400 = "backoffice.error_pages.not_understood"
handler403 = "backoffice.error_pages.not_permitted"
handler404 = "backoffice.error_pages.not_found"
