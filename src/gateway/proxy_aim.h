/*
 * proxy_aim.h
 *		Where libcurl is to send a request of the gateway's.
 */
#ifndef RG_PROXY_AIM_H
#define RG_PROXY_AIM_H

#include <curl/curl.h>
#include <stdint.h>

/* As serve() orders it; the strings need not outlive the call. */
typedef struct RgAim
{
	const char *url;			/* "https://host:port" */
	const char *target;			/* of the request line, as it stands */
	int64_t		connect_ms;
	const char *ca_file;		/* "": the system's authorities */
} RgAim;

/*
 * Aims a handle: nothing is followed, no proxy of the environment is used, names are
 * looked up without waiting, certificates are verified.
 */
extern void rg_proxy_aim(CURL *curl, const RgAim *aim);

#endif
