// Package differential holds the proof that meshproxy behaves as Envoy 1.40 does: the same
// configuration and the same bytes go to both, and what the client gets, what the backends see
// and what the access log says has to agree.
//
// The corpus is testdata/*.txt, a file a topic. TestRecorded sends it through meshproxy and compares
// with what Envoy has done, which the files hold; it needs no Envoy. TestLive sends it through the
// Envoy that MAGLEV_ENVOY names and checks that the recording still holds, and with -record it
// writes the recording:
//
//	MAGLEV_ENVOY=$(../../../.ci/install-envoy) go test -run TestLive/routes -record
//
// # The files
//
// A file begins with a configuration, in short: HTTP connection managers by the name of their
// listener, and clusters by name. What is left out is added by the test (config_test.go): names,
// addresses, the router, a route of everything to cluster "c", whose host is backend "a".
// A word such as a, b or c1 among a cluster's hosts is a backend that the test runs; "dead" and
// "dead2" are ports that refuse connections. PORT_a is the port of the backend or listener named a,
// TEMPDIR the directory of the access logs and pipes.
//
// After it come cases, each of which begins with "=== name". What a case does:
//
//	> GET / HTTP/1.1      the client sends this and CR LF
//	>| text               the client sends this as it is; \r \n \t \\ \x00 and \{1000*ab} are understood
//	@to NAME              the listener, if it is not the first one; "admin" is the administration's
//	@from 127.5.0.1       the client's own address
//	@await                wait for the answer to what has been sent
//	@pause 50ms           wait
//	@half-close           the client sends nothing more
//	@hang-up              the client closes its connection
//	@reconnect            the rest goes over a new connection
//	@hold                 another connection to the listener, which has had an answer, is open the while
//	@any                  it does not matter which backend a request goes to: they are all "*"
//	@whole                requests that a backend did not receive whole do not count
//	@unordered            the order in which backends get requests does not matter
//
// and what backends answer, which without these is status 200 with their own name as the body:
//
//	a< HTTP/1.1 200 OK    backend a answers with this and CR LF
//	a<| text              and with this as it is
//	@a pause 50ms         it waits
//	@a close              it closes the connection
//	@a reset              it resets the connection
//	@a stall              it does nothing until the proxy gives the connection up
//	@a early              it does not read the request's body before this
//	@a next               here begins its answer to the next request of the case
//
// Then follows what Envoy does, under "--- envoy":
//
//	< HTTP/1.1 200 OK     the client gets this line
//	<| text               the client gets this as the body, without its framing
//	<t name: value        the client gets this trailer
//	= open                what becomes of the connection: "open", "closed" or, if the client closed it, "gone"
//	a> GET / HTTP/1.1     backend a gets this line
//	a>| text              and this as the body, without its framing
//	a>t name: value       and this as a trailer
//	a= aborted            and the connection ended before the request was complete
//	log> line             a line in the listener's access log
//
// Where meshproxy differs on purpose, what it does follows under "--- meshproxy: reason". The test
// writes that, too:
//
//	go test -run 'TestRecorded/fields/two_hosts' -differs "two Host fields are refused"
//
// What differs from run to run is written as ${date}, ${uuid:4} (with the digit that tells what kind
// it is of), ${ms} and the like; mask_test.go has all of them.
package differential
