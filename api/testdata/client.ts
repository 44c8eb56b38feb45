// A client as people write it with openapi-typescript and openapi-fetch, which repeats
// arrays. It is compiled against the types that are generated from the document, and run.
import createClient from "openapi-fetch";
import type { paths } from "./api";

declare const process: { argv: string[] };

async function main() {
  const client = createClient<paths>({ baseUrl: process.argv[2] + "/v1" });
  const path = { collectionId: "c" };
  const page = await client.GET("/collections/{collectionId}/items", {
    params: { path, query: { bbox: [-2, -1, 2, 1], properties: ["name", "category"], limit: 10 } },
  });
  const near = await client.GET("/collections/{collectionId}/nearby", {
    params: { path, query: { lat: 0, lon: 360, k: 1 } },
  });
  if (!page.data || !near.data) throw new Error(JSON.stringify([page.error, near.error]));
  const metres: number = near.data.features[0].distance;
  const name: unknown = near.data.features[0].properties["name"];
  const made = await client.POST("/collections/{collectionId}/items", {
    params: { path },
    body: { type: "Feature", geometry: { type: "Point", coordinates: [1, 2] }, properties: { a: 1 } },
  });
  console.log(page.data.features.length, metres, name, made.response.status);
}

void main();
