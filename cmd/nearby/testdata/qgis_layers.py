"""Opens layers in QGIS, without a screen, and prints what it saw as JSON.

usage: qgis_layers.py LANDING COLLECTION TYPED

TYPED is a collection whose queryables have types.
"""
import json
import os
import sys

os.environ["QT_QPA_PLATFORM"] = "offscreen"
from qgis.core import QgsApplication, QgsFeatureRequest, QgsRectangle, QgsVectorLayer  # noqa: E402

landing, name, typed = sys.argv[1:]
app = QgsApplication([], False)
app.initQgis()
source = "url='%s' typename='%s' pagesize='1000'" % (landing, name)
layer = QgsVectorLayer(source, "items", "OAPIF")
cafes = QgsVectorLayer(source + " filter='\"category\" = \\'cafe\\''", "cafes", "OAPIF")
near = QgsVectorLayer("%s/collections/%s/nearby?lat=0&lon=180&k=20&distance_property=metres" % (landing, name), "near", "ogr")
types = QgsVectorLayer("url='%s' typename='%s'" % (landing, typed), "types", "OAPIF")
few = QgsVectorLayer("url='%s' typename='%s' filter='\"beds\" = 3'" % (landing, typed), "few", "OAPIF")
seen = {
    "valid": layer.isValid() and cafes.isValid() and near.isValid(),
    "count": layer.featureCount(),
    "items": sum(1 for _ in layer.getFeatures()),
    "box": sum(1 for _ in layer.getFeatures(QgsFeatureRequest(QgsRectangle(178, -5, 180, 5)))),
    "cafes": sum(1 for _ in cafes.getFeatures()),
    "near": near.featureCount(),
    "fields": [f.name() for f in layer.fields()],
    "types": {f.name(): f.typeName() for f in types.fields()},
    "values": [[f["name"], f["rating"], f["beds"], f["open"], f["opened"].toString("yyyy-MM-ddThh:mm:ssZ")] for f in few.getFeatures()],
}
del layer, cafes, near, types, few
app.exitQgis()
print(json.dumps(seen))
