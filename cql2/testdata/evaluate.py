"""Evaluates filters with the package cql2. Each line of the input has a filter and items, as
JSON; each line of the output has a character for each item: 1 where the filter keeps it, 0
where it does not, ? where the result is unknown, and ! where the package fails."""

import json
import sys

import cql2

for line in sys.stdin:
    task = json.loads(line)
    results = ""
    try:
        expr = cql2.Expr(task["filter"])
        for item in task["items"]:
            try:
                results += "1" if expr.matches(item) else "0"
            except Exception as e:
                results += "?" if "Could not reduce" in str(e) else "!"
    except Exception as e:
        results = "! " + str(e).replace("\n", " ")
    print(results, flush=False)
