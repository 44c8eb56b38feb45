"""Reads a collection through OWSLib and prints what it saw as JSON.

usage: owslib_walk.py LANDING COLLECTION
"""
import json
import sys

from owslib.ogcapi.features import Features

landing, name = sys.argv[1:]
w = Features(landing)


def walk(**query):
    """The ids of all pages, by the next links."""
    ids, pages = [], 0
    page = w.collection_items(name, **query)
    while True:
        pages += 1
        ids += [f["id"] for f in page["features"]]
        after = [l["href"] for l in page["links"] if l["rel"] == "next"]
        if not after:
            return ids, pages
        cursor = after[0].split("cursor=")[1]
        page = w.collection_items(name, cursor=cursor, **query)


everything, pages = walk(limit=1000)
json.dump({
    "conformance": w.conformance()["conformsTo"],
    "api": w.api()["openapi"],
    "collections": w.feature_collections(),
    "bbox": w.collection(name)["extent"]["spatial"]["bbox"][0],
    "matched": w.collection_items(name, limit=1)["numberMatched"],
    "pages": pages,
    "ids": len(set(everything)),
    "cafes": len(walk(limit=100, category="cafe")[0]),
    "seam": len(walk(limit=7, bbox=[178, -5, -178, 5])[0]),
    "one": w.collection_item(name, everything[0])["id"] == everything[0],
}, sys.stdout)
