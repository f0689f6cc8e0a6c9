"""What was measured, beside what is to be reached."""

import json
import sys


class Report:
    """Rows in the order in which they were measured."""

    def __init__(self):
        self.rows = []

    def add(self, what, measured, reach="", ok=None, **figures):
        """`measured` and `reach` are for people, `figures` for programs; `ok` is None where nothing is to be reached."""
        self.rows.append({"what": what, "measured": measured, "reach": reach, "ok": ok, "figures": figures})
        print(f"  {mark(ok)} {what}: {measured}", file=sys.stderr, flush=True)

    def missing(self, what, why):
        """Something that could not be measured is said, and is no success."""
        self.rows.append({"what": what, "measured": f"not measured: {why}", "reach": "", "ok": False, "figures": {}})
        print(f"  ✕ {what}: not measured: {why}", file=sys.stderr, flush=True)

    def table(self):
        head = {"what": "what", "measured": "measured", "reach": "to reach"}
        rows = [head, *self.rows]
        width = {column: max(len(row[column]) for row in rows) for column in head}
        lines = []
        for row in rows:
            cells = "  ".join(row[column].ljust(width[column]) for column in head)
            lines.append(f"{cells}  {'ok?' if row is head else mark(row['ok'])}".rstrip())
        return "\n".join(lines)

    def json(self, machine):
        return json.dumps({"machine": machine, "rows": self.rows}, ensure_ascii=False)


def mark(ok):
    return {True: "✓", False: "✕", None: " "}[ok]


def at(values, percent):
    """The value that so many per cent of all are not above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def p50(values):
    return at(values, 50)


def ms(seconds):
    return f"{seconds * 1e3:.1f} ms" if seconds < 0.1 else f"{seconds * 1e3:,.0f} ms"


def us(seconds):
    return f"{seconds * 1e6:.0f} µs"
