package access_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"nearby/access"
	"nearby/item"
)

var now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func made(t testing.TB, k access.Key) (access.Key, string) {
	t.Helper()
	key, text, err := access.New(k, now)
	if err != nil {
		t.Fatal(err)
	}
	return key, text
}

// ringOf is a ring as it is read from a store.
func ringOf(t testing.TB, keys ...access.Key) *access.Ring {
	t.Helper()
	r := access.NewRing()
	for _, k := range keys {
		data, err := k.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		r.Add(k.ID, data)
	}
	return r
}

// The text of a key is what a program finds that looks for secrets; it has the id in it, and no two
// keys have the same.
func TestText(t *testing.T) {
	pattern := regexp.MustCompile(access.Pattern)
	seen := map[string]bool{}
	for range 1000 {
		k, text := made(t, access.Key{Scope: access.Read})
		if pattern.FindString("KEY="+text+"\n") != text || !strings.HasPrefix(text, "nearby_"+k.ID+"_") || !access.CheckText(text) || seen[text] {
			t.Fatalf("the text %s of the key %s", text, k.ID)
		}
		if secret := strings.Split(text, "_")[2]; len(secret) != (256+4)/5+7 {
			t.Fatalf("the secret %s has not 256 bits and a checksum", secret)
		}
		seen[text] = true
	}
}

// A text in which one character is another one, or which is cut or longer, is noticed without a
// look-up.
func TestSlips(t *testing.T) {
	k, text := made(t, access.Key{Scope: access.Read})
	r := ringOf(t, k)
	for i := range text {
		slip := text[:i] + "b" + text[i+1:]
		if text[i] == 'b' {
			slip = text[:i] + "c" + text[i+1:]
		}
		for _, bad := range []string{slip, text[:i], text + text[:i+1], strings.ToUpper(text[:i+1]) + text[i+1:]} {
			if strings.EqualFold(bad, text) && bad == text {
				continue
			}
			if found, why := r.Find(bad, now); found != nil || why != access.Malformed {
				t.Errorf("%s, of which the key is %s: %v, %q", bad, text, found, why)
			}
		}
	}
}

// A store never has the text of a key, nor its secret, but the SHA-256 of the text.
func TestStoredIsTheHash(t *testing.T) {
	k, text := made(t, access.Key{Scope: access.Admin, Name: "ops"})
	data, err := k.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	secret := strings.Split(text, "_")[2]
	if want := fmt.Sprintf("%x", sha256.Sum256([]byte(text))); !strings.Contains(string(data), want) || strings.Contains(string(data), secret[:12]) {
		t.Errorf("the store has %s of %s", data, text)
	}
	back, err := access.Unmarshal(k.ID, data)
	if err != nil || fmt.Sprint(*back) != fmt.Sprint(k) {
		t.Errorf("read again: %+v, %v; was %+v", back, err, k)
	}
}

// Hashes are compared by a function whose time does not depend on them. A measurement would not be
// sure, so the test looks into the text.
func TestComparisonIsConstantTime(t *testing.T) {
	source, err := os.ReadFile("ring.go")
	if err != nil {
		t.Fatal(err)
	}
	find := string(source)[strings.Index(string(source), "func (r *Ring) Find("):]
	if !strings.Contains(find, "subtle.ConstantTimeCompare(hash[:], k.Hash[:])") || strings.Contains(find, "hash ==") || strings.Contains(find, "Hash ==") {
		t.Error("Find compares hashes in another way than subtle.ConstantTimeCompare")
	}
}

// Another text with the id of a key does not open what the key opens.
func TestFind(t *testing.T) {
	k, text := made(t, access.Key{Scope: access.Read})
	_, other := made(t, access.Key{Scope: access.Read})
	ended, endedText := made(t, access.Key{Scope: access.Read, Expires: now.Add(time.Hour)})
	gone, goneText := made(t, access.Key{Scope: access.Read})
	gone.Revoked = now
	imposter, imposterText := made(t, access.Key{Scope: access.Read})
	imposter.Hash = k.Hash // as if the secret of k came with this id
	r := ringOf(t, k, ended, gone, imposter)
	for _, c := range []struct {
		text string
		at   time.Time
		want access.Refusal
		id   string
	}{
		{text, now, "", k.ID},
		{other, now, access.Unknown, ""},
		{imposterText, now, access.Unknown, ""},
		{endedText, now.Add(time.Hour - time.Nanosecond), "", ended.ID},
		{endedText, now.Add(time.Hour), access.Expired, ended.ID},
		{goneText, now, access.Revoked, gone.ID},
		{"", now, access.Malformed, ""},
	} {
		found, why := r.Find(c.text, c.at)
		id := ""
		if found != nil {
			id = found.ID
		}
		if why != c.want || id != c.id {
			t.Errorf("%.15s… at %s: key %q, %q; want %q, %q", c.text, c.at, id, why, c.id, c.want)
		}
	}
	if found, why := (*access.Ring)(nil).Find(text, now); found != nil || why != access.Unknown {
		t.Errorf("without keys: %v, %q", found, why)
	}
}

