package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nearby/collection"
	"nearby/internal/command"
	"nearby/internal/terminal"
	"nearby/item"
	"nearby/store"
	"nearby/store/embedded"
	"nearby/store/postgres"
)

type copyCmd struct {
	From  string `required:"" help:"What to copy: a data folder, or the URL of a PostgreSQL database." placeholder:"DIR|URL"`
	To    string `required:"" help:"Where to copy it: a data folder that is empty or missing, or the URL of a database without collections." placeholder:"DIR|URL"`
	Check bool   `help:"Only compare the two, and change nothing."`
}

// Help is shown below the flags.
func (copyCmd) Help() string {
	return `Copies all collections, with their definitions and items, from a data folder to a PostgreSQL
database or back, or between two of a kind. Ids, positions, properties and the times of creation and
change stay exactly as they are. At the end the command reads the copy again, and compares it with
the original by number and checksum.

The copy is made as a whole or not at all. If the command fails or is killed, the target has
nothing, and you can run the same command again. A database gets everything in one transaction;
meanwhile servers on it answer reads, and refuse writes. A folder is made beside the one in --to, with
a name that ends in .restoring, and is moved when it is complete.

No server may have the folders open. If --from is a database, servers may write it meanwhile; the
copy then has its state when the command began.

The copy has a history of its own. So ETags and tokens of the original never match a version of the
copy. These are not copied: the results that belong to values of Idempotency-Key; the connection of
an attached table (its collection becomes an ordinary one); and, to a folder, the write policy back,
which needs a database.

Exits with 0 if the copy is complete, or with --check if both are equal; else with 1.

Examples:

    nearby copy --from /var/lib/nearby --to postgres://nearby_server@db.example.org/places
    nearby copy --from postgres://nearby_server@db.example.org/places --to /var/lib/nearby
    nearby copy --from /var/lib/nearby --to postgres://nearby_server@db.example.org/places --check`
}

func (c *copyCmd) Run(env *command.Environ) error {
	from, err := parsePlace("from", c.From)
	if err != nil {
		return err
	}
	to, err := parsePlace("to", c.To)
	if err != nil {
		return err
	}
	if c.Check {
		err = compareStores(env, from, to)
	} else {
		err = copyStore(env, from, to)
	}
	if err != nil && env.Ctx.Err() != nil && !errors.Is(err, store.ErrUncertain) {
		return errors.New("interrupted: nothing was changed; the same command begins again")
	}
	return err
}

// A place is where a store is: a folder or a database.
type storePlace struct {
	folder string // "": a database
	url    string
}

func parsePlace(flag, text string) (storePlace, error) {
	u, err := url.Parse(text)
	switch {
	case err == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql"):
		return storePlace{url: text}, nil
	case text == "" || strings.Contains(text, "://"):
		return storePlace{}, command.Usagef("--%s: must be a folder, or a URL such as postgres://user@host:5432/name", flag)
	}
	return storePlace{folder: kong.ExpandPath(text)}, nil
}

// String names the place without a password.
func (p storePlace) String() string {
	if p.folder != "" {
		return p.folder
	}
	u, err := url.Parse(p.url)
	if err != nil {
		return "the database"
	}
	return u.Redacted()
}

