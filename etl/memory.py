"""What a build remembers for the next one, so that it need not look at all days again.

It lies beside the marts, a Parquet file a relation; the folder of the published build counts.
"""

from __future__ import annotations

import shutil

import duckdb

from etl import marts
from etl.columns import quoted
from etl.damage import Damaged
from etl.lake import Lake
from etl.marts import Published

FOLDER = "memory"
# Each relation, empty before the first build; of those without columns there is none then.
RELATIONS = {
    "partitions": "observed_date date, files varchar, contents varchar",
    "flavors_used": "observed_date date, project_id varchar, flavor varchar",
    "lives": "project_id varchar, instance_id varchar, first_date date, last_date date",
    "long_pairs": "project_id varchar, instance_id varchar, from_us bigint, to_us bigint, contents varchar",
    "fingerprints": "usage_date date, fingerprint varchar",
    "billing_history": "",
    "flavor_history": "",
    "pool_history": "",
    "evidence_record": "",
    "usage_totals": "",
}


def recall(connection: duckdb.DuckDBPyConnection, lake: Lake, published: Published | None) -> None:
    """Make `known_<relation>` of what the published build left, empty where there is none to go by."""
    for name, columns in RELATIONS.items():
        if published:
            path = marts.directory(lake) / FOLDER / published.memory / f"{name}.parquet"
            if not path.exists():
                raise Damaged(lake.path, path, FileNotFoundError())
            source = f"as select * from read_parquet({quoted(str(path))})"
        elif columns:
            source = f"({columns})"
        else:
            continue
        connection.execute(f"create temp table known_{name} {source}")


def keep(connection: duckdb.DuckDBPyConnection, lake: Lake, build_id: str) -> None:
    """Write the relations into a new folder, which is named after the build."""
    folder = marts.directory(lake) / FOLDER / build_id
    folder.mkdir(parents=True)
    for relation in RELATIONS:
        path = quoted(str(folder / f"{relation}.parquet"))
        connection.execute(f"copy {relation} to {path} (format parquet, compression zstd)")


def forget(lake: Lake, published: Published) -> None:
    """Remove the folders of all builds but the published one."""
    for folder in (marts.directory(lake) / FOLDER).glob("*"):
        if folder.name != published.memory:
            shutil.rmtree(folder)


def has(connection: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Whether there is a table of that name."""
    found = connection.execute("select 1 from duckdb_tables() where table_name = $1", [name])
    return bool(found.fetchall())


def carry(connection: duckdb.DuckDBPyConnection, name: str, condition: str) -> None:
    """Add to a relation the rows of before that a condition picks."""
    if has(connection, f"known_{name}"):
        connection.execute(f"insert into {name} by name select * from known_{name} where {condition}")
