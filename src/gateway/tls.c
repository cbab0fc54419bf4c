/*
 * tls.c
 *		Certificate and protocol; tls.h has the contract.
 */
#include "tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"	/* of TLS 1.2 */
#define WARN_DAYS 14

/* Without it OpenSSL would ask at the terminal. */
static int
no_passphrase(char *buffer, int size, int writing, void *arg)
{
	(void) buffer;
	(void) size;
	(void) writing;
	(void) arg;
	return -1;
}

static const char *
reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	return text != NULL ? text : "unknown";
}

/*
 * A key that others can read is everybody's.  One of root may be read by a
 * group, as Debian's ssl-cert has it, and systemd's credentials.
 */
static bool
is_private(const struct stat *status)
{
	mode_t		open_to = status->st_uid == 0 ? S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO;

	return (status->st_mode & open_to) == 0;
}

static FILE *
open_key(const char *path, FILE *errors)
{
	FILE	   *file = fopen(path, "re");
	struct stat status;

	if (file == NULL || fstat(fileno(file), &status) != 0)
		fprintf(errors, "TLS_KEY names %s, which cannot be read: %s\n", path, strerror(errno));
	else if (!S_ISREG(status.st_mode))
		fprintf(errors, "TLS_KEY names %s, which is no file\n", path);
	else if (!is_private(&status))
		fprintf(errors, "TLS_KEY names %s, which others can read: it must have mode 0600, "
				"or belong to root and have mode 0640\n", path);
	else
		return file;
	if (file != NULL)
		fclose(file);
	return NULL;
}

/* Unbuffered, so that no copy of it is left in memory that was freed. */
static EVP_PKEY *
read_key(const char *path, FILE *errors)
{
	FILE	   *file = open_key(path, errors);
	EVP_PKEY   *key;

	if (file == NULL)
		return NULL;
	setvbuf(file, NULL, _IONBF, 0);
	key = PEM_read_PrivateKey(file, NULL, no_passphrase, NULL);
	fclose(file);
	if (key == NULL)
		fprintf(errors, "TLS_KEY names %s, which holds no key in PEM that is not encrypted\n",
				path);
	return key;
}

static bool
use_certificate(SSL_CTX *context, const char *path, FILE *errors)
{
	if (access(path, R_OK) != 0)
		fprintf(errors, "TLS_CERTIFICATE names %s, which cannot be read: %s\n", path,
				strerror(errno));
	else if (SSL_CTX_use_certificate_chain_file(context, path) != 1)
		fprintf(errors, "TLS_CERTIFICATE names %s, which holds no usable certificate in PEM: %s\n",
				path, reason());
	else
		return true;
	return false;
}

static bool
use_key(SSL_CTX *context, EVP_PKEY *key, FILE *errors)
{
	if (SSL_CTX_use_PrivateKey(context, key) == 1 && SSL_CTX_check_private_key(context) == 1)
		return true;
	fputs("TLS_KEY is not the key of the first certificate in TLS_CERTIFICATE\n", errors);
	return false;
}

/* Both are read, so that the mistakes of both are told. */
static bool
use_pair(SSL_CTX *context, const char *certificate, const char *key_path, FILE *errors)
{
	EVP_PKEY   *key = read_key(key_path, errors);
	bool		valid = use_certificate(context, certificate, errors);

	valid = valid && key != NULL && use_key(context, key, errors);
	EVP_PKEY_free(key);
	return valid;
}

/* An old certificate is better than none: clients say what they think of it. */
static void
warn_of_expiry(SSL_CTX *context, const char *path)
{
	const ASN1_TIME *end = X509_get0_notAfter(SSL_CTX_get0_certificate(context));
	int			days = 0;
	int			seconds = 0;
	char		left[16];

	if (ASN1_TIME_diff(&days, &seconds, NULL, end) != 1 || days >= WARN_DAYS)
		return;
	snprintf(left, sizeof left, "%d", days);
	rg_log(RG_LOG_WARNING, days < 0 || seconds < 0 ? "the certificate has expired"
		   : "the certificate expires soon", "file", path, "days_left", left, NULL);
}

/* RFC 7301: what the client wants must be there, else the handshake fails. */
static int
choose_protocol(SSL *tls, const unsigned char **out, unsigned char *out_len,
				const unsigned char *in, unsigned in_len, void *arg)
{
	static const unsigned char ours[] = "\x08http/1.1";

	(void) tls;
	(void) arg;
	if (SSL_select_next_proto((unsigned char **) out, out_len, ours, sizeof ours - 1, in,
							  in_len) == OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_OK;
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/*
 * AUTO_RETRY off: a client that sends records without data in them ends the
 * call, and others have their turn.  Tickets are off: their keys would have
 * to be rotated, and a session that is resumed would outlive its certificate.
 */
static bool
set_protocol(SSL_CTX *context)
{
	SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
						SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
						SSL_OP_NO_TICKET | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(context, 0);
	SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
	return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
		SSL_CTX_set_cipher_list(context, CIPHERS) == 1;
}

static bool
is_pair(const char *certificate, const char *key, FILE *errors)
{
	if ((*certificate == '\0') == (*key == '\0'))
		return true;
	fputs("TLS_CERTIFICATE and TLS_KEY must both be set, or neither\n", errors);
	return false;
}

static SSL_CTX *
new_context(FILE *errors)
{
	SSL_CTX    *context = SSL_CTX_new(TLS_server_method());

	if (context != NULL && set_protocol(context))
		return context;
	fprintf(errors, "TLS_CERTIFICATE cannot be used, for TLS cannot be set up: %s\n", reason());
	SSL_CTX_free(context);
	return NULL;
}

bool
rg_tls_load(const char *certificate, const char *key, FILE *errors, struct ssl_ctx_st **context)
{
	*context = NULL;
	if (!is_pair(certificate, key, errors))
		return false;
	if (*certificate == '\0')
		return true;
	ERR_clear_error();
	*context = new_context(errors);
	if (*context != NULL && use_pair(*context, certificate, key, errors))
	{
		warn_of_expiry(*context, certificate);
		return true;
	}
	rg_tls_free(*context);
	*context = NULL;
	return false;
}

void
rg_tls_free(struct ssl_ctx_st *context)
{
	SSL_CTX_free(context);
}

struct ssl_st *
rg_tls_new(struct ssl_ctx_st *context, int fd)
{
	SSL		   *tls = SSL_new(context);

	if (tls != NULL && SSL_set_fd(tls, fd) == 1)
		return tls;
	SSL_free(tls);
	return NULL;
}
