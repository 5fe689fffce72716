package eio

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// CORSOptions configures cross-origin headers, with the semantics of the Node package
// "cors" that the reference uses. CORS never refuses a request by itself: a
// browser enforces the headers, other clients ignore them.
//
// Source: https://github.com/expressjs/cors#configuration-options
type CORSOptions struct {
	// Origins are the allowed origins. Empty or "*" alone: any, announced as "*". One
	// origin: always announced, also without an Origin header. Several: the request's
	// origin is reflected when it is listed.
	Origins []string
	// Reflect announces any request's origin as allowed. Unlike "*" this works with
	// Credentials, so every web site may then use the cookies of its visitors here.
	Reflect bool
	// AllowOrigin decides per request, instead of Origins. It may block.
	AllowOrigin func(origin string, r *http.Request) bool
	// Credentials allows cookies.
	Credentials bool
	// Methods are announced to preflight requests. Default GET, HEAD, PUT, PATCH, POST, DELETE.
	Methods []string
	// AllowedHeaders are announced to preflight requests. Default: what the request asks for.
	AllowedHeaders []string
	// ExposedHeaders are the response headers scripts may read. Default none.
	ExposedHeaders []string
	// MaxAge is how long a browser may cache a preflight answer, in whole seconds. 0: its default.
	MaxAge time.Duration
}

// normalize fills in defaults and returns pairs of field and problem.
func (o *CORSOptions) normalize() (problems [][2]string) {
	bad := func(field, problem string) { problems = append(problems, [2]string{field, problem}) }
	o.Origins = slices.Clone(o.Origins)
	n := 0
	for _, set := range []bool{len(o.Origins) > 0, o.Reflect, o.AllowOrigin != nil} {
		if set {
			n++
		}
	}
	if n > 1 {
		bad("Origins", "only one of Origins, Reflect and AllowOrigin can be set")
	}
	for _, origin := range o.Origins {
		switch {
		case origin == "*" && len(o.Origins) > 1:
			bad("Origins", `"*" stands alone or not at all`)
		case origin != "*" && origin != "null" && !strings.Contains(origin, "://"):
			bad("Origins", strconv.Quote(origin)+" has no scheme; an origin looks like https://example.com")
		case strings.Contains(origin, "://") && strings.HasSuffix(origin, "/"):
			bad("Origins", strconv.Quote(origin)+" ends in a slash; browsers send none")
		}
	}
	if n == 0 {
		o.Origins = []string{"*"}
	}
	if o.Credentials && len(o.Origins) == 1 && o.Origins[0] == "*" {
		bad("Credentials", `browsers refuse credentials with origin "*"; list the origins`)
	}
	if o.MaxAge < 0 || o.MaxAge%time.Second != 0 {
		bad("MaxAge", o.MaxAge.String()+" is not a positive number of whole seconds")
	}
	if len(o.Methods) == 0 {
		o.Methods = []string{"GET", "HEAD", "PUT", "PATCH", "POST", "DELETE"}
	}
	return problems
}

// set adds the headers for a request with this Origin. r is for AllowOrigin only.
func (o *CORSOptions) set(h http.Header, origin string, r *http.Request) {
	switch {
	case o.AllowOrigin == nil && !o.Reflect && len(o.Origins) == 1:
		h.Set("Access-Control-Allow-Origin", o.Origins[0])
		if o.Origins[0] != "*" {
			h.Add("Vary", "Origin")
		}
	default:
		allowed := o.Reflect || slices.Contains(o.Origins, origin)
		if o.AllowOrigin != nil {
			allowed = o.AllowOrigin(origin, r)
		}
		if allowed && origin != "" {
			h.Set("Access-Control-Allow-Origin", origin)
		}
		h.Add("Vary", "Origin")
	}
	if o.Credentials {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	if len(o.ExposedHeaders) > 0 {
		h.Set("Access-Control-Expose-Headers", strings.Join(o.ExposedHeaders, ","))
	}
}

// preflight answers an OPTIONS request. Headers of set are present already.
func (o *CORSOptions) preflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", strings.Join(o.Methods, ","))
	if len(o.AllowedHeaders) > 0 {
		h.Set("Access-Control-Allow-Headers", strings.Join(o.AllowedHeaders, ","))
	} else {
		h.Add("Vary", "Access-Control-Request-Headers")
		if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
			h.Set("Access-Control-Allow-Headers", asked)
		}
	}
	if o.MaxAge > 0 {
		h.Set("Access-Control-Max-Age", strconv.Itoa(int(o.MaxAge/time.Second)))
	}
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusNoContent)
}
