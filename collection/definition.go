package collection

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"nearby/index"
	"nearby/item"
	"nearby/parameter"
	"nearby/table"
	"nearby/value"
)

// Limits of a definition.
const (
	MaxNameBytes             = 64
	MaxTitleCharacters       = 256
	MaxDescriptionCharacters = 4096
)

// Definition is what the owner of a collection decides about it. The store keeps its members,
// and requests and answers of HTTP have them, too: api embeds it.
type Definition struct {
	Name        string          `json:"-"`
	Title       string          `json:"title,omitzero"`
	Description string          `json:"description,omitzero"`
	Index       table.IndexSpec `json:"index"`
	// Queryables are the top-level properties that requests can filter by, with their types.
	Queryables value.Queryables `json:"queryables"`
	// Time is the top-level property that says when an item is: a date-time or a
	// full-date of RFC 3339. Empty: items have no time.
	Time string `json:"time,omitzero"`
	// WritePolicy says when a write is acknowledged: through, when it is durable,
	// or back, when it is visible; "" leaves it to the server. Back needs a shared
	// store.
	WritePolicy string `json:"writePolicy,omitzero"`
	// Source, when not nil, is the table of the database that the items come from.
	// Such a collection is read only. It is set by whoever attached the table, and
	// stays as it is in Define.
	Source  *Source `json:"source,omitzero"`
	Created int64   `json:"created"` // Unix milliseconds
	Updated int64   `json:"updated"` // Unix milliseconds
}

// Schema is what a table needs of the definition.
func (d *Definition) Schema() table.Schema {
	return table.Schema{Index: d.Index, Queryables: d.Queryables, Time: d.Time}
}

// Source is where the items of an attached collection come from.
type Source struct {
	Table     string `json:"table"`
	Follow    string `json:"follow"`    // trigger or poll
	Guarantee string `json:"guarantee"` // a sentence for people
}

// Write policies.
const (
	WriteThrough = "through"
	WriteBack    = "back"
)

// DefinitionError says what is wrong with one member of a definition.
type DefinitionError struct {
	Field  string // "index.kind", "queryables[2]", …
	Got    string
	Reason string
}

func (e *DefinitionError) Error() string {
	if e.Got == "" {
		return e.Field + ": " + e.Reason
	}
	return fmt.Sprintf("%s %q: %s", e.Field, item.Shorten(e.Got), e.Reason)
}

var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

// Keys is the name of the collection that has the API keys. It is not the name of a collection
// that callers can have (CheckName), and no caller sees the collection.
const Keys = ".keys"

// keysDefinition is that of the collection of the API keys.
func keysDefinition() Definition {
	return Definition{Name: Keys, Index: table.IndexSpec{Kind: table.KindAuto}, WritePolicy: WriteThrough}
}

// KeysDefinition returns the definition of the collection of the API keys as the store keeps it.
func KeysDefinition(created int64) ([]byte, error) {
	d := keysDefinition()
	d.Created, d.Updated = created, created
	return d.Marshal()
}

// CheckName reports whether name can name a collection.
func CheckName(name string) error {
	if len(name) > MaxNameBytes || !validName.MatchString(name) {
		return &DefinitionError{"name", name, fmt.Sprintf("must be 1 to %d of the characters A-Z a-z 0-9 _ . - and begin with a letter or digit", MaxNameBytes)}
	}
	return nil
}

// Normalise fills in defaults and returns all faults joined.
func (d *Definition) Normalise(kinds table.Kinds) error {
	var errs []error
	fault := func(field, got, reason string) {
		errs = append(errs, &DefinitionError{field, got, reason})
	}
	if err := CheckName(d.Name); err != nil && d.Name != Keys {
		errs = append(errs, err)
	}
	if utf8.RuneCountInString(d.Title) > MaxTitleCharacters {
		fault("title", "", fmt.Sprintf("must have at most %d characters", MaxTitleCharacters))
	}
	if utf8.RuneCountInString(d.Description) > MaxDescriptionCharacters {
		fault("description", "", fmt.Sprintf("must have at most %d characters", MaxDescriptionCharacters))
	}
	if d.Index.Kind == "" {
		d.Index.Kind = table.KindAuto
	}
	for _, s := range d.Index.Settings {
		if _, ok := kinds.Param(s.Name); !ok {
			fault("index."+s.Name, fmt.Sprint(s.Value), "is no parameter of a kind of index")
		}
	}
	d.Index.Settings = kinds.Order(d.Index.Settings)
	if kind, ok := kinds.Find(d.Index.Kind); ok || d.Index.Kind == table.KindAuto {
		d.checkIndex(kinds, kind, fault)
	} else {
		fault("index.kind", d.Index.Kind, "must be "+kinds.Choice())
	}
	if d.WritePolicy != "" && d.WritePolicy != WriteThrough && d.WritePolicy != WriteBack {
		fault("writePolicy", d.WritePolicy, "must be through or back")
	}
	if len(d.Queryables) > table.MaxQueryables {
		fault("queryables", "", fmt.Sprintf("must be at most %d names, are %d", table.MaxQueryables, len(d.Queryables)))
	}
	if utf8.RuneCountInString(d.Time) > table.MaxQueryableCharacters {
		fault("time", d.Time, fmt.Sprintf("must have at most %d characters", table.MaxQueryableCharacters))
	}
	for i, q := range d.looked() {
		field, q := d.fieldOf(i), q.Name
		switch {
		case q == "" || utf8.RuneCountInString(q) > table.MaxQueryableCharacters:
			fault(field, q, fmt.Sprintf("must have 1 to %d characters", table.MaxQueryableCharacters))
		case d.Queryables.Index(q) < i:
			fault(field, q, "is named twice")
		}
	}
	return errors.Join(errs...)
}

