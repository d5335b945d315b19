package route

import "github.com/maglev-lb/maglev/mesh/message"

// Direct returns the answer of a route with a direct_response, its body appended to b. The location
// is "" for most: with 201 and 3xx it is the request's own URL. The type is that of body_format, ""
// if that names none or the body is empty: it takes the place of what [Route.RewriteResponse] has
// made of content-type.
func (r *Route) Direct(b []byte, ex *message.Exchange) (status int, location string, body []byte, contentType string) {
	d := r.Config.Direct
	if d.Status == 201 || 300 <= d.Status && d.Status < 400 {
		location = ex.Request.Scheme + "://" + ex.Request.Authority + ex.Request.Path
	}
	f := d.Format
	if f == nil {
		return d.Status, location, append(b, d.Body...), ""
	}
	ex.Local = &message.LocalReply{Body: d.Body} // for %LOCAL_REPLY_BODY%
	contentType = f.ContentType
	if contentType == "" && f.JSON != nil {
		contentType = "application/json"
	}
	before := len(b)
	b = f.AppendBody(b, ex)
	if len(b) == before {
		contentType = ""
	}
	return d.Status, location, b, contentType
}
