// Package mesh is the documentation of the module: an HTTP/1.1 proxy that is configured as
// an Envoy is. Its README says what it does; the program is cmd/meshproxy, and package proxy
// runs it inside of another one.
//
// A request takes one straight way, a package a step:
//
//	listener      accepts the connection
//	http1         bytes -> message
//	manager       the HTTP connection manager: forwarding, filter, accesslog
//	route         virtual host, route, action: redirect, direct response, or ...
//	cluster       hash -> host; health, circuit breakers
//	upstream      a connection to it, http1 once more
//
// Package config turns the file into a checked model before any of this exists; message is what all
// of them look at; stats and admin count and show.
package mesh
