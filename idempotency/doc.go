// Package idempotency is net/http middleware for the header Idempotency-Key
// (draft-ietf-httpapi-idempotency-key-header-07): a client that got no answer sends
// its request again with the same key, and the request takes effect once.
//
//	keys := idempotency.New(db, idempotency.Tenant(account))
//	mux.Handle("POST /orders", keys.Handler(
//		func(ctx context.Context, tx pgx.Tx, w http.ResponseWriter, r *http.Request) error {
//			// ... the handler's statements, in tx ...
//			w.WriteHeader(http.StatusCreated)
//			return json.NewEncoder(w).Encode(order)
//		}))
//
// The handler writes to the database in a transaction that is begun for it, and its
// response into memory. The response is stored in the same transaction; it is sent
// once that has committed. A later request with the key gets the stored response.
//
// # A key belongs to whom
//
// A key counts within a tenant, a method and a route (the pattern of http.ServeMux,
// or the path where there is none). Without Tenant all clients share one space:
// whoever sends another client's key with the same payload is shown its response.
// A replay does not run the handler; whether a client may make the request must be
// decided in front of it.
//
// # Answers
//
//	400  no key (unless Optional), or a header that is none
//	409  a request with this key runs at this moment; Retry-After says when to try again
//	413  the request's body is larger than MaxBody
//	422  the key was used with another payload
//	503  the database refused the transaction because of others; nothing happened
//	500  the handler returned an error; nothing happened
//
// They have bodies of application/problem+json (RFC 9457). Whatever else the handler
// answers is stored, errors included, and replayed with the header
// "Idempotent-Replayed: true"; except for 401 and 429, after which the key is free
// and the transaction rolled back: what is not stored is not committed either.
//
// # One at a time
//
// A key is claimed by a lock of the handler's own transaction: an advisory lock in
// PostgreSQL, the row itself in MySQL, which a second request asks for without
// waiting; SQLite lets one transaction write at a time. There is no lease, so
// nothing to renew or to wait for: if the process dies in mid-handler, the database
// ends its transaction, and with it the claim.
//
// # Limits
//
// Bodies and responses are held in memory, and their size is bounded. The handler's
// ResponseWriter cannot be flushed or hijacked, and has no trailers; 1xx responses
// are dropped. What a handler does outside of its transaction can happen twice.
package idempotency
