"""Stores, releases, transactions, calculations, calculators, imports, the finder."""
