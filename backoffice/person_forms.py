"""The forms for people's accounts, in people's words: roles, not groups, and whether there is a password, not what was made of it."""

from typing import Any

from django import forms
from django.contrib.auth.forms import AdminPasswordChangeForm, AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import Group, User
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from backoffice.roles import MAY

_USERNAME = _("What they sign in with: letters, digits and @ . + - _.")


class RolesField(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]
    """Boxes to tick, each with what the role may do. A role is stored as a group."""

    widget = forms.CheckboxSelectMultiple

    def __init__(self, queryset: Any, **kwargs: Any) -> None:
        told = {
            "label": _("Roles"),
            "help_text": _("Nobody decides on their own work, whatever their roles."),
        }
        super().__init__(queryset.order_by("name"), **kwargs | told)

    def label_from_instance(self, role: Group) -> SafeString:
        return format_html('<span>{} <span class="quiet">{}</span></span>', role.name, MAY.get(role.name, ""))


class _InWords(forms.ModelForm):  # type: ignore[type-arg]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, label, help_text in (
            ("username", _("Name to sign in"), _USERNAME),
            (
                "is_active",
                _("Active"),
                _("Take it off for who leaves: nobody is deleted, and what they did stays theirs."),
            ),
            (
                "is_staff",
                _("May sign in to Amends"),
                _(
                    "Opens the pages, as far as the roles go. Without it only commands on the machine know this account."
                ),
            ),
        ):
            if name in self.fields:
                self.fields[name].label, self.fields[name].help_text = label, help_text


class PersonForm(_InWords, UserChangeForm):  # type: ignore[type-arg]
    password = None  # type: ignore[assignment]  # shown beside the form, by whether there is one


class NewPersonForm(_InWords, AdminUserCreationForm):  # type: ignore[type-arg]
    usable_password = None  # type: ignore[assignment]  # there is no other way to sign in


class PersonPasswordForm(AdminPasswordChangeForm):  # type: ignore[type-arg]
    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        # Django would take an account's password away here: Amends makes it inactive instead, and the trail says so.
        self.fields.pop("usable_password", None)
