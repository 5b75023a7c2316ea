"""People's accounts, for administrators. What is done here stands in the trail.

Roles and what they may do are code (`backoffice/roles.py`), so that groups can be looked at and given to people, but not changed. Nobody
makes themselves or others a superuser here, and nobody is deleted: who leaves is made inactive.
"""

from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.admin import RelatedFieldListFilter
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext_lazy as _
from django_otp.plugins.otp_static.admin import StaticDevice
from django_otp.plugins.otp_totp.admin import TOTPDevice

import backoffice.how_it_stands
import backoffice.what_needs_you  # noqa: F401 (both add their parts to the first page)
from audit.errors import Refused
from audit.one_time_codes import with_second_factor
from audit.second_factor import take_away
from audit.templatetags.reading import moment
from audit.trail import record
from backoffice.end_lockout import lockout_urls
from backoffice.events import USER_CHANGED, USER_CREATED, UserChangedData, UserCreatedData
from backoffice.person_forms import NewPersonForm, PersonForm, PersonPasswordForm, RolesField
from backoffice.policy_page import policy_urls
from backoffice.roles import MAY
from backoffice.second_factor_page import second_factor_urls
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
site.add_urls(lockout_urls)
site.add_urls(second_factor_urls)

admin.site.unregister(User)
admin.site.unregister(Group)
# django-otp's own pages show secrets. Importing them registered them, so that they are not registered again later.
admin.site.unregister(TOTPDevice)
admin.site.unregister(StaticDevice)


class RoleFilter(RelatedFieldListFilter):
    """People by role, under that word: the column is called groups."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = str(_("role"))


@admin.register(User)
class PersonAdmin(UserAdmin):  # type: ignore[type-arg]
    form = PersonForm
    add_form = NewPersonForm
    change_password_form = PersonPasswordForm
    change_list_template = "backoffice/people_list.html"
    change_form_template = "backoffice/person.html"
    add_form_template = "backoffice/person.html"
    change_user_password_template = "backoffice/person_password.html"  # noqa: S105
    list_display = ("username", "roles", "is_active", "second_factor", "last_signed_in", "full_name")
    list_filter = (("groups", RoleFilter), "is_active")
    fieldsets = (
        (None, {"fields": ("username", "first_name", "last_name", "email")}),
        (_("What they may do"), {"fields": ("is_active", "is_staff", "groups")}),
    )
    add_fieldsets = (
        (None, {"fields": ("username", "first_name", "last_name", "email")}),
        (_("Password"), {"fields": ("password1", "password2")}),
        (_("What they may do"), {"fields": ("is_staff", "groups")}),
    )
    filter_horizontal = ()
    actions = None

    @admin.display(description=_("roles"))
    def roles(self, person: User) -> str:
        names = sorted(group.name for group in person.groups.all())
        return ", ".join([str(_("superuser: may do everything"))] * person.is_superuser + names)

    @admin.display(description=_("second factor"))
    def second_factor(self, person: User) -> str:
        return str(_("on")) if getattr(person, "has_second_factor", False) else "–"

    @admin.display(description=_("last signed in"), ordering="last_login")
    def last_signed_in(self, person: User) -> str:
        return moment(person.last_login) or str(_("never"))

    @admin.display(description=_("name"), ordering="last_name")
    def full_name(self, person: User) -> str:
        return person.get_full_name()

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "groups":  # without links beside it to make or change a role
            return db_field.formfield(form_class=RolesField)
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"is_staff": True, **super().get_changeform_initial_data(request)}

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().changelist_view(request, {"title": _("People"), **(extra_context or {})})

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> Any:
        # A superuser's account is for whoever runs the machine: an administrator who could set its password would be one.
        people = with_second_factor(super().get_queryset(request)).prefetch_related("groups")
        return people if getattr(request.user, "is_superuser", False) else people.filter(is_superuser=False)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.second_factor_view)
        return [path("<int:pk>/second_factor/", view, name="auth_user_second_factor"), *super().get_urls()]

    def second_factor_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Where an administrator takes away a second factor that was lost, and says why."""
        person = self.get_object(request, str(pk))
        if not self.has_change_permission(request, person):
            raise PermissionDenied
        if person is None:
            raise Http404
        if request.method == "POST":
            try:
                take_away(person, acting_user=_acting(request), reason=request.POST.get("reason", ""))
            except Refused as refused:
                messages.error(request, str(refused))
            else:
                messages.success(request, _("The second factor of %(who)s was taken away.") % {"who": person})
                return HttpResponseRedirect(reverse("admin:auth_user_change", args=[pk]))
        context = {
            **self.admin_site.each_context(request),
            "opts": User._meta,
            "original": person,
            "title": _("Second factor of %(who)s") % {"who": person},
        }
        return TemplateResponse(request, "backoffice/person_second_factor.html", context)

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
    fields = ("name",)
    readonly_fields = ("name",)
    filter_horizontal = ()
    change_form_template = "backoffice/role.html"

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().changelist_view(request, {"title": _("Roles"), **(extra_context or {})})

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        role = self.get_object(request, object_id)
        told = {"may": MAY.get(role.name, "") if role else "", **(extra_context or {})}
        return super().change_view(request, object_id, form_url, told)

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
