"""Importing files: read, mapped, staged and landed; what cannot be is set aside to be mended."""

from transactions.importing.importer import Import, ImportResult, import_files
from transactions.importing.reading import UnreadableFile

__all__ = ["Import", "ImportResult", "UnreadableFile", "import_files"]
