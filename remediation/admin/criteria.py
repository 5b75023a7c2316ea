"""What criteria are called on pages."""

from django.utils.translation import gettext_lazy

CRITERIA = {
    "calculator": gettext_lazy("calculator"),
    "services": gettext_lazy("services"),
    "versions": gettext_lazy("releases"),
    "calculated_from": gettext_lazy("calculated from"),
    "calculated_before": gettext_lazy("calculated before"),
    "occurred_from": gettext_lazy("occurred from"),
    "occurred_before": gettext_lazy("occurred before"),
    "stores": gettext_lazy("stores"),
    "countries": gettext_lazy("countries"),
    "currencies": gettext_lazy("currencies"),
    "references": gettext_lazy("transactions"),
    "total_from": gettext_lazy("total at least"),
    "total_to": gettext_lazy("total at most"),
}
