"""What answers on loopback as BigQuery's REST interface does, with DuckDB behind it.

Not BigQuery: queries are translated by SQLGlot, and the functions of BigQuery that DuckDB lacks are
macros here. It shows that what is sent is BigQuery's SQL as SQLGlot knows it, that it computes what
it should, and that Google's client gets along with the answers.
"""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import duckdb
import sqlglot
from sqlglot import exp
from worlds.stand_ins.loopback import listening

MACROS = """
CREATE MACRO farm_fingerprint(t) AS md5_number_lower(t)::HUGEINT - 9223372036854775808;
CREATE MACRO to_json_string(x) AS to_json(x)::VARCHAR;
CREATE MACRO range_bucket(x, bounds) AS len(list_filter(bounds, lambda b: b <= x));
"""
_TYPES = {
    "BIGINT": "INTEGER",
    "HUGEINT": "INTEGER",
    "VARCHAR": "STRING",
    "FLOAT": "FLOAT",
    "DECIMAL": "BIGNUMERIC",
    "INTEGER": "INTEGER",
    "DOUBLE": "FLOAT",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMP",
}


@dataclass
class Answers:
    """Its address, its tables, and what it was asked."""

    connection: duckdb.DuckDBPyConnection
    queries: list[str] = field(default_factory=list)
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    jobs: dict[str, str] = field(default_factory=dict)
    versions: list[tuple[datetime, str, str]] = field(default_factory=list)
    port: int = 0

    def change(self, table: str, sql: str) -> None:
        """Run DuckDB's SQL; time travel to before it finds the table as it was."""
        copy = f"{table}_{len(self.versions)}"
        self.connection.execute(f"CREATE TABLE {copy} AS FROM {table}")
        self.versions.append((datetime.now(UTC), table, copy))
        self.connection.execute(sql)

    def translated(self, sql: str) -> str:
        """A query in DuckDB's dialect, with the tables as they were at the moments it names."""
        query = sqlglot.parse_one(sql, read="bigquery")
        for table in query.find_all(exp.Table):
            version = table.args.get("version")
            name = ".".join(part.name for part in table.parts[-2:])
            if version is not None:
                moment = datetime.fromisoformat(version.expression.this.name)
                copies = [
                    copy for until, of, copy in self.versions if of == name and until > moment
                ]
                name = copies[0] if copies else name
            if "." in name:
                alias = table.args.get("alias")
                table.replace(exp.to_table(name, alias=alias and alias.name))
        return query.sql(dialect="duckdb")

    def rows(self, sql: str) -> tuple[list[tuple[str, str]], list[tuple[Any, ...]]]:
        """Columns and types, and rows, of a query in BigQuery's dialect."""
        found = self.connection.cursor().execute(self.translated(sql))
        return [(str(name), str(kind)) for name, kind, *_ in found.description], found.fetchall()

    def answer(self, path: str, said: dict[str, Any] | None) -> tuple[int, dict[str, Any]]:
        """Status and body."""
        job = {"projectId": "cloud", "jobId": "job", "location": "EU"}
        if said is None:
            *_, kind, last = path.split("?", maxsplit=1)[0].split("/")
            if kind == "jobs":
                return 200, self._done(last)
            if kind == "queries":
                return 200, self._results(self.jobs[last], job | {"jobId": last})
            name = ".".join(part for part in path.split("?", maxsplit=1)[0].split("/")[-5::2])
            found = self.tables.get(name)
            return (200, found) if found else (404, {"error": {"code": 404, "message": "no table"}})
        configuration = said.get("configuration", {})
        sql = said.get("query") or configuration["query"]["query"]
        if configuration and not configuration.get("dryRun"):
            number = said["jobReference"]["jobId"]
            self.jobs[number] = sql
            self.queries.append(sql)
            self.connection.execute(f'CREATE TABLE anon."{number}" AS {self.translated(sql)}')
            return 200, self._done(number)
        if configuration.get("dryRun"):
            statistics = {"query": {"schema": self._schema(self.rows(sql)[0])}}
            body = {"jobReference": job, "status": {"state": "DONE"}, "statistics": statistics}
            return 200, body | {"configuration": configuration}
        self.queries.append(sql)
        return 200, self._results(sql, job)

    def _done(self, number: str) -> dict[str, Any]:
        """A job that has ended."""
        return {
            "jobReference": {"projectId": "cloud", "jobId": number, "location": "EU"},
            "configuration": {
                "jobType": "QUERY",
                "query": {
                    "query": self.jobs[number],
                    "destinationTable": {
                        "projectId": "cloud",
                        "datasetId": "anon",
                        "tableId": number,
                    },
                },
            },
            "status": {"state": "DONE"},
            "statistics": {"query": {"statementType": "SELECT"}},
        }

    @staticmethod
    def _schema(columns: list[tuple[str, str]]) -> dict[str, Any]:
        return {
            "fields": [
                {"name": n, "type": _TYPES.get(k.partition("(")[0], "STRING")} for n, k in columns
            ]
        }

    def _results(self, sql: str, job: dict[str, str]) -> dict[str, Any]:
        columns, rows = self.rows(sql)
        cells = [{"f": [{"v": _cell(v)} for v in row]} for row in rows]
        return {
            "kind": "bigquery#queryResponse",
            "schema": self._schema(columns),
            "jobReference": job,
            "totalRows": str(len(rows)),
            "rows": cells,
            "jobComplete": True,
        }


def _cell(value: Any) -> str | None:
    if isinstance(value, datetime):
        return str((value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1))
    return None if value is None else str(value)


@contextmanager
def answering() -> Iterator[Answers]:
    """It listens until the block ends."""
    connection = duckdb.connect(":memory:")
    connection.execute(f"SET TimeZone = 'UTC'; CREATE SCHEMA anon; {MACROS}")
    answers = Answers(connection)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(*answers.answer(self.path, None))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._send(*answers.answer(self.path, json.loads(body)))

        def log_message(self, *_: Any) -> None:
            pass

        def _send(self, status: int, said: dict[str, Any]) -> None:
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with closing(connection), listening(Handler) as answers.port:
        yield answers
