"""What members follow, held against what the coordinator has (R5). Pure.

Every configuration that a member follows, and every catalog that it was told, was durable before it was answered. So a
member that knows something newer, or something else of the same age, shows that the coordinator's data are an older copy
or not its own.
"""

from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import Member
from kubegrid.coordination import MemberRecord


def contradiction(member: Member, configuration: Configuration, stored: Configuration | None) -> str:
    """Why the stored configuration cannot be the newest; empty when it can."""
    if configuration.epoch < 1 or stored == configuration:
        return ""
    what = f"{member} follows epoch {configuration.epoch} of partition {configuration.partition}"
    if stored is None:
        return f"{what}, of which there is no record"
    if configuration.epoch > stored.epoch:
        return f"{what}, but the record is of epoch {stored.epoch}: it is an older copy"
    return f"{what}, but the record of that epoch is another one" if configuration.epoch == stored.epoch else ""


def contradiction_of_catalog(record: MemberRecord, stored_version: int) -> str:
    """The same of the catalog of tables."""
    if record.catalog_known <= stored_version:
        return ""
    return (
        f"{record.member} knows version {record.catalog_known} of the catalog of tables, "
        f"but the record is of version {stored_version}: it is an older copy"
    )
