"""Cases, plans, approvals and jobs: how wrong amounts are corrected, and taken back."""
