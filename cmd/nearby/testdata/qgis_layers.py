"""Opens layers in QGIS, without a screen, and prints what it saw as JSON.

usage: qgis_layers.py LANDING COLLECTION
"""
import json
import os
import sys

os.environ["QT_QPA_PLATFORM"] = "offscreen"
from qgis.core import QgsApplication, QgsFeatureRequest, QgsRectangle, QgsVectorLayer  # noqa: E402

landing, name = sys.argv[1:]
app = QgsApplication([], False)
app.initQgis()
source = "url='%s' typename='%s' pagesize='1000'" % (landing, name)
layer = QgsVectorLayer(source, "items", "OAPIF")
cafes = QgsVectorLayer(source + " filter='\"category\" = \\'cafe\\''", "cafes", "OAPIF")
near = QgsVectorLayer("%s/collections/%s/nearby?lat=0&lon=180&k=20&distance_property=metres" % (landing, name), "near", "ogr")
seen = {
    "valid": layer.isValid() and cafes.isValid() and near.isValid(),
    "count": layer.featureCount(),
    "items": sum(1 for _ in layer.getFeatures()),
    "box": sum(1 for _ in layer.getFeatures(QgsFeatureRequest(QgsRectangle(178, -5, 180, 5)))),
    "cafes": sum(1 for _ in cafes.getFeatures()),
    "near": near.featureCount(),
    "fields": [f.name() for f in layer.fields()],
}
del layer, cafes, near
app.exitQgis()
print(json.dumps(seen))
