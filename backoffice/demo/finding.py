"""The story's first chapter: finding what went wrong, by which release and when, and about how much."""

from datetime import timedelta

from backoffice.demo.generator import CALCULATOR, SEED, UPGRADE, UPGRADE_OF_PAYMENTS
from backoffice.demo.narration import Narrator, bars, shown
from backoffice.demo.story import MISSED, TARGET
from transactions.estimate import estimate
from transactions.finder import count
from transactions.selection import Selection

BEFORE_AND_AFTER = timedelta(hours=8)


def tell_find(narrator: Narrator) -> None:
    """Look at two services around the upgrade, hour by hour, and estimate from a sample what is wrong in between."""
    begin, end = UPGRADE - BEFORE_AND_AFTER, UPGRADE_OF_PAYMENTS + BEFORE_AND_AFTER
    narrator.heading(
        f"Find: what was calculated by which release, {begin:%A %d %B %H:%M} to {end:%A %H:%M} UTC, an hour a bar"
    )
    hours = [begin + timedelta(hours=hour) for hour in range(int((end - begin) / timedelta(hours=1)))]
    for service in ("checkout", "payments"):
        for version in ("1.9.0", "2.0.0"):
            counts = count(
                Selection(
                    CALCULATOR,
                    services=(service,),
                    versions=(version,),
                    calculated_from=begin,
                    calculated_before=end,
                )
            )
            by_hour = dict(counts.by_hour)
            drawn = bars([by_hour.get(hour, 0) for hour in hours])
            narrator.say(f"{service} {CALCULATOR} {version}  {drawn} {counts.matched:>6,}")
    missed = count(MISSED)
    narrator.say(
        f"checkout was upgraded to {TARGET}; payments followed 41 hours later. In between it calculated {missed.matched:,}."
    )
    found = estimate(MISSED, TARGET, seed=SEED)
    share = found.share_wrong
    narrator.say(
        f"A random sample of {found.sampled:,} says: {share.estimate:.1%} are wrong (95% interval: {share.low:.1%} to {share.high:.1%}). "
        "To correct:"
    )
    narrator.table(
        ["", "about", "at least", "at most"],
        [
            [each.currency, *(shown(amount, each.scale) for amount in (each.estimate, each.low, each.high))]
            for each in found.money
        ],
    )
