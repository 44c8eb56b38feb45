package main

import (
	"strconv"
	"strings"
	"time"

	"nearby/api"
	"nearby/internal/command"
)

// rateFlags limit what one address may ask for.
type rateFlags struct {
	RateLimit string `help:"Greatest number of requests from one address, in a second, a minute or an hour: 100/s, 6000/m, 100000/h. So many may come at once. The server answers 429 to more. Behind a proxy, set --trust-proxy, or all callers share its address. Default: none." placeholder:"N/s"`
	RateCost  string `help:"Longest time in which the server works on the requests of one address: 500ms/s, 30s/m. It is known when a request ends, so one may take more; the next ones then get 429 for longer. Default: none." placeholder:"TIME/s"`
}

// rates reads the flags.
func (f rateFlags) rates() (requests, work api.Rate, err error) {
	if f.RateLimit != "" {
		text, window, ok := cutRate(f.RateLimit)
		n, err := strconv.ParseInt(text, 10, 32)
		if !ok || err != nil || n < 1 {
			return requests, work, command.Usagef("--rate-limit %s: must be a whole number from 1 on, and /s, /m or /h, such as 100/s", f.RateLimit)
		}
		requests = api.Rate{Quota: n, Window: window}
	}
	if f.RateCost != "" {
		text, window, ok := cutRate(f.RateCost)
		d, err := time.ParseDuration(text)
		if !ok || err != nil || d < time.Millisecond || d > 24*time.Hour {
			return requests, work, command.Usagef("--rate-cost %s: must be a time from 1ms on, and /s, /m or /h, such as 500ms/s", f.RateCost)
		}
		work = api.Rate{Quota: d.Milliseconds(), Window: window}
	}
	return requests, work, nil
}

// cutRate cuts what is allowed from the time in which it is.
func cutRate(text string) (most string, window time.Duration, ok bool) {
	most, unit, _ := strings.Cut(text, "/")
	window, ok = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[unit]
	return most, window, ok
}
