package shadow

import (
	"errors"
	"testing"
	"time"
)

// Work is followed by a rest that is nine times as long, unless it was short. Then it adds up.
func TestPace(t *testing.T) {
	p := pace{closing: make(chan struct{})}
	p.begin()
	const worked = 3 * time.Millisecond
	p.since = p.since.Add(-worked)
	began := time.Now()
	if err := p.step(); err != nil || time.Since(began) < 9*worked || p.worked != 0 {
		t.Errorf("%v, and a rest of %v after %v", err, time.Since(began), worked)
	}
	p.deadline = p.deadline.Add(time.Hour) // however slow the machine is
	for range 10 {
		p.since = time.Now().Add(-slice / 5)
		began = time.Now()
		if err := p.step(); err != nil {
			t.Fatal(err)
		}
		if p.worked == 0 {
			if time.Since(began) < 9*slice {
				t.Errorf("a rest of %v", time.Since(began))
			}
			return
		}
	}
	t.Error("there was no rest")
}

// A check ends when the server stops, in a rest too, and when it takes too long.
func TestPaceEnds(t *testing.T) {
	closing := make(chan struct{})
	p := pace{closing: closing}
	p.begin()
	p.worked = time.Hour
	close(closing)
	if err := p.step(); !errors.Is(err, errClosing) {
		t.Errorf("while the server stops: %v", err)
	}
	p = pace{closing: make(chan struct{})}
	p.begin()
	p.worked, p.deadline = slice, p.since
	if err := p.step(); !errors.Is(err, errLate) {
		t.Errorf("after the deadline: %v", err)
	}
}
