package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"nearby/access"
	"nearby/catalog"
	"nearby/client"
	"nearby/internal/command"
	"nearby/internal/terminal"
	"nearby/store"
	"nearby/store/embedded"
	"nearby/store/postgres"
)

type keysCmd struct {
	Action string `arg:"" enum:"create,list,rotate,revoke" help:"What to do: ${enum}."`
	ID     string `arg:"" optional:"" help:"Id of the key, for rotate and revoke." placeholder:"ID"`

	Server string   `help:"URL of the server to ask. Default: http://127.0.0.1:8080, if neither --data nor --store is given." placeholder:"URL"`
	Trust  trust    `embed:""`
	Key    keyFlags `embed:""`
	Data   string   `type:"path" help:"Folder of a store that no server has open, in place of a server." placeholder:"DIR"`
	Store  string   `help:"URL of a PostgreSQL database, as for serve, in place of a server. Servers may use it meanwhile." placeholder:"URL"`

	Name       string        `help:"Create: name of the key, for people." placeholder:"TEXT"`
	Scope      string        `default:"read" enum:"read,write,admin" help:"Create: what the key may do in its collections: read (ask), write (also write items) or admin (also create, change and delete collections)."`
	Collection []string      `short:"c" help:"Create: collection that the key is for, or the beginning of names and a *, such as shops-*. May be repeated. Default: all." placeholder:"NAME"`
	Origin     []string      `help:"Create: origin of the web pages that may use the key, such as https://maps.example.org. May be repeated. Only with the scope read. Default: any program may use it." placeholder:"ORIGIN"`
	Expires    string        `help:"Create: date or time at which the key ends, such as 2027-01-31 or 2027-01-31T12:00:00Z. Default: never." placeholder:"TIME"`
	Overlap    time.Duration `default:"24h" help:"Rotate: how long the old key can still be used."`
	Timeout    time.Duration `default:"1m" help:"How long to wait for the server or the store."`
}

// Help is shown below the flags.
func (keysCmd) Help() string {
	return `create prints the text of the new key to stdout. It is shown only once: the store has only its
SHA-256. Send it as "Authorization: Bearer TEXT". Commands take it from a file (--key-file) or from
the variable NEARBY_KEY. Without any key, a server on loopback answers everybody. From the first key
on, every request needs one, so make the first one with --scope admin. A key with that scope for all
collections also manages keys and gets metrics and backups.

rotate makes a key with the same rights, and lets the old one end after --overlap. revoke ends a key
at once; all servers of a database refuse it within 5 seconds. list also shows keys that have ended,
for 90 days.

Examples:

    nearby keys create --scope admin --data /var/lib/nearby >admin.key
    nearby keys create --name map --collection 'shops-*' --origin https://maps.example.org --key-file admin.key
    nearby keys create --scope write --collection shops --expires 2027-01-31 --key-file admin.key
    nearby keys list --key-file admin.key
    nearby keys rotate k7q2mz4l --overlap 72h --key-file admin.key
    nearby keys revoke k7q2mz4l --store postgres://nearby_server@db.example.org/places`
}

// keeper is where keys are kept: a server, or a store.
type keeper interface {
	create(context.Context, client.NewKey) (*client.APIKey, error)
	list(context.Context) ([]client.APIKey, error)
	rotate(ctx context.Context, id string, overlap time.Duration) (*client.APIKey, error)
	revoke(ctx context.Context, id string) error
	close() error
}

func (c *keysCmd) Run(env *command.Environ) (err error) {
	expires, err := c.check()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(env.Ctx, c.Timeout)
	defer cancel()
	k, err := c.keeper(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, k.close()) }()
	switch c.Action {
	case "create":
		made, err := k.create(ctx, client.NewKey{Name: c.Name, Scope: c.Scope, Collections: c.Collection, Origins: c.Origin, Expires: expires})
		if err != nil {
			return err
		}
		return c.show(env, made, "was made")
	case "rotate":
		next, err := k.rotate(ctx, c.ID, c.Overlap)
		if err != nil {
			return err
		}
		return c.show(env, next, fmt.Sprintf("takes the place of %s, which ends in %s or before", c.ID, c.Overlap))
	case "revoke":
		if err := k.revoke(ctx, c.ID); err != nil {
			return err
		}
		fmt.Fprintf(env.Stderr, "key %s is revoked\n", c.ID)
		return nil
	}
	all, err := k.list(ctx)
	if err != nil {
		return err
	}
	return writeKeys(env.Stdout, all)
}

// check looks at the command line, and reads when the key ends.
func (c *keysCmd) check() (expires time.Time, err error) {
	named := c.Action == "rotate" || c.Action == "revoke"
	switch {
	case named && c.ID == "":
		return expires, command.Usagef("keys %s: give the id of the key; \"nearby keys list\" shows it", c.Action)
	case !named && c.ID != "":
		return expires, command.Usagef("keys %s takes no id", c.Action)
	case c.Overlap < 0:
		return expires, command.Usagef("--overlap: must not be negative")
	case c.Expires == "":
		return expires, nil
	}
	if expires, err = time.Parse(time.DateOnly, c.Expires); err != nil {
		expires, err = time.Parse(time.RFC3339, c.Expires)
	}
	if err != nil {
		return expires, command.Usagef("--expires %s: must be a date or a time, such as 2027-01-31 or 2027-01-31T12:00:00Z", c.Expires)
	}
	return expires, nil
}

