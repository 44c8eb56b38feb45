package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"

	"nearby/api"
	"nearby/client"
)

// server starts a server for an example.
func server() (address string, stop func()) {
	address, stop, err := start(api.Limits{}, nil)
	if err != nil {
		log.Fatal(err)
	}
	return address, stop
}

const shops = `id,lat,lon,name,category
1,-18.1416,178.4419,Harbour Café,cafe
2,-18.1248,178.4501,Reef Books,books
3,-16.8500,-179.9700,Taveuni Store,grocer
4,-17.0000,180,Seam Charger,charger
5,-18.1400,178.4400,Pier Café,cafe
`

func Example() {
	address, stop := server()
	defer stop()
	ctx := context.Background()

	c, err := client.New(address)
	if err != nil {
		log.Fatal(err)
	}
	places := c.Collection("shops")
	if _, err := places.Create(ctx, client.Definition{Title: "Shops", Queryables: client.Queryables{{Name: "category"}}}); err != nil {
		log.Fatal(err)
	}
	report, err := places.Load(ctx, client.CSV, strings.NewReader(shops))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Created, "created")

	page, err := places.Nearby(ctx, -18.14, 178.44, client.K(5), client.Where("category", "cafe"))
	if err != nil {
		log.Fatal(err)
	}
	for _, hit := range page.Hits {
		var shop struct{ Name string }
		if err := hit.Decode(&shop); err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s, %.0f m\n", shop.Name, hit.Distance)
	}
	// Output:
	// 5 created
	// Pier Café, 0 m
	// Harbour Café, 268 m
}

// What the README shows.
func ExampleClient() {
	address, stop := loadedServer()
	defer stop()
	ctx := context.Background()

	c, err := client.New(address)
	if err != nil {
		log.Fatal(err)
	}
	shops := c.Collection("shops")
	page, err := shops.Nearby(ctx, -18.14, 178.44, client.K(5), client.Where("category", "cafe"))
	if err != nil {
		log.Fatal(err)
	}
	for _, hit := range page.Hits {
		fmt.Printf("%s, %.0f m\n", hit.ID, hit.Distance)
	}
	for hit, err := range shops.NearbyAll(ctx, -17, 180, client.Radius(250_000)) { // as many pages as there are
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s, %.0f km\n", hit.ID, hit.Distance/1000)
	}
	// Output:
	// 5, 0 m
	// 1, 268 m
	// 4, 0 km
	// 3, 17 km
	// 2, 206 km
	// 1, 208 km
	// 5, 208 km
}

// How many shops there are of each category, and how many are near, without the shops.
func ExampleFacets() {
	places, stop := loaded()
	defer stop()
	ctx := context.Background()

	cafes, err := places.Count(ctx, client.Where("category", "cafe"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(cafes, "cafés")
	page, err := places.Nearby(ctx, -18.14, 178.44, client.K(0), client.Facets("category"), client.Rings(1000, 5000))
	if err != nil {
		log.Fatal(err)
	}
	for _, v := range page.Facets["category"].Values {
		fmt.Println(v.Value, v.Count)
	}
	for _, r := range page.Rings {
		fmt.Printf("%d within %.0f m\n", r.Count, r.Radius)
	}
	fmt.Println(*page.Matched, "in all")
	// Output:
	// 2 cafés
	// cafe 2
	// books 1
	// charger 1
	// grocer 1
	// 2 within 1000 m
	// 3 within 5000 m
	// 5 in all
}

// All items within a radius, nearest first, whatever their number: each page is asked for when
// it is needed.
func ExampleCollection_NearbyAll() {
	places, stop := loaded()
	defer stop()
	ctx := context.Background()

	for hit, err := range places.NearbyAll(ctx, -17, 180, client.Radius(250_000), client.K(2), client.Fields("name")) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s, %.0f km\n", hit.ID, hit.Distance/1000)
	}
	// Output:
	// 4, 0 km
	// 3, 17 km
	// 2, 206 km
	// 1, 208 km
	// 5, 208 km
}

// Two searches of one state of the collection. Next leads to more of each.
func ExampleCollection_NearbyBatch() {
	places, stop := loaded()
	defer stop()
	ctx := context.Background()

	suva := client.Query{Position: client.Position{Lat: -18.14, Lon: 178.44}, Options: []client.RequestOption{client.K(2)}}
	seam := client.Query{Position: client.Position{Lat: -17, Lon: 180}, Options: []client.RequestOption{client.Where("category", "grocer")}}
	pages, err := places.NearbyBatch(ctx, []client.Query{suva, seam})
	if err != nil {
		log.Fatal(err)
	}
	for _, page := range pages {
		for _, hit := range page.Hits {
			fmt.Printf("%s, %.0f m\n", hit.ID, hit.Distance)
		}
	}
	suva.Options = append(suva.Options, client.Cursor(pages[0].Next))
	if pages, err = places.NearbyBatch(ctx, []client.Query{suva}); err != nil {
		log.Fatal(err)
	}
	fmt.Println("then", pages[0].Hits[0].ID)
	// Output:
	// 5, 0 m
	// 1, 268 m
	// 3, 16982 m
	// then 2
}

// The items nearest to any of two places.
func ExampleCollection_NearAny() {
	places, stop := loaded()
	defer stop()

	page, err := places.NearAny(context.Background(), []client.Position{{Lat: -18.14, Lon: 178.44}, {Lat: -17, Lon: 180}}, client.K(3))
	if err != nil {
		log.Fatal(err)
	}
	for _, hit := range page.Hits {
		fmt.Printf("%s, %.0f m from place %d\n", hit.ID, hit.Distance, hit.Origin)
	}
	// Output:
	// 4, 0 m from place 1
	// 5, 0 m from place 0
	// 1, 268 m from place 0
}

// What is within 30 km of a way, in the order in which one passes it.
func ExampleCollection_AlongAll() {
	places, stop := loaded()
	defer stop()

	way := []client.Position{{Lat: -18.2, Lon: 178.4}, {Lat: -17, Lon: 179.9}, {Lat: -16.8, Lon: -179}}
	for hit, err := range places.AlongAll(context.Background(), way, 30_000, client.Limit(2), client.Fields("name")) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s after %.0f km, %.0f km off\n", hit.ID, hit.Along/1000, hit.Distance/1000)
	}
	// Output:
	// 5 after 8 km, 2 km off
	// 1 after 8 km, 2 km off
	// 2 after 9 km, 3 km off
	// 4 after 218 km, 2 km off
	// 3 after 224 km, 14 km off
}

