"""Imports every module that lists faults."""

from tests.faults import (
    broker_lost,
    database_lost,
    disk_full,
    live_traffic,
    supervised,
    workers_lost,
    wrong_calculators,
)

ALL = (workers_lost, broker_lost, database_lost, disk_full, live_traffic, wrong_calculators, supervised)
