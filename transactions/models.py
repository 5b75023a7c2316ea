"""Facts, results, and the one pointer that moves.

A transaction's facts and the calculations made of them are written once and never changed. Which calculation a transaction stands on is
a row of `CurrentCalculation`, moved only by the two database functions in this app's and remediation's `sql/`.
All amounts are whole numbers of the smallest unit that the transaction is kept in (`currency` and `scale`).
"""

from datetime import timedelta
from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.functions import TransactionNow
from django.db import models
from django.db.models import F, Q


class Store(models.Model):
    """A store whose transactions were calculated."""

    reference = models.CharField(max_length=128, unique=True)
    name = models.CharField(max_length=200, blank=True)
    country = models.CharField(max_length=2, blank=True, help_text="ISO 3166-1 alpha-2; empty where unknown.")
    recorded_at = models.DateTimeField(db_default=TransactionNow())

    class Meta:
        indexes: ClassVar = [models.Index(fields=["country"], name="store_country")]

    def __str__(self) -> str:
        return self.name or self.reference


class Release(models.Model):
    """One version of one calculator as one service runs it.

    The same library at two versions in two services is two releases: a difference between them is what goes wrong.
    """

    service = models.CharField(max_length=100)
    calculator = models.CharField(max_length=100)
    version = models.CharField(max_length=64)
    recorded_at = models.DateTimeField(db_default=TransactionNow())

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["calculator", "service", "version"], name="release_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.service} · {self.calculator} {self.version}"


class IngestBatch(models.Model):
    """One import, or one call of a service: where transactions and reported calculations came from."""

    source = models.CharField(max_length=100)
    origin = models.TextField(help_text="File names, or the service that called.")
    recorded_at = models.DateTimeField(db_default=TransactionNow())

    class Meta:
        verbose_name_plural = "ingest batches"
        permissions: ClassVar = [("import_transactions", "Can import transactions")]

    def __str__(self) -> str:
        return f"{self.source}: {self.origin}"


class IngestLeaves(models.Model):
    """The leaves of a piece of an ingest batch, 32 bytes a calculation, in the order of the calculations' ids. Insert-only.

    A leaf is `transactions.canonical.reported_leaf` of a calculation and the facts that it was made of; `root` is the Merkle root of
    the piece. A batch's pieces have positions from 0, and the trail carries the root over them all: see docs/audit-format.md.
    """

    batch = models.ForeignKey(
        IngestBatch, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="leaves"
    )
    position = models.PositiveIntegerField()
    first_calculation = models.BigIntegerField(help_text="The lowest id among its calculations.")
    last_calculation = models.BigIntegerField(help_text="The highest.")
    leaves = models.BinaryField()
    root = models.BinaryField(max_length=32)

    class Meta:
        verbose_name_plural = "ingest leaves"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["batch", "position"], name="ingestleaves_position_unique"),
        ]

    def __str__(self) -> str:
        return f"piece {self.position} of the leaves of ingest batch {self.batch_id}"


class Transaction(models.Model):
    """The facts that a service calculated from. Never updated.

    `inputs` keeps numbers as the source wrote them, as decimal strings, and never holds personal data. `facts_hash` is
    `transactions.canonical.facts_hash` of the row: 32 bytes.
    """

    source = models.CharField(max_length=100, help_text="The system that the transaction comes from.")
    reference = models.CharField(max_length=200, help_text="Its name in that system.")
    store = models.ForeignKey(
        Store, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="transactions"
    )
    currency = models.CharField(max_length=3, help_text="ISO 4217.")
    scale = models.SmallIntegerField(help_text="Digits after the point of every amount.")
    occurred_at = models.DateTimeField()
    inputs = models.JSONField()
    facts_hash = models.BinaryField(max_length=32)
    batch = models.ForeignKey(
        IngestBatch, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["source", "reference"], name="transaction_reference_unique"),
            models.CheckConstraint(
                condition=Q(scale__gte=0, scale__lte=12), name="transaction_scale_possible"
            ),
            models.CheckConstraint(
                condition=Q(currency__regex=r"^[A-Z]{3}$"), name="transaction_currency_is_a_code"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["store", "occurred_at"], name="transaction_store"),
            models.Index(fields=["reference"], name="transaction_reference"),
        ]

    def __str__(self) -> str:
        return self.reference


