/*
 * tls.h
 *		The gateway's certificate, and what TLS it speaks.
 *
 * TLS 1.2 and 1.3, forward-secret authenticated ciphers, HTTP/1.1 alone by
 * ALPN (a client that insists on HTTP/2 is refused in the handshake, RFC
 * 7301), no renegotiation, no compression, no early data.
 */
#ifndef RG_TLS_H
#define RG_TLS_H

#include <stdbool.h>
#include <stdio.h>

struct ssl_st;
struct ssl_ctx_st;

/*
 * Reads a certificate, behind it those up to its root, and its key, from PEM
 * files.  *context becomes NULL without TLS, that is when both names are
 * empty.  Mistakes are written to errors, a line each; then false.  Neither
 * these nor any log ever hold the key.
 */
extern bool rg_tls_load(const char *certificate, const char *key, FILE *errors,
						struct ssl_ctx_st **context)
			__attribute__((warn_unused_result));

extern void rg_tls_free(struct ssl_ctx_st *context);

/* The server's end on a socket; NULL without memory. */
extern struct ssl_st *rg_tls_new(struct ssl_ctx_st *context, int fd)
			__attribute__((warn_unused_result));

#endif
