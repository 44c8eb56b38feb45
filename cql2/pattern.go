package cql2

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Pattern is what LIKE compares with: % stands for any characters, _ for one, and a
// backslash takes the meaning from the character after it.
type Pattern struct {
	text     string
	segments []segment // what stands before, between and after the %
}

// segment is a part of a pattern without %.
type segment struct {
	runes []rune // anyRune stands for _
	plain string // the same, if there is no _
	blank bool   // there is one
}

const anyRune = -1

// NewPattern reads a pattern. It returns nil for one with more than MaxPattern characters.
func NewPattern(text string) *Pattern {
	if utf8.RuneCountInString(text) > MaxPattern {
		return nil
	}
	p := &Pattern{text: text, segments: make([]segment, 1)}
	add := func(r rune) {
		last := &p.segments[len(p.segments)-1]
		last.runes = append(last.runes, r)
	}
	escaped := false
	for _, r := range text {
		switch {
		case escaped:
			add(r)
			escaped = false
		case r == '\\':
			escaped = true
		case r == '%':
			p.segments = append(p.segments, segment{})
		case r == '_':
			add(anyRune)
		default:
			add(r)
		}
	}
	if escaped {
		add('\\')
	}
	for i := range p.segments {
		s := &p.segments[i]
		if s.blank = slices.Contains(s.runes, anyRune); !s.blank {
			s.plain = string(s.runes)
		}
	}
	return p
}

// Text is the pattern as it was read.
func (p *Pattern) Text() string { return p.text }

// Match reports whether the whole of s matches. Each segment is taken where it comes first,
// so that nothing is tried again: the time is at most the length of s by MaxPattern.
func (p *Pattern) Match(s string) bool {
	first, last := &p.segments[0], &p.segments[len(p.segments)-1]
	n := first.at(s)
	if n < 0 {
		return false
	}
	if s = s[n:]; first == last {
		return s == ""
	}
	for i := 1; i < len(p.segments)-1; i++ {
		if n = p.segments[i].find(s); n < 0 {
			return false
		}
		s = s[n:]
	}
	begin := len(s) // of the last segment, which ends where s does
	for range last.runes {
		_, size := utf8.DecodeLastRuneInString(s[:begin])
		begin -= size
	}
	return last.at(s[begin:]) == len(s)-begin
}

// at returns how long the segment is at the beginning of s, in bytes, or -1.
func (g *segment) at(s string) int {
	if !g.blank {
		if strings.HasPrefix(s, g.plain) {
			return len(g.plain)
		}
		return -1
	}
	n := 0
	for _, want := range g.runes {
		r, size := utf8.DecodeRuneInString(s[n:])
		if size == 0 || want != anyRune && r != want {
			return -1
		}
		n += size
	}
	return n
}

// find returns where the first occurrence of the segment in s ends, or -1.
func (g *segment) find(s string) int {
	if !g.blank {
		if i := strings.Index(s, g.plain); i >= 0 {
			return i + len(g.plain)
		}
		return -1
	}
	for i := range s {
		if n := g.at(s[i:]); n >= 0 {
			return i + n
		}
	}
	return -1
}
