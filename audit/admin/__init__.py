"""What every page of the back office is made of, and the pages of the trail itself."""

from audit.admin.entry import AuditEntryAdmin
from audit.admin.keyset import KeysetChangeList, KeysetPage, keyset_page
from audit.admin.read_only import ReadOnlyAdmin

__all__ = ["AuditEntryAdmin", "KeysetChangeList", "KeysetPage", "ReadOnlyAdmin", "keyset_page"]
