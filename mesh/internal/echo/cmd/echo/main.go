// Command echo runs backends of the mesh's tests, one at each address it is given, until it is
// interrupted. A backend's name is its address.
package main

import (
	"fmt"
	"os"
	"os/signal"

	"github.com/maglev-lb/maglev/mesh/internal/echo"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: echo ADDRESS...")
		os.Exit(2)
	}
	for _, address := range os.Args[1:] {
		s, err := echo.Start(address, address)
		if err != nil {
			fmt.Fprintln(os.Stderr, "echo:", err)
			os.Exit(1)
		}
		fmt.Println(s.Addr())
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	<-interrupted
}