class Calculation(models.Model):
    """What one release made of one transaction. Never updated.

    Reported by a service (`batch`), or proposed by a preview (`plan_chunk_id`, and `replaces`, the calculation it would supersede).
    A proposal is invisible until an apply points at it. `amounts` maps component names to whole numbers and always has
    `total`; `calculated_at` is the service's time, or the preview's. References carry no constraint: rows are never deleted,
    and `verify` looks for dangling ones.
    """

    transaction = models.ForeignKey(
        Transaction,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="calculations",
    )
    release = models.ForeignKey(
        Release, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="calculations"
    )
    amounts = models.JSONField()
    total = models.BigIntegerField()
    calculated_at = models.DateTimeField()
    recorded_at = models.DateTimeField(db_default=TransactionNow())
    batch = models.ForeignKey(
        IngestBatch,
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    plan_chunk_id = models.BigIntegerField(null=True, help_text="The chunk of a plan that proposed it.")
    replaces = models.ForeignKey(
        "self", null=True, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["transaction", "release", "calculated_at"],
                condition=Q(plan_chunk_id__isnull=True),
                name="calculation_reported_once",
            ),
            models.UniqueConstraint(
                fields=["plan_chunk_id", "transaction"],
                condition=Q(plan_chunk_id__isnull=False),
                name="calculation_proposed_once",
            ),
            models.CheckConstraint(
                condition=Q(batch__isnull=False, plan_chunk_id__isnull=True, replaces__isnull=True)
                | Q(batch__isnull=True, plan_chunk_id__isnull=False, replaces__isnull=False),
                name="calculation_reported_or_proposed",
            ),
            models.CheckConstraint(
                # A result from the future would outrank every real one to come. Five minutes are for clocks that differ.
                condition=Q(calculated_at__lte=F("recorded_at") + timedelta(minutes=5)),
                name="calculation_not_in_the_future",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["release", "calculated_at", "id"], name="calculation_keyset"),
            models.Index(
                fields=["transaction"],
                # Not plan_chunk_id or replaces, though it comes to the same: asked for one chunk's proposals, the planner would
                # go through all there ever were in this index, as long as its statistics are from before there were many.
                condition=Q(batch__isnull=True),
                name="calculation_proposals_of",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.total} at {self.calculated_at:%Y-%m-%d %H:%M:%S}Z"

    @property
    def is_proposal(self) -> bool:
        """Whether a preview made it, rather than a service reported it."""
        return self.plan_chunk_id is not None


class CurrentCalculation(models.Model):
    """Which calculation a transaction stands on: the only row that ever moves.

    The application may read it; only `amends_point_at_reported` and `amends_apply_chunk` write it. Fillfactor 50 keeps the
    moves HOT (set in this app's SQL).
    """

    transaction = models.OneToOneField(
        Transaction,
        primary_key=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="current",
    )
    calculation = models.ForeignKey(
        Calculation, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )

    def __str__(self) -> str:
        return f"{self.transaction_id} → {self.calculation_id}"


class Supersession(models.Model):
    """A service's newer calculation superseded the one that a transaction stood on.

    Written by `amends_point_at_reported` in the transaction that moved the pointer. With the rows that plans applied these
    are all the moves that any pointer ever made after its first. `of_correction` flags those that superseded a correction of ours.
    """

    transaction = models.ForeignKey(
        Transaction, on_delete=models.DO_NOTHING, db_constraint=False, related_name="supersessions"
    )
    superseded = models.ForeignKey(
        Calculation, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    superseded_by = models.ForeignKey(
        Calculation, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    of_correction = models.BooleanField()
    recorded_at = models.DateTimeField(db_default=TransactionNow())

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["id"], condition=Q(of_correction=True), name="supersession_of_correction"),
        ]

    def __str__(self) -> str:
        return f"{self.superseded_id} superseded by {self.superseded_by_id}"


class StandingCount(models.Model):
    """The rollup: how many transactions stood on a release's calculations of one hour when it was last folded.

    `hour` is the beginning of the hour of calculated_at, in UTC. What is true now is this and the unfolded `StandingChange`s,
    read in one statement: see `transactions.rollups`.
    """

    pk = models.CompositePrimaryKey("release_id", "hour")
    release = models.ForeignKey(
        Release, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    hour = models.DateTimeField()
    transactions = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.transactions} at {self.hour:%Y-%m-%d %H}h"


class StandingChange(models.Model):
    """By how much pointers that moved changed a count, until it is folded into its `StandingCount`.

    Only inserted and folded away, so that writers never wait for each other. Written by `amends_count_moves` in the transaction that
    moved the pointers.
    """

    release = models.ForeignKey(
        Release, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    hour = models.DateTimeField()
    change = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.change:+} at {self.hour:%Y-%m-%d %H}h"


class PersonalData(models.Model):
    """What a transaction's source says about a person. Erasable, never hashed, never in `inputs`."""

    transaction = models.OneToOneField(
        Transaction, primary_key=True, on_delete=models.DO_NOTHING, related_name="personal_data"
    )
    data = models.JSONField()

    class Meta:
        verbose_name_plural = "personal data"
        permissions: ClassVar = [("reveal_personal_data", "Can see personal data unmasked")]

    def __str__(self) -> str:
        return f"personal data of {self.transaction_id}"


class SavedSearch(models.Model):
    """A search that somebody keeps under a name of theirs, for themselves or `shared` with all. Forgotten, it is deleted.

    `query` is the query string of Find's address, which is the whole search.
    """

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=100)
    query = models.TextField(blank=True)
    shared = models.BooleanField(default=False)
    saved_at = models.DateTimeField(db_default=TransactionNow())

    class Meta:
        verbose_name_plural = "saved searches"
        ordering: ClassVar = ["name", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["owner", "name"], name="savedsearch_name_unique"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["name", "id"], condition=Q(shared=True), name="savedsearch_shared"),
        ]

    def __str__(self) -> str:
        return f"search “{self.name}”"