// The nearest item of each category.
func ExamplePer() {
	places, stop := loaded()
	defer stop()

	page, err := places.Nearby(context.Background(), -18.14, 178.44, client.Per("category"), client.K(1))
	if err != nil {
		log.Fatal(err)
	}
	for _, hit := range page.Hits {
		fmt.Printf("%s: %s, %.0f km\n", hit.Per, hit.ID, hit.Distance/1000)
	}
	// Output:
	// cafe: 5, 0 km
	// books: 2, 2 km
	// charger: 4, 208 km
	// grocer: 3, 221 km
}

// The items in a box that crosses the antimeridian, in pages.
func ExampleCollection_ItemPages() {
	places, stop := loaded()
	defer stop()
	ctx := context.Background()

	n := 0
	for page, err := range places.ItemPages(ctx, client.BBox(179, -18, -179, -16), client.Limit(1)) {
		if err != nil {
			log.Fatal(err)
		}
		n += len(page.Items)
	}
	fmt.Println(n, "items")
	// Output: 2 items
}

// An item is changed only if it is still in the version that was read.
func ExampleCollection_PutItem() {
	places, stop := loaded()
	defer stop()
	ctx := context.Background()

	type shop struct {
		Name     string `json:"name"`
		Category string `json:"category"`
		Visits   int    `json:"visits"`
	}
	for {
		item, err := places.GetItem(ctx, "2")
		if err != nil {
			log.Fatal(err)
		}
		var s shop
		if err := item.Decode(&s); err != nil {
			log.Fatal(err)
		}
		s.Visits++
		changed, err := client.NewItem(item.ID, item.Lat, item.Lon, s)
		if err != nil {
			log.Fatal(err)
		}
		written, err := places.PutItem(ctx, changed, client.IfMatch(item.ETag))
		if errors.Is(err, client.ErrConflict) {
			continue // another was faster
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(written.Properties))
		return
	}
	// Output: {"name":"Reef Books","category":"books","visits":1}
}

// What the server refuses is a Problem, which says what to correct.
func ExampleProblem() {
	places, stop := loaded()
	defer stop()

	_, err := places.Nearby(context.Background(), 91, 0)
	var p *client.Problem
	if errors.As(err, &p) {
		fmt.Println(p.Cause())
		fmt.Println(p.Errors[0].Parameter, p.Errors[0].Reason)
	}
	// Output:
	// invalid-request
	// lat must be a number from -90 to 90
}

// loaded returns a collection with the shops.
func loaded() (*client.Collection, func()) {
	address, stop := loadedServer()
	c, err := client.New(address)
	if err != nil {
		log.Fatal(err)
	}
	return c.Collection("shops"), stop
}

// loadedServer starts a server that has the shops.
func loadedServer() (address string, stop func()) {
	address, stop = server()
	c, err := client.New(address)
	if err != nil {
		log.Fatal(err)
	}
	places := c.Collection("shops")
	if _, err := places.Create(context.Background(), client.Definition{Queryables: client.Queryables{{Name: "category"}}}); err != nil {
		log.Fatal(err)
	}
	if _, err := places.Load(context.Background(), client.CSV, strings.NewReader(shops)); err != nil {
		log.Fatal(err)
	}
	return address, stop
}
