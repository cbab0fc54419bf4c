/*
 * proxy_aim.c
 *		Where libcurl is to send a request; proxy_aim.h has the contract.
 */
#include "proxy_aim.h"

#include "proxy_sockets.h"

#define IDLE_SECONDS 30L		/* after which a connection is not used again */

/* The target goes into the request line as it stands; libcurl reads a URL without it. */
static void
set_destination(CURL *curl, const RgAim *aim)
{
	curl_easy_setopt(curl, CURLOPT_URL, aim->url);
	curl_easy_setopt(curl, CURLOPT_REQUEST_TARGET, aim->target);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
}

static void
set_trust(CURL *curl, const RgAim *aim)
{
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	if (*aim->ca_file != '\0')
		curl_easy_setopt(curl, CURLOPT_CAINFO, aim->ca_file);
}

void
rg_proxy_aim(CURL *curl, const RgAim *aim)
{
	set_destination(curl, aim);
	set_trust(curl, aim);
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long) aim->connect_ms);
	curl_easy_setopt(curl, CURLOPT_MAXAGE_CONN, IDLE_SECONDS);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	/* a name that is being looked up must not be waited for */
	curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L);
	rg_proxy_sockets_use(curl);
}
