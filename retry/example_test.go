package retry_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/maglev-lb/maglev/retry"
)

// A loop of retries: at most four attempts, each but the first within the budget
// and after a random delay.
func Example() {
	var (
		budget  retry.Budget
		backoff = retry.Backoff{Base: time.Millisecond}
	)
	attempts := 0
	send := func(context.Context) error {
		if attempts++; attempts < 3 {
			return errors.New("connection refused")
		}
		return nil
	}

	do := func(ctx context.Context) error {
		budget.Begin()
		defer budget.End()
		err := send(ctx)
		for n := 1; err != nil && n <= 3 && budget.BeginRetry(); n++ {
			if retry.Wait(ctx, backoff.Delay(n)) == nil {
				err = send(ctx)
			} else {
				n = 3 // no time left: the last error says more than the context's
			}
			budget.EndRetry()
		}
		return err
	}
	fmt.Println(do(context.Background()), attempts)
	// Output:
	// <nil> 3
}

func ExampleBudget() {
	budget := retry.Budget{Percent: 10, Min: 1}
	if err := budget.Validate(); err != nil {
		fmt.Println(err)
	}
	for range 25 {
		budget.Begin() // 25 requests in flight: 2 retries
	}
	fmt.Println(budget.BeginRetry(), budget.BeginRetry(), budget.BeginRetry())
	// Output:
	// true true false
}

func ExampleBudget_Validate() {
	budget := retry.Budget{Percent: 120}
	fmt.Println(budget.Validate())
	// Output:
	// retry: Budget.Percent 120: option out of range: it must be up to 100, or 0 for 20, or None
}

func ExampleAfter() {
	now := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	const atMost = time.Minute
	for _, value := range []string{"7", "Fri, 02 Jan 2026 15:04:15 GMT", "86400", "soon"} {
		d, ok := retry.After(value, now)
		fmt.Println(min(d, atMost), ok)
	}
	// Output:
	// 7s true
	// 10s true
	// 1m0s true
	// 0s false
}
