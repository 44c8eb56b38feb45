"""A client as people write it with what openapi-python-client makes of the document."""

import sys

from nearby_client import Client
from nearby_client.api.collections import put_collection
from nearby_client.api.items import get_item, list_items, post_items
from nearby_client.api.nearby import get_nearby
from nearby_client.models import (
    Definition,
    FeatureCollection,
    FeatureCollectionIn,
    FeatureIn,
    LoadReport,
    NearbyCollection,
    Problem,
)

client = Client(base_url=sys.argv[1] + "/v1")


def feature(item, lon, lat, **properties):
    return {"type": "Feature", "id": item, "geometry": {"type": "Point", "coordinates": [lon, lat]}, "properties": properties}


made = put_collection.sync_detailed("c", client=client, body=Definition(title="Cafés", queryables=["category"]))
print(made.status_code.value, made.parsed.title)

rows = [feature("a", 0, 0, name="Origin"), feature("b", 1, 0, name="East", seats=4), feature("f", 0, 90)]
loaded = post_items.sync_detailed("c", client=client, body=FeatureCollectionIn.from_dict({"type": "FeatureCollection", "features": rows}))
assert isinstance(loaded.parsed, LoadReport), loaded
print(loaded.status_code.value, loaded.parsed.created, loaded.parsed.rejected)

one = post_items.sync_detailed("c", client=client, body=FeatureIn.from_dict(feature("one", -170, -80)))
print(one.status_code.value, getattr(one.parsed, "id", one.parsed))

near = get_nearby.sync("c", client=client, lat=0, lon=361, k=1)
assert isinstance(near, NearbyCollection), near
print(near.features[0].id, float(near.features[0].distance))

around = get_nearby.sync("c", client=client, lat=0, lon=0, radius=11_000_000)
print(len(around.features), around.complete, around.number_matched)

page = list_items.sync("c", client=client, bbox=[-2, -1, 2, 1], properties=["name", "seats"])
assert isinstance(page, FeatureCollection), page
print(page.number_returned, sorted(item.id for item in page.features))

print(get_item.sync("c", "b", client=client).properties.to_dict())

missing = get_item.sync_detailed("c", "none", client=client)
assert isinstance(missing.parsed, Problem), missing
print(missing.status_code.value, missing.parsed.type_)

wrong = list_items.sync_detailed("c", client=client, limit=-1)
print(wrong.status_code.value, wrong.parsed.errors[0].parameter)