// A key that cannot be read, or that a newer version has given a limit, opens nothing. It still
// counts, so that requests need a key.
func TestUnreadableKeysOpenNothing(t *testing.T) {
	k, text := made(t, access.Key{Scope: access.Admin})
	data, err := k.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, stored := range []string{"", "{}", "null", `{"scope":"root"}`, strings.Replace(string(data), "{", `{"networks":["10.0.0.0/8"],`, 1)} {
		r := access.NewRing()
		r.Add(k.ID, []byte(stored))
		if found, why := r.Find(text, now); why == "" || r.Len() != 1 {
			t.Errorf("%s: key %v of %d", stored, found, r.Len())
		}
	}
}

func TestFaultsOfNewKeys(t *testing.T) {
	many := make([]string, 101)
	for i := range many {
		many[i] = "a"
	}
	for _, c := range []struct {
		key   access.Key
		field string // of the fault; "": none
	}{
		{access.Key{Scope: access.Admin, Collections: []string{"shops", "shops-*", "*", "a.b_c-D9*"}}, ""},
		{access.Key{Scope: access.Read, Origins: []string{"https://maps.example.org", "http://localhost:5173", "http://[::1]:8080"}}, ""},
		{access.Key{}, "scope"},
		{access.Key{Scope: 9}, "scope"},
		{access.Key{Scope: access.Read, Name: "a\nb"}, "name"},
		{access.Key{Scope: access.Read, Name: strings.Repeat("ä", 257)}, "name"},
		{access.Key{Scope: access.Read, Collections: many}, "collections"},
		{access.Key{Scope: access.Read, Collections: []string{"a", "b*c"}}, "collections[1]"},
		{access.Key{Scope: access.Read, Collections: []string{""}}, "collections[0]"},
		{access.Key{Scope: access.Read, Collections: []string{".keys"}}, "collections[0]"},
		{access.Key{Scope: access.Read, Collections: []string{"**"}}, "collections[0]"},
		{access.Key{Scope: access.Read, Origins: []string{"*"}}, "origins[0]"},
		{access.Key{Scope: access.Read, Origins: []string{"https://maps.example.org/"}}, "origins[0]"},
		{access.Key{Scope: access.Read, Origins: []string{"https://Maps.example.org"}}, "origins[0]"},
		{access.Key{Scope: access.Read, Origins: []string{"https://maps.example.org:443"}}, "origins[0]"},
		{access.Key{Scope: access.Read, Origins: []string{"maps.example.org"}}, "origins[0]"},
		{access.Key{Scope: access.Write, Origins: []string{"https://maps.example.org"}}, "scope"},
		{access.Key{Scope: access.Read, Filter: "tenant = 'a'"}, "filter"},
		{access.Key{Scope: access.Read, Expires: now}, "expires"},
	} {
		_, text, err := access.New(c.key, now)
		var fault *item.FieldError
		if got := errors.As(err, &fault); got != (c.field != "") || got && (fault.Field != c.field || text != "") {
			t.Errorf("%+v: %v; want a fault of %q", c.key, err, c.field)
		}
	}
}

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		patterns   []string
		collection string
		want       bool
	}{
		{nil, "shops", true}, // New makes it *
		{[]string{"shops"}, "shops", true},
		{[]string{"shops"}, "shops-1", false},
		{[]string{"shops"}, "Shops", false},
		{[]string{"shops"}, "", false},
		{[]string{"shops-*"}, "shops-", true},
		{[]string{"shops-*"}, "shops-a-b", true},
		{[]string{"shops-*"}, "shops", false},
		{[]string{"a", "shops-*"}, "a", true},
	} {
		k, _ := made(t, access.Key{Scope: access.Read, Collections: c.patterns})
		if got := k.Covers(c.collection); got != c.want || k.Everywhere() != (c.patterns == nil) {
			t.Errorf("%q covers %q: %v", c.patterns, c.collection, got)
		}
	}
}

// apply makes changes as a store does.
func apply(t testing.TB, r *access.Ring, changes []access.Change) *access.Ring {
	t.Helper()
	all := map[string]access.Key{}
	for _, k := range r.List() {
		all[k.ID] = *k
	}
	for i := range changes {
		ch := &changes[i]
		switch k := all[ch.ID]; {
		case ch.Remove:
			delete(all, ch.ID)
		case ch.Make != nil:
			all[ch.ID] = *ch.Make
		default:
			ch.Apply(&k)
			all[ch.ID] = k
		}
	}
	list := make([]access.Key, 0, len(all))
	for _, k := range all {
		list = append(list, k)
	}
	return ringOf(t, list...)
}