// keeper finds the server or the store.
func (c *keysCmd) keeper(ctx context.Context) (keeper, error) {
	switch {
	case c.Server != "" || c.Data == "" && c.Store == "":
		r, err := c.Trust.remote(cmp.Or(c.Server, "http://127.0.0.1:8080"), c.Key)
		if err != nil {
			return nil, err
		}
		return &askedKeys{r}, nil
	case c.Store != "":
		if err := checkDatabase(c.Store); err != nil {
			return nil, err
		}
		st, err := postgres.Open(ctx, signed(c.Store), postgres.Options{})
		if err != nil {
			return nil, err
		}
		return &storedKeys{st}, nil
	}
	st, err := embedded.Open(c.Data, embedded.Options{ReadOnly: c.Action == "list"})
	if errors.Is(err, embedded.ErrInUse) {
		return nil, fmt.Errorf("%s: %w: if a server has it open, give the address of that server with --server, and an API key of the scope admin with --key-file", c.Data, err)
	}
	if err != nil {
		return nil, err
	}
	return &storedKeys{st}, nil
}

// show prints the text of a key alone on stdout, so that it can go to a file, and what it is on
// stderr.
func (c *keysCmd) show(env *command.Environ, k *client.APIKey, what string) error {
	fmt.Fprintf(env.Stderr, "key %s %s: %s on %s; the text is shown only now\n", k.ID, what, k.Scope, terminal.OneLine(strings.Join(k.Collections, ", ")))
	_, err := fmt.Fprintln(env.Stdout, k.Key)
	return err
}

func writeKeys(w io.Writer, all []client.APIKey) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "id\tstate\tscope\tcollections\tcreated\tends\tname")
	for _, k := range all {
		ends := k.Expires
		if !k.Revoked.IsZero() {
			ends = k.Revoked
		}
		end := "never"
		if !ends.IsZero() {
			end = ends.Format(time.RFC3339)
		}
		name := k.Name
		if k.Successor != "" {
			name += " (replaced by " + k.Successor + ")"
		}
		if len(k.Origins) > 0 {
			name += " (pages of " + strings.Join(k.Origins, ", ") + ")"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", terminal.OneLine(k.ID), k.State, k.Scope, terminal.OneLine(strings.Join(k.Collections, ",")),
			k.Created.Format(time.RFC3339), end, terminal.OneLine(strings.TrimSpace(name)))
	}
	return t.Flush()
}

// askedKeys are the keys of a server.
type askedKeys struct{ *remote }

func (a *askedKeys) create(ctx context.Context, k client.NewKey) (*client.APIKey, error) {
	made, err := a.CreateKey(ctx, k)
	return made, a.explained(err)
}

func (a *askedKeys) list(ctx context.Context) ([]client.APIKey, error) {
	all, err := a.Keys(ctx)
	return all, a.explained(err)
}

func (a *askedKeys) rotate(ctx context.Context, id string, overlap time.Duration) (*client.APIKey, error) {
	next, err := a.RotateKey(ctx, id, overlap)
	return next, a.explained(err)
}

func (a *askedKeys) revoke(ctx context.Context, id string) error {
	return a.explained(a.RevokeKey(ctx, id))
}

func (a *askedKeys) close() error { return nil }

func (a *askedKeys) explained(err error) error {
	if err == nil {
		return nil
	}
	return a.explain(err)
}

// storedKeys are the keys of a store.
type storedKeys struct{ store.Store }

func (s *storedKeys) close() error { return s.Close() }

func (s *storedKeys) create(ctx context.Context, k client.NewKey) (*client.APIKey, error) {
	var scope access.Scope
	if err := scope.UnmarshalText([]byte(k.Scope)); err != nil {
		return nil, command.Usagef("--scope: %v", err)
	}
	ring, err := catalog.StoredKeys(ctx, s.Store)
	if err != nil {
		return nil, err
	}
	made, text, changes, err := ring.Create(access.Key{Name: k.Name, Scope: scope, Collections: k.Collections, Origins: k.Origins, Expires: k.Expires}, time.Now())
	return s.change(ctx, made, text, changes, err)
}

func (s *storedKeys) rotate(ctx context.Context, id string, overlap time.Duration) (*client.APIKey, error) {
	ring, err := catalog.StoredKeys(ctx, s.Store)
	if err != nil {
		return nil, err
	}
	next, text, changes, err := ring.Rotate(id, overlap, time.Now())
	return s.change(ctx, next, text, changes, err)
}

// change makes the changes that made a key, unless there was an error.
func (s *storedKeys) change(ctx context.Context, k access.Key, text string, changes []access.Change, err error) (*client.APIKey, error) {
	if err == nil {
		err = catalog.ChangeStoredKeys(ctx, s.Store, changes)
	}
	if err != nil {
		return nil, err
	}
	shown := shownKey(&k, time.Now())
	shown.Key = text
	return &shown, nil
}

func (s *storedKeys) list(ctx context.Context) ([]client.APIKey, error) {
	ring, err := catalog.StoredKeys(ctx, s.Store)
	if err != nil {
		return nil, err
	}
	all := make([]client.APIKey, 0, ring.Len())
	for _, k := range ring.List() {
		all = append(all, shownKey(k, time.Now()))
	}
	return all, nil
}

func (s *storedKeys) revoke(ctx context.Context, id string) error {
	ring, err := catalog.StoredKeys(ctx, s.Store)
	if err != nil {
		return err
	}
	changes, err := ring.Revoke(id, time.Now())
	if err != nil {
		return err
	}
	return catalog.ChangeStoredKeys(ctx, s.Store, changes)
}

// shownKey is a key as a server shows it.
func shownKey(k *access.Key, now time.Time) client.APIKey {
	return client.APIKey{
		ID: k.ID, Name: k.Name, State: k.State(now), Scope: k.Scope.String(), Collections: k.Collections, Origins: k.Origins,
		Created: k.Created, Expires: k.Expires, Revoked: k.Revoked, Successor: k.Successor,
	}
}
