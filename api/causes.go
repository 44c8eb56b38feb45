package api

// outcome says what became of a write whose answer is a problem.
type outcome string

const (
	notMade         outcome = "not-made"           // nothing of it
	partlyMade      outcome = "partly-made"        // of a load: at least the rows that it has counted
	mayHaveBeenMade outcome = "may-have-been-made" // it is not known
)

// typeBase begins the type of a problem; the name of its cause follows.
const typeBase = "/v1/errors/"

// cause is why a request was refused: a row of the table of causes.
type cause uint8

const (
	invalidRequest cause = iota
	malformedQuery
	malformedBody
	unsuitableFile
	collectionReadOnly
	serverReadOnly
	foreignOrigin
	backupNotAllowed
	pathNotFound
	collectionNotFound
	itemNotFound
	methodNotAllowed
	notAcceptable
	bodyStalled
	itemExists
	keyInUse
	nothingToCompare
	backupElsewhere
	preconditionFailed
	bodyTooLarge
	tooManyQueries
	tooManyItems
	answerTooLarge
	unsupportedContentType
	unsupportedEncoding
	foreignHost
	keyReused
	contended
	tooManyWrites
	internalError
	starting
	stopping
	overloaded
	replicaBehind
	storeUnavailable
	databaseRestored
	requestTimeout
	outcomeUnknown
	notCompared
	capacityReached
	diskFull
	numCauses
)

// causeRow is what the table says of a cause.
type causeRow struct {
	name    string // of the type, for machines; never changed
	status  int
	title   string
	write   outcome // what became of a write; "": the cause is of reads alone
	retry   bool    // the same request may succeed a little later
	meaning string
	advice  string // what the caller can do
}

