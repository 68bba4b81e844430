"""From the measurements of all rounds to ratios, a table and JSON."""

import statistics
from collections import namedtuple

# A line of the table: what is divided by what, in each round; and what it should come to.
Ratio = namedtuple("Ratio", "title value target at_least")


def p50_of_parts(measured):
    """What a durable write over HTTP cannot do without: the write itself, and an exchange that says nothing."""
    return measured["fio", "write_1"]["p50_us"] + measured["nginx", "empty_1"]["p50_us"]


def against(peer):
    return lambda measured: measured["StemeDB", "durable_64"]["rate"] / measured[peer, "durable_64"]["rate"]


RATIOS = [
    Ratio("durable single claims, 64 connections ÷ Redis SET, appendfsync always", against("Redis"), 1.3, True),
    Ratio("durable single claims, 64 connections ÷ PostgreSQL single-row INSERT", against("PostgreSQL"), 3.0, True),
    Ratio("durable single claims, 64 connections ÷ etcd put (JSON gateway)", against("etcd"), 5.0, True),
    Ratio(
        "p50 at one connection ÷ (durable 4 KiB write + empty nginx reply)",
        lambda measured: measured["StemeDB", "durable_1"]["p50_us"] / p50_of_parts(measured), 1.5, False,
    ),
    Ratio(
        "NDJSON batches of 1000, claims a second a core",
        lambda measured: measured["StemeDB", "batch"]["rate"], 300_000, True,
    ),
    Ratio(
        "recovery after kill -9, claims a second a core, from start to ready",
        lambda measured: measured["StemeDB", "recovery"]["rate"], 1_000_000, True,
    ),
]


def summarise(rounds):
    """Median, least and greatest of each ratio over the rounds in which all its parts were measured."""
    rows = []
    for ratio in RATIOS:
        values = []
        for measured in rounds:
            try:
                values.append(ratio.value(measured))
            except KeyError:
                continue
        if values:
            median = statistics.median(values)
            rows.append({
                "title": ratio.title, "median": median, "min": min(values), "max": max(values), "rounds": len(values),
                "target": ratio.target, "at_least": ratio.at_least,
                "met": median >= ratio.target if ratio.at_least else median <= ratio.target,
            })
    return rows


def summarise_parts(rounds):
    """The same of every single measurement, which the ratios are made of."""
    rows = []
    for server, load in sorted({key for measured in rounds for key in measured}):
        results = [measured[server, load] for measured in rounds if (server, load) in measured]
        row = {"server": server, "load": load, "rounds": len(results)}
        for field in ("rate", "p50_us", "p99_us", "server_cpu", "load_cpu", "bytes_a_claim"):
            values = [result[field] for result in results if field in result]
            if values:
                row[field] = {"median": statistics.median(values), "min": min(values), "max": max(values)}
        row["strays"] = sorted({name for result in results for name in result.get("strays", [])})
        rows.append(row)
    return rows


def to_text(parts, ratios):
    lines = [f"{'':12}{'load':12}{'a second':>26}{'p50 µs':>9}{'p99 µs':>9}{'server CPU':>12}{'load CPU':>10}"]
    for part in parts:
        rate = part["rate"]
        span = f"{rate['median']:,.0f} ({rate['min']:,.0f}–{rate['max']:,.0f})"
        line = f"{part['server']:12}{part['load']:12}{span:>26}"
        line += median_cell(part, "p50_us", 9, "{:.0f}") + median_cell(part, "p99_us", 9, "{:.0f}")
        line += median_cell(part, "server_cpu", 12, "{:.0%}") + median_cell(part, "load_cpu", 10, "{:.0%}")
        lines.append(line)
    for part in parts:
        if "bytes_a_claim" in part:
            lines.append(f"{part['server']}, {part['load']}: {part['bytes_a_claim']['median']:.0f} bytes resident a claim")
        if part["strays"]:
            lines.append(f"{part['server']}, {part['load']}: threads not bound to the server's CPU: {', '.join(part['strays'])}")
    if ratios:
        lines += ["", f"{'':70}{'median':>9}  {'min–max':17}{'target':>10}"]
    for row in ratios:
        digits = ",.0f" if row["median"] >= 1000 else ".2f"
        span = f"{row['min']:{digits}}–{row['max']:{digits}}"
        target = f"{'≥' if row['at_least'] else '≤'} {row['target']:,}"
        verdict = "met" if row["met"] else "MISSED"
        lines.append(f"{row['title']:70}{row['median']:>9{digits}}  {span:17}{target:>10}  {verdict}")
    return "\n".join(lines)


def median_cell(part, field, width, form):
    text = form.format(part[field]["median"]) if field in part else ""
    return f"{text:>{width}}"
