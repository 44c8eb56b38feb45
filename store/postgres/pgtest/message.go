package pgtest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"regexp"
	"slices"
)

// Message is what a client has sent to a server: one message of PostgreSQL's
// frontend protocol.
type Message struct {
	Type byte   // 'Q' Query, 'P' Parse, 'B' Bind, 'E' Execute, 'S' Sync, 'd' CopyData, …; 0 at the start of a connection
	Body []byte // without type and length

	// SQL is what the server runs because of this message: the text of a Query, that
	// of an Execute, and for a Sync those of every Execute since the Sync before it.
	SQL []string

	cancels bool // it asks for the end of what another connection runs
}

// Runs is the condition that a Query, or a Sync after Executes, has made the server
// run a statement which the regular expression matches. Where it is in no block of
// BEGIN and COMMIT such a message commits it.
func Runs(expression string) func(Message) bool {
	re := regexp.MustCompile(expression)
	return func(m Message) bool { return m.Type != 'E' && slices.ContainsFunc(m.SQL, re.MatchString) }
}

var commit = regexp.MustCompile(`(?i)(^|;)\s*commit\b`)

// Commits is the condition that a Query or an Execute is a COMMIT. The server does
// not wait for the Sync after an Execute.
func Commits(m Message) bool { return m.Type != 'S' && slices.ContainsFunc(m.SQL, commit.MatchString) }

// maxMessage bounds a message, in bytes: PostgreSQL's own bound is 1 GiB.
const maxMessage = 256 << 20

// Codes of the packets without a type that a connection begins with.
const (
	sslRequest    = 80877103
	gssRequest    = 80877104
	cancelRequest = 80877102
)

// messages reads what a client sends.
type messages struct {
	r          *bufio.Reader
	started    bool              // the startup packet was read
	statements map[string]string // texts of prepared statements, by name
	portals    map[string]string // texts that are bound, by the portal's name
	executed   []string          // since the last Sync
}

func newMessages(r io.Reader) *messages {
	return &messages{r: bufio.NewReaderSize(r, 64<<10), statements: map[string]string{}, portals: map[string]string{}}
}

// next returns a message and its bytes, which are new. io.EOF is the end between
// two messages.
func (m *messages) next() (Message, []byte, error) {
	head := 4
	if m.started {
		head = 5
	}
	raw := make([]byte, head)
	if _, err := io.ReadFull(m.r, raw); err != nil {
		return Message{}, nil, err
	}
	size := binary.BigEndian.Uint32(raw[head-4:])
	if size < 4 || size > maxMessage {
		return Message{}, nil, fmt.Errorf("a message of %d bytes", size)
	}
	raw = append(raw, make([]byte, size-4)...)
	if _, err := io.ReadFull(m.r, raw[head:]); err != nil {
		return Message{}, nil, fmt.Errorf("in a message: %w", err)
	}
	msg := Message{Body: raw[head:]}
	if !m.started {
		if len(msg.Body) < 4 {
			return Message{}, nil, fmt.Errorf("a startup packet of %d bytes", size)
		}
		switch binary.BigEndian.Uint32(msg.Body) {
		case cancelRequest:
			msg.cancels = true
		case sslRequest, gssRequest: // the startup packet follows
		default:
			m.started = true
		}
		return msg, raw, nil
	}
	msg.Type = raw[0]
	m.follow(&msg)
	return msg, raw, nil
}

// follow keeps account of what an Execute runs.
func (m *messages) follow(msg *Message) {
	first, rest := text(msg.Body)
	switch msg.Type {
	case 'Q':
		msg.SQL = []string{first}
	case 'P':
		m.statements[first], _ = text(rest)
	case 'B':
		statement, _ := text(rest)
		m.portals[first] = m.statements[statement]
	case 'E':
		msg.SQL = []string{m.portals[first]}
		m.executed = append(m.executed, m.portals[first])
	case 'S':
		msg.SQL, m.executed = m.executed, nil
	}
}

// text reads a string that ends with a zero byte.
func text(b []byte) (string, []byte) {
	s, rest, _ := bytes.Cut(b, []byte{0})
	return string(s), rest
}
