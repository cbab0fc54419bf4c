/*
 * keys_fetch.c
 *		HTTP to the identity provider; keys_fetch.h has the contract.
 */
#include "keys_fetch.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include "keys_schedule.h"

#define TIMEOUT_MS 10000L

static bool
is_loopback(const char *host)
{
	struct in_addr address;

	if (strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0)
		return true;
	return inet_pton(AF_INET, host, &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

static bool
scheme_allowed(CURLU *url, bool plain)
{
	char	   *scheme = NULL;
	char	   *host = NULL;
	bool		allowed = false;

	if (curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK)
		allowed = strcmp(scheme, "https") == 0 ||
			(strcmp(scheme, "http") == 0 && (plain || is_loopback(host)));
	curl_free(scheme);
	curl_free(host);
	return allowed;
}

bool
rg_keys_url_allowed(const char *text, bool plain)
{
	CURLU	   *url = curl_url();
	bool		allowed = url != NULL &&
	curl_url_set(url, CURLUPART_URL, text, CURLU_DISALLOW_USER) == CURLUE_OK &&
	scheme_allowed(url, plain);

	curl_url_cleanup(url);
	return allowed;
}

/* Taking less than is offered ends the transfer. */
static size_t
receive(char *data, size_t size, size_t count, void *arg)
{
	RgKeysAnswer *answer = arg;
	size_t		len = size * count;

	if (len > RG_JWKS_MAX_BYTES - answer->len)
		return 0;
	memcpy(answer->body + answer->len, data, len);
	answer->len += len;
	return len;
}

static const char *
header(CURL *curl, const char *name, size_t index)
{
	struct curl_header *found;

	if (curl_easy_header(curl, name, index, CURLH_HEADER, -1, &found) != CURLHE_OK)
		return NULL;
	return found->value;
}

static void
read_headers(CURL *curl, RgKeysAnswer *answer)
{
	const char *etag = header(curl, "ETag", 0);
	const char *value;

	for (size_t i = 0; answer->max_age < 0 && (value = header(curl, "Cache-Control", i)); i++)
		answer->max_age = rg_keys_max_age(rg_slice_of(value));
	if (etag != NULL && strlen(etag) < sizeof answer->etag)
		strcpy(answer->etag, etag);
}

static bool
fail(RgKeysAnswer *answer, const char *reason)
{
	snprintf(answer->reason, sizeof answer->reason, "%s", reason);
	return false;
}

static bool
fail_status(RgKeysAnswer *answer, long status)
{
	snprintf(answer->reason, sizeof answer->reason, "the answer is HTTP %ld%s", status,
			 status / 100 == 3 ? ", and redirects are not followed" : "");
	return false;
}

static bool
accept_answer(CURL *curl, RgKeysAnswer *answer, bool conditional)
{
	long		status = 0;

	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	answer->unchanged = status == 304 && conditional;
	if (status != 200 && !answer->unchanged)
		return fail_status(answer, status);
	/* to the database the text would end there */
	if (memchr(answer->body, '\0', answer->len) != NULL)
		return fail(answer, "the answer holds a NUL");
	read_headers(curl, answer);
	return true;
}

/*
 * A proxy that the environment names is not used: keys come from whom the URL
 * names, and a variable set for other programs must not put somebody between.
 * Nothing is decompressed, so that the limit holds for what is received.
 */
static void
set_options(CURL *curl, const char *url, RgKeysAnswer *answer)
{
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "relay_gateway/" RG_VERSION);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, answer->reason);
}

static struct curl_slist *
make_headers(const char *etag)
{
	struct curl_slist *headers = curl_slist_append(NULL, "Accept: application/json");
	char		line[sizeof "If-None-Match: " + sizeof(((RgKeysAnswer *) NULL)->etag)];

	if (*etag == '\0' || headers == NULL)
		return headers;
	snprintf(line, sizeof line, "If-None-Match: %s", etag);
	curl_slist_append(headers, line);
	return headers;
}

static bool
perform(CURL *curl, RgKeysAnswer *answer, bool conditional)
{
	CURLcode	code = curl_easy_perform(curl);

	answer->body[answer->len] = '\0';
	if (code == CURLE_OK)
		return accept_answer(curl, answer, conditional);
	if (code == CURLE_WRITE_ERROR)
		return fail(answer, "the answer is too large");
	if (*answer->reason == '\0')
		return fail(answer, curl_easy_strerror(code));
	return false;
}

bool
rg_keys_fetch(const char *url, const char *etag, RgKeysAnswer *answer)
{
	CURL	   *curl = curl_easy_init();
	struct curl_slist *headers = make_headers(etag);
	bool		fetched;

	answer->len = 0;
	answer->max_age = -1;
	*answer->etag = *answer->body = *answer->reason = '\0';
	if (curl == NULL || headers == NULL)
		fetched = fail(answer, "out of memory");
	else
	{
		set_options(curl, url, answer);
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
		fetched = perform(curl, answer, *etag != '\0');
	}
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
	return fetched;
}
