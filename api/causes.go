package api

// outcome says whether a write was made whose answer is a problem.
type outcome string

const (
	notMade         outcome = "not-made"           // nothing was written
	partlyMade      outcome = "partly-made"        // a load ended midway: at least the counted rows were written
	mayHaveBeenMade outcome = "may-have-been-made" // the server does not know
)

// typeBase begins the type of a problem; the name of its cause follows.
const typeBase = "/v1/errors/"

// cause is why a request was refused. It is the index of a row of the table causes.
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
	callerNotLocal
	keyNeeded
	forbidden
	pathNotFound
	collectionNotFound
	itemNotFound
	keyNotFound
	methodNotAllowed
	notAcceptable
	bodyStalled
	itemExists
	keyInUse
	keyEnded
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
	rateLimited
	tooManyWrites
	alreadyComparing
	internalError
	answerDiffers
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
	memoryFull
	diskFull
	numCauses
)

// causeRow is a row of the table causes.
type causeRow struct {
	name    string // the end of the problem's type; programs decide by it, so it never changes
	status  int
	title   string
	write   outcome // what became of a write; "": no write has this cause
	retry   bool    // the same request may succeed a little later
	meaning string
	advice  string // what the caller can do
}

// causes is the table from which every problem is made. GET /v1/errors shows it, and
// docs/errors.md contains it.
var causes = [numCauses]causeRow{
	invalidRequest: {"invalid-request", 400, "The request is not valid", notMade, false,
		"A parameter, a header or a member of the body is unknown, missing, given twice, or has a value that is not allowed. `errors` names each, with what came and what was expected.",
		"Correct what `errors` names."},
	malformedQuery: {"malformed-query", 400, "The query string cannot be read", notMade, false,
		"The query string is not percent-encoded correctly, or has more than 10,000 parameters.",
		"Percent-encode names and values: `%26` for `&`, `%2B` for `+`."},
	malformedBody: {"malformed-body", 400, "The body cannot be read", notMade, false,
		"The body is empty or incomplete, or the body or one of its rows is not the JSON, CSV or gzip that the headers name. JSON must be an object.",
		"Correct the body at the place that `detail` and `line` name."},
	unsuitableFile: {"unsuitable-file", 400, "The file cannot be loaded", notMade, false,
		"The server refused a load of CSV before its first row: no column has the coordinates, several columns may have them, or the values are not degrees.",
		"Name the columns with the parameters `lat` and `lon`, or `wkt`. `nearby load` has flags with these names."},
	collectionReadOnly: {"collection-read-only", 403, "The collection can only be read", notMade, false,
		"The items of the collection come from a table of the database.",
		"Change the rows of the table."},
	serverReadOnly: {"server-read-only", 403, "The server takes no writes", notMade, false,
		"The server was started with `--read-only`, or its database is a standby.",
		"Send writes to another server."},
	foreignOrigin: {"foreign-origin", 403, "Pages of this origin may change nothing", notMade, false,
		"A web page of another origin sent the request, and the server was not told to trust this origin. Programs other than browsers send no origin, and the server does not refuse them.",
		"Start the server with `--cors-origin` and the origin of the page. If the origin is that of a proxy before the server, start the server with `--public-url`."},
	backupNotAllowed: {"backup-not-allowed", 403, "This caller may not get a backup", "", false,
		"The server has no API keys. Then it gives a backup only to programs on its own machine: not to web pages, not through a proxy, and not to requests whose `Host` is not `localhost` or a loopback address.",
		"Run `nearby backup` on the server's machine with `--server http://127.0.0.1:8080`. Or make a key with the scope admin there, by `nearby keys create`; with it a backup may be had from anywhere."},
	callerNotLocal: {"caller-not-local", 403, "This caller may not make the first key", notMade, false,
		"The server has no API keys. Then it takes the first one only from programs on its own machine: not from web pages, not through a proxy, and not in requests whose `Host` is not `localhost` or a loopback address.",
		"Run `nearby keys create --scope admin` on the server's machine."},
	keyNeeded: {"key-needed", 401, "An API key is needed", notMade, false,
		"The request has no API key, or one that is unknown, revoked or expired. The server does not say which.",
		"Send a valid key in the header `Authorization: Bearer`. Who has a key with the scope admin can make one with `nearby keys create`."},
	forbidden: {"forbidden", 403, "The API key does not allow this", notMade, false,
		"The API key is valid, but its scope is too low, it is for other collections, or it is for web pages of other origins. `detail` says which. The server does not say whether the collection exists.",
		"Use another key, or have one made that allows this."},
	pathNotFound: {"path-not-found", 404, "There is nothing at this path", notMade, false,
		"The API has no such path.",
		"`/v1/api` lists the paths."},
	collectionNotFound: {"collection-not-found", 404, "There is no such collection", notMade, false,
		"No collection has the name in the path, or somebody has deleted it.",
		"`/v1/collections` lists the collections; a PUT creates one."},
	itemNotFound: {"item-not-found", 404, "There is no such item", notMade, false,
		"The collection has no item with the id that is in the path or in `near`.",
		"Check the id. In a path, an id must be percent-encoded."},
	keyNotFound: {"key-not-found", 404, "There is no such API key", notMade, false,
		"No API key has the id in the path. Keys that were revoked or have expired are removed some months later.",
		"`GET /v1/keys` lists the keys."},
	methodNotAllowed: {"method-not-allowed", 405, "The path does not take this method", notMade, false,
		"The path exists, but not with this method.",
		"The header `Allow` lists the methods."},
	notAcceptable: {"not-acceptable", 406, "No encoding of the answer is accepted", notMade, false,
		"`Accept-Encoding` excludes `identity`, by name or by `*;q=0`, and accepts neither gzip nor zstd.",
		"Accept one of these. If you leave out the header, the server does not compress answers."},
	bodyStalled: {"body-stalled", 408, "The body stopped coming", notMade, false,
		"No part of the body came for a minute, so the server gave up.",
		"Send the request again, and the body without pauses."},
	itemExists: {"item-exists", 409, "An item with this id already exists", notMade, false,
		"A POST of one Feature, and a load with `onExisting=fail`, only insert new items. An item with this id exists.",
		"PUT the item to replace it, PATCH it to change it, or choose another id."},
	keyInUse: {"key-in-use", 409, "A request with this key is under way", mayHaveBeenMade, true,
		"Another request with the same `Idempotency-Key` has not ended yet. It may be the same write, sent before.",
		"Send the request again with the same key. Once the first request has ended, the server repeats its answer."},
	keyEnded: {"key-ended", 409, "The API key has ended", notMade, false,
		"The API key is revoked or has expired, so it can have no successor.",
		"Make a new key."},
	nothingToCompare: {"nothing-to-compare", 409, "There is nothing to compare with", "", false,
		"This server has a store that no other server writes, so there is nothing to compare.",
		"Nothing. `POST /v1/verify` is for servers that share a database."},
	backupElsewhere: {"backup-elsewhere", 409, "The store is backed up by other means", "", false,
		"The server keeps its items in a PostgreSQL database. PostgreSQL's own tools make backups of it.",
		"Use `pg_dump -n nearby`, or the backups of the database. docs/operations.md describes both."},
	preconditionFailed: {"precondition-failed", 412, "The condition does not hold", notMade, false,
		"The item, or the definition of the collection, is not in the state that `If-Match`, `If-Unmodified-Since` or `If-None-Match` demands: it has another version, was written later, is missing, or exists.",
		"Read it without a condition, decide again, and write with its current `ETag`."},
	bodyTooLarge: {"body-too-large", 413, "The body is too large", notMade, false,
		"The body has more bytes than the server takes, before or after decompression. Or it decompresses to more than 16 MiB and to more than 200 times its size. `detail` has the limit.",
		"Send less at once. If it decompresses to too much, send it without compression. `nearby load` sends a file in parts."},
	tooManyQueries: {"too-many-queries", 413, "Too many queries at once", "", false,
		"The batch has more queries than the server takes. `detail` has the limit.",
		"Split the batch."},
	tooManyItems: {"too-many-items", 413, "Too many items are asked for at once", "", false,
		"The queries of the batch together ask for more items than the server allows. `detail` has the limit. A query with a radius and without k counts as if it had the greatest k.",
		"Split the batch, or ask for fewer items in each query."},
	answerTooLarge: {"answer-too-large", 413, "The answer would be too large", "", false,
		"The answers of the batch have more bytes than the server allows. `errors` has the index of the query whose answer exceeded the limit.",
		"Split the batch before that query, ask for fewer items in each query, or name only the properties that you need."},
	unsupportedContentType: {"unsupported-content-type", 415, "The server does not take this content type", notMade, false,
		"`Content-Type` is missing, or names a format or charset that this path does not take. `detail` lists those that it takes, and so does `Accept`, or `Accept-Patch` for a PATCH.",
		"Send one of those."},
	unsupportedEncoding: {"unsupported-encoding", 415, "The server does not take this content encoding", notMade, false,
		"`Content-Encoding` is not gzip, or names gzip more than once.",
		"Send the body without compression, or compressed with gzip."},
	foreignHost: {"foreign-host", 421, "The request is for another host", notMade, false,
		"The server does not answer for the `Host` of the request. It answers for loopback, the host of `--public-url`, and those of `--allowed-host`. The request may come from a web page that has made its own name resolve to the server.",
		"Use the server's address, or start the server with `--allowed-host` and the name."},
	keyReused: {"key-reused", 422, "The key belongs to another request", notMade, false,
		"The `Idempotency-Key` was used within the last day for a request that differs from this one.",
		"Make a new key for each new request. If you send a request again with its key, do not change the request."},
	contended: {"contended", 429, "Other writers keep changing it", notMade, true,
		"The server tried the write several times. Each time another writer had just changed the item or the definition of the collection.",
		"Wait as `Retry-After` says, and send it again."},
	rateLimited: {"rate-limited", 429, "Too much is asked for from one address", notMade, true,
		"The address that the request comes from has used up what the server allows it in a time: requests, or the time in which the server works on them. `detail` and the headers `RateLimit-Policy` and `RateLimit` have the limits.",
		"Wait as `Retry-After` says, and send it again; send fewer, or ask for less at once. If many people share the address of a proxy, start the server with `--trust-proxy` and that address."},
	tooManyWrites: {"too-many-writes", 429, "Too many writes are waiting", notMade, true,
		"The queue of writes to the collection is full.",
		"Wait as `Retry-After` says, and send it again; send fewer at a time."},
	alreadyComparing: {"already-comparing", 429, "Another comparison is under way", "", true,
		"The server compares its collections with the database for one request at a time.",
		"Send the request again when the other comparison has ended."},
	internalError: {"internal-error", 500, "The server failed", mayHaveBeenMade, false,
		"The server has a defect. Its log has the cause, with the id that is in `instance`.",
		"Report it. Before you send a write again, read the item, or send the write with the same `Idempotency-Key`."},
	answerDiffers: {"answer-differs", 500, "The answer is not that of a scan", "", false,
		"With `verify=true` the server compares its answer with that of a scan of all items. The two differ, so the server has a defect and gives neither. Its log has the first difference, with the id that is in `instance`.",
		"Report it, with what the log has."},
	starting: {"starting", 503, "The server is starting", notMade, true,
		"The server is still reading its store. `/readyz` says when it is ready.",
		"Wait as `Retry-After` says, or ask another server."},
	stopping: {"stopping", 503, "The server is stopping", notMade, true,
		"The server is stopping, or the collection is being closed, and takes no more requests. The server does not wait for the rest of a body. For a load, `loaded` counts the rows that were written.",
		"Send it again to another server, or when this server is back."},
	overloaded: {"overloaded", 503, "Too many requests at once", notMade, true,
		"The server is already answering as many requests as it allows at once.",
		"Wait as `Retry-After` says, and send it again; send fewer at a time."},
	replicaBehind: {"replica-behind", 503, "This replica is behind", notMade, true,
		"This server does not have the state that `Nearby-After` or `consistency=strong` demands, and did not get it while the request waited. Another server may have it.",
		"Ask another server, or this one again. A greater `Nearby-Wait` lets the request wait longer."},
	storeUnavailable: {"store-unavailable", 503, "The store is not available", notMade, true,
		"The server cannot make the write, or cannot find out the newest state for `consistency=strong`: the database is away or cannot be used, a transaction of another program blocks the writes, the data folder was removed, or its disk fails. `detail` and `/readyz` have the reason. The server still answers other reads, except while it is starting.",
		"Wait as `Retry-After` says, and send it again."},
	databaseRestored: {"database-restored", 503, "The database is being restored", notMade, true,
		"Somebody is restoring a backup into the database, or has restored one and not yet released it. The server takes no writes. It still answers other reads, with the state from before; `Nearby-Staleness-Ms` says how old that is. While it is starting, it answers no reads.",
		"Wait as `Retry-After` says, and send it again. The person who restores the database must release it with `SELECT nearby.release()`."},
	requestTimeout: {"request-timeout", 503, "The request took too long", notMade, true,
		"The request took longer than the server allows, and the server had not begun to write.",
		"Send it again, and ask for less."},
	outcomeUnknown: {"outcome-unknown", 503, "Whether the write was made is not known", mayHaveBeenMade, true,
		"The server gave the write to the store, but does not know whether the store made it, or cannot show it yet: the connection to the database broke, the time ran out, or a sync of the disk failed.",
		"Send it again with the same `Idempotency-Key`. Without a key, you can send a PUT, a DELETE and a load whose rows have ids again if nobody else writes the same items. Otherwise read the item first."},
	notCompared: {"not-compared", 503, "The comparison was not finished", "", true,
		"The server could not compare its collections with the store, so they may differ. The server's log has the cause.",
		"Try again. If it fails again, check whether the store is available."},
	capacityReached: {"capacity-reached", 507, "There is no room for more", notMade, false,
		"The collection has as many items as the server allows, or the server has as many collections as it allows.",
		"Delete items or collections, or use another collection."},
	memoryFull: {"memory-full", 507, "The server's memory is full", notMade, true,
		"The server keeps all items in memory, and too little is left to add one or to make one larger. It still answers reads, moves items and deletes them.",
		"Delete items that you do not need, or have the operator give the server more memory. The server then takes new items again by itself."},
	diskFull: {"disk-full", 507, "The server's disk is full", notMade, true,
		"The disk of the server's data folder has too little space for the write. The server still answers reads, and makes deletions while a reserve lasts. `detail` and `/readyz` say how much space is free.",
		"Delete items that you do not need, or make room on the disk. The server then takes writes again by itself."},
}

// typ returns the problem type of a cause. It is the same on every server, and the path of a
// page that explains it.
func (c cause) typ() string { return typeBase + causes[c].name }
