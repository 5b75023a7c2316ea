"""People's accounts, for administrators. What is done here stands in the trail.

Roles and what they may do are code (`backoffice/roles.py`), so that groups can be looked at and given to people, but not changed. Nobody
makes themselves or others a superuser here, and nobody is deleted: who leaves is made inactive.
"""

from typing import Any, cast

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.http import HttpRequest, HttpResponse

import backoffice.how_it_stands
import backoffice.what_needs_you  # noqa: F401 (both add their parts to the first page)
from audit.trail import record
from backoffice.events import USER_CHANGED, USER_CREATED, UserChangedData, UserCreatedData
from backoffice.policy_page import policy_urls
from backoffice.site import AmendsAdminSite
from remediation.admin.case_open import case_open_urls
from remediation.admin.store_statement import statement_urls
from transactions.admin.find import find_urls
from transactions.admin.search import search_urls

site = cast("AmendsAdminSite", admin.site)
site.add_urls(find_urls)
site.add_urls(search_urls)
site.add_urls(statement_urls)
site.add_urls(case_open_urls)
site.add_urls(policy_urls)

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class PersonAdmin(UserAdmin):  # type: ignore[type-arg]
    list_display = ("username", "first_name", "last_name", "is_active", "last_login")
    list_filter = ("groups", "is_active")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        ("Role", {"fields": ("is_active", "is_staff", "groups")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (
        (
            None,
            {"classes": ("wide",), "fields": ("username", "password1", "password2", "is_staff", "groups")},
        ),
    )
    filter_horizontal = ()
    readonly_fields = ("last_login", "date_joined")
    actions = None

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> Any:
        # A superuser's account is for whoever runs the machine: an administrator who could set its password would be one.
        people = super().get_queryset(request)
        return people if getattr(request.user, "is_superuser", False) else people.filter(is_superuser=False)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:  # noqa: A002
        with transaction.atomic():
            return super().user_change_password(request, id, form_url)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        before = set(form.instance.groups.values_list("name", flat=True))
        super().save_related(request, form, formsets, change)
        form.instance.__dict__["roles_before"] = before

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        record(USER_CREATED, obj, UserCreatedData(role=_roles(obj)), actor=_acting(request))
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        parts = message if isinstance(message, list) else []
        fields = [str(name) for part in parts for name in part.get("changed", {}).get("fields", [])]
        now = set(obj.groups.values_list("name", flat=True))
        before = obj.__dict__.get("roles_before", now)
        changed = UserChangedData(
            role=_roles(obj),
            active=obj.is_active,
            fields=fields,
            granted=sorted(now - before),
            taken=sorted(before - now),
        )
        record(USER_CHANGED, obj, changed, actor=_acting(request))
        return super().log_change(request, obj, message)


@admin.register(Group)
class RoleAdmin(GroupAdmin):
    actions = None
    list_display = ("name",)
    fields = ("name", "may")
    readonly_fields = ("name", "may")
    filter_horizontal = ()

    @admin.display(description="may")
    def may(self, role: Group) -> str:
        """Its permissions in words; Django's own field asks for the model of each by itself."""
        return ", ".join(role.permissions.order_by("name").values_list("name", flat=True))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def _roles(person: User) -> str:
    return ", ".join(person.groups.order_by("name").values_list("name", flat=True))


def _acting(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user