// read opens a store that is only read.
func (p storePlace) read(ctx context.Context) (store.Store, error) {
	if p.folder == "" {
		s, err := postgres.Open(ctx, signed(p.url), postgres.Options{ReadOnly: true})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		return s, nil
	}
	s, err := embedded.Open(p.folder, embedded.Options{ReadOnly: true})
	if errors.Is(err, embedded.ErrInUse) {
		return nil, fmt.Errorf("%w: stop its server first", err)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// fill makes a store that has everything that a function puts, or nothing.
func (p storePlace) fill(ctx context.Context, fill func(store.Filling) error) error {
	if p.folder != "" {
		err := embedded.Fill(ctx, p.folder, embedded.Options{}, fill)
		if errors.Is(err, embedded.ErrNotEmpty) {
			return fmt.Errorf("%w; to compare what is there, add --check", err)
		}
		return err
	}
	s, err := postgres.Open(ctx, signed(p.url), postgres.Options{})
	if err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	err = s.Fill(ctx, fill)
	switch {
	case errors.Is(err, postgres.ErrNotEmpty):
		err = fmt.Errorf("%s: %w: name another, or delete them; to compare what is there, add --check", p, err)
	case errors.Is(err, store.ErrUncertain):
		err = fmt.Errorf("%s: %w; to find out, run the same command with --check: the copy is complete or not there", p, err)
	case errors.Is(err, store.ErrReadOnly):
		err = fmt.Errorf("%s: the database is a standby, which takes no writes: name its primary", p)
	case err != nil:
		err = fmt.Errorf("%s: %w", p, err)
	}
	return errors.Join(err, s.Close())
}

// itemsSum sums up the items of a collection, without the numbers of their versions, which
// are of one store.
type itemsSum struct {
	store.Digest
	buf []byte
}

func (c *itemsSum) add(it *item.Item) {
	one := *it
	// The times take the place of the number.
	one.Seq = uint64(it.Created)*0x9e3779b97f4a7c15 ^ uint64(it.Updated)
	var hash uint64
	hash, c.buf = store.Hash(&one, c.buf)
	c.Add(hash)
}

// portable returns a collection's definition without what belongs to the store it is in, and
// what was left out.
func portable(c store.Collection, toFolder bool) (definition []byte, left string, err error) {
	var members map[string]jsontext.Value
	if err := json.Unmarshal(c.Definition, &members); err != nil {
		return nil, "", fmt.Errorf("the definition of %s: %w", c.Name, err)
	}
	var lost []string
	if _, attached := members["source"]; attached {
		delete(members, "source")
		lost = append(lost, "its table")
	}
	if toFolder && string(members["writePolicy"]) == `"`+collection.WriteBack+`"` {
		delete(members, "writePolicy")
		lost = append(lost, "its write policy")
	}
	if lost == nil {
		return c.Definition, "", nil
	}
	definition, err = json.Marshal(members, json.Deterministic(true))
	return definition, strings.Join(lost, " and "), err
}

// copied is a collection of the original, as it is to be in the copy.
type copied struct {
	name       string
	definition []byte
	left       string // what is not copied of its definition
	sum        itemsSum
}

// survey reads a whole store.
func survey(ctx context.Context, v store.View, toFolder bool, p *progress) ([]copied, int, error) {
	list, err := v.Collections(ctx)
	if err != nil {
		return nil, 0, err
	}
	all, items := make([]copied, len(list)), 0
	for i, c := range list {
		all[i].name = c.Name
		if all[i].definition, all[i].left, err = portable(c, toFolder); err != nil {
			return nil, 0, err
		}
		err := v.Items(ctx, c.Name, 1, func(_ int, it *item.Item) error {
			all[i].sum.add(it)
			p.bytes.Add(1)
			return ctx.Err()
		})
		if err != nil {
			return nil, 0, err
		}
		items += all[i].sum.Items
	}
	return all, items, nil
}

// A batch of the copy has at most so many items, and so many bytes of ids and properties and
// one item more.
const (
	copyItems = 4000
	copyBytes = 4 << 20
)

// transfer puts a collection of a view into a store, and reads it again.
func transfer(ctx context.Context, v store.View, c *copied, into store.Filling, p *progress) error {
	var batch []store.Change
	size := 0
	put := func() error {
		err := into.Put(ctx, batch)
		p.bytes.Add(int64(len(batch)))
		batch, size = batch[:0], 0
		return err
	}
	var read itemsSum
	if err := into.Put(ctx, []store.Change{{Op: store.PutCollection, Collection: c.name, Definition: c.definition}}); err != nil {
		return err
	}
	err := v.Items(ctx, c.name, 1, func(_ int, it *item.Item) error {
		read.add(it)
		change := store.Change{Op: store.PutItem, Collection: c.name, Item: *it}
		batch = append(batch, change.Clone())
		if size += len(it.ID) + len(it.Properties); len(batch) < copyItems && size < copyBytes {
			return ctx.Err()
		}
		return put()
	})
	if err == nil && len(batch) > 0 {
		err = put()
	}
	if err == nil && read.Digest != c.sum.Digest {
		err = fmt.Errorf("%w: the collection %s was read twice, and differed", store.ErrCorrupt, c.name)
	}
	return err
}

// compareCopy reads the copy and compares it with the original.
func compareCopy(ctx context.Context, all []copied, in store.Filling, p *progress) error {
	list, err := in.Collections(ctx)
	if err != nil {
		return err
	}
	if len(list) != len(all) {
		return fmt.Errorf("the copy has %d collections, not %d", len(list), len(all))
	}
	for i := range all {
		c := &all[i]
		if j := slices.IndexFunc(list, func(l store.Collection) bool { return l.Name == c.name }); j < 0 || string(list[j].Definition) != string(c.definition) {
			return fmt.Errorf("the copy has another definition of %s", c.name)
		}
		var got itemsSum
		err := in.Items(ctx, c.name, func(it *item.Item) error {
			got.add(it)
			p.bytes.Add(1)
			return ctx.Err()
		})
		if err != nil {
			return err
		}
		if got.Digest != c.sum.Digest {
			return fmt.Errorf("the copy of %s has %d items with another checksum, or not %d items", c.name, got.Items, c.sum.Items)
		}
	}
	return nil
}

// copyStore copies everything. What is there in the end was compared with the original.
func copyStore(env *command.Environ, from, to storePlace) (err error) {
	begun := time.Now()
	s, err := from.read(env.Ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	v, err := s.View(env.Ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	var all []copied
	items := 0
	err = to.fill(env.Ctx, func(into store.Filling) (err error) {
		show := func(doing string, do func(*progress) error) {
			if err == nil {
				p := startItems(env.Cursor, doing, int64(items))
				err = do(p)
				p.finish()
			}
		}
		show("reading "+from.String(), func(p *progress) (err error) {
			all, items, err = survey(env.Ctx, v, to.folder != "", p)
			return err
		})
		show("copying", func(p *progress) error {
			for i := range all {
				if err := transfer(env.Ctx, v, &all[i], into, p); err != nil {
					return err
				}
			}
			return nil
		})
		show("comparing", func(p *progress) error { return compareCopy(env.Ctx, all, into, p) })
		return err
	})
	if err != nil && !errors.Is(err, store.ErrUncertain) {
		err = fmt.Errorf("nothing was copied: %w", err)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(env.Stdout, "%s: %s items in %s collections, of commit %d of %s, copied and compared in %v\n", to,
		terminal.Thousands(int64(items)), terminal.Thousands(int64(len(all))), v.At().Seq, from, time.Since(begun).Round(time.Millisecond))
	return reportCopy(env.Stdout, all)
}

// reportCopy says what each collection has, and what was not copied.
func reportCopy(out io.Writer, all []copied) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "collection\titems\tchecksum\t")
	for i := range all {
		fmt.Fprintf(table, "%s\t%s\t%016x\t\n", all[i].name, terminal.Thousands(int64(all[i].sum.Items)), all[i].sum.Hash)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for i := range all {
		if all[i].left != "" {
			fmt.Fprintf(out, "%s: %s not copied\n", all[i].name, all[i].left)
		}
	}
	return nil
}

// errCopyDiffers ends a comparison that found something. The output has said what.
var errCopyDiffers = errors.New("they are not equal")

// compareStores compares two stores.
func compareStores(env *command.Environ, from, to storePlace) error {
	var both [2][]copied
	for i, place := range []storePlace{from, to} {
		err := func() (err error) {
			s, err := place.read(env.Ctx)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.Close()) }()
			v, err := s.View(env.Ctx)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, v.Close()) }()
			p := startItems(env.Cursor, "reading "+place.String(), 0)
			defer p.finish()
			both[i], _, err = survey(env.Ctx, v, from.folder != "" || to.folder != "", p)
			return err
		}()
		if err != nil {
			return err
		}
	}
	equal := true
	say := func(format string, args ...any) {
		equal = false
		fmt.Fprintf(env.Stdout, format+"\n", args...)
	}
	find := func(in []copied, name string) *copied {
		if i := slices.IndexFunc(in, func(c copied) bool { return c.name == name }); i >= 0 {
			return &in[i]
		}
		return nil
	}
	for i := range both[0] {
		a := &both[0][i]
		b := find(both[1], a.name)
		switch {
		case b == nil:
			say("%s: only in %s", a.name, from)
		case string(a.definition) != string(b.definition):
			say("%s: the definitions differ", a.name)
		case a.sum.Digest != b.sum.Digest:
			say("%s: %s items in %s, %s items in %s, and the checksums %016x and %016x", a.name,
				terminal.Thousands(int64(a.sum.Items)), from, terminal.Thousands(int64(b.sum.Items)), to, a.sum.Hash, b.sum.Hash)
		}
	}
	for i := range both[1] {
		if find(both[0], both[1][i].name) == nil {
			say("%s: only in %s", both[1][i].name, to)
		}
	}
	if !equal {
		return errCopyDiffers
	}
	fmt.Fprintf(env.Stdout, "%s and %s are equal\n", from, to)
	return reportCopy(env.Stdout, both[0])
}
