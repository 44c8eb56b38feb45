package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"nearby/client"
	"nearby/indexes"
	"nearby/value"
)

// definitionFlags are what a load says of its collection: it is created so if it is missing,
// and changed if that is asked for. A flag that would do nothing is an error.
type definitionFlags struct {
	Create    bool              `default:"true" negatable:"" help:"Create the collection if it is missing."`
	Index     *string           `enum:"${kinds}" help:"Index of the collection: ${kinds_choice}. Default: auto if the load creates the collection, else the index that it has." placeholder:"KIND"`
	Queryable []value.Queryable `help:"Property that requests can filter by, alone or with the type of its values: string, number, integer, boolean or date-time. May be repeated." placeholder:"NAME[:TYPE]"`
	Time      string            `help:"Property with the time of an item, an RFC 3339 date or date-time, by which the parameter datetime filters." placeholder:"NAME"`

	UpdateDefinition bool `help:"If the collection exists and differs from --index, --queryable or --time, change it. Its other queryables stay."`
}

// maxEdits bounds how often a definition is changed again because others change it.
const maxEdits = 16

// found is a collection as it was looked up.
type found struct {
	exists bool
	client.Description
}

// lacks says, for each flag that the definition is not as, what it has instead.
func (c *loadCmd) lacks(f *found) (faults []string) {
	if missing := c.missing(f); len(missing) > 0 {
		has := "has no queryables"
		if len(f.Queryables) > 0 {
			has = "has the queryables " + flagText(f.Queryables, ", ")
		}
		faults = append(faults, fmt.Sprintf("%s, not --queryable %s", has, flagText(missing, ",")))
	}
	if kind := f.Index.Kind; c.Index != nil && *c.Index != kind {
		faults = append(faults, fmt.Sprintf("has the index %s, not --index %s", kind, *c.Index))
	}
	if c.Time != "" && c.Time != f.Time {
		has := "has no time"
		if f.Time != "" {
			has = "has the time " + f.Time
		}
		faults = append(faults, fmt.Sprintf("%s, not --time %s", has, c.Time))
	}
	return faults
}

// missing are the queryables that the collection has not, or not of that type.
func (c *loadCmd) missing(f *found) value.Queryables {
	return slices.DeleteFunc(slices.Clone(c.Queryable), func(q value.Queryable) bool {
		i := f.Queryables.Index(q.Name)
		return i >= 0 && (q.Type == value.Any || q.Type == f.Queryables[i].Type)
	})
}

// flagText writes queryables as the flag has them.
func flagText(qs value.Queryables, separator string) string {
	var b strings.Builder
	for i, q := range qs {
		if i > 0 {
			b.WriteString(separator)
		}
		b.WriteString(q.String())
	}
	return b.String()
}

// look finds the collection, and refuses what cannot be done with it. Nothing is
// changed.
func (c *loadCmd) look(ctx context.Context, r *remote) (*found, error) {
	f, err := r.collection(ctx, c.Collection)
	if err != nil {
		return nil, err
	}
	if !f.exists && !c.Create {
		return nil, fmt.Errorf("there is no collection %q at %s, and --no-create forbids to create it", c.Collection, r.Server())
	}
	if faults := c.lacks(f); f.exists && !c.UpdateDefinition && len(faults) > 0 {
		return nil, fmt.Errorf("the collection %q exists and %s; nothing was loaded: add --update-definition to change it, or leave the flag out",
			c.Collection, strings.Join(faults, ", and "))
	}
	return f, nil
}

// indexPatch gives a collection another kind of index, without the parameters of the old one.
func indexPatch(kind string) map[string]any {
	patch := map[string]any{"kind": kind}
	for _, known := range indexes.Kinds() {
		for _, p := range known.Params {
			patch[p.Name] = nil
		}
	}
	return patch
}

// define makes the collection what the flags say: it is created, or changed, or found
// to be so. Others may do the same at the same time.
func (c *loadCmd) define(ctx context.Context, r *remote, f *found) (created bool, err error) {
	for range maxEdits {
		switch {
		case !f.exists:
			def := client.Definition{Queryables: value.Queryables(nil).With(c.Queryable), Time: c.Time}
			if c.Index != nil {
				def.Index.Kind = *c.Index
			}
			if _, err = r.Collection(c.Collection).Create(ctx, def); err != nil {
				err = fmt.Errorf("creating collection %q: %w", c.Collection, r.explain(err))
			}
		case len(c.lacks(f)) > 0:
			patch := map[string]any{}
			if missing := c.missing(f); len(missing) > 0 {
				patch["queryables"] = f.Queryables.With(missing)
			}
			if c.Index != nil && *c.Index != f.Index.Kind {
				patch["index"] = indexPatch(*c.Index)
			}
			if c.Time != "" {
				patch["time"] = c.Time
			}
			if _, err = r.Collection(c.Collection).Patch(ctx, patch, client.IfMatch(f.ETag)); err != nil {
				err = fmt.Errorf("changing the definition of collection %q: %w", c.Collection, r.explain(err))
			}
		}
		if !errors.Is(err, client.ErrConflict) {
			return !f.exists && err == nil, err
		}
		if f, err = c.look(ctx, r); err != nil { // somebody else was there first
			return false, err
		}
	}
	return false, fmt.Errorf("the definition of collection %q is changed by others all the time", c.Collection)
}
