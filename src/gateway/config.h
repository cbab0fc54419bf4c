/*
 * config.h
 *		The gateway's settings: the environment, and below it a file of
 *		NAME=value lines that RELAY_CONFIG names and SIGHUP reads again.
 */
#ifndef RG_CONFIG_H
#define RG_CONFIG_H

#include <stdint.h>
#include <stdio.h>

#include "cors.h"
#include "forwarded.h"
#include "listen.h"
#include "security_headers.h"

typedef enum RgEnvironment
{
	RG_DEVELOPMENT,
	RG_TEST,
	RG_STAGING,
	RG_PRODUCTION
} RgEnvironment;

typedef enum RgSwitch
{
	RG_ON,
	RG_OFF
} RgSwitch;

#define RG_FLAGS_SIZE 64

typedef struct RgConfig
{
	/* As given; the strings belong to the configuration */
	char	   *listen_text;
	char	   *tls_certificate;	/* "": no TLS, as is tls_key then */
	char	   *tls_key;
	char	   *database_url;	/* "" leaves it to libpq's environment */
	char	   *allowed_hosts_text;
	char	   *trusted_proxies_text;
	char	   *cors_text;
	char	   *cors_headers;	/* names, separated by commas */
	char	   *content_security_policy;
	char	   *csp_connect_src;
	char	   *frame_options;
	char	   *referrer_policy;
	char	   *opener_policy;
	char	   *resource_policy;
	char	   *permissions_policy;
	char	   *transport_security;
	char	   *access_log;
	char	   *metrics_listen_text;
	char	   *web_root;
	char	   *jwks_url;		/* "": keys are not fetched */
	char	   *jwt_iss;
	char	   *keys_database_url;	/* never "" where jwks_url is set */
	char	   *owner_database_url;
	int64_t		port;			/* 0: as LISTEN says */
	int64_t		environment;	/* RgEnvironment */
	int64_t		log_level;		/* RgLogLevel */
	int64_t		workers;
	int64_t		max_connections;	/* of all workers */
	int64_t		max_connections_per_ip; /* of one worker; 0: no limit */
	int64_t		proxy_protocol; /* RgSwitch */
	int64_t		https_port;		/* that redirects name */
	int64_t		max_body;		/* bytes */
	int64_t		max_body_memory;	/* bytes, of one worker */
	int64_t		max_output_memory;	/* bytes, of one worker */
	int64_t		read_connections;	/* of one worker */
	int64_t		write_connections;	/* of one worker */
	int64_t		slow_connections;	/* of one worker */
	int64_t		pipeline_depth;
	int64_t		deny_cache;		/* RgSwitch */
	int64_t		allow_dev_routes;	/* 0 or 1 */
	int64_t		cookie_secure;	/* of session_config.c, as the next */
	int64_t		cookie_samesite;
	int64_t		response_cache; /* bytes, of one worker; 0: off */
	int64_t		gzip;			/* RgSwitch */
	char	   *proxy_ca_file;	/* "": the system's authorities */
	int64_t		proxy_limit;	/* requests at upstreams, of one worker */
	int64_t		completion_limit;	/* the same at providers of models */
	char	   *webhook_networks_text;
	char	   *webhook_ca_file;	/* "": none beside the system's */
	int64_t		webhooks;		/* RgSwitch */
	int64_t		webhook_limit;	/* under way, of one worker */
	int64_t		queue_limit;	/* of one worker, for reads and writes each */
	int64_t		anchor_interval;	/* microseconds, as all that follow; 0:
									 * off */
	int64_t		request_timeout;
	int64_t		slow_timeout;	/* the same for slow routes */
	int64_t		header_timeout;
	int64_t		idle_timeout;
	int64_t		write_timeout;
	int64_t		drain_timeout;
	int64_t		stream_lifetime;

	/* Made of them */
	RgListen	listen;
	struct ssl_ctx_st *tls;		/* of rg_config_load_to_serve(); NULL: no TLS */
	RgListen	metrics_listen; /* len 0: off */
	RgNetworks	trusted_proxies;
	RgNetworks	webhook_networks;	/* beside all that is public */
	RgCors		cors;
	RgSecurityHeaders security;
	char		flags[2][RG_FLAGS_SIZE];	/* over http, https:
											 * gateway_flags.h */
} RgConfig;

/*
 * Reads the configuration.  Every mistake is written to errors, a line each
 * that names the variable; then NULL is returned.
 */
extern RgConfig *rg_config_load(FILE *errors)
			__attribute__((warn_unused_result));

/*
 * And what only serving takes, and other commands' users may not read: the
 * certificate and its key.
 */
extern RgConfig *rg_config_load_to_serve(FILE *errors)
			__attribute__((warn_unused_result));

extern void rg_config_free(RgConfig *config);

/* Prints NAME=value lines, secrets masked. */
extern void rg_config_print(const RgConfig *config, FILE *out);

/* The number-th setting's name; NULL after the last. */
extern const char *rg_config_name(size_t number);

/* Prints what --help says of each variable. */
extern void rg_config_help(FILE *out);

/* Is that host among ALLOWED_HOSTS, or is there no such list? */
extern bool rg_config_host_allowed(const RgConfig *config, RgSlice host);

#endif