// causes is the one table that every problem is made from, that GET /v1/errors
// shows, and that docs/errors.md holds.
var causes = [numCauses]causeRow{
	invalidRequest: {"invalid-request", 400, "The request is not valid", notMade, false,
		"A parameter, a header or a member of the body is unknown, missing, given twice, or has a value that is not allowed. `errors` names each, with what came and what was expected.",
		"Correct what `errors` names."},
	malformedQuery: {"malformed-query", 400, "The query string cannot be read", notMade, false,
		"The query string is not encoded as URLs are, or has more than 10,000 parameters.",
		"Encode names and values as a URL demands: `%26` for `&`, `%2B` for `+`."},
	malformedBody: {"malformed-body", 400, "The body cannot be read", notMade, false,
		"The body is empty or incomplete, or it, or a row of it, is not the JSON, CSV or gzip that the headers say. Where JSON is expected, it must be an object.",
		"Correct the body where `detail` and `line` point."},
	unsuitableFile: {"unsuitable-file", 400, "The file cannot be loaded", notMade, false,
		"A load of CSV was refused before its first row: no column holds the coordinates, several may hold them, or the values are not degrees.",
		"Name the columns with the parameters `lat` and `lon`, or `wkt`; `nearby load` has flags of these names."},
	collectionReadOnly: {"collection-read-only", 403, "The collection can only be read", notMade, false,
		"The items of the collection come from a table of the database.",
		"Change the rows of the table."},
	serverReadOnly: {"server-read-only", 403, "The server takes no writes", notMade, false,
		"The server was started with `--read-only`, or its database is a standby.",
		"Send writes to another server."},
	foreignOrigin: {"foreign-origin", 403, "Pages of this origin may change nothing", notMade, false,
		"A browser sent the request for a page of another origin, which the server was not told to trust. Programs other than browsers send no origin and are not refused.",
		"Start the server with `--cors-origin` and the origin of the page, or with `--public-url` if it is the server's own behind a proxy."},
	backupNotAllowed: {"backup-not-allowed", 403, "A backup is not given to this caller", "", false,
		"Only programs on the server's own machine get a backup, unless the server was started with another `--backup-from`. Pages in a browser get none, and neither do requests through a proxy or for another `Host` than `localhost` or an address of loopback.",
		"Run `nearby backup` on the server's machine with `--server http://127.0.0.1:8080`, or start the server with `--backup-from any`."},
	pathNotFound: {"path-not-found", 404, "There is nothing at this path", notMade, false,
		"The interface has no such path.",
		"`/v1/api` lists the paths."},
	collectionNotFound: {"collection-not-found", 404, "There is no such collection", notMade, false,
		"No collection has the name that the path has, or it was deleted meanwhile.",
		"`/v1/collections` lists the collections; a PUT creates one."},
	itemNotFound: {"item-not-found", 404, "There is no such item", notMade, false,
		"The collection has no item with the id that the path has.",
		"Check the id; in a path it is percent-encoded."},
	methodNotAllowed: {"method-not-allowed", 405, "The method is not possible here", notMade, false,
		"The path exists and does not take the method.",
		"The header `Allow` lists the methods."},
	notAcceptable: {"not-acceptable", 406, "No encoding of the answer is accepted", notMade, false,
		"`Accept-Encoding` excludes `identity`, by itself or by `*;q=0`, and accepts neither gzip nor zstd.",
		"Accept one of these. Without the header, answers are sent as they are."},
	bodyStalled: {"body-stalled", 408, "The body stopped coming", notMade, false,
		"Nothing of the body came for a minute, so the server gave up.",
		"Send the request again; send the body without pauses."},
	itemExists: {"item-exists", 409, "The id exists already", notMade, false,
		"A POST of one Feature inserts, and so does a load with `onExisting=fail`; an item with the id exists.",
		"PUT the item to replace it, PATCH it to change it, or choose another id."},
	keyInUse: {"key-in-use", 409, "A request with this key is under way", mayHaveBeenMade, true,
		"Another request with the same `Idempotency-Key` has not ended yet. It may be the same write, sent before.",
		"Send the request again with the same key; it is then answered as the first was."},
	nothingToCompare: {"nothing-to-compare", 409, "There is nothing to compare with", "", false,
		"This server alone writes its store, and the store checks what it reads.",
		"Nothing: `POST /v1/verify` is for servers that share a database."},
	backupElsewhere: {"backup-elsewhere", 409, "The store is backed up by other means", "", false,
		"The server keeps its points in a PostgreSQL database, which is backed up with PostgreSQL's own tools.",
		"Use `pg_dump -n nearby`, or the backups of the database; docs/operations.md has both."},
	preconditionFailed: {"precondition-failed", 412, "The condition does not hold", notMade, false,
		"The item, or the definition of the collection, is not in the state that `If-Match`, `If-Unmodified-Since` or `If-None-Match` demands: it has another version, was written later, is missing, or exists.",
		"Read it without a condition, decide again, and write with its present `ETag`."},
	bodyTooLarge: {"body-too-large", 413, "The body is too large", notMade, false,
		"The body has more bytes, as sent or unpacked, than the server takes, or it unpacks to more than 16 MiB and to more than 200 times what was sent. `detail` has the limit.",
		"Send less at once. If it unpacks to too much, send it unpacked. `nearby load` sends a file in parts."},
	tooManyQueries: {"too-many-queries", 413, "Too many queries at once", "", false,
		"The batch has more queries than the server takes. `detail` has the limit.",
		"Split the batch."},
	tooManyItems: {"too-many-items", 413, "Too many items are asked for at once", "", false,
		"The queries of the batch ask for more items in all than the server allows. `detail` has the limit. A query with a radius and no k counts as the greatest k.",
		"Split the batch, or ask for fewer items each."},
	answerTooLarge: {"answer-too-large", 413, "The answer would be too large", "", false,
		"The answers of the batch have more bytes than the server allows. `errors` has the index of the query at which the limit was reached.",
		"Split the batch before that query, ask for fewer items each, or name the properties that are needed."},
	unsupportedContentType: {"unsupported-content-type", 415, "The content type is not taken", notMade, false,
		"`Content-Type` is missing, or names a format or charset that is not taken here. `detail` lists those that are.",
		"Send one of those."},
	unsupportedEncoding: {"unsupported-encoding", 415, "The content encoding is not taken", notMade, false,
		"`Content-Encoding` is not gzip, or names gzip more than once.",
		"Send the body as it is, or packed with gzip."},
	foreignHost: {"foreign-host", 421, "The request is for another host", notMade, false,
		"The `Host` of the request is not one of the server's: loopback, the host of `--public-url`, and those of `--allowed-host`. The request may come from a page in a browser, under a name that was made to resolve to the server.",
		"Use the server's address, or start it with `--allowed-host` and the name."},
	keyReused: {"key-reused", 422, "The key belongs to another request", notMade, false,
		"The `Idempotency-Key` was used within the last day for a request that differs from this one.",
		"Make a new key for each new request; to send one again, leave it unchanged."},
	contended: {"contended", 429, "Others change the same all the time", notMade, true,
		"The write was tried several times, and each time another had changed the item, or the definition of the collection, before it.",
		"Wait as `Retry-After` says, and send it again."},
	tooManyWrites: {"too-many-writes", 429, "Too many writes are waiting", notMade, true,
		"The queue of writes to the collection is full.",
		"Wait as `Retry-After` says, and send it again; send fewer at a time."},
	internalError: {"internal-error", 500, "The server failed", mayHaveBeenMade, false,
		"The fault is the server's. Its log has the cause under the id in `instance`.",
		"Report it. Before you send a write again, read what is there, or use the same `Idempotency-Key`."},
	starting: {"starting", 503, "The server is starting", notMade, true,
		"The server is still reading its store. `/readyz` says when it is ready.",
		"Wait as `Retry-After` says, or ask another server."},
	stopping: {"stopping", 503, "The server is stopping", notMade, true,
		"The server, or the collection, is being closed and takes nothing more. It does not wait for the rest of a body. Of a load, `loaded` counts what was written.",
		"Send it again, to another server or when this one is back."},
	overloaded: {"overloaded", 503, "Too many requests at once", notMade, true,
		"The server has as many requests under way as it serves at once.",
		"Wait as `Retry-After` says, and send it again; send fewer at a time."},
	replicaBehind: {"replica-behind", 503, "This replica is behind", notMade, true,
		"This server has not seen what `Nearby-After` or `consistency=strong` demands, and did not see it within the time that the request may wait. Another server may have.",
		"Ask another server, or this one again. A greater `Nearby-Wait` lets the request wait longer."},
	storeUnavailable: {"store-unavailable", 503, "The store is not available", notMade, true,
		"The server cannot make this write, because the database is away or cannot be used, a transaction of another program holds up its writes, the data folder was removed, or its disk fails. It may also not know the newest state for `consistency=strong`. `detail` and `/readyz` have the reason. Other reads are answered, but not while the server is starting.",
		"Wait as `Retry-After` says, and send it again."},
	databaseRestored: {"database-restored", 503, "The database is being restored", notMade, true,
		"A backup is being restored into the database, or was restored and is not released yet. The server takes no writes. It answers other reads from the state before; `Nearby-Staleness-Ms` says how old that is. While it is starting it answers none.",
		"Wait as `Retry-After` says, and send it again. Whoever restores the database releases it by `SELECT nearby.release()`."},
	requestTimeout: {"request-timeout", 503, "The request took too long", notMade, true,
		"The request took longer than the server allows, and it had not begun to write.",
		"Send it again; ask for less, or narrow the search."},
	outcomeUnknown: {"outcome-unknown", 503, "Whether the write was made is not known", mayHaveBeenMade, true,
		"The write was handed to the store. The server did not learn what became of it, or cannot show it yet: the connection to the database broke, the time ended, or a sync of the disk failed.",
		"Send it again with the same `Idempotency-Key`. Without a key, a PUT, a DELETE and a load whose rows have ids can be sent again if nobody else writes the same items; else read the item first."},
	notCompared: {"not-compared", 503, "The comparison was not finished", "", true,
		"The collections could not be compared with the store, so they may differ. The server's log has the cause.",
		"Try again. If it fails again, see whether the store is available."},
	capacityReached: {"capacity-reached", 507, "There is no room for more", notMade, false,
		"The collection has as many items as it may hold, or the server as many collections.",
		"Delete some, or use another collection."},
	diskFull: {"disk-full", 507, "The server's disk is full", notMade, true,
		"The disk of the server's data folder has too little space for the write. Reads are answered. Deletions are made while a reserve lasts. `detail` and `/readyz` say how much is free.",
		"Delete what is not needed, or make room on the disk. The server then takes writes again by itself."},
}

// typ is the problem type of a cause: a reference that is the same for every
// server, and that this one answers.
func (c cause) typ() string { return typeBase + causes[c].name }
