// Package message is an HTTP request and its answer as the mesh passes them on: what
// routing, header mutation, hashing, retries and logs see, whatever protocol the bytes
// have come by. A message keeps its header fields in their order and as they stood on
// the wire, but for their names, which are in lower case.
package message

// A Request is the head of a request. What HTTP/1 has in its request line and in Host,
// and HTTP/2 in pseudo-headers, stands in fields of its own, and not in Fields.
type Request struct {
	Method    string
	Scheme    string // "http" or "https"; "" until it is known
	Authority string // the host, with the port if one was given; may be empty
	NoHost    bool   // no host was given, not even an empty one
	Path      string // with the query, as it was sent: "/a?b", or "*"
	Fields    Fields
}

// A Response is the head of an answer.
type Response struct {
	Status   int // from 100 to 999
	Fields   Fields
	Trailers Fields // nil with HTTP/1, which drops them
}

// A Field is a line of a header. Its name is in lower case.
type Field struct{ Name, Value string }

// Fields are the lines of a header, in their order. There may be several of one name.
type Fields []Field

// Get returns the value of the first field of a name, and whether there is one.
func (f Fields) Get(name string) (value string, ok bool) {
	for i := range f {
		if f[i].Name == name {
			return f[i].Value, true
		}
	}
	return "", false
}

// Has returns whether there is a field of a name.
func (f Fields) Has(name string) bool {
	_, ok := f.Get(name)
	return ok
}

// Add appends a field.
func (f *Fields) Add(name, value string) { *f = append(*f, Field{name, value}) }

// Set gives a name one field: the first of that name keeps its place, all others go.
func (f *Fields) Set(name, value string) {
	for i := range *f {
		if (*f)[i].Name == name {
			(*f)[i].Value = value
			f.removeFrom(i+1, name)
			return
		}
	}
	f.Add(name, value)
}

// Remove removes all fields of a name.
func (f *Fields) Remove(name string) { f.removeFrom(0, name) }

func (f *Fields) removeFrom(first int, name string) {
	all := *f
	kept := first
	for i := first; i < len(all); i++ {
		if all[i].Name != name {
			all[kept] = all[i]
			kept++
		}
	}
	clear(all[kept:])
	*f = all[:kept]
}
