"""What a bootstrap says of what it found and did."""

from typing import NamedTuple

from check_jobmon.schema.link import Dblink


class Report(NamedTuple):
    """What a bootstrap found and did or, with `check`, would do. `before` is the version found, 0 if there was none."""

    database: str
    schema: str
    owner: str
    before: int
    after: int
    changed: bool
    roles: str
    dblink: Dblink
    check: bool = False
    link: str = ""
    schedules: str = ""
    extension: str = ""
    partitions: str = ""

    def __str__(self) -> str:
        where = f'schema "{self.schema}" of database "{self.database}"'
        if self.before == 0:
            what = f"{'would install' if self.check else 'installed'} version {self.after} in {where}"
        elif self.before < self.after:
            verb = "would upgrade" if self.check else "upgraded"
            what = f"{verb} {where} from version {self.before} to {self.after}"
        elif self.changed:
            what = f"{'would repair' if self.check else 'repaired'} {where}, version {self.after}"
        else:
            nothing = "" if self.partitions else f", nothing {'to do' if self.check else 'changed'}"
            what = f"{where} is up to date (version {self.after}){nothing}"
        said = (what, self.schedules, self.partitions, self.extension, self.link, self.roles, self.dblink.said)
        return "; ".join(filter(None, said))
