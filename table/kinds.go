package table

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nearby/index"
)

// KindAuto is the kind that a Schema names to have the items measured and one of the Kinds
// chosen.
const KindAuto = "auto"

// Kind is a kind of index that a Schema can name.
type Kind struct {
	Name  string
	Title string // in a sentence after "the"
	// Params are what a Schema may say of it, in the order in which JSON has them.
	Params []Param
	// New returns what builds such an index, by those settings that are of Params. Its error
	// says which of them is out of its limits.
	New func(Settings) (index.Builder, error)
	// Suits says for which points auto chooses the kind.
	Suits Suits
	// Adapts: an index of this kind that was changed until it holds certain points is the same
	// as one that is built of them. So there is no gain in building it again.
	Adapts bool
}

// Param is a parameter of a Kind: a whole number from Least to Most.
type Param struct {
	Name        string
	Least, Most int
	Default     int // 0: chosen by the points
	Doc         string
}

// Suits says which points a Kind suits. One of the Kinds suits AnyPoints.
type Suits uint8

const (
	AnyPoints Suits = iota + 1 // without a setting that goes by the points
	EvenLines                  // many points that lie evenly along lines
)

// Setting is what a Schema says of a parameter.
type Setting struct {
	Name  string
	Value int
}

// Settings are those of an index. A parameter that is not among them is chosen for you.
type Settings []Setting

// Get returns the value of a parameter, 0 if it is not set.
func (s Settings) Get(name string) int {
	for _, set := range s {
		if set.Name == name {
			return set.Value
		}
	}
	return 0
}

// IndexSpec chooses an index and its parameters. In JSON it is one object that has the kind
// and the settings; it is read with the Unmarshalers of its Kinds.
type IndexSpec struct {
	Kind     string
	Settings Settings
}

// Equal reports whether both say the same, with the settings in the same order.
func (s IndexSpec) Equal(o IndexSpec) bool {
	return s.Kind == o.Kind && slices.Equal(s.Settings, o.Settings)
}

// MarshalJSONTo implements json.MarshalerTo.
func (s IndexSpec) MarshalJSONTo(enc *jsontext.Encoder) error {
	tokens := []jsontext.Token{jsontext.BeginObject, jsontext.String(kindMember), jsontext.String(s.Kind)}
	for _, set := range s.Settings {
		tokens = append(tokens, jsontext.String(set.Name), jsontext.Int(int64(set.Value)))
	}
	for _, token := range append(tokens, jsontext.EndObject) {
		if err := enc.WriteToken(token); err != nil {
			return err
		}
	}
	return nil
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom. It refuses: only Kinds know the
// members.
func (s *IndexSpec) UnmarshalJSONFrom(*jsontext.Decoder) error {
	return fmt.Errorf("a %T is read with the Unmarshalers of its Kinds", *s)
}

// kindMember is the member of an IndexSpec that has its Kind.
const kindMember = "kind"

// Kinds are those that a Schema can name. They are given by whoever wires the program, so
// that this package knows no implementation.
type Kinds []Kind

// Find returns the kind of a name, and false if there is none. KindAuto is none of them.
func (k Kinds) Find(name string) (Kind, bool) {
	for _, kind := range k {
		if kind.Name == name {
			return kind, true
		}
	}
	return Kind{}, false
}

// Names returns the kinds that a Schema can name, KindAuto first.
func (k Kinds) Names() []string {
	names := []string{KindAuto}
	for _, kind := range k {
		names = append(names, kind.Name)
	}
	return names
}

// Choice returns the names for a sentence: "auto, geohash or quadtree".
func (k Kinds) Choice() string {
	names := k.Names()
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// Param returns the kind that has a parameter, and false if none has it.
func (k Kinds) Param(name string) (Kind, bool) {
	for _, kind := range k {
		if kind.Has(name) {
			return kind, true
		}
	}
	return Kind{}, false
}

// Has reports whether the kind has a parameter of that name.
func (k *Kind) Has(name string) bool {
	return slices.ContainsFunc(k.Params, func(p Param) bool { return p.Name == name })
}

// Order returns the settings in the order in which JSON has them, without those that are 0 or
// of no kind.
func (k Kinds) Order(given Settings) Settings {
	var ordered Settings
	for _, kind := range k {
		for _, p := range kind.Params {
			if v := given.Get(p.Name); v != 0 {
				ordered = append(ordered, Setting{p.Name, v})
			}
		}
	}
	return ordered
}

// Unmarshalers read an IndexSpec. A member that is no parameter of a kind is passed over, or
// refused where unknown members are.
func (k Kinds) Unmarshalers() *json.Unmarshalers { return json.UnmarshalFromFunc(k.unmarshal) }

func (k Kinds) unmarshal(dec *jsontext.Decoder, s *IndexSpec) error {
	*s = IndexSpec{}
	if dec.PeekKind() != '{' {
		return json.UnmarshalDecode(dec, new(struct{})) // null, or an error that says what it must be
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() != '}' {
		token, err := dec.ReadToken()
		if err != nil {
			return err
		}
		name := token.String()
		_, known := k.Param(name)
		switch reject, _ := json.GetOption(dec.Options(), json.RejectUnknownMembers); {
		case name == kindMember:
			err = json.UnmarshalDecode(dec, &s.Kind)
		case known:
			var value int
			if err = json.UnmarshalDecode(dec, &value); value != 0 {
				s.Settings = append(s.Settings, Setting{name, value})
			}
		case reject:
			err = &json.SemanticError{JSONPointer: dec.StackPointer(), Err: json.ErrUnknownName}
		default:
			err = dec.SkipValue()
		}
		if err != nil {
			return err
		}
	}
	_, err := dec.ReadToken()
	return err
}

// build makes an index.
func (k Kinds) build(spec IndexSpec, points []index.Point, items index.Items) (index.Index, error) {
	kind, ok := k.Find(spec.Kind)
	if !ok {
		return nil, fmt.Errorf("there is no index of kind %q", spec.Kind)
	}
	build, err := kind.New(spec.Settings)
	if err != nil {
		return nil, err
	}
	return build(points, items)
}