// checkIndex checks the settings of an index. The kind is the zero Kind for auto, which has no
// parameters.
func (d *Definition) checkIndex(kinds table.Kinds, kind table.Kind, fault func(field, got, reason string)) {
	const remove = "; in a patch, null removes "
	foreign := slices.DeleteFunc(slices.Clone(d.Index.Settings), func(s table.Setting) bool { return kind.Has(s.Name) })
	switch {
	case len(foreign) > 0 && len(kind.Params) == 0:
		fault("index", "", "of kind "+d.Index.Kind+" takes no parameters"+remove+"one")
	case len(foreign) > 0 && len(kind.Params) == 1:
		fault("index", "", "of kind "+d.Index.Kind+" takes only "+kind.Params[0].Name+remove+"a parameter")
	default:
		for _, s := range foreign {
			owner, _ := kinds.Param(s.Name)
			fault("index."+s.Name, fmt.Sprint(s.Value), "belongs to kind "+owner.Name+remove+"it")
		}
	}
	if kind.New == nil {
		return
	}
	if _, err := kind.New(d.Index.Settings); err != nil {
		fault("index", "", strings.TrimPrefix(err.Error(), index.ErrInvalid.Error()+": "))
	}
}

// looked are the queryables that are looked at one by one: none where there are too many.
// That is fault enough, and neither the time nor the answer grows with their number.
func (d *Definition) looked() value.Queryables {
	if len(d.Queryables) > table.MaxQueryables {
		return nil
	}
	return d.Queryables
}

// fieldOf returns the name of a queryable's member: of the list, or of the object if it has
// types.
func (d *Definition) fieldOf(i int) string {
	if d.Queryables.Typed() {
		return "queryables." + item.Shorten(d.Queryables[i].Name)
	}
	return fmt.Sprintf("queryables[%d]", i)
}

// Check is Normalise for a definition that is given now, in place of old, whose texts can be
// read and whose names are free. Those that the store has may be from before that was
// demanded.
func (d *Definition) Check(kinds table.Kinds, old *Definition) error {
	errs := []error{d.Normalise(kinds)}
	text := func(field, got string, lines bool) {
		if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool {
			return unicode.IsControl(r) && (!lines || !strings.ContainsRune("\n\r\t", r))
		}) {
			reason := "must be UTF-8 without control characters"
			if lines {
				reason += " other than tabs and line ends"
			}
			errs = append(errs, &DefinitionError{field, got, reason})
		}
	}
	text("title", d.Title, false)
	text("description", d.Description, true)
	text("time", d.Time, false)
	reserved := parameter.Reserved()
	for i, q := range d.looked() {
		field, q := d.fieldOf(i), q.Name
		text(field, q, false)
		if slices.Contains(reserved, q) && old.Queryables.Index(q) < 0 {
			errs = append(errs, &DefinitionError{field, q, "is the name of a parameter, or kept for one: " + strings.Join(reserved, ", ")})
		}
	}
	return errors.Join(errs...)
}

// Encode checks the definition of a collection that is made now, and returns it as
// the store keeps it: for who writes to the store without a catalog. The faults are
// *DefinitionErrors, joined.
func (d Definition) Encode(kinds table.Kinds) ([]byte, error) {
	if err := errors.Join(CheckName(d.Name), d.Check(kinds, new(Definition))); err != nil {
		return nil, err
	}
	d.Created = time.Now().UnixMilli()
	d.Updated = d.Created
	return d.Marshal()
}

// Marshal returns the definition as the store keeps it.
func (d *Definition) Marshal() ([]byte, error) { return json.Marshal(d, json.Deterministic(true)) }

// ReadDefinition reads what Marshal has made of the definition of a collection. That of the API keys
// is the same whatever the store has: if it could not be read, no key would be known.
func ReadDefinition(kinds table.Kinds, name string, data []byte) (Definition, error) {
	d := Definition{Name: name}
	if name == Keys {
		return keysDefinition(), nil
	}
	if err := json.Unmarshal(data, &d, json.WithUnmarshalers(kinds.Unmarshalers())); err != nil {
		return d, fmt.Errorf("its stored definition cannot be read: %w", err)
	}
	return d, nil
}