// A successor has the rights of the key before it. Both may be used until the overlap is over, and
// the old one never longer than it was given.
func TestRotate(t *testing.T) {
	old, oldText := made(t, access.Key{Scope: access.Read, Collections: []string{"shops-*"}, Origins: []string{"https://maps.example.org"}, Name: "map", Expires: now.Add(1000 * time.Hour)})
	later := now.Add(990 * time.Hour)
	r := ringOf(t, old)
	next, text, changes, err := r.Rotate(old.ID, time.Hour, later)
	if err != nil {
		t.Fatal(err)
	}
	r = apply(t, r, changes)
	if next.ID == old.ID || next.Scope != old.Scope || next.Collections[0] != "shops-*" || next.Origins[0] != old.Origins[0] || next.Name != "map" ||
		next.Family != old.ID || !next.Expires.Equal(later.Add(1000*time.Hour)) || r.Get(old.ID).Successor != next.ID {
		t.Errorf("the successor is %+v of %+v", next, old)
	}
	for _, c := range []struct {
		text  string
		after time.Duration
		want  access.Refusal
	}{{oldText, 59 * time.Minute, ""}, {text, 59 * time.Minute, ""}, {oldText, time.Hour, access.Expired}, {text, time.Hour, ""}} {
		if _, why := r.Find(c.text, later.Add(c.after)); why != c.want {
			t.Errorf("%.15s… after %s: %q, want %q", c.text, c.after, why, c.want)
		}
	}
	if _, _, _, err := r.Rotate(old.ID, time.Hour, later.Add(time.Hour)); !errors.Is(err, access.ErrEnded) {
		t.Errorf("an expired key is rotated: %v", err)
	}
	_, _, changes, err = r.Rotate(next.ID, 9999*time.Hour, later)
	if err != nil {
		t.Fatal(err)
	}
	if got := apply(t, r, changes).Get(next.ID).Expires; !got.Equal(next.Expires) {
		t.Errorf("a long overlap moves the end from %s to %s", next.Expires, got)
	}
}

func TestRevoke(t *testing.T) {
	k, text := made(t, access.Key{Scope: access.Read})
	r := ringOf(t, k)
	changes, err := r.Revoke(k.ID, now)
	if err != nil {
		t.Fatal(err)
	}
	r = apply(t, r, changes)
	if _, why := r.Find(text, now); why != access.Revoked {
		t.Errorf("a revoked key: %q", why)
	}
	if changes, err = r.Revoke(k.ID, now.Add(time.Hour)); err != nil || changes != nil {
		t.Errorf("revoked again: %v, %v", changes, err)
	}
	if _, err = r.Revoke("no", now); !errors.Is(err, access.ErrNoKey) {
		t.Errorf("a key that does not exist: %v", err)
	}
}

// Keys that have ended long ago make room for new ones, a hundred at a time, and never all of them
// without a new one.
func TestRoom(t *testing.T) {
	k, _ := made(t, access.Key{Scope: access.Read})
	data, err := k.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	full := access.NewRing()
	for i := range access.MaxKeys {
		full.Add(fmt.Sprint("key-", i), data)
	}
	if _, _, _, err := full.Create(access.Key{Scope: access.Read}, now); !errors.Is(err, access.ErrFull) {
		t.Errorf("one key too many: %v", err)
	}
	k.Revoked = now
	if data, err = k.Marshal(); err != nil {
		t.Fatal(err)
	}
	for i := range access.MaxKeys {
		full.Add(fmt.Sprint("key-", i), data)
	}
	if _, _, _, err := full.Create(access.Key{Scope: access.Read}, now.Add(89*24*time.Hour)); !errors.Is(err, access.ErrFull) {
		t.Errorf("soon after the revocations: %v", err)
	}
	_, _, changes, err := full.Create(access.Key{Scope: access.Read}, now.Add(91*24*time.Hour))
	if err != nil || len(changes) != 101 || changes[0].Make == nil {
		t.Errorf("long after the revocations: %d changes, %v", len(changes), err)
	}
}

// Finding a key does not allocate.
func TestFindAllocates(t *testing.T) {
	k, text := made(t, access.Key{Scope: access.Read})
	r := ringOf(t, k)
	if n := testing.AllocsPerRun(100, func() {
		if _, why := r.Find(text, now); why != "" {
			t.Fatal(why)
		}
	}); n > 0 {
		t.Errorf("Find makes %v allocations", n)
	}
}

func BenchmarkFind(b *testing.B) {
	k, text := made(b, access.Key{Scope: access.Read})
	r := ringOf(b, k)
	b.ReportAllocs()
	for b.Loop() {
		if _, why := r.Find(text, now); why != "" {
			b.Fatal(why)
		}
	}
}
