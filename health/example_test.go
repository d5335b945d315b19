package health_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/maglev-lb/maglev/health"
)

// printer is a Setter. Usually it is a balancer: a *maglev.Balancer is one.
type printer struct{}

func (printer) SetHealth(name string, healthy bool) error {
	fmt.Println(name, healthy)
	return nil
}

// Ejection of a backend that keeps failing.
func Example() {
	m, err := health.New(printer{}, health.Options{Outlier: &health.Outlier{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()

	m.Update([]string{"10.0.0.1:8080", "10.0.0.2:8080"})
	b := m.Backend("10.0.0.2:8080") // once, as the hot path needs no map
	for range 5 {
		b.Report(health.GatewayError)
	}

	for _, s := range m.Status() {
		fmt.Println(s.Name, s.Healthy, s.Reason, s.Ejections)
	}
	// Output:
	// 10.0.0.1:8080 true
	// 10.0.0.2:8080 true
	// 10.0.0.2:8080 false
	// 10.0.0.1:8080 true  0
	// 10.0.0.2:8080 false ejected: 5 consecutive gateway errors (502, 503, 504) 1
}

// down is a Setter that passes on the names that are not healthy.
type down chan string

func (d down) SetHealth(name string, healthy bool) error {
	if !healthy {
		d <- name
	}
	return nil
}

// Active checks: whether a connection can be made.
func ExampleCheck() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	addresses := map[string]string{"listens": listener.Addr().String(), "does not": "127.0.0.1:1"}
	defer listener.Close()

	told := make(down, 1)
	m, err := health.New(told, health.Options{Check: &health.Check{
		Probe: func(ctx context.Context, name string) error {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", addresses[name])
			if err != nil {
				return err
			}
			return conn.Close()
		},
		Interval: 30 * time.Second,
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()

	m.Update([]string{"listens", "does not"})
	fmt.Println("down:", <-told)
	// Output:
	// down: does not
}

func ExampleAtOnce() {
	probe := func(status int, err error) error {
		switch {
		case err != nil:
			return err // no answer: the threshold counts
		case status != 200:
			return health.AtOnce(fmt.Errorf("status %d", status)) // it does not
		}
		return nil
	}
	fmt.Println(probe(404, nil), probe(0, errors.New("connection refused")), probe(200, nil))
	// Output:
	// status 404 connection refused <nil>
}

func ExampleNew_errors() {
	_, err := health.New(printer{}, health.Options{Check: &health.Check{
		Probe:    func(context.Context, string) error { return nil },
		Interval: -time.Second,
	}})
	fmt.Println(err)
	// Output:
	// health: Check.Interval -1s: option not usable: it must be positive, or 0 for 10s
}
